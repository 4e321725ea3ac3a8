"""The keys of a client, wherever it keeps them: for its signatures and for what is encrypted to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from broker.oidc.client import Client


class ClientKeys(Protocol):
    """May call the client's server: never asked inside a unit of work."""

    def of(self, client: Client, *, kid: str | None = None) -> Mapping[str, Any]:
        """The client's JWK Set: the registered one, or what its jwks_uri publishes, at most 5 minutes old.

        A `kid` that is not in it makes us ask anew, once a minute; while the client's server is silent the last set
        serves for an hour. Raises InvalidToken: the client has no keys, or they cannot be had.
        """
