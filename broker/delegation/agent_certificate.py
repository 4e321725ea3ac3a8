"""A power that stands in its agent's certificate (電子証明書方式): read and shown, and never called valid here.

A certification authority wrote it into the certificate of the one who acts; whether it holds is for that authority's
revocation data and the agent's own signature to show, and neither was handed in with it. Authorities write the content
as names of a directory in subjectAltName (delegation, 1.2), so those are what is shown, with whatever other extensions
there are by their numbers alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding

from broker.errors import BrokerError
from broker.jpki.certificate import MAX_CERTIFICATE, UnverifiedCertificate, parse

MAX_NAMES: Final = 64
MAX_VALUE: Final = 300
_PEM: Final = b"-----BEGIN CERTIFICATE-----"
_DER: Final = b"\x30\x82"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentCertificate:
    """What a certificate states. Everything in it is its authority's word."""

    subject: str = field(repr=False)
    issuer: str
    not_before: datetime
    not_after: datetime
    stated: tuple[tuple[str, str], ...] = field(repr=False)
    """Kind of name and its value, of the directory names in subjectAltName, in their order."""
    others: tuple[str, ...]
    """Numbers of the extensions that are not read."""
    anchored: bool | None
    """Whether an authority that is trusted here issued it; None where none of its issuer's name was named."""

    def in_period(self, at: datetime) -> bool:
        return self.not_before <= at <= self.not_after


def is_certificate(data: bytes) -> bool:
    """Whether somebody handed in a certificate instead of a document."""
    return data.lstrip().startswith(_PEM) or (data.startswith(_DER) and len(data) <= MAX_CERTIFICATE)


def read(data: bytes, *, anchors: Sequence[bytes]) -> AgentCertificate | None:
    """What `data` (DER or PEM) states; None where it cannot be read. Never raises on hostile bytes."""
    try:
        found = parse(_der(data))
        return _facts(found, anchors)
    except (BrokerError, ValueError, TypeError):
        return None


def _der(data: bytes) -> bytes:
    if not data.lstrip().startswith(_PEM):
        return data
    if len(data) > 2 * MAX_CERTIFICATE:
        raise ValueError("longer than one certificate")
    return x509.load_pem_x509_certificate(data).public_bytes(Encoding.DER)


def _facts(found: UnverifiedCertificate, anchors: Sequence[bytes]) -> AgentCertificate:
    alternative = found.extension(x509.SubjectAlternativeName)
    names = [] if alternative is None else alternative.value.get_values_for_type(x509.DirectoryName)
    named = [issuer for each in anchors if (issuer := parse(each)).x509.subject == found.x509.issuer]
    stated = [(_kind(part), str(part.value)[:MAX_VALUE]) for name in names for part in name]
    return AgentCertificate(
        subject=found.x509.subject.rfc4514_string()[: 2 * MAX_VALUE],
        issuer=found.x509.issuer.rfc4514_string()[: 2 * MAX_VALUE],
        not_before=found.not_before,
        not_after=found.not_after,
        stated=tuple(stated[:MAX_NAMES]),
        others=tuple(
            each.oid.dotted_string
            for each in found.x509.extensions
            if isinstance(each.value, x509.UnrecognizedExtension)
        ),
        anchored=any(_issued(found, issuer) for issuer in named) if named else None,
    )


def _kind(part: x509.NameAttribute[Any]) -> str:
    return x509.Name([part]).rfc4514_string().partition("=")[0]


def _issued(leaf: UnverifiedCertificate, issuer: UnverifiedCertificate) -> bool:
    try:
        leaf.x509.verify_directly_issued_by(issuer.x509)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True
