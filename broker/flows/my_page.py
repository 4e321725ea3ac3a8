"""The resident's own page: who may open it, and how a card logs in to it (R1, design 4.10).

A session of any client serves what shows and narrows, as long as it is alive; what holds the person's own words
(attributes, export), opens or ends the account needs a login to this very page, and some of it a card read just now.
An HPKI card opens services, consents and history alone, under a client of its own (decision 68).
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from broker.accounts.account import State, mint_support_number, shown_support_number
from broker.accounts.session import Session, alive
from broker.errors import (
    FormTokenInvalid,
    LicenceNotAllowed,
    MyPageClosed,
    StoreUnavailable,
    SubjectCrossed,
    UnknownClient,
)
from broker.flows.authorization import INTERACTION_LIFETIME, Begun
from broker.flows.login_ports import Interaction
from broker.flows.ports import Policy, Ports, Transaction
from broker.flows.rate import Rate, check_rate
from broker.flows.secret import digest, mint
from broker.ids import AccountID, ClientID, InteractionID, SectorID
from broker.jose import b64url
from broker.oidc.authorization import AuthorizationRequest
from broker.oidc.client import AuthMethod, Client, SecurityProfile
from broker.oidc.licence import SCOPE

MY_PAGE: Final = ClientID("my-page")
LICENCE_PAGE: Final = ClientID("my-licence")
"""The page as an HPKI card opens it. Its sessions serve no part that does not ask for them by name."""
OWN: Final = frozenset({MY_PAGE, LICENCE_PAGE})
NAME: Final = "マイページ"
FRESH: Final = timedelta(minutes=5)
"""How long a card that was read counts for an act that needs one."""
_TOUCH_AFTER: Final = timedelta(seconds=30)
_TOUCH_KIOSK_AFTER: Final = timedelta(seconds=1)


class Place(StrEnum):
    """Where on the page a login leads."""

    OVERVIEW = "overview"
    ATTRIBUTES = "attributes"
    EXPORT = "export"
    RECOVERY = "recovery"
    DELETE = "delete"
    DELEGATIONS = "delegations"
    STATEMENTS = "statements"
    SERVICES = "services"
    LICENCE = "licence"
    """What a licence was used for; an HPKI card opens it."""


class Need(StrEnum):
    """What a part of the page asks of the session."""

    ANY = "any"
    OWN = "own"
    """A login to this page, not to a service."""
    FRESH_CARD = "fresh_card"
    """And the card was read just now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """Who looks at the page, in which session; every form of it carries `form_token`."""

    session: Session
    form_token: str = field(repr=False)
    now: datetime

    @property
    def account(self) -> AccountID:
        return self.session.account

    @property
    def own(self) -> bool:
        """Logged in to the page itself."""
        return self.session.client_id == MY_PAGE

    @property
    def licensed(self) -> bool:
        """Opened by an HPKI card: its account is a doctor's, and no resident's."""
        return self.session.client_id == LICENCE_PAGE


def own_client(policy: Policy, client_id: ClientID = MY_PAGE) -> Client:
    """What the page is among the clients: it logs people in, and no grant, code or token is ever its."""
    return Client(
        client_id=client_id,
        name=NAME,
        vetted=True,
        profile=SecurityProfile.OIDC,
        sector=SectorID(client_id),
        application_type="native",
        auth_method=AuthMethod.NONE,
        grant_types=frozenset(),
        client_uri=policy.issuer,
    )


def begin(place: Place, *, ui_locales: str | None, ports: Ports) -> Begun:
    """A card login that leads to the page; to Place.LICENCE by an HPKI card.

    Raises UnknownClient (its name is taken), TooManyRequests, LicenceNotAllowed (no HPKI authority is accepted here).
    """
    now = ports.clock()
    client_id, scope = MY_PAGE, frozenset({"openid"})
    if place is Place.LICENCE:
        if ports.healthcare is None:
            raise LicenceNotAllowed("no HPKI authority is accepted here")
        client_id, scope = LICENCE_PAGE, scope | {SCOPE}
    browser_secret = mint(ports.entropy)
    interaction_id = InteractionID(b64url(ports.entropy(24)))
    with ports.store.transaction() as tx:
        settle_own_client(tx, client_id, now=now, ports=ports)
        rate = Rate(limit=ports.policy.login_starts, window=timedelta(minutes=1))
        check_rate(tx.attempts, f"login:{client_id}", rate, now=now)
        tx.interactions.open(
            Interaction(
                interaction_id=interaction_id,
                request=AuthorizationRequest(
                    client_id=client_id,
                    redirect_uri=f"{ports.policy.issuer}/me",
                    code_challenge="",
                    scope=scope,
                    ui_locales=ui_locales,
                    own=place.value,
                ),
                browser_digest=digest(browser_secret),
                expires_at=now + INTERACTION_LIFETIME,
            )
        )
    return Begun(interaction_id=interaction_id, browser_secret=browser_secret)


def settle_own_client(tx: Transaction, client_id: ClientID = MY_PAGE, *, now: datetime, ports: Ports) -> None:
    """Rows about the page itself name it as their client, so it is kept among them. Raises UnknownClient."""
    stored = tx.clients.get(client_id)
    if stored is None:
        tx.clients.add(own_client(ports.policy, client_id), now=now)
        stored = tx.clients.get(client_id)
    if stored is None or stored.grant_types or stored.redirect_uris:
        raise UnknownClient(f"{client_id} is, or was, a client of the operator's: the page needs the name")


def enter(session_secret: str | None, *, need: Need = Need.ANY, licensed: bool = False, ports: Ports) -> Visit:
    """The session of this browser, if it may open this part of the page. Raises MyPageClosed.

    `licensed` says that this part is for an HPKI card's holder too: everything else is residents' alone. The session
    goes on: idle time begins anew.
    """
    now = ports.clock()
    with ports.store.transaction() as tx:
        session = tx.sessions.get(digest(session_secret)) if session_secret else None
        if session is None or session.superseded or not alive(session, now=now):
            raise MyPageClosed("no session is open here")
        if tx.standings.state(session.account) is not State.OPEN:
            raise MyPageClosed("the account is not open")
        if session.client_id == LICENCE_PAGE and not licensed:
            raise MyPageClosed("an HPKI card opens services, consents and history alone")
        if need is not Need.ANY and session.client_id != MY_PAGE:
            raise MyPageClosed("needs a login to this page")
        if need is Need.FRESH_CARD and now >= session.authenticated_at + FRESH:
            raise MyPageClosed("needs a card that was read just now")
        if now >= session.last_used_at + (_TOUCH_AFTER if session.kiosk_id is None else _TOUCH_KIOSK_AFTER):
            tx.sessions.touch(session.digest, now=now)
    return Visit(session=session, form_token=_form_token(session_secret or "", session), now=now)


def _form_token(session_secret: str, session: Session) -> str:
    """Only a page shown in this session, about this person, can carry it (R5)."""
    return hmac.new(session_secret.encode(), f"me\x00{session.subject}".encode(), hashlib.sha256).hexdigest()


def check_form(visit: Visit, given: str) -> None:
    """Raises FormTokenInvalid where the form is not one of this visit: another tab's login, another person's page."""
    if not hmac.compare_digest(visit.form_token.encode(), given.encode()):
        raise FormTokenInvalid("not a form of this session")


def check_own(visit: Visit, *owners: AccountID) -> None:
    """The last look before anything is shown (R5). Raises SubjectCrossed: it is another account's."""
    if any(owner != visit.account for owner in owners):
        raise SubjectCrossed("data of another account in the answer to a query by account")


def leave(visit: Visit, *, ports: Ports) -> None:
    """End the login to the page itself; a service's session goes on until its own end."""
    with ports.store.transaction() as tx:
        tx.sessions.end(visit.session.digest, now=visit.now)


_TRIES: Final = 3


def support_number(visit: Visit, *, ports: Ports) -> str:
    """By which this person names the account to the desk, as it is shown. Raises StoreUnavailable."""
    for left in reversed(range(_TRIES)):
        try:
            with ports.store.transaction() as tx:
                number = tx.standings.support_number(visit.account, fresh=mint_support_number(ports.entropy))
            return shown_support_number(number)
        except StoreUnavailable:  # somebody has this very number: as rare as it sounds
            if not left:
                raise
    raise StoreUnavailable("no free support number was found")
