"""How clients prove who they are at the token endpoint: cases 38 to 46 of the official suite, and our own."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from werkzeug.test import TestResponse

from broker.jose import public_jwk
from broker.oidc.client import AuthMethod, SecurityProfile
from tests.broker.web.house import ISSUER, House
from tests.broker.web.program import HEADER, Program, register

SECRET = "s3cret " + "x" * 40


def refused(answer: TestResponse, status: int, error: str) -> None:
    body = answer.get_json()
    assert (answer.status_code, body["error"]) == (status, error), body
    assert answer.headers["Cache-Control"] == "no-store"
    assert not set(body["error_description"]) & set("\r\n\t")


@pytest.fixture
def strict(house: House) -> Program:
    return register(house, "strict", profile=SecurityProfile.FAPI2, dpop_bound_tokens=True)


def token(program: Program, code: str, **form: Any) -> TestResponse:
    return program.token(code, dpop=program.proof() if program.client.dpop_bound_tokens else None, **form)


@pytest.mark.parametrize(
    ("name", "audience"),
    [
        ("array", [ISSUER]),
        ("two", [ISSUER, "https://x.example"]),
        ("token", f"{ISSUER}/token"),
        ("par", f"{ISSUER}/par"),
    ],
)
def test_n38_a_fapi2_assertion_names_the_issuer_alone_as_a_string(strict: Program, name: str, audience: Any) -> None:
    code = strict.grant()
    refused(token(strict, code, client_assertion=strict.assertion(aud=audience)), 401, "invalid_client")
    assert token(strict, code).status_code == 200, name


@pytest.mark.parametrize("ahead", [8, 120])
def test_n39_nbf_may_lie_a_little_ahead_and_not_a_minute(strict: Program, ahead: int) -> None:
    then = int(strict.house.clock().timestamp()) + ahead
    answer = token(strict, strict.grant(), client_assertion=strict.assertion(nbf=then, iat=then))
    if ahead < 10:
        assert answer.status_code == 200
    else:
        refused(answer, 401, "invalid_client")


def test_n40_an_assertion_that_expired_five_minutes_ago_is_refused(strict: Program) -> None:
    now = int(strict.house.clock().timestamp())
    answer = token(strict, strict.grant(), client_assertion=strict.assertion(iat=now - 600, exp=now - 300))
    refused(answer, 401, "invalid_client")


def test_n41_an_assertion_for_somebody_else_is_refused(strict: Program) -> None:
    answer = token(strict, strict.grant(), client_assertion=strict.assertion(aud="https://other.example"))
    refused(answer, 401, "invalid_client")


def test_n42_an_assertion_without_sub_is_refused(strict: Program) -> None:
    refused(token(strict, strict.grant(), client_assertion=strict.assertion(sub=None)), 401, "invalid_client")


@pytest.mark.parametrize("profile", list(SecurityProfile))
def test_n43_rs256_signs_no_assertion_of_a_fapi2_client(house: House, profile: SecurityProfile) -> None:
    key = rsa.generate_private_key(65537, 2048)
    program = register(
        house, "rsa", profile=profile, jwks={"keys": [public_jwk(key)]}, dpop_bound_tokens=profile == "fapi2"
    )
    code = program.grant()
    answer = token(program, code, client_assertion=program.assertion(key=key, alg="RS256"))
    if profile is SecurityProfile.OIDC:
        assert answer.status_code == 200
        return
    refused(answer, 401, "invalid_client")
    strong = program.assertion(key=key, alg="PS256")
    assert token(program, code, client_assertion=strong).status_code == 200


def test_n44_a_client_id_without_its_assertion_is_no_authentication(strict: Program) -> None:
    answer = token(strict, strict.grant(), authenticated=False, client_id="strict")
    refused(answer, 401, "invalid_client")


def test_n45_another_client_id_beside_the_assertion_is_refused(strict: Program) -> None:
    refused(token(strict, strict.grant(), client_id="bank"), 401, "invalid_client")


def test_n46_a_code_is_redeemed_by_its_own_client_alone(strict: Program) -> None:
    other = register(strict.house, "other", profile=SecurityProfile.FAPI2, dpop_bound_tokens=True)
    refused(token(other, strict.grant()), 400, "invalid_grant")


def test_an_assertion_signed_with_ed25519_holds_under_both_of_its_names(house: House) -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    for number, registered in enumerate((None, "EdDSA", "Ed25519")):
        jwk = public_jwk(key) | ({} if registered is None else {"alg": registered})
        program = register(house, f"ed-{number}", jwks={"keys": [jwk]})
        plain = program.assertion(key=key, alg="EdDSA")
        assert token(program, program.grant(), client_assertion=plain).status_code == 200
        header = base64.urlsafe_b64encode(b'{"alg":"Ed25519"}').rstrip(b"=")
        signed = header + b"." + program.assertion().split(".")[1].encode()
        renamed = signed + b"." + base64.urlsafe_b64encode(key.sign(signed)).rstrip(b"=")
        assert token(program, program.grant(), client_assertion=renamed.decode()).status_code == 200


def test_a_registered_algorithm_is_the_only_one(house: House) -> None:
    program = register(house, "one-alg", auth_signing_alg="PS256")
    refused(token(program, program.grant()), 401, "invalid_client")


# --- secrets ---------------------------------------------------------------------------------------------------------


def basic(client_id: str, secret: str) -> list[tuple[str, str]]:
    credentials = f"{quote(client_id, safe='')}:{quote(secret, safe='')}".encode()
    return [("Authorization", f"Basic {base64.b64encode(credentials).decode()}")]


def with_secret(house: House, method: AuthMethod) -> Program:
    return register(house, "web", auth_method=method, secret_digest=hashlib.sha256(SECRET.encode()).digest())


def test_a_secret_in_the_header_opens_where_it_is_registered_so(house: House) -> None:
    program = with_secret(house, AuthMethod.CLIENT_SECRET_BASIC)
    code = program.grant()
    posted: dict[str, Any] = {"authenticated": False, "client_id": "web", "client_secret": SECRET}
    refused(program.token(code, **posted), 401, "invalid_client")
    for wrong in (
        basic("web", SECRET + "x"),
        basic("nobody", SECRET),
        basic("bank", SECRET),
        [("Authorization", "Basic !")],
    ):
        answer = program.token(code, headers=wrong, authenticated=False)
        refused(answer, 401, "invalid_client")
        assert answer.headers["WWW-Authenticate"].startswith("Basic ")
    assert program.token(code, headers=basic("web", SECRET), authenticated=False).status_code == 200


def test_a_secret_in_the_form_opens_where_it_is_registered_so(house: House) -> None:
    program = with_secret(house, AuthMethod.CLIENT_SECRET_POST)
    code = program.grant()
    posted: dict[str, Any] = {"authenticated": False, "client_id": "web", "client_secret": SECRET}
    refused(program.token(code, headers=basic("web", SECRET), authenticated=False), 401, "invalid_client")
    refused(program.token(code, **posted | {"client_secret": "wrong"}), 401, "invalid_client")
    refused(program.token(code, headers=basic("web", SECRET), **posted), 401, "invalid_client")
    refused(program.token(code), 401, "invalid_client")
    assert program.token(code, **posted).status_code == 200


def test_a_public_native_client_says_who_it_is_and_no_other_may(house: House) -> None:
    program = register(house, "app", auth_method=AuthMethod.NONE, application_type="native")
    register(house, "key-client")
    code = program.grant()
    refused(program.token(code, authenticated=False), 401, "invalid_client")
    refused(program.token(code, authenticated=False, client_id="key-client"), 401, "invalid_client")
    refused(program.token(code, authenticated=False, client_id="app", client_secret="x"), 401, "invalid_client")
    assert program.token(code, authenticated=False, client_id="app").status_code == 200


# --- certificates ----------------------------------------------------------------------------------------------------


def certificate(key: Any, *, issuer_key: Any = None, subject: str = "rp.example", issuer: str | None = None) -> bytes:
    """A client certificate by `issuer_key`, or by its own."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])
    by = name if issuer is None else x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(by).public_key(key.public_key())
    builder = (
        builder.serial_number(7).not_valid_before(now - timedelta(days=4)).not_valid_after(now + timedelta(days=4))
    )
    if subject == "Client CA":
        usage = dict.fromkeys(
            ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
             "crl_sign", "encipher_only", "decipher_only"), False,
        )  # fmt: skip
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        builder = builder.add_extension(x509.KeyUsage(key_cert_sign=True, **usage), critical=True)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    else:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(subject)]), critical=False)
    return builder.sign(issuer_key or key, hashes.SHA256()).public_bytes(Encoding.DER)


def handed(der: bytes) -> list[tuple[str, str]]:
    pem = x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM).decode()
    return [(HEADER, quote(pem, safe=""))]


def test_a_certificate_of_the_operators_authority_with_the_registered_name_authenticates(
    make_house: Callable[..., House],
) -> None:
    authority, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    anchors = (certificate(authority, subject="Client CA"),)
    house = make_house(client_certificate_header=HEADER, policy={"client_anchors": anchors})
    program = register(
        house,
        "tls",
        profile=SecurityProfile.FAPI2,
        auth_method=AuthMethod.TLS_CLIENT_AUTH,
        tls_subject=("tls_client_auth_san_dns", "rp.example"),
        certificate_bound_tokens=True,
    )
    good = certificate(key, issuer_key=authority, issuer="Client CA")
    named = certificate(key, issuer_key=authority, issuer="Client CA", subject="evil.example")
    code = program.grant()
    form: dict[str, Any] = {"authenticated": False, "client_id": "tls"}
    refused(program.token(code, **form), 401, "invalid_client")
    for wrong in (certificate(key), named):
        refused(program.token(code, headers=handed(wrong), **form), 401, "invalid_client")
    refused(program.token(code, headers=[(HEADER, "garbage")], **form), 401, "invalid_client")
    answer = program.token(code, headers=handed(good), **form)
    assert answer.status_code == 200
    assert answer.get_json()["token_type"] == "Bearer"


def test_a_self_signed_certificate_authenticates_by_its_registered_key(make_house: Callable[..., House]) -> None:
    house = make_house(client_certificate_header=HEADER)
    key, other = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    program = register(
        house,
        "self-signed",
        profile=SecurityProfile.FAPI2,
        auth_method=AuthMethod.SELF_SIGNED_TLS_CLIENT_AUTH,
        jwks={"keys": [public_jwk(key)]},
        certificate_bound_tokens=True,
    )
    code = program.grant()
    form: dict[str, Any] = {"authenticated": False, "client_id": "self-signed"}
    refused(program.token(code, headers=handed(certificate(other)), **form), 401, "invalid_client")
    asserted = program.assertion(key=key)  # by a registered key, and still not the registered way
    refused(program.token(code, client_assertion=asserted), 401, "invalid_client")
    assert program.token(code, headers=handed(certificate(key)), **form).status_code == 200


def test_without_a_tls_front_the_header_means_nothing(house: House) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    program = register(
        house, "spoof", auth_method=AuthMethod.SELF_SIGNED_TLS_CLIENT_AUTH, jwks={"keys": [public_jwk(key)]}
    )
    answer = program.token(program.grant(), headers=handed(certificate(key)), authenticated=False, client_id="spoof")
    refused(answer, 401, "invalid_client")


def test_a_certificate_is_no_authentication_for_who_is_registered_otherwise(make_house: Callable[..., House]) -> None:
    house = make_house(client_certificate_header=HEADER)
    key = ec.generate_private_key(ec.SECP256R1())
    program = register(house, "keyed", jwks={"keys": [public_jwk(key)]})
    answer = program.token(program.grant(), headers=handed(certificate(key)), authenticated=False, client_id="keyed")
    refused(answer, 401, "invalid_client")
