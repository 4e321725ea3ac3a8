"""The story of a doctor and a patient: two logins at one client, one card each, joined by one id (design 4.14).

order     the client says what it is for and which licence it wants, with its own token
doctor    an HPKI card; its certificate must state that licence
patient   a MyNumber card, which signs for this doctor and this purpose
told      the tokens of both name the id and the other one

Each step is one statement that only one of two can win. Who refuses, on either side, ends all of it; nothing of it
makes the two people's accounts one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from broker.accounts.individual_number import holds_one
from broker.audit.entry import Entry, Event
from broker.errors import (
    InsufficientScope,
    InvalidAccessToken,
    InvalidRequest,
    InvalidToken,
    JointTransactionOver,
    JointTransactionUnknown,
    LicenceInsufficient,
    LicenceNotAllowed,
    NumberQuarantined,
)
from broker.flows import proofing
from broker.flows.call import Call
from broker.flows.joint_ports import JointTransaction
from broker.flows.login_ports import CardAnswer, Interaction
from broker.flows.ports import Ports, Transaction
from broker.flows.protected import present
from broker.flows.rate import Rate, check_rate
from broker.ids import ClientID, InteractionID, JointID
from broker.jose import b64url, parse_json
from broker.jpki import challenge
from broker.oidc import licence as licences
from broker.oidc.authorization import AuthorizationRequest
from broker.oidc.client import Client
from broker.oidc.grants import Grant
from broker.oidc.joint import CLAIM, LIFETIME, MAX_ORDER, JointOrder, State, read_order
from broker.oidc.licence import JOINT_SCOPE, SCOPE, Licence

ORDERS: Final = Rate(limit=300, window=timedelta(minutes=1))


# --- the client ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """How far one is."""

    joint: JointTransaction
    state: str
    """State, or `expired`."""
    expires_in: int
    """Seconds; 0 once nobody's card is waited for."""


def order(call: Call, body: bytes, *, ports: Ports) -> Status:
    """Take an order by a client's own token of scope `joint`, which is judged before the body is read.

    Raises InvalidAccessToken, InsufficientScope, LicenceNotAllowed, InvalidRequest, NumberQuarantined,
    TooManyRequests, StoreUnavailable.
    """
    now = ports.clock()
    with ports.store.transaction() as tx:
        client = _own(tx, call, ports=ports)
        check_rate(tx.attempts, f"joint:{client.client_id}", ORDERS, now=now)
    licences.check_may_ask(client, JOINT_SCOPE)
    if ports.healthcare is None:
        raise LicenceNotAllowed("no HPKI authority is accepted here")
    try:
        given = read_order(parse_json(body, limit=MAX_ORDER))
    except InvalidToken as broken:
        raise InvalidRequest(f"the body: {broken}") from broken
    if holds_one(given.purpose):
        raise NumberQuarantined("the purpose holds what looks like an individual number")
    joint_id = JointID(b64url(ports.entropy(24)))
    joint = JointTransaction(
        joint_id=joint_id,
        client_id=client.client_id,
        state=State.ORDERED,
        order_sealed=_sealed(joint_id, {"purpose": given.purpose, "role": given.role}, ports=ports),
        created_at=now,
        expires_at=now + LIFETIME,
    )
    with ports.store.transaction() as tx:
        tx.joints.open(joint)
        tx.audit.append(Entry(at=now, event=Event.JOINT_ORDERED, client_id=client.client_id, reference=joint_id))
    return _status(joint, now=now)


def status(call: Call, joint_id: JointID, *, ports: Ports) -> Status:
    """Raises InvalidAccessToken, InsufficientScope, JointTransactionUnknown."""
    with ports.store.transaction() as tx:
        client = _own(tx, call, ports=ports)
        joint = _known(tx, joint_id, client.client_id)
    return _status(joint, now=ports.clock())


def cancel(call: Call, joint_id: JointID, *, ports: Ports) -> None:
    """End one that is not complete. Raises as `status`, and JointTransactionOver."""
    with ports.store.transaction() as tx:
        client = _own(tx, call, ports=ports)
        _known(tx, joint_id, client.client_id)
        if not tx.joints.end(joint_id, client.client_id):
            raise JointTransactionOver("complete, or ended already")
        _write_down(tx, Event.JOINT_ENDED, client.client_id, joint_id, now=ports.clock())


def _own(tx: Transaction, call: Call, *, ports: Ports) -> Client:
    token = present(tx, call, ports=ports)
    client = tx.clients.get(token.client_id)
    if client is None:
        raise InvalidAccessToken("the client was removed")
    if token.account is not None or JOINT_SCOPE not in token.scope:
        raise InsufficientScope("the client's own token of scope joint is wanted (RFC 6749 §4.4)")
    return client


def _status(joint: JointTransaction, *, now: datetime) -> Status:
    waits = joint.state in {State.ORDERED, State.BEGUN}
    left = max(0, int((joint.expires_at - now).total_seconds())) if waits else 0
    return Status(joint=joint, state="expired" if waits and not left else joint.state.value, expires_in=left)


# --- the two logins --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What people see before their card: what it is for, and, for the patient, with whom."""

    purpose: str
    licence: Licence | None = field(default=None, repr=False)


def check_waiting(tx: Transaction, request: AuthorizationRequest, *, now: datetime) -> None:
    """Refuse a request whose joint transaction is not this client's or does not wait for this card.

    Raises JointTransactionUnknown, JointTransactionOver.
    """
    if request.joint is not None:
        _waiting(tx, request, now=now)


def shown(tx: Transaction, interaction: Interaction, *, now: datetime, ports: Ports) -> Shown | None:
    """For the login page; None for any other login. Raises JointTransactionUnknown, JointTransactionOver."""
    if interaction.request.joint is None:
        return None
    joint = _waiting(tx, interaction.request, now=now)
    told = _order(joint, ports=ports)
    if SCOPE in interaction.request.scope:
        return Shown(purpose=told.purpose)
    return Shown(purpose=told.purpose, licence=_licence(joint, ports=ports))


def act_of(tx: Transaction, interaction: Interaction, *, now: datetime, ports: Ports) -> tuple[str, str]:
    """Tag and action of the frame that this login's card signs. Raises as `shown`."""
    told = shown(tx, interaction, now=now, ports=ports)
    if told is None:
        return challenge.PROFESSION, "{}"
    action: dict[str, Any] = {"joint": interaction.request.joint, "purpose": told.purpose}
    if told.licence is None:
        return challenge.PROFESSION, _canonical(action)
    doctor = {
        "name": told.licence.name,
        "organization": told.licence.organization,
        "roles": list(told.licence.roles),
    }
    return challenge.JOINT, _canonical({**action, "doctor": doctor})


def check_licence(
    tx: Transaction, interaction: Interaction, answer: CardAnswer, *, now: datetime, ports: Ports
) -> None:
    """The doctor's certificate states the licence that the client ordered. Raises LicenceInsufficient,
    JointTransactionUnknown, JointTransactionOver.
    """
    request = interaction.request
    if request.joint is None:
        return
    joint = _waiting(tx, request, now=now)
    if SCOPE not in request.scope or answer.proof_sealed is None:
        return
    context = interaction.interaction_id.encode()
    roles = licences.from_json(ports.keys.unseal(answer.proof_sealed, context=context)).roles
    if _order(joint, ports=ports).role not in roles:
        raise LicenceInsufficient("the certificate states another licence than the one wanted")


def settle(
    tx: Transaction,
    request: AuthorizationRequest,
    grant: Grant,
    interaction_id: InteractionID,
    *,
    now: datetime,
    ports: Ports,
) -> None:
    """This half's card has answered: in the unit of work that issues its code. Raises JointTransactionUnknown,
    JointTransactionOver: another login was first, or it ran out meanwhile.
    """
    if request.joint is None:
        return
    joint = _waiting(tx, request, now=now)
    if SCOPE in request.scope:
        kept = tx.cards.proof(interaction_id)
        if kept is None:
            raise JointTransactionOver("no licence was proved in this login")
        told = ports.keys.unseal(kept, context=interaction_id.encode())
        if not tx.joints.begin(
            joint.joint_id,
            request.client_id,
            account=grant.account,
            subject=grant.subject,
            grant_id=grant.grant_id,
            licence_sealed=ports.keys.seal(told, context=_licence_context(joint.joint_id)),
            now=now,
            expires_at=now + LIFETIME,
        ):
            raise JointTransactionOver("another card was first, or it ran out")
        _write_down(tx, Event.JOINT_BEGUN, request.client_id, joint.joint_id, now=now)
        return
    if not tx.joints.complete(
        joint.joint_id,
        request.client_id,
        account=grant.account,
        subject=grant.subject,
        grant_id=grant.grant_id,
        now=now,
    ):
        raise JointTransactionOver("another card was first, or it ran out")
    _write_down(tx, Event.JOINT_COMPLETED, request.client_id, joint.joint_id, now=now)


def given_up(tx: Transaction, interaction: Interaction, *, now: datetime) -> None:
    """One of the two refused, or may not: all of it ends."""
    request = interaction.request
    if request.joint is not None and tx.joints.end(JointID(request.joint), request.client_id):
        _write_down(tx, Event.JOINT_ENDED, request.client_id, JointID(request.joint), now=now)


# --- what is told ----------------------------------------------------------------------------------------------------


def told(tx: Transaction, grant: Grant, scope: frozenset[str], *, ports: Ports) -> dict[str, Any]:
    """Claims of the ID token and of userinfo: the licence, and the other half of a joint transaction as it stands."""
    issuer = ports.policy.issuer
    if SCOPE in scope & grant.scope:
        kept = proofing.kept(tx, grant, ports=ports)
        if kept is None:
            return {}
        claims: dict[str, Any] = {"verified_claims": licences.from_json(kept).claims(issuer=issuer)}
        joint = tx.joints.of_grant(grant.grant_id)
        if joint is not None:
            half: dict[str, Any] = {"id": joint.joint_id, "role": "professional", "state": joint.state.value}
            if joint.patient_subject is not None:
                half["patient"] = {"sub": joint.patient_subject}
            claims[CLAIM] = half
        return claims
    if JOINT_SCOPE in scope & grant.scope:
        joint = tx.joints.of_grant(grant.grant_id)
        if joint is None:
            return {}
        professional = {
            "sub": joint.professional_subject,
            "verified_claims": _licence(joint, ports=ports).claims(issuer=issuer),
        }
        return {
            CLAIM: {
                "id": joint.joint_id,
                "role": "patient",
                "state": joint.state.value,
                "professional": professional,
            }
        }
    return {}


# --- the parts -------------------------------------------------------------------------------------------------------


def _waiting(tx: Transaction, request: AuthorizationRequest, *, now: datetime) -> JointTransaction:
    joint = _known(tx, JointID(request.joint or ""), request.client_id)
    wanted = State.ORDERED if SCOPE in request.scope else State.BEGUN
    if joint.state is not wanted or now >= joint.expires_at:
        raise JointTransactionOver("it does not wait for this card")
    return joint


def _known(tx: Transaction, joint_id: JointID, client_id: str) -> JointTransaction:
    joint = tx.joints.get(joint_id)
    if joint is None or joint.client_id != client_id:
        raise JointTransactionUnknown("no such joint transaction of this client")
    return joint


def _order(joint: JointTransaction, *, ports: Ports) -> JointOrder:
    return JointOrder(**json.loads(ports.keys.unseal(joint.order_sealed, context=_order_context(joint.joint_id))))


def _licence(joint: JointTransaction, *, ports: Ports) -> Licence:
    if joint.licence_sealed is None:
        raise ValueError("a joint transaction that was begun has a licence")
    return licences.from_json(ports.keys.unseal(joint.licence_sealed, context=_licence_context(joint.joint_id)))


def _sealed(joint_id: JointID, value: dict[str, str], *, ports: Ports) -> bytes:
    return ports.keys.seal(json.dumps(value, ensure_ascii=False).encode(), context=_order_context(joint_id))


def _order_context(joint_id: JointID) -> bytes:
    return b"joint-order:" + joint_id.encode()


def _licence_context(joint_id: JointID) -> bytes:
    return b"joint-licence:" + joint_id.encode()


def _canonical(action: dict[str, Any]) -> str:
    """RFC 8785 form: texts and arrays alone."""
    return json.dumps(action, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def _write_down(tx: Transaction, event: Event, client_id: ClientID, joint_id: JointID, *, now: datetime) -> None:
    tx.audit.append(Entry(at=now, event=event, client_id=client_id, reference=joint_id))
