"""Certificates for the sandbox under https: an authority for its own front, and one that issues to test clients.

Neither has anything to do with cards. Whoever trusts the first in a browser trusts it for this machine alone: its name
constraints say so (RFC 5280 section 4.2.1.10).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sandbox import atomicfile

AUTHORITY_DAYS: Final = 3650
LEAF_DAYS: Final = 90
RENEW_BEFORE: Final = timedelta(days=30)
"""A certificate this close to its end is made anew at the start."""
_SIGNS: Final = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)
_ISSUES: Final = x509.KeyUsage(
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
_Names = list[x509.GeneralName]


@dataclass(frozen=True, slots=True, kw_only=True)
class TLSFiles:
    """Where the PEM files are, all under `folder`."""

    folder: Path

    @property
    def authority(self) -> Path:
        """Whom a browser or the bank must trust to come in by https."""
        return self.folder / "ca.pem"

    @property
    def certificate(self) -> Path:
        """Of the front."""
        return self.folder / "localhost.pem"

    @property
    def key(self) -> Path:
        """The front's private key."""
        return self.folder / "localhost.key"

    @property
    def outbound(self) -> Path:
        """Under whose certificates the broker calls https addresses of this machine: our own authority's, and those
        that `also_trust` named."""
        return self.folder / "outbound.pem"

    def also_trust(self, authorities: Iterable[Path]) -> None:
        """Write `outbound`. Raises OSError, and ValueError for what is no PEM file of certificates."""
        told = [path.read_bytes() for path in (self.authority, *authorities)]
        for text in told:
            x509.load_pem_x509_certificates(text)
        atomicfile.write(self.outbound, b"\n".join(told))

    @property
    def client_authority(self) -> Path:
        """BROKER_CLIENT_CA: who issues to the test clients of `tls_client_auth`."""
        return self.folder / "client-ca.pem"

    @property
    def client_authority_key(self) -> Path:
        return self.folder / "client-ca.key"

    def client(self, client_id: str) -> tuple[Path, Path]:
        """Certificate and private key of a test client."""
        return self.folder / "clients" / f"{client_id}.pem", self.folder / "clients" / f"{client_id}.key"


def provide(folder: Path, now: datetime) -> TLSFiles:
    """Make what is missing or near its end under `folder`. Raises OSError."""
    files = TLSFiles(folder=folder)
    with atomicfile.exclusive(folder / ".lock"):
        here: _Names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        here.append(x509.IPAddress(ipaddress.ip_address("::1")))
        if not _lasts(files.authority, now) or not _lasts(files.certificate, now) or not files.key.exists():
            authority_key = ec.generate_private_key(ec.SECP256R1())  # forgotten below: it signs once
            authority = _authority("JPKI broker sandbox: TLS of this machine", authority_key, now, here_only=True)
            key = ec.generate_private_key(ec.SECP256R1())
            subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
            leaf = _leaf(subject, key, authority, authority_key, now, server=here)
            atomicfile.write(files.authority, _pem(authority))
            atomicfile.write(files.key, _key_pem(key))
            atomicfile.write(files.certificate, _pem(leaf))
        if not _lasts(files.client_authority, now) or not files.client_authority_key.exists():
            key = ec.generate_private_key(ec.SECP256R1())
            atomicfile.write(files.client_authority_key, _key_pem(key))
            atomicfile.write(files.client_authority, _pem(_authority("JPKI broker sandbox: clients", key, now)))
    return files


def issue_to_client(files: TLSFiles, client_id: str, subject: x509.Name, now: datetime) -> tuple[Path, Path]:
    """A certificate of the sandbox's client authority; the one that is there is kept while it lasts. Raises OSError."""
    certificate, key_file = files.client(client_id)
    with atomicfile.exclusive(files.folder / ".lock"):
        authority_key = load_pem_private_key(files.client_authority_key.read_bytes(), None)
        authority = x509.load_pem_x509_certificate(files.client_authority.read_bytes())
        if not isinstance(authority_key, ec.EllipticCurvePrivateKey):
            raise TypeError("the client authority's key is not one that was made here")
        if not (_lasts(certificate, now) and key_file.exists() and _issued(certificate, subject, authority)):
            key = ec.generate_private_key(ec.SECP256R1())
            atomicfile.write(key_file, _key_pem(key))
            atomicfile.write(certificate, _pem(_leaf(subject, key, authority, authority_key, now)))
    return certificate, key_file


def _lasts(path: Path, now: datetime) -> bool:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc > now + RENEW_BEFORE
    except (OSError, ValueError):
        return False


def _issued(path: Path, subject: x509.Name, authority: x509.Certificate) -> bool:
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return certificate.subject == subject


def _authority(
    name: str, key: ec.EllipticCurvePrivateKey, now: datetime, *, here_only: bool = False
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        _begin(subject, subject, key, now, days=AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_ISSUES, critical=True)
    )
    if here_only:
        permitted: _Names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_network("127.0.0.0/8"))]
        permitted.append(x509.IPAddress(ipaddress.ip_network("::1/128")))
        builder = builder.add_extension(x509.NameConstraints(permitted, None), critical=True)
    return builder.sign(key, SHA256())


def _leaf(
    subject: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    authority: x509.Certificate,
    authority_key: ec.EllipticCurvePrivateKey,
    now: datetime,
    *,
    server: _Names | None = None,
) -> x509.Certificate:
    """A server's certificate for the names given, or a client's."""
    usage = ExtendedKeyUsageOID.CLIENT_AUTH if server is None else ExtendedKeyUsageOID.SERVER_AUTH
    builder = (
        _begin(subject, authority.subject, key, now, days=LEAF_DAYS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_SIGNS, critical=True)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()),
            critical=False,
        )
    )
    if server is not None:
        builder = builder.add_extension(x509.SubjectAlternativeName(server), critical=False)
    return builder.sign(authority_key, SHA256())


def _begin(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime, *, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))  # a clock that is a little behind still takes it
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
