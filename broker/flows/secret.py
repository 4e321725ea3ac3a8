"""Bearer values: minted from the given entropy, handed out once, stored only as SHA-256."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from broker.ids import Secret
from broker.jose import b64url


def mint(entropy: Callable[[int], bytes]) -> Secret:
    """256 bits, base64url."""
    return Secret(b64url(entropy(32)))


def digest(secret: str) -> bytes:
    """What is stored. One SHA-256 is enough for a random value (no dictionary to try)."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).digest()
