"""The program in which pyHanko reads a stranger's PDF and makes room for a signature: limits first, no network.

`python -m broker.pades.child` reads one PDF and writes one line of JSON (the offsets), then the PDF with one revision
more. Whatever else happens, its exit code is not 0; REFUSALS says what the others mean.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from datetime import UTC, datetime
from io import BytesIO
from typing import Any, Final

from broker import confined
from broker.pades.placeholder import BEFORE_TIME, RESERVED

CPU_SECONDS: Final = 5
MEMORY: Final = 768 * 1024 * 1024
MAX_OBJECTS: Final = 50_000
MAX_PAGES: Final = 500

NOT_INSTALLED: Final = 4
MALFORMED: Final = 10
ENCRYPTED: Final = 11
SIGNED: Final = 12
ACTIVE: Final = 13
LAYERED: Final = 14
TOO_LARGE: Final = 15
REFUSALS: Final = {
    MALFORMED: "not a PDF that can be read without guessing",
    ENCRYPTED: "encrypted",
    SIGNED: "it bears a signature already, or is certified against changes",
    ACTIVE: "with scripts, actions, forms of its own kind (XFA) or media: what is shown could change after signing",
    LAYERED: "with layers that a reader may hide or show",
    TOO_LARGE: "with more objects or pages than are judged",
}
"""Exit codes, and what each says about the document."""

_ACTIVE: Final = frozenset({"/JS", "/JavaScript", "/XFA", "/RichMediaContent", "/AA"})
"""Keys of a dictionary by which a document does or shows something else later (ISO 32000-2 §12.6, §12.7.8, §13.6)."""
_ACTIVE_KINDS: Final = frozenset(
    {
        *("/JavaScript", "/Launch", "/ImportData", "/SubmitForm", "/ResetForm", "/Hide", "/SetOCGState"),
        *("/Rendition", "/Movie", "/Sound", "/RichMediaExecute", "/GoTo3DView", "/RichMedia", "/3D", "/Screen"),
    }
)
"""Kinds of actions and annotations (`/S`, `/Subtype`) likewise."""


class Refused(Exception):
    """`code` is one of REFUSALS."""

    def __init__(self, code: int) -> None:
        super().__init__(REFUSALS[code])
        self.code = code


def prepare(document: bytes) -> tuple[dict[str, int], bytes]:
    """The offsets of `placeholder.Placeholder`, and the PDF. Raises Refused, and whatever the library raises."""
    from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter  # noqa: PLC0415 -- only the child needs them, with [pades]
    from pyhanko.pdf_utils.reader import PdfFileReader  # noqa: PLC0415 -- as above
    from pyhanko.sign.fields import SigSeedSubFilter, enumerate_sig_fields  # noqa: PLC0415 -- as above
    from pyhanko.sign.signers.cms_embedder import PdfCMSEmbedder, SigIOSetup, SigObjSetup  # noqa: PLC0415 -- as above
    from pyhanko.sign.signers.pdf_byterange import SignatureObject  # noqa: PLC0415 -- as above

    reader = PdfFileReader(BytesIO(document), strict=True)
    if reader.encrypted:
        raise Refused(ENCRYPTED)
    _judge(reader)
    fields = {name: reference for name, _, reference in enumerate_sig_fields(reader)}
    if reader.embedded_signatures:
        raise Refused(SIGNED)
    writer = IncrementalPdfFileWriter(BytesIO(document), prev=reader, strict=True)
    name = next(name for name in (f"Signature{number}" for number in range(1, 1000)) if name not in fields)
    steps = PdfCMSEmbedder().write_cms(field_name=name, writer=writer)
    next(steps)
    told = datetime(2000, 1, 1, tzinfo=UTC)  # the real time comes into its place when the card is asked
    steps.send(
        SigObjSetup(
            sig_placeholder=SignatureObject(timestamp=told, subfilter=SigSeedSubFilter.PADES, bytes_reserved=RESERVED)
        )
    )
    room, output = steps.send(SigIOSetup(md_algorithm="sha256"))
    made: bytes = output.getvalue()
    mark = made.find(BEFORE_TIME + b"20000101000000Z)", room.reserved_region_end)
    if not made.startswith(document) or mark < 0:
        raise Refused(MALFORMED)
    return {
        "size": len(document),
        "start": room.reserved_region_start,
        "end": room.reserved_region_end,
        "time": mark + len(BEFORE_TIME),
    }, made


def _judge(reader: Any) -> None:
    """What may not be signed, looked for in every object of the file. Raises Refused."""
    references = list(reader.xrefs.explicit_refs_in_revision(0))
    for revision in range(1, reader.xrefs.total_revisions):
        references += reader.xrefs.explicit_refs_in_revision(revision)
    if len(references) > MAX_OBJECTS:
        raise Refused(TOO_LARGE)
    for reference in references:
        _look(reader.get_object(reference))
    root = reader.root
    if "/OCProperties" in root:
        raise Refused(LAYERED)
    if "/Perms" in root:
        raise Refused(SIGNED)
    if int(root["/Pages"]["/Count"]) > MAX_PAGES:
        raise Refused(TOO_LARGE)


def _look(value: Any) -> None:
    """One object and what stands directly in it; indirect ones come by their own number."""
    from pyhanko.pdf_utils import generic  # noqa: PLC0415 -- as above

    waiting = [value]
    seen = 0
    while waiting:
        one = waiting.pop()
        seen += 1
        if seen > MAX_OBJECTS:
            raise Refused(TOO_LARGE)
        if isinstance(one, generic.DictionaryObject):
            keys = {str(key) for key in one}
            kinds = {str(one.raw_get(key)) for key in ("/S", "/Subtype") if key in one}
            if keys & _ACTIVE or kinds & _ACTIVE_KINDS:
                raise Refused(ACTIVE)
            waiting += [one.raw_get(key) for key in one]
        elif isinstance(one, generic.ArrayObject):
            waiting += [one.raw_get(place) for place in range(len(one))]


def main() -> None:
    confined.confine(cpu_seconds=CPU_SECONDS, memory=MEMORY)
    if importlib.util.find_spec("pyhanko") is None:
        sys.exit(NOT_INSTALLED)
    document = sys.stdin.buffer.read()
    confined.forbid()
    try:
        offsets, made = prepare(document)
    except Refused as refused:
        sys.exit(refused.code)
    except Exception:  # the library's own words for what it cannot read are many
        sys.exit(MALFORMED)
    sys.stdout.buffer.write(json.dumps(offsets).encode() + b"\n" + made)


if __name__ == "__main__":
    main()
