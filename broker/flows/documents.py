"""What clients publish about themselves (request objects, keys, sector documents), fetched from where they said."""

from __future__ import annotations

from typing import Protocol


class ClientDocuments(Protocol):
    """Addresses come from a client's registration alone, compared byte for byte before anything is fetched."""

    def fetch(self, url: str, *, limit: int) -> bytes:
        """The document at `url`, of at most `limit` octets.

        Raises OutboundRefused: an address that is not called (design 4.20); OutboundFailed: no usable answer in 3 s.
        """
