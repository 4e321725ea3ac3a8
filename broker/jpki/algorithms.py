"""Which signature algorithms a certification authority's statement may carry, as closed lists."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

_HASHES: Final[dict[str, type[hashes.HashAlgorithm]]] = {
    "sha1": hashes.SHA1,
    "sha224": hashes.SHA224,
    "sha256": hashes.SHA256,
    "sha384": hashes.SHA384,
    "sha512": hashes.SHA512,
}
_RSA_CEILING: Final = 8192
_CURVES: Final = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Algorithms:
    """A closed list: `digests` by name, RSA keys of `rsa_floor` bits or more, the NIST curves P-256 and longer."""

    digests: frozenset[str]
    rsa_floor: int

    def refusal(self, key: PublicKeyTypes, scheme: str, digest: str) -> str | None:
        """Why a signature by `key`, `scheme` (rsassa_pkcs1v15, rsassa_pss, ecdsa) and `digest` is refused, or None."""
        if digest not in self.digests:
            return "digest algorithm is not accepted"
        if scheme in {"rsassa_pkcs1v15", "rsassa_pss"}:
            if not isinstance(key, rsa.RSAPublicKey):
                return "algorithm is not one of the issuer's key"
            if not self.rsa_floor <= key.key_size <= _RSA_CEILING:
                return "RSA key is of a size that is not accepted"
            return None
        if scheme == "ecdsa":
            if not isinstance(key, ec.EllipticCurvePublicKey):
                return "algorithm is not one of the issuer's key"
            if not isinstance(key.curve, _CURVES):
                return "curve is not accepted"
            return None
        return "signature algorithm is not accepted"


PRODUCTION: Final = Algorithms(digests=frozenset({"sha256", "sha384", "sha512"}), rsa_floor=2048)
"""What the product accepts, always."""

LEGACY_TEST: Final = Algorithms(digests=frozenset({"sha1", "sha224", "sha256", "sha384", "sha512"}), rsa_floor=1024)
"""RSA-1024 and SHA-1, for old public test sets only: nothing in the product may select it."""


def signature_holds(
    key: PublicKeyTypes,
    signature: bytes,
    message: bytes,
    *,
    scheme: str,
    digest: str,
    salt_length: int | None,
    prehashed: bool = False,
) -> bool:
    """Whether `signature` (the form X.509 carries: DER for ECDSA) by `key` stands over `message`.

    `prehashed`: `message` is the digest of what was signed.
    """
    hashing = Prehashed(_HASHES[digest]()) if prehashed else _HASHES[digest]()
    try:
        if scheme == "ecdsa" and isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, message, ec.ECDSA(hashing))
        elif scheme == "rsassa_pss" and isinstance(key, rsa.RSAPublicKey) and salt_length is not None:
            pss = padding.PSS(mgf=padding.MGF1(_HASHES[digest]()), salt_length=salt_length)
            key.verify(signature, message, pss, hashing)
        elif scheme == "rsassa_pkcs1v15" and isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, message, padding.PKCS1v15(), hashing)
        else:
            return False
    except (InvalidSignature, UnsupportedAlgorithm, ValueError):
        return False
    return True
