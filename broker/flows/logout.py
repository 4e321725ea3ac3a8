"""Ending a session (OIDC RP-Initiated Logout 1.0): always possible, never a way to be sent somewhere unregistered."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import urlencode

from broker.audit.entry import Entry, Event
from broker.errors import FormTokenInvalid, InvalidToken, LogoutRefused
from broker.flows.hint import read_hint
from broker.flows.ports import Ports, Transaction
from broker.flows.secret import digest
from broker.ids import ClientID
from broker.oidc.authorization import single_values
from broker.oidc.client import Client


@dataclass(frozen=True, slots=True, kw_only=True)
class LogoutAsked:
    """No hint proves who wants this: the resident is asked (§2). None when there is nothing to end."""

    form_token: str | None = field(repr=False)
    ui_locales: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedOut:
    """The session has ended; `url` is the registered place the client asked for, if any."""

    client: Client | None
    url: str | None
    ui_locales: str | None


def request(pairs: Iterable[tuple[str, str]], *, session_secret: str | None, ports: Ports) -> LogoutAsked | LoggedOut:
    """Judge an RP's logout request (§2). Raises LogoutRefused where its hint or return address is not in order."""
    parameters = single_values(pairs)
    ui_locales = parameters.get("ui_locales")
    hint = parameters.get("id_token_hint")
    if hint is None:
        if "post_logout_redirect_uri" in parameters:
            raise LogoutRefused("a return address needs an id_token_hint")
        return LogoutAsked(form_token=form_token(session_secret) if session_secret else None, ui_locales=ui_locales)
    client_id, subject = _hinted(hint, parameters.get("client_id"), ports)
    with ports.store.transaction() as tx:
        client = tx.clients.get(client_id)
        if client is None:
            raise LogoutRefused("no such client")
        uri = parameters.get("post_logout_redirect_uri")
        if uri is not None and uri not in client.post_logout_redirect_uris:
            raise LogoutRefused("return address is not registered")
        if session_secret:
            session = tx.sessions.get(digest(session_secret))
            if session is not None and (session.client_id, session.subject) != (client_id, subject):
                return LogoutAsked(form_token=form_token(session_secret), ui_locales=ui_locales)
            _end(tx, session_secret, ports)
    state = parameters.get("state")
    if uri is not None and state is not None:
        uri = f"{uri}{'&' if '?' in uri else '?'}{urlencode({'state': state})}"
    return LoggedOut(client=client, url=uri, ui_locales=ui_locales)


def confirm(*, form_token_given: str, session_secret: str | None, ports: Ports) -> LoggedOut:
    """The resident said yes on our own page. Raises FormTokenInvalid."""
    if session_secret:
        if not hmac.compare_digest(form_token(session_secret), form_token_given):
            raise FormTokenInvalid("not the form of this session")
        with ports.store.transaction() as tx:
            _end(tx, session_secret, ports)
    return LoggedOut(client=None, url=None, ui_locales=None)


def _end(tx: Transaction, session_secret: str, ports: Ports) -> None:
    now = ports.clock()
    session = tx.sessions.get(digest(session_secret))
    if session is not None and tx.sessions.end(session.digest, now=now):
        tx.audit.append(Entry(at=now, event=Event.LOGOUT, client_id=session.client_id, account=session.account))


def _hinted(hint: str, client_id: str | None, ports: Ports) -> tuple[ClientID, str]:
    """Whom the hint names. An expired ID token still is one (§2); one we did not sign is not."""
    try:
        audience, subject = read_hint(hint, ports=ports)
    except InvalidToken as invalid:
        raise LogoutRefused("the hint is not a token of ours") from invalid
    if client_id is not None and client_id != audience:
        raise LogoutRefused("the hint was issued to another client")
    return audience, subject


def form_token(session_secret: str) -> str:
    """Only a page of this session can carry it."""
    return hmac.new(session_secret.encode(), b"logout", hashlib.sha256).hexdigest()
