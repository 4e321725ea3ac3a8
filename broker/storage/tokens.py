"""Issued access tokens by their `jti`, never the tokens themselves (ports.TokenStore)."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import bindparam, insert, select, update

from broker.ids import AccountID, ClientID, Subject
from broker.oidc.tokens import AccessToken
from broker.storage.schema import access_tokens
from broker.storage.work import Work, can_hold

_ISSUE = insert(access_tokens)
_GET = select(access_tokens).where(
    access_tokens.c.jti == bindparam("b_jti"),
    access_tokens.c.expires_at > bindparam("b_now"),
    access_tokens.c.ended_at.is_(None),
)
_END_FROM_CODE = (
    update(access_tokens)
    .where(access_tokens.c.code_digest == bindparam("b_code_digest"), access_tokens.c.ended_at.is_(None))
    .values(ended_at=bindparam("b_now"))
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
            issued_at=token.issued_at,
            expires_at=token.expires_at,
            code_digest=token.code_digest,
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
            account=AccountID(row.account),
            subject=Subject(row.subject),
            scope=frozenset(row.scope.split()),
            issued_at=row.issued_at,
            expires_at=row.expires_at,
            code_digest=row.code_digest,
        )

    def end_from_code(self, code_digest: bytes, *, now: datetime) -> int:
        return len(self._work.write(_END_FROM_CODE, b_code_digest=code_digest, b_now=now).all())
