"""Registered clients (ports.ClientStore)."""

from __future__ import annotations

import json
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import bindparam, select

from broker.ids import ClientID, SectorID
from broker.oidc.client import Client, SecurityProfile
from broker.oidc.registration import metadata, parse
from broker.storage.schema import clients
from broker.storage.work import Work, can_hold, per_engine

_GET = select(clients).where(clients.c.client_id == bindparam("b_client_id"), clients.c.removed_at.is_(None))
_ALL = select(clients).where(clients.c.removed_at.is_(None)).order_by(clients.c.client_id)
_ADD = per_engine(
    lambda insert: insert(clients).on_conflict_do_nothing(index_elements=["client_id"]).returning(clients.c.client_id)
)


class SQLClients:
    """Fulfils ports.ClientStore."""

    __slots__ = ("_work",)

    def __init__(self, work: Work) -> None:
        self._work = work

    def get(self, client_id: ClientID) -> Client | None:
        if not can_hold(client_id):
            return None
        row = self._work.read(_GET, b_client_id=client_id).one_or_none()
        return None if row is None else _client(row)

    def add(self, client: Client, *, now: datetime) -> bool:
        added = self._work.write(
            _ADD,
            client_id=client.client_id,
            vetted=client.vetted,
            profile=client.profile.value,
            sector=client.sector,
            metadata=json.dumps(metadata(client), ensure_ascii=False),
            secret_digest=client.secret_digest,
            added_at=now,
            changed_at=now,
        ).one_or_none()
        return added is not None

    def all(self) -> tuple[Client, ...]:
        return tuple(_client(row) for row in self._work.read(_ALL).all())


def _client(row: Any) -> Client:
    return _parsed(row.client_id, row.vetted, row.profile, row.sector, row.metadata, row.secret_digest)


@lru_cache(maxsize=256)
def _parsed(  # noqa: PLR0917 -- a cache goes by position
    client_id: str, vetted: bool, profile: str, sector: str, document: str, secret_digest: bytes | None
) -> Client:
    """The same row is the same client: every change of it is another key."""
    return parse(
        json.loads(document),
        client_id=ClientID(client_id),
        profile=SecurityProfile(profile),
        sector=SectorID(sector),
        vetted=vetted,
        secret_digest=secret_digest,
    )
