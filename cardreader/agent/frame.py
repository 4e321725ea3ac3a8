"""The bytes a card signs for the broker (frame): built here from the request, by the broker from its own store.

Published vectors tie the two (tests/vectors/card-frame). Every field is hashed, so the length never varies and no field
can run into the next; the tag's first byte keeps the frame apart from TLS handshakes.
"""

from __future__ import annotations

import hashlib


def build_frame(
    *,
    tag: str,
    issuer: str,
    origin: str,
    request_key_thumbprint: str,
    nonce: bytes,
    client_id: str,
    transaction: str,
    action: str,
    previous: bytes,
    issued_at_ms: int,
    certificate: bytes,
) -> bytes:
    """TAG 00 ‖ H(each field) ‖ uint64 milliseconds since 1970 ‖ SHA-256(certificate DER); H is SHA-256 over UTF-8.

    `previous` is the earlier frame of a two-step act, else empty; `issued_at_ms` is the broker's time, never ours.
    """
    fields = (
        issuer.encode(),
        origin.encode(),
        request_key_thumbprint.encode(),
        nonce,
        client_id.encode(),
        transaction.encode(),
        action.encode(),
        previous,
    )
    hashes = b"".join(hashlib.sha256(field).digest() for field in fields)
    return tag.encode() + b"\0" + hashes + issued_at_ms.to_bytes(8, "big") + hashlib.sha256(certificate).digest()
