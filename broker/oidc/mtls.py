"""Client certificates (RFC 8705): whose they are, and what a token is bound to by one.

TLS ends at a proxy (nginx, `ssl_verify_client optional_no_ca`), which proves that the client holds the key and hands
the certificate over in a header. Whether to believe the certificate is judged here: by a chain to the operator's
anchors and a registered name (§2.1), or by a registered key (§2.2). Only that proxy may be able to set the header.
"""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
import hmac
import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID
from cryptography.x509.verification import Criticality, ExtensionPolicy, PolicyBuilder, Store

from broker.errors import InvalidClient, InvalidRequest, InvalidToken
from broker.jose import MAX_KEYS, b64url, load_public_key, public_jwk, rsa_weakness

MAX_CERTIFICATE: Final = 8 * 1024
"""Bytes of DER."""
MAX_HEADER: Final = 24 * 1024
"""Characters: PEM takes 4/3 of the DER, and the proxy writes some of them as three."""
MAX_ANCHORS: Final = 64
MAX_RULE: Final = 512

SUBJECT_DN: Final = "tls_client_auth_subject_dn"
SAN_DNS: Final = "tls_client_auth_san_dns"
SAN_URI: Final = "tls_client_auth_san_uri"
SAN_IP: Final = "tls_client_auth_san_ip"
SAN_EMAIL: Final = "tls_client_auth_san_email"

_ESCAPED: Final = re.compile(r"(?:[A-Za-z0-9._~+/= \t\r\n-]|%[0-9A-Fa-f]{2})*", re.ASCII)
_PEM: Final = re.compile(rb"\s*-----BEGIN CERTIFICATE-----\s([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----\s*")
_DNS: Final = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*"
)
_KEYWORDS: Final = {  # RFC 4514 §3, and what registrations write beside it
    "CN": NameOID.COMMON_NAME,
    "L": NameOID.LOCALITY_NAME,
    "ST": NameOID.STATE_OR_PROVINCE_NAME,
    "O": NameOID.ORGANIZATION_NAME,
    "OU": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "C": NameOID.COUNTRY_NAME,
    "STREET": NameOID.STREET_ADDRESS,
    "DC": NameOID.DOMAIN_COMPONENT,
    "UID": NameOID.USER_ID,
    "emailAddress": NameOID.EMAIL_ADDRESS,
    "serialNumber": NameOID.SERIAL_NUMBER,
    "organizationIdentifier": NameOID.ORGANIZATION_IDENTIFIER,
}
_ATTRIBUTES: Final = {
    spelling: oid for name, oid in _KEYWORDS.items() for spelling in (name, name.upper(), name.lower())
}
_DistinguishedName = tuple[frozenset[tuple[str, str | bytes]], ...]
"""Relative names in their order, each a set of (object identifier, value): RFC 5280 §7.1 without its encodings."""


# --- the certificate -------------------------------------------------------------------------------------------------


def from_escaped_pem(value: str | None) -> bytes | None:
    """The DER in nginx's `$ssl_client_escaped_cert`: one percent-encoded PEM certificate; None where there is none.

    Raises InvalidClient for anything else, and for more than MAX_CERTIFICATE bytes of DER.
    """
    if not value:
        return None
    if len(value) > MAX_HEADER or not _ESCAPED.fullmatch(value):
        raise InvalidClient("client certificate is not percent-encoded PEM, or too long")
    pem = _PEM.fullmatch(unquote_to_bytes(value))
    if pem is None:
        raise InvalidClient("client certificate is not one PEM certificate")
    text = b"".join(pem[1].split())
    try:
        der = base64.b64decode(text, validate=True)
    except binascii.Error:
        raise InvalidClient("client certificate is not base64") from None
    if base64.b64encode(der) != text:
        raise InvalidClient("client certificate is not the canonical base64 of anything")
    _parse(der)
    return der


def thumbprint(der: bytes) -> str:
    """`x5t#S256` of a certificate: SHA-256 over its DER, base64url (RFC 8705 §3.1)."""
    return b64url(hashlib.sha256(der).digest())


def is_bound_to(der: bytes | None, expected_thumbprint: str) -> bool:
    """Whether the certificate of this request is the one that a token's `cnf.x5t#S256` names (RFC 8705 §3)."""
    return der is not None and hmac.compare_digest(thumbprint(der).encode(), expected_thumbprint.encode())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Certificate:
    """All of one certificate that is looked at, read at once: nothing fails later."""

    parsed: x509.Certificate = field(repr=False)
    key: object = field(repr=False)
    subject: _DistinguishedName = field(repr=False)
    names: x509.SubjectAlternativeName | None = field(repr=False)


def _is_sound(key: object) -> bool:
    """Whether the key is of a kind and strength that `broker.jose` takes: the verifier looks at issuers' keys only."""
    if isinstance(key, rsa.RSAPublicKey):
        numbers = key.public_numbers()
        return rsa_weakness(numbers.n, numbers.e) is None
    if not isinstance(key, ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey):
        return False
    try:
        public_jwk(key)
    except InvalidToken:  # a curve that JOSE does not know
        return False
    return True


@functools.lru_cache(maxsize=256)
def _parse(der: bytes) -> _Certificate:
    if len(der) > MAX_CERTIFICATE:
        raise InvalidClient("client certificate is too long")
    try:
        certificate = x509.load_der_x509_certificate(der)
        if der[-len(certificate.signature) - 1]:  # the parser passes over unused bits: one certificate, two encodings
            raise ValueError("the signature's last octet is not whole")
        names = [one.value for one in certificate.extensions if isinstance(one.value, x509.SubjectAlternativeName)]
        return _Certificate(
            parsed=certificate,
            key=certificate.public_key(),
            subject=_distinguished(certificate.subject),
            names=names[0] if names else None,
        )
    except Exception as error:  # a parser of a stranger's bytes fails in many ways, and each means the same
        raise InvalidClient(f"client certificate cannot be read ({type(error).__name__})") from None


def _distinguished(name: x509.Name) -> _DistinguishedName:
    return tuple(frozenset((part.oid.dotted_string, part.value) for part in relative) for relative in name.rdns)


# --- tls_client_auth -------------------------------------------------------------------------------------------------


def check_rule(rule: tuple[str, str]) -> None:
    """Refuse a registered name that no certificate could be held against (RFC 8705 §2.1.2). Raises InvalidRequest.

    `rule` is the metadata member and its value: a distinguished name in the form of RFC 4514, a host name (never with
    a wildcard), a URI, an IP address or a mail address.
    """
    try:
        _expected(rule)
    except ValueError as wrong:
        raise InvalidRequest(f"{rule[0] if rule[0].isascii() else 'member'}: {wrong}") from wrong


def check_issued(der: bytes, rule: tuple[str, str], *, anchors: Sequence[bytes], now: datetime) -> None:
    """Hold a certificate against both halves of `tls_client_auth` (RFC 8705 §2.1). Raises InvalidClient."""
    if not chain_is_trusted(der, anchors, now):
        raise InvalidClient("no client authority of ours vouches for this certificate now")
    if not matches_subject(der, rule):
        raise InvalidClient("certificate does not carry the client's registered name")


def matches_subject(der: bytes, rule: tuple[str, str]) -> bool:
    """Whether the certificate carries the registered name `rule` (RFC 8705 §2.1.2). Raises InvalidClient.

    Values are compared as they stand; the case of host names alone does not matter. Says nothing about who issued
    the certificate: that is `chain_is_trusted`'s question, and `check_issued` asks both. A rule that `check_rule`
    refuses matches nothing.
    """
    certificate = _parse(der)
    try:
        expected = _expected(rule)
    except ValueError:
        return False
    if rule[0] == SUBJECT_DN:
        return certificate.subject == expected
    return certificate.names is not None and any(_general(name) == (rule[0], expected) for name in certificate.names)


def _expected(rule: tuple[str, str]) -> object:
    """What a certificate must hold, in a form that can be compared. Raises ValueError."""
    member, value = rule
    if not 0 < len(value) <= MAX_RULE or not value.isprintable():
        raise ValueError(f"1 to {MAX_RULE} printable characters")
    match member:
        case "tls_client_auth_subject_dn":
            return _parse_name(value)
        case "tls_client_auth_san_dns":
            return _host(value)
        case "tls_client_auth_san_uri" if value.isascii() and ":" in value:
            return value
        case "tls_client_auth_san_ip":
            return ipaddress.ip_address(value)
        case "tls_client_auth_san_email":
            return _mailbox(value)
    raise ValueError("not a name that a certificate can carry")


def _parse_name(value: str) -> _DistinguishedName:
    try:
        name = x509.Name.from_rfc4514_string(_tight(value), attr_name_overrides=_ATTRIBUTES)
    except ValueError:
        raise ValueError("not a distinguished name in the form of RFC 4514") from None
    return _distinguished(name)


def _tight(value: str) -> str:
    """Without the spaces after separators that RFC 2253 §4 still allowed, and that people write."""
    return re.sub(r"(?<!\\)((?:\\\\)*)([,+]) +", r"\1\2", value)


def _host(value: str) -> str:
    host = value.lower()
    if not _DNS.fullmatch(host):
        raise ValueError("not a host name")
    return host


def _mailbox(value: str) -> str:
    local, _, host = value.rpartition("@")
    if not local or not value.isascii():
        raise ValueError("not a mail address")
    return f"{local}@{_host(host)}"


def _general(name: x509.GeneralName) -> tuple[str, object] | None:
    """One subjectAltName as the rule that it would satisfy."""
    match name:
        case x509.DNSName():
            return SAN_DNS, name.value.lower()
        case x509.UniformResourceIdentifier():
            return SAN_URI, name.value
        case x509.IPAddress():
            return SAN_IP, name.value
        case x509.RFC822Name():
            local, _, host = name.value.rpartition("@")
            return SAN_EMAIL, f"{local}@{host.lower()}"
    return None


def chain_is_trusted(der: bytes, anchors: Sequence[bytes], now: datetime) -> bool:
    """Whether one of `anchors` (DER, the client CAs of the operator) issued this certificate, valid at `now`.

    RFC 5280 §6.1 by `cryptography`'s verifier: signature, dates, extensions, name constraints, and clientAuth where
    the certificate lists purposes; and the key must be one that `broker.jose` would take. The proxy hands over no
    intermediates, so `anchors` are the CAs that issue to clients. No anchors, no trust. Revocation is not looked at.
    Raises InvalidClient for a certificate that cannot be read, ValueError for anchors that cannot or a naive `now`.
    """
    if now.tzinfo is None:
        raise ValueError("the time must say its zone")
    certificate = _parse(der)
    if not anchors or not _is_sound(certificate.key):
        return False
    authorities = _anchors(tuple(bytes(anchor) for anchor in anchors))
    authority, leaf = _policies()
    builder = PolicyBuilder().store(authorities).time(now).max_chain_depth(0)
    verifier = builder.extension_policies(ca_policy=authority, ee_policy=leaf).build_client_verifier()
    try:
        chain = verifier.verify(certificate.parsed, []).chain
    except Exception:  # VerificationError, or whatever a stranger's bytes do to a lazy parser: a refusal
        return False
    return len(chain) == 2  # an anchor does not vouch for itself


@functools.lru_cache(maxsize=8)
def _anchors(ders: tuple[bytes, ...]) -> Store:
    if len(ders) > MAX_ANCHORS:
        raise ValueError("too many anchors")
    authorities = [x509.load_der_x509_certificate(der) for der in ders]
    for authority in authorities:
        for extension in authority.extensions:
            if isinstance(extension.value, x509.NameConstraints) and not extension.critical:
                raise ValueError("an anchor's name constraints must be critical")  # RFC 5280 §4.2.1.10
    return Store(authorities)


@functools.cache
def _policies() -> tuple[ExtensionPolicy, ExtensionPolicy]:
    """A private CA's leaves are often named by their subject alone and without authorityKeyIdentifier."""
    leaf = (
        ExtensionPolicy.webpki_defaults_ee()
        .may_be_present(x509.SubjectAlternativeName, Criticality.AGNOSTIC, None)
        .may_be_present(x509.AuthorityKeyIdentifier, Criticality.AGNOSTIC, None)
    )
    return ExtensionPolicy.webpki_defaults_ca(), leaf


# --- self_signed_tls_client_auth -------------------------------------------------------------------------------------


def key_is_registered(der: bytes, jwks: Mapping[str, Any], now: datetime) -> bool:
    """Whether a key of the client's JWK Set is this certificate's (RFC 8705 §2.2.2). Raises InvalidClient.

    A JWK with `x5c` stands for that certificate alone, one without for every certificate over its key. Encryption
    keys, keys below the floors of `broker.jose`, and a certificate outside its dates count for nothing.
    """
    certificate = _parse(der)
    if not certificate.parsed.not_valid_before_utc <= now <= certificate.parsed.not_valid_after_utc:
        return False
    members = jwks.get("keys")
    if not isinstance(members, list | tuple) or len(members) > MAX_KEYS:
        return False
    return any(_registers(jwk, der, certificate.key) for jwk in members if isinstance(jwk, Mapping))


def _registers(jwk: Mapping[str, Any], der: bytes, key: object) -> bool:
    if jwk.get("use", "sig") != "sig":
        return False
    try:
        if load_public_key(jwk) != key:  # which takes no key that is weak
            return False
    except InvalidToken:
        return False
    if "x5c" not in jwk:
        return True
    chain = jwk["x5c"]
    if not isinstance(chain, list | tuple) or not chain or not isinstance(chain[0], str):
        return False
    try:
        return base64.b64decode(chain[0], validate=True) == der
    except ValueError:
        return False
