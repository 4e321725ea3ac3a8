"""A software card's private keys: RSA-2048 as today's cards have them, ECDSA P-384 as announced."""

from __future__ import annotations

import hashlib
from functools import lru_cache

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

from cardreader.cardfile import KeySlot
from cardreader.errors import CardFileInvalid

_DIGEST_INFO = bytes.fromhex("3031300d060960864801650304020105000420")  # SHA-256, RFC 8017 section 9.2 note 1
_RSA_BITS = 2048
_P384_BYTES = 48


class InputRefused(Exception):
    """The data is not of a length that this mode takes."""


class ModeUnknown(Exception):
    """No such P1 for this key."""


class RSAKey:
    """A key of today's card."""

    def __init__(self, key: rsa.RSAPrivateKey) -> None:
        self._key = key

    def sign(self, p1: int, data: bytes) -> bytes:
        """P1 says who hashes and how it is padded: 00 caller's bytes, 01 card hashes, 02 hash in, 03 both, 04, 05 PSS.

        Raises ModeUnknown, InputRefused.
        """
        if p1 > 5:
            raise ModeUnknown
        if len(data) != 32 if p1 in (2, 4) else not 1 <= len(data) <= 245:
            raise InputRefused
        if p1 in (1, 3, 5):
            data = hashlib.sha256(data).digest()
        if p1 in (2, 3):
            data = _DIGEST_INFO + data
        if p1 in (4, 5):
            pss = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=32)
            return self._key.sign(data, pss, utils.Prehashed(hashes.SHA256()))
        return self._key.sign(data, padding.PKCS1v15(), utils.NoDigestInfo())


class ECKey:
    """A key of the announced card, as far as one can guess: the bare SHA-384 hash in, r and s side by side out."""

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        self._key = key

    def sign(self, p1: int, data: bytes) -> bytes:
        """ECDSA over the hash. Raises ModeUnknown, InputRefused."""
        if p1 != 0:
            raise ModeUnknown
        if len(data) != _P384_BYTES:
            raise InputRefused
        r, s = utils.decode_dss_signature(self._key.sign(data, ec.ECDSA(utils.Prehashed(hashes.SHA384()))))
        return r.to_bytes(_P384_BYTES, "big") + s.to_bytes(_P384_BYTES, "big")


def load_key(slot: KeySlot) -> RSAKey | ECKey:
    """The slot's private key. Raises CardFileInvalid unless it is an unencrypted PKCS #8 PEM of RSA-2048 or P-384."""
    return _load(slot.private_key)


@lru_cache(maxsize=64)  # OpenSSL proves an RSA key on loading, which takes longer than all the rest of a card
def _load(pem: str) -> RSAKey | ECKey:
    try:
        key = serialization.load_pem_private_key(pem.encode(), None)
    except (ValueError, TypeError):
        raise CardFileInvalid("private_key is no unencrypted PKCS #8 PEM") from None
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size == _RSA_BITS:
        return RSAKey(key)
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP384R1):
        return ECKey(key)
    raise CardFileInvalid("private_key is neither RSA-2048 nor P-384")
