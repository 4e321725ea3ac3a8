"""`broker certificate explain` and `broker ocsp check`, as an operator types them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from broker.__main__ import main
from broker.commands.certificate import title
from broker.errors import CertificateExpired, CertificateMalformed, CertificateUntrusted
from broker.jpki.path import validate_path
from broker.jpki.profile import DIGITAL_SIGNATURE, GENERIC, USER_AUTHENTICATION, Profile
from tests.broker.jpki.jpki_authority import (
    DAY,
    NOW,
    SIGN_TEST,
    Authority,
    ca_name,
    extension,
    key_usage,
    policies,
    reason,
    rsa_key,
    tlv,
)

CA = Authority()
STRANGER = Authority(name=ca_name("Example"))
OLDER = Authority(key=rsa_key("older ca"), serial=2)
SERIAL = 0x0133C349
NONCE = bytes(range(16))
LEAVES = {
    "hanako": CA.leaf(),
    "expired": CA.leaf(not_after=NOW - DAY),
    "of another CA": STRANGER.leaf(),
    "for signing": CA.leaf(policy=policies(SIGN_TEST), usage=key_usage("digital_signature", "content_commitment")),
    "short key": CA.leaf(key=rsa_key("short", 1024)),
    "no bytes": b"",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files = {
        "ca.pem": CA.certificate.public_bytes(Encoding.PEM) + OLDER.certificate.public_bytes(Encoding.PEM),
        "ca.der": CA.der,
        "leaf.der": LEAVES["hanako"],
        "leaf.pem": x509.load_der_x509_certificate(LEAVES["hanako"]).public_bytes(Encoding.PEM),
        "good.crl": CA.crl((5, b"")),
        "revoked.crl": CA.crl((SERIAL, reason(1))),
        "good.ocsp": CA.ocsp(CA.single(SERIAL), extensions=(extension("1.3.6.1.5.5.7.48.1.2", tlv(0x04, NONCE)),)),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    return tmp_path


def run(folder: Path, *words: str) -> Result:
    known = {path.name for path in folder.iterdir()}
    return CliRunner().invoke(main, [str(folder / word) if word in known else word for word in words])


AT = ("--at", "2026-11-20T21:00:00+09:00")
EXPLAIN = ("certificate", "explain")


def test_every_rule_is_named_with_its_outcome_and_source_in_both_languages(folder: Path) -> None:
    for language, word in (("ja", "合格"), ("en", "pass")):
        done = run(folder, *EXPLAIN, "leaf.pem", "--anchors", "ca.pem", "--crl", "good.crl", "--lang", language, *AT)
        assert done.exit_code == 0, done.output
        *rows, verdict = done.output.splitlines()
        assert len(rows) == 3 + len(USER_AUTHENTICATION.rules) + 1
        assert all(re.fullmatch(rf"{word}\t\S.*\t\[.+\]", row) for row in rows)
        assert verdict


def test_document_says_the_same_to_programs(folder: Path) -> None:
    done = run(folder, *EXPLAIN, "leaf.der", "--anchors", "ca.pem", "--crl", "revoked.crl", "--json", *AT)
    told = json.loads(done.output)
    assert (done.exit_code, told["accepted"]) == (1, False)
    assert told["findings"][-1]["why"] == "revoked: keyCompromise"
    assert {finding["outcome"] for finding in told["findings"][:-1]} == {"passed"}


def test_nothing_is_accepted_without_a_proof_that_it_is_unrevoked(folder: Path) -> None:
    done = run(folder, *EXPLAIN, "leaf.der", "--anchors", "ca.pem", "--lang", "en", *AT)
    assert done.exit_code == 1
    assert "not judged\tunrevoked" in done.output


@pytest.mark.parametrize("name", LEAVES)
@pytest.mark.parametrize("chosen", [USER_AUTHENTICATION, DIGITAL_SIGNATURE, GENERIC], ids=lambda each: each.name)
def test_explanation_and_decision_never_differ(folder: Path, name: str, chosen: Profile) -> None:
    (folder / "other.der").write_bytes(LEAVES[name])
    words = ("other.der", "--anchors", "ca.pem", "--profile", chosen.name, "--crl", "good.crl", "--json", *AT)
    told = json.loads(run(folder, *EXPLAIN, *words).output)
    failed = [
        each["rule"] for each in told["findings"] if each["outcome"] == "failed" and "unrevoked" not in each["rule"]
    ]
    assert failed[:1] == decided(LEAVES[name], chosen)


def decided(leaf: bytes, profile: Profile) -> list[str]:
    """The rule that the decision itself fails at."""
    try:
        validate_path(leaf, anchors=[CA.der, OLDER.der], at=NOW, profile=profile)
    except CertificateExpired:
        return ["dates"]
    except CertificateMalformed:
        return ["form"]
    except CertificateUntrusted as error:
        return ["path" if "no path" in str(error) else str(error).partition(":")[0]]
    return []


def test_every_rule_has_its_words() -> None:
    for profile in (USER_AUTHENTICATION, DIGITAL_SIGNATURE, GENERIC):
        for rule in profile.rules:
            assert title(rule.name).keys() == {"ja", "en"}


def test_no_subject_or_serial_is_printed(folder: Path) -> None:
    for more in ((), ("--json",)):
        output = run(folder, *EXPLAIN, "leaf.der", "--anchors", "ca.pem", *more, *AT).output
        assert not re.search(r"0000000000000013101001A|133C349|20169545", output, re.IGNORECASE)


def test_time_without_a_zone_and_a_file_of_nothing_are_wrong_usage(folder: Path) -> None:
    assert run(folder, *EXPLAIN, "leaf.der", "--anchors", "ca.pem", "--at", "2026-11-20T12:00:00").exit_code == 2
    assert run(folder, *EXPLAIN, "missing.der", "--anchors", "ca.pem").exit_code == 2
    (folder / "broken.pem").write_text("-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n")
    assert run(folder, *EXPLAIN, "broken.pem", "--anchors", "ca.pem").exit_code == 1
    assert run(folder, *EXPLAIN, "leaf.der", "--anchors", "broken.pem").exit_code == 1


CHECK = ("ocsp", "check", "good.ocsp", "--certificate", "leaf.pem", "--issuer", "ca.der")


def test_answer_is_judged_with_its_nonce(folder: Path) -> None:
    done = run(folder, *CHECK, "--nonce", NONCE.hex(), *AT)
    assert (done.exit_code, done.output.splitlines()[0]) == (0, "good")
    refused = run(folder, *CHECK, "--nonce", "00" * 16, "--json", *AT)
    assert (refused.exit_code, json.loads(refused.output)["status"]) == (1, "unknown")
    assert run(folder, *CHECK, "--nonce", "xyz", *AT).exit_code == 2


def test_old_answer_is_refused(folder: Path) -> None:
    done = run(folder, *CHECK, "--max-age", "60", *AT)
    assert done.exit_code == 1
    assert "older than accepted" in done.output
