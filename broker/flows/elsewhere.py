"""The end of a login that approves something for another device; its client fetches it (flows.approval_redemption)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType

from broker.audit.entry import Entry, Event
from broker.errors import InteractionUnknown, ProtocolError
from broker.flows.approval_ports import ApprovalStore
from broker.flows.code import RefusedToClient, ReturnToClient, grant_for, issue_code, keep_certificate, refused, use_up
from broker.flows.login_ports import Authenticated, Interaction
from broker.flows.ports import Ports, Transaction
from broker.flows.receipts import seal, told_to
from broker.ids import AccountID, InteractionID
from broker.oidc.approval import ACR
from broker.oidc.authorization import AuthorizationRequest
from broker.oidc.client import Client
from broker.oidc.grants import Authentication


@dataclass(frozen=True, slots=True, kw_only=True)
class AnsweredElsewhere:
    """The other device has its answer: this browser goes nowhere, and its session has ended."""

    client: Client
    approved: bool
    ui_locales: str | None
    backchannel: bytes | None = None
    """Which of CIBA's requests it was, so that its client can be told (flows.ciba.announce)."""


def complete(
    tx: Transaction,
    request: AuthorizationRequest,
    who: Authenticated,
    client: Client,
    *,
    reference: str,
    now: datetime,
    ports: Ports,
) -> ReturnToClient | AnsweredElsewhere:
    """The resident agreed: a code for the client, or a grant that its other device may fetch.

    Raises InteractionUnknown where that has run out or was answered already; and as `issue_code`.
    """
    found = _approval_of(tx, request)
    if found is None:
        return issue_code(tx, request, who, client, reference=reference, now=now, ports=ports)
    store, digest = found
    approval = store.hold(digest)
    if approval is None:
        raise InteractionUnknown("what was to be approved is gone")
    authentication = reached(request, who.authentication)
    interaction_id = InteractionID(reference)
    kept = seal(tx, request, who, authentication, interaction_id=interaction_id, now=now, ports=ports)
    receipt_id = told_to(client, kept)
    grant = replace(
        grant_for(request, who, receipt_id=receipt_id, now=now, expires_at=approval.expires_at, ports=ports),
        authentication=authentication,
        session_digest=None,
        session_id=None,
    )
    if not store.approve(digest, grant, now=now):
        raise InteractionUnknown("answered already, or run out")
    keep_certificate(tx, grant, interaction_id, ports=ports)
    tx.sessions.end(who.session_digest, now=now)  # it has served; the other device has none of its own
    detail = kept.detail()
    _write_down(tx, request, Event.APPROVED_ELSEWHERE, who.account, reference=reference, now=now, detail=detail)
    return _answered(request, client, approved=True)


def decline(
    tx: Transaction,
    request: AuthorizationRequest,
    client: Client,
    cause: ProtocolError,
    *,
    account: AccountID | None = None,
    reference: str | None,
    now: datetime,
) -> RefusedToClient | AnsweredElsewhere:
    """The resident did not agree, or may not: the client or its other device is told."""
    found = _approval_of(tx, request)
    if found is None:
        use_up(tx, request, now=now)
        return refused(request, client, cause)
    store, digest = found
    if store.deny(digest, now=now):
        _write_down(tx, request, Event.DENIED_ELSEWHERE, account, reference=reference, now=now)
    return _answered(request, client, approved=False)


def reached(request: AuthorizationRequest, authentication: Authentication) -> Authentication:
    """What a fresh card proves to the client of `request`: less where another device is logged in (design 4.10)."""
    return replace(authentication, acr=ACR) if request.elsewhere else authentication


def taken_back(tx: Transaction, interaction: Interaction, *, now: datetime) -> None:
    """A login that was handed over (flows.handover) ends in its own browser after all: nobody may approve it now."""
    if interaction.handed_over is not None:
        tx.device_codes.deny(interaction.handed_over, now=now)


def _answered(request: AuthorizationRequest, client: Client, *, approved: bool) -> AnsweredElsewhere:
    return AnsweredElsewhere(
        client=client,
        approved=approved,
        ui_locales=request.ui_locales,
        backchannel=None if request.backchannel is None else bytes.fromhex(request.backchannel),
    )


def _approval_of(tx: Transaction, request: AuthorizationRequest) -> tuple[ApprovalStore, bytes] | None:
    if request.device is not None:
        return tx.device_codes, bytes.fromhex(request.device)
    if request.backchannel is not None:
        return tx.backchannel_requests, bytes.fromhex(request.backchannel)
    return None


def _write_down(
    tx: Transaction,
    request: AuthorizationRequest,
    event: Event,
    account: AccountID | None,
    *,
    reference: str | None,
    now: datetime,
    detail: Mapping[str, str | int | None] = MappingProxyType({}),
) -> None:
    tx.audit.append(
        Entry(
            at=now,
            event=event,
            client_id=request.client_id,
            account=account,
            reference=reference,
            detail=detail,
        )
    )
