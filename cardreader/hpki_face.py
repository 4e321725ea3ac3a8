"""What an HPKI card shows before any PIN: of each of its two applications the licence, the dates and the tries left."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from cryptography import x509

from cardreader.apdu import Conversation
from cardreader.errors import MalformedCardData, NotHPKICard
from cardreader.hcrole import hc_roles
from cardreader.hpki_ap import HPKIApplication, open_application, read_certificate, select, tries_left


@dataclass(frozen=True, slots=True, kw_only=True)
class HPKIFace:
    """One application. `roles` is the certificate's own word; times are aware UTC; `tries_left` None if not told."""

    certificate: bytes = field(repr=False)
    roles: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    tries_left: int | None


def read_faces() -> Conversation[dict[HPKIApplication, HPKIFace]]:
    """Every application that the card has, at least one; uses no try.

    Raises NotHPKICard, PINRequired, MalformedCardData, UnexpectedStatus.
    """
    faces = {}
    for application in HPKIApplication:
        if (yield from select(application)):
            faces[application] = yield from _read_face(application)
    if not faces:
        raise NotHPKICard("the card has neither HPKI application")
    return faces


def _read_face(application: HPKIApplication) -> Conversation[HPKIFace]:
    objects = yield from open_application(application)
    certificate = yield from read_certificate(objects)
    left = yield from tries_left(objects)
    try:
        parsed = x509.load_der_x509_certificate(certificate)
        begins, ends = parsed.not_valid_before_utc, parsed.not_valid_after_utc
    except (ValueError, x509.InvalidVersion):
        raise MalformedCardData("the certificate cannot be read") from None
    return HPKIFace(
        certificate=certificate, roles=hc_roles(certificate), not_before=begins, not_after=ends, tries_left=left
    )
