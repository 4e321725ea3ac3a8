"""How a login begins: an authorization request is judged, and the browser gets an interaction and its cookie."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from broker.accounts.session import serves
from broker.errors import ConsentRequired, LoginRequired, ProtocolError, UnknownClient
from broker.flows.code import RefusedToClient, ReturnToClient, issue_code
from broker.flows.ports import Authenticated, Interaction, Ports, Transaction
from broker.flows.secret import digest, mint
from broker.ids import ClientID, InteractionID, Secret
from broker.jose import b64url
from broker.oidc import consent as consents
from broker.oidc.authorization import AuthorizationRequest, check, locate, single_values
from broker.oidc.client import Client
from broker.oidc.grants import Authentication

INTERACTION_LIFETIME = timedelta(minutes=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """The browser is sent to the login page and keeps `browser_secret` in this interaction's own cookie."""

    interaction_id: InteractionID
    browser_secret: Secret = field(repr=False)


def begin(
    pairs: Iterable[tuple[str, str]], *, session_secret: str | None, ports: Ports
) -> Begun | ReturnToClient | RefusedToClient:
    """Judge an authorization request (RFC 6749 §4.1.1).

    Raises InvalidRequest or UnknownClient where nobody may be told by redirect; every later refusal goes to the client.
    """
    parameters = single_values(pairs)
    now = ports.clock()
    with ports.store.transaction() as tx:
        client = tx.clients.get(ClientID(parameters.get("client_id", "")))
        redirect_uri = locate(parameters, client)
        if client is None:  # locate has refused already; said again for the reader and the type checker
            raise UnknownClient("no such client")
        try:
            request = check(parameters, client)
            if "none" in request.prompt:
                return _by_session(tx, request, client, session_secret=session_secret, now=now, ports=ports)
        except ProtocolError as refusal:
            return RefusedToClient(
                client=client,
                cause=refusal,
                redirect_uri=redirect_uri,
                state=parameters.get("state"),
                ui_locales=parameters.get("ui_locales"),
            )
        browser_secret = mint(ports.entropy)
        interaction_id = InteractionID(b64url(ports.entropy(24)))
        tx.interactions.open(
            Interaction(
                interaction_id=interaction_id,
                request=request,
                browser_digest=digest(browser_secret),
                expires_at=now + INTERACTION_LIFETIME,
            )
        )
        return Begun(interaction_id=interaction_id, browser_secret=browser_secret)


def _by_session(
    tx: Transaction,
    request: AuthorizationRequest,
    client: Client,
    *,
    session_secret: str | None,
    now: datetime,
    ports: Ports,
) -> ReturnToClient:
    """A session answers its own client, with the time of its card and no acr (design 4.10).

    Raises LoginRequired, ConsentRequired.
    """
    session = tx.sessions.get(digest(session_secret)) if session_secret else None
    if session is None or not serves(session, client.client_id, max_age=request.max_age, now=now):
        raise LoginRequired("no session of this client")
    consent = tx.consents.get(session.account, client.client_id)
    if consents.needed(consent, scope=request.scope, prompt=request.prompt):
        raise ConsentRequired("not yet agreed to")
    tx.sessions.touch(session.digest, now=now)
    who = Authenticated(
        account=session.account,
        credential=session.credential,
        subject=session.subject,
        authentication=Authentication(time=session.authenticated_at),
        session_digest=session.digest,
        session_id=session.session_id,
    )
    return issue_code(tx, request, who, client, reference=None, now=now, ports=ports)
