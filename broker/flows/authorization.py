"""How a login begins: an authorization request is judged, and the browser gets an interaction and its cookie."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from broker.accounts.account import State
from broker.accounts.activity import Activity, How, Kind
from broker.accounts.session import serves
from broker.errors import (
    ConsentRequired,
    InteractionRequired,
    InvalidAuthorizationDetails,
    InvalidRequest,
    InvalidRequestURI,
    InvalidToken,
    LicenceNotAllowed,
    LoginRequired,
    ProofNotAllowed,
    ProtocolError,
    SigningNotAllowed,
    UnknownClient,
)
from broker.flows import joints, licences, linking
from broker.flows.assurance import reachable
from broker.flows.code import RefusedToClient, ReturnToClient, issue_code, refused, use_up
from broker.flows.hint import read_hint
from broker.flows.login_ports import Authenticated, Interaction
from broker.flows.ports import Ports, Transaction
from broker.flows.rate import Rate, check_rate
from broker.flows.request_object import PUSHED, by_reference, fetched, settle
from broker.flows.secret import digest, mint
from broker.flows.signing import check_waiting
from broker.ids import ClientID, InteractionID, Secret, Subject
from broker.jose import b64url
from broker.oidc import consent as consents
from broker.oidc import licence, release
from broker.oidc.authorization import (
    AuthorizationRequest,
    check,
    check_person,
    check_strength,
    locate,
    mode_of_refusal,
    single_values,
)
from broker.oidc.client import Client
from broker.oidc.grants import Authentication

INTERACTION_LIFETIME = timedelta(minutes=10)
REPEATABLE: Final = frozenset({"resource"})
"""RFC 8707 §2."""
STARTS_OF_PUSHED: Final = Rate(limit=30, window=timedelta(minutes=5))
"""Logins that one pushed request may begin: reloads and second windows, not a flood."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """The browser is sent to the login page and keeps `browser_secret` in this interaction's own cookie."""

    interaction_id: InteractionID
    browser_secret: Secret = field(repr=False)


Outcome = Begun | ReturnToClient | RefusedToClient


def begin(pairs: Iterable[tuple[str, str]], *, session_secret: str | None, ports: Ports) -> Outcome:
    """Judge an authorization request (RFC 6749 §4.1.1), given by value, in a request object, or pushed before.

    Raises InvalidRequest, UnknownClient, InvalidRequestURI and what else ends in a page because nobody may be told by
    redirect; TooManyRequests; every later refusal goes to the client.
    """
    outside = single_values(pairs, repeatable=REPEATABLE)
    referred = by_reference(outside)
    with ports.store.transaction() as tx:
        client = _client(tx, outside)
        if not referred and "request" not in outside:
            pushed = "request_uri" in outside
            judged = _pushed(tx, outside, client, ports) if pushed else _direct(outside, client, ports=ports)
            return _start(tx, judged, client, session_secret=session_secret, ports=ports)
    # An object may have to be fetched, or the keys of the client: no connection to the database waits for that.
    judged = _direct(outside, client, referred=referred, ports=ports)
    with ports.store.transaction() as tx:
        return _start(tx, judged, client, session_secret=session_secret, ports=ports)


def judge(parameters: Mapping[str, str], client: Client, *, ports: Ports) -> AuthorizationRequest:
    """Judge settled parameters, here as at PAR. Raises UnknownClient for the redirect URI, else ProtocolError."""
    locate(parameters, client)
    hinted: Subject | None = None
    if "id_token_hint" in parameters:
        try:
            hint = read_hint(parameters["id_token_hint"], ports=ports)
        except InvalidToken as foreign:
            raise InvalidRequest("id_token_hint is no ID token of ours") from foreign
        if hint.client_id != client.client_id:
            raise InvalidRequest("id_token_hint was issued to another client")
        hinted = hint.subject
    request = check(parameters, client, hinted=hinted)
    if not ports.policy.sign_anchors and release.items(request):
        raise ProofNotAllowed("nobody proves who they are here: there are no authorities of 署名用 certificates")
    licences.check_served(request, ports=ports)
    if not ports.policy.sign_anchors and request.sign_transaction is not None:
        raise SigningNotAllowed("nothing is signed here: there are no authorities of 署名用 certificates")
    known = ports.policy.procuring_entities
    if known and any(asked.entity not in {None, *known} for asked in request.questions):
        raise InvalidAuthorizationDetails("locations: not a procuring entity that is known here")
    return request


def _client(tx: Transaction, parameters: Mapping[str, str]) -> Client:
    client = tx.clients.get(ClientID(parameters.get("client_id", "")))
    if client is None:
        raise UnknownClient("no such client")
    return client


def _pushed(tx: Transaction, outside: Mapping[str, str], client: Client, ports: Ports) -> AuthorizationRequest:
    """What stands beside a pushed request does not count (RFC 9126 §4, FAPI 2.0 §5.3.2.2)."""
    name = digest(outside["request_uri"].removeprefix(PUSHED))
    request = tx.pushed_requests.get(name, client.client_id, now=ports.clock())
    if request is None:
        raise InvalidRequestURI("unknown, run out, used, or pushed by another client")
    locate({"client_id": client.client_id, "redirect_uri": request.redirect_uri}, client)  # as it is registered by now
    return request


def _direct(
    outside: Mapping[str, str], client: Client, *, referred: bool = False, ports: Ports
) -> AuthorizationRequest | RefusedToClient:
    try:
        if client.pushes:
            raise InvalidRequest("requests of this client are pushed (RFC 9126)")
        if {"request", "request_uri"} <= outside.keys():
            raise InvalidRequest("request and request_uri exclude each other (RFC 9101 §5)")
        if referred:
            outside = fetched(outside, client, ports=ports)
        parameters = settle(outside, client, object_only=False, referred=referred, ports=ports)
    except ProtocolError as refusal:
        return _told(outside, client, refusal)
    try:
        request = judge(parameters, client, ports=ports)
    except ProtocolError as refusal:
        return _told(parameters, client, refusal)
    if licence.SCOPES & request.scope:
        unpushed_ = LicenceNotAllowed(
            "a licence, and a patient beside one, is asked for in a pushed request (RFC 9126)"
        )
        return _told(parameters, client, unpushed_)
    if release.items(request):
        unpushed = ProofNotAllowed("what says who a resident is is asked for in a pushed request (RFC 9126)")
        return _told(parameters, client, unpushed)
    if request.questions:
        asked = InvalidAuthorizationDetails("mandates are asked about in a pushed request (RFC 9126)")
        return _told(parameters, client, asked)
    return request


def _told(parameters: Mapping[str, str], client: Client, refusal: ProtocolError) -> RefusedToClient:
    """The refusal for the client. Raises `refusal` itself where the address to tell it to is not proved."""
    try:
        redirect_uri = locate(parameters, client)
    except UnknownClient:
        raise refusal from None
    return RefusedToClient(
        client=client,
        cause=refusal,
        redirect_uri=redirect_uri,
        response_mode=mode_of_refusal(parameters, redirect_uri),
        state=parameters.get("state"),
        ui_locales=parameters.get("ui_locales"),
        silent="none" in parameters.get("prompt", "").split(),
    )


def _start(
    tx: Transaction,
    request: AuthorizationRequest | RefusedToClient,
    client: Client,
    *,
    session_secret: str | None,
    ports: Ports,
) -> Outcome:
    if isinstance(request, RefusedToClient):
        return request
    now = ports.clock()
    try:
        check_waiting(tx, request, now=now)
        joints.check_waiting(tx, request, now=now)
        if "none" in request.prompt:
            return _by_session(tx, request, client, session_secret=session_secret, now=now, ports=ports)
        kinds = [licence.KIND] if licence.SCOPE in request.scope else [each.kind for each in ports.policy.profiles]
        check_strength(request, reachable(kinds))
        request = linking.named(tx, request, now=now)
    except ProtocolError as refusal:
        use_up(tx, request, now=now)
        return refused(request, client, refusal)
    if request.pushed is None:
        rate = Rate(limit=ports.policy.login_starts, window=timedelta(minutes=1))
        check_rate(tx.attempts, f"login:{client.client_id}", rate, now=now)
    else:
        check_rate(tx.attempts, f"login:{request.pushed}", STARTS_OF_PUSHED, now=now)
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

    Raises LoginRequired, InteractionRequired, ConsentRequired, UnmetAuthenticationRequirements, InvalidRequestURI.
    """
    if request.sign_transaction is not None:
        raise InteractionRequired("nothing is signed without the card")
    if request.questions:
        raise InteractionRequired("a question about a mandate is agreed to each time")
    session = tx.sessions.get(digest(session_secret)) if session_secret else None
    if session is None or not serves(session, client.client_id, max_age=request.max_age, now=now):
        raise LoginRequired("no session of this client")
    check_person(request, session.subject)
    check_strength(request, {None})
    if release.items(request):
        raise InteractionRequired("a proof of identity is agreed to and signed each time")
    consent = tx.consents.get(session.account, client.client_id)
    if consent is None or consents.needed(consent, scope=request.scope, prompt=request.prompt, client=client):
        raise ConsentRequired("not yet agreed to")
    if tx.standings.state(session.account) is not State.OPEN:
        raise LoginRequired("the account is not open")
    allowed = consents.allowed(consent, request.scope)
    if allowed != request.scope:
        request = replace(request, scope=allowed)
    tx.sessions.touch(session.digest, now=now)
    who = Authenticated(
        account=session.account,
        credential=session.credential,
        subject=session.subject,
        authentication=Authentication(time=session.authenticated_at),
        session_digest=session.digest,
        session_id=session.session_id,
    )
    tx.activities.note(
        Activity(
            account=session.account,
            client_id=client.client_id,
            kind=Kind.LOGIN,
            how=How.SESSION,
            items=tuple(sorted(request.scope)),
            at=now,
            session_id=session.session_id,
        )
    )
    return issue_code(tx, request, who, client, reference=None, now=now, ports=ports)
