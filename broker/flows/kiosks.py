"""Terminals that everybody uses: enrolled and stopped by operators, and how a session at one ends (R4, design 4.14).

A login counts as one at a kiosk where the kiosk's key signed the card's answer, whatever the browser says of itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlsplit

from broker.accounts.kiosk import ALGORITHM, MAX_NAME, Kiosk, SiteAct, check_device, key_named
from broker.accounts.session import KIOSK_LIFETIME
from broker.audit.entry import Entry, Event
from broker.errors import InvalidToken, KioskActOff, KioskRefused, KioskUnfit
from broker.flows import documents_to_sign
from broker.flows.backchannel_logout import deliver
from broker.flows.login_ports import CardTransaction, Interaction
from broker.flows.logout_ports import LogoutDelivery
from broker.flows.ports import Ports, Transaction
from broker.flows.secret import digest
from broker.flows.session import end_session
from broker.ids import KioskID, TransactionID
from broker.jose import PRIVATE_MEMBERS, b64url, load_public_key, public_jwk, thumbprint
from broker.jpki import challenge

_MAX_URL: Final = 2000
WARNING: Final = timedelta(seconds=20)
"""How long before a session ends for want of use its person is asked whether they are still there (WCAG 2.2.1)."""


# --- operators -------------------------------------------------------------------------------------------------------


def enrol(name: str, key: Mapping[str, Any], *, start_url: str, allows: frozenset[SiteAct], ports: Ports) -> Kiosk:
    """Take a terminal's public key. Raises KioskUnfit: a bad name, address or key, or one that is known already."""
    if not 1 <= len(name) <= MAX_NAME or not name.isprintable():
        raise KioskUnfit(f"the name has 1 to {MAX_NAME} printable characters")
    parts = urlsplit(start_url)
    sandbox = ports.policy.issuer.startswith("http://")
    if (
        len(start_url) > _MAX_URL
        or not parts.hostname
        or parts.scheme not in ({"https", "http"} if sandbox else {"https"})
    ):
        raise KioskUnfit("the start address is no https address")
    if PRIVATE_MEMBERS & key.keys():
        raise KioskUnfit("this is the private key: it stays at the kiosk")
    try:
        public = public_jwk(load_public_key(key))
    except InvalidToken as invalid:
        raise KioskUnfit("not a public key") from invalid
    if public.get("crv") != "P-256":
        raise KioskUnfit(f"the key is none for {ALGORITHM}")
    now = ports.clock()
    kiosk = Kiosk(
        kiosk_id=KioskID(b64url(ports.entropy(16))),
        name=name,
        key=public,
        thumbprint=thumbprint(public),
        start_url=start_url,
        allows=allows,
        enrolled_at=now,
    )
    with ports.store.transaction() as tx:
        if not tx.kiosks.enrol(kiosk):
            raise KioskUnfit("this key is, or was, another kiosk's")
        tx.audit.append(
            Entry(
                at=now,
                event=Event.KIOSK_ENROLLED,
                reference=kiosk.kiosk_id,
                detail={"key": kiosk.thumbprint, "allows": " ".join(sorted(allows))},
            )
        )
    return kiosk


def stop(kiosk_id: KioskID, *, ports: Ports) -> int | None:
    """Nothing that it signs counts any more, and its open sessions end; how many. None: there is no such kiosk."""
    now = ports.clock()
    with ports.store.transaction() as tx:
        if not tx.kiosks.stop(kiosk_id, now=now):
            return None
        ended = tx.sessions.at(kiosk_id)
        for session in ended:
            end_session(tx, session, event=Event.KIOSK_SESSION_ENDED, ports=ports)
        tx.audit.append(Entry(at=now, event=Event.KIOSK_STOPPED, reference=kiosk_id, detail={"sessions": len(ended)}))
    return len(ended)


# --- a login ---------------------------------------------------------------------------------------------------------


def standing(kiosk_id: KioskID, *, ports: Ports) -> Kiosk:
    """An enrolled kiosk by its name. Raises KioskRefused: unknown or stopped."""
    with ports.store.transaction() as tx:
        return _standing(tx, kiosk_id)


def begun_at(tx: Transaction, kiosk_id: KioskID | None, interaction: Interaction, *, tag: str, action: str) -> None:
    """Before the card is asked for in the browser of a kiosk. Raises KioskRefused, KioskActOff."""
    if kiosk_id is not None:
        kiosk = _standing(tx, kiosk_id)
        _check_act(kiosk, tag=tag, action=action)
        _check_own(kiosk, interaction)


def answered_at(transaction: CardTransaction, envelope: Mapping[str, Any], *, ports: Ports) -> KioskID | None:
    """Whose key signed the answer; None for a person's own machine.

    Raises KioskRefused: not enrolled, stopped, another answer, or the login stands in the browser of another kiosk or
    of one whose key did not sign; KioskActOff.
    """
    device = envelope.get("device")
    if device is None:
        if transaction.kiosk_id is not None:
            raise KioskRefused("begun at a kiosk, and no kiosk signed the answer")
        return None
    if not isinstance(device, str):
        raise KioskRefused("not the signature of a device")
    with ports.store.transaction() as tx:
        kiosk = tx.kiosks.of_key(key_named(device))
    if kiosk is None:
        raise KioskRefused("no kiosk was enrolled with this key")
    check_device(kiosk, device, envelope, transaction=transaction.transaction_id, issuer=ports.policy.issuer)
    if transaction.kiosk_id not in {None, kiosk.kiosk_id}:
        raise KioskRefused("begun at another kiosk")
    _check_act(kiosk, tag=transaction.tag, action=transaction.action)
    return kiosk.kiosk_id


def released_at(tx: Transaction, kiosk_id: KioskID | None, interaction: Interaction) -> None:
    """The last look before a session opens. Raises KioskRefused (stopped meanwhile), KioskActOff."""
    if kiosk_id is not None:
        _check_own(_standing(tx, kiosk_id), interaction)


def _standing(tx: Transaction, kiosk_id: KioskID) -> Kiosk:
    kiosk = tx.kiosks.get(kiosk_id)
    if kiosk is None or kiosk.stopped_at is not None:
        raise KioskRefused("no such kiosk, or it was stopped")
    return kiosk


def _check_act(kiosk: Kiosk, *, tag: str, action: str) -> None:
    act = _act_of(tag, action)
    if act is not None and act not in kiosk.allows:
        raise KioskActOff(f"{act} is off at this kiosk")


def _check_own(kiosk: Kiosk, interaction: Interaction) -> None:
    """What is approved for another device outlives the session, so it is never approved here; and nobody acts for
    somebody else at a terminal that everybody uses, unless its site allows it.
    """
    if interaction.request.elsewhere:
        raise KioskActOff("another device is not logged in from a kiosk")
    if interaction.request.questions and SiteAct.MANDATE not in kiosk.allows:
        raise KioskActOff("questions about mandates are off at this kiosk")


def _act_of(tag: str, action: str) -> SiteAct | None:
    if tag in {challenge.PROFESSION, challenge.JOINT}:
        raise KioskActOff("neither a licence nor a matter between two people is for a terminal that everybody uses")
    if tag in {challenge.LINK_START, challenge.LINK_COMMIT}:
        return SiteAct.LINK
    if tag == challenge.PROOF:
        return SiteAct.SIGN if documents_to_sign.read(action).kind is documents_to_sign.Kind.SIGN else SiteAct.PROOF
    return None if tag in {challenge.AUTH, challenge.CONSENT} else SiteAct.MANDATE


# --- the end ---------------------------------------------------------------------------------------------------------


def end_by_handle(transaction_id: TransactionID, handle: str, *, ports: Ports) -> bool:
    """The card was taken out: what came of this card transaction ends, once. False: unknown, or used before.

    A login that is still on its way ends too, so that no session can follow. Whoever holds the handle had the signed
    request, and it only narrows.
    """
    now = ports.clock()
    delivery: LogoutDelivery | None = None
    with ports.store.transaction() as tx:
        interaction_id = tx.cards.end(transaction_id, end_digest=digest(handle))
        if interaction_id is None:
            return False
        tx.interactions.finish(interaction_id, now=now)
        opened = tx.interactions.session(interaction_id)
        session = None if opened is None else tx.sessions.get(opened)
        if session is not None:
            delivery = end_session(tx, session, event=Event.KIOSK_SESSION_ENDED, at_once=True, ports=ports)
    if delivery is not None:
        deliver(delivery, ports=ports)
    return True


def end_left(ports: Ports) -> Mapping[str, int]:
    """End what no kiosk has ended in time (its agent stopped, or cannot reach us), so that the services are told."""
    ended = 0
    with ports.store.transaction() as tx:
        for session in tx.sessions.left_at_kiosks(began_before=ports.clock() - KIOSK_LIFETIME):
            end_session(tx, session, event=Event.KIOSK_SESSION_ENDED, ports=ports)
            ended += 1
    return {"ended": ended}


def leave(session_secret: str | None, *, ports: Ports) -> None:
    """The person goes, or was idle too long: the session of a kiosk's browser ends. It is a kiosk's, or untouched."""
    if session_secret is None:
        return
    delivery: LogoutDelivery | None = None
    with ports.store.transaction() as tx:
        session = tx.sessions.get(digest(session_secret))
        if session is not None and session.kiosk_id is not None:
            delivery = end_session(tx, session, event=Event.KIOSK_SESSION_ENDED, at_once=True, ports=ports)
    if delivery is not None:
        deliver(delivery, ports=ports)
