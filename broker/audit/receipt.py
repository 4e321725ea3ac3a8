"""A receipt (証跡): what a client can show, years later, about one login, proof or signature.

It names the client, its pseudonym for the person, and the instant; what was shown and signed stands in it as SHA-256
alone, and of each certificate only that it was accepted, as what, and by which kind of evidence of which time. No
serial, name, address or certificate, and nothing of a revocation list or answer (R13).

The facts are fixed, and sealed, when the login is answered; the signature is made when the client asks for it.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from broker.errors import InvalidToken, ReceiptForged, ReceiptKeyUnknown
from broker.ids import ClientID, InteractionID, ReceiptID, Subject, TransactionID
from broker.jose import (
    Signer,
    b64url,
    b64url_decode,
    compact_json,
    parse_claims,
    parse_json,
    read_jws,
    sign_jws,
    verify_jws,
)

TYPE: Final = "receipt+jwt"
ALGORITHM: Final = "ES256"
MAX_DOCUMENTS: Final = 10
FIRST: Final = 0
LAST: Final = 2**128 - 1
"""Below and above every id."""
_ID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


class Kind(StrEnum):
    """What the resident did."""

    LOGIN = "login"
    PROOF = "proof"
    """Their name, address, birth date or sex was proved by the 署名用 certificate."""
    SIGN = "sign"
    """Documents of the client were signed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """That one certificate was accepted, and by what. The evidence itself never leaves (R13)."""

    use: str
    """The profile that it was held against (`jpki.profile`)."""
    kind: str
    """What holds the key: `plastic`, or a phone."""
    source: str
    """The kind of the revocation evidence: `crl`, `ocsp` or `platform`."""
    this_update: datetime | None
    """Of when that evidence is."""
    checked_at: datetime

    def members(self) -> dict[str, Any]:
        """As a receipt shows it."""
        revocation: dict[str, Any] = {"source": self.source}
        if self.this_update is not None:
            revocation["this_update"] = _seconds(self.this_update)
        return {
            "use": self.use,
            "kind": self.kind,
            "accepted": True,
            "checked_at": _seconds(self.checked_at),
            "revocation": revocation,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedDocument:
    """One document that the 署名用 key signed. Its name is left out: it may name a person."""

    sha256: bytes
    """Of the document as it was shown; of a raw signature, the digest that was signed."""
    form: str
    """`cades`, `pades` or `raw`."""
    signature: bytes
    """SHA-256 of the CMS (DER), or of the raw signature."""

    def members(self) -> dict[str, Any]:
        """As a receipt shows it."""
        return {"sha256": b64url(self.sha256), "form": self.form, "signature": b64url(self.signature)}


@dataclass(frozen=True, slots=True, kw_only=True)
class CardEvidence:
    """What one judged answer of a card leaves in the receipt. Made where the answer is judged."""

    kind: Kind
    transaction_id: TransactionID
    tag: str
    action: str = field(repr=False)
    """The bytes that the auth key signed as shown (design 4.4)."""
    frame: bytes = field(repr=False)
    decisions: tuple[Decision, ...]
    documents: tuple[SignedDocument, ...] = ()

    def to_json(self) -> str:
        """Its part of the facts: hashes in the place of what was shown and signed."""
        signed: dict[str, Any] = {
            "tag": self.tag,
            "transaction": self.transaction_id,
            "frame": _sha256(self.frame),
        }
        if self.documents:
            signed["documents"] = [document.members() for document in self.documents]
        return compact_json(
            {
                "kind": self.kind.value,
                "shown": {"action": _sha256(self.action.encode())},
                "signed": signed,
                "certificates": [decision.members() for decision in self.decisions],
            }
        ).decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """When and to whom it happened."""

    receipt_id: ReceiptID
    issuer: str
    client_id: ClientID
    subject: Subject = field(repr=False)
    interaction_id: InteractionID
    at: datetime
    auth_time: datetime
    acr: str | None
    amr: tuple[str, ...]
    scope: frozenset[str]
    evidence: Mapping[str, Any] = field(repr=False)
    """What `CardEvidence.to_json` wrote."""

    @property
    def kind(self) -> Kind:
        return Kind(self.evidence["kind"])


def facts(happened: Happened) -> bytes:
    """Everything that the receipt will say, as it is sealed: JSON whose octets never change afterwards."""
    told: dict[str, Any] = {
        "iss": happened.issuer,
        "aud": happened.client_id,
        "sub": happened.subject,
        "jti": happened.receipt_id,
        "txn": happened.interaction_id,  # RFC 8417 §2.2, as is `toe`
        "toe": _seconds(happened.at),
        "auth_time": _seconds(happened.auth_time),
        "scope": " ".join(sorted(happened.scope)),
    }
    if happened.acr is not None:
        told["acr"] = happened.acr
    if happened.amr:
        told["amr"] = list(happened.amr)
    return compact_json(told | dict(happened.evidence))


def sign(sealed_facts: bytes, *, signer: Signer, now: datetime) -> str:
    """The receipt over `facts`. `iat` is when it was signed, `toe` when it happened. Raises StoreUnavailable."""
    return sign_jws({"iat": _seconds(now), **parse_json(sealed_facts)}, signer=signer, typ=TYPE)


def new_id(at: datetime, randomness: bytes) -> ReceiptID:
    """A UUID of version 7 (RFC 9562 §5.7): its order is that of time. `randomness` are 10 octets."""
    octets = bytearray((int(at.timestamp()) * 1000 + at.microsecond // 1000).to_bytes(6, "big") + randomness)
    octets[6] = 0x70 | octets[6] & 0x0F
    octets[8] = 0x80 | octets[8] & 0x3F
    return ReceiptID(str(uuid.UUID(bytes=bytes(octets))))


def bound(at: datetime | None, *, otherwise: int) -> ReceiptID:
    """Greater than every id from before `at`, smaller than those of `at` and later. Without a time, `otherwise`."""
    value = otherwise if at is None else uuid.UUID(new_id(at, bytes(10))).int - 1
    return ReceiptID(str(uuid.UUID(int=value)))


def is_id(text: str) -> bool:
    """Whether `text` is spelled as `new_id` spells."""
    return _ID.fullmatch(text) is not None


# --- checking --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """A receipt whose signature holds, by a key of `kid` (RFC 7638) that signed at that time."""

    kid: str
    claims: Mapping[str, Any] = field(repr=False)

    def covers(self, document: bytes) -> bool:
        """Whether this very document was signed (a raw signature: whether this is what its digest is of)."""
        documents = self.claims["signed"].get("documents", ())
        return any(each["sha256"] == _sha256(document) for each in documents)


def verify(token: str | bytes, *, keys: Mapping[str, Any]) -> Receipt:
    """Check a receipt with what the issuer published as its receipt keys. No clock: it holds for ever.

    `keys` come from the issuer or from one's own archive, never with the receipt. Raises ReceiptForged (altered, or
    never ours), ReceiptKeyUnknown (nothing can be told: the keys do not have the one it names).
    """
    try:
        read = read_jws(token)
        if read.kid is None:
            raise InvalidToken("it names no key")
        claims = parse_claims(read.payload)
    except InvalidToken as broken:
        raise ReceiptForged(f"not a receipt: {broken}") from broken
    listed = keys.get("keys")
    if not isinstance(listed, list):
        raise ReceiptKeyUnknown("the keys are no JWK Set")
    named = [jwk for jwk in listed if isinstance(jwk, dict) and jwk.get("kid") == read.kid]
    if not named:
        raise ReceiptKeyUnknown("the keys do not have the one that this receipt names")
    try:
        verify_jws(read, jwks={"keys": named}, algorithms=(ALGORITHM,), typ=TYPE)
        _check_form(claims)
    except InvalidToken as broken:
        raise ReceiptForged(str(broken)) from broken
    if claims["iss"] != keys.get("issuer", claims["iss"]):
        raise ReceiptForged("it names another issuer than its key's")
    if not named[0].get("nbf", 0) <= claims["iat"] <= named[0].get("exp", claims["iat"]):
        raise ReceiptForged("it was signed at a time when its key did not sign")
    return Receipt(kid=read.kid, claims=claims)


def _check_form(claims: Mapping[str, Any]) -> None:
    """What every receipt has; a later version may say more. Raises InvalidToken."""
    for name in ("iss", "aud", "sub", "jti", "txn", "kind"):
        if not isinstance(claims.get(name), str):
            raise InvalidToken(f"it lacks {name}")
    for name in ("iat", "toe"):
        if not isinstance(claims.get(name), int):
            raise InvalidToken(f"it lacks {name}")
    if claims["toe"] > claims["iat"]:
        raise InvalidToken("it was signed before it happened")
    shown, signed, certificates = (claims.get(name) for name in ("shown", "signed", "certificates"))
    if not isinstance(shown, dict) or not isinstance(signed, dict) or not isinstance(certificates, list):
        raise InvalidToken("it does not say what was shown, signed and decided")
    documents = signed.get("documents", [])
    if not isinstance(documents, list) or len(documents) > MAX_DOCUMENTS:
        raise InvalidToken(f"it lists at most {MAX_DOCUMENTS} documents")
    for text in (shown.get("action"), signed.get("frame"), *(_hash_of(document) for document in documents)):
        if not isinstance(text, str) or len(b64url_decode(text)) != 32:
            raise InvalidToken("a hash in it is no SHA-256")


def _hash_of(document: Any) -> Any:
    return document.get("sha256") if isinstance(document, dict) else None


def _sha256(data: bytes) -> str:
    return b64url(hashlib.sha256(data).digest())


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())
