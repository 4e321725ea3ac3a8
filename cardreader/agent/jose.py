"""The strict gate for compact JWS: all is judged before a key is touched, and nothing in a token chooses its key.

Deliberately the agent's own: it shares no code with the broker, so that one mistake is not made on both sides.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from joserfc.jwk import ECKey
from jwt.algorithms import ECAlgorithm

from cardreader.errors import RequestMalformed, RequestSignatureInvalid

MAX_JWS = 32 * 1024  # bytes; ten documents with long names take about 20,000
MAX_DEPTH = 16
_BASE64URL = re.compile(r"[A-Za-z0-9_-]*\Z")
_JSON_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_PUBLIC_EC_MEMBERS = frozenset({"kty", "crv", "x", "y"})


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicKey:
    """A public EC P-256 key and its RFC 7638 SHA-256 thumbprint (base64url)."""

    jwk: Mapping[str, str]
    thumbprint: str
    key: ec.EllipticCurvePublicKey = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnverifiedJWS:
    """A token taken apart. Its claims mean nothing until `verify` has returned them."""

    kid: str
    claims: Mapping[str, Any] = field(repr=False)
    signing_input: bytes = field(repr=False)
    signature: bytes = field(repr=False)


def decode_base64url(text: object, *, what: str) -> bytes:
    """Unpadded base64url in its one canonical form (RFC 7515 section 2). Raises RequestMalformed naming `what`."""
    if not isinstance(text, str) or not _BASE64URL.match(text) or len(text) % 4 == 1:
        raise RequestMalformed(f"{what} is not base64url")
    raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if encode_base64url(raw) != text:
        raise RequestMalformed(f"{what} is not canonical base64url")
    return raw


def encode_base64url(raw: bytes) -> str:
    """Unpadded base64url (RFC 7515 section 2)."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def decode_base64(text: object, *, what: str) -> bytes:
    """Standard padded base64 (RFC 4648 section 4), canonical. Raises RequestMalformed naming `what`."""
    try:
        raw = base64.b64decode(text if isinstance(text, str) else "*", validate=True)
    except (binascii.Error, ValueError):
        raise RequestMalformed(f"{what} is not base64") from None
    if base64.b64encode(raw).decode("ascii") != text:
        raise RequestMalformed(f"{what} is not canonical base64")
    return raw


def parse_json(text: str | bytes, *, what: str) -> Any:  # JSON may be anything: callers judge what came
    """JSON without duplicate members, NaN, floats or deep nesting. Raises RequestMalformed naming `what`."""
    try:
        decoded = text.decode("utf-8") if isinstance(text, bytes) else text
        if _depth(decoded) > MAX_DEPTH:
            raise RequestMalformed(f"{what} is nested too deeply")
        value = json.loads(
            decoded, object_pairs_hook=_unique_members, parse_constant=_no_number, parse_float=_no_number
        )
        json.dumps(value, ensure_ascii=False).encode("utf-8")  # lone surrogates cannot be hashed as UTF-8
    except (ValueError, RecursionError):
        raise RequestMalformed(f"{what} is not the JSON it should be") from None
    return value


def canonical_json(value: object) -> str:
    """RFC 8785 for values without fractions: members by UTF-16 code units, no spaces, shortest escapes."""
    if isinstance(value, dict):
        members = sorted(value.items(), key=lambda member: member[0].encode("utf-16-be"))
        return "{" + ",".join(f"{canonical_json(name)}:{canonical_json(item)}" for name, item in members) + "}"
    if isinstance(value, list):
        return "[" + ",".join(canonical_json(item) for item in value) + "]"
    return json.dumps(value, ensure_ascii=False)


def parse_public_key(jwk: object, *, what: str) -> PublicKey:
    """A public EC P-256 JWK with the members kty, crv, x and y and no other. Raises RequestMalformed naming `what`."""
    if not isinstance(jwk, dict) or jwk.keys() != _PUBLIC_EC_MEMBERS or (jwk["kty"], jwk["crv"]) != ("EC", "P-256"):
        raise RequestMalformed(f"{what} is not a public P-256 key")
    x, y = (decode_base64url(jwk[name], what=what) for name in ("x", "y"))
    if len(x) != 32 or len(y) != 32:
        raise RequestMalformed(f"{what} has coordinates of another length")
    try:
        numbers = ec.EllipticCurvePublicNumbers(int.from_bytes(x, "big"), int.from_bytes(y, "big"), ec.SECP256R1())
        key = numbers.public_key()
    except ValueError:
        raise RequestMalformed(f"{what} is not a point on the curve") from None
    members = {name: str(jwk[name]) for name in ("crv", "kty", "x", "y")}
    return PublicKey(jwk=members, thumbprint=ECKey.import_key(dict(members)).thumbprint(), key=key)


def parse_jws(token: object, *, typ: str) -> UnverifiedJWS:
    """Take a compact ES256 JWS apart; its header has alg, typ and kid and nothing else. Raises RequestMalformed."""
    if not isinstance(token, str) or len(token) > MAX_JWS or not token.isascii() or token.count(".") != 2:
        raise RequestMalformed(f"{typ} is not a compact JWS of at most {MAX_JWS} bytes")
    signing_input, _, signature_text = token.rpartition(".")
    header_text, _, payload_text = signing_input.partition(".")
    header = parse_json(decode_base64url(header_text, what="header"), what="header")
    if not isinstance(header, dict) or header.keys() != {"alg", "typ", "kid"}:
        raise RequestMalformed("header has not exactly alg, typ and kid")
    if header["alg"] != "ES256" or header["typ"] != typ or not isinstance(header["kid"], str):
        raise RequestMalformed(f"header is not that of an ES256 {typ}")
    claims = parse_json(decode_base64url(payload_text, what="payload"), what="payload")
    if not isinstance(claims, dict):
        raise RequestMalformed("payload is not a JSON object")
    signature = decode_base64url(signature_text, what="signature")
    return UnverifiedJWS(
        kid=header["kid"], claims=claims, signing_input=signing_input.encode("ascii"), signature=signature
    )


def verify(jws: UnverifiedJWS, key: PublicKey) -> Mapping[str, Any]:
    """The claims, once `key` is the one named and has signed them (RFC 7518 section 3.4).

    Raises RequestSignatureInvalid.
    """
    if jws.kid != key.thumbprint:
        raise RequestSignatureInvalid("kid is not the thumbprint of the expected key")
    if not ECAlgorithm(ECAlgorithm.SHA256).verify(jws.signing_input, key.key, jws.signature):
        raise RequestSignatureInvalid("the signature does not verify")
    return jws.claims


def _unique_members(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("duplicate member")
    return members


def _no_number(text: str) -> object:
    raise ValueError("a number we have no use for")


def _depth(text: str) -> int:
    deepest = depth = 0
    for bracket in re.findall(r"[][{}]", _JSON_STRING.sub("", text)):
        depth += 1 if bracket in "[{" else -1
        deepest = max(deepest, depth)
    return deepest
