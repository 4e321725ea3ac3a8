"""A terminal that everybody uses: enrolled by its key, and what it may be used for (R4, design 4.14)."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from broker.errors import InvalidToken, KioskRefused
from broker.ids import KioskID
from broker.jose import b64url, compact_json, parse_json, read_jws, verify_jws

ALGORITHM: Final = "ES256"
TYP: Final = "kiosk-answer+jwt"
MAX_DEVICE: Final = 2048
"""Octets of a device's signature: a header, four short claims and 64 octets."""
MAX_NAME: Final = 100
"""Characters of what an operator calls a kiosk."""


class SiteAct(StrEnum):
    """What is off at every kiosk unless its site allows it: acts that need a quiet place of one's own."""

    LINK = "link"
    PROOF = "proof"
    SIGN = "sign"
    MANDATE = "mandate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kiosk:
    """One enrolled terminal. It is known by its key alone; a stopped one never comes back."""

    kiosk_id: KioskID
    name: str
    """Where it stands, for operators and the audit record."""
    key: Mapping[str, Any] = field(repr=False)
    """Public, P-256 (RFC 7517)."""
    thumbprint: str
    """RFC 7638, SHA-256."""
    start_url: str
    """The page of a service with which each session begins."""
    allows: frozenset[SiteAct] = frozenset()
    enrolled_at: datetime
    stopped_at: datetime | None = None


def check_device(kiosk: Kiosk, device: str, envelope: Mapping[str, Any], *, transaction: str, issuer: str) -> None:
    """The kiosk's key signed this very answer, to this broker, in this card transaction. Raises KioskRefused.

    `device` is a compact JWS over aud, jti and `answer`: the SHA-256 of every other member of the answer, as JSON
    with sorted names and no spaces (the form of RFC 8785 for what an answer is made of: names, texts and lists).
    """
    if kiosk.stopped_at is not None:
        raise KioskRefused("the kiosk was stopped")
    try:
        payload = verify_jws(
            device, jwks={"keys": [{**kiosk.key, "kid": kiosk.thumbprint}]}, algorithms={ALGORITHM}, typ=TYP
        )
        claims = parse_json(payload, limit=MAX_DEVICE)
    except InvalidToken as invalid:
        raise KioskRefused("the device's signature does not hold") from invalid
    expected = {"aud": issuer, "jti": transaction, "answer": answer_digest(envelope)}
    if claims.keys() != expected.keys() or not all(
        isinstance(claims[name], str) and hmac.compare_digest(claims[name].encode(), value.encode())
        for name, value in expected.items()
    ):
        raise KioskRefused("the device signed another answer")


def key_named(device: str) -> str:
    """Whose signature it says it is: good for finding the kiosk, for nothing else. Raises KioskRefused."""
    try:
        if len(device) > MAX_DEVICE:
            raise InvalidToken("too long")
        kid = read_jws(device).kid
    except InvalidToken as malformed:
        raise KioskRefused("not the signature of a device") from malformed
    if not kid:
        raise KioskRefused("the device's signature names no key")
    return kid


def answer_digest(envelope: Mapping[str, Any]) -> str:
    """What a device signs of an answer (`check_device`)."""
    members = {name: envelope[name] for name in sorted(envelope) if name != "device"}
    return b64url(hashlib.sha256(compact_json(members)).digest())
