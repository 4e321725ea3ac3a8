"""The story of a receipt (証跡): sealed with the answer of a login, handed to its client whenever that asks.

What it says is fixed by authenticated encryption in the very unit of work that issues the code, and its hash stands in
the audit row beside it. Signing waits for the look-up: a login pays for a row and not for a signature, which in an HSM
would be made while the database is locked.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final

from broker.audit.entry import Entry, Event
from broker.audit.receipt import ALGORITHM, FIRST, LAST, Happened, Kind, bound, facts, is_id, new_id, sign
from broker.errors import InsufficientScope, InteractionUnknown, InvalidRequest, ReceiptUnknown
from broker.flows.call import Call
from broker.flows.login_ports import Authenticated
from broker.flows.ports import KeyUse, Ports, Transaction
from broker.flows.protected import present
from broker.flows.rate import Rate, check_rate
from broker.flows.receipt_ports import PAGE, StoredReceipt
from broker.ids import ClientID, InteractionID, ReceiptID, Subject
from broker.jose import parse_json
from broker.oidc.authorization import AuthorizationRequest
from broker.oidc.client import Client
from broker.oidc.grants import Authentication
from broker.oidc.narrowing import RECEIPTS
from broker.oidc.tokens import AccessToken

LOOK_UPS: Final = Rate(limit=600, window=timedelta(minutes=1))


# --- with the login --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What the caller's audit row says of the receipt."""

    receipt_id: ReceiptID
    digest: str
    """SHA-256 of its facts, hex."""

    def detail(self) -> dict[str, str | int | None]:
        """For the audit row of what the receipt is about."""
        return {"receipt": self.receipt_id, "receipt_sha256": self.digest}


def seal(
    tx: Transaction,
    request: AuthorizationRequest,
    who: Authenticated,
    authentication: Authentication,
    *,
    interaction_id: InteractionID,
    now: datetime,
    ports: Ports,
) -> Kept:
    """Keep the receipt of what the interaction's card answered; the caller's transaction makes it real (R16).

    `authentication` is what the client is told. Raises InteractionUnknown: no card has answered.
    """
    found = tx.cards.evidence(interaction_id)
    if not found:
        raise InteractionUnknown("no card has answered, or before receipts were kept")
    receipt_id = new_id(now, ports.entropy(10))
    happened = Happened(
        receipt_id=receipt_id,
        issuer=ports.policy.issuer,
        client_id=request.client_id,
        subject=who.subject,
        interaction_id=interaction_id,
        at=now,
        auth_time=authentication.time,
        acr=authentication.acr,
        amr=authentication.amr,
        scope=request.scope,
        evidence=parse_json(found.encode()),
    )
    told = facts(happened)
    kept_for = ports.policy.login_receipts_kept if happened.kind is Kind.LOGIN else ports.policy.receipts_kept
    tx.receipts.keep(
        StoredReceipt(
            receipt_id=receipt_id,
            client_id=request.client_id,
            subject=who.subject,
            sealed=ports.keys.seal(told, context=_context(request.client_id, receipt_id)),
            expires_at=now + kept_for,
        )
    )
    return Kept(receipt_id=receipt_id, digest=sha256(told).hexdigest())


def told_to(client: Client, kept: Kept | None) -> ReceiptID | None:
    """The id that stands in the ID token, where the client is registered to fetch receipts."""
    return kept.receipt_id if kept is not None and RECEIPTS in client.scope else None


# --- looking it up ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One receipt as its client gets it."""

    receipt_id: ReceiptID
    token: str = field(repr=False)
    """The signed receipt (JWS)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some receipts, oldest first. `then` is where the next page begins; None after the last."""

    receipts: tuple[Told, ...]
    then: ReceiptID | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Which receipts a client asks for; times are aware, `since` counts in and `until` does not."""

    subject: Subject | None = field(default=None, repr=False)
    since: datetime | None = None
    until: datetime | None = None
    after: str | None = None
    """The id of the last receipt that was read."""


def tell(call: Call, receipt_id: str, *, ports: Ports) -> Told:
    """One receipt of the client whose token the call brings.

    Raises InvalidAccessToken, InsufficientScope, InvalidDPoPProof, UseDPoPNonce, InvalidRequest, TooManyRequests,
    ReceiptUnknown (another client's too: nobody learns which), StoreUnavailable.
    """
    with ports.store.transaction() as tx:
        client_id, now = _asked(tx, call, ports)
        found = tx.receipts.get(client_id, ReceiptID(receipt_id)) if is_id(receipt_id) else None
        if found is not None:
            _write_down(tx, client_id, count=1, reference=found.receipt_id, now=now)
    if found is None:
        raise ReceiptUnknown("no receipt of this client has that id")
    return _signed(found, now, ports)


def look_up(call: Call, question: Question, *, ports: Ports) -> Page:
    """A client's receipts by person and time (証跡照会). Raises as `tell`, and InvalidRequest for a wrong question."""
    if question.after is not None and not is_id(question.after):
        raise InvalidRequest("after: the id of a receipt")
    since = bound(question.since, otherwise=FIRST)
    after = since if question.after is None else max(since, ReceiptID(question.after))
    with ports.store.transaction() as tx:
        client_id, now = _asked(tx, call, ports)
        found = tx.receipts.list(
            client_id,
            subject=question.subject,
            after=after,
            before=bound(question.until, otherwise=LAST),
        )
        shown = found[:PAGE]
        _write_down(tx, client_id, count=len(shown), reference=None, now=now)
    return Page(
        receipts=tuple(_signed(receipt, now, ports) for receipt in shown),
        then=shown[-1].receipt_id if len(found) > len(shown) else None,
    )


def _asked(tx: Transaction, call: Call, ports: Ports) -> tuple[ClientID, datetime]:
    """Who asks, by a token of its own with the scope `receipts`."""
    token: AccessToken = present(tx, call, ports=ports)
    if token.account is not None or RECEIPTS not in token.scope:
        raise InsufficientScope("a token of the client's own with the scope receipts is needed")
    now = ports.clock()
    check_rate(tx.attempts, f"receipts:{token.client_id}", LOOK_UPS, now=now)
    return token.client_id, now


def _signed(stored: StoredReceipt, now: datetime, ports: Ports) -> Told:
    told = ports.keys.unseal(stored.sealed, context=_context(stored.client_id, stored.receipt_id))
    signer = ports.keys.signer(KeyUse.RECEIPT, ALGORITHM)
    return Told(receipt_id=stored.receipt_id, token=sign(told, signer=signer, now=now))


def _write_down(tx: Transaction, client_id: ClientID, *, count: int, reference: str | None, now: datetime) -> None:
    tx.audit.append(
        Entry(at=now, event=Event.RECEIPTS_READ, client_id=client_id, reference=reference, detail={"count": count})
    )


def _context(client_id: ClientID, receipt_id: ReceiptID) -> bytes:
    """What the seal is bound to: moved to another row, it does not open."""
    return f"receipt\x00{client_id}\x00{receipt_id}".encode()
