"""Compact JWS: reading, choosing the key, verifying, signing (RFC 7515, 7517 §4, 8725)."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Protocol

from broker.errors import InvalidToken
from broker.jose.encoding import MAX_TOKEN, b64url, b64url_decode, compact_json, parse_json
from broker.jose.keys import (
    CURVE_OF_ALGORITHM,
    KEY_TYPE,
    PRIVATE_MEMBERS,
    load_public_key,
    load_stranger,
    signature_holds,
    thumbprint_of_loaded,
)

MAX_KEYS: Final = 100
_SAME: Final = {"Ed25519": "EdDSA"}
"""RFC 9864 gives the curve's own name to what RFC 8037 called EdDSA; we know one curve, so both say the same."""
_REFUSED_HEADERS: Final = frozenset({"crit", "b64", "jku", "jwk", "x5u", "x5c", "zip"})


class Signer(Protocol):
    """A private key held anywhere (file, PKCS#11): names itself and signs.

    `sign` returns the JOSE form (RFC 7518 §3.4: R and S side by side for ES*), never DER.
    """

    @property
    def alg(self) -> str: ...
    @property
    def kid(self) -> str: ...
    def sign(self, data: bytes, /) -> bytes: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class UnverifiedJWS:
    """A well-formed compact JWS whose signature nobody has checked: good for finding the key, for nothing else."""

    header: Mapping[str, Any]
    payload: bytes = field(repr=False)
    signing_input: bytes = field(repr=False)
    signature: bytes = field(repr=False)

    @property
    def kid(self) -> str | None:
        """The key it names (RFC 7515 §4.1.4)."""
        kid: str | None = self.header.get("kid")
        return kid


def read_jws(token: str | bytes) -> UnverifiedJWS:
    """Take a compact JWS apart (RFC 7515 §7.1). Raises InvalidToken."""
    return _split(token)


def verify_jws(
    token: str | bytes | UnverifiedJWS, *, jwks: Mapping[str, Any], algorithms: Collection[str], typ: str | None = None
) -> bytes:
    """The payload of compact JWS `token`, signed by a key of the JWK Set `jwks` (RFC 7515 §5.2). Raises InvalidToken.

    `algorithms` are the JWA names the caller accepts; `none` is never one. The key is the one `kid` names, or the
    set's only fitting key when the header has no `kid`. `typ`, where given, must be the header's (§4.1.9).
    """
    read = token if isinstance(token, UnverifiedJWS) else _split(token)
    algorithm = _accepted(read.header, algorithms, typ)
    key = load_public_key(_choose(jwks, algorithm, read.kid))
    if not signature_holds(algorithm, key, read.signing_input, read.signature):
        raise InvalidToken("signature does not hold")
    return read.payload


def verify_self_signed(token: str | bytes, *, algorithms: Collection[str], typ: str) -> tuple[bytes, str]:
    """The payload of a compact JWS signed by the key in its own header (`jwk`, RFC 7515 §4.1.3), and that key's
    SHA-256 thumbprint (RFC 7638).

    Proves that the sender holds some key and never whose it is: for DPoP proofs (RFC 9449 §4.3) and nothing that
    names a person. The key is public, asymmetric and within the limits of every other. Raises InvalidToken.
    """
    read = _split(token, own_key=True)
    algorithm = _accepted(read.header, algorithms, typ)
    jwk = read.header.get("jwk")
    if not isinstance(jwk, dict):
        raise InvalidToken("header holds no key")
    if PRIVATE_MEMBERS & jwk.keys():
        raise InvalidToken("header holds a private key")
    if not _may_verify(jwk, algorithm):
        raise InvalidToken("key is not one for this algorithm")
    key = load_stranger(jwk)
    if not signature_holds(algorithm, key, read.signing_input, read.signature):
        raise InvalidToken("signature does not hold")
    return read.payload, thumbprint_of_loaded(jwk)


def _accepted(header: Mapping[str, Any], algorithms: Collection[str], typ: str | None) -> str:
    """The header's algorithm, where the caller takes it and the type."""
    algorithm: str = _SAME.get(header["alg"], header["alg"])
    if isinstance(algorithms, str):
        raise TypeError("algorithms is a collection of names")
    if algorithm not in algorithms or algorithm not in KEY_TYPE:
        raise InvalidToken("algorithm is not accepted")
    if typ is not None and _media_type(header.get("typ", "")) != _media_type(typ):
        raise InvalidToken("token is of another type")
    return algorithm


def _media_type(typ: str) -> str:
    return typ.lower().removeprefix("application/")


def ascii_token(token: str | bytes, *, limit: int = MAX_TOKEN) -> str:
    """`token` as text, at most `limit` octets of ASCII. Raises InvalidToken."""
    if len(token) > limit:
        raise InvalidToken("token is too long")
    try:
        return token.decode("ascii") if isinstance(token, bytes) else token.encode("ascii").decode("ascii")
    except UnicodeError:
        raise InvalidToken("token is not ASCII") from None


def _split(token: str | bytes, *, own_key: bool = False) -> UnverifiedJWS:
    text = ascii_token(token)
    segments = text.split(".", 3)
    if len(segments) != 3:
        raise InvalidToken("not a compact JWS")
    header = protected_header(segments[0], allowed=frozenset({"jwk"}) if own_key else frozenset())
    return UnverifiedJWS(
        header=header,
        payload=b64url_decode(segments[1]),
        signing_input=text.rpartition(".")[0].encode("ascii"),
        signature=b64url_decode(segments[2]),
    )


def protected_header(segment: str, *, allowed: frozenset[str] = frozenset()) -> Mapping[str, Any]:
    """The header in the first `segment` of a compact token, every member one that we serve. Raises InvalidToken.

    `allowed` are members that the caller judges himself, of those refused elsewhere. The headers of one sender are
    mostly alike: short ones are remembered.
    """
    return _remembered_header(segment, allowed) if len(segment) <= 256 else _header(segment, allowed)


def _header(segment: str, allowed: frozenset[str]) -> Mapping[str, Any]:
    header = parse_json(b64url_decode(segment))
    if refused := (_REFUSED_HEADERS - allowed) & header.keys():
        raise InvalidToken(f"header member {min(refused)} is not accepted")
    if not isinstance(header.get("alg"), str):
        raise InvalidToken("header names no algorithm")
    if not all(isinstance(header.get(name, ""), str) for name in ("typ", "cty", "kid")):
        raise InvalidToken("header member is not a string")
    return MappingProxyType(header)


_remembered_header: Final = functools.lru_cache(maxsize=256)(_header)


def fitting_keys(
    jwks: Mapping[str, Any], kid: str | None, may: Callable[[Mapping[str, Any]], bool]
) -> list[Mapping[str, Any]]:
    """The keys of a JWK Set that `may` serve and, where `kid` is given, are called so. Raises InvalidToken: no set."""
    members = jwks.get("keys")
    if not isinstance(members, list | tuple) or len(members) > MAX_KEYS:
        raise InvalidToken("not a JWK Set")
    return [jwk for jwk in members if isinstance(jwk, Mapping) and (kid is None or jwk.get("kid") == kid) and may(jwk)]


def _choose(jwks: Mapping[str, Any], algorithm: str, kid: str | None) -> Mapping[str, Any]:
    """The one key of the set that may check this signature; two that might are as bad as none."""
    fitting = fitting_keys(jwks, kid, lambda jwk: _may_verify(jwk, algorithm))
    if len(fitting) != 1:
        raise InvalidToken("no key for this token" if not fitting else "several keys for this token")
    return fitting[0]


def _may_verify(jwk: Mapping[str, Any], algorithm: str) -> bool:
    """Whether the JWK's own limits (RFC 7517 §4.1 to §4.4) admit checking a signature of `algorithm`."""
    if jwk.get("kty") != KEY_TYPE[algorithm]:
        return False
    if jwk.get("crv") != CURVE_OF_ALGORITHM.get(algorithm, jwk.get("crv")):
        return False
    named, operations = jwk.get("alg", algorithm), jwk.get("key_ops", ["verify"])
    return (
        jwk.get("use", "sig") == "sig"
        and isinstance(operations, list | tuple)
        and "verify" in operations
        and (named == algorithm or (isinstance(named, str) and _SAME.get(named) == algorithm))
    )


def sign_jws(
    claims: Mapping[str, Any] | bytes, *, signer: Signer, typ: str | None, header: Mapping[str, Any] | None = None
) -> str:
    """A compact JWS (RFC 7515 §7.1) over `claims` (written as compact UTF-8 JSON) or over the very bytes given.

    The header is alg, typ (unless None) and kid of `signer`, plus `header`, which cannot replace one of the three.
    """
    payload = claims if isinstance(claims, bytes) else compact_json(claims)
    if header:
        head = _written_header({**header, "alg": signer.alg, "kid": signer.kid}, typ)
    else:
        head = _usual_header(signer.alg, signer.kid, typ)
    signing_input = f"{head}.{b64url(payload)}"
    return f"{signing_input}.{b64url(signer.sign(signing_input.encode('ascii')))}"


def _written_header(members: Mapping[str, Any], typ: str | None) -> str:
    return b64url(compact_json(members if typ is None else {**members, "typ": typ}))


@functools.lru_cache(maxsize=64)
def _usual_header(alg: str, kid: str, typ: str | None) -> str:
    """A handful of keys sign everything."""
    return _written_header({"alg": alg, "kid": kid}, typ)
