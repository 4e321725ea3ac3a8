"""Issued access tokens by their `jti`, never the tokens themselves (ports.TokenStore)."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import bindparam, insert, select, update

from broker.ids import AccountID, ClientID, GrantID, Subject
from broker.oidc.tokens import AccessToken
from broker.storage.schema import access_tokens, accounts, grants
from broker.storage.work import Work, can_hold, maybe

_ISSUE = insert(access_tokens)
_GET = (
    select(access_tokens)
    .outerjoin(grants, grants.c.grant_id == access_tokens.c.grant_id)
    .outerjoin(accounts, accounts.c.account == access_tokens.c.account)
    .where(
        access_tokens.c.jti == bindparam("b_jti"),
        access_tokens.c.expires_at > bindparam("b_now"),
        access_tokens.c.ended_at.is_(None),
        accounts.c.stopped_at.is_(None),
        accounts.c.deleted_at.is_(None),
        grants.c.ended_at.is_(None),  # of a token without a grant too: there is nothing to have ended
    )
)
_END = (
    update(access_tokens)
    .where(access_tokens.c.jti == bindparam("b_jti"), access_tokens.c.ended_at.is_(None))
    .values(ended_at=bindparam("b_now"))
    .returning(access_tokens.c.jti)
)
_FIRST_READING = (
    update(access_tokens)
    .where(access_tokens.c.jti == bindparam("b_jti"), access_tokens.c.read_at.is_(None))
    .values(read_at=bindparam("b_now"))
    .returning(access_tokens.c.jti)
)


class SQLTokens:
    """Fulfils ports.TokenStore."""

    __slots__ = ("_work",)

    def __init__(self, work: Work) -> None:
        self._work = work

    def issue(self, token: AccessToken) -> None:
        self._work.write(
            _ISSUE,
            jti=token.jti,
            client_id=token.client_id,
            account=token.account,
            subject=token.subject,
            scope=" ".join(sorted(token.scope)),
            audience=" ".join(token.audience),
            authorization_details=token.authorization_details,
            actor=token.actor,
            grant_id=token.grant_id,
            jkt=token.jkt,
            x5t=token.x5t,
            issued_at=token.issued_at,
            expires_at=token.expires_at,
        )

    def get(self, jti: str, *, now: datetime) -> AccessToken | None:
        if not can_hold(jti):
            return None
        row = self._work.read(_GET, b_jti=jti, b_now=now).one_or_none()
        if row is None:
            return None
        return AccessToken(
            jti=row.jti,
            client_id=ClientID(row.client_id),
            account=maybe(AccountID, row.account),
            subject=Subject(row.subject),
            scope=frozenset(row.scope.split()),
            audience=tuple(row.audience.split()),
            authorization_details=row.authorization_details,
            actor=row.actor,
            grant_id=maybe(GrantID, row.grant_id),
            jkt=row.jkt,
            x5t=row.x5t,
            issued_at=row.issued_at,
            expires_at=row.expires_at,
        )

    def first_reading(self, jti: str, *, now: datetime) -> bool:
        return self._work.changes(_FIRST_READING, b_jti=jti, b_now=now)

    def end(self, jti: str, *, now: datetime) -> bool:
        return can_hold(jti) and self._work.changes(_END, b_jti=jti, b_now=now)
