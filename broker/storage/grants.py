"""Grants: what one approval gave to one client (ports.GrantStore)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, delete, exists, insert, select, update

from broker.ids import AccountID, ClientID, CredentialID, GrantID, ReceiptID, SessionID, Subject
from broker.oidc.grants import Authentication, Grant
from broker.storage.schema import grant_certificates, grants, identity_proofs, refresh_tokens
from broker.storage.work import Work, can_hold, maybe

_alive = (grants.c.grant_id == bindparam("b_grant_id")) & grants.c.ended_at.is_(None)
_OPEN = insert(grants)
_GET = select(grants).where(_alive)
_END = update(grants).where(_alive).values(ended_at=bindparam("b_now")).returning(grants.c.grant_id)
_END_OF_SESSION = (
    update(grants)
    .where(
        grants.c.session_digest == bindparam("b_session_digest"),
        grants.c.ended_at.is_(None),
        ~exists().where(refresh_tokens.c.grant_id == grants.c.grant_id),
    )
    .values(ended_at=bindparam("b_now"))
)
_PROLONG = update(grants).where(_alive).values(expires_at=bindparam("b_expires_at"))

_KEEP = insert(grant_certificates)
_KEPT = select(grant_certificates.c.sealed).where(grant_certificates.c.grant_id == bindparam("b_grant_id"))
_OFFLINE = (
    select(grants.c.grant_id)
    .join(grant_certificates, grant_certificates.c.grant_id == grants.c.grant_id)
    .where(
        grants.c.account == bindparam("b_account"),
        grants.c.credential == bindparam("b_credential"),
        grants.c.ended_at.is_(None),
    )
    .order_by(grants.c.grant_id)
)
_OF = select(grants).where(grants.c.account == bindparam("b_account"), grants.c.ended_at.is_(None))
_OF_CLIENT = _OF.where(grants.c.client_id == bindparam("b_client_id"))
_FOLLOW = update(grants).where(_alive).values(credential=bindparam("b_credential"))
_REPLACE = (
    update(grant_certificates)
    .where(grant_certificates.c.grant_id == bindparam("b_grant_id"))
    .values(sealed=bindparam("b_sealed"))
)
_FORGET_PROOF = delete(identity_proofs).where(identity_proofs.c.grant_id == bindparam("b_grant_id"))
_FORGET_PROOFS_OF_SESSION = delete(identity_proofs).where(
    exists().where(
        grants.c.grant_id == identity_proofs.c.grant_id,
        grants.c.session_digest == bindparam("b_session_digest"),
        grants.c.ended_at.is_not(None),
    )
)
_FORGET = delete(grant_certificates).where(grant_certificates.c.grant_id == bindparam("b_grant_id"))


class SQLGrants:
    """Fulfils ports.GrantStore."""

    __slots__ = ("_work",)

    def __init__(self, work: Work) -> None:
        self._work = work

    def open(self, grant: Grant) -> None:
        self._work.write(
            _OPEN,
            grant_id=grant.grant_id,
            client_id=grant.client_id,
            account=grant.account,
            credential=grant.credential,
            subject=grant.subject,
            scope=" ".join(sorted(grant.scope)),
            claims=grant.claims,
            authorization_details=grant.authorization_details,
            resources=" ".join(grant.resources),
            nonce=grant.nonce,
            auth_time=grant.authentication.time,
            acr=grant.authentication.acr,
            amr=" ".join(grant.authentication.amr),
            session_digest=grant.session_digest,
            session_id=grant.session_id,
            session_ends_at=grant.session_ends_at,
            receipt_id=grant.receipt_id,
            created_at=grant.created_at,
            expires_at=grant.expires_at,
        )

    def get(self, grant_id: GrantID) -> Grant | None:
        if not can_hold(grant_id):
            return None
        row = self._work.read(_GET, b_grant_id=grant_id).one_or_none()
        return None if row is None else grant_of(row)

    def prolong(self, grant_id: GrantID, *, expires_at: datetime) -> None:
        self._work.write(_PROLONG, b_grant_id=grant_id, b_expires_at=expires_at)

    def of(self, account: AccountID, client_id: ClientID | None = None) -> tuple[Grant, ...]:
        if client_id is None:
            rows = self._work.read(_OF, b_account=account).all()
        else:
            rows = self._work.read(_OF_CLIENT, b_account=account, b_client_id=client_id).all()
        return tuple(grant_of(row) for row in rows)

    def end_of_session(self, session_digest: bytes, *, now: datetime) -> int:
        ended = self._work.write(_END_OF_SESSION, b_session_digest=session_digest, b_now=now).rowcount
        self._work.write(_FORGET_PROOFS_OF_SESSION, b_session_digest=session_digest)
        return ended

    def end(self, grant_id: GrantID, *, now: datetime) -> bool:
        if not self._work.changes(_END, b_grant_id=grant_id, b_now=now):
            return False
        self._work.write(_FORGET, b_grant_id=grant_id)
        self._work.write(_FORGET_PROOF, b_grant_id=grant_id)
        return True

    def keep_certificate(self, grant_id: GrantID, sealed: bytes) -> None:
        self._work.write(_KEEP, grant_id=grant_id, sealed=sealed)

    def certificate(self, grant_id: GrantID) -> bytes | None:
        found: bytes | None = self._work.read(_KEPT, b_grant_id=grant_id).scalar_one_or_none()
        return found

    def offline(self, account: AccountID, credential: CredentialID) -> tuple[GrantID, ...]:
        rows = self._work.read(_OFFLINE, b_account=account, b_credential=credential).all()
        return tuple(GrantID(row.grant_id) for row in rows)

    def follow(self, grant_id: GrantID, credential: CredentialID, sealed: bytes) -> None:
        self._work.write(_FOLLOW, b_grant_id=grant_id, b_credential=credential)
        self._work.write(_REPLACE, b_grant_id=grant_id, b_sealed=sealed)


def grant_of(row: Any) -> Grant:
    """A grant out of its row."""
    return Grant(
        grant_id=GrantID(row.grant_id),
        client_id=ClientID(row.client_id),
        account=AccountID(row.account),
        credential=CredentialID(row.credential),
        subject=Subject(row.subject),
        scope=frozenset(row.scope.split()),
        claims=row.claims,
        authorization_details=row.authorization_details,
        resources=tuple(row.resources.split()),
        nonce=row.nonce,
        authentication=Authentication(time=row.auth_time, acr=row.acr, amr=tuple(row.amr.split())),
        session_digest=row.session_digest,
        session_id=maybe(SessionID, row.session_id),
        session_ends_at=row.session_ends_at,
        receipt_id=maybe(ReceiptID, row.receipt_id),
        created_at=row.created_at,
        expires_at=row.expires_at,
    )
