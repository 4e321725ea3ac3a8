"""verify_document: what is whole is accepted, every fault is told, and only what was altered is called altered."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import zlib
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.sign.fields import MDPPerm

from broker.delegation.document import MAX_DOCUMENT
from broker.delegation.faults import Fault
from broker.delegation.verification import _JUDGE, DocumentVerdict, verify_document
from tests.broker.delegation.workshop import (
    AT,
    DAY,
    RECORD,
    YEAR,
    Authority,
    Workshop,
    attach,
    change_page,
    page_pdf,
)

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def workshop() -> Workshop:
    return Workshop()


@pytest.fixture(scope="module")
def sealed(workshop: Workshop) -> bytes:
    """B-LT in one revision."""
    return workshop.sign(page_pdf(), stamp=True, evidence=True)


def faults(
    pdf: bytes, workshop: Workshop, *, at: datetime = AT, anchors: list[bytes] | None = None
) -> frozenset[Fault]:
    verdict = verify_document(pdf, anchors=workshop.anchors if anchors is None else anchors, at=at)
    assert verdict.accepted is (not verdict.faults)
    assert verdict.reasons == tuple(fault.value for fault in verdict.faults)
    return frozenset(verdict.faults)


# --- what is accepted ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"pades": False},
        {"stamp": True},
        {"stamp": True, "evidence": True},
        {"certify": True, "docmdp_permissions": MDPPerm.NO_CHANGES},
    ],
    ids=["B-B", "adbe", "B-T", "B-LT", "certified"],
)
def test_a_whole_document_is_accepted(workshop: Workshop, how: dict[str, Any]) -> None:
    verdict = verify_document(workshop.sign(page_pdf(), **how), anchors=workshop.anchors, at=AT)
    assert verdict.reasons == ()
    assert verdict.accepted
    assert verdict.record == RECORD
    assert verdict.signer == workshop.seal.der
    assert verdict.sealed_at == (AT if how.get("stamp") else None)


@pytest.mark.parametrize(
    "key",
    [
        rsa.generate_private_key(public_exponent=65537, key_size=2048),
        ec.generate_private_key(ec.SECP384R1()),
        ec.generate_private_key(ec.SECP521R1()),
    ],
    ids=["RSA-2048", "P-384", "P-521"],
)
def test_strong_keys_of_other_kinds_are_accepted(
    workshop: Workshop, key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
) -> None:
    assert faults(workshop.sign(page_pdf(), by=workshop.authority.leaf(key=key)), workshop) == set()


def test_a_pinned_certificate_is_trusted_without_a_path(workshop: Workshop, sealed: bytes) -> None:
    assert faults(workshop.sign(page_pdf()), workshop, anchors=[workshop.seal.der]) == set()
    assert faults(workshop.sign(page_pdf()), workshop, anchors=[workshop.authority.der]) == set()


def test_a_time_stamp_outlives_the_certificate(workshop: Workshop, sealed: bytes) -> None:
    three_years_on = AT + 3 * YEAR
    assert faults(sealed, workshop, at=three_years_on) == set()
    assert faults(workshop.sign(page_pdf()), workshop, at=three_years_on) == {Fault.EXPIRED}


def test_past_the_stamps_own_life_nothing_is_proved(workshop: Workshop, sealed: bytes) -> None:
    assert faults(sealed, workshop, at=AT + 10 * YEAR - DAY) == set()
    assert faults(sealed, workshop, at=AT + 10 * YEAR + DAY) == {Fault.TIME_STAMP_EXPIRED, Fault.EXPIRED}


# --- who and when ----------------------------------------------------------------------------------------------------


def test_an_untrusted_signer_is_not_called_an_altered_document(workshop: Workshop, sealed: bytes) -> None:
    verdict = verify_document(sealed, anchors=[Authority.root().der], at=AT)
    assert set(verdict.faults) == {Fault.UNTRUSTED, Fault.TIME_STAMP_UNTRUSTED}
    assert not verdict.altered
    assert not any("alter" in reason for reason in verdict.reasons)
    assert verdict.record == RECORD


@pytest.mark.parametrize("anchors", [[], [b""], [b"\x30\x00"], [b"x" * 20_000]])
def test_anchors_that_are_none_trust_nobody(workshop: Workshop, sealed: bytes, anchors: list[bytes]) -> None:
    assert Fault.UNTRUSTED in faults(sealed, workshop, anchors=anchors)


def test_before_its_certificate_began_a_document_is_not_valid(workshop: Workshop) -> None:
    assert faults(workshop.sign(page_pdf()), workshop, at=AT - 31 * DAY) == {Fault.NOT_YET_VALID}


def test_a_document_is_not_valid_before_it_was_sealed(workshop: Workshop, sealed: bytes) -> None:
    assert faults(sealed, workshop, at=AT - DAY) == {Fault.SEALED_LATER}
    assert faults(sealed, workshop, at=AT - timedelta(seconds=30)) == set()


def test_a_certificate_that_names_a_source_needs_its_evidence(workshop: Workshop) -> None:
    seal = workshop.authority.leaf(names_a_source=True)
    assert faults(workshop.sign(page_pdf(), by=seal), workshop) == {Fault.REVOCATION_UNKNOWN}
    assert faults(workshop.sign(page_pdf(), by=seal, stamp=True), workshop) == {Fault.REVOCATION_UNKNOWN}
    assert faults(workshop.sign(page_pdf(), by=seal, stamp=True, evidence=True), workshop) == set()


def test_a_revoked_signer_is_refused(workshop: Workshop) -> None:
    seal = workshop.authority.leaf(names_a_source=True)
    pdf = workshop.sign(page_pdf(), by=seal, stamp=True, evidence=True)
    revoking = workshop.authority.crl(seal)

    def swap(writer: IncrementalPdfFileWriter) -> None:
        store = generic.DictionaryObject(
            {
                generic.pdf_name("/CRLs"): generic.ArrayObject(
                    [
                        writer.add_object(generic.StreamObject(stream_data=each))
                        for each in (revoking, workshop.root.crl())
                    ]
                ),
            }
        )
        writer.root[generic.pdf_name("/DSS")] = store
        writer.update_root()

    assert faults(pdf, workshop) == set()
    assert faults(workshop.sign(page_pdf(), by=seal, stamp=True, writer_changes=swap), workshop) == {Fault.REVOKED}


def test_the_cards_authentication_certificate_signs_no_document(workshop: Workshop) -> None:
    seal = workshop.authority.leaf(usages=("digital_signature",))
    assert faults(workshop.sign(page_pdf(), by=seal), workshop) == {Fault.NOT_FOR_SIGNING}
    stamper = workshop.authority.leaf(purposes=(ExtendedKeyUsageOID.TIME_STAMPING,))
    assert faults(workshop.sign(page_pdf(), by=stamper), workshop) == {Fault.NOT_FOR_SIGNING}


def test_a_small_key_is_refused(workshop: Workshop) -> None:
    weak = workshop.authority.leaf(key=rsa.generate_private_key(65537, 1024))  # noqa: S505 -- the point
    assert faults(workshop.sign(page_pdf(), by=weak), workshop) == {Fault.ALGORITHM_WEAK}


def test_a_stamp_by_somebody_else_is_refused(workshop: Workshop) -> None:
    stranger = Authority.root("Stranger").stamper()
    assert Fault.TIME_STAMP_UNTRUSTED in faults(workshop.sign(page_pdf(), stamp=True, tsa=stranger), workshop)
    clerk = workshop.authority.leaf(key=rsa.generate_private_key(public_exponent=65537, key_size=2048))
    assert Fault.TIME_STAMP_WRONG in faults(workshop.sign(page_pdf(), stamp=True, tsa=clerk), workshop)


# --- what it carries -------------------------------------------------------------------------------------------------


def test_a_document_without_a_record_says_so(workshop: Workshop) -> None:
    assert faults(workshop.sign(page_pdf(record=None)), workshop) == {Fault.NO_RECORD}


@pytest.mark.parametrize("record", [b"", b"not JSON", b'{"a":1,"a":2}', b"[1]", b'{"a":NaN}', b"[" * 500 + b"]" * 500])
def test_a_record_that_is_not_one_is_refused(workshop: Workshop, record: bytes) -> None:
    assert faults(workshop.sign(page_pdf(record=record)), workshop) == {Fault.RECORD_UNREADABLE}


def test_two_records_are_refused(workshop: Workshop) -> None:
    pdf = workshop.sign(page_pdf(), writer_changes=lambda writer: attach(writer, b'{"v":2}', "second.json"))
    assert faults(pdf, workshop) == {Fault.MORE_ATTACHMENTS}


def _into_catalogue(key: str, value: Any) -> Any:
    def change(writer: IncrementalPdfFileWriter) -> None:
        writer.root[generic.pdf_name(key)] = value
        writer.update_root()

    return change


def _dictionary(**entries: Any) -> generic.DictionaryObject:
    return generic.DictionaryObject({generic.pdf_name(f"/{name}"): value for name, value in entries.items()})


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (
            _into_catalogue(
                "/OpenAction",
                _dictionary(S=generic.pdf_name("/JavaScript"), JS=generic.pdf_string("app.alert(1)")),
            ),
            Fault.ACTIVE_CONTENT,
        ),
        (
            _into_catalogue("/OpenAction", _dictionary(S=generic.pdf_name("/Launch"), F=generic.pdf_string("calc"))),
            Fault.ACTIVE_CONTENT,
        ),
        (_into_catalogue("/OCProperties", _dictionary(OCGs=generic.ArrayObject())), Fault.ACTIVE_CONTENT),
        (_into_catalogue("/AA", _dictionary()), Fault.ACTIVE_CONTENT),
    ],
    ids=["script", "launch", "layers", "additional-actions"],
)
def test_what_acts_or_hides_is_refused_even_when_signed(workshop: Workshop, change: Any, fault: Fault) -> None:
    assert faults(workshop.sign(page_pdf(), writer_changes=change), workshop) == {fault}


def test_a_jump_to_the_first_page_is_no_action(workshop: Workshop) -> None:
    change = _into_catalogue("/OpenAction", generic.ArrayObject([generic.NumberObject(0), generic.pdf_name("/Fit")]))
    assert faults(workshop.sign(page_pdf(), writer_changes=change), workshop) == set()


# --- what was done to it ---------------------------------------------------------------------------------------------


def test_several_faults_are_all_told(workshop: Workshop) -> None:
    pdf = bytearray(workshop.sign(page_pdf(record=None)))
    where = pdf.find(b"POWER OF")
    pdf[where] ^= 1
    found = faults(bytes(pdf), workshop, at=AT + 3 * YEAR)
    assert found == {Fault.CONTENT_ALTERED, Fault.NO_RECORD, Fault.EXPIRED}


def test_evidence_added_later_is_a_further_revision_but_no_alteration(workshop: Workshop) -> None:
    verdict = verify_document(
        workshop.sign(page_pdf(), stamp=True, evidence=True, two_revisions=True), anchors=workshop.anchors, at=AT
    )
    assert set(verdict.faults) == {Fault.REVISION_ADDED}
    assert not verdict.altered


def test_a_second_signature_is_no_alteration(workshop: Workshop) -> None:
    twice = workshop.sign(workshop.sign(page_pdf()), field_name="Second")
    verdict = verify_document(twice, anchors=workshop.anchors, at=AT)
    assert set(verdict.faults) == {Fault.MORE_SIGNATURES, Fault.REVISION_ADDED}
    assert not verdict.altered


def _other_record(writer: IncrementalPdfFileWriter) -> None:
    tree = writer.root["/Names"]["/EmbeddedFiles"]["/Names"]
    files = tree[1]["/EF"]
    files[generic.pdf_name("/F")] = writer.add_object(generic.StreamObject(stream_data=b'{"v":1,"id":"other"}'))
    writer.update_container(files)


def _note(writer: IncrementalPdfFileWriter) -> None:
    page = writer.root["/Pages"]["/Kids"][0]
    note = _dictionary(
        Type=generic.pdf_name("/Annot"),
        Subtype=generic.pdf_name("/FreeText"),
        Rect=generic.ArrayObject(map(generic.NumberObject, (0, 0, 595, 842))),
        Contents=generic.pdf_string("void"),
    )
    page[generic.pdf_name("/Annots")] = generic.ArrayObject([*page["/Annots"], writer.add_object(note)])
    writer.update_container(page)


def _form_field(writer: IncrementalPdfFileWriter) -> None:
    form = writer.root["/AcroForm"]
    text = _dictionary(FT=generic.pdf_name("/Tx"), T=generic.pdf_string("amount"), V=generic.pdf_string("1,000,000"))
    form["/Fields"].append(writer.add_object(text))
    writer.update_container(form)


@pytest.mark.parametrize("attack", [change_page, _other_record, _note, _form_field])
def test_an_incremental_change_is_an_alteration(workshop: Workshop, sealed: bytes, attack: Any) -> None:
    writer = IncrementalPdfFileWriter(io.BytesIO(sealed))
    attack(writer)
    out = io.BytesIO()
    writer.write(out)
    verdict = verify_document(out.getvalue(), anchors=workshop.anchors, at=AT)
    assert {Fault.REVISION_ADDED, Fault.ALTERED_AFTER} <= set(verdict.faults)
    assert verdict.altered


def test_an_incremental_change_signed_by_a_stranger_is_an_alteration(workshop: Workshop, sealed: bytes) -> None:
    stranger = Workshop()
    verdict = verify_document(
        stranger.sign(sealed, field_name="Second", writer_changes=change_page), anchors=workshop.anchors, at=AT
    )
    assert {Fault.MORE_SIGNATURES, Fault.ALTERED_AFTER} <= set(verdict.faults)


@pytest.mark.parametrize("junk", [b"\n", b"%", b"\n%%EOF\n", b"\0" * 100])
def test_bytes_after_the_end_are_an_alteration(workshop: Workshop, sealed: bytes, junk: bytes) -> None:
    assert {Fault.REVISION_ADDED, Fault.ALTERED_AFTER} <= faults(sealed + junk, workshop)


def test_a_stripped_signature_is_no_signature(workshop: Workshop, sealed: bytes) -> None:
    begin = sealed.rindex(b"/ByteRange")
    assert Fault.NO_SIGNATURE in faults(page_pdf(), workshop)
    renamed = faults(sealed.replace(b"/ByteRange", b"/BiteRange"), workshop)
    assert {Fault.NO_SIGNATURE, Fault.RANGE_WRONG} <= renamed
    contents = sealed.index(b"/Contents <", begin - 40_000)
    end = sealed.index(b">", contents)
    zeroed = sealed[: contents + 11] + b"0" * (end - contents - 11) + sealed[end:]
    assert Fault.CONTENTS_WRONG in faults(zeroed, workshop)


@pytest.mark.parametrize("numbers", [b"0 0 0 0", b"0 1 2 3", b"1 100 200 300", b"0 100 50 10", b"0 9999999 1 1"])
def test_a_signed_range_that_leaves_something_out_is_refused(workshop: Workshop, sealed: bytes, numbers: bytes) -> None:
    begin = sealed.rindex(b"/ByteRange [") + len(b"/ByteRange [")
    end = sealed.index(b"]", begin)
    wrapped = sealed[:begin] + numbers.ljust(end - begin) + sealed[end:]
    assert faults(wrapped, workshop) & {Fault.RANGE_WRONG, Fault.CONTENTS_WRONG}


def test_a_wrapped_signature_is_refused(workshop: Workshop, sealed: bytes) -> None:
    """SWA: the signed second part is kept, and another one put before it, inside the widened gap."""
    begin = sealed.rindex(b"/ByteRange [") + len(b"/ByteRange [")
    end = sealed.index(b"]", begin)
    _, first, second, rest = map(int, sealed[begin:end].split())
    filler = b" /Evil (content that no signature covers) "
    numbers = f"0 {first} {second + len(filler)} {rest}".encode()
    wrapped = sealed[:begin] + numbers.ljust(end - begin) + sealed[end:second] + filler + sealed[second:]
    found = faults(wrapped, workshop)
    assert found & {Fault.RANGE_WRONG, Fault.CONTENTS_WRONG}


def test_another_spelling_of_the_envelope_is_refused(workshop: Workshop, sealed: bytes) -> None:
    begin = sealed.index(b"<3082") + 1
    end = sealed.index(b">", begin)
    lower = sealed[:begin] + sealed[begin:end].lower() + sealed[end:]
    assert faults(lower, workshop) == set()  # nothing else than the case of all digits: the same document
    at = next(place for place in range(begin, end) if sealed[place : place + 1] in b"ABCDEF")
    mixed = sealed[:at] + sealed[at : at + 1].lower() + sealed[at + 1 :]
    assert Fault.CONTENTS_WRONG in faults(mixed, workshop)


def test_no_changed_byte_goes_unnoticed(workshop: Workshop, sealed: bytes) -> None:
    """Sampled, with a fixed seed; `python -m tests.campaigns.sealed_documents` changes every byte."""
    random = Random(8)
    begin = sealed.index(b"<3082")
    end = sealed.index(b">", begin)
    places = random.sample(range(len(sealed)), 60) + random.sample(range(begin, end), 60)
    for place in places:
        changed = bytearray(sealed)
        changed[place] ^= 1 << random.randrange(8)
        verdict = verify_document(bytes(changed), anchors=workshop.anchors, at=AT)
        assert not verdict.accepted, place
        if not begin <= place <= end:
            assert verdict.altered, (place, verdict.faults)


@pytest.mark.parametrize("cut", [1, 10, 500, 5_000])
def test_a_document_cut_short_is_refused(workshop: Workshop, sealed: bytes, cut: int) -> None:
    assert not verify_document(sealed[:-cut], anchors=workshop.anchors, at=AT).accepted


# --- hostile bytes ---------------------------------------------------------------------------------------------------


def _children_seconds() -> float:
    """Processor time of all children that the idle mothers have had (proc_pid_stat(5), cutime and cstime)."""
    texts = [Path(f"/proc/{mother.pid}/stat").read_text() for mother in _JUDGE._idle]
    fields = [text.rpartition(")")[2].split() for text in texts]
    return sum(int(each[13]) + int(each[14]) for each in fields) / os.sysconf("SC_CLK_TCK")


def _judged(pdf: bytes, workshop: Workshop) -> DocumentVerdict:
    _JUDGE.close()
    verdict = verify_document(pdf, anchors=workshop.anchors, at=AT)
    assert _children_seconds() < 5.0
    return verdict


def _with_trailer(body: bytes, root: int = 1) -> bytes:
    return b"%PDF-1.7\n" + body + f"\ntrailer <</Root {root} 0 R /Size 9>>\nstartxref\n0\n%%EOF\n".encode()


def _loops() -> dict[str, bytes]:
    head = b"%PDF-1.7\n"
    table = b"xref\n0 1\n0000000000 65535 f \ntrailer\n<</Size 1/Root 1 0 R/Prev 9>>\nstartxref\n9\n%%EOF\n"
    deep = b"<<" + b"/A<<" * 50_000 + b">>" * 50_000
    arrays = b"[" * 200_000
    bomb = zlib.compress(b"\0" * (200 * 1024 * 1024), 9)
    stream = b"1 0 obj<</Length %d/Filter/FlateDecode/Type/ObjStm/N 1/First 4>>stream\n" % len(bomb)
    return {
        "a table that leads to itself": head + table,
        "deep dictionaries": _with_trailer(b"1 0 obj " + deep + b" endobj"),
        "deep arrays": _with_trailer(b"1 0 obj " + arrays + b" endobj"),
        "a bomb": _with_trailer(stream + bomb + b"\nendstream endobj"),
        "ranges without end": head + b"/ByteRange [0 1 2 3]" * 100_000,
        "spaces without end": head + b"/ByteRange [" + b" " * 3_000_000,
        "nothing but zeros": head + b"\0" * 3_000_000,
    }


@pytest.mark.parametrize("name", _loops())
def test_a_hostile_document_ends_in_time(workshop: Workshop, name: str) -> None:
    assert not _judged(_loops()[name], workshop).accepted


def test_loops_behind_a_valid_signature_end_in_time(workshop: Workshop) -> None:
    """A stranger can sign what he likes: the structure is hostile, the signature holds."""

    def loop(writer: IncrementalPdfFileWriter) -> None:
        first = generic.DictionaryObject()
        where = writer.add_object(first)
        first[generic.pdf_name("/Kids")] = generic.ArrayObject([where])
        first[generic.pdf_name("/Parent")] = where
        writer.root["/Names"]["/EmbeddedFiles"][generic.pdf_name("/Kids")] = generic.ArrayObject([where] * 3)
        writer.update_root()
        writer.update_container(writer.root["/Names"]["/EmbeddedFiles"])

    def bomb(writer: IncrementalPdfFileWriter) -> None:
        data = zlib.compress(zlib.compress(b"\0" * (300 * 1024 * 1024), 9), 9)
        filters = generic.ArrayObject([generic.pdf_name("/FlateDecode")] * 2)
        stream = generic.StreamObject(encoded_data=data)
        stream[generic.pdf_name("/Filter")] = filters
        files = writer.root["/Names"]["/EmbeddedFiles"]["/Names"][1]["/EF"]
        files[generic.pdf_name("/F")] = writer.add_object(stream)
        writer.update_container(files)

    assert _judged(workshop.sign(page_pdf(), writer_changes=loop), workshop).reasons is not None
    assert not _judged(workshop.sign(page_pdf(), writer_changes=bomb), workshop).accepted


def test_random_bytes_raise_nothing(workshop: Workshop) -> None:
    random = Random(9)
    for _ in range(30):
        body = b"%PDF-1.7\n" * random.randrange(2) + random.randbytes(random.randrange(600))
        assert not verify_document(body, anchors=workshop.anchors, at=AT).accepted


def test_a_document_of_any_size_is_answered(workshop: Workshop) -> None:
    assert faults(b"%PDF-1.7\n" + b" " * MAX_DOCUMENT, workshop) == {Fault.TOO_LARGE}


def test_the_child_stays_within_its_memory(workshop: Workshop, tmp_path: Path) -> None:
    """In a process of its own, because the largest child of this one may have been another test's."""
    for number, pdf in enumerate(_loops().values()):
        (tmp_path / f"{number}.pdf").write_bytes(pdf)
    (tmp_path / "root.cer").write_bytes(workshop.root.der)
    program = """
import resource, sys
from datetime import UTC, datetime
from pathlib import Path
from broker.delegation.verification import _JUDGE, verify_document
folder = Path(sys.argv[1])
anchors = [(folder / "root.cer").read_bytes()]
for path in sorted(folder.glob("*.pdf")):
    assert not verify_document(path.read_bytes(), anchors=anchors, at=datetime.now(UTC)).accepted
_JUDGE.close()
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path], capture_output=True, text=True, check=True, timeout=90, cwd=ROOT
    )
    assert 0 < int(done.stdout) < 256 * 1024 * 1024


def test_a_time_without_a_zone_is_a_mistake(workshop: Workshop) -> None:
    with pytest.raises(ValueError, match="zone"):
        verify_document(b"", anchors=[], at=datetime(2026, 1, 1))  # noqa: DTZ001 -- the point of it
