"""What parties to a mandate sign with their cards: the principal grants and resumes, others approve and accept.

The grant stands whole in the action, which both keys vouch for; the principal's carries the nonce of that very card
transaction, so a grant is signed once. Nothing is changed but by the card of the person who began (`subject`).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from broker.audit.leaf import Happening
from broker.delegation import content as contents
from broker.delegation import grant_document as grants
from broker.delegation.acts import FAMILY, Kind
from broker.delegation.life import STEPS, Deed, Role, State, after, roles
from broker.delegation.record import Proof
from broker.delegation.statement import Statement, StatementKind
from broker.errors import AnswerMalformed, DelegationStateRefused, InteractionUnknown
from broker.flows import documents_to_sign, family_mandates, linking, register
from broker.flows.authorization import INTERACTION_LIFETIME, Begun
from broker.flows.documents_to_sign import Document
from broker.flows.login_ports import Authenticated, CardAnswer, CardTransaction, Interaction
from broker.flows.mandate_ports import Mandate, Part, Piece
from broker.flows.mandates import chain, commit_event, context, grant_bytes, known, part_of, sha256, tell
from broker.flows.my_page import MY_PAGE, Place, Visit, settle_own_client
from broker.flows.ports import Ports, Transaction
from broker.flows.rate import Rate, check_rate
from broker.flows.secret import digest, mint
from broker.ids import InteractionID, MandateNumber, SectorID, Subject
from broker.jose import b64url
from broker.jpki import challenge
from broker.oidc.authorization import AuthorizationRequest

DOCUMENT_NAME: Final = "委任状"
STATEMENT_NAME: Final = "雇用証明書"
DOCUMENT_TYPE: Final = "application/json"
_WORD: Final = "mandate"
_STATEMENT_WORD: Final = "statement"
_STARTS: Final = Rate(limit=60, window=timedelta(minutes=5))
_KINDS: Final = {Deed.SIGN: "mandate", Deed.RESUME: "resume", Deed.APPROVE: "approve", Deed.ACCEPT: "accept"}
"""Deeds that need a card, and what the agent calls them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which deed a card is asked for."""

    deed: Deed
    number: MandateNumber


def read(request: AuthorizationRequest) -> Wanted | None:
    """None where the login is for something else."""
    word, _, rest = (request.own or "").partition(" ")
    if word not in {_WORD, _STATEMENT_WORD}:
        return None
    deed, number = rest.split(" ")
    return Wanted(deed=Deed(deed), number=MandateNumber(number))


def begin(who: Visit, number: MandateNumber, deed: Deed, *, ui_locales: str | None, ports: Ports) -> Begun:
    """A card request for the party who looks at the page and nobody else.

    Raises DelegationUnknown, DelegationStateRefused, TooManyRequests.
    """
    browser_secret = mint(ports.entropy)
    interaction_id = InteractionID(b64url(ports.entropy(24)))
    with ports.store.transaction() as tx:
        settle_own_client(tx, now=who.now, ports=ports)
        check_rate(tx.attempts, f"mandate:{who.account}", _STARTS, now=who.now)
        mandate = known(tx, number)
        _check(mandate, part_of(tx, number, who.account, _role(deed, mandate.kind)), deed)
        subject = tx.accounts.subject(who.account, SectorID(MY_PAGE), fresh=Subject(b64url(ports.entropy(32))))
        tx.interactions.open(
            Interaction(
                interaction_id=interaction_id,
                request=AuthorizationRequest(
                    client_id=MY_PAGE,
                    redirect_uri=f"{ports.policy.issuer}/{'statements' if _states(mandate) else 'delegations'}",
                    code_challenge="",
                    scope=frozenset({"openid"}),
                    ui_locales=ui_locales,
                    subject=subject,
                    own=f"{_STATEMENT_WORD if _states(mandate) else _WORD} {deed.value} {number}",
                ),
                browser_digest=digest(browser_secret),
                expires_at=who.now + INTERACTION_LIFETIME,
            )
        )
    return Begun(interaction_id=interaction_id, browser_secret=browser_secret)


def _role(deed: Deed, kind: Kind | StatementKind) -> Role:
    if deed not in _KINDS or not roles(deed, kind):
        raise DelegationStateRefused(f"{deed.value} is not done with a card")
    (role,) = roles(deed, kind)
    return role


def _states(mandate: Mandate) -> bool:
    return isinstance(mandate.kind, StatementKind)


def _check(mandate: Mandate, part: Part, deed: Deed) -> None:
    """Raises DelegationStateRefused."""
    if mandate.state not in STEPS[deed].begins or (part.done_at is not None and deed is Deed.APPROVE):
        raise DelegationStateRefused(f"{deed.value} is not possible while {mandate.state.value}")


# --- the card is asked -----------------------------------------------------------------------------------------------


def act_of(
    tx: Transaction, wanted: Wanted, *, nonce: bytes, issued_at: datetime, ports: Ports
) -> tuple[str, str, bool]:
    """Tag, action, and whether the 署名用 key signs. Raises DelegationUnknown, InteractionUnknown."""
    mandate = known(tx, wanted.number)
    if mandate.state not in STEPS[wanted.deed].begins:
        raise InteractionUnknown("somebody else changed the mandate meanwhile")
    states = _states(mandate)
    told: dict[str, object] = {"kind": _STATEMENT_WORD if states else _KINDS[wanted.deed]}
    tag = challenge.MANDATE if wanted.deed in {Deed.SIGN, Deed.RESUME} else challenge.ACCEPT
    data = grant_bytes(mandate, ports=ports)
    if wanted.deed is Deed.SIGN:
        data = _to_sign(data, nonce)
        document = Document(
            name=STATEMENT_NAME if states else DOCUMENT_NAME,
            sha256=hashlib.sha256(data).digest(),
            size=len(data),
            type=DOCUMENT_TYPE,
        )
        told["documents"] = [document.member(issued_at)]
    told[_content_name(mandate)] = data.decode()
    action = json.dumps(told, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return tag, action, wanted.deed is Deed.SIGN


def _content_name(mandate: Mandate) -> str:
    return "statement" if _states(mandate) else "grant"


def _to_sign(draft: bytes, nonce: bytes) -> bytes:
    """The draft with the nonce of the card transaction."""
    return contents.with_nonce(draft, b64url(nonce))


# --- the card has signed ---------------------------------------------------------------------------------------------


def done(
    tx: Transaction,
    interaction: Interaction,
    transaction: CardTransaction,
    answer: CardAnswer,
    who: Authenticated,
    *,
    now: datetime,
    ports: Ports,
) -> Place | None:
    """Change the mandate in the unit of work that releases the answer; None where no mandate was signed for.

    Raises DelegationUnknown, DelegationStateRefused: then nothing of the unit holds.
    """
    wanted = read(interaction.request)
    if wanted is None:
        return None
    state = tx.mandates.lock(wanted.number)
    mandate = known(tx, wanted.number)
    part = part_of(tx, wanted.number, who.account, _role(wanted.deed, mandate.kind))
    _check(mandate, part, wanted.deed)
    if state is not mandate.state or answer.frame_sealed is None:
        raise DelegationStateRefused("the mandate was changed at the same moment")
    frame = ports.keys.unseal(answer.frame_sealed, context=linking.frame_context(transaction))
    match wanted.deed:
        case Deed.SIGN:
            _signed(tx, mandate, transaction, answer, frame, now=now, ports=ports)
            tx.mandates.did(mandate.number, part.part_id, now=now)
        case Deed.APPROVE:
            _approved(tx, mandate, part, frame, now=now, ports=ports)
        case Deed.ACCEPT:
            shows = Proof.CHILD_CARD if mandate.kind is Kind.GUARDIAN else Proof.ACCEPTANCE
            _keep(tx, mandate, shows, frame, now=now, ports=ports)
            if not tx.mandates.did(mandate.number, part.part_id, now=now):
                raise DelegationStateRefused("accepted already")
            _moved(tx.mandates.move(mandate.number, Deed.ACCEPT, now=now))
        case _:
            _resume(tx, mandate, frame, now=now, ports=ports)
    tell(tx, mandate, wanted.deed, by=who.account, now=now)
    return Place.STATEMENTS if _states(mandate) else Place.DELEGATIONS


def _moved(moved: bool) -> None:
    if not moved:
        raise DelegationStateRefused("the mandate was changed at the same moment")


def _keep(tx: Transaction, mandate: Mandate, shows: Proof, data: bytes, *, now: datetime, ports: Ports) -> None:
    digest_hex = sha256(data)
    sealed = ports.keys.seal(data, context=context(mandate.number, f"evidence {digest_hex}"))
    tx.mandates.keep(mandate.number, Piece(shows=shows, sha256=digest_hex, sealed=sealed, at=now))


def _signed(
    tx: Transaction,
    mandate: Mandate,
    transaction: CardTransaction,
    answer: CardAnswer,
    frame: bytes,
    *,
    now: datetime,
    ports: Ports,
) -> None:
    """Both keys have signed the grant (design 4.15): the frame names it, the CMS is over its bytes."""
    data = json.loads(transaction.action)[_content_name(mandate)].encode()
    if answer.signed_sealed is None or data != _to_sign(grant_bytes(mandate, ports=ports), transaction.nonce):
        raise AnswerMalformed("not the grant that was drafted")
    signed = documents_to_sign.from_json(
        ports.keys.unseal(answer.signed_sealed, context=transaction.interaction_id.encode())
    )
    content, states, for_child = contents.read(data), _states(mandate), mandate.kind is Kind.GUARDIAN
    if mandate.kind in FAMILY:
        family_mandates.check_name(content, signed.signatures[0], ports=ports)
    _keep(tx, mandate, Proof.GUARDIAN_FRAME if for_child else Proof.PRINCIPAL_FRAME, frame, now=now, ports=ports)
    shows = Proof.GUARDIAN_SIGNATURE if for_child else Proof.PRINCIPAL_SIGNATURE
    _keep(tx, mandate, shows, signed.signatures[0], now=now, ports=ports)
    leads = after(
        mandate.state,
        Deed.SIGN,
        role=_role(Deed.SIGN, mandate.kind),
        card=True,
        approvals_missing=0 if isinstance(content, Statement) else content.approval.needed,
        accepted=states,
        kind=mandate.kind,
    )
    sealed = ports.keys.seal(data, context=context(mandate.number, "grant"))
    _moved(tx.mandates.sign(mandate.number, sealed, leads=leads, now=now))


def _approved(tx: Transaction, mandate: Mandate, part: Part, frame: bytes, *, now: datetime, ports: Ports) -> None:
    _keep(tx, mandate, Proof.APPROVAL, frame, now=now, ports=ports)
    if not tx.mandates.did(mandate.number, part.part_id, now=now):
        raise DelegationStateRefused("approved already")
    needed = grants.read(grant_bytes(mandate, ports=ports)).approval.needed
    given = sum(each.role is Role.APPROVER and each.done_at is not None for each in tx.mandates.parts(mandate.number))
    leads = after(mandate.state, Deed.APPROVE, role=Role.APPROVER, card=True, approvals_missing=needed - given)
    if leads is State.APPROVED:
        _moved(tx.mandates.move(mandate.number, Deed.APPROVE, now=now))


def _resume(tx: Transaction, mandate: Mandate, frame: bytes, *, now: datetime, ports: Ports) -> None:
    """It holds again once a quorum has seen the entry (`mandate_issue`)."""
    if any(each.state is not State.ACTIVE for each in chain(tx, mandate)[:-1]):
        raise DelegationStateRefused("a power it comes from does not hold")
    _keep(tx, mandate, Proof.PRINCIPAL_FRAME, frame, now=now, ports=ports)
    made = commit_event(tx, mandate.number, Happening.RESUME, now=now, ports=ports)
    origin = register.origin_at(ports.policy.issuer, now)
    (entry,) = register.append(tx, ports.keys, origin=origin, leaves=(made.leaf,))
    tx.mandates.happen(
        mandate.number,
        Happening.RESUME,
        at=now,
        salt_sealed=made.salt_sealed,
        commit=made.leaf.commit,
        log_origin=origin,
        log_index=entry.index,
    )
    _moved(tx.mandates.ask_resume(mandate.number, origin=origin, index=entry.index, now=now))
