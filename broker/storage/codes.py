"""Authorization codes, found by their SHA-256 (ports.CodeStore)."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import bindparam, insert, select, update

from broker.ids import GrantID
from broker.oidc.grants import AuthorizationCode
from broker.storage.grants import SQLGrants
from broker.storage.schema import codes
from broker.storage.work import Work

_ISSUE = insert(codes)
_CONSUME = (
    update(codes)
    .where(codes.c.digest == bindparam("b_digest"), codes.c.used_at.is_(None))
    .values(used_at=bindparam("b_now"))
    .returning(codes)
)
_USED = select(codes.c.grant_id).where(codes.c.digest == bindparam("b_digest"), codes.c.used_at.is_not(None))


class SQLCodes:
    """Fulfils ports.CodeStore."""

    __slots__ = ("_work",)

    def __init__(self, work: Work) -> None:
        self._work = work

    def issue(self, code: AuthorizationCode) -> None:
        SQLGrants(self._work).open(code.grant)
        self.attach(code)

    def attach(self, code: AuthorizationCode) -> None:
        self._work.write(
            _ISSUE,
            digest=code.digest,
            grant_id=code.grant.grant_id,
            redirect_uri=code.redirect_uri,
            code_challenge=code.code_challenge,
            jkt=code.jkt,
            expires_at=code.expires_at,
        )

    def consume(self, digest: bytes, *, now: datetime) -> AuthorizationCode | None:
        row = self._work.write(_CONSUME, b_digest=digest, b_now=now).one_or_none()
        grant = None if row is None else SQLGrants(self._work).get(GrantID(row.grant_id))
        if row is None or grant is None:
            return None
        return AuthorizationCode(
            digest=row.digest,
            grant=grant,
            redirect_uri=row.redirect_uri,
            code_challenge=row.code_challenge,
            jkt=row.jkt,
            expires_at=row.expires_at,
        )

    def used(self, digest: bytes) -> GrantID | None:
        row = self._work.read(_USED, b_digest=digest).one_or_none()
        return None if row is None else GrantID(row.grant_id)
