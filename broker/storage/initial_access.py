"""Initial access tokens by their SHA-256, and how often each may still be used (client_ports.InitialAccessStore)."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import bindparam, insert, select, update

from broker.flows.client_ports import InitialAccess
from broker.oidc.client import SecurityProfile
from broker.storage.schema import initial_access_tokens
from broker.storage.work import Work

_usable = (
    (initial_access_tokens.c.digest == bindparam("b_digest"))
    & (initial_access_tokens.c.expires_at > bindparam("b_now"))
    & (initial_access_tokens.c.uses_left > 0)
)
_OPEN = insert(initial_access_tokens)
_GET = select(initial_access_tokens).where(_usable)
_USE = (
    update(initial_access_tokens)
    .where(_usable)
    .values(uses_left=initial_access_tokens.c.uses_left - 1)
    .returning(initial_access_tokens.c.uses_left)
)


class SQLInitialAccess:
    """Fulfils client_ports.InitialAccessStore."""

    __slots__ = ("_work",)

    def __init__(self, work: Work) -> None:
        self._work = work

    def open(self, access: InitialAccess) -> None:
        self._work.write(
            _OPEN,
            digest=access.digest,
            profile=access.profile.value,
            vetted=access.vetted,
            uses_left=access.uses_left,
            expires_at=access.expires_at,
        )

    def get(self, digest: bytes, *, now: datetime) -> InitialAccess | None:
        row = self._work.read(_GET, b_digest=digest, b_now=now).one_or_none()
        if row is None:
            return None
        return InitialAccess(
            digest=row.digest,
            profile=SecurityProfile(row.profile),
            vetted=row.vetted,
            uses_left=row.uses_left,
            expires_at=row.expires_at,
        )

    def use(self, digest: bytes, *, now: datetime) -> bool:
        return self._work.changes(_USE, b_digest=digest, b_now=now)
