"""The registrar of the sandbox (商業登記に基づく電子認証): a test root that issues to corporations, and its list.

Shapes are those of the Ministry of Justice's published specification as far as it is known in the open: the root issues
by itself, the extension registeredCorporationInfo states corporation and representative, and since March 2026 there are
keyUsage and a revocation list. Every name says that it is a test.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Final

from asn1crypto import core
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import NameOID

from sandbox import atomicfile
from sandbox.ca import end_of_day_in_japan, key_usage, years_from
from sandbox.residents import Resident

ORGANIZATION: Final = "REGISTRAR-TEST"
REGISTERED_CORPORATION: Final = x509.ObjectIdentifier("1.2.392.100300.1.1.3")
_ROOT: Final = f"{ORGANIZATION} Registrar"
_CRL_URL: Final = "http://crl.registrar-test.example/registrar.crl"  # resolves nowhere (RFC 2606)
_LIST_LIFETIME: Final = timedelta(days=1)
_FILE: Final = "registrar"
ANCHORS: Final = "registrar-anchors.pem"
"""The root for verifiers, in the `ca` folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Corporation:
    """What the registry says. `corporate_number` has thirteen digits; the certificate states the last twelve."""

    name: str
    corporate_number: str
    address: str
    representative: str
    title: str = "代表取締役"


@dataclass(frozen=True, slots=True, kw_only=True)
class Registrar:
    """The root and its key."""

    certificate: x509.Certificate
    private_key: rsa.RSAPrivateKey

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    def issue(
        self,
        corporation: Corporation,
        public_key: rsa.RSAPublicKey,
        *,
        today: date,
        months: int = 27,
        extra: bytes | None = None,
    ) -> x509.Certificate:
        """From yesterday for `months`; `extra` is another registeredCorporationInfo, for odd ones in tests."""
        begins = today - timedelta(days=1)
        return (
            x509.CertificateBuilder()
            .subject_name(_name(ORGANIZATION, corporation.corporate_number[1:]))
            .issuer_name(self.certificate.subject)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(datetime.combine(begins, time(), tzinfo=UTC))
            .not_valid_after(end_of_day_in_japan(begins + timedelta(days=30 * months)))
            .add_extension(key_usage(digital_signature=True), critical=True)
            .add_extension(_listed(), critical=False)
            .add_extension(_issued_by(self.private_key), critical=False)
            .add_extension(
                x509.UnrecognizedExtension(REGISTERED_CORPORATION, extra or registered_corporation(corporation)),
                critical=False,
            )
            .sign(self.private_key, SHA256())
        )

    def crl(self, revoked: Iterable[int] = (), *, now: datetime) -> bytes:
        """The list (DER), as of `now`."""
        begins = now.replace(microsecond=0)
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificate.subject)
            .last_update(begins)
            .next_update(begins + _LIST_LIFETIME)
            .add_extension(x509.CRLNumber(int(now.timestamp())), critical=False)
            .add_extension(_issued_by(self.private_key), critical=False)
        )
        for serial in revoked:
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(begins).build()
            )
        return builder.sign(self.private_key, SHA256()).public_bytes(Encoding.DER)


def establish(private_key: rsa.RSAPrivateKey, *, today: date) -> Registrar:
    """The root, since a year ago, for six years (a registrar's is valid for 72 months)."""
    begins = years_from(today, -1)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_name(ORGANIZATION, _ROOT))
        .issuer_name(_name(ORGANIZATION, _ROOT))
        .public_key(private_key.public_key())
        .serial_number(1)
        .not_valid_before(datetime.combine(begins, time(), tzinfo=UTC))
        .not_valid_after(end_of_day_in_japan(years_from(begins, 6)))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(key_usage(certificate_sign=True, crl_sign=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(private_key.public_key()), critical=False)
        .sign(private_key, SHA256())
    )
    return Registrar(certificate=certificate, private_key=private_key)


def corporation_of(resident: Resident) -> Corporation:
    """The company that a resident represents. Raises ValueError where none is registered for them."""
    name, number, address = resident.company, resident.company_number, resident.company_address
    if name is None or number is None or address is None or resident.company_role is None:
        raise ValueError(f"{resident.name} represents no registered company")
    return Corporation(
        name=name,
        corporate_number=number,
        address=address,
        representative=resident.label,
        title=resident.company_role,
    )


def keep(folder: Path, registrar: Registrar) -> None:
    """Write root and key to the `ca` folder; the root also as PEM, for verifiers."""
    atomicfile.write(folder / f"{_FILE}.cer", registrar.der)
    atomicfile.write(folder / f"{_FILE}.key", _key_pem(registrar.private_key))
    atomicfile.write(folder / ANCHORS, registrar.certificate.public_bytes(Encoding.PEM))


def load(folder: Path) -> Registrar:
    """Read what `keep` wrote. Raises OSError, ValueError, and TypeError for a key that is not RSA."""
    key = load_pem_private_key((folder / f"{_FILE}.key").read_bytes(), password=None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise TypeError(f"not an RSA key: {_FILE}.key")
    certificate = x509.load_der_x509_certificate((folder / f"{_FILE}.cer").read_bytes())
    return Registrar(certificate=certificate, private_key=key)


def hand_out(folder: Path, name: str, certificate: x509.Certificate, private_key: rsa.RSAPrivateKey) -> None:
    """What a representative signs with, as two PEM files: `NAME.cert.pem` and `NAME.key.pem`."""
    atomicfile.write(folder / f"{name}.cert.pem", certificate.public_bytes(Encoding.PEM))
    atomicfile.write(folder / f"{name}.key.pem", _key_pem(private_key))


def registered_corporation(corporation: Corporation) -> bytes:
    """registeredCorporationInfo (DER)."""
    number = core.PrintableString(corporation.corporate_number[1:]).dump()
    members = [
        (0, core.UTF8String(corporation.name).dump()),
        (1, number),
        (2, core.UTF8String(corporation.address).dump()),
        (3, core.UTF8String(corporation.representative).dump()),
        (4, core.UTF8String(corporation.title).dump()),
        (6, core.UTF8String("東京法務局（試験用）").dump()),
    ]
    return _tagged(0x30, b"".join(_tagged(0xA0 + place, value) for place, value in members))


def _tagged(tag: int, content: bytes) -> bytes:
    length = len(content)
    if length < 0x80:
        return bytes([tag, length]) + content
    size = (length.bit_length() + 7) // 8
    return bytes([tag, 0x80 | size]) + length.to_bytes(size, "big") + content


def _key_pem(key: rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _listed() -> x509.CRLDistributionPoints:
    place = x509.UniformResourceIdentifier(_CRL_URL)
    return x509.CRLDistributionPoints([x509.DistributionPoint([place], None, None, None)])


def _issued_by(key: rsa.RSAPrivateKey) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())


def _name(organization: str, common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "JP"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )
