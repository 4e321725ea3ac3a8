"""The story of a login whose card reader is on another device: it is approved there and ends in its own browser.

begin      a user code, as a television's (flows.device): the other device types the number on this browser's screen
look       the browser asks again and again, and gets its code once it is approved
take_back  the card is read at this browser after all

The browser keeps its own request and its cookie, and gets no session (decision 33): what the other device is shown, is
asked and may give is what a television could have had.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from broker.audit.entry import Event
from broker.errors import AccessDenied, InteractionUnknown, InvalidRequest, StoreUnavailable
from broker.flows.code import RefusedToClient, ReturnToClient, issue_approved, refused, use_up
from broker.flows.device import named
from broker.flows.elsewhere import taken_back
from broker.flows.interaction import client_of, find
from broker.flows.login_ports import Interaction
from broker.flows.ports import Ports, Transaction
from broker.flows.rate import Rate, check_rate
from broker.flows.secret import digest
from broker.flows.session import end_session
from broker.ids import AccountID, InteractionID, KioskID
from broker.oidc.approval import Approval, ApprovalState, Device, DeviceKind, handed_over
from broker.oidc.client import Client
from broker.oidc.device import LIFETIME, mint_number, mint_user_code, shown

TIMES: Final = Rate(limit=5, window=timedelta(minutes=10))
"""How often one login may be handed over; more is somebody who needs help."""
_TRIES_TO_MINT: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The ways in which this login can go on."""

    interaction: Interaction
    client: Client
    elsewhere: bool
    """It may be handed over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """What the browser shows while another device is asked."""

    client: Client
    user_code: str = field(repr=False)
    """With the number behind it."""
    address: str
    """Where the code is typed."""
    complete: str = field(repr=False)
    """The same with the code, but without its number, for a QR code."""
    ends_at: datetime
    ui_locales: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lapsed:
    """Nobody approved in time; it can be handed over again."""

    client: Client
    ui_locales: str | None


def choices(
    interaction_id: InteractionID, browser_secret: str | None, *, kiosk_id: KioskID | None = None, ports: Ports
) -> Choice:
    """Raises InteractionUnknown (also where a card has answered), BrowserMismatch."""
    with ports.store.transaction() as tx:
        interaction, client = _open(tx, interaction_id, browser_secret, now=ports.clock())
    return Choice(interaction=interaction, client=client, elsewhere=offered(interaction, client, kiosk_id))


def offered(interaction: Interaction, client: Client, kiosk_id: KioskID | None) -> bool:
    """May this login be handed over? A terminal that everybody uses has a reader, and nothing of it goes elsewhere."""
    return kiosk_id is None and handed_over(interaction.request, client) is not None


def begin(
    interaction_id: InteractionID,
    browser_secret: str | None,
    *,
    address: str | None = None,
    kiosk_id: KioskID | None = None,
    ports: Ports,
) -> None:
    """Ask another device. What was asked before cannot be approved any more.

    Raises InteractionUnknown, BrowserMismatch, InvalidRequest where it is not offered, TooManyRequests,
    StoreUnavailable.
    """
    now = ports.clock()
    with ports.store.transaction() as tx:
        interaction, client = _open(tx, interaction_id, browser_secret, now=now)
        request = handed_over(interaction.request, client)
        if request is None or kiosk_id is not None:
            raise InvalidRequest("this login ends where it began")
        check_rate(tx.attempts, f"handover:{interaction_id}", TIMES, now=now)
        taken_back(tx, interaction, now=now)
        device = Device(number=mint_number(ports.entropy), kind=DeviceKind.BROWSER, address=named(address, ports))
        for _ in range(_TRIES_TO_MINT):
            approval = Approval(
                digest=ports.entropy(32),  # of no device code: nothing but this browser's cookie fetches it
                client_id=client.client_id,
                request=request,
                expires_at=min(now + LIFETIME, interaction.expires_at),
                device=device,
            )
            user_code = _user_code(browser_secret, approval.digest)
            if tx.device_codes.open(approval, user_code_digest=digest(user_code)):
                break
        else:
            raise StoreUnavailable("no free user code was found")
        if not tx.interactions.hand_over(interaction_id, approval.digest, now=now):
            raise InteractionUnknown("a card has answered meanwhile")


def look(
    interaction_id: InteractionID, browser_secret: str | None, *, session_secret: str | None, ports: Ports
) -> Waiting | Lapsed | ReturnToClient | RefusedToClient:
    """What has become of it. With an answer the login ends, and a session that this browser had of somebody else too
    (R1).

    Raises InteractionUnknown (also where it was not handed over), BrowserMismatch, InvalidRequestURI.
    """
    now = ports.clock()
    with ports.store.transaction() as tx:
        interaction, client = _open(tx, interaction_id, browser_secret, now=now)
        request, asked = interaction.request, interaction.handed_over
        if asked is None:
            raise InteractionUnknown("not handed over")
        user_code = _user_code(browser_secret, asked)
        pending = tx.device_codes.pending(digest(user_code), now=now)
        if pending is not None and pending.device is not None:
            return _waiting(user_code, pending.device, pending.expires_at, interaction, client, ports=ports)
        approval = tx.device_codes.hold(asked)
        if approval is None or approval.state is ApprovalState.PENDING or now >= approval.expires_at:
            return Lapsed(client=client, ui_locales=request.ui_locales)
        grant = tx.device_codes.consume(asked, now=now) if approval.state is ApprovalState.APPROVED else None
        if not tx.interactions.finish(interaction_id, now=now):
            raise InteractionUnknown("answered already")
        if grant is None:
            use_up(tx, request, now=now)
            return refused(request, client, AccessDenied("not approved on the other device"))
        _end_other(tx, session_secret, grant.account, ports=ports)
        return issue_approved(tx, request, grant, client, reference=interaction_id, now=now, ports=ports)


def take_back(interaction_id: InteractionID, browser_secret: str | None, *, ports: Ports) -> None:
    """Read the card here: the other device may not approve any more. Raises InteractionUnknown, BrowserMismatch."""
    now = ports.clock()
    with ports.store.transaction() as tx:
        interaction, _ = _open(tx, interaction_id, browser_secret, now=now)
        taken_back(tx, interaction, now=now)
        tx.interactions.hand_over(interaction_id, None, now=now)


def _open(
    tx: Transaction, interaction_id: InteractionID, browser_secret: str | None, *, now: datetime
) -> tuple[Interaction, Client]:
    interaction = find(tx, interaction_id, browser_secret, now=now)
    if interaction.authenticated is not None:
        raise InteractionUnknown("a card has answered at this browser")
    return interaction, client_of(tx, interaction)


def _waiting(
    user_code: str, device: Device, ends_at: datetime, interaction: Interaction, client: Client, *, ports: Ports
) -> Waiting:
    address = f"{ports.policy.issuer}/device"
    return Waiting(
        client=client,
        user_code=shown(user_code, device.number),
        address=address,
        complete=f"{address}?user_code={shown(user_code)}",
        ends_at=ends_at,
        ui_locales=interaction.request.ui_locales,
    )


def _user_code(browser_secret: str | None, asked: bytes) -> str:
    """The code that this browser shows each time its page is drawn: nothing but a hash of it is stored."""
    key = (browser_secret or "").encode()
    return mint_user_code(lambda octets: hmac.digest(key, b"user code\x00" + asked, "sha256")[:octets])


def _end_other(tx: Transaction, session_secret: str | None, account: AccountID, *, ports: Ports) -> None:
    session = tx.sessions.get(digest(session_secret)) if session_secret else None
    if session is not None and session.account != account:
        end_session(tx, session, event=Event.SESSION_REPLACED, ports=ports)
