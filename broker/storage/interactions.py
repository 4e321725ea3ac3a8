"""Authorization requests on their way through the login pages (login_ports.InteractionStore)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Row, bindparam, insert, select, update

from broker.flows.login_ports import Authenticated, Interaction
from broker.ids import AccountID, CredentialID, InteractionID, SessionID, Subject
from broker.oidc.authorization import from_json, to_json
from broker.oidc.grants import Authentication
from broker.storage.schema import interactions
from broker.storage.work import Work, can_hold

_is_open = (
    (interactions.c.interaction_id == bindparam("b_interaction_id"))
    & interactions.c.finished_at.is_(None)
    & (interactions.c.expires_at > bindparam("b_now"))
)
_OPEN = insert(interactions)
_GET = select(interactions).where(_is_open)
_SESSION = select(interactions.c.session_digest).where(interactions.c.interaction_id == bindparam("b_interaction_id"))
_AUTHENTICATE = (
    update(interactions)
    .where(_is_open, interactions.c.account.is_(None))
    .values(
        account=bindparam("b_account"),
        credential=bindparam("b_credential"),
        subject=bindparam("b_subject"),
        auth_time=bindparam("b_auth_time"),
        acr=bindparam("b_acr"),
        amr=bindparam("b_amr"),
        session_digest=bindparam("b_session_digest"),
        session_id=bindparam("b_session_id"),
        session_ends_at=bindparam("b_session_ends_at"),
    )
    .returning(interactions.c.interaction_id)
)
_CHOOSE = (
    update(interactions)
    .where(_is_open, interactions.c.account.is_(None))
    .values(released=bindparam("b_released"))
    .returning(interactions.c.interaction_id)
)
_HAND_OVER = (
    update(interactions)
    .where(_is_open, interactions.c.account.is_(None))
    .values(handed_over=bindparam("b_handed_over"))
    .returning(interactions.c.interaction_id)
)
_FINISH = (
    update(interactions).where(_is_open).values(finished_at=bindparam("b_now")).returning(interactions.c.interaction_id)
)


class SQLInteractions:
    """Fulfils login_ports.InteractionStore."""

    __slots__ = ("_work",)

    def __init__(self, work: Work) -> None:
        self._work = work

    def open(self, interaction: Interaction) -> None:
        if interaction.authenticated is not None or interaction.finished:
            raise ValueError("an interaction opens without a person and unfinished")
        self._work.write(
            _OPEN,
            interaction_id=interaction.interaction_id,
            client_id=interaction.request.client_id,
            request=to_json(interaction.request),
            browser_digest=interaction.browser_digest,
            expires_at=interaction.expires_at,
        )

    def get(self, interaction_id: InteractionID, *, now: datetime) -> Interaction | None:
        if not can_hold(interaction_id):
            return None
        row = self._work.read(_GET, b_interaction_id=interaction_id, b_now=now).one_or_none()
        return None if row is None else _interaction(row)

    def authenticate(self, interaction_id: InteractionID, who: Authenticated, *, now: datetime) -> bool:
        bound = self._work.write(
            _AUTHENTICATE,
            b_interaction_id=interaction_id,
            b_now=now,
            b_account=who.account,
            b_credential=who.credential,
            b_subject=who.subject,
            b_auth_time=who.authentication.time,
            b_acr=who.authentication.acr,
            b_amr=" ".join(who.authentication.amr),
            b_session_digest=who.session_digest,
            b_session_id=who.session_id,
            b_session_ends_at=who.session_ends_at,
        ).one_or_none()
        return bound is not None

    def choose(self, interaction_id: InteractionID, released: frozenset[str], *, now: datetime) -> bool:
        return self._work.changes(
            _CHOOSE, b_interaction_id=interaction_id, b_now=now, b_released=" ".join(sorted(released))
        )

    def hand_over(self, interaction_id: InteractionID, digest: bytes | None, *, now: datetime) -> bool:
        return self._work.changes(_HAND_OVER, b_interaction_id=interaction_id, b_now=now, b_handed_over=digest)

    def finish(self, interaction_id: InteractionID, *, now: datetime) -> bool:
        return self._work.changes(_FINISH, b_interaction_id=interaction_id, b_now=now)

    def session(self, interaction_id: InteractionID) -> bytes | None:
        found: bytes | None = self._work.read(_SESSION, b_interaction_id=interaction_id).scalar_one_or_none()
        return found


def _interaction(row: Row[Any]) -> Interaction:
    authenticated = None
    if row.account is not None:
        authenticated = Authenticated(
            account=AccountID(row.account),
            credential=CredentialID(row.credential),
            subject=Subject(row.subject),
            authentication=Authentication(time=row.auth_time, acr=row.acr, amr=tuple(row.amr.split())),
            session_digest=row.session_digest,
            session_id=SessionID(row.session_id),
            session_ends_at=row.session_ends_at,
        )
    return Interaction(
        interaction_id=InteractionID(row.interaction_id),
        request=from_json(row.request),
        browser_digest=row.browser_digest,
        expires_at=row.expires_at,
        authenticated=authenticated,
        finished=row.finished_at is not None,
        released=None if row.released is None else frozenset(row.released.split()),
        handed_over=row.handed_over,
    )
