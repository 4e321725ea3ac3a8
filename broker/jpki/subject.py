"""How a certificate's holder is found: by issuer's key and serial, under a secret; never by a name (R7, R14)."""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

FINGERPRINT_VERSION: Final = 1
"""The first byte of every fingerprint: a new secret or rule gets a new version, and old rows stay findable."""

_CONTEXT: Final = b"jpki-broker serial fingerprint v1\x00"


def serial_fingerprint(secret: bytes, issuer_key_hash: bytes, serial: int) -> bytes:
    """A keyed name for one certificate: version byte and HMAC-SHA256 over (issuer SPKI SHA-256, serial).

    Without `secret` (32 bytes or more) nobody can tell a serial from it. Raises ValueError where an argument is
    not what a parsed certificate yields: that is our own fault.
    """
    if len(secret) < 32:
        raise ValueError("the secret has 32 bytes or more")
    if len(issuer_key_hash) != 32:
        raise ValueError("the issuer is named by a SHA-256")
    if not 0 < serial < 2**160:
        raise ValueError("a serial is positive and has at most 20 octets")
    message = _CONTEXT + issuer_key_hash + serial.to_bytes(20, "big")
    return bytes([FINGERPRINT_VERSION]) + hmac.new(secret, message, hashlib.sha256).digest()
