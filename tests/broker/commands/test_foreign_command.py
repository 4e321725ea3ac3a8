"""`broker certificate explain` for HPKI and 商業登記: the decision's own steps, on a doctor and on a company."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from broker.__main__ import main
from broker.commands.certificate import title
from broker.errors import CertificateUntrusted
from broker.jpki.foreign import COMMERCIAL_REGISTRATION, HPKI_SIGNATURE, ForeignProfile, validate_foreign_path
from broker.jpki.foreign_explain import ROWS
from cardreader import cardfile
from sandbox.generate import World, generate
from tests.broker.jpki.hierarchy import CA, DAY, NOW, hc_role


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return generate(tmp_path_factory.mktemp("world"), NOW)


def crl(world: World, authority: str) -> bytes:
    """An empty list of one of the sandbox's healthcare authorities."""
    issuer = x509.load_der_x509_certificate((world.root / "ca" / f"{authority}.cer").read_bytes())
    key = load_pem_private_key((world.root / "ca" / f"{authority}.key").read_bytes(), None)
    assert isinstance(key, RSAPrivateKey)
    subject_key = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.subject)
        .last_update(NOW - timedelta(hours=1))
        .next_update(NOW + DAY)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(subject_key), critical=False)
        .add_extension(x509.CRLNumber(1), critical=False)
        .sign(key, hashes.SHA256())
        .public_bytes(Encoding.DER)
    )


@pytest.fixture(scope="module")
def doctor(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What an operator has of the sandbox's doctor: two certificates, the authorities' and their lists."""
    folder = tmp_path_factory.mktemp("doctor")
    card = cardfile.load(world.card("isha"))
    assert card.sign is not None
    assert card.sign.certificate is not None
    assert card.auth.certificate is not None
    files = {
        "sign.der": card.sign.certificate,
        "auth.der": card.auth.certificate,
        "root.pem": world.healthcare_anchors.read_bytes(),
        "jpki.pem": world.anchors.read_bytes(),
        **{
            f"{purpose}-ca.der": (world.root / "ca" / f"hpki{purpose}.cer").read_bytes() for purpose in ("sign", "auth")
        },
        **{f"{name}.crl": crl(world, f"hpki{name}") for name in ("root", "sign", "auth")},
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def run(folder: Path, *words: str, at: str = NOW.isoformat()) -> Result:
    known = {path.name for path in folder.iterdir()}
    given = [str(folder / word) if word in known else word for word in words]
    return CliRunner().invoke(main, ["certificate", "explain", *given, "--at", at])


def hpki(purpose: str, *more: str) -> tuple[str, ...]:
    lists = ("--crl", "root.crl", "--crl", f"{purpose}.crl")
    return (f"{purpose}.der", "--anchors", "root.pem", "--intermediates", f"{purpose}-ca.der", *lists, *more)


@pytest.mark.parametrize(("purpose", "profile"), [("sign", "hpki"), ("auth", "hpki-authentication")])
def test_the_doctor_is_believed_and_the_licence_printed(doctor: Path, purpose: str, profile: str) -> None:
    for language, word in (("ja", "合格"), ("en", "pass")):
        done = run(doctor, *hpki(purpose, "--profile", profile, "--lang", language))
        assert done.exit_code == 0, done.output
        *rows, role, _ = done.output.splitlines()
        assert len(rows) == len(ROWS) + 1, "the leaf's and its authority's revocation are a row each"
        assert all(re.fullmatch(rf"{word}\t\S.*\t\[.+\]", row) for row in rows)
        assert role == "hcRole\tMedical Doctor"


@pytest.mark.parametrize(
    ("words", "failed"),
    [
        (hpki("sign", "--profile", "hpki-authentication"), "key-usage"),
        (hpki("auth", "--profile", "hpki"), "key-usage"),
        (("sign.der", "--anchors", "jpki.pem", "--profile", "hpki"), "foreign-path"),
        ((*hpki("sign")[:-2], "--profile", "hpki"), "foreign-path"),
        (hpki("sign", "--profile", "hpki", "--max-age", "60"), "unrevoked (authority)"),
    ],
)
def test_the_rule_that_refuses_is_named_to_programs_too(doctor: Path, words: tuple[str, ...], failed: str) -> None:
    done = run(doctor, *words, "--json")
    told = json.loads(done.output)
    assert (done.exit_code, told["accepted"]) == (1, False)
    assert next(each["rule"] for each in told["findings"] if each["outcome"] == "failed") == failed
    assert told["roles"] == ["Medical Doctor"]


def test_an_hpki_certificate_that_ended_says_so(doctor: Path) -> None:
    done = run(doctor, *hpki("sign", "--profile", "hpki", "--json"), at=(NOW + 2500 * DAY).isoformat())
    told = json.loads(done.output)
    assert "dates" in {each["rule"] for each in told["findings"] if each["outcome"] == "failed"}


def decide(world: World, doctor: Path, *anchors: Path, profile: ForeignProfile = HPKI_SIGNATURE) -> None:
    roots = [each for path in anchors for each in x509.load_pem_x509_certificates(path.read_bytes())]
    validate_foreign_path(
        (doctor / "sign.der").read_bytes(),
        anchors=[root.public_bytes(Encoding.DER) for root in roots],
        intermediates=[(doctor / "sign-ca.der").read_bytes()],
        crls=[(doctor / f"{name}.crl").read_bytes() for name in ("root", "sign")],
        at=NOW,
        max_age=DAY,
        profile=profile,
    )


def test_a_test_policy_counts_under_a_test_root_alone(world: World, doctor: Path) -> None:
    decide(world, doctor, world.healthcare_anchors)
    with pytest.raises(CertificateUntrusted, match="never mix"):
        decide(world, doctor, world.healthcare_anchors, world.anchors)
    production = replace(HPKI_SIGNATURE, test_policies=frozenset())
    with pytest.raises(CertificateUntrusted, match="no path"):
        decide(world, doctor, world.healthcare_anchors, profile=production)
    assert HPKI_SIGNATURE.test_policies.isdisjoint(HPKI_SIGNATURE.policies)


def test_a_company_is_explained_and_needs_no_role(tmp_path: Path) -> None:
    root = CA("Registrar")
    leaf = root.leaf(policy="1.2.3.4", signs=False)
    for name, data in {
        "leaf.der": leaf.public_bytes(Encoding.DER),
        "root.der": root.der,
        "good.crl": root.crl(),
        "revoked.crl": root.crl([leaf.serial_number]),
        "doctor.der": root.leaf(directory=hc_role("Medical Doctor")).public_bytes(Encoding.DER),
    }.items():
        (tmp_path / name).write_bytes(data)
    words = ("--anchors", "root.der", "--profile", "commercial-registration", "--max-age", "172800", "--lang", "en")
    accepted = run(tmp_path, "leaf.der", "--crl", "good.crl", *words)
    assert (accepted.exit_code, "hcRole" in accepted.output) == (0, False), accepted.output
    assert run(tmp_path, "leaf.der", "--crl", "revoked.crl", *words).exit_code == 1
    assert run(tmp_path, "doctor.der", "--crl", "good.crl", *words).exit_code == 1
    validate_foreign_path(
        leaf.public_bytes(Encoding.DER),
        anchors=[root.der],
        crls=[root.crl()],
        at=NOW,
        max_age=2 * DAY,
        profile=COMMERCIAL_REGISTRATION,
    )


def test_hostile_bytes_leave_the_rest_unjudged(doctor: Path) -> None:
    (doctor / "broken.der").write_bytes(b"\x30\x03\x02\x01\x01")
    told = json.loads(run(doctor, "broken.der", "--anchors", "root.pem", "--profile", "hpki", "--json").output)
    assert [each["outcome"] for each in told["findings"]] == ["failed"] + ["not judged"] * (len(ROWS) - 1)


def test_anchors_come_from_the_setting_where_none_are_given(doctor: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "ISSUER": "https://login.example",
        "DATABASE_URL": "sqlite:///broker.db",
        "KEY_DIRECTORY": "keys",
        "KEY_PASSPHRASE": "open sesame",
        "ANCHORS": "anchors.pem",
        "CRL_SOURCES": "crl-sources.json",
    }.items():
        monkeypatch.setenv(f"BROKER_{name}", value)
    words = [word for word in hpki("sign", "--profile", "hpki") if word not in {"--anchors", "root.pem"}]
    refused = run(doctor, *words)
    assert (refused.exit_code, "hpki_anchors" in refused.stderr) == (3, True)
    monkeypatch.setenv("BROKER_HPKI_ANCHORS", str(doctor / "root.pem"))
    assert run(doctor, *words).exit_code == 0


def test_every_rule_has_its_words_and_no_serial_or_name_is_printed(doctor: Path) -> None:
    for rule, _ in ROWS:
        assert title(rule).keys() == {"ja", "en"}
    leaf = x509.load_der_x509_certificate((doctor / "sign.der").read_bytes())
    output = run(doctor, *hpki("sign", "--profile", "hpki", "--json")).output
    assert f"{leaf.serial_number:x}" not in output.lower()
    assert "Mihon" not in output
