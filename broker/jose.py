"""The strict gate for JWS and JWK (RFC 7515, 7517, 7518, 7638, 8725), `broker.jwe` for JWE: no other parses one.

PyJWT supplies the signature primitives; everything an attacker can choose is judged here first: size, nesting,
duplicate members, base64url's one spelling, the header, and the key's own limits.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import math
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, NoReturn, Protocol, TypeAlias

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from jwt.algorithms import get_default_algorithms

from broker.errors import InvalidToken

SignatureKey: TypeAlias = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | bytes
"""What a signature is checked with; bytes are a shared HMAC secret."""

PrivateKey: TypeAlias = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

MAX_TOKEN: Final = 16 * 1024
MAX_DEPTH: Final = 16
MAX_KEYS: Final = 100
RSA_FLOOR: Final = 2048  # bits, RFC 7518 §3.3
RSA_CEILING: Final = 8192  # a larger key only costs time

_CURVES: Final[dict[str, type[ec.EllipticCurve]]] = {
    "P-256": ec.SECP256R1,
    "P-384": ec.SECP384R1,
    "P-521": ec.SECP521R1,
}
_CURVE_OF_ALGORITHM: Final = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}
_KEY_TYPE: Final = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), "RSA"),
    **dict.fromkeys(_CURVE_OF_ALGORITHM, "EC"),
    **dict.fromkeys(("HS256", "HS384", "HS512"), "oct"),
    "EdDSA": "OKP",
}
_SAME: Final = {"Ed25519": "EdDSA"}
"""RFC 9864 gives the curve's own name to what RFC 8037 called EdDSA; we know one curve, so both say the same."""
_PRIMITIVES: Final = {name: primitive for name, primitive in get_default_algorithms().items() if name in _KEY_TYPE}
_REFUSED_HEADERS: Final = frozenset({"crit", "b64", "jku", "jwk", "x5u", "x5c", "zip"})
PRIVATE_MEMBERS: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
"""What a public key never has (RFC 7518 §6.2.2, §6.3.2, §6.4.1)."""
_THUMBPRINT_MEMBERS: Final = {
    "EC": ("crv", "kty", "x", "y"),
    "OKP": ("crv", "kty", "x"),
    "RSA": ("e", "kty", "n"),
    "oct": ("k", "kty"),
}
_DATES: Final = ("exp", "nbf", "iat", "auth_time")
_LATEST: Final = 253_402_300_799  # the last second of the year 9999
_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
# Whole groups of four, then nothing, or two or three characters whose last carries no bits of its own (RFC 4648 §3.5).
_BASE64URL: Final = re.compile(
    r"(?:[A-Za-z0-9_-]{4})*+(?:[A-Za-z0-9_-][AQgw]|[A-Za-z0-9_-]{2}[AEIMQUYcgkosw048])?\Z", re.ASCII
)
_PADDING: Final = ("", "", "==", "=")


class Signer(Protocol):
    """A private key held anywhere (file, PKCS#11): names itself and signs.

    `sign` returns the JOSE form (RFC 7518 §3.4: R and S side by side for ES*), never DER.
    """

    @property
    def alg(self) -> str: ...
    @property
    def kid(self) -> str: ...
    def sign(self, data: bytes, /) -> bytes: ...


# --- base64url and JSON ----------------------------------------------------------------------------------------------


def b64url(data: bytes) -> str:
    """Base64url without padding (RFC 7515 §2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def b64url_decode(text: str) -> bytes:
    """The bytes of unpadded base64url `text`; only their one canonical spelling passes. Raises InvalidToken."""
    if not _BASE64URL.match(text):
        raise InvalidToken("not the canonical base64url of anything")
    return base64.urlsafe_b64decode(text + _PADDING[len(text) % 4])


def parse_json(data: bytes, *, limit: int = MAX_TOKEN) -> dict[str, Any]:
    """A JSON object (RFC 8259, UTF-8) of at most `limit` octets: no member twice, no NaN, lone surrogate or deep
    nesting. Raises InvalidToken.
    """
    value = _parse(data, limit)
    if not isinstance(value, dict):
        raise InvalidToken("JSON is not an object")
    return value


def parse_json_array(data: bytes) -> list[Any]:
    """A JSON array, as strictly read as `parse_json` reads an object. Raises InvalidToken."""
    value = _parse(data, MAX_TOKEN)
    if not isinstance(value, list):
        raise InvalidToken("JSON is not an array")
    return value


def _parse(data: bytes, limit: int) -> Any:
    if len(data) > limit:
        raise InvalidToken("JSON is too long")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidToken("JSON is not UTF-8") from None
    _check_depth(text)
    try:
        value = _decode(text)
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise InvalidToken("JSON holds half of a surrogate pair") from None
    except (ValueError, RecursionError):
        raise InvalidToken("not JSON") from None
    return value


def _check_depth(text: str) -> None:
    if text.count("{") + text.count("[") <= MAX_DEPTH:
        return
    depth = 0
    for character in _STRING.sub("", text):
        if character in "{[":
            depth += 1
            if depth > MAX_DEPTH:
                raise InvalidToken("JSON is nested too deeply")
        elif character in "}]":
            depth -= 1


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise InvalidToken("JSON holds a member twice")
    return members


def _no_constant(_name: str) -> NoReturn:
    raise InvalidToken("JSON holds a number that is none")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise InvalidToken("JSON holds a number out of range")
    return value


_decode: Final = json.JSONDecoder(
    object_pairs_hook=_no_duplicates, parse_constant=_no_constant, parse_float=_finite
).decode
_encode: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def parse_claims(payload: bytes) -> dict[str, Any]:
    """The claims set (RFC 7519 §4) in `payload`; `exp`, `nbf`, `iat` and `auth_time` are numbers. Raises InvalidToken.

    Judges form only: whether a date lies in the future is the caller's question.
    """
    claims = parse_json(payload)
    for name in _DATES:
        value = claims.get(name, 0)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LATEST:
            raise InvalidToken(f"{name} is not a NumericDate")
    return claims


# --- keys ------------------------------------------------------------------------------------------------------------

_ROCA_PRIMES: Final = (11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157)
_ROCA_SUBGROUPS: Final = tuple(  # the weak chips' moduli are powers of 65537 modulo every one of these primes
    (prime, frozenset(pow(65537, power, prime) for power in range(prime))) for prime in _ROCA_PRIMES
)


def rsa_weakness(modulus: int, exponent: int) -> str | None:
    """Why an RSA key must not be trusted, or None. Sources: RFC 7518 §3.3, FIPS 186-5 §5.4, CVE-2017-15361 (ROCA)."""
    if modulus.bit_length() < RSA_FLOOR:
        return "RSA modulus is shorter than 2048 bits"
    if modulus.bit_length() > RSA_CEILING:
        return "RSA modulus is longer than 8192 bits"
    if modulus % 2 == 0:
        return "RSA modulus is even"
    if exponent % 2 == 0 or not 65537 <= exponent < 2**256:
        return "RSA exponent is out of bounds"
    if all(modulus % prime in subgroup for prime, subgroup in _ROCA_SUBGROUPS):
        return "RSA key carries the ROCA mark"
    return None


def load_public_key(jwk: Mapping[str, Any]) -> SignatureKey:
    """The public key (or HMAC secret) of a JWK (RFC 7517, RFC 7518 §6, RFC 8037). Raises InvalidToken.

    Private members are ignored. Loaded once per value: OpenSSL checks a key each time it is loaded.
    """
    return _load(_required_members(jwk))


def _required_members(jwk: Mapping[str, Any]) -> tuple[str, ...]:
    """The values of the members that make up the key, in the order of their names."""
    kty = jwk.get("kty")
    members = _THUMBPRINT_MEMBERS.get(kty) if isinstance(kty, str) else None
    if members is None:
        raise InvalidToken("JWK is of an unknown type")
    given = (jwk.get(name) for name in members)
    values = tuple(value for value in given if isinstance(value, str) and len(value) <= MAX_TOKEN)
    if len(values) != len(members):
        raise InvalidToken("JWK lacks a member")
    return values


def _read_key(values: tuple[str, ...]) -> SignatureKey:
    try:
        match values:
            case (crv, "EC", x, y) if crv in _CURVES:
                curve = _CURVES[crv]()
                size = (curve.key_size + 7) // 8
                point = b64url_decode(x), b64url_decode(y)
                if any(len(coordinate) != size for coordinate in point):
                    raise InvalidToken("JWK coordinate is not as long as its curve")
                abscissa, ordinate = (int.from_bytes(coordinate, "big") for coordinate in point)
                return ec.EllipticCurvePublicNumbers(abscissa, ordinate, curve).public_key()
            case ("Ed25519", "OKP", x):
                return ed25519.Ed25519PublicKey.from_public_bytes(b64url_decode(x))
            case (e, "RSA", n):
                exponent, modulus = _uint(e), _uint(n)
                if weakness := rsa_weakness(modulus, exponent):
                    raise InvalidToken(weakness)
                return rsa.RSAPublicNumbers(exponent, modulus).public_key()
            case (k, "oct"):
                return b64url_decode(k)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise InvalidToken("JWK is not a key") from None
    raise InvalidToken("JWK names an unknown curve")


_load = functools.lru_cache(maxsize=1024)(_read_key)
_load_stranger = functools.lru_cache(maxsize=1024)(_read_key)
"""Keys that came inside a token have a memory of their own: nobody can flood the registered ones out of theirs."""


def _uint(text: str) -> int:
    data = b64url_decode(text)
    if not data or data[0] == 0:
        raise InvalidToken("JWK number is not in its shortest form")
    return int.from_bytes(data, "big")


def public_jwk(key: SignatureKey | PrivateKey) -> dict[str, str]:
    """The public JWK of `key` with its required members only (RFC 7638 §3.2's, in their order). Raises InvalidToken."""
    if isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey):
        return public_jwk(key.public_key())
    if isinstance(key, rsa.RSAPublicKey):
        numbers = key.public_numbers()
        return {"e": _from_uint(numbers.e), "kty": "RSA", "n": _from_uint(numbers.n)}
    if isinstance(key, ed25519.Ed25519PublicKey):
        return {"crv": "Ed25519", "kty": "OKP", "x": b64url(key.public_bytes_raw())}
    if isinstance(key, ec.EllipticCurvePublicKey):
        point, size = key.public_numbers(), (key.curve.key_size + 7) // 8
        for name, curve in _CURVES.items():
            if isinstance(key.curve, curve):
                x, y = point.x.to_bytes(size, "big"), point.y.to_bytes(size, "big")
                return {"crv": name, "kty": "EC", "x": b64url(x), "y": b64url(y)}
    raise InvalidToken("key has no public JWK")


def _from_uint(value: int) -> str:
    return b64url(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def thumbprint(jwk: Mapping[str, Any]) -> str:
    """The SHA-256 thumbprint of `jwk`, base64url (RFC 7638 §3). Raises InvalidToken."""
    load_public_key(jwk)  # only a key has a thumbprint
    return _thumbprint(jwk)


def _thumbprint(jwk: Mapping[str, Any]) -> str:
    canonical = {name: jwk[name] for name in _THUMBPRINT_MEMBERS[jwk["kty"]]}
    return b64url(hashlib.sha256(json.dumps(canonical, separators=(",", ":")).encode()).digest())


# --- JWS -------------------------------------------------------------------------------------------------------------


def signature_holds(algorithm: str, key: SignatureKey, message: bytes, signature: bytes) -> bool:
    """Whether `signature` (JOSE form) by `key` stands over `message`. Raises InvalidToken where the two do not fit."""
    match _KEY_TYPE.get(algorithm), key:
        case "RSA", rsa.RSAPublicKey():
            if key.key_size < RSA_FLOOR:
                raise InvalidToken("RSA key is shorter than 2048 bits")
            if key.key_size > RSA_CEILING:
                raise InvalidToken("RSA key is longer than 8192 bits")
        case "EC", ec.EllipticCurvePublicKey() if isinstance(key.curve, _CURVES[_CURVE_OF_ALGORITHM[algorithm]]):
            pass
        case "OKP", ed25519.Ed25519PublicKey():
            pass
        case "oct", bytes() if len(key) * 8 >= int(algorithm[2:]):  # RFC 7518 §3.2
            pass
        case _:
            raise InvalidToken("key is not one for this algorithm")
    return bool(_PRIMITIVES[algorithm].verify(message, key, signature))


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
    key = _load_stranger(_required_members(jwk))
    if not signature_holds(algorithm, key, read.signing_input, read.signature):
        raise InvalidToken("signature does not hold")
    return read.payload, _thumbprint(jwk)


def _accepted(header: Mapping[str, Any], algorithms: Collection[str], typ: str | None) -> str:
    """The header's algorithm, where the caller takes it and the type."""
    algorithm: str = _SAME.get(header["alg"], header["alg"])
    if isinstance(algorithms, str):
        raise TypeError("algorithms is a collection of names")
    if algorithm not in algorithms or algorithm not in _KEY_TYPE:
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
    if jwk.get("kty") != _KEY_TYPE[algorithm]:
        return False
    if jwk.get("crv") != _CURVE_OF_ALGORITHM.get(algorithm, jwk.get("crv")):
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


def compact_json(value: Any) -> bytes:
    """`value` as JSON without white space, in UTF-8, members in their order."""
    return _encode(value).encode("utf-8")


def raw_ecdsa(signature: bytes, *, algorithm: str) -> bytes:
    """R and S side by side (RFC 7518 §3.4), from the DER `signature` that `cryptography` and HSM files speak."""
    size = (_CURVES[_CURVE_OF_ALGORITHM[algorithm]]().key_size + 7) // 8
    return b"".join(number.to_bytes(size, "big") for number in decode_dss_signature(signature))
