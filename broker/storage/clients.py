"""Registered clients (ports.ClientStore)."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from sqlalchemy import Row, bindparam, select

from broker.ids import ClientID, SectorID
from broker.oidc.client import Client, SecurityProfile
from broker.storage.schema import clients
from broker.storage.work import Work, can_hold, per_engine

_GET = select(clients).where(clients.c.client_id == bindparam("b_client_id"))
_ALL = select(clients).order_by(clients.c.client_id)
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
            name=client.name,
            vetted=client.vetted,
            profile=client.profile.value,
            redirect_uris=json.dumps(client.redirect_uris),
            post_logout_redirect_uris=json.dumps(client.post_logout_redirect_uris),
            jwks=json.dumps(dict(client.jwks)),
            sector=client.sector,
            added_at=now,
        ).one_or_none()
        return added is not None

    def all(self) -> tuple[Client, ...]:
        return tuple(_client(row) for row in self._work.read(_ALL).all())


def _client(row: Row[Any]) -> Client:
    return Client(
        client_id=ClientID(row.client_id),
        name=row.name,
        vetted=row.vetted,
        profile=SecurityProfile(row.profile),
        redirect_uris=tuple(json.loads(row.redirect_uris)),
        post_logout_redirect_uris=tuple(json.loads(row.post_logout_redirect_uris)),
        jwks=json.loads(row.jwks),
        sector=SectorID(row.sector),
    )
