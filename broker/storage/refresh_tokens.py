"""Refresh tokens, found by their SHA-256 (ports.RefreshTokenStore)."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import bindparam, insert, select, update

from broker.ids import GrantID
from broker.oidc.refresh import RefreshToken
from broker.storage.schema import refresh_tokens
from broker.storage.work import Work

_ISSUE = insert(refresh_tokens)
_GET = select(refresh_tokens).where(refresh_tokens.c.digest == bindparam("b_digest"))
_CONSUME = (
    update(refresh_tokens)
    .where(refresh_tokens.c.digest == bindparam("b_digest"), refresh_tokens.c.used_at.is_(None))
    .values(used_at=bindparam("b_now"))
    .returning(refresh_tokens.c.grant_id)
)


class SQLRefreshTokens:
    """Fulfils ports.RefreshTokenStore."""

    __slots__ = ("_work",)

    def __init__(self, work: Work) -> None:
        self._work = work

    def issue(self, token: RefreshToken) -> None:
        self._work.write(
            _ISSUE,
            digest=token.digest,
            grant_id=token.grant_id,
            jkt=token.jkt,
            x5t=token.x5t,
            issued_at=token.issued_at,
            expires_at=token.expires_at,
        )

    def get(self, digest: bytes) -> RefreshToken | None:
        row = self._work.read(_GET, b_digest=digest).one_or_none()
        if row is None:
            return None
        return RefreshToken(
            digest=row.digest,
            grant_id=GrantID(row.grant_id),
            jkt=row.jkt,
            x5t=row.x5t,
            issued_at=row.issued_at,
            expires_at=row.expires_at,
            used_at=row.used_at,
        )

    def consume(self, digest: bytes, *, now: datetime) -> bool:
        return self._work.changes(_CONSUME, b_digest=digest, b_now=now)
