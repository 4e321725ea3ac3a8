"""Client certificates: the one RFC 8705 prints, and what a private CA, a self-signed key or a stranger sends."""

from __future__ import annotations

import base64
import functools
import ipaddress
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier
from hypothesis import given, settings
from hypothesis import strategies as st

from broker import jose
from broker.errors import InvalidClient, InvalidRequest
from broker.oidc import mtls
from broker.oidc.mtls import SAN_DNS, SAN_EMAIL, SAN_IP, SAN_URI, SUBJECT_DN

PRINTED = json.loads((Path(__file__).parents[2] / "vectors" / "rfc8705" / "appendix-a.json").read_text())
PRINTED_DER = base64.b64decode(PRINTED["jwk"]["x5c"][0])
PRINTED_TIME = datetime(2020, 1, 1, tzinfo=UTC)
NOW = datetime(2026, 11, 20, 3, 0, tzinfo=UTC)
DAY = timedelta(days=1)
SUBJECT = ((NameOID.COUNTRY_NAME, "JP"), (NameOID.ORGANIZATION_NAME, "Bank, Ltd."), (NameOID.COMMON_NAME, "api"))
SUBJECT_TEXT = r"CN=api,O=Bank\, Ltd.,C=JP"
NAMES: tuple[x509.GeneralName, ...] = (
    x509.DNSName("api.bank.example"),
    x509.DNSName("*.wild.example"),
    x509.UniformResourceIdentifier("spiffe://bank.example/api"),
    x509.IPAddress(ipaddress.ip_address("192.0.2.7")),
    x509.IPAddress(ipaddress.ip_address("2001:db8::7")),
    x509.RFC822Name("api@bank.example"),
)
Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey | dsa.DSAPrivateKey


@functools.cache
def key(name: str) -> ec.EllipticCurvePrivateKey:
    assert name
    return ec.generate_private_key(ec.SECP256R1())


@functools.cache
def rsa_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


@functools.cache
def edwards() -> ed25519.Ed25519PrivateKey:
    return ed25519.Ed25519PrivateKey.generate()


@functools.cache
def dsa_key() -> dsa.DSAPrivateKey:
    return dsa.generate_private_key(2048)


def name(parts: Sequence[tuple[ObjectIdentifier, str]]) -> x509.Name:
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in parts])


CA_NAME = name([(NameOID.COMMON_NAME, "Client CA")])


def certificate(
    *,
    subject: x509.Name | None = None,
    names: Sequence[x509.GeneralName] = NAMES,
    signer: str = "ca",
    issuer: x509.Name = CA_NAME,
    holder: Key | None = None,
    begins: datetime = NOW - DAY,
    ends: datetime = NOW + DAY,
    extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
    hash_: hashes.HashAlgorithm | None = None,
) -> bytes:
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(SUBJECT) if subject is None else subject)
        .issuer_name(issuer)
        .public_key((holder or key("client")).public_key())
        .serial_number(7)
        .not_valid_before(begins)
        .not_valid_after(ends)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=subject == x509.Name([]))
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return builder.sign(key(signer), hash_ or hashes.SHA256()).public_bytes(Encoding.DER)


def authority(
    signer: str = "ca", constraints: x509.NameConstraints | None = None, *, critical: bool = True, **changes: Any
) -> bytes:
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    extensions: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(ca=True, path_length=None), True),
        (usage, True),
        (x509.SubjectKeyIdentifier.from_public_key(key("ca").public_key()), False),
    ]
    if constraints is not None:
        extensions.append((constraints, critical))
    settings = {"subject": CA_NAME, "names": (), "signer": signer, "holder": key("ca"), "extensions": extensions}
    return certificate(**settings | changes)


def pem(der: bytes) -> str:
    return x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM).decode()


def jwks(*members: dict[str, Any]) -> dict[str, Any]:
    return {"keys": list(members)}


# --- known answers ---------------------------------------------------------------------------------------------------


def test_the_thumbprint_is_the_one_printed_in_rfc8705_appendix_a() -> None:
    der = mtls.from_escaped_pem(quote(PRINTED["pem"], safe=""))
    assert der == PRINTED_DER
    assert mtls.thumbprint(der) == PRINTED["x5t#S256"]
    assert mtls.is_bound_to(der, PRINTED["x5t#S256"])


def test_the_jwk_printed_in_rfc8705_appendix_a_registers_its_certificate() -> None:
    assert mtls.key_is_registered(PRINTED_DER, jwks(PRINTED["jwk"]), PRINTED_TIME)
    without_chain = {name: value for name, value in PRINTED["jwk"].items() if name != "x5c"}
    assert mtls.key_is_registered(PRINTED_DER, jwks(without_chain), PRINTED_TIME)
    assert not mtls.key_is_registered(PRINTED_DER, jwks(PRINTED["jwk"]), NOW)  # it ended in 2022


def test_a_token_is_bound_to_one_certificate() -> None:
    one, other = certificate(), certificate(ends=NOW + 2 * DAY)
    assert mtls.is_bound_to(one, mtls.thumbprint(one))
    assert not mtls.is_bound_to(other, mtls.thumbprint(one))
    assert not mtls.is_bound_to(None, mtls.thumbprint(one))
    for expected in ("", "é", mtls.thumbprint(one) + "="):
        assert not mtls.is_bound_to(one, expected)


# --- the proxy's header ----------------------------------------------------------------------------------------------


def test_the_proxy_s_header_is_read_however_much_of_it_is_escaped() -> None:
    der = certificate()
    for text in (
        quote(pem(der), safe=""),
        quote(pem(der)),
        quote(pem(der), safe="+/= "),
        quote(pem(der).strip()),
        "".join(f"%{byte:02x}" for byte in pem(der).encode()),
        quote(pem(der).replace("\n", "\r\n")),
    ):
        assert mtls.from_escaped_pem(text) == der
    for nothing in (None, ""):
        assert mtls.from_escaped_pem(nothing) is None


def headers() -> dict[str, str]:
    text = pem(certificate())
    body = text.removeprefix("-----BEGIN CERTIFICATE-----\n").removesuffix("-----END CERTIFICATE-----\n")
    return {
        "no PEM": "x",
        "spaces": " ",
        "two certificates": quote(text * 2),
        "a key": quote(text.replace("CERTIFICATE", "PRIVATE KEY")),
        "a key beside": quote(text + text.replace("CERTIFICATE", "PRIVATE KEY")),
        "text before": quote("Subject: x\n" + text),
        "text after": quote(text + "x"),
        "no end": quote(text.replace("-----END", "")),
        "empty": quote(text.replace(body, "")),
        "not base64": quote(text.replace(body, "!!!\n")),
        "no padding": quote(text.replace(body, "AAAAA\n")),
        "padding inside": quote(text.replace(body, "AA==AAAA\n")),
        "bits set that are not read": quote(text.replace(body, "AAB=\n")),
        "no certificate": quote(text.replace(body, "AAAA\n")),
        "bytes after": quote(text.replace(body, base64.b64encode(certificate() + b"\0").decode() + "\n")),
        "cut short": quote(text.replace(body, base64.b64encode(certificate()[:-1]).decode() + "\n")),
        "percent alone": quote(text) + "%",
        "percent and half": quote(text) + "%A",
        "percent and letters": quote(text) + "%zz",
        "not ASCII": quote(text) + "é",
        "zero byte": quote(text) + "%00",
        "too long": quote(text) + " " * 24 * 1024,
        "quotes": '"' + quote(text) + '"',
    }


@pytest.mark.parametrize("kind", headers())
def test_any_other_header_is_refused(kind: str) -> None:
    with pytest.raises(InvalidClient):
        mtls.from_escaped_pem(headers()[kind])


def test_bits_that_base64_does_not_read_must_be_zero() -> None:
    comments = (x509.UnrecognizedExtension(ObjectIdentifier("1.2.3.4"), bytes(size)) for size in range(99))
    der = next(der for comment in comments if len(der := certificate(extensions=[(comment, False)])) % 3 == 2)
    text = base64.b64encode(der).decode()
    spelled = f"{text[:-2]}{chr(ord(text[-2]) + 1)}="
    assert text.endswith("=")
    assert base64.b64decode(spelled) == der
    armour = "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n"
    assert mtls.from_escaped_pem(quote(armour.format(text))) == der
    with pytest.raises(InvalidClient, match="canonical"):
        mtls.from_escaped_pem(quote(armour.format(spelled)))


def test_a_certificate_of_more_than_8_kib_is_refused() -> None:
    def padded(size: int) -> bytes:
        comment = x509.UnrecognizedExtension(ObjectIdentifier("1.2.3.4"), bytes(size))
        return certificate(extensions=[(comment, False)])

    assert len(padded(7000)) < mtls.MAX_CERTIFICATE < len(padded(8200))
    assert mtls.from_escaped_pem(quote(pem(padded(7000)))) is not None
    with pytest.raises(InvalidClient, match="long"):
        mtls.from_escaped_pem(quote(pem(padded(8200))))
    with pytest.raises(InvalidClient, match="long"):
        mtls.matches_subject(padded(8200), (SUBJECT_DN, SUBJECT_TEXT))


@settings(deadline=None)
@given(text=st.text(max_size=200) | st.binary(max_size=100).map(quote))
def test_whatever_the_header_holds_is_refused_and_nothing_else(text: str) -> None:
    if text:
        with pytest.raises(InvalidClient):
            mtls.from_escaped_pem(text)


@settings(deadline=None)
@given(position=st.integers(0, 2000), bit=st.integers(0, 7))
def test_a_certificate_with_one_bit_changed_is_never_believed(position: int, bit: int) -> None:
    der = bytearray(GOOD)
    der[position % len(der)] ^= 1 << bit
    for question in (
        lambda: mtls.chain_is_trusted(bytes(der), [CA], NOW),
        lambda: mtls.key_is_registered(bytes(der), jwks({**CLIENT_JWK, "x5c": [base64.b64encode(GOOD).decode()]}), NOW),
    ):
        try:
            assert not question()
        except InvalidClient:
            continue


@pytest.mark.parametrize("unused", [1, 2, 7])
def test_a_signature_whose_last_bits_are_called_unused_is_never_believed(unused: int) -> None:
    while True:  # a last bit that is zero may be called so: the parser sees the same signature
        der = bytearray(certificate())
        signature = x509.load_der_x509_certificate(bytes(der)).signature
        if not signature[-1] % 2:
            break
    assert mtls.chain_is_trusted(bytes(der), [CA], NOW)
    der[-len(signature) - 1] = unused
    with pytest.raises(InvalidClient):
        mtls.chain_is_trusted(bytes(der), [CA], NOW)


# --- tls_client_auth: the name ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rule",
    [
        (SUBJECT_DN, SUBJECT_TEXT),
        (SUBJECT_DN, r"cn=api,o=Bank\, Ltd.,c=JP"),
        (SUBJECT_DN, r"CN=api, O=Bank\, Ltd., C=JP"),
        (SUBJECT_DN, r"2.5.4.3=api,2.5.4.10=Bank\2C Ltd.,C=JP"),
        (SAN_DNS, "api.bank.example"),
        (SAN_DNS, "API.Bank.Example"),
        (SAN_URI, "spiffe://bank.example/api"),
        (SAN_IP, "192.0.2.7"),
        (SAN_IP, "2001:DB8:0:0::7"),
        (SAN_EMAIL, "api@bank.example"),
        (SAN_EMAIL, "api@BANK.example"),
    ],
)
def test_a_registered_name_is_found_in_the_certificate(rule: tuple[str, str]) -> None:
    mtls.check_rule(rule)
    assert mtls.matches_subject(certificate(), rule)
    assert not mtls.matches_subject(PRINTED_DER, rule)


@pytest.mark.parametrize(
    "rule",
    [
        (SUBJECT_DN, "CN=api"),
        (SUBJECT_DN, r"O=Bank\, Ltd.,C=JP"),
        (SUBJECT_DN, r"C=JP,O=Bank\, Ltd.,CN=api"),  # the other way round
        (SUBJECT_DN, r"CN=API,O=Bank\, Ltd.,C=JP"),
        (SUBJECT_DN, r"CN=api+O=Bank\, Ltd.,C=JP"),
        (SUBJECT_DN, r"CN=api,OU=Bank\, Ltd.,C=JP"),
        (SUBJECT_DN, r"CN=evil,CN=api,O=Bank\, Ltd.,C=JP"),
        (SAN_DNS, "bank.example"),
        (SAN_DNS, "x.api.bank.example"),
        (SAN_DNS, "www.wild.example"),  # a wildcard names no client
        (SAN_DNS, "192.0.2.7"),
        (SAN_URI, "spiffe://bank.example/API"),
        (SAN_URI, "spiffe://bank.example/api/"),
        (SAN_URI, "https://api.bank.example"),
        (SAN_IP, "192.0.2.8"),
        (SAN_IP, "::ffff:192.0.2.7"),
        (SAN_EMAIL, "API@bank.example"),
        (SAN_EMAIL, "api@x.bank.example"),
    ],
)
def test_a_name_that_differs_is_not_found(rule: tuple[str, str]) -> None:
    mtls.check_rule(rule)
    assert not mtls.matches_subject(certificate(), rule)


@pytest.mark.parametrize(
    "rule",
    [
        (SUBJECT_DN, ""),
        (SUBJECT_DN, " "),
        (SUBJECT_DN, ","),
        (SUBJECT_DN, "api"),
        (SUBJECT_DN, "CN=api,"),
        (SUBJECT_DN, "CN=api;O=x"),
        (SUBJECT_DN, "XX=api"),
        (SUBJECT_DN, "CN=a\nb"),
        (SUBJECT_DN, "C=JPN"),
        (SUBJECT_DN, "/C=JP/CN=api"),
        (SUBJECT_DN, "CN=" + "x" * 600),
        (SAN_DNS, "*.wild.example"),
        (SAN_DNS, "api.bank.example."),
        (SAN_DNS, "a..b"),
        (SAN_DNS, "a_b.example"),
        (SAN_DNS, "-a.example"),
        (SAN_DNS, "x" * 64 + ".example"),
        (SAN_DNS, "銀行.example"),
        (SAN_DNS, "api.bank.example\n"),
        (SAN_URI, "bank"),
        (SAN_URI, "spiffe://銀行/"),
        (SAN_IP, "192.0.2.0/24"),
        (SAN_IP, "192.0.2"),
        (SAN_IP, "0300.0.2.7"),
        (SAN_IP, "bank.example"),
        (SAN_EMAIL, "bank.example"),
        (SAN_EMAIL, "@bank.example"),
        (SAN_EMAIL, "api@"),
        ("tls_client_auth", "CN=api"),
        ("", "CN=api"),
        ("名前", "CN=api"),
    ],
    ids=str,
)
def test_a_rule_that_no_certificate_could_meet_is_refused_and_matches_nothing(rule: tuple[str, str]) -> None:
    with pytest.raises(InvalidRequest):
        mtls.check_rule(rule)
    assert not mtls.matches_subject(certificate(), rule)


def test_a_subject_is_compared_by_value_whatever_its_encoding() -> None:
    def written(kind: x509.name._ASN1Type) -> bytes:
        parts = [x509.NameAttribute(NameOID.COUNTRY_NAME, "JP")]
        parts += [x509.NameAttribute(oid, value, _type=kind) for oid, value in SUBJECT[1:]]
        return certificate(subject=x509.Name(parts))

    for kind in (x509.name._ASN1Type.UTF8String, x509.name._ASN1Type.PrintableString, x509.name._ASN1Type.BMPString):
        assert mtls.matches_subject(written(kind), (SUBJECT_DN, SUBJECT_TEXT))


def test_several_values_of_one_relative_name_have_no_order() -> None:
    both = x509.RelativeDistinguishedName(
        [x509.NameAttribute(NameOID.COMMON_NAME, "api"), x509.NameAttribute(NameOID.USER_ID, "7")]
    )
    der = certificate(subject=x509.Name([x509.RelativeDistinguishedName(name(SUBJECT[:1])), both]))
    for text in ("CN=api+UID=7,C=JP", "UID=7+CN=api,C=JP"):
        assert mtls.matches_subject(der, (SUBJECT_DN, text))
    assert not mtls.matches_subject(der, (SUBJECT_DN, "UID=7,CN=api,C=JP"))


def test_a_certificate_without_names_matches_nothing() -> None:
    der = certificate(subject=x509.Name([]), names=())
    for rule in ((SUBJECT_DN, ""), (SUBJECT_DN, SUBJECT_TEXT), (SAN_DNS, "api.bank.example"), (SAN_EMAIL, "@")):
        assert not mtls.matches_subject(der, rule)


def test_names_of_a_kind_nobody_registers_match_nothing() -> None:
    der = certificate(names=[x509.DirectoryName(name(SUBJECT)), x509.RegisteredID(ObjectIdentifier("1.2.3"))])
    for rule in ((SAN_DNS, "1.2.3"), (SAN_URI, "urn:oid:1.2.3"), (SAN_DNS, "api")):
        assert not mtls.matches_subject(der, rule)


# --- tls_client_auth: the chain --------------------------------------------------------------------------------------

CA = authority()
GOOD = certificate()
CLIENT_JWK = jose.public_jwk(key("client"))


@pytest.mark.parametrize(
    "leaf",
    [
        GOOD,
        certificate(names=()),
        certificate(subject=x509.Name([])),
        certificate(extensions=[(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False)]),
        certificate(extensions=[(x509.AuthorityKeyIdentifier.from_issuer_public_key(key("ca").public_key()), False)]),
        certificate(extensions=[(x509.BasicConstraints(ca=False, path_length=None), True)]),
    ],
    ids=["plain", "named by its subject", "named by subjectAltName", "clientAuth", "with AKI", "with basicConstraints"],
)
def test_a_certificate_that_an_anchor_issued_is_trusted(leaf: bytes) -> None:
    assert mtls.chain_is_trusted(leaf, [CA], NOW)
    assert mtls.chain_is_trusted(leaf, [authority("other", issuer=name(SUBJECT)), CA], NOW)


UNTRUSTED: dict[str, Callable[[], bytes]] = {
    "by a stranger with the anchor's name": lambda: certificate(signer="stranger"),
    "under another name": lambda: certificate(issuer=name(SUBJECT)),
    "self-signed": lambda: certificate(signer="client", issuer=name(SUBJECT)),
    "not yet valid": lambda: certificate(begins=NOW + timedelta(seconds=1)),
    "expired": lambda: certificate(ends=NOW - timedelta(seconds=1)),
    "for servers only": lambda: certificate(
        extensions=[(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)],
    ),
    "an authority": lambda: authority(subject=name(SUBJECT)),
    "the anchor itself": lambda: CA,
    "with an unknown critical extension": lambda: certificate(
        extensions=[(x509.UnrecognizedExtension(ObjectIdentifier("1.2.3.4"), b"\x05\x00"), True)]
    ),
    "over a short RSA key": lambda: certificate(holder=rsa_key(1024)),
    "over a key on a curve that JOSE does not know": lambda: certificate(
        holder=ec.generate_private_key(ec.BrainpoolP256R1())
    ),
    "over a DSA key": lambda: certificate(holder=dsa_key()),
    "RFC 8705's, version 1": lambda: PRINTED_DER,
}


@pytest.mark.parametrize("leaf", UNTRUSTED.values(), ids=UNTRUSTED)
def test_any_other_certificate_is_not_trusted(leaf: Callable[[], bytes]) -> None:
    assert not mtls.chain_is_trusted(leaf(), [CA], NOW)


def test_a_chain_needs_an_anchor_that_is_one_now() -> None:
    assert mtls.chain_is_trusted(GOOD, [CA], NOW)
    assert not mtls.chain_is_trusted(GOOD, [], NOW)
    for anchor in (
        authority(begins=NOW + timedelta(seconds=1)),
        authority(ends=NOW - timedelta(seconds=1)),
        certificate(subject=CA_NAME, holder=key("ca"), names=()),  # no authority
        certificate(signer="client", issuer=name(SUBJECT)),
        GOOD,
    ):
        assert not mtls.chain_is_trusted(GOOD, [anchor], NOW)
    with pytest.raises(ValueError, match="anchors"):
        mtls.chain_is_trusted(GOOD, [CA] * 65, NOW)
    with pytest.raises(ValueError, match="zone"):
        mtls.chain_is_trusted(GOOD, [CA], NOW.replace(tzinfo=None))


def test_an_authority_below_a_root_can_be_an_anchor() -> None:
    assert mtls.chain_is_trusted(GOOD, [authority("root", issuer=name(SUBJECT))], NOW)


def test_an_anchor_s_name_constraints_are_obeyed_or_refuse() -> None:
    def under(*permitted: x509.GeneralName) -> bytes:
        return authority(constraints=x509.NameConstraints(list(permitted), None))

    one_host = certificate(names=[x509.DNSName("api.bank.example")])
    assert mtls.chain_is_trusted(one_host, [under(x509.DNSName("bank.example"))], NOW)
    assert not mtls.chain_is_trusted(one_host, [under(x509.DNSName("clinic.example"))], NOW)
    one_name = certificate(names=())
    assert not mtls.chain_is_trusted(one_name, [under(x509.DirectoryName(name(SUBJECT[:1])))], NOW)
    with pytest.raises(ValueError, match="critical"):
        mtls.chain_is_trusted(
            one_host,
            [authority(constraints=x509.NameConstraints([x509.DNSName("clinic.example")], None), critical=False)],
            NOW,
        )


def test_both_halves_of_tls_client_auth_are_asked() -> None:
    rule = (SUBJECT_DN, SUBJECT_TEXT)
    mtls.check_issued(GOOD, rule, anchors=[CA], now=NOW)
    with pytest.raises(InvalidClient, match="vouches"):
        mtls.check_issued(certificate(signer="stranger"), rule, anchors=[CA], now=NOW)
    with pytest.raises(InvalidClient, match="registered name"):
        mtls.check_issued(certificate(subject=name(SUBJECT[:1])), rule, anchors=[CA], now=NOW)


# --- self_signed_tls_client_auth -------------------------------------------------------------------------------------


def self_signed(holder: Key, **changes: Any) -> bytes:
    return certificate(holder=holder, signer="client", issuer=name(SUBJECT), **changes)


@pytest.mark.parametrize("kind", ["P-256", "RSA", "Ed25519"])
def test_a_registered_key_is_found_among_others(kind: str) -> None:
    holder = {"P-256": key("client"), "RSA": rsa_key(), "Ed25519": edwards()}[kind]
    strangers = [jose.public_jwk(key("stranger")), {"kty": "new"}, {"kty": "oct", "k": "AAAA"}]
    der, registered = self_signed(holder), jose.public_jwk(holder)
    assert mtls.key_is_registered(der, jwks(*strangers, registered), NOW)
    assert not mtls.key_is_registered(der, jwks(*strangers), NOW)


def test_a_key_with_a_chain_stands_for_that_certificate_alone() -> None:
    one, other = self_signed(key("client")), self_signed(key("client"), ends=NOW + 2 * DAY)
    registered = {**CLIENT_JWK, "x5c": [base64.b64encode(one).decode()]}
    assert mtls.key_is_registered(one, jwks(registered), NOW)
    assert not mtls.key_is_registered(other, jwks(registered), NOW)
    assert mtls.key_is_registered(other, jwks(registered, CLIENT_JWK), NOW)


def test_a_chain_that_is_not_over_the_key_beside_it_registers_nothing() -> None:
    der = self_signed(key("client"))
    lying = {**jose.public_jwk(key("stranger")), "x5c": [base64.b64encode(der).decode()]}
    assert not mtls.key_is_registered(der, jwks(lying), NOW)
    for chain in ([], "", "AAAA", None, [None], [1], {}, ["!"], ["é"], [base64.b64encode(GOOD).decode(), "x"]):
        assert not mtls.key_is_registered(der, jwks({**CLIENT_JWK, "x5c": chain}), NOW)


@pytest.mark.parametrize("members", [None, "keys", {}, [], [None], ["x"], [[]], [{}], [CLIENT_JWK] * 101])
def test_what_is_no_key_set_registers_nothing(members: object) -> None:
    assert not mtls.key_is_registered(self_signed(key("client")), {"keys": members}, NOW)


def test_an_encryption_key_authenticates_nobody() -> None:
    der = self_signed(key("client"))
    assert mtls.key_is_registered(der, jwks({**CLIENT_JWK, "use": "sig"}), NOW)
    for use in ("enc", "", None, 1):
        assert not mtls.key_is_registered(der, jwks({**CLIENT_JWK, "use": use}), NOW)


def test_a_weak_or_foreign_key_is_not_registered_even_where_it_stands_in_the_set() -> None:
    short = rsa_key(1024)
    assert not mtls.key_is_registered(self_signed(short), jwks(jose.public_jwk(short)), NOW)
    cube = rsa.generate_private_key(3, 2048)
    assert not mtls.key_is_registered(self_signed(cube), jwks(jose.public_jwk(cube)), NOW)
    assert not mtls.key_is_registered(self_signed(dsa_key()), jwks(CLIENT_JWK), NOW)
    brainpool = ec.generate_private_key(ec.BrainpoolP256R1())
    assert not mtls.key_is_registered(self_signed(brainpool), jwks(CLIENT_JWK), NOW)


def test_a_self_signed_certificate_ends_when_it_says() -> None:
    registered = jwks(CLIENT_JWK)
    der = self_signed(key("client"))
    assert mtls.key_is_registered(der, registered, NOW - DAY)
    assert mtls.key_is_registered(der, registered, NOW + DAY)
    for at in (NOW - DAY - timedelta(seconds=1), NOW + DAY + timedelta(seconds=1)):
        assert not mtls.key_is_registered(der, registered, at)


@settings(deadline=None)
@given(data=st.binary(max_size=300))
def test_whatever_bytes_come_as_a_certificate_they_are_refused(data: bytes) -> None:
    for question in (
        lambda: mtls.matches_subject(data, (SUBJECT_DN, SUBJECT_TEXT)),
        lambda: mtls.chain_is_trusted(data, [CA], NOW),
        lambda: mtls.key_is_registered(data, jwks(CLIENT_JWK), NOW),
    ):
        with pytest.raises(InvalidClient):
            question()
