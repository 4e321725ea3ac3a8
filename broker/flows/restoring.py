"""Undoing a withdrawal: it widens, so the person's own card signs for this very service and these items (R2)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from broker.accounts.activity import Activity, How, Kind
from broker.audit.entry import Entry, Event
from broker.errors import AccountUnknown, InteractionUnknown
from broker.flows.authorization import INTERACTION_LIFETIME, Begun
from broker.flows.interaction import client_of
from broker.flows.login_ports import Authenticated, Interaction
from broker.flows.my_page import MY_PAGE, Place, Visit, settle_own_client
from broker.flows.people_ports import HeldConsent
from broker.flows.ports import Ports, Transaction
from broker.flows.rate import Rate, check_rate
from broker.flows.secret import digest, mint
from broker.ids import AccountID, ClientID, InteractionID, SectorID, Subject
from broker.jose import b64url, compact_json
from broker.oidc.authorization import AuthorizationRequest
from broker.oidc.client import Client

_RESTORE: Final = "restore"
_STARTS: Final = Rate(limit=30, window=timedelta(minutes=5))


@dataclass(frozen=True, slots=True, kw_only=True)
class Restoration:
    """Which consent is to hold again: the one of this client that was withdrawn at that very time."""

    client_id: ClientID
    withdrawn_at: datetime
    items: frozenset[str]


def read(request: AuthorizationRequest) -> Restoration | None:
    """None where the login is for something else."""
    word, _, rest = (request.own or "").partition(" ")
    if word != _RESTORE:
        return None
    client_id, moment, *items = rest.split(" ")
    return Restoration(
        client_id=ClientID(client_id), withdrawn_at=datetime.fromisoformat(moment), items=frozenset(items)
    )


def begin(visit: Visit, client_id: ClientID, *, ui_locales: str | None, ports: Ports) -> Begun:
    """A card request for the person who looks at the page and nobody else. Raises AccountUnknown, TooManyRequests."""
    browser_secret = mint(ports.entropy)
    interaction_id = InteractionID(b64url(ports.entropy(24)))
    with ports.store.transaction() as tx:
        settle_own_client(tx, now=visit.now, ports=ports)
        check_rate(tx.attempts, f"restore:{visit.account}", _STARTS, now=visit.now)
        held = _withdrawn(tx, visit.account, client_id)
        if held is None or held.withdrawn_at is None or tx.clients.get(client_id) is None:
            raise AccountUnknown("nothing that was withdrawn waits for this client")
        subject = tx.accounts.subject(visit.account, SectorID(MY_PAGE), fresh=Subject(b64url(ports.entropy(32))))
        tx.interactions.open(
            Interaction(
                interaction_id=interaction_id,
                request=AuthorizationRequest(
                    client_id=MY_PAGE,
                    redirect_uri=f"{ports.policy.issuer}/me",
                    code_challenge="",
                    scope=frozenset({"openid"}),
                    ui_locales=ui_locales,
                    subject=subject,
                    own=" ".join((_RESTORE, client_id, held.withdrawn_at.isoformat(), *sorted(held.consent.scope))),
                ),
                browser_digest=digest(browser_secret),
                expires_at=visit.now + INTERACTION_LIFETIME,
            )
        )
    return Begun(interaction_id=interaction_id, browser_secret=browser_secret)


def _withdrawn(tx: Transaction, account: AccountID, client_id: ClientID) -> HeldConsent | None:
    return next(
        (one for one in tx.consents.of(account) if one.consent.client_id == client_id and one.withdrawn_at), None
    )


def named_client(tx: Transaction, interaction: Interaction) -> Client:
    """Whom the card request names: the service whose consent is restored, else who began. Raises UnknownClient,
    InteractionUnknown (it was removed meanwhile).
    """
    wanted = read(interaction.request)
    if wanted is None:
        return client_of(tx, interaction)
    client = tx.clients.get(wanted.client_id)
    if client is None:
        raise InteractionUnknown("the service is no client any more")
    return client


def action_of(items: frozenset[str]) -> str:
    """What the card signs: the items that the service may receive again (RFC 8785)."""
    return compact_json({"release": sorted(items - {"openid", "profile"})}).decode()


def restore(tx: Transaction, interaction: Interaction, who: Authenticated, *, now: datetime) -> Place:
    """The card has signed for it. What was withdrawn anew meanwhile, or given anew, stays as it is."""
    wanted = read(interaction.request)
    if wanted is None:
        return Place(interaction.request.own or Place.OVERVIEW)
    held = _withdrawn(tx, who.account, wanted.client_id)
    if (
        held is not None
        and held.consent.scope == wanted.items
        and tx.consents.restore(who.account, wanted.client_id, withdrawn_at=wanted.withdrawn_at, now=now)
    ):
        tx.audit.append(
            Entry(
                at=now,
                event=Event.CONSENT_RESTORED,
                client_id=wanted.client_id,
                account=who.account,
                reference=interaction.interaction_id,
                detail={"scope": " ".join(sorted(held.consent.scope))},
            )
        )
        tx.activities.note(
            Activity(
                account=who.account,
                client_id=wanted.client_id,
                kind=Kind.RESTORED,
                how=How.CARD,
                items=tuple(sorted(held.consent.scope)),
                at=now,
                session_id=who.session_id,
            )
        )
    return Place.SERVICES
