"""The end of every successful login: a code for the client, in one transaction with its audit row (R16)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from broker.audit.entry import Entry, Event
from broker.errors import InvalidRequestURI, ProtocolError
from broker.flows import joints, proofing, signing
from broker.flows.login_ports import Authenticated
from broker.flows.ports import Ports, Transaction
from broker.flows.receipts import seal, told_to
from broker.flows.secret import digest, mint
from broker.ids import GrantID, InteractionID, ReceiptID, Secret
from broker.jose import b64url
from broker.oidc.authorization import AuthorizationRequest
from broker.oidc.client import Client
from broker.oidc.grants import CODE_LIFETIME, AuthorizationCode, Grant
from broker.oidc.responses import ResponseMode


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnToClient:
    """The browser goes back with a code."""

    client: Client
    redirect_uri: str
    response_mode: ResponseMode
    code: Secret = field(repr=False)
    state: str | None
    ui_locales: str | None
    silent: bool = False
    """prompt=none: nobody is there to read a page."""
    signed: bool = False
    """Documents were signed: there are copies to be kept before going."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedToClient:
    """The browser goes back with a refusal; the shell finds its OAuth error code in the catalogue."""

    client: Client
    cause: ProtocolError
    redirect_uri: str
    response_mode: ResponseMode
    state: str | None
    ui_locales: str | None
    silent: bool = False
    """prompt=none: nobody is there to read a page."""


def issue_code(
    tx: Transaction,
    request: AuthorizationRequest,
    who: Authenticated,
    client: Client,
    *,
    reference: str | None,
    now: datetime,
    ports: Ports,
) -> ReturnToClient:
    """Mint and store a code for `who`, and the receipt of its card; the caller's transaction makes them real.

    `reference` is the interaction; None where a session answers: nobody was shown anything, and no receipt is made.
    Uses up the pushed request that it answers. Raises InvalidRequestURI: another login has done so; and as
    `signing.complete`.
    """
    if not use_up(tx, request, now=now):
        raise InvalidRequestURI("this request_uri has had its answer")
    code = mint(ports.entropy)
    expires_at = now + CODE_LIFETIME
    kept = None
    if reference is not None:
        interaction_id = InteractionID(reference)
        kept = seal(tx, request, who, who.authentication, interaction_id=interaction_id, now=now, ports=ports)
    grant = grant_for(request, who, receipt_id=told_to(client, kept), now=now, expires_at=expires_at, ports=ports)
    tx.codes.issue(_stored(code, request, grant, expires_at=expires_at))
    if reference is not None:
        keep_certificate(tx, grant, InteractionID(reference), ports=ports)
        proofing.keep(tx, grant, InteractionID(reference), ports=ports)
        signing.complete(tx, request, grant, InteractionID(reference), ports=ports)
        joints.settle(tx, request, grant, InteractionID(reference), now=now, ports=ports)
    tx.audit.append(
        Entry(
            at=now,
            event=Event.CODE_ISSUED,
            client_id=request.client_id,
            account=who.account,
            reference=reference,
            detail={} if kept is None else kept.detail(),
        )
    )
    return _return(code, request, client)


def issue_approved(
    tx: Transaction,
    request: AuthorizationRequest,
    grant: Grant,
    client: Client,
    *,
    reference: str,
    now: datetime,
    ports: Ports,
) -> ReturnToClient:
    """Mint and store a code for what another device approved: the grant is open, and its receipt made.

    Raises InvalidRequestURI as `issue_code`.
    """
    if not use_up(tx, request, now=now):
        raise InvalidRequestURI("this request_uri has had its answer")
    code = mint(ports.entropy)
    expires_at = now + CODE_LIFETIME
    tx.grants.prolong(grant.grant_id, expires_at=expires_at)
    tx.codes.attach(_stored(code, request, grant, expires_at=expires_at))
    tx.audit.append(
        Entry(
            at=now,
            event=Event.CODE_ISSUED,
            client_id=request.client_id,
            account=grant.account,
            reference=reference,
        )
    )
    return _return(code, request, client)


def _stored(code: Secret, request: AuthorizationRequest, grant: Grant, *, expires_at: datetime) -> AuthorizationCode:
    return AuthorizationCode(
        digest=digest(code),
        grant=grant,
        redirect_uri=request.redirect_uri,
        code_challenge=request.code_challenge,
        jkt=request.dpop_jkt,
        expires_at=expires_at,
    )


def _return(code: Secret, request: AuthorizationRequest, client: Client) -> ReturnToClient:
    return ReturnToClient(
        client=client,
        redirect_uri=request.redirect_uri,
        response_mode=ResponseMode(request.response_mode),
        code=code,
        state=request.state,
        ui_locales=request.ui_locales,
        silent="none" in request.prompt,
        signed=request.sign_transaction is not None,
    )


def use_up(tx: Transaction, request: AuthorizationRequest, *, now: datetime) -> bool:
    """With its answer a pushed request has served (RFC 9126 §7.3). False: it has had one; True for one not pushed."""
    return request.pushed is None or tx.pushed_requests.use(bytes.fromhex(request.pushed), now=now)


def keep_certificate(tx: Transaction, grant: Grant, interaction_id: InteractionID, *, ports: Ports) -> None:
    """Keep what an offline grant is judged by at each refresh: the certificate that this interaction's card showed.

    Without one (a session answered) no refresh token comes of the grant: nobody could tell when it must end.
    """
    sealed = tx.cards.certificate(interaction_id) if "offline_access" in grant.scope else None
    if sealed is not None:
        certificate = ports.keys.unseal(sealed, context=interaction_id.encode())
        tx.grants.keep_certificate(grant.grant_id, ports.keys.seal(certificate, context=grant.grant_id.encode()))


def grant_for(
    request: AuthorizationRequest,
    who: Authenticated,
    *,
    receipt_id: ReceiptID | None,
    now: datetime,
    expires_at: datetime,
    ports: Ports,
) -> Grant:
    """What `who` lets the client of a judged request know."""
    return Grant(
        grant_id=GrantID(b64url(ports.entropy(16))),
        client_id=request.client_id,
        account=who.account,
        credential=who.credential,
        subject=who.subject,
        scope=request.scope,
        claims=request.claims,
        authorization_details=request.authorization_details,
        resources=request.resources,
        nonce=request.nonce,
        authentication=who.authentication,
        session_digest=who.session_digest,
        session_id=who.session_id,
        session_ends_at=who.session_ends_at,
        receipt_id=receipt_id,
        created_at=now,
        expires_at=expires_at,
    )


def refused(request: AuthorizationRequest, client: Client, cause: ProtocolError) -> RefusedToClient:
    """The browser goes back to the client of a judged request, with this refusal."""
    return RefusedToClient(
        client=client,
        cause=cause,
        redirect_uri=request.redirect_uri,
        response_mode=ResponseMode(request.response_mode),
        state=request.state,
        ui_locales=request.ui_locales,
        silent="none" in request.prompt,
    )
