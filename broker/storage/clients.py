"""Registered clients (client_ports.ClientStore, client_ports.ManagedClientStore)."""

from __future__ import annotations

import json
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import bindparam, delete, exists, null, select, update

from broker.flows.client_ports import ManagedClient
from broker.ids import ClientID, SectorID
from broker.oidc.client import Client, Right, SecurityProfile
from broker.oidc.registration import metadata, parse
from broker.storage.schema import (
    access_tokens,
    clients,
    grant_certificates,
    grants,
    identity_proofs,
    interactions,
    sessions,
)
from broker.storage.work import Work, can_hold, per_engine

_there = (clients.c.client_id == bindparam("b_client_id")) & clients.c.removed_at.is_(None)
_managed = _there & (clients.c.registration_digest == bindparam("b_manager"))
_GET = select(clients).where(_there)
_GET_MANAGED = select(clients).where(_managed)
_ALL = select(clients).where(clients.c.removed_at.is_(None)).order_by(clients.c.client_id)
_ADD = per_engine(
    lambda insert: insert(clients).on_conflict_do_nothing(index_elements=["client_id"]).returning(clients.c.client_id)
)
_NEW: dict[str, Any] = {
    name: bindparam(f"b_{name}") for name in ("vetted", "rights", "profile", "metadata", "secret_digest", "changed_at")
}
_CHANGE = update(clients).where(_there).values(_NEW).returning(clients.c.client_id)
_CHANGE_MANAGED = (
    update(clients)
    .where(_managed)
    .values(_NEW | {"registration_digest": bindparam("b_fresh")})
    .returning(clients.c.client_id)
)
_REMOVE = (
    update(clients)
    .where(_there)
    .values(removed_at=bindparam("b_now"), changed_at=bindparam("b_now"), registration_digest=null())
    .returning(clients.c.client_id)
)
_END_ALL = (  # in tables that are purged within a day: a scan each is short
    update(access_tokens)
    .where(access_tokens.c.client_id == bindparam("b_client_id"), access_tokens.c.ended_at.is_(None))
    .values(ended_at=bindparam("b_now")),
    update(sessions)
    .where(sessions.c.client_id == bindparam("b_client_id"), sessions.c.ended_at.is_(None))
    .values(ended_at=bindparam("b_now")),
    update(interactions)
    .where(interactions.c.client_id == bindparam("b_client_id"), interactions.c.finished_at.is_(None))
    .values(finished_at=bindparam("b_now")),
)
STEP: Final = 2000
"""Grants looked at in one unit of work: some 10 ms of the write lock, however many the client had."""
_STEP_ENDS = (
    select(grants.c.grant_id)
    .where(grants.c.grant_id > bindparam("b_after"))
    .order_by(grants.c.grant_id)
    .offset(STEP - 1)
    .limit(1)
)
_END_REST = (
    update(grants)
    .where(
        grants.c.grant_id > bindparam("b_after"),
        grants.c.client_id == bindparam("b_client_id"),
        grants.c.ended_at.is_(None),
    )
    .values(ended_at=bindparam("b_now"))
)
_END_STEP = _END_REST.where(grants.c.grant_id <= bindparam("b_upto"))
_FORGET_REST = delete(grant_certificates).where(  # what an offline grant was judged by goes with it
    grant_certificates.c.grant_id > bindparam("b_after"),
    exists().where(grants.c.grant_id == grant_certificates.c.grant_id, grants.c.client_id == bindparam("b_client_id")),
)
_FORGET_PROOFS_REST = delete(identity_proofs).where(  # and what was proved to it
    identity_proofs.c.grant_id > bindparam("b_after"),
    exists().where(grants.c.grant_id == identity_proofs.c.grant_id, grants.c.client_id == bindparam("b_client_id")),
)
_FORGET_PROOFS_STEP = _FORGET_PROOFS_REST.where(identity_proofs.c.grant_id <= bindparam("b_upto"))
_FORGET_STEP = _FORGET_REST.where(grant_certificates.c.grant_id <= bindparam("b_upto"))


class SQLClients:
    """Fulfils client_ports.ClientStore."""

    __slots__ = ("_work",)

    def __init__(self, work: Work) -> None:
        self._work = work

    def get(self, client_id: ClientID) -> Client | None:
        if not can_hold(client_id):
            return None
        row = self._work.read(_GET, b_client_id=client_id).one_or_none()
        return None if row is None else _client(row)

    def add(self, client: Client, *, now: datetime, manager: bytes | None = None) -> bool:
        added = self._work.write(
            _ADD,
            client_id=client.client_id,
            vetted=client.vetted,
            rights=_words(client),
            profile=client.profile.value,
            sector=client.sector,
            metadata=json.dumps(metadata(client), ensure_ascii=False),
            secret_digest=client.secret_digest,
            registration_digest=manager,
            added_at=now,
            changed_at=now,
        ).one_or_none()
        return added is not None

    def all(self) -> tuple[Client, ...]:
        return tuple(_client(row) for row in self._work.read(_ALL).all())

    def change(self, client: Client, *, now: datetime) -> bool:
        return self._work.changes(_CHANGE, **_values(client, now))

    def remove(self, client_id: ClientID, *, now: datetime) -> bool:
        if not can_hold(client_id):
            return False
        removed = self._work.changes(_REMOVE, b_client_id=client_id, b_now=now)
        if removed:
            for statement in _END_ALL:
                self._work.write(statement, b_client_id=client_id, b_now=now)
        return removed

    def end_grants(self, client_id: ClientID, *, after: str, now: datetime) -> str | None:
        step = self._work.read(_STEP_ENDS, b_after=after).one_or_none()
        if step is None:
            self._work.write(_END_REST, b_after=after, b_client_id=client_id, b_now=now)
            self._work.write(_FORGET_REST, b_after=after, b_client_id=client_id)
            self._work.write(_FORGET_PROOFS_REST, b_after=after, b_client_id=client_id)
            return None
        upto: str = step.grant_id
        self._work.write(_END_STEP, b_after=after, b_upto=upto, b_client_id=client_id, b_now=now)
        self._work.write(_FORGET_STEP, b_after=after, b_upto=upto, b_client_id=client_id)
        self._work.write(_FORGET_PROOFS_STEP, b_after=after, b_upto=upto, b_client_id=client_id)
        return upto


class SQLManagedClients:
    """Fulfils client_ports.ManagedClientStore."""

    __slots__ = ("_work",)

    def __init__(self, work: Work) -> None:
        self._work = work

    def get(self, client_id: ClientID, *, manager: bytes) -> ManagedClient | None:
        if not can_hold(client_id):
            return None
        row = self._work.read(_GET_MANAGED, b_client_id=client_id, b_manager=manager).one_or_none()
        return None if row is None else ManagedClient(client=_client(row), issued_at=row.added_at)

    def change(self, client: Client, *, manager: bytes, fresh: bytes, now: datetime) -> bool:
        return self._work.changes(_CHANGE_MANAGED, b_manager=manager, b_fresh=fresh, **_values(client, now))


def _values(client: Client, now: datetime) -> dict[str, Any]:
    return {
        "b_client_id": client.client_id,
        "b_vetted": client.vetted,
        "b_rights": _words(client),
        "b_profile": client.profile.value,
        "b_metadata": json.dumps(metadata(client), ensure_ascii=False),
        "b_secret_digest": client.secret_digest,
        "b_changed_at": now,
    }


def _words(client: Client) -> str:
    return " ".join(sorted(client.rights))


def _client(row: Any) -> Client:
    return _parsed(row.client_id, row.vetted, row.rights, row.profile, row.sector, row.metadata, row.secret_digest)


@lru_cache(maxsize=256)
def _parsed(  # noqa: PLR0917 -- a cache goes by position
    client_id: str, vetted: bool, rights: str, profile: str, sector: str, document: str, secret_digest: bytes | None
) -> Client:
    """The same row is the same client: every change of it is another key."""
    return parse(
        json.loads(document),
        client_id=ClientID(client_id),
        profile=SecurityProfile(profile),
        sector=SectorID(sector),
        vetted=vetted,
        rights=frozenset(Right(word) for word in rights.split()),
        secret_digest=secret_digest,
    )
