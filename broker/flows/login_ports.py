"""A login on its way: its records, and the ports that keep them (`tests/contracts/` holds every engine to them)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from broker.accounts.credential import CredentialKey
from broker.ids import (
    AccountID,
    ClientID,
    CredentialID,
    GrantID,
    InteractionID,
    KioskID,
    SessionID,
    Subject,
    TransactionID,
)
from broker.oidc.authorization import AuthorizationRequest
from broker.oidc.grants import Authentication
from broker.oidc.release import narrowed


@dataclass(frozen=True, slots=True, kw_only=True)
class Authenticated:
    """Who an interaction turned out to be, once its card answer was released to its own browser."""

    account: AccountID = field(repr=False)
    credential: CredentialID = field(repr=False)
    subject: Subject = field(repr=False)
    authentication: Authentication
    session_digest: bytes = field(repr=False)
    session_id: SessionID
    session_ends_at: datetime | None = None
    """At a kiosk: when the session ends at the latest, and every token with it (R4)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interaction:
    """One authorization request on its way through the login pages."""

    interaction_id: InteractionID
    request: AuthorizationRequest
    browser_digest: bytes = field(repr=False)
    """SHA-256 of the interaction's cookie."""
    expires_at: datetime
    authenticated: Authenticated | None = None
    finished: bool = False
    released: frozenset[str] | None = field(default=None)
    """What the resident lets go of what the request would release (oidc.release); None: they have not been asked. Once
    a card has answered: what it signed for."""
    handed_over: bytes | None = field(default=None, repr=False)
    """What another device is to approve, by the digest of its user code's request (flows.handover)."""

    @property
    def agreed(self) -> AuthorizationRequest:
        """The request as far as the resident let it: what was not chosen is as if it had not been asked for."""
        return narrowed(self.request, self.released or ())


@dataclass(frozen=True, slots=True, kw_only=True)
class CardTransaction:
    """One signed request to the agent. `answer_key` is the sealed private half of the one-time key."""

    transaction_id: TransactionID
    interaction_id: InteractionID
    client_id: ClientID
    nonce: bytes = field(repr=False)
    tag: str
    action: str
    previous: bytes = field(repr=False)
    """The sealed frame of the step before; empty where there is none."""
    request_key_thumbprint: str
    answer_key: bytes = field(repr=False)
    issued_at: datetime
    expires_at: datetime
    application: str = field(default="", repr=False)
    """The text that we wrote for the 署名用 key, exactly as it was shown; empty where there is none."""
    kiosk_id: KioskID | None = None
    """In whose browser the login stands, and, once there is an answer, whose key signed it."""
    end_digest: bytes | None = field(default=None, repr=False)
    """SHA-256 of the handle by which a kiosk ends what came of it; None once it was used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CardAnswer:
    """What a verified answer proved; kept with the transaction until its own browser fetches it."""

    key: CredentialKey = field(repr=False)
    serial_sealed: bytes = field(repr=False)
    kind: str
    not_after: datetime
    answered_at: datetime
    pin_entry: str
    """Unsigned hint of the agent; no decision rests on it."""
    reader_kind: str
    revocation_source: str
    revocation_this_update: datetime | None
    certificate_sealed: bytes | None = field(default=None, repr=False)
    """The certificate, where the client asks for offline_access: it is judged again at each refresh (design 4.8)."""
    predecessor: CredentialKey | None = field(default=None, repr=False)
    """A certificate known here that this one follows by J-LIS's old-new mapping (R19)."""
    evidence: str = field(default="", repr=False)
    """What the receipt will say of it (audit.receipt.CardEvidence.to_json)."""
    signed_sealed: bytes | None = field(default=None, repr=False)
    """What the 署名用 key signed (documents_to_sign.SignedDocuments); None where nothing was to be signed."""
    proof_sealed: bytes | None = field(default=None, repr=False)
    """What its certificate proved, as far as it was released (oidc.proof); None where nothing was."""
    frame_sealed: bytes | None = field(default=None, repr=False)
    """What the card signed at the start of a link, for its commit to name (R3)."""
    unique_person: bool = False
    """At the commit of a link: by J-LIS's mapping this account is the only one of its person."""
    kiosk_id: KioskID | None = None
    """The terminal that everybody uses whose key signed the answer."""


class InteractionStore(Protocol):
    def open(self, interaction: Interaction) -> None: ...

    def get(self, interaction_id: InteractionID, *, now: datetime) -> Interaction | None:
        """None when unknown, run out or finished."""

    def authenticate(self, interaction_id: InteractionID, who: Authenticated, *, now: datetime) -> bool:
        """Bind an open interaction to a person, once; False when it already is, ran out or finished."""

    def choose(self, interaction_id: InteractionID, released: frozenset[str], *, now: datetime) -> bool:
        """Keep what the resident lets go, instead of an earlier choice; False once it is bound to a person, ran out or
        finished.
        """

    def hand_over(self, interaction_id: InteractionID, digest: bytes | None, *, now: datetime) -> bool:
        """Keep what another device is to approve, or None; False once it is bound to a person, ran out or finished."""

    def finish(self, interaction_id: InteractionID, *, now: datetime) -> bool:
        """End an open interaction; of two callers exactly one gets True."""

    def session(self, interaction_id: InteractionID) -> bytes | None:
        """The digest of the session that a login brought, also when it is finished; None for none."""


class CardTransactionStore(Protocol):
    def begin(self, transaction: CardTransaction) -> None: ...

    def begun(self, interaction_id: InteractionID) -> int:
        """How many card requests an interaction has made (they are bounded)."""

    def get(self, transaction_id: TransactionID) -> CardTransaction | None: ...

    def answer(self, transaction_id: TransactionID, answer: CardAnswer, *, return_digest: bytes) -> bool:
        """Keep the first valid answer and wipe the answer key; False when there already is one."""

    def release(
        self, transaction_id: TransactionID, *, browser_digest: bytes, return_digest: bytes, now: datetime
    ) -> tuple[CardTransaction, CardAnswer] | None:
        """Consume an answered, unexpired transaction for the browser of its interaction that also holds the
        return code: one statement compares both and marks it used. None for everyone else, and the second time.
        """

    def end(self, transaction_id: TransactionID, *, end_digest: bytes) -> InteractionID | None:
        """Use its end handle up, in one statement, and answer whose it was; None for another, and the second time."""

    def certificate(self, interaction_id: InteractionID) -> bytes | None:
        """`certificate_sealed` of the one answer that this interaction was given; None where there is none."""

    def evidence(self, interaction_id: InteractionID) -> str | None:
        """`evidence` of the one answer that was released to this interaction; None where there is none."""

    def released(self, interaction_id: InteractionID) -> CardTransaction | None:
        """The one transaction of this interaction whose answer was released; None where there is none."""

    def signed(self, interaction_id: InteractionID) -> bytes | None:
        """`signed_sealed` of that answer."""

    def proof(self, interaction_id: InteractionID) -> bytes | None:
        """`proof_sealed` of that answer."""


class IdentityProofStore(Protocol):
    """What was proved to one client about one resident, sealed. It ends with its grant, however that ends."""

    def keep(self, grant_id: GrantID, sealed: bytes) -> None: ...

    def get(self, grant_id: GrantID) -> bytes | None:
        """None where there is none, or its grant has ended."""
