"""Authorization requests on their way through the login pages (ports.InteractionStore)."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from sqlalchemy import Row, bindparam, insert, select, update

from broker.flows.ports import Authenticated, Interaction
from broker.ids import AccountID, ClientID, CredentialID, InteractionID, Subject
from broker.oidc.authorization import AuthorizationRequest
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
    )
    .returning(interactions.c.interaction_id)
)
_FINISH = (
    update(interactions).where(_is_open).values(finished_at=bindparam("b_now")).returning(interactions.c.interaction_id)
)


class SQLInteractions:
    """Fulfils ports.InteractionStore."""

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
            request=_request_json(interaction.request),
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
        ).one_or_none()
        return bound is not None

    def finish(self, interaction_id: InteractionID, *, now: datetime) -> bool:
        return self._work.write(_FINISH, b_interaction_id=interaction_id, b_now=now).one_or_none() is not None


def _interaction(row: Row[Any]) -> Interaction:
    authenticated = None
    if row.account is not None:
        authenticated = Authenticated(
            account=AccountID(row.account),
            credential=CredentialID(row.credential),
            subject=Subject(row.subject),
            authentication=Authentication(time=row.auth_time, acr=row.acr, amr=tuple(row.amr.split())),
            session_digest=row.session_digest,
        )
    return Interaction(
        interaction_id=InteractionID(row.interaction_id),
        request=_request(row.request),
        browser_digest=row.browser_digest,
        expires_at=row.expires_at,
        authenticated=authenticated,
        finished=row.finished_at is not None,
    )


def _request_json(request: AuthorizationRequest) -> str:
    return json.dumps(
        {
            "client_id": request.client_id,
            "redirect_uri": request.redirect_uri,
            "code_challenge": request.code_challenge,
            "scope": sorted(request.scope),
            "state": request.state,
            "nonce": request.nonce,
            "prompt": sorted(request.prompt),
            "max_age": request.max_age,
            "ui_locales": request.ui_locales,
            "acr_values": request.acr_values,
        }
    )


def _request(text: str) -> AuthorizationRequest:
    members = json.loads(text)
    return AuthorizationRequest(
        client_id=ClientID(members["client_id"]),
        redirect_uri=members["redirect_uri"],
        code_challenge=members["code_challenge"],
        scope=frozenset(members["scope"]),
        state=members["state"],
        nonce=members["nonce"],
        prompt=frozenset(members["prompt"]),
        max_age=members["max_age"],
        ui_locales=members["ui_locales"],
        acr_values=tuple(members["acr_values"]),
    )
