"""The story of a login, once `flows.authorization` has begun it: a card's answer, a session, a code.

(the agent is asked by `flows.card_prompt`; its answer is judged by `flows.card_answer`, and waits)
finish   only the browser that has both the cookie and the return code gets it (design 4.3)
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime

from broker.accounts.activity import Activity, How, Kind, Result, how_of
from broker.accounts.credential import Credential, CredentialKey
from broker.accounts.session import KIOSK_LIFETIME, Session
from broker.audit.entry import Entry, Event
from broker.errors import (
    AccessDenied,
    AccountStopped,
    BrowserMismatch,
    CorrespondenceUnknown,
    InteractionUnknown,
    ProtocolError,
)
from broker.flows import documents_to_sign, joints, kiosks, licences, linking, mandate_cards, proofing, restoring
from broker.flows.assurance import fresh_signature
from broker.flows.code import RefusedToClient, ReturnToClient
from broker.flows.deletion import admit
from broker.flows.elsewhere import AnsweredElsewhere, complete, decline, reached, taken_back
from broker.flows.evidence import refused_for
from broker.flows.interaction import client_of, find
from broker.flows.kept_action import opened
from broker.flows.login_ports import Authenticated, CardAnswer, CardTransaction, Interaction
from broker.flows.my_page import Place
from broker.flows.ports import Ports, Transaction
from broker.flows.renewal import resume_grants
from broker.flows.secret import digest, mint
from broker.flows.session import replace_session
from broker.ids import AccountID, CredentialID, InteractionID, Secret, SessionID, Subject, TransactionID
from broker.jose import b64url
from broker.oidc import consent as consents
from broker.oidc import licence
from broker.oidc.authorization import AuthorizationRequest, check_person, check_strength
from broker.oidc.client import Client
from broker.oidc.release import narrowed

# --- whose -----------------------------------------------------------------------------------------------------------


def peek(interaction_id: InteractionID, browser_secret: str | None, *, ports: Ports) -> tuple[Interaction, Client]:
    """Whose login this is, without asking for the card. Raises InteractionUnknown, BrowserMismatch."""
    with ports.store.transaction() as tx:
        interaction = find(tx, interaction_id, browser_secret, now=ports.clock())
        return interaction, client_of(tx, interaction)


def interaction_of(transaction_id: TransactionID, *, ports: Ports) -> InteractionID:
    """By which cookie the browser of a card transaction proves itself. Raises InteractionUnknown."""
    with ports.store.transaction() as tx:
        transaction = tx.cards.get(transaction_id)
    if transaction is None:
        raise InteractionUnknown("no such card transaction")
    return transaction.interaction_id


def behind(transaction_id: TransactionID, *, ports: Ports) -> tuple[Interaction, Client] | None:
    """For the words of an error page: the login a card transaction is part of. None when it is over.

    It is told to whoever holds the transaction id, so nothing but the client's name and the way back may be shown.
    """
    with ports.store.transaction() as tx:
        transaction = tx.cards.get(transaction_id)
        if transaction is None:
            return None
        interaction = tx.interactions.get(transaction.interaction_id, now=ports.clock())
        client = tx.clients.get(transaction.client_id)
    return None if interaction is None or client is None else (interaction, client)


# --- finish ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """`then` is where the browser goes: to its client, to the resident's own page, or (None) to the consent page.

    It is logged in, unless the client asked for somebody or something else, or `refusal` says why nobody logs in with
    this card now: then there is no session. At a kiosk the browser keeps one for the resident's own page alone.
    """

    interaction_id: InteractionID
    session_secret: Secret | None = field(repr=False)
    then: ReturnToClient | RefusedToClient | AnsweredElsewhere | Place | None
    refusal: AccountStopped | None = None
    links: bool = False
    """With no `then`: the card is asked a second time, for a link."""


def finish(
    transaction_id: TransactionID,
    return_code: str,
    *,
    browser_secret: str | None,
    old_session_secret: str | None,
    ports: Ports,
) -> Finished:
    """Release the answer to the browser it belongs to, in one transaction with all it causes.

    Raises BrowserMismatch (also when it was released already: nobody learns which), CertificateRevoked,
    CorrespondenceUnknown, InvalidRequestURI (another login has answered the same pushed request), KioskRefused,
    KioskActOff.
    """
    now = ports.clock()
    session_secret = mint(ports.entropy)
    with ports.store.transaction() as tx:
        released = tx.cards.release(
            transaction_id,
            browser_digest=digest(browser_secret or ""),
            return_digest=digest(return_code),
            now=now,
        )
        if released is None:
            raise BrowserMismatch("not the browser, not the code, or not the first time")
        transaction, answer = opened(released[0], ports=ports), released[1]
        interaction = find(tx, transaction.interaction_id, browser_secret, now=now)
        client = client_of(tx, interaction)
        kiosks.released_at(tx, answer.kiosk_id, interaction)
        who = _authenticated(
            tx,
            client,
            interaction.interaction_id,
            answer,
            session_digest=digest(session_secret),
            now=now,
            ports=ports,
        )
        admitted = admit(tx, who.account, who.credential, serial_sealed=answer.serial_sealed, now=now, ports=ports)
        if old_session_secret:  # a card was read: R1 holds whether or not this login is wanted
            replace_session(tx, digest(old_session_secret), who, ports=ports)
        if not admitted:
            return _stopped(tx, interaction, answer, who, now=now)
        try:
            check_person(interaction.request, who.subject)
            check_strength(interaction.request, {reached(interaction.request, who.authentication).acr})
            joints.check_licence(tx, interaction, answer, now=now, ports=ports)
            linking.start(tx, interaction, who, released, now=now, ports=ports)
        except ProtocolError as refusal:
            return _unwanted(tx, interaction, client, refusal, answer, account=who.account, now=now)
        asked = documents_to_sign.read(transaction.action)
        agreed = narrowed(interaction.request, asked.release)  # what was signed counts, not what a page last said
        tx.interactions.choose(interaction.interaction_id, asked.release, now=now)
        if not tx.interactions.authenticate(interaction.interaction_id, who, now=now):
            raise BrowserMismatch("this login already has its person")
        taken_back(tx, interaction, now=now)
        tx.sessions.open(
            Session(
                digest=who.session_digest,
                session_id=who.session_id,
                account=who.account,
                credential=who.credential,
                client_id=client.client_id,
                subject=who.subject,
                authenticated_at=who.authentication.time,
                last_used_at=now,
                kiosk_id=answer.kiosk_id,
            )
        )
        tx.audit.append(_login_entry(transaction, answer, who, client, now=now))
        activity = login_activity(interaction, answer, who.account, at=now, session_id=who.session_id)
        request = interaction.request
        if request.own is not None:
            tx.activities.note(activity)
            tx.interactions.finish(interaction.interaction_id, now=now)
            return Finished(
                interaction_id=interaction.interaction_id,
                session_secret=session_secret,
                then=mandate_cards.done(tx, interaction, transaction, answer, who, now=now, ports=ports)
                or restoring.restore(tx, interaction, who, now=now),
            )
        # No browser of a kiosk keeps a login (R4), nor one to which two people's cards may come (R1).
        kept_secret = None if answer.kiosk_id is not None or licence.SCOPES & request.scope else session_secret
        then: ReturnToClient | AnsweredElsewhere | None = None
        if interaction.request.link is not None:
            tx.activities.note(activity)
            return Finished(
                interaction_id=interaction.interaction_id, session_secret=kept_secret, then=None, links=True
            )
        settled = _agreed_by_card(tx, (transaction, answer), agreed, who, client, now=now, ports=ports)
        consent = tx.consents.get(who.account, client.client_id)
        if not agreed.questions and (
            settled
            or (
                consent is not None
                and not consents.needed(consent, scope=agreed.scope, prompt=agreed.prompt, client=client)
            )
        ):
            tx.interactions.finish(interaction.interaction_id, now=now)
            if consent is not None:
                agreed = replace(agreed, scope=consents.allowed(consent, agreed.scope))
            activity = replace(activity, items=tuple(sorted(agreed.scope)))
            then = complete(
                tx,
                agreed,
                who,
                client,
                reference=interaction.interaction_id,
                now=now,
                ports=ports,
            )
        tx.activities.note(activity)  # where people are asked first, what they give stands with their answer
    return Finished(interaction_id=interaction.interaction_id, session_secret=kept_secret, then=then)


def _agreed_by_card(
    tx: Transaction,
    released: tuple[CardTransaction, CardAnswer],
    agreed: AuthorizationRequest,
    who: Authenticated,
    client: Client,
    *,
    now: datetime,
    ports: Ports,
) -> bool:
    """Whether what the card signed is the consent to all of the request, so that no page asks after it."""
    transaction, answer = released
    if licence.SCOPES & agreed.scope:
        licences.agree(tx, agreed, who, client, reference=transaction.transaction_id, now=now)
        return True
    if not documents_to_sign.read(transaction.action).proved:
        return False
    proofing.agree(tx, transaction, answer, agreed=agreed, who=who, client=client, now=now, ports=ports)
    return agreed.scope - consents.EACH_TIME <= proofing.PROVED | proofing.BESIDE


def _login_entry(
    transaction: CardTransaction, answer: CardAnswer, who: Authenticated, client: Client, *, now: datetime
) -> Entry:
    this_update = answer.revocation_this_update
    return Entry(
        at=now,
        event=Event.LOGIN,
        client_id=client.client_id,
        account=who.account,
        reference=transaction.transaction_id,
        detail={
            "interaction": transaction.interaction_id,
            "kind": answer.kind,
            "pin_entry": answer.pin_entry,
            "reader_kind": answer.reader_kind,
            "kiosk": answer.kiosk_id,
            "revocation_source": answer.revocation_source,
            "revocation_this_update": None if this_update is None else this_update.isoformat(),
        },
    )


def _unwanted(
    tx: Transaction,
    interaction: Interaction,
    client: Client,
    refusal: ProtocolError,
    answer: CardAnswer,
    *,
    account: AccountID,
    now: datetime,
) -> Finished:
    """A good card, but not the person or the strength that the client asked for: it is told so, and nothing more."""
    interaction_id = interaction.interaction_id
    tx.interactions.finish(interaction_id, now=now)
    joints.given_up(tx, interaction, now=now)
    tx.audit.append(
        Entry(
            at=now,
            event=Event.LOGIN_REFUSED,
            client_id=client.client_id,
            account=account,
            reference=interaction_id,
            detail={"error": type(refusal).__name__},
        )
    )
    tx.activities.note(login_activity(interaction, answer, account, at=now, result=Result.REFUSED))
    then = decline(tx, interaction.request, client, refusal, account=account, reference=interaction_id, now=now)
    return Finished(interaction_id=interaction_id, session_secret=None, then=then)


def _stopped(
    tx: Transaction, interaction: Interaction, answer: CardAnswer, who: Authenticated, *, now: datetime
) -> Finished:
    """The account was stopped: the login stays open for another card, or for the way back."""
    refusal = AccountStopped("the account was stopped")
    tx.audit.append(
        Entry(
            at=now,
            event=Event.LOGIN_REFUSED,
            client_id=interaction.request.client_id,
            account=who.account,
            reference=interaction.interaction_id,
            detail={"error": type(refusal).__name__},
        )
    )
    tx.activities.note(login_activity(interaction, answer, who.account, at=now, result=Result.REFUSED))
    return Finished(interaction_id=interaction.interaction_id, session_secret=None, then=None, refusal=refusal)


def login_activity(
    interaction: Interaction,
    answer: CardAnswer,
    account: AccountID,
    *,
    at: datetime,
    session_id: SessionID | None = None,
    result: Result = Result.DONE,
) -> Activity:
    """A login as its person sees it; what was given is for the caller to say, not what the client asked for."""
    return Activity(
        account=account,
        client_id=interaction.request.client_id,
        kind=Kind.LOGIN,
        how=How.ELSEWHERE if interaction.request.elsewhere else how_of(answer.kind),
        result=result,
        at=at,
        session_id=session_id,
    )


def _authenticated(
    tx: Transaction,
    client: Client,
    interaction_id: InteractionID,
    answer: CardAnswer,
    *,
    session_digest: bytes,
    now: datetime,
    ports: Ports,
) -> Authenticated:
    """The account of this certificate; at its first sight that of the one it follows, or a new one (R7, R19)."""
    fresh = Credential(
        credential_id=CredentialID(b64url(ports.entropy(16))),
        account=AccountID(b64url(ports.entropy(16))),
        key=answer.key,
        serial_sealed=answer.serial_sealed,
        kind=answer.kind,
        not_after=answer.not_after,
        first_seen=now,
    )
    if answer.predecessor is None:
        credential = tx.accounts.enrol(fresh)
    else:
        credential = _renewed(tx, answer.predecessor, fresh)
        if answer.certificate_sealed is not None and credential.credential_id == fresh.credential_id:
            certificate = ports.keys.unseal(answer.certificate_sealed, context=interaction_id.encode())
            resume_grants(tx, answer.predecessor, credential, certificate, ports=ports)
    known = tx.revoked.reason(answer.key)
    if known is not None:
        raise refused_for(known)
    subject = tx.accounts.subject(credential.account, client.sector, fresh=Subject(b64url(ports.entropy(32))))
    return Authenticated(
        account=credential.account,
        credential=credential.credential_id,
        subject=subject,
        authentication=fresh_signature(answer.kind, at=answer.answered_at),
        session_digest=session_digest,
        session_id=SessionID(b64url(ports.entropy(16))),
        session_ends_at=None if answer.kiosk_id is None else answer.answered_at + KIOSK_LIFETIME,
    )


def _renewed(tx: Transaction, predecessor: CredentialKey, fresh: Credential) -> Credential:
    """The certificate in the history of the account whose certificate it follows (R19)."""
    credential = tx.accounts.renew(predecessor, fresh)
    if credential is None:
        raise CorrespondenceUnknown("another certificate follows the same one already")
    if credential.credential_id == fresh.credential_id:
        tx.audit.append(
            Entry(
                at=fresh.first_seen,
                event=Event.CERTIFICATE_RENEWED,
                account=credential.account,
                reference=credential.credential_id,
            )
        )
    return credential


# --- give up ---------------------------------------------------------------------------------------------------------


def cancel(
    interaction_id: InteractionID, *, browser_secret: str | None, ports: Ports
) -> RefusedToClient | AnsweredElsewhere:
    """The resident goes back without logging in: access_denied for the client (RFC 6749 §4.1.2.1)."""
    now = ports.clock()
    with ports.store.transaction() as tx:
        interaction = find(tx, interaction_id, browser_secret, now=now)
        client = client_of(tx, interaction)
        tx.interactions.finish(interaction_id, now=now)
        taken_back(tx, interaction, now=now)
        linking.given_up(tx, interaction, now=now)
        joints.given_up(tx, interaction, now=now)
        tx.audit.append(
            Entry(
                at=now,
                event=Event.LOGIN_REFUSED,
                client_id=client.client_id,
                reference=interaction_id,
                detail={"error": AccessDenied.__name__},
            )
        )
        cause = AccessDenied("the resident went back")
        return decline(tx, interaction.request, client, cause, reference=interaction_id, now=now)
