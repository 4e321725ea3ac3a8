"""What the card signs, and whether it did (design 4.4).

The agent builds the same bytes from its own code; `tests/vectors/card-frame/frames.json` ties the two. The
broker rebuilds every byte from its own store: nothing that came back from the browser enters a frame except
the certificate, which the signature itself then vouches for.
"""

from __future__ import annotations

import functools
import hashlib
import struct
from dataclasses import dataclass, field
from typing import Final

from asn1crypto import keys as asn1_keys
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from broker.errors import InvalidToken, SignatureInvalid
from broker.jose import SignatureKey, signature_holds

AUTH: Final = "JPKI-FED-AUTH/1"
LINK_START: Final = "JPKI-FED-LINK-START/1"
LINK_COMMIT: Final = "JPKI-FED-LINK-COMMIT/1"
CONSENT: Final = "JPKI-FED-CONSENT/1"
PROOF: Final = "JPKI-FED-PROOF/1"
MANDATE: Final = "JPKI-FED-MANDATE/1"
ACCEPT: Final = "JPKI-FED-ACCEPT/1"
PROFESSION: Final = "JPKI-FED-PROFESSION/1"
"""By an HPKI card's key, and no other."""
JOINT: Final = "JPKI-FED-JOINT/1"
TAGS: Final = frozenset({AUTH, LINK_START, LINK_COMMIT, CONSENT, PROOF, MANDATE, ACCEPT, PROFESSION, JOINT})
"""Every purpose the auth key may sign for; a frame of one is never a frame of another."""

CARD_ALGORITHMS: Final = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"})
"""JWA names (RFC 7518 §3.1) a card key may sign with: RSA today, P-384 on the next card."""

MAX_MESSAGE: Final = 1024 * 1024
MAX_SPKI: Final = 2 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class CardChallenge:
    """One request to a card, as the broker stored it when it was issued.

    Strings are exactly those of the signed request; they are hashed as UTF-8. `issued_at_ms` is the broker's
    own clock in milliseconds since 1970 (the request's `iat` times 1000). `previous` is the whole frame of the
    step before, for LINK_COMMIT only. Raises ValueError: a record that breaks these rules is our own fault.
    """

    tag: str
    issuer: str
    origin: str
    request_key_thumbprint: str
    nonce: bytes = field(repr=False)
    client_id: str
    transaction: str
    action: str = "{}"
    previous: bytes = field(default=b"", repr=False)
    issued_at_ms: int

    def __post_init__(self) -> None:
        if self.tag not in TAGS:
            raise ValueError("unknown tag")
        if len(self.nonce) != 32:
            raise ValueError("the nonce is 32 bytes")
        if not self.action:
            raise ValueError("no action is written {}")
        if bool(self.previous) is not (self.tag == LINK_COMMIT):
            raise ValueError("the previous frame belongs to a link's commit, and to nothing else")
        if not 0 <= self.issued_at_ms < 2**64:
            raise ValueError("the time does not fit 64 bits")


def frame(challenge: CardChallenge, certificate: bytes) -> bytes:
    """The bytes the card's key signs (with SHA-256, as RS256) for `challenge`; `certificate` is the card's, in DER.

    Every variable part is hashed before it is joined, so no two challenges share a frame.
    """
    parts = (
        challenge.issuer.encode(),
        challenge.origin.encode(),
        challenge.request_key_thumbprint.encode(),
        challenge.nonce,
        challenge.client_id.encode(),
        challenge.transaction.encode(),
        challenge.action.encode(),
        challenge.previous,
    )
    return b"".join(
        (
            challenge.tag.encode("ascii"),
            b"\x00",
            *(hashlib.sha256(part).digest() for part in parts),
            struct.pack(">Q", challenge.issued_at_ms),
            hashlib.sha256(certificate).digest(),
        )
    )


def verify_signature(spki: bytes, message: bytes, signature: bytes, *, algorithm: str) -> None:
    """Check that the key of DER SubjectPublicKeyInfo `spki` signed `message`. Raises SignatureInvalid.

    `algorithm` is a JWA name (RFC 7518 §3.1) out of CARD_ALGORITHMS. ES* signatures are R and S side by side
    (§3.4), PS* salts are as long as the hash (§3.5), RSA keys have 2048 bits or more (§3.3) and the curve is
    the algorithm's own.
    """
    if algorithm not in CARD_ALGORITHMS:
        raise SignatureInvalid("not an algorithm a card may sign with")
    if len(message) > MAX_MESSAGE:
        raise SignatureInvalid("message is longer than any frame")
    key = _load_spki(bytes(spki), algorithm)
    try:
        holds = signature_holds(algorithm, key, message, signature)
    except InvalidToken as error:
        raise SignatureInvalid(str(error)) from None
    if not holds:
        raise SignatureInvalid("signature is not by this key over these bytes")


@functools.lru_cache(maxsize=256)
def _load_spki(spki: bytes, algorithm: str) -> SignatureKey:
    """The key in `spki`, which must be the one DER form of it: no other encoding of the same key passes."""
    if len(spki) > MAX_SPKI:
        raise SignatureInvalid("public key is too long")
    try:
        key = load_der_public_key(spki)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise SignatureInvalid("public key cannot be read") from None
    if not isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
        raise SignatureInvalid("public key is of another kind")
    if key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) != spki and not (
        algorithm.startswith("PS") and _restricted_to(spki, algorithm)
    ):
        raise SignatureInvalid("public key is not in its DER form, or is bound to another algorithm")
    return key


def _restricted_to(spki: bytes, algorithm: str) -> bool:
    """Whether `spki` is an id-RSASSA-PSS key whose parameters admit `algorithm` (RFC 4055 §3.1, §1.2)."""
    digest = f"sha{algorithm[2:]}"
    try:
        info = asn1_keys.PublicKeyInfo.load(spki, strict=True)
        if info["algorithm"]["algorithm"].native != "rsassa_pss":
            return False
        parameters = info["algorithm"]["parameters"].native
        if parameters is None:  # unrestricted key
            return True
        return bool(
            parameters["hash_algorithm"]["algorithm"] == digest
            and parameters["mask_gen_algorithm"]["algorithm"] == "mgf1"
            and parameters["mask_gen_algorithm"]["parameters"]["algorithm"] == digest
            and parameters["salt_length"] <= int(algorithm[2:]) // 8
        )
    except (ValueError, TypeError, KeyError, AttributeError):
        return False
