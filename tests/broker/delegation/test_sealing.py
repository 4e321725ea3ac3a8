"""From a record to its sealed document: the same bytes each time, one revision, and no seal that does not verify."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from broker.audit.leaf import commitment
from broker.delegation.acts import Act, Kind
from broker.delegation.document import look
from broker.delegation.faults import Fault
from broker.delegation.grant import Grant, Joint, Method, PartyKind, ScopeKind
from broker.delegation.lookup import agrees, check_code
from broker.delegation.record import Proof
from broker.delegation.rendering import FONTS, Renderer
from broker.delegation.sealing import archive, holds, unsigned_part
from broker.delegation.verification import verify_archived, verify_document
from broker.delegation.vocabulary import LABELS, ROLES, VALUES, table
from broker.delegation.wording import TOTAL
from broker.errors import RecordUnprintable, SealFailed, SettingsError
from broker.jose import load_public_key
from broker.keys import pkcs11
from broker.keys.algorithms import signer
from tests.broker.delegation.sealed import PRINTED, VENTURE, material, record, seal_workshop, sealed_by, stamp
from tests.broker.delegation.test_grant import CHILD, FAMILY
from tests.broker.delegation.workshop import AT, DAY, YEAR, Holder, Workshop, other_page
from tests.softhsm import new_token, parsed

SALT = bytes(range(32))


def program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        if os.environ.get("CI"):
            pytest.fail(f"missing: {name}")
        pytest.skip(f"missing: {name}")
    return found


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    if not all(font.exists() for font in FONTS):
        pytest.skip("missing: fonts-ipaexfont-gothic, fonts-ipamj-mincho")
    return Renderer()


@pytest.fixture(scope="module")
def workshop() -> Workshop:
    return seal_workshop()


@pytest.fixture(scope="module")
def unsigned(renderer: Renderer) -> bytes:
    return renderer.render(record())


@pytest.fixture(scope="module")
def sealed(workshop: Workshop, unsigned: bytes) -> bytes:
    return sealed_by(workshop, unsigned)


# --- on paper --------------------------------------------------------------------------------------------------------


def test_a_second_process_makes_the_same_bytes(renderer: Renderer, unsigned: bytes) -> None:
    assert renderer.render(record()) == unsigned
    assert renderer.rendered_apart(record()) == unsigned
    assert Renderer().template_hash == renderer.template_hash
    assert len(bytes.fromhex(renderer.template_hash)) == 32


def test_the_date_is_the_records(renderer: Renderer, unsigned: bytes) -> None:
    assert b"2026" in unsigned
    assert renderer.render(record(issued_at="2031-01-02T03:04:05Z")) != unsigned


def test_another_template_has_another_hash(renderer: Renderer, tmp_path: Path) -> None:
    template = tmp_path / "record.typ"
    template.write_text("#sys.inputs.record")
    assert Renderer(template=template).template_hash != renderer.template_hash


@pytest.mark.parametrize(
    "changed",
    [
        {"name": "\U0002f800\U0001f600"},  # an emoji is in neither font
        {"name": "a\u202eb"},
        {"name": "a\u200bb"},
        {"name": "a\nb"},
        {"name": "か\u3099"},
        {"issued_at": None},
        {"issued_at": "2026-11-20T12:00:00"},
        {"issued_at": "yesterday"},
    ],
)
def test_what_cannot_be_printed_without_guessing_is_refused(renderer: Renderer, changed: dict[str, Any]) -> None:
    with pytest.raises(RecordUnprintable):
        renderer.render(record(**changed))


@pytest.mark.parametrize("name", ['#image("/etc/passwd")', "*bold* $x$ @ref <label>", "\\u{41}", "]]#panic()"])
def test_a_name_is_never_markup(renderer: Renderer, name: str, tmp_path: Path) -> None:
    path = tmp_path / "name.pdf"
    path.write_bytes(renderer.render(record(name=name)))
    printed = subprocess.run(
        [program("pdftotext"), "-raw", path, "-"], capture_output=True, text=True, check=True
    ).stdout
    assert "".join(name.split()) in "".join(printed.split())


def test_a_missing_font_stops_the_start() -> None:
    with pytest.raises(SettingsError, match="font"):
        Renderer(fonts=[Path("/nowhere/font.ttf")])


def test_every_member_of_the_record_is_on_paper(renderer: Renderer, tmp_path: Path) -> None:
    path = tmp_path / "all.pdf"
    path.write_bytes(renderer.render(record(unforeseen={"deep": ["x1", {"deeper": "x2"}], "flag": True, "n": 17})))
    printed = subprocess.run([program("pdftotext"), path, "-"], capture_output=True, text=True, check=True).stdout
    for wanted in (
        "unforeseen",
        "deep",
        "deeper",
        "x1",
        "x2",
        "17",
        "yes",
        "𠮷田 太郎",
        "50,000,000 円",
        "1180301018771",
    ):
        assert wanted in printed, wanted


def test_where_its_issuer_answers_for_it_stands_on_paper(renderer: Renderer, tmp_path: Path) -> None:
    code = check_code(record())
    assert " ".join(code[at : at + 4] for at in range(0, 16, 4)) in " ".join(_lines(renderer, record(), tmp_path))
    without = json.loads(record())
    del without["grant"]
    assert "照合コード" not in "".join(_lines(renderer, json.dumps(without).encode(), tmp_path))
    assert agrees(code, record())
    assert agrees(hashlib.sha256(record()).hexdigest().upper(), record())
    assert not agrees(code[:-1], record())
    assert not agrees("", record())
    assert not agrees(code, record(v=2))


def _lines(renderer: Renderer, record_: bytes, folder: Path) -> list[str]:
    path = folder / "lines.pdf"
    path.write_bytes(renderer.render(record_))
    text = subprocess.run([program("pdftotext"), "-raw", path, "-"], capture_output=True, text=True, check=True).stdout
    return [" ".join(line.split()) for line in text.splitlines()]


def _printed(renderer: Renderer, record_: bytes, folder: Path) -> str:
    path = folder / "printed.pdf"
    path.write_bytes(renderer.render(record_))
    text = subprocess.run([program("pdftotext"), "-raw", path, "-"], capture_output=True, text=True, check=True).stdout
    return "".join(text.split())  # lines break where columns end


def _members(value: Any) -> Iterator[tuple[str, Any]]:
    """Every member with each of its values."""
    for name, inner in value.items():
        for each in inner if isinstance(inner, list) else [inner]:
            yield name, each
            if isinstance(each, dict):
                yield from _members(each)


_IN_SENTENCES = {"limit", "amount", "tax_included", "total"}
"""Members that a column of the table of powers says in its own words."""
GRANTS = {"business": PRINTED, "sub-agent": CHILD, "family": FAMILY, "joint venture": VENTURE}


@pytest.mark.parametrize("grant", GRANTS.values(), ids=GRANTS)
def test_no_member_and_no_value_is_printed_by_its_bare_name(renderer: Renderer, grant: Grant, tmp_path: Path) -> None:
    written = json.loads(record(grant))
    shown = json.loads(written.pop("grant"))
    printed = _printed(renderer, record(grant), tmp_path)
    for name, value in (*_members(shown), *_members(written)):
        wanted = [] if name in _IN_SENTENCES else [ROLES.get(grant.kind, {}).get(name) or LABELS[name]]
        if name in VALUES and isinstance(value, str):
            wanted.append(VALUES[name][value])
        for words in wanted:
            assert "".join(words.ja.split()) in printed, (name, value)
            assert "".join(words.en.split()) in printed, (name, value)


def test_amounts_dates_and_rare_characters_are_told_so_that_nobody_misreads_them(
    renderer: Renderer, tmp_path: Path
) -> None:
    printed = _printed(renderer, record(VENTURE), tmp_path)
    assert "1,234,567,890円（税抜）期間中の合計" in printed
    assert TOTAL.ja in printed
    assert "上限の定めなし" in printed
    assert "すべての発注機関" in printed
    assert "すべての区分" in printed
    assert "令8-0123" in printed
    assert "2026年11月21日9時00分（日本時間）" in printed
    assert "U+20BB7" in printed
    assert "U+8FBBU+E0101" in printed
    assert TOTAL.ja not in _printed(renderer, record(), tmp_path)


def test_everything_that_is_said_by_a_word_has_one_in_both_languages() -> None:
    said = {"type": (Kind,), "acts": (Act,), "kind": (PartyKind, ScopeKind, Joint), "method": (Method,)}
    for member, kinds in (*said.items(), ("shows", (Proof,))):
        assert {each.value for kind in kinds for each in kind} <= set(VALUES[member]), member
    for words in (*LABELS.values(), *(each for values in VALUES.values() for each in values.values())):
        assert words.ja.strip(), words
        assert words.en.strip(), words
    assert set(json.loads(table())) == {"labels", "notes", "roles", "titles", "values"}


# --- sealed ----------------------------------------------------------------------------------------------------------


def test_a_sealed_document_begins_with_the_unsigned_one_and_has_one_signature(
    sealed: bytes, unsigned: bytes, workshop: Workshop
) -> None:
    assert sealed.startswith(unsigned)
    assert unsigned_part(sealed) == unsigned
    (signature,) = look(sealed).signatures
    assert signature.covered == len(sealed)
    verdict = verify_document(sealed, anchors=workshop.anchors, at=AT)
    assert verdict.reasons == ()
    assert verdict.record == record()
    assert verdict.sealed_at == AT


def test_a_seal_holds_after_three_years_and_until_the_stamps_authority_ends(sealed: bytes, workshop: Workshop) -> None:
    for at in (AT + 3 * YEAR, AT + 10 * YEAR - DAY):
        assert verify_document(sealed, anchors=workshop.anchors, at=at).accepted
    assert not verify_document(sealed, anchors=workshop.anchors, at=AT + 10 * YEAR + DAY).accepted


def test_an_rsa_seal_holds(workshop: Workshop, unsigned: bytes) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    holder = workshop.authority.leaf(key=key, names_a_source=True)
    made = sealed_by(
        workshop, unsigned, material=material(workshop, certificate=holder.der), signer=signer(key, "RS256")
    )
    assert verify_document(made, anchors=workshop.anchors, at=AT).accepted


def test_sealing_again_and_again_costs_the_same(workshop: Workshop, unsigned: bytes) -> None:
    """One seal in three took half a minute: asn1crypto encoded the time stamp anew, each level twice."""
    from broker.delegation.seal_writer import write_seal

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    beside = material(workshop, certificate=workshop.authority.leaf(key=key).der)
    spent = []
    for _ in range(20):
        before = time.process_time()
        write_seal(unsigned, signer=signer(key, "RS256"), material=beside, stamp=stamp(workshop), at=AT)
        spent.append(time.process_time() - before)
    assert max(spent) < 10 * min(spent)


def test_a_seal_from_a_token_holds(workshop: Workshop, unsigned: bytes) -> None:
    uri = parsed(new_token())
    assert uri is not None
    jwk = pkcs11.token(uri).generate("ES256", b"seal", "seal")
    key = load_public_key(jwk)
    assert isinstance(key, ec.EllipticCurvePublicKey)
    holder = workshop.authority.leaf(public_key=key, names_a_source=True)
    made = sealed_by(
        workshop,
        unsigned,
        material=material(workshop, certificate=holder.der),
        signer=pkcs11.signer(uri, alg="ES256", object_id=b"seal", jwk=jwk),
    )
    assert verify_document(made, anchors=workshop.anchors, at=AT).accepted


def test_the_commitment_is_to_this_document_alone(sealed: bytes, unsigned: bytes, renderer: Renderer) -> None:
    commit = commitment(SALT, record(), unsigned)
    assert (
        commit == hashlib.sha256(SALT + hashlib.sha256(record()).digest() + hashlib.sha256(unsigned).digest()).digest()
    )
    assert holds(commit, salt=SALT, record=record(), sealed=sealed)
    assert not holds(commit, salt=SALT[::-1], record=record(), sealed=sealed)
    assert not holds(commit, salt=SALT, record=record(v=2), sealed=sealed)
    assert not holds(commit, salt=SALT, record=record(), sealed=renderer.render(record(v=2)))
    assert not holds(commit, salt=b"short", record=record(), sealed=sealed)
    assert not holds(commit, salt=SALT, record=record(), sealed=b"")


@pytest.mark.parametrize("fault", ["another key", "no evidence", "revoked", "expired", "stranger's stamp", "no stamp"])
def test_a_seal_that_would_not_verify_is_not_handed_out(workshop: Workshop, unsigned: bytes, fault: str) -> None:
    faults: dict[str, dict[str, Any]] = {
        "another key": {"signer": signer(ec.generate_private_key(ec.SECP256R1()), "ES256")},
        "no evidence": {"material": material(workshop, crls=())},
        "revoked": {"material": material(workshop, crls=(workshop.root.crl(), workshop.authority.crl(workshop.seal)))},
        "expired": {"stamp": stamp(workshop, at=AT + 5 * YEAR), "at": AT + 5 * YEAR},
        "stranger's stamp": {"stamp": stamp(workshop, by=Workshop().root.leaf())},
        "no stamp": {"stamp": lambda _request: b"\x30\x00"},
    }
    with pytest.raises(SealFailed):
        sealed_by(workshop, unsigned, **faults[fault])


def test_only_a_document_of_one_revision_is_sealed(workshop: Workshop, sealed: bytes) -> None:
    with pytest.raises(SealFailed):
        sealed_by(workshop, sealed)


def test_the_sealed_document_holds_nothing_of_the_jpki(sealed: bytes) -> None:
    assert b"JPKI" not in sealed
    (signature,) = look(sealed).signatures
    assert b"JPKI" not in signature.cms


# --- the archive -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def successor(workshop: Workshop) -> Holder:
    """The next time-stamp authority: it begins in eight years and ends in twenty."""
    return workshop.root.stamper(
        key=ec.generate_private_key(ec.SECP256R1()),
        begins=AT + 8 * YEAR,
        ends=AT + 19 * YEAR,
        names_a_source=True,
    )


@pytest.fixture(scope="module")
def archived(workshop: Workshop, sealed: bytes, successor: Holder) -> bytes:
    """Stamped once more nine years on, a year before the first authority ends."""
    then = AT + 9 * YEAR
    fresh = workshop.root.crl(this_update=then - DAY)
    evidence = material(workshop, others=(successor.der,), crls=(fresh,))
    return archive(sealed, material=evidence, stamp=stamp(workshop, at=then, by=successor), at=then)


def test_an_archives_copy_outlives_the_first_time_stamp_authority(
    workshop: Workshop, sealed: bytes, archived: bytes
) -> None:
    later = AT + 15 * YEAR
    assert archived.startswith(sealed)
    verdict = verify_archived(archived, anchors=workshop.anchors, at=later)
    assert verdict.reasons == ()
    assert (verdict.record, verdict.sealed_at) == (record(), AT)
    assert Fault.TIME_STAMP_EXPIRED in verify_document(sealed, anchors=workshop.anchors, at=later).faults
    assert Fault.TIME_STAMP_EXPIRED in verify_archived(archived, anchors=workshop.anchors, at=AT + 25 * YEAR).faults


def test_an_archives_copy_is_not_the_officers_document(workshop: Workshop, archived: bytes) -> None:
    verdict = verify_document(archived, anchors=workshop.anchors, at=AT + 9 * YEAR)
    assert {Fault.MORE_SIGNATURES, Fault.REVISION_ADDED} <= set(verdict.faults)
    assert not verdict.altered


def test_a_changed_archives_copy_is_refused(workshop: Workshop, archived: bytes, sealed: bytes) -> None:
    at = AT + 9 * YEAR
    for place in (300, len(sealed) + 200, len(archived) - 3):
        changed = bytearray(archived)
        changed[place] ^= 1
        assert not verify_archived(bytes(changed), anchors=workshop.anchors, at=at).accepted, place
    assert not verify_archived(archived + b"\n", anchors=workshop.anchors, at=at).accepted


def test_an_archives_stamp_made_too_late_is_refused(workshop: Workshop, sealed: bytes, successor: Holder) -> None:
    late = AT + 11 * YEAR
    evidence = material(workshop, others=(successor.der,), crls=(workshop.root.crl(this_update=late - DAY),))
    with pytest.raises(SealFailed, match="TIME_STAMP_EXPIRED"):
        archive(sealed, material=evidence, stamp=stamp(workshop, at=late, by=successor), at=late)


def test_a_hidden_change_between_stamps_is_an_alteration(workshop: Workshop, sealed: bytes, successor: Holder) -> None:
    """A stranger can have anything stamped: the authority does not look at it."""
    from broker.delegation.seal_writer import write_archive_stamp

    then = AT + 9 * YEAR
    evidence = material(workshop, others=(successor.der,), crls=(workshop.root.crl(this_update=then - DAY),))
    changed = write_archive_stamp(other_page(sealed), material=evidence, stamp=stamp(workshop, at=then, by=successor))
    verdict = verify_archived(changed, anchors=workshop.anchors, at=then)
    assert Fault.ALTERED_AFTER in verdict.faults


# --- judges ----------------------------------------------------------------------------------------------------------


def _run(*command: Any, **more: Any) -> str:
    done: subprocess.CompletedProcess[str] = subprocess.run(
        [*map(str, command)], capture_output=True, text=True, check=False, timeout=60, **more
    )
    return done.stdout + done.stderr


def _root_pem(workshop: Workshop, folder: Path) -> Path:
    from cryptography.hazmat.primitives.serialization import Encoding

    path = folder / "root.pem"
    path.write_bytes(workshop.root.certificate.public_bytes(Encoding.PEM))
    return path


def test_pdfsig_calls_the_total_document_signed(sealed: bytes, tmp_path: Path) -> None:
    (tmp_path / "poa.pdf").write_bytes(sealed)
    told = _run(program("pdfsig"), "-nocert", tmp_path / "poa.pdf")
    assert "Total document signed" in told
    assert "Signature is Valid" in told
    assert "ETSI.CAdES.detached" in told


def test_pdfdetach_gives_the_records_exact_bytes(sealed: bytes, tmp_path: Path) -> None:
    (tmp_path / "poa.pdf").write_bytes(sealed)
    _run(program("pdfdetach"), "-saveall", "-o", tmp_path, tmp_path / "poa.pdf")
    assert (tmp_path / "record.json").read_bytes() == record()


def test_qpdf_finds_no_fault(sealed: bytes, tmp_path: Path) -> None:
    (tmp_path / "poa.pdf").write_bytes(sealed)
    assert "No syntax or stream encoding errors found" in _run(program("qpdf"), "--check", tmp_path / "poa.pdf")


def test_mutool_calls_it_unchanged(sealed: bytes, tmp_path: Path) -> None:
    (tmp_path / "poa.pdf").write_bytes(sealed)
    told = _run(program("mutool"), "sign", "-v", tmp_path / "poa.pdf")
    assert "The document is unchanged since signing" in told


def test_openssl_verifies_the_envelope(sealed: bytes, workshop: Workshop, tmp_path: Path) -> None:
    (signature,) = look(sealed).signatures
    (tmp_path / "seal.der").write_bytes(signature.cms)
    (tmp_path / "signed").write_bytes(signature.signed(sealed))
    told = _run(
        *(program("openssl"), "cms", "-verify", "-cades", "-inform", "DER", "-in", tmp_path / "seal.der"),
        *("-content", tmp_path / "signed", "-binary", "-CAfile", _root_pem(workshop, tmp_path), "-purpose", "any"),
        *("-attime", str(int(AT.timestamp())), "-out", "/dev/null"),
    )
    assert "CAdES Verification successful" in told or "Verification successful" in told


def test_openssl_verifies_the_time_stamp(workshop: Workshop, tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"something that existed")
    openssl = program("openssl")
    query = ["ts", "-query", "-data", tmp_path / "data", "-sha256", "-cert", "-out", tmp_path / "query"]
    _run(openssl, *query)
    (tmp_path / "reply").write_bytes(stamp(workshop)((tmp_path / "query").read_bytes()))
    told = _run(
        *(openssl, "ts", "-verify", "-queryfile", tmp_path / "query", "-in", tmp_path / "reply"),
        *("-CAfile", _root_pem(workshop, tmp_path), "-attime", str(int(AT.timestamp()))),
    )
    assert "Verification: OK" in told


@pytest.mark.parametrize("request_", [b"", b"\x30\x00", b"junk"])
def test_the_stamp_authority_refuses_what_it_cannot_read(workshop: Workshop, request_: bytes, tmp_path: Path) -> None:
    (tmp_path / "reply").write_bytes(stamp(workshop)(request_))
    told = _run(program("openssl"), "ts", "-reply", "-in", tmp_path / "reply", "-text")
    assert "Status: Rejected" in told


def test_now_is_an_argument(workshop: Workshop, unsigned: bytes) -> None:
    with pytest.raises(ValueError, match="zone"):
        sealed_by(workshop, unsigned, at=datetime.now(UTC).replace(tzinfo=None))
