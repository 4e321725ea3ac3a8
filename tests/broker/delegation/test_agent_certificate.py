"""電子証明書方式: what an agent's certificate states is shown, and is never called valid."""

from __future__ import annotations

import json
import random
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from broker.__main__ import main
from broker.delegation.acts import Act
from broker.delegation.bundle import submitted
from broker.delegation.examination import Examination, Trust, examine
from broker.delegation.report import Check, Result, claims, lines
from broker.delegation.verdict import Outcome, Question, Reason
from tests.broker.delegation.workshop import AT, Authority

YEAR = timedelta(days=365)
POWER = "入札・契約の締結（5000万円まで）"


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.root("Agents CA")


def issued(authority: Authority) -> x509.Certificate:
    """An agent's, as authorities write a power into it: names of a directory."""
    stated = x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "JP"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "株式会社見本"),
            x509.NameAttribute(NameOID.TITLE, POWER),
        ]
    )
    key = ec.generate_private_key(ec.SECP256R1())
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Hanako Yamada")]))
        .issuer_name(authority.certificate.subject)
        .public_key(key.public_key())
        .serial_number(77)
        .not_valid_before(AT - YEAR)
        .not_valid_after(AT + YEAR)
        .add_extension(x509.SubjectAlternativeName([x509.DirectoryName(stated)]), critical=False)
        .add_extension(
            x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.392.200063.1.1"), b"\x05\x00"), critical=False
        )
        .sign(authority.key, hashes.SHA256())
    )


@pytest.fixture(scope="module")
def certificate(authority: Authority) -> x509.Certificate:
    return issued(authority)


def told(data: bytes, question: Question | None = None, *anchors: bytes) -> Examination:
    return examine(submitted(data), question or Question(as_of=AT), trust=Trust(principals=anchors), now=AT)


@pytest.mark.parametrize("encoding", [Encoding.DER, Encoding.PEM])
def test_what_it_states_is_shown_and_nothing_of_it_called_valid(
    authority: Authority, certificate: x509.Certificate, encoding: Encoding
) -> None:
    found = told(certificate.public_bytes(encoding), None, authority.der)
    assert (found.verdict.outcome, found.verdict.reasons) == (Outcome.CANNOT_TELL, (Reason.CERTIFICATE_METHOD,))
    assert found.verdict.exit_status == 14
    report = claims(found, number="r", issuer="https://broker.example", software="x")
    (shown,) = [each["certificate"] for each in report["chain"]]
    assert shown["stated"] == [
        {"name": "C", "value": "JP"},
        {"name": "O", "value": "株式会社見本"},
        {"name": "2.5.4.12", "value": POWER},
    ]
    assert shown["extensions_not_read"] == ["1.2.392.200063.1.1"]
    results = {line.check: line.result for line in lines(found)}
    assert results == {Check.DOCUMENT: Result.PASSED, Check.STATUS: Result.UNKNOWN, Check.TERM: Result.PASSED}


def test_an_act_that_is_asked_about_does_not_make_it_better_and_a_day_outside_worse(
    certificate: x509.Certificate,
) -> None:
    data = certificate.public_bytes(Encoding.DER)
    assert told(data, Question(as_of=AT, act=Act.BID)).verdict.outcome is Outcome.CANNOT_TELL
    assert Reason.ENDED in told(data, Question(as_of=AT + 2 * YEAR)).verdict.reasons
    assert Reason.NOT_YET in told(data, Question(as_of=AT - 2 * YEAR)).verdict.reasons


def test_another_authoritys_name_on_it_does_not_hold(certificate: x509.Certificate) -> None:
    found = told(certificate.public_bytes(Encoding.DER), None, Authority.root("Agents CA").der)
    (line,) = [each for each in lines(found) if each.check is Check.DOCUMENT]
    assert line.result is Result.FAILED


def test_of_an_authority_that_nobody_named_nothing_is_said(certificate: x509.Certificate) -> None:
    found = told(certificate.public_bytes(Encoding.DER), None, Authority.root("Other CA").der)
    (line,) = [each for each in lines(found) if each.check is Check.DOCUMENT]
    assert line.result is Result.UNKNOWN


def test_hostile_bytes_end_in_cannot_tell(certificate: x509.Certificate) -> None:
    whole, dice = certificate.public_bytes(Encoding.DER), random.Random(8)
    for _ in range(300):
        data = bytearray(whole)
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
        assert told(bytes(data)).verdict.outcome is Outcome.CANNOT_TELL
    for data in (whole[:-1], whole + b"\0", b"\x30\x82", b"-----BEGIN CERTIFICATE-----" + b"A" * 100_000):
        assert told(bytes(data)).verdict.outcome is Outcome.CANNOT_TELL


def test_the_command_shows_it_in_both_languages(
    tmp_path: Path, authority: Authority, certificate: x509.Certificate
) -> None:
    (tmp_path / "agent.cer").write_bytes(certificate.public_bytes(Encoding.DER))
    (tmp_path / "ca.pem").write_bytes(authority.certificate.public_bytes(Encoding.PEM))
    trusted = ["--anchors", str(tmp_path / "ca.pem"), "--principal-anchors", str(tmp_path / "ca.pem")]
    for language, words in (("ja", "電子証明書方式の委任です"), ("en", "stands in its agent's certificate")):
        arguments = ["delegation", "verify", str(tmp_path / "agent.cer"), *trusted, "--lang", language]
        done = CliRunner().invoke(main, arguments)
        assert done.exit_code == 14, done.output
        assert words in done.output
        assert POWER in done.output
    arguments = ["delegation", "verify", str(tmp_path / "agent.cer"), *trusted, "--json"]
    assert json.loads(CliRunner().invoke(main, arguments).output)["verdict"] == "cannot_tell"
