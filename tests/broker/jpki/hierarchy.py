"""Foreign hierarchies for tests: root, authority, leaf, their lists, and hcRole in both layouts."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from broker.jpki import der

NOW = datetime(2026, 11, 20, 3, 0, tzinfo=UTC)
DAY = timedelta(days=1)
POLICY = "1.2.392.100495.1.5.1.1.3.1"
LICENCES = "2a830886910f01060101"


def hc_role(*roles: str, scheme: str = LICENCES, attribute: str = "288185420001", nested: bool = False) -> bytes:
    """A subjectDirectoryAttributes value."""

    def actor(role: str) -> bytes:
        coded = der.write(0xA0, der.write(0x06, bytes.fromhex(scheme)))
        text = der.write(0xA2, der.write(0x0C, role.encode()))
        return der.write(der.SEQUENCE, der.write(0xA0, der.write(0x31, coded, text)))

    actors = b"".join(actor(role) for role in roles)
    values = der.write(0x31, der.write(0x31, actors) if nested else actors)
    return der.write(der.SEQUENCE, der.write(der.SEQUENCE, der.write(0x06, bytes.fromhex(attribute)), values))


def name(common: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "JP"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "HPKI-TEST"),
            x509.NameAttribute(NameOID.COMMON_NAME, common),
        ]
    )


@dataclass(slots=True)
class CA:
    """One authority. `issuer` is None for a root."""

    common: str
    issuer: CA | None = None
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    serials: int = 100
    certificate: x509.Certificate = field(init=False)

    def __post_init__(self) -> None:
        self.certificate = self._issued(self.issuer or self)

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def key_hash(self) -> bytes:
        """SHA-256 of the SubjectPublicKeyInfo."""
        spki = self.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return hashlib.sha256(spki).digest()

    def _issued(self, issuer: CA) -> x509.Certificate:
        issuer.serials += 1
        builder = (
            x509.CertificateBuilder()
            .subject_name(name(self.common))
            .issuer_name(name(issuer.common))
            .public_key(self.key.public_key())
            .serial_number(issuer.serials)
            .not_valid_before(NOW - 900 * DAY)
            .not_valid_after(NOW + 900 * DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(usage(key_cert_sign=True, crl_sign=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), critical=False)
        )
        if issuer is not self:
            builder = builder.add_extension(policies(POLICY), critical=True)
        return builder.sign(issuer.key, hashes.SHA256())

    def leaf(
        self,
        *,
        policy: str = POLICY,
        directory: bytes | None = None,
        not_after: datetime = NOW + 300 * DAY,
        ca: bool = False,
        signs: bool = True,
        key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey | None = None,
    ) -> x509.Certificate:
        self.serials += 1
        builder = (
            x509.CertificateBuilder()
            .subject_name(name("Doctor"))
            .issuer_name(name(self.common))
            .public_key(key or ec.generate_private_key(ec.SECP256R1()).public_key())
            .serial_number(self.serials)
            .not_valid_before(NOW - 300 * DAY)
            .not_valid_after(not_after)
            .add_extension(usage(content_commitment=signs, digital_signature=not signs), critical=True)
            .add_extension(policies(policy), critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
        )
        if directory is not None:
            builder = builder.add_extension(
                x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.9"), directory), critical=False
            )
        if ca:
            builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        return builder.sign(self.key, hashes.SHA256())

    def crl(self, revoked: Iterable[int] = (), *, this_update: datetime = NOW - DAY / 2) -> bytes:
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(name(self.common))
            .last_update(this_update)
            .next_update(this_update + 2 * DAY)
            .add_extension(x509.CRLNumber(7), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
        )
        for serial in revoked:
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(NOW - DAY).build()
            )
        return builder.sign(self.key, hashes.SHA256()).public_bytes(Encoding.DER)


def usage(**bits: bool) -> x509.KeyUsage:
    names = [
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    ]
    return x509.KeyUsage(**{each: bits.get(each, False) for each in names})


def policies(*dotted: str) -> x509.CertificatePolicies:
    return x509.CertificatePolicies([x509.PolicyInformation(x509.ObjectIdentifier(each), None) for each in dotted])
