"""JSON Web Keys and what is signed with them: which may be loaded, how they are named (RFC 7517, 7518, 7638)."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from jwt.algorithms import get_default_algorithms

from broker.errors import InvalidToken
from broker.jose.encoding import MAX_TOKEN, b64url, b64url_decode

SignatureKey: TypeAlias = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | bytes
"""What a signature is checked with; bytes are a shared HMAC secret."""


PrivateKey: TypeAlias = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


RSA_FLOOR: Final = 2048  # bits, RFC 7518 §3.3
RSA_CEILING: Final = 8192  # a larger key only costs time
_CURVES: Final[dict[str, type[ec.EllipticCurve]]] = {
    "P-256": ec.SECP256R1,
    "P-384": ec.SECP384R1,
    "P-521": ec.SECP521R1,
}
CURVE_OF_ALGORITHM: Final = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}
KEY_TYPE: Final = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), "RSA"),
    **dict.fromkeys(CURVE_OF_ALGORITHM, "EC"),
    **dict.fromkeys(("HS256", "HS384", "HS512"), "oct"),
    "EdDSA": "OKP",
}
_PRIMITIVES: Final = {name: primitive for name, primitive in get_default_algorithms().items() if name in KEY_TYPE}
PRIVATE_MEMBERS: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
"""What a public key never has (RFC 7518 §6.2.2, §6.3.2, §6.4.1)."""
_THUMBPRINT_MEMBERS: Final = {
    "EC": ("crv", "kty", "x", "y"),
    "OKP": ("crv", "kty", "x"),
    "RSA": ("e", "kty", "n"),
    "oct": ("k", "kty"),
}
_ROCA_PRIMES: Final = (11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157)
_ROCA_SUBGROUPS: Final = tuple(  # the weak chips' moduli are powers of 65537 modulo every one of these primes
    (prime, frozenset(pow(65537, power, prime) for power in range(prime))) for prime in _ROCA_PRIMES
)


def rsa_weakness(modulus: int, exponent: int) -> str | None:
    """Why an RSA key must not be trusted, or None. Sources: RFC 7518 §3.3, FIPS 186-5 §5.4, CVE-2017-15361 (ROCA)."""
    bits = modulus.bit_length()
    if bits < RSA_FLOOR:
        return "RSA modulus is shorter than 2048 bits"
    if bits > RSA_CEILING:
        return "RSA modulus is longer than 8192 bits"
    if not modulus & 1:
        return "RSA modulus is even"
    if exponent % 2 == 0 or not 65537 <= exponent < 2**256:
        return "RSA exponent is out of bounds"
    for prime, subgroup in _ROCA_SUBGROUPS:
        if modulus % prime not in subgroup:  # nearly always the first
            return None
    return "RSA key carries the ROCA mark"


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


def load_stranger(jwk: Mapping[str, Any]) -> SignatureKey:
    """As `load_public_key`, for a key that came inside a token: such keys have a memory of their own, so that nobody
    can flood the registered ones out of theirs. Raises InvalidToken.
    """
    return _load_stranger(_required_members(jwk))


_load_stranger: Final = functools.lru_cache(maxsize=1024)(_read_key)


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
    return thumbprint_of_loaded(jwk)


def thumbprint_of_loaded(jwk: Mapping[str, Any]) -> str:
    """The same of a JWK that was loaded already, and is therefore a key."""
    canonical = {name: jwk[name] for name in _THUMBPRINT_MEMBERS[jwk["kty"]]}
    return b64url(hashlib.sha256(json.dumps(canonical, separators=(",", ":")).encode()).digest())


def signature_holds(algorithm: str, key: SignatureKey, message: bytes, signature: bytes) -> bool:
    """Whether `signature` (JOSE form) by `key` stands over `message`. Raises InvalidToken where the two do not fit."""
    match KEY_TYPE.get(algorithm), key:
        case "RSA", rsa.RSAPublicKey():
            if key.key_size < RSA_FLOOR:
                raise InvalidToken("RSA key is shorter than 2048 bits")
            if key.key_size > RSA_CEILING:
                raise InvalidToken("RSA key is longer than 8192 bits")
        case "EC", ec.EllipticCurvePublicKey() if isinstance(key.curve, _CURVES[CURVE_OF_ALGORITHM[algorithm]]):
            pass
        case "OKP", ed25519.Ed25519PublicKey():
            pass
        case "oct", bytes() if len(key) * 8 >= int(algorithm[2:]):  # RFC 7518 §3.2
            pass
        case _:
            raise InvalidToken("key is not one for this algorithm")
    return bool(_PRIMITIVES[algorithm].verify(message, key, signature))


def raw_ecdsa(signature: bytes, *, algorithm: str) -> bytes:
    """R and S side by side (RFC 7518 §3.4), from the DER `signature` that `cryptography` and HSM files speak."""
    size = (_CURVES[CURVE_OF_ALGORITHM[algorithm]]().key_size + 7) // 8
    return b"".join(number.to_bytes(size, "big") for number in decode_dss_signature(signature))
