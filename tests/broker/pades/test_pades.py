"""A PDF gets room for one signature and nothing else; what others make of it afterwards is the judge."""

from __future__ import annotations

import functools
import hashlib
import secrets
import shutil
import subprocess
import zlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from io import BytesIO
from pathlib import Path

import pytest
from asn1crypto import x509 as asn1_x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import Encoding
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.pdf_utils.writer import copy_into_new_writer
from pyhanko_certvalidator import ValidationContext

from broker.errors import DocumentRefused
from broker.jpki import cms
from broker.pades.placeholder import RESERVED, Placeholder
from broker.pades.preparation import MAX_PDF, prepare
from tests.broker.jpki.jpki_authority import Authority, key_usage, policies, rsa_key
from tests.broker.pades.paper import paper, pyhanko_says, with_catalog, with_page

CA = Authority()
LEAF = CA.leaf(policy=policies("1.2.392.200149.8.5.1.0.20"), usage=key_usage("digital_signature", "content_commitment"))
AT = datetime(2026, 11, 21, 7, 0, 5, tzinfo=UTC)


def card_cms(placeholder: Placeholder, at: datetime = AT) -> bytes:
    """What an agent answers, and the broker keeps: the CMS over the byte range."""
    attributes = cms.with_certificate(cms.signed_attributes(placeholder.digest(at), None), LEAF)
    signature = rsa_key("hanako").sign(attributes, padding.PKCS1v15(), hashes.SHA256())
    return cms.detached(cms.DetachedSignature(certificate=LEAF, attributes=attributes, signature=signature))


def signed(pdf: bytes, at: datetime = AT) -> bytes:
    placeholder = prepare(pdf)
    return placeholder.embed(card_cms(placeholder, at), at)


def judged(pdf: bytes, tmp_path: Path) -> str:
    """What pdfsig says."""
    if shutil.which("pdfsig") is None:
        pytest.skip("missing: pdfsig (poppler-utils)")
    file = tmp_path / "signed.pdf"
    file.write_bytes(pdf)
    return subprocess.run(
        ["pdfsig", "-nocert", str(file)], capture_output=True, text=True, check=False, env={"LC_ALL": "C.UTF-8"}
    ).stdout


def test_the_document_stays_as_it_was_and_one_revision_is_added() -> None:
    pdf = paper()
    placeholder = prepare(pdf)
    assert placeholder.document == pdf
    assert placeholder.pdf.count(b"%%EOF") == 2
    assert len(placeholder.pdf) < len(pdf) + RESERVED + 4096


def test_pdfsig_finds_the_total_document_signed_in_cades_form(tmp_path: Path) -> None:
    told = judged(signed(paper()), tmp_path)
    assert "Signature is Valid." in told
    assert "Total document signed" in told
    assert "ETSI.CAdES.detached" in told
    assert "Hash Algorithm: SHA-256" in told


def test_pyhanko_finds_it_valid_and_covering_the_entire_file_with_the_time_in_its_dictionary_alone() -> None:
    made = signed(paper())
    reader = PdfFileReader(BytesIO(made))
    (signature,) = reader.embedded_signatures
    root = asn1_x509.Certificate.load(CA.certificate.public_bytes(Encoding.DER))
    context = ValidationContext(trust_roots=[root], moment=datetime.now(UTC), allow_fetching=False)
    status = pyhanko_says(signature, signer_validation_context=context)
    assert status.intact
    assert status.valid
    assert status.coverage.name == "ENTIRE_FILE"
    assert status.docmdp_ok
    names = {attribute["type"].native for attribute in signature.signer_info["signed_attrs"]}
    assert names == {"content_type", "message_digest", "signing_certificate_v2"}
    assert signature.sig_object["/M"] == "D:20261121070005Z"


def test_a_byte_changed_anywhere_makes_the_signature_invalid(tmp_path: Path) -> None:
    pdf = paper()
    made = signed(pdf)
    placeholder = prepare(pdf)
    for place in (20, len(pdf) // 2, placeholder.time, len(made) - 10):
        changed = bytearray(made)
        changed[place] ^= 1
        assert "Signature is Valid." not in judged(bytes(changed), tmp_path), place


def test_the_time_is_part_of_what_is_signed_and_is_told_in_utc() -> None:
    placeholder = prepare(paper())
    later = AT + timedelta(seconds=1)
    assert placeholder.digest(AT) != placeholder.digest(later)
    tokyo = AT.astimezone(timezone(timedelta(hours=9)))
    assert placeholder.digest(tokyo) == placeholder.digest(AT)
    made = placeholder.embed(b"\x30\x00", AT)
    covered = made[: placeholder.start] + made[placeholder.end :]
    assert hashlib.sha256(covered).digest() == placeholder.digest(AT)
    with pytest.raises(ValueError, match="naive"):
        placeholder.digest(AT.replace(tzinfo=None))


def test_a_signature_that_is_too_long_is_refused_and_never_cut() -> None:
    placeholder = prepare(paper())
    assert placeholder.embed(b"\x00" * (RESERVED // 2), AT)
    with pytest.raises(DocumentRefused):
        placeholder.embed(b"\x00" * (RESERVED // 2 + 1), AT)


def test_a_form_field_of_the_usual_name_is_left_alone() -> None:
    field = "<< /FT /Sig /T (Signature1) /Type /Annot /Subtype /Widget /Rect [0 0 0 0] /P 3 0 R >>"
    pdf = with_catalog("/AcroForm << /Fields [5 0 R] >>", {5: field})
    assert b"(Signature2)" in prepare(pdf).pdf[len(pdf) :]


def stream(members: str, data: bytes) -> str:
    return f"<< {members} /Length {len(data)} >>\nstream\n{data.decode('latin-1')}\nendstream"


def encrypted() -> bytes:
    writer = copy_into_new_writer(PdfFileReader(BytesIO(paper())))
    writer.encrypt(owner_pass="secret")
    out = BytesIO()
    writer.write(out)
    return out.getvalue()


@functools.cache
def bomb() -> bytes:
    packer = zlib.compressobj(9)
    return b"".join([*(packer.compress(b"\x00" * 2**24) for _ in range(64)), packer.flush()])


def bomb_of_references() -> bytes:
    head = b"%PDF-1.7\n"
    members = "/Type /XRef /Size 3 /W [1 8 2] /Root 1 0 R /Filter /FlateDecode"
    return head + f"1 0 obj\n{stream(members, bomb())}\nendobj\nstartxref\n{len(head)}\n%%EOF\n".encode("latin-1")


SCRIPT = "<< /S /JavaScript /JS (app.alert\\(1\\)) >>"
REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "not a PDF"),
    "something else": (lambda: b"PK\x03\x04" + b"\x00" * 100, "not a PDF"),
    "only its first line": (lambda: b"%PDF-1.7\n", "without guessing"),
    "cut off": (lambda: paper()[:-60], "without guessing"),
    "noise behind the head": (lambda: b"%PDF-1.7\n" + secrets.token_bytes(4096), "without guessing"),
    "larger than allowed": (lambda: b"%PDF-1.7\n" + b" " * MAX_PDF, "more than"),
    "encrypted": (encrypted, "encrypted"),
    "signed before": (lambda: signed(paper()), "signature already"),
    "certified": (lambda: with_catalog("/Perms << /DocMDP 5 0 R >>", {5: "<< /Type /Sig >>"}), "signature already"),
    "script on opening": (lambda: with_catalog("/OpenAction 5 0 R", {5: SCRIPT}), "scripts"),
    "script in the name tree": (
        lambda: with_catalog("/Names << /JavaScript << /Names [(a) 5 0 R] >> >>", {5: SCRIPT}),
        "scripts",
    ),
    "script on the page": (lambda: with_page(f"/AA << /O {SCRIPT} >>"), "scripts"),
    "script deep in an array": (lambda: paper({5: f"[[[<< /X [{SCRIPT}] >>]]]"}), "scripts"),
    "launches a program": (lambda: with_catalog("/OpenAction << /S /Launch /F (calc) >>"), "scripts"),
    "sends a form": (lambda: with_catalog("/OpenAction << /S /SubmitForm /F (http://x) >>"), "scripts"),
    "XFA form": (lambda: with_catalog("/AcroForm << /Fields [] /XFA 5 0 R >>", {5: stream("", b"<x/>")}), "scripts"),
    "film": (
        lambda: with_page("/Annots [5 0 R]", {5: "<< /Type /Annot /Subtype /RichMedia /Rect [0 0 9 9] >>"}),
        "scripts",
    ),
    "layers": (lambda: with_catalog("/OCProperties << /OCGs [] /D << >> >>"), "layers"),
    "pages without end": (
        lambda: paper({2: "<< /Type /Pages /Kids [3 0 R] /Count 100000 >>"}),
        "more objects or pages",
    ),
    "objects without end": (lambda: paper(dict.fromkeys(range(5, 60000), "null")), "more objects or pages"),
    "a catalog that is itself": (lambda: paper({1: "1 0 R"}), "without guessing"),
    "nested without end": (lambda: paper({5: "[" * 60_000 + "]" * 60_000}), "PDF"),
    "cross-references that unpack to gigabytes": (bomb_of_references, "PDF"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_signed_is_refused_in_words_and_in_time(name: str) -> None:
    build, words = REFUSED[name]
    with pytest.raises(DocumentRefused, match=words):
        prepare(build())


def test_what_nobody_looks_into_is_carried_along_as_it_came() -> None:
    packed = stream("/Type /ObjStm /N 1 /First 4 /Filter /FlateDecode", bomb())
    for pdf in (paper({5: "[" * 90 + "]" * 90}), paper({5: packed})):
        assert prepare(pdf).document == pdf


def test_offsets_that_do_not_fit_what_was_written_are_refused() -> None:
    good = prepare(paper())
    members = {"pdf": good.pdf, "size": good.size, "start": good.start, "end": good.end, "time": good.time}
    assert Placeholder(**members) == good
    for name in ("size", "start", "end", "time"):
        for wrong in (-1, 0, members[name] + 1, members[name] - 1, len(good.pdf) + 1):
            if name == "size" and 0 < wrong <= good.time:
                continue  # how much of it is the document, `prepare` compares byte for byte
            with pytest.raises(DocumentRefused):
                Placeholder(**members | {name: wrong})
