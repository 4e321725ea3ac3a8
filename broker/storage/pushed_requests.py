"""Pushed authorization requests (pushed_requests.PushedRequestStore)."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from sqlalchemy import bindparam, insert, select, update

from broker.ids import ClientID
from broker.oidc.authorization import AuthorizationRequest, from_json, to_json
from broker.storage.schema import pushed_requests
from broker.storage.work import Work, can_hold

_unused = (pushed_requests.c.digest == bindparam("b_digest")) & pushed_requests.c.used_at.is_(None)
_PUSH = insert(pushed_requests)
_GET = select(pushed_requests.c.parameters).where(
    _unused,
    pushed_requests.c.client_id == bindparam("b_client_id"),
    pushed_requests.c.expires_at > bindparam("b_now"),
)
_USE = update(pushed_requests).where(_unused).values(used_at=bindparam("b_now")).returning(pushed_requests.c.client_id)


class SQLPushedRequests:
    """Fulfils pushed_requests.PushedRequestStore."""

    __slots__ = ("_work",)

    def __init__(self, work: Work) -> None:
        self._work = work

    def push(self, digest: bytes, request: AuthorizationRequest, *, expires_at: datetime) -> None:
        self._work.write(
            _PUSH,
            digest=digest,
            client_id=request.client_id,
            parameters=to_json(request),
            expires_at=expires_at,
        )

    def get(self, digest: bytes, client_id: ClientID, *, now: datetime) -> AuthorizationRequest | None:
        if not can_hold(client_id):
            return None
        row = self._work.read(_GET, b_digest=digest, b_client_id=client_id, b_now=now).one_or_none()
        return None if row is None else replace(from_json(row.parameters), pushed=digest.hex())

    def use(self, digest: bytes, *, now: datetime) -> bool:
        return self._work.changes(_USE, b_digest=digest, b_now=now)
