"""What the resident is asked before a client learns anything, and what their answer does."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection
from dataclasses import dataclass, field, replace

from broker.accounts.activity import Activity, How, Kind, Result
from broker.audit.entry import Entry, Event
from broker.errors import AccessDenied, FormTokenInvalid, InteractionUnknown
from broker.flows import family_mandates
from broker.flows.code import RefusedToClient, ReturnToClient
from broker.flows.elsewhere import AnsweredElsewhere, complete, decline
from broker.flows.interaction import check_session, client_of, find
from broker.flows.login_ports import Authenticated, Interaction
from broker.flows.mandate_choices import Choice, choices, pin
from broker.flows.ports import Ports
from broker.flows.proofing import PROVED
from broker.ids import InteractionID
from broker.oidc.client import Client
from broker.oidc.consent import EACH_TIME, Consent, optional_items, terms_of, uses_shown


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentPrompt:
    """What the consent page shows; `form_token` is bound to this browser, this login and this person (R5)."""

    interaction: Interaction
    client: Client
    scope: frozenset[str]
    proved: frozenset[str]
    """What was agreed to before the card, and signed: it is not asked about again."""
    optional: frozenset[str]
    """What of it may be left out."""
    chosen: frozenset[str]
    """What of that was chosen the last time; nothing is chosen beforehand the first time."""
    choices: tuple[Choice, ...] = ()
    """Where the client asks about a mandate: for whom the person could be acting."""
    first_login: bool
    """The account began with this login: whoever had one by another card is told what that means."""
    form_token: str = field(repr=False)


def prompt(interaction_id: InteractionID, *, browser_secret: str | None, ports: Ports) -> ConsentPrompt:
    """Raises InteractionUnknown (also when no card has answered yet, or its session has ended), BrowserMismatch."""
    with ports.store.transaction() as tx:
        interaction = find(tx, interaction_id, browser_secret, now=ports.clock())
        client = client_of(tx, interaction)
        who = _who(interaction)
        check_session(tx, who, now=ports.clock())
        before = tx.consents.get(who.account, client.client_id)
        began_at = tx.standings.began_at(who.account)
        asked = interaction.request.authorization_details
        offered = choices(tx, asked, who.account, client, now=ports.clock(), ports=ports)
    scope = interaction.agreed.scope - PROVED - EACH_TIME
    optional = optional_items(client, scope)
    return ConsentPrompt(
        interaction=interaction,
        client=client,
        scope=scope,
        proved=interaction.agreed.scope & PROVED,
        optional=optional,
        chosen=frozenset() if before is None else before.scope & optional,
        choices=offered,
        first_login=began_at is not None and began_at >= who.authentication.time,
        form_token=form_token(browser_secret or "", interaction_id, who),
    )


def decide(
    interaction_id: InteractionID,
    *,
    approve: bool,
    chosen: Collection[str] = (),
    principal: str | None = None,
    form_token_given: str,
    browser_secret: str | None,
    ports: Ports,
) -> ReturnToClient | RefusedToClient | AnsweredElsewhere:
    """Act on the resident's answer, once. `chosen` names the optional items that are to be given, `principal` for whom
    they act, where the page offered several.

    Raises InvalidRequest, FormTokenInvalid, InteractionUnknown, BrowserMismatch, InvalidRequestURI (as `login.finish`).
    """
    if approve:
        _ask_principals(interaction_id, browser_secret=browser_secret, ports=ports)
    now = ports.clock()
    with ports.store.transaction() as tx:
        interaction = find(tx, interaction_id, browser_secret, now=now)
        client = client_of(tx, interaction)
        who = _who(interaction)
        if not hmac.compare_digest(form_token(browser_secret or "", interaction_id, who), form_token_given):
            raise FormTokenInvalid("not the form of this login")
        if approve:
            check_session(tx, who, now=now)
        request = interaction.agreed
        declined = optional_items(client, request.scope - PROVED) - frozenset(chosen)
        scope = request.scope - declined if approve else request.scope
        if not tx.interactions.finish(interaction_id, now=now):
            raise InteractionUnknown("answered already")
        tx.audit.append(
            Entry(
                at=now,
                event=Event.CONSENT_GIVEN if approve else Event.CONSENT_REFUSED,
                client_id=client.client_id,
                account=who.account,
                reference=interaction_id,
                detail={"scope": " ".join(sorted(scope))},
            )
        )
        tx.activities.note(
            Activity(
                account=who.account,
                client_id=client.client_id,
                kind=Kind.CONSENT,
                how=How.ELSEWHERE if request.elsewhere else How.CARD,
                result=Result.DONE if approve else Result.DECLINED,
                items=tuple(sorted(scope)),
                at=now,
                session_id=who.session_id,
            )
        )
        if approve:
            tx.consents.give(
                who.account,
                Consent(
                    client_id=client.client_id,
                    scope=scope - EACH_TIME,
                    granted_at=now,
                    declined=declined,
                    terms=terms_of(client, request.scope),
                ),
                uses=uses_shown(client, request.scope),
            )
            agreed = replace(request, scope=scope)
            if request.questions:
                asked = request.authorization_details
                offered = choices(tx, asked, who.account, client, now=now, ports=ports)
                agreed = replace(agreed, authorization_details=pin(asked, offered, principal))
            return complete(tx, agreed, who, client, reference=interaction_id, now=now, ports=ports)
        tx.sessions.end(who.session_digest, now=now)  # nothing was agreed to: nothing stays open
        cause = AccessDenied("the resident did not agree")
        return decline(tx, request, client, cause, account=who.account, reference=interaction_id, now=now)


def _ask_principals(interaction_id: InteractionID, *, browser_secret: str | None, ports: Ports) -> None:
    """Whoever of the family could be acted for has a good certificate, or will be refused: a source is asked now."""
    now = ports.clock()
    with ports.store.transaction() as tx:
        interaction = find(tx, interaction_id, browser_secret, now=now)
        asked = interaction.agreed.authorization_details if interaction.authenticated is not None else ""
        client, who = client_of(tx, interaction), interaction.authenticated
        found = () if who is None else choices(tx, asked, who.account, client, now=now, ports=ports)
    family_mandates.ask((number for each in found for number in each.numbers if number is not None), ports=ports)


def _who(interaction: Interaction) -> Authenticated:
    if interaction.authenticated is None:
        raise InteractionUnknown("no card has answered yet")
    return interaction.authenticated


def form_token(browser_secret: str, interaction_id: InteractionID, who: Authenticated) -> str:
    """Only the page shown to this browser about this person can carry it."""
    return hmac.new(
        browser_secret.encode(), f"consent\x00{interaction_id}\x00{who.subject}".encode(), hashlib.sha256
    ).hexdigest()
