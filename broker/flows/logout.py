"""Ending a session (OIDC RP-Initiated Logout 1.0): always possible, never a way to be sent somewhere unregistered."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from broker.accounts.session import Session
from broker.audit.entry import Event
from broker.errors import FormTokenInvalid, InvalidToken, LogoutRefused
from broker.flows.backchannel_logout import deliver
from broker.flows.hint import Hint, read_hint
from broker.flows.logout_ports import LogoutDelivery
from broker.flows.ports import Ports, Transaction
from broker.flows.secret import digest
from broker.flows.session import end_session
from broker.ids import ClientID
from broker.oidc.authorization import single_values
from broker.oidc.client import Client
from broker.oidc.logout import frame_address, return_address


@dataclass(frozen=True, slots=True, kw_only=True)
class LogoutAsked:
    """Nothing proves that the person here wants this: they are asked (§2)."""

    client: Client | None
    form_token: str | None = field(repr=False)
    """None when there is nothing to end."""
    fields: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """The client's request, which the form brings back with the answer."""
    ui_locales: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedOut:
    """The session has ended; `url` is the registered place the client asked for, if any."""

    client: Client | None
    url: str | None
    frame: str | None = None
    """A page of the client that the browser loads beside ours, where the operator has switched that on."""
    ui_locales: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judged:
    """A request in order: who asks, who is named, and the registered place to go to."""

    client: Client | None
    hint: Hint | None
    url: str | None
    ui_locales: str | None


_CARRIED = ("id_token_hint", "client_id", "post_logout_redirect_uri", "state", "ui_locales")


def request(pairs: Iterable[tuple[str, str]], *, session_secret: str | None, ports: Ports) -> LogoutAsked | LoggedOut:
    """Judge an RP's logout request (§2). Raises LogoutRefused where its hint or return address is not in order.

    A hint that names the session of this browser ends it unasked. Where the browser brought no session (a form posted
    from another site brings none of our cookies) the very session that the hint was issued in ends.
    """
    parameters = single_values(pairs)
    with ports.store.transaction() as tx:
        judged = _judge(tx, parameters, ports)
        session = tx.sessions.get(digest(session_secret)) if session_secret else None
        if judged.hint is None or (session is not None and not judged.hint.names(session)):
            return LogoutAsked(
                client=judged.client,
                form_token=form_token(session_secret) if session_secret and session is not None else None,
                fields=tuple((name, parameters[name]) for name in _CARRIED if name in parameters),
                ui_locales=judged.ui_locales,
            )
        if session is None and judged.hint.session_id is not None:
            named = tx.sessions.named(judged.hint.session_id)
            session = named if named is not None and judged.hint.names(named) else None
        delivery = _end(tx, session, ports)
    return _ended(judged, session, delivery, ports)


def confirm(pairs: Iterable[tuple[str, str]], *, session_secret: str | None, ports: Ports) -> LoggedOut:
    """The person said yes on our own page. Raises FormTokenInvalid, LogoutRefused."""
    parameters = single_values(pairs)
    given = parameters.pop("csrf", "")
    if session_secret and not hmac.compare_digest(form_token(session_secret).encode(), given.encode()):
        raise FormTokenInvalid("not the form of this session")
    with ports.store.transaction() as tx:
        judged = _judge(tx, parameters, ports)
        session = tx.sessions.get(digest(session_secret)) if session_secret else None
        delivery = _end(tx, session, ports)
    return _ended(judged, session, delivery, ports)


def _judge(tx: Transaction, parameters: Mapping[str, str], ports: Ports) -> _Judged:
    hint = None
    if "id_token_hint" in parameters:
        hint = _read_hint(parameters["id_token_hint"], ports)
        if parameters.get("client_id", hint.client_id) != hint.client_id:
            raise LogoutRefused("the hint was issued to another client")
    named = hint.client_id if hint is not None else ClientID(parameters.get("client_id", ""))
    client = tx.clients.get(named) if named else None
    if named and client is None:
        raise LogoutRefused("no such client")
    uri = parameters.get("post_logout_redirect_uri")
    if uri is not None and client is not None and uri not in client.post_logout_redirect_uris:
        raise LogoutRefused("return address is not registered")
    # Without a hint nothing shows that the client asks, and nobody is sent anywhere (§3).
    url = return_address(uri, parameters.get("state")) if uri is not None and hint is not None else None
    return _Judged(client=client, hint=hint, url=url, ui_locales=parameters.get("ui_locales"))


def _end(tx: Transaction, session: Session | None, ports: Ports) -> LogoutDelivery | None:
    if session is None:
        return None
    return end_session(tx, session, event=Event.LOGOUT, ports=ports, at_once=True)


def _ended(judged: _Judged, session: Session | None, delivery: LogoutDelivery | None, ports: Ports) -> LoggedOut:
    """Tell the session's client before the browser gets back to it; a client that does not answer costs 3 s once."""
    if delivery is not None:
        deliver(delivery, ports=ports)
    frame = None
    if session is not None and ports.policy.front_channel_logout:
        with ports.store.transaction() as tx:
            owner = tx.clients.get(session.client_id)
        if owner is not None:
            frame = frame_address(owner, issuer=ports.policy.issuer, session_id=session.session_id)
    return LoggedOut(client=judged.client, url=judged.url, frame=frame, ui_locales=judged.ui_locales)


def _read_hint(hint: str, ports: Ports) -> Hint:
    try:
        return read_hint(hint, ports=ports)
    except InvalidToken as invalid:
        raise LogoutRefused("the hint is not a token of ours") from invalid


def form_token(session_secret: str) -> str:
    """Only a page of this session can carry it."""
    return hmac.new(session_secret.encode(), b"logout", hashlib.sha256).hexdigest()
