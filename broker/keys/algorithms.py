"""Private keys in memory: made, written, read, and put to their one algorithm (RFC 7518 §3.1, §4.1; RFC 8037 §3.1)."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from broker.jose import RSA_FLOOR, PrivateKey, public_jwk, raw_ecdsa, thumbprint

RSA_BITS: Final = 2048
"""What verifiers everywhere take; a signature of 3072 bits costs three times as much."""

SIGNING: Final = ("ES256", "PS256", "RS256", "EdDSA")
ENCRYPTION: Final = ("RSA-OAEP-256", "ECDH-ES", "ECDH-ES+A128KW", "ECDH-ES+A256KW")

_PSS: Final = padding.PSS(mgf=padding.MGF1(SHA256()), salt_length=32)  # RFC 7518 §3.5: as long as the hash


@dataclass(frozen=True, slots=True, kw_only=True)
class SoftwareSigner:
    """Fulfils jose.Signer with a private key loaded once, under one algorithm."""

    alg: str
    kid: str
    jwk: Mapping[str, str]
    key: PrivateKey = field(repr=False)

    def sign(self, data: bytes, /) -> bytes:
        """The JOSE form: for ES256 R and S side by side (RFC 7518 §3.4)."""
        match self.alg, self.key:
            case "ES256", ec.EllipticCurvePrivateKey() as key:
                return raw_ecdsa(key.sign(data, ec.ECDSA(SHA256())), algorithm="ES256")
            case "PS256", rsa.RSAPrivateKey() as key:
                return key.sign(data, _PSS, SHA256())
            case "RS256", rsa.RSAPrivateKey() as key:
                return key.sign(data, padding.PKCS1v15(), SHA256())
            case "EdDSA", ed25519.Ed25519PrivateKey() as key:
                return key.sign(data)
            case _:
                raise ValueError(f"not a signing key for {self.alg}")


def signer(key: PrivateKey, alg: str) -> SoftwareSigner:
    """`key` under `alg`, named by its thumbprint (RFC 7638). Raises ValueError where the two do not fit."""
    jwk = public_jwk(check(key, alg))
    return SoftwareSigner(alg=alg, kid=thumbprint(jwk), jwk=jwk, key=key)


def check(key: object, alg: str) -> PrivateKey:
    """`key`, which must be one for `alg`. Raises ValueError."""
    match alg, key:
        case "ES256" | "ECDH-ES" | "ECDH-ES+A128KW" | "ECDH-ES+A256KW", ec.EllipticCurvePrivateKey() if isinstance(
            key.curve, ec.SECP256R1
        ):
            return key
        case "PS256" | "RS256" | "RSA-OAEP-256", rsa.RSAPrivateKey() if key.key_size >= RSA_FLOOR:
            return key
        case "EdDSA", ed25519.Ed25519PrivateKey():
            return key
        case _:
            raise ValueError(f"not a key for {alg}")


def generate(alg: str) -> PrivateKey:
    """A new private key for `alg`. Raises ValueError: an algorithm that we do not serve."""
    if alg == "ES256" or alg.startswith("ECDH-ES"):
        return ec.generate_private_key(ec.SECP256R1())
    if alg in {"PS256", "RS256", "RSA-OAEP-256"}:
        return rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
    if alg == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    raise ValueError(f"no keys are made for {alg}")


def export(key: PrivateKey) -> str:
    """PKCS #8, not encrypted, as base64: it goes inside a sealed file and nowhere else."""
    return base64.b64encode(
        key.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    ).decode("ascii")


def load(text: str, alg: str) -> PrivateKey:
    """What `export` wrote, which must be a key for `alg`. Raises ValueError."""
    try:
        key = serialization.load_der_private_key(
            base64.b64decode(text, validate=True),
            password=None,
            unsafe_skip_rsa_key_validation=True,  # we made it and sealed it; the check costs more than a signature
        )
    except UnsupportedAlgorithm as unknown:
        raise ValueError(f"not a key for {alg}") from unknown
    return check(key, alg)
