"""Authorization codes, found by their SHA-256 (ports.CodeStore)."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import bindparam, insert, select, update

from broker.ids import AccountID, ClientID, Subject
from broker.oidc.grants import Authentication, AuthorizationCode
from broker.storage.schema import codes
from broker.storage.work import Work

_ISSUE = insert(codes)
_CONSUME = (
    update(codes)
    .where(codes.c.digest == bindparam("b_digest"), codes.c.used_at.is_(None))
    .values(used_at=bindparam("b_now"))
    .returning(codes)
)
_USED = select(codes.c.digest).where(codes.c.digest == bindparam("b_digest"), codes.c.used_at.is_not(None))


class SQLCodes:
    """Fulfils ports.CodeStore."""

    __slots__ = ("_work",)

    def __init__(self, work: Work) -> None:
        self._work = work

    def issue(self, code: AuthorizationCode) -> None:
        self._work.write(
            _ISSUE,
            digest=code.digest,
            client_id=code.client_id,
            redirect_uri=code.redirect_uri,
            code_challenge=code.code_challenge,
            scope=" ".join(sorted(code.scope)),
            nonce=code.nonce,
            account=code.account,
            subject=code.subject,
            auth_time=code.authentication.time,
            acr=code.authentication.acr,
            amr=" ".join(code.authentication.amr),
            session_digest=code.session_digest,
            expires_at=code.expires_at,
        )

    def consume(self, digest: bytes, *, now: datetime) -> AuthorizationCode | None:
        row = self._work.write(_CONSUME, b_digest=digest, b_now=now).one_or_none()
        if row is None:
            return None
        return AuthorizationCode(
            digest=row.digest,
            client_id=ClientID(row.client_id),
            redirect_uri=row.redirect_uri,
            code_challenge=row.code_challenge,
            scope=frozenset(row.scope.split()),
            nonce=row.nonce,
            account=AccountID(row.account),
            subject=Subject(row.subject),
            authentication=Authentication(time=row.auth_time, acr=row.acr, amr=tuple(row.amr.split())),
            session_digest=row.session_digest,
            expires_at=row.expires_at,
        )

    def used(self, digest: bytes) -> bool:
        return self._work.read(_USED, b_digest=digest).one_or_none() is not None
