"""What a signed PDF holds: its record, the evidence beside the signature, and what must not be there (ISO 32000-2)."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.decode_limits import DecodeLimits, DocumentDecodeBudget, StreamDecodeLimits
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.diff_analysis import (
    CatalogModificationRule,
    DiffResult,
    DocInfoRule,
    DSSCompareRule,
    FormUpdatingRule,
    MetadataUpdateRule,
    ModificationLevel,
    ObjectStreamRule,
    SigFieldCreationRule,
    SigFieldModificationRule,
    StandardDiffPolicy,
    XrefStreamRule,
)
from pyhanko.sign.fields import enumerate_sig_fields
from pyhanko.sign.validation.dss import DocumentSecurityStore
from pyhanko.sign.validation.pdf_embedded import EmbeddedPdfSignature
from pyhanko.sign.validation.status import SignatureCoverageLevel

from broker.delegation.document import MAX_SIGNATURES, Look
from broker.delegation.faults import Fault
from broker.errors import InvalidToken
from broker.jose import parse_json

MAX_RECORD: Final = 256 * 1024
MAX_OBJECTS: Final = 10_000
_MAX_DEPTH: Final = 32
_MAX_NODES: Final = 200_000
_MiB: Final = 1024 * 1024
_LIMITS: Final = DecodeLimits(
    per_stream=StreamDecodeLimits(max_ratio=None, max_output_size=16 * _MiB),
    document_budget=DocumentDecodeBudget(base_allowance=48 * _MiB, max_ratio=0),
)

_ACTIVE_KEYS: Final = frozenset(
    {"/JS", "/JavaScript", "/XFA", "/AA", "/OCProperties", "/RichMediaContent", "/RichMediaSettings", "/3DD"}
)
_ACTIONS: Final = frozenset(
    {
        *("/JavaScript", "/Launch", "/SubmitForm", "/ResetForm", "/ImportData", "/GoToR", "/GoToE", "/Hide", "/Named"),
        *("/Rendition", "/Movie", "/Sound", "/SetOCGState", "/Trans", "/GoTo3DView", "/RichMediaExecute", "/Thread"),
    }
)
_ANNOTATIONS: Final = frozenset({"/Widget", "/Link"})
_SUBFILTERS: Final = frozenset({"/ETSI.CAdES.detached", "/adbe.pkcs7.detached"})

_ADDING_ONLY: Final = StandardDiffPolicy(
    global_rules=[
        CatalogModificationRule(),
        *(
            rule.as_qualified(ModificationLevel.LTA_UPDATES)
            for rule in (DocInfoRule(), XrefStreamRule(), ObjectStreamRule(), DSSCompareRule(), MetadataUpdateRule())
        ),
    ],
    form_rule=FormUpdatingRule(field_rules=[SigFieldCreationRule(), SigFieldModificationRule()]),
)
"""What may follow a signature without changing the document: evidence, time stamps, further signatures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """`pades` where the signature says it is PAdES, which has duties of its own."""

    record: bytes | None = field(repr=False)
    certificates: tuple[bytes, ...] = field(repr=False)
    crls: tuple[bytes, ...] = field(repr=False)
    ocsps: tuple[bytes, ...] = field(repr=False)
    pades: bool


def read_contents(pdf: bytes, look: Look, faults: set[Fault]) -> Contents | None:
    """None, and a fault, where the structure cannot be read in strict form."""
    try:
        reader = PdfFileReader(io.BytesIO(pdf), strict=True, decode_limits=_LIMITS)
        if reader.encrypted:
            faults.add(Fault.ENCRYPTED)
            return None
        if reader.xrefs.hybrid_xrefs_present:
            faults.add(Fault.UNREADABLE)  # two readings of one file
        pades = _check_signatures(reader, look, faults)
        _check_objects(reader, faults)
        record = _record(reader, faults)
        store = _store(reader)
    except MemoryError:
        faults.add(Fault.UNFINISHED)
        return None
    except Exception:
        faults.add(Fault.UNREADABLE)
        return None
    certificates, crls, ocsps = store
    return Contents(record=record, certificates=certificates, crls=crls, ocsps=ocsps, pades=pades)


def _check_signatures(reader: PdfFileReader, look: Look, faults: set[Fault]) -> bool:
    """The parser's signatures are those that stand in the bytes. Answers whether the first is PAdES."""
    fields = list(enumerate_sig_fields(reader, filled_status=True))
    if not fields:
        faults.add(Fault.NO_SIGNATURE)
        return False
    if len(fields) > 1:
        faults.add(Fault.MORE_SIGNATURES)
    found = []
    pades = False
    for _, value, _ in fields[:MAX_SIGNATURES]:
        dictionary = value.get_object()
        numbers = tuple(int(number) for number in dictionary["/ByteRange"])
        contents = bytes(dictionary.raw_get("/Contents").original_bytes)
        found.append((numbers, contents))
        subfilter = str(_plain(dictionary, "/SubFilter"))
        if (_plain(dictionary, "/Type") or "/Sig") == "/Sig":
            pades = pades or subfilter == "/ETSI.CAdES.detached"
            if subfilter not in _SUBFILTERS:
                faults.add(Fault.ENVELOPE_WRONG)
    for one in look.signatures:
        if not any(one.byte_range == numbers and contents.startswith(one.cms) for numbers, contents in found):
            faults.add(Fault.RANGE_WRONG)
    if len(found) > len(look.signatures):
        faults.add(Fault.RANGE_WRONG)
    return pades


def added_only(pdf: bytes, look: Look) -> bool:
    """Whether what follows the first signature's bytes leaves the document as it was signed."""
    try:
        reader = PdfFileReader(io.BytesIO(pdf), strict=True, decode_limits=_LIMITS)
        first = look.signatures[0].byte_range
        for name, value, at in enumerate_sig_fields(reader, filled_status=True):
            if tuple(int(number) for number in value.get_object()["/ByteRange"]) != first:
                continue
            signature: Any = EmbeddedPdfSignature(reader, at, name)
            signature.compute_integrity_info(diff_policy=_ADDING_ONLY)
            return (
                signature.signed_revision < reader.xrefs.total_revisions - 1  # else what follows is no revision
                and signature.coverage >= SignatureCoverageLevel.ENTIRE_REVISION
                and isinstance(signature.diff_result, DiffResult)
                and signature.diff_result.modification_level <= ModificationLevel.FORM_FILLING
            )
    except Exception:
        return False
    return False


# --- every object ----------------------------------------------------------------------------------------------------


def _objects(reader: PdfFileReader) -> Iterator[Any]:
    references: set[generic.Reference] = set()
    for revision in range(reader.xrefs.total_revisions):
        references |= set(reader.get_historical_resolver(revision).explicit_refs_in_revision())
        if len(references) > MAX_OBJECTS:
            raise ValueError("more objects than are looked at")
    yield reader.trailer_view
    for reference in sorted(references, key=lambda each: (each.idnum, each.generation)):
        yield reader.get_object(reference)


def _dictionaries(reader: PdfFileReader) -> Iterator[generic.DictionaryObject]:
    """Every dictionary of the document, streams' among them, without following a reference twice."""
    nodes = 0
    for each in _objects(reader):
        waiting = [(each, 0)]
        while waiting:
            value, depth = waiting.pop()
            nodes += 1
            if nodes > _MAX_NODES or depth > _MAX_DEPTH:
                raise ValueError("more is nested than is looked at")
            if isinstance(value, generic.DictionaryObject):
                yield value
                waiting += [(value.raw_get(key), depth + 1) for key in value]
            elif isinstance(value, generic.ArrayObject):
                waiting += [(value.raw_get(index), depth + 1) for index in range(len(value))]


def _check_objects(reader: PdfFileReader, faults: set[Fault]) -> None:
    signatures = 0
    for each in _dictionaries(reader):
        if not _ACTIVE_KEYS.isdisjoint(each.keys()):
            faults.add(Fault.ACTIVE_CONTENT)
        if str(_plain(each, "/S")) in _ACTIONS:
            faults.add(Fault.ACTIVE_CONTENT)
        if isinstance(each, generic.StreamObject) and "/F" in each:
            faults.add(Fault.ACTIVE_CONTENT)  # a stream whose data stands in another file
        if "/FT" in each and str(_plain(each, "/FT")) != "/Sig":
            faults.add(Fault.FORM_FIELDS)
        subtype = _plain(each, "/Subtype")
        is_annotation = _plain(each, "/Type") == "/Annot" or ("/Rect" in each and "/Subtype" in each)
        if is_annotation and str(subtype) not in _ANNOTATIONS:
            faults.add(Fault.ANNOTATIONS)
        signatures += "/ByteRange" in each
    if signatures > 1:
        faults.add(Fault.MORE_SIGNATURES)


def _plain(dictionary: generic.DictionaryObject, key: str) -> Any:
    """The value behind a reference: `get` would answer the reference itself."""
    try:
        return dictionary[key]
    except KeyError:
        return None


# --- the record and the evidence -------------------------------------------------------------------------------------


def _record(reader: PdfFileReader, faults: set[Fault]) -> bytes | None:
    streams: dict[Any, generic.StreamObject] = {}
    for each in _dictionaries(reader):
        if "/EF" not in each:
            continue
        files = each["/EF"]
        for key in files:
            raw = files.raw_get(key)
            stream = files[key]
            name = raw.reference if isinstance(raw, generic.IndirectObject) else id(stream)
            streams[name] = stream
    embedded = {
        each.container_ref
        for each in _dictionaries(reader)
        if isinstance(each, generic.StreamObject) and _plain(each, "/Type") == "/EmbeddedFile"
    }
    if not streams:
        faults.add(Fault.NO_RECORD)
        return None
    if len(streams) > 1 or len(embedded) > 1:
        faults.add(Fault.MORE_ATTACHMENTS)
        return None
    if not _is_listed(reader):
        faults.add(Fault.NO_RECORD)
        return None
    (stream,) = streams.values()
    try:
        data = bytes(stream.data)
        parse_json(data, limit=MAX_RECORD)
    except InvalidToken:
        faults.add(Fault.RECORD_UNREADABLE)
        return None
    return data


def _is_listed(reader: PdfFileReader) -> bool:
    """Whether the catalogue leads to an attachment: by its name tree or as an associated file."""
    root = reader.root
    return "/EmbeddedFiles" in (_plain(root, "/Names") or {}) or "/AF" in root


def _store(reader: PdfFileReader) -> tuple[tuple[bytes, ...], tuple[bytes, ...], tuple[bytes, ...]]:
    """Certificates, lists and responses of the document security store (ETSI EN 319 142-1 §5.4.2.2)."""
    if "/DSS" not in reader.root:
        return (), (), ()
    store = DocumentSecurityStore.read_dss(reader)
    certificates = tuple(each.dump() for each in store.load_certs())
    crls = tuple(bytes(each.get_object().data) for each in store.crls)
    ocsps = tuple(bytes(each.get_object().data) for each in store.ocsps)
    if max(map(len, (certificates, crls, ocsps))) > 32:
        raise ValueError("more evidence than is looked at")
    return certificates, crls, ocsps
