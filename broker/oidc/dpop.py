"""Demonstrating proof of possession (DPoP, RFC 9449): is this request made by the holder of that key?

A proof is a JWS over the request's method and address by a key that it carries itself. What is judged here is one
request; that a `jti` is used once is the store's promise, for as long as `Proof.expires_at` says.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from broker.errors import InvalidDPoPProof, InvalidToken, UseDPoPNonce
from broker.jose import b64url, parse_claims, verify_self_signed

PROOF_TYPE: Final = "dpop+jwt"
ALGORITHMS: Final = ("ES256", "PS256", "EdDSA")
"""`dpop_signing_alg_values_supported` (RFC 9449 §5.1); RS256 is none of FAPI 2.0's (§5.4)."""
MAX_PROOF: Final = 8 * 1024
"""Characters. A proof by an RSA key of 8192 bits has about 4,000."""
MAX_JTI: Final = 256
MAX_URL: Final = 2048
MAX_AGE: Final = timedelta(seconds=60)
"""How old a proof without a nonce may be (RFC 9449 §11.1)."""
SKEW: Final = timedelta(seconds=10)
"""How far a proof may come from ahead of our clock; also how far the clocks of our own hosts may lie apart."""
NONCE_STEP: Final = timedelta(seconds=60)
NONCE_STEPS: Final = 3
"""A nonce is good for the step that it was minted in and the two after it: two to three minutes."""
MIN_NONCE_KEY: Final = 32

_LABEL: Final = b"jpki-broker dpop nonce\0"
_NONCE: Final = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
_URL: Final = re.compile(  # RFC 3986 §3 and RFC 9110 §4.2, without user information
    r"(?P<scheme>https?)://(?P<host>\[[0-9a-f:.]+\]|(?:[a-z0-9._~!$&'()*+,;=-]|%[0-9a-f]{2})+)(?::(?P<port>[0-9]{0,5}))?"
    r"(?P<path>(?:/(?:[a-z0-9._~!$&'()*+,;=:@-]|%[0-9a-f]{2})*)*)"
    r"(?:\?(?:[a-z0-9._~!$&'()*+,;=:@/?-]|%[0-9a-f]{2})*)?(?:\#(?:[a-z0-9._~!$&'()*+,;=:@/?-]|%[0-9a-f]{2})*)?",
    re.ASCII | re.IGNORECASE,
)
_PERCENT: Final = re.compile(r"%([0-9A-Fa-f]{2})")
_UNRESERVED: Final = re.compile(r"[A-Za-z0-9._~-]", re.ASCII)
_DEFAULT_PORT: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True, kw_only=True)
class NonceKeys:
    """The secrets behind our nonces, the same on every host: the first mints, each of them recognises.

    At least 32 bytes each. To replace one: append the new one on every host, then put it first on every host, and
    drop the old one three minutes later.
    """

    secrets: tuple[bytes, ...] = field(repr=False)

    def __post_init__(self) -> None:
        if not self.secrets or any(len(secret) < MIN_NONCE_KEY for secret in self.secrets):
            raise ValueError(f"nonce secrets have at least {MIN_NONCE_KEY} bytes, and there is at least one")


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """A judged proof. `jti` may be used once by the key `jkt` until `expires_at`, when the proof is too old anyway."""

    jkt: str
    """SHA-256 thumbprint of the key (RFC 7638): what a token's `cnf.jkt` says (RFC 9449 §6.1)."""
    jti: str
    iat: datetime
    expires_at: datetime


def check_proof(
    proof_header_values: Sequence[str],
    *,
    method: str,
    url: str,
    now: datetime,
    nonces: NonceKeys | None,
    access_token: str | None,
    expected_jkt: str | None,
) -> Proof:
    """Judge the DPoP proof of one request (RFC 9449 §4.3). Raises InvalidDPoPProof, UseDPoPNonce.

    `proof_header_values` are the values of every `DPoP` field of the request; two joined by a comma, as WSGI hands
    them over, are refused like two. `url` is the endpoint as its clients know it, from configuration and never from
    a Host header. With `nonces` the proof must carry a nonce of ours, which then judges its age in place of `iat`;
    without, any nonce is ignored. `access_token` is the token sent along, at a protected resource; `expected_jkt` the
    key that a code, refresh token or access token is bound to.
    """
    if len(proof_header_values) != 1:
        raise InvalidDPoPProof("exactly one DPoP proof is required")
    proof = proof_header_values[0]
    if len(proof) > MAX_PROOF:
        raise InvalidDPoPProof("proof is too long")
    try:
        payload, jkt = verify_self_signed(proof, algorithms=ALGORITHMS, typ=PROOF_TYPE)
        claims = parse_claims(payload)
    except InvalidToken as invalid:
        raise InvalidDPoPProof(f"proof does not hold: {invalid}") from invalid
    jti = claims.get("jti")
    if not isinstance(jti, str) or not 1 <= len(jti) <= MAX_JTI:
        raise InvalidDPoPProof("jti is required")
    if claims.get("htm") != method:
        raise InvalidDPoPProof("htm is not this request's method")
    if not _same_address(claims.get("htu"), url):
        raise InvalidDPoPProof("htu is not this endpoint")
    if "iat" not in claims:
        raise InvalidDPoPProof("iat is required")
    if access_token is not None and not _equal(claims.get("ath"), token_hash(access_token)):
        raise InvalidDPoPProof("ath is not the hash of this access token")
    if expected_jkt is not None and not hmac.compare_digest(jkt.encode(), expected_jkt.encode()):
        raise InvalidDPoPProof("proof is by another key than the one it must be")
    issued = claims["iat"]
    fresh_until = _fresh_until(issued, now) if nonces is None else _nonce_until(claims.get("nonce"), nonces, now)
    return Proof(jkt=jkt, jti=jti, iat=datetime.fromtimestamp(issued, tz=UTC), expires_at=fresh_until + SKEW)


def token_hash(access_token: str) -> str:
    """What `ath` says of an access token (RFC 9449 §4.2): its SHA-256, base64url."""
    return b64url(hashlib.sha256(access_token.encode("utf-8", "replace")).digest())


def _equal(value: object, expected: str) -> bool:
    return isinstance(value, str) and hmac.compare_digest(value.encode(), expected.encode())


def _fresh_until(issued: float, now: datetime) -> datetime:
    seconds = now.timestamp()
    if issued > seconds + SKEW.total_seconds():
        raise InvalidDPoPProof("iat lies in the future")
    if issued + MAX_AGE.total_seconds() <= seconds:
        raise InvalidDPoPProof("proof is too old")
    return datetime.fromtimestamp(issued, tz=UTC) + MAX_AGE


# --- nonces ----------------------------------------------------------------------------------------------------------


def mint_nonce(secret: bytes, now: datetime) -> str:
    """The nonce of this minute (RFC 9449 §8): 43 characters that every host with `secret` recognises, kept nowhere.

    It tells nothing about a client and may be given to any number of them: what is used once is a proof's `jti`.
    """
    return _nonce_of(secret, _step(now))


def nonce_is_fresh(nonce: str, keys: NonceKeys, now: datetime) -> bool:
    """Whether a host of ours minted `nonce` within the last minutes."""
    return _age(nonce, keys, now) is not None


def _nonce_until(nonce: object, keys: NonceKeys, now: datetime) -> datetime:
    if nonce is None:
        raise UseDPoPNonce("proof carries no nonce")
    if not isinstance(nonce, str):
        raise InvalidDPoPProof("nonce is not a string")
    age = _age(nonce, keys, now)
    if age is None:
        raise UseDPoPNonce("nonce is not ours, or has run out")
    last = _step(now) - age + NONCE_STEPS
    return datetime.fromtimestamp(last * NONCE_STEP.total_seconds(), tz=UTC)


def _age(nonce: str, keys: NonceKeys, now: datetime) -> int | None:
    """Steps since `nonce` was minted (-1: by a host whose clock is ahead), or None. Takes the same time for each."""
    if not _NONCE.fullmatch(nonce):
        return None
    ages = range(-1, NONCE_STEPS)
    matches = [
        age
        for secret in keys.secrets
        for age in ages
        if hmac.compare_digest(_nonce_of(secret, _step(now) - age), nonce)
    ]
    return matches[0] if matches else None


def _step(now: datetime) -> int:
    return int(now.timestamp() // NONCE_STEP.total_seconds())


def _nonce_of(secret: bytes, step: int) -> str:
    return b64url(hmac.digest(secret, _LABEL + step.to_bytes(8, "big"), "sha256"))


# --- htu -------------------------------------------------------------------------------------------------------------


def _same_address(htu: Any, url: str) -> bool:
    if not isinstance(htu, str):
        return False
    expected = _address(url)
    if expected is None:
        raise ValueError("the endpoint's own address is not an http URL")
    return _address(htu) == expected


def _address(url: str) -> tuple[str, str, int, str] | None:
    """Scheme, host, port and path of an http or https URL in their normal form, or None where it is none.

    RFC 9449 §4.3: without query and fragment, after the normalisation of RFC 3986 §6.2.2 (case, percent-encoding,
    dot segments) and §6.2.3 (default port, empty path).
    """
    if len(url) > MAX_URL:
        return None
    parts = _URL.fullmatch(url)
    if parts is None:
        return None
    scheme = parts["scheme"].lower()
    port = int(parts["port"]) if parts["port"] else _DEFAULT_PORT[scheme]
    host = _plain(parts["host"]).lower()
    return scheme, host, port, _without_dots(_plain(parts["path"]) or "/")


def _plain(text: str) -> str:
    """Percent-encoded only where it must be, in capitals (RFC 3986 §6.2.2.1, §6.2.2.2)."""

    def spell(match: re.Match[str]) -> str:
        character = chr(int(match[1], 16))
        return character if _UNRESERVED.fullmatch(character) else match[0].upper()

    return _PERCENT.sub(spell, text)


def _without_dots(path: str) -> str:
    """Without `.` and `..` segments (RFC 3986 §5.2.4); `path` begins with a slash."""
    kept: list[str] = []
    segments = path.split("/")[1:]
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in {".", ".."}:
        kept.append("")
    return "/" + "/".join(kept)
