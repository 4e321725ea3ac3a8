"""Clients' keys from where they publish them, kept in this process (flows.client_keys.ClientKeys)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from datetime import datetime
from threading import Lock
from typing import Any, Final

import structlog

from broker.errors import InvalidToken, OutboundFailed, OutboundRefused
from broker.flows.documents import ClientDocuments
from broker.oidc.client import Client
from broker.oidc.client_keys import MAX_PUBLISHED, Published, must_fetch, read_published, still_good

MAX_SETS: Final = 1024
"""Addresses remembered; the one unused longest goes first."""
_log = structlog.get_logger("broker.network")


class _Address:
    """What is known of one jwks_uri. Whoever holds `fetching` asks it; the others use what is there."""

    __slots__ = ("fetching", "held", "tried_at")

    def __init__(self) -> None:
        self.fetching = Lock()
        self.held: Published | None = None
        self.tried_at: datetime | None = None


class PublishedKeys:
    """Fulfils ClientKeys."""

    __slots__ = ("_addresses", "_clock", "_documents", "_lock")

    def __init__(self, documents: ClientDocuments, clock: Callable[[], datetime]) -> None:
        self._documents = documents
        self._clock = clock
        self._addresses: OrderedDict[str, _Address] = OrderedDict()
        self._lock = Lock()

    def of(self, client: Client, *, kid: str | None = None) -> Mapping[str, Any]:
        if client.jwks is not None:
            return client.jwks
        if client.jwks_uri is None:
            raise InvalidToken("the client has no keys")
        address = self._address(client.jwks_uri)
        due = must_fetch(address.held, kid=kid, tried_at=address.tried_at, now=self._clock())
        # Only who has nothing at all waits for another's answer.
        if due and address.fetching.acquire(blocking=address.held is None):
            try:
                self._refresh(client.jwks_uri, address, kid)
            finally:
                address.fetching.release()
        return still_good(address.held, now=self._clock())

    def _address(self, url: str) -> _Address:
        with self._lock:
            address = self._addresses.setdefault(url, _Address())
            self._addresses.move_to_end(url)
            if len(self._addresses) > MAX_SETS:
                self._addresses.popitem(last=False)
            return address

    def _refresh(self, url: str, address: _Address, kid: str | None) -> None:
        now = self._clock()
        if not must_fetch(address.held, kid=kid, tried_at=address.tried_at, now=now):
            return  # somebody asked while we waited
        try:
            document = self._documents.fetch(url, limit=MAX_PUBLISHED)
            address.held = Published(jwks=read_published(document), fetched_at=now)
        except (OutboundRefused, OutboundFailed, InvalidToken) as failed:
            _log.warning("client_keys_not_fetched", reason=str(failed), kept=address.held is not None)
        finally:
            # Only now: who comes during the try would take it for one that failed, and not wait; and of those who
            # waited for a silent server none begins the same wait again, however long it took.
            address.tried_at = self._clock()
