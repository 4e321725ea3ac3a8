"""Encryption for one recipient (compact JWE, RFC 7516): behind the same strict gate as `broker.jose`.

joserfc does the cryptography; which key, which algorithm and which header may take part is decided here first.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final, TypeAlias

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from broker.errors import InvalidToken
from broker.jose import MAX_TOKEN, ascii_token, b64url_decode, fitting_keys, load_public_key, protected_header

DecryptionKey: TypeAlias = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

ANSWER_ALGORITHMS: Final = ("ECDH-ES",)
ANSWER_ENCRYPTIONS: Final = ("A256GCM",)
"""What the card agent's answer comes in (design 4.3), and nothing else."""

ALGORITHMS: Final = ("ECDH-ES", "ECDH-ES+A128KW", "ECDH-ES+A256KW", "RSA-OAEP-256")
ENCRYPTIONS: Final = ("A128CBC-HS256", "A128GCM", "A256GCM")
"""What clients may register for what they receive, and use for what they send (RFC 7518 §4.1, §5.1)."""

_OPERATIONS: Final = {"EC": {"deriveKey", "deriveBits"}, "RSA": {"encrypt", "wrapKey"}}
_LENGTHS: Final = {"A128GCM": (12, 16), "A256GCM": (12, 16), "A128CBC-HS256": (16, 16)}
"""Octets of nonce and tag (RFC 7518 §5.2.3, §5.3)."""


def encrypt_compact(
    payload: bytes, *, jwks: Mapping[str, Any], alg: str, enc: str, kid: str | None = None, cty: str | None = None
) -> str:
    """A compact JWE (RFC 7516 §7.1) of `payload` to a client's key, not compressed. Raises InvalidToken.

    The key is one of the JWK Set `jwks` that says it is for encryption (`use` `enc`, or `alg` itself where `use` is
    absent) and, where `kid` is given, bears that name: a signing key never is taken. Of several the first that has a
    name of its own is taken, and the header names it (OIDC Core §10.2). `cty` is `JWT` over a signed token.
    """
    if alg not in ALGORITHMS or enc not in ENCRYPTIONS:
        raise InvalidToken("encryption is not served")
    jwk = _choose(jwks, alg, kid)
    header = {"alg": alg, "enc": enc}
    if jwk.get("kid") is not None:
        header["kid"] = jwk["kid"]
    if cty is not None:
        header["cty"] = cty
    public = load_public_key(jwk)
    recipient = RSAKey(public, public) if isinstance(public, rsa.RSAPublicKey) else _ec_key(public)
    try:
        return jwe.encrypt_compact(header, payload, recipient, algorithms=[alg, enc])
    except (JoseError, ValueError) as error:
        raise InvalidToken("cannot encrypt to this key") from error


def _ec_key(public: object) -> ECKey:
    if not isinstance(public, ec.EllipticCurvePublicKey):
        raise InvalidToken("key is not one for encryption")
    return ECKey(public, public)


def _choose(jwks: Mapping[str, Any], alg: str, kid: str | None) -> Mapping[str, Any]:
    fitting = fitting_keys(jwks, kid, lambda jwk: _may_encrypt(jwk, alg))
    if len(fitting) > 1:
        names = [jwk.get("kid") for jwk in fitting]
        fitting = [jwk for jwk, name in zip(fitting, names, strict=True) if name and names.count(name) == 1]
    if not fitting or not isinstance(fitting[0].get("kid", ""), str):
        raise InvalidToken("no key of this client to encrypt to")
    return fitting[0]


def _may_encrypt(jwk: Mapping[str, Any], alg: str) -> bool:
    """Whether the JWK's own words (RFC 7517 §4.1 to §4.4) make it a recipient under `alg`."""
    kty = "RSA" if alg.startswith("RSA") else "EC"
    operations = jwk.get("key_ops", list(_OPERATIONS[kty]))
    return (
        jwk.get("kty") == kty
        and (jwk.get("use") == "enc" or ("use" not in jwk and jwk.get("alg") == alg))
        and jwk.get("alg", alg) == alg
        and isinstance(operations, list | tuple)
        and not _OPERATIONS[kty].isdisjoint(name for name in operations if isinstance(name, str))
    )


def decrypt_compact(
    token: str | bytes,
    *,
    key: DecryptionKey,
    algorithms: Collection[str] = ANSWER_ALGORITHMS,
    encryptions: Collection[str] = ANSWER_ENCRYPTIONS,
    limit: int = MAX_TOKEN,
) -> bytes:
    """The plaintext of compact JWE `token` (RFC 7516 §5.2) to `key`; never a compressed one, nor of one longer than
    `limit` octets. Raises InvalidToken.

    Which of our keys `token` is for, its header says: `recipient`.
    """
    text = ascii_token(token, limit=limit)
    header, (wrapped, nonce, _, tag) = _split(text)
    alg, enc = header["alg"], header.get("enc")
    if (
        not isinstance(enc, str)
        or alg not in algorithms
        or enc not in encryptions
        or alg not in ALGORITHMS
        or enc not in ENCRYPTIONS
    ):
        raise InvalidToken("encryption is not accepted")
    if (alg == "ECDH-ES") is bool(wrapped):
        raise InvalidToken("direct agreement carries no wrapped key, every other way one")  # RFC 7516 §5.2 step 10
    if (len(nonce), len(tag)) != _LENGTHS[enc]:
        raise InvalidToken("nonce or tag is not as long as RFC 7518 §5 says")
    if isinstance(key, rsa.RSAPrivateKey) is not alg.startswith("RSA"):
        raise InvalidToken("key is not one for this algorithm")
    if isinstance(key, ec.EllipticCurvePrivateKey):
        _check_ephemeral(header.get("epk"), key.curve)
    recipient = RSAKey(key, key) if isinstance(key, rsa.RSAPrivateKey) else ECKey(key, key)
    try:
        decrypted = jwe.decrypt_compact(text, recipient, algorithms=[alg, enc])
    except (JoseError, ValueError, TypeError, KeyError, UnsupportedAlgorithm):
        raise InvalidToken("cannot be decrypted") from None
    if decrypted.plaintext is None:
        raise InvalidToken("cannot be decrypted")
    return decrypted.plaintext


def recipient(token: str | bytes) -> str | None:
    """The `kid` of the key that compact JWE `token` says it is for, unverified. Raises InvalidToken."""
    header, _ = _split(ascii_token(token))
    kid: str | None = header.get("kid")
    return kid


def is_encrypted(token: str | bytes) -> bool:
    """Whether `token` has the five parts of a compact JWE (RFC 7516 §9), to be decrypted first. Raises InvalidToken."""
    return ascii_token(token).count(".") == 4


def _split(text: str) -> tuple[Mapping[str, Any], list[bytes]]:
    segments = text.split(".", 5)
    if len(segments) != 5:
        raise InvalidToken("not a compact JWE")
    return protected_header(segments[0]), [b64url_decode(segment) for segment in segments[1:]]


def _check_ephemeral(ephemeral: object, curve: ec.EllipticCurve) -> None:
    """A point of our own curve, or the agreement would tell about our key (RFC 7518 §4.6.1.1)."""
    if not isinstance(ephemeral, dict) or "d" in ephemeral:
        raise InvalidToken("no ephemeral public key")
    point = load_public_key(ephemeral)
    if not isinstance(point, ec.EllipticCurvePublicKey) or point.curve.name != curve.name:
        raise InvalidToken("ephemeral key is on another curve")
