"""The story of a proof of identity: what is to be released is chosen before the card, signed by it, and kept sealed.

ask      the page that says what would be released, to whom and what for
choose   the resident's answer, kept with the login; the card request that follows says it again
keep     with the code: what was proved goes beside its grant, and ends with it
told     what a grant may still tell
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from broker.accounts.activity import Activity, How, Kind
from broker.audit.entry import Entry, Event
from broker.errors import InteractionUnknown, InvalidRequest
from broker.flows import documents_to_sign
from broker.flows.interaction import client_of, find
from broker.flows.login_ports import Authenticated, CardAnswer, CardTransaction, Interaction
from broker.flows.ports import Ports, Transaction
from broker.ids import GrantID, InteractionID
from broker.oidc import proof as proofs
from broker.oidc import release
from broker.oidc.authorization import OFFLINE_ACCESS, PROFILE, AuthorizationRequest
from broker.oidc.claims_request import IDENTITY
from broker.oidc.client import Client
from broker.oidc.consent import Consent, terms_of, uses_shown
from broker.oidc.grants import Grant
from broker.oidc.proof import IdentityProof
from broker.oidc.release import Item

BESIDE: Final = frozenset({"openid", OFFLINE_ACCESS})
"""What the page before the card says beside the items."""
PROVED: Final = frozenset({PROFILE, *IDENTITY})
"""Scopes that are agreed to there and nowhere else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleasePrompt:
    """What the page shows before the card."""

    interaction: Interaction
    client: Client
    items: tuple[Item, ...]
    required: frozenset[str]
    """Names of the items that cannot be left out of the rest."""


def required(client: Client, items: Collection[Item]) -> frozenset[str]:
    """What the client calls essential in this request, or did not call optional when it registered its purposes."""
    return frozenset(
        item.name
        for item in items
        if item.essential or ((use := client.use_of(item.name)) is not None and not use.optional)
    )


def prompt_for(interaction: Interaction, client: Client) -> ReleasePrompt | None:
    """What this login has to ask before the card; None where it releases nothing beyond the login itself."""
    items = release.items(interaction.request)
    if not items:
        return None
    return ReleasePrompt(interaction=interaction, client=client, items=items, required=required(client, items))


def ask(interaction_id: InteractionID, browser_secret: str | None, *, ports: Ports) -> ReleasePrompt:
    """The page again, with the choice of before. Raises InteractionUnknown (also where there is nothing to choose, or
    the card has answered), BrowserMismatch.
    """
    with ports.store.transaction() as tx:
        return _open(tx, interaction_id, browser_secret, now=ports.clock())


def choose(interaction_id: InteractionID, browser_secret: str | None, chosen: Collection[str], *, ports: Ports) -> None:
    """Keep what the resident lets go. All that is optional may stay here; then nothing is signed.

    Raises InvalidRequest for what the page does not offer; else as `ask`.
    """
    now = ports.clock()
    with ports.store.transaction() as tx:
        asked = _open(tx, interaction_id, browser_secret, now=now)
        if not set(chosen) <= {item.name for item in asked.items} or not asked.required <= set(chosen):
            raise InvalidRequest("item: those of the page, the required ones among them")
        if not tx.interactions.choose(interaction_id, frozenset(chosen), now=now):
            raise InteractionUnknown("the card has answered, or the login has ended")


def _open(
    tx: Transaction, interaction_id: InteractionID, browser_secret: str | None, *, now: datetime
) -> ReleasePrompt:
    interaction = find(tx, interaction_id, browser_secret, now=now)
    if interaction.authenticated is not None:
        raise InteractionUnknown("the card has answered already")
    asked = prompt_for(interaction, client_of(tx, interaction))
    if asked is None:
        raise InteractionUnknown("this login releases nothing")
    return asked


def agree(
    tx: Transaction,
    transaction: CardTransaction,
    answer: CardAnswer,
    *,
    agreed: AuthorizationRequest,
    who: Authenticated,
    client: Client,
    now: datetime,
    ports: Ports,
) -> None:
    """The signature over the application is the consent to what stands in it: written down with what was signed.

    What was agreed to before stays so until it is withdrawn; each new proof asks anew. What else the client asks for is
    the consent page's to ask.
    """
    if answer.signed_sealed is None:
        raise ValueError("a proof comes with a signed application")
    before = tx.consents.get(who.account, client.client_id)
    scope = (agreed.scope & (PROVED | BESIDE)) | (before.scope if before is not None else frozenset())
    declined = (before.declined if before is not None else frozenset()) - scope
    tx.consents.give(
        who.account,
        Consent(
            client_id=client.client_id,
            scope=scope,
            granted_at=now,
            declined=declined,
            terms=terms_of(client, scope | declined),
        ),
        uses=uses_shown(client, scope | declined),
    )
    tx.activities.note(
        Activity(
            account=who.account,
            client_id=client.client_id,
            kind=Kind.PROOF,
            how=How.CARD,
            items=tuple(sorted(agreed.scope & PROVED)),
            at=now,
            session_id=who.session_id,
        )
    )
    context = transaction.interaction_id.encode()
    signed = documents_to_sign.from_json(ports.keys.unseal(answer.signed_sealed, context=context))
    asked = documents_to_sign.read(transaction.action)
    this_update = signed.revocation_this_update
    told: tuple[tuple[Event, dict[str, str | int | None]], ...] = (
        (Event.CONSENT_GIVEN, {"scope": " ".join(sorted(agreed.scope))}),
        (
            Event.IDENTITY_PROVED,
            {
                "interaction": transaction.interaction_id,
                "release": " ".join(sorted(asked.release)),
                "document": asked.documents[0]["sha256"],
                "one_transaction": int(signed.one_transaction),
                "revocation_source": signed.revocation_source,
                "revocation_this_update": None if this_update is None else this_update.isoformat(),
            },
        ),
    )
    for event, detail in told:
        tx.audit.append(
            Entry(
                at=now,
                event=event,
                client_id=client.client_id,
                account=who.account,
                reference=transaction.transaction_id,
                detail=detail,
            )
        )


def keep(tx: Transaction, grant: Grant, interaction_id: InteractionID, *, ports: Ports) -> None:
    """What the card of this interaction proved goes beside the grant that its login brought."""
    sealed = tx.cards.proof(interaction_id)
    if sealed is not None:
        told = ports.keys.unseal(sealed, context=interaction_id.encode())
        tx.identity_proofs.keep(grant.grant_id, ports.keys.seal(told, context=_context(grant.grant_id)))


def told(tx: Transaction, grant: Grant, *, ports: Ports) -> IdentityProof | None:
    """What was proved for a grant that has not ended; None where it releases nothing of the kind."""
    if not grant.scope & set(IDENTITY):
        return None
    data = kept(tx, grant, ports=ports)
    return None if data is None else proofs.from_json(data)


def kept(tx: Transaction, grant: Grant, *, ports: Ports) -> bytes | None:
    """What lies beside a grant that has not ended, unsealed: a proof, or the licence of a professional login."""
    sealed = tx.identity_proofs.get(grant.grant_id)
    return None if sealed is None else ports.keys.unseal(sealed, context=_context(grant.grant_id))


def _context(grant_id: GrantID) -> bytes:
    return b"identity-proof:" + grant_id.encode()
