"""The authorities of sealed documents: a root, the issuer of seals, and a time-stamp authority; all for tests.

They are kept beside the other authorities under `ca/`; the broker's own seal is issued to its key at each set-up.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Final, Literal

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sandbox import atomicfile
from sandbox.ca import end_of_day_in_japan, key_usage, years_from
from sandbox.tsa import StampAuthority

ORGANIZATION: Final = "SEAL-TEST"
PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey
Lister = Literal["sealroot", "sealissuer"]
LISTERS: Final[tuple[Lister, ...]] = ("sealroot", "sealissuer")
"""The authorities that publish a revocation list, by the names of their files."""
_ROOT: Final = f"{ORGANIZATION} Root CA"
_ISSUER: Final = f"{ORGANIZATION} Seal CA"
_CRL_URL: Final = "http://crl.seal-test.example/{}.crl"  # resolves nowhere (RFC 2606): sources are configuration
_LIST_LIFETIME: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class SealPKI:
    """Certificates and keys."""

    root: x509.Certificate
    root_key: ec.EllipticCurvePrivateKey
    issuer: x509.Certificate
    issuer_key: ec.EllipticCurvePrivateKey
    stamp: StampAuthority

    def seal(self, key: PublicKey, *, today: date) -> x509.Certificate:
        """A seal certificate for the broker's `key`, from yesterday for two years."""
        serial = int.from_bytes(hashlib.sha256(_spki(key) + today.isoformat().encode()).digest()[:16])
        return (
            _builder("取扱事業者の電子署名（試験用）", key, _ISSUER, serial, today - timedelta(days=1), years=2)
            .add_extension(key_usage(content_commitment=True), critical=True)
            .add_extension(_listed_at("sealissuer"), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.issuer_key.public_key()), False)
            .sign(self.issuer_key, SHA256())
        )

    def crl(self, name: Lister, *, now: datetime) -> bytes:
        """The list of one authority (DER), as of `now`: nothing of this hierarchy is ever revoked."""
        key, issuer = (self.root_key, self.root) if name == "sealroot" else (self.issuer_key, self.issuer)
        begins = now.replace(microsecond=0)
        made = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(issuer.subject)
            .last_update(begins)
            .next_update(begins + _LIST_LIFETIME)
            .add_extension(x509.CRLNumber(int(now.timestamp())), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
            .sign(key, SHA256())
        )
        return made.public_bytes(Encoding.DER)


def establish(*, today: date) -> SealPKI:
    """Everything anew: root and issuer for twenty and fifteen years, the time-stamp authority for eleven."""
    root_key, issuer_key, stamp_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
    begins = years_from(today, -1)
    root = _authority(_ROOT, root_key, _ROOT, root_key, begins, serial=1, years=20)
    issuer = _authority(_ISSUER, issuer_key, _ROOT, root_key, begins, serial=2, years=15, listed_by="sealroot")
    stamp = (
        _builder("時刻認証局（試験用）", stamp_key.public_key(), _ROOT, 3, begins, years=11)
        .add_extension(key_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), critical=True)
        .add_extension(_listed_at("sealroot"), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()), critical=False)
        .sign(root_key, SHA256())
    )
    return SealPKI(
        root=root,
        root_key=root_key,
        issuer=issuer,
        issuer_key=issuer_key,
        stamp=StampAuthority(certificate=stamp, key=stamp_key),
    )


def keep(folder: Path, pki: SealPKI) -> None:
    """Write them to the `ca` folder; the root also as PEM, for verifiers."""
    held = (
        ("sealroot", pki.root, pki.root_key),
        ("sealissuer", pki.issuer, pki.issuer_key),
        ("sealstamp", pki.stamp.certificate, pki.stamp.key),
    )
    for name, certificate, key in held:
        atomicfile.write(folder / f"{name}.cer", certificate.public_bytes(Encoding.DER))
        atomicfile.write(folder / f"{name}.key", key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    atomicfile.write(folder / "seal-anchors.pem", pki.root.public_bytes(Encoding.PEM))


def load(folder: Path) -> SealPKI:
    """Read what `keep` wrote. Raises OSError, ValueError."""

    def certificate(name: str) -> x509.Certificate:
        return x509.load_der_x509_certificate((folder / f"{name}.cer").read_bytes())

    def key(name: str) -> ec.EllipticCurvePrivateKey:
        loaded = load_pem_private_key((folder / f"{name}.key").read_bytes(), password=None)
        if not isinstance(loaded, ec.EllipticCurvePrivateKey):
            raise ValueError(f"{name}.key is of another kind")  # noqa: TRY004 -- a file's content, not a caller's type
        return loaded

    return SealPKI(
        root=certificate("sealroot"),
        root_key=key("sealroot"),
        issuer=certificate("sealissuer"),
        issuer_key=key("sealissuer"),
        stamp=StampAuthority(certificate=certificate("sealstamp"), key=key("sealstamp")),
    )


def _authority(
    common_name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: str,
    issuer_key: ec.EllipticCurvePrivateKey,
    begins: date,
    *,
    serial: int,
    years: int,
    listed_by: Lister | None = None,
) -> x509.Certificate:
    builder = (
        _builder(common_name, key.public_key(), issuer, serial, begins, years=years)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(key_usage(certificate_sign=True, crl_sign=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    if listed_by is not None:
        builder = builder.add_extension(_listed_at(listed_by), critical=False)
    return builder.sign(issuer_key, SHA256())


def _builder(
    common_name: str, key: PublicKey, issuer: str, serial: int, begins: date, *, years: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_name(common_name))
        .issuer_name(_name(issuer))
        .public_key(key)
        .serial_number(serial)
        .not_valid_before(datetime.combine(begins, time(), tzinfo=UTC))
        .not_valid_after(end_of_day_in_japan(years_from(begins, years)))
    )


def _listed_at(name: Lister) -> x509.CRLDistributionPoints:
    place = x509.UniformResourceIdentifier(_CRL_URL.format(name))
    return x509.CRLDistributionPoints([x509.DistributionPoint([place], None, None, None)])


def _name(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "JP"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, ORGANIZATION),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def _spki(key: PublicKey) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
