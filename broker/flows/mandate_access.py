"""A service reads and ends its user's powers of attorney, for the user, by an access token of scope `delegations`.

The user agreed to that scope at a card login to this very service; an operator granted the service the right to ask
(`Right.MANDATE_QUESTIONS`). It sees what the user's own page shows. It may narrow, at once, and never widen: granting,
accepting and resuming need the card that is read for it (design 4.13).
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from broker.accounts.activity import Activity, How, Kind, daily
from broker.delegation import grant_document as grants
from broker.delegation.life import Deed, after
from broker.delegation.members import MAX_BYTES
from broker.errors import DelegationStateRefused, InsufficientScope
from broker.flows.call import Call
from broker.flows.mandate_ends import change
from broker.flows.mandate_ports import Note
from broker.flows.mandates import PAGE, MandateView, grant_of, in_short, known, page, part_of
from broker.flows.ports import Ports, Transaction
from broker.flows.protected import present
from broker.flows.rate import Rate, check_rate
from broker.ids import AccountID, MandateNumber
from broker.jose import parse_json
from broker.oidc.authorization import DELEGATIONS, single_values

CALLS: Final = Rate(limit=600, window=timedelta(minutes=1))
NARROWING: Final = frozenset({Deed.SUSPEND, Deed.REVOKE})


def mine(call: Call, *, limit: int = PAGE, ports: Ports) -> dict[str, Any]:
    """The powers that the user is a party to, the newest first: `limit` of those that follow `older_than`; where there
    are more, `older` says from where to ask on.

    Raises InvalidAccessToken, InsufficientScope, InvalidDPoPProof, UseDPoPNonce, InvalidRequest, TooManyRequests,
    StoreUnavailable.
    """
    with ports.store.transaction() as tx:
        account = _asked(tx, call, ports)
        from_there = single_values(call.pairs).get("older_than")
        after_this = None if from_there is None else MandateNumber(from_there)
        found, older = page(tx, account, statements=False, older_than=after_this, limit=limit)
        told = [summary(in_short(tx, mandate, role, account, ports=ports)) for mandate, role in found]
    return {"delegations": told} | ({} if older is None else {"older": older})


def one(call: Call, number: str, *, ports: Ports) -> dict[str, Any]:
    """One of them, with what happened to it and what was answered about it. Raises as `mine`, and DelegationUnknown."""
    with ports.store.transaction() as tx:
        return whole(_view(tx, _asked(tx, call, ports), MandateNumber(number), ports))


def end(call: Call, number: str, deed: str, *, ports: Ports) -> dict[str, Any]:
    """Suspend or revoke it for the user, who is told by whom. Raises as `one`, and DelegationStateRefused."""
    now = ports.clock()
    name = MandateNumber(number)
    with ports.store.transaction() as tx:
        account = _asked(tx, call, ports)
        wanted = Deed(deed) if deed in {each.value for each in NARROWING} else None
        if wanted is None:
            raise DelegationStateRefused("a service suspends or revokes, and nothing else")
        state = tx.mandates.lock(name)
        view = _view(tx, account, name, ports)
        if state is not None:
            after(state, wanted, role=view.role, card=False, kind=view.mandate.kind)
        change(tx, name, wanted, by=account, now=now, ports=ports)
        tx.mandates.notify(Note(number=name, account=account, deed=wanted, at=now))  # a service did it, not they
        return whole(_view(tx, account, name, ports))


def _asked(tx: Transaction, call: Call, ports: Ports) -> AccountID:
    token = present(tx, call, ports=ports)
    now = ports.clock()
    client = tx.clients.get(token.client_id)
    if token.account is None or DELEGATIONS not in token.scope or client is None or not client.asks_mandates:
        raise InsufficientScope("a token of a resident's login with the scope delegations, and the right to ask")
    check_rate(tx.attempts, f"delegations:{token.client_id}:{token.subject}", CALLS, now=now)
    if token.grant_id is not None:
        tx.activities.note(
            Activity(
                account=token.account,
                client_id=token.client_id,
                kind=Kind.READING,
                how=How.SERVICE,
                items=(DELEGATIONS,),
                at=now,
                grant_id=token.grant_id,
                repeats=f"{daily(Kind.READING, token.grant_id, now)}:{DELEGATIONS}",
            )
        )
    return token.account


def _view(tx: Transaction, account: AccountID, number: MandateNumber, ports: Ports) -> MandateView:
    mandate = known(tx, number)
    part = part_of(tx, number, account)
    return MandateView(
        mandate=mandate,
        grant=grant_of(mandate, ports=ports),
        role=part.role,
        parts=tx.mandates.parts(number),
        mine=part,
        story=tx.mandates.story(number),
        decisions=tx.mandates.decisions(number),
    )


def summary(view: MandateView) -> dict[str, Any]:
    """What a list says of each."""
    return {
        "number": view.mandate.number,
        "type": view.mandate.kind.value,
        "role": view.role.value,
        "state": view.mandate.state.value,
        "blocked": view.mandate.blocked_at is not None,
        "principal": view.grant.principal.name,
        "agent": view.grant.agent.name,
        "begins": int(view.grant.begins.timestamp()),
        "ends": int(view.grant.ends.timestamp()),
    }


def whole(view: MandateView) -> dict[str, Any]:
    """The summary, the grant as it stands, and its history."""
    return summary(view) | {
        "grant": parse_json(grants.write(view.grant), limit=MAX_BYTES),
        "history": [
            {"event": each.happening.value, "at": int(each.at.timestamp()), "logged": each.log_index is not None}
            for each in view.story
        ],
        "answers": [
            {
                "client_id": each.client_id,
                "act": each.act.value,
                "entity": each.entity,
                "amount": each.amount,
                "allowed": each.allowed,
                "at": int(each.at.timestamp()),
            }
            for each in view.decisions
        ],
    }
