"""What the flows need from the outside, as narrow promises.

`tests/contracts/` holds every engine to the docstrings below. Everything inside one
`Store.transaction()` commits together or not at all; a one-time thing is consumed by one
atomic statement, so of two callers with the same code exactly one gets it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol
from urllib.parse import urlsplit

from broker.accounts.credential import Credential, CredentialKey
from broker.accounts.session import Session
from broker.audit.entry import Entry
from broker.delegation.entity import NONE_LISTED, Entities
from broker.delegation.policy import Policy as ProcurementPolicy
from broker.flows.approval_ports import BackchannelRequestStore, ClientPings, DeviceCodeStore
from broker.flows.client_keys import ClientKeys
from broker.flows.client_ports import ClientStore, InitialAccessStore, ManagedClientStore, SectorStore
from broker.flows.corporate_ports import CorporateCertificates
from broker.flows.documents import ClientDocuments
from broker.flows.joint_ports import JointStore
from broker.flows.kiosk_ports import KioskStore
from broker.flows.licence_ports import Healthcare
from broker.flows.link_ports import LinkStore
from broker.flows.login_ports import CardTransactionStore, IdentityProofStore, InteractionStore
from broker.flows.logout_ports import LogoutDeliveryStore, LogoutReceivers
from broker.flows.mandate_ports import MandateStore
from broker.flows.notice import NoticeStore, RevocationNotices
from broker.flows.people_ports import (
    ActivityStore,
    AttributeStore,
    ConsentStore,
    OperatorStore,
    RecoveryCodeStore,
    StandingStore,
)
from broker.flows.pushed_requests import PushedRequestStore
from broker.flows.rate import AttemptStore
from broker.flows.receipt_ports import ReceiptStore
from broker.flows.refresh_ports import RefreshTokenStore
from broker.flows.register_ports import Register, RegisterStore, RegisterTree
from broker.flows.revocation_ports import CorrespondenceSource, RevocationSource
from broker.flows.seal_ports import SealPort
from broker.flows.signing_ports import RawDigestStore, SignTransactionStore
from broker.ids import (
    AccountID,
    ClientID,
    CredentialID,
    GrantID,
    KioskID,
    SectorID,
    SessionID,
    Subject,
)
from broker.jose import Signer
from broker.jpki.profile import USER_AUTHENTICATION, Profile
from broker.oidc.client import SecurityProfile
from broker.oidc.client_authentication import Assertion
from broker.oidc.dpop import NonceKeys, Proof
from broker.oidc.grants import AuthorizationCode, Grant
from broker.oidc.tokens import AccessToken

# --- storage ---------------------------------------------------------------------------------------------------------


class AccountStore(Protocol):
    def credential(self, key: CredentialKey) -> Credential | None: ...

    def enrol(self, credential: Credential) -> Credential:
        """Add an account with its first credential; if the same key was enrolled meanwhile, answer that one."""

    def renew(self, predecessor: CredentialKey, credential: Credential) -> Credential | None:
        """Add a certificate to the history of the account that has `predecessor`, in one statement; the account
        named in `credential` is not used. If the same key is known meanwhile, answer that one, wherever it is: accounts
        never merge. None, and nothing changed, when `predecessor` is unknown or another certificate follows it.
        """

    def subject(self, account: AccountID, sector: SectorID, *, fresh: Subject) -> Subject:
        """The pair's subject; `fresh` is stored and answered if there is none yet. Never changes afterwards."""

    def holder(self, sector: SectorID, subject: Subject) -> AccountID | None:
        """Whose subject it is in that sector; None when nobody's."""


class RevokedStore(Protocol):
    """Certificates once seen as revoked, whether or not an account has them; kept apart and used for that check
    alone (R13). Nothing takes one out again (R12) before the certificate's own date refuses it.
    """

    def remember(self, key: CredentialKey, *, not_after: datetime, now: datetime, reason: str = "unspecified") -> None:
        """The first time is kept, until after `not_after`: then the certificate's own date refuses it. `reason` is an
        RFC 5280 §5.3.1 name; the first is kept too, unless it was "superseded", over which every other one goes.
        """

    def since(self, key: CredentialKey) -> datetime | None:
        """When it was first seen as revoked; None when it never was."""

    def reason(self, key: CredentialKey) -> str | None:
        """Why it was revoked; None when it never was."""


class SessionStore(Protocol):
    def open(self, session: Session) -> None: ...

    def get(self, digest: bytes) -> Session | None:
        """None when unknown or ended. Age is the caller's to judge."""

    def named(self, session_id: SessionID) -> Session | None:
        """By the `sid` that its client knows; None when unknown or ended."""

    def of(self, account: AccountID) -> tuple[Session, ...]:
        """Those of an account that have not ended; of any age, and superseded ones too."""

    def at(self, kiosk_id: KioskID) -> tuple[Session, ...]:
        """Those that began at a kiosk and have not ended; of any age."""

    def left_at_kiosks(self, *, began_before: datetime) -> tuple[Session, ...]:
        """Those that began at any kiosk at this time or earlier and have not ended."""

    def touch(self, digest: bytes, *, now: datetime) -> None: ...

    def supersede(self, digest: bytes, *, now: datetime) -> None:
        """It is found as before, and says that it is superseded."""

    def end(self, digest: bytes, *, now: datetime) -> bool:
        """True when it was open. Unused codes of it die; what was granted in it is GrantStore's."""


class GrantStore(Protocol):
    def open(self, grant: Grant) -> None: ...

    def get(self, grant_id: GrantID) -> Grant | None:
        """None when unknown or ended. Its own end (`expires_at`) is the caller's to judge."""

    def prolong(self, grant_id: GrantID, *, expires_at: datetime) -> None:
        """For offline access, once its code was redeemed: every other lives no longer than the code, and the tokens
        that it brought run out before it is purged.
        """

    def end_of_session(self, session_digest: bytes, *, now: datetime) -> int:
        """End what was granted in a session, but for grants that brought a refresh token; how many."""

    def of(self, account: AccountID, client_id: ClientID | None = None) -> tuple[Grant, ...]:
        """Those of an account, or of it at one client, that have not ended."""

    def end(self, grant_id: GrantID, *, now: datetime) -> bool:
        """End it with its code and every token of it; True when it had not ended. Its certificate is forgotten."""

    def keep_certificate(self, grant_id: GrantID, sealed: bytes) -> None:
        """Keep the sealed certificate as long as the grant lives."""

    def certificate(self, grant_id: GrantID) -> bytes | None:
        """What `keep_certificate` was given; None where nothing is kept."""

    def offline(self, account: AccountID, credential: CredentialID) -> tuple[GrantID, ...]:
        """The grants that have not ended and keep a certificate, which is this one of the account."""

    def follow(self, grant_id: GrantID, credential: CredentialID, sealed: bytes) -> None:
        """Another certificate of the account takes the place of the one that is kept (R19)."""


class CodeStore(Protocol):
    def issue(self, code: AuthorizationCode) -> None:
        """Keep the code and open its grant."""

    def attach(self, code: AuthorizationCode) -> None:
        """Keep the code; its grant was opened before."""

    def consume(self, digest: bytes, *, now: datetime) -> AuthorizationCode | None:
        """Mark used and answer it, in one statement: of two callers with one code, one gets None.

        An expired code is consumed and answered (its redemption then refuses); an unknown one, or one whose grant
        has ended, is None.
        """

    def used(self, digest: bytes) -> GrantID | None:
        """The grant of a code that has been consumed (to be ended, RFC 6749 §4.1.2); None for every other."""


class TokenStore(Protocol):
    def issue(self, token: AccessToken) -> None: ...

    def get(self, jti: str, *, now: datetime) -> AccessToken | None:
        """None when unknown, expired or ended, by itself or with its grant, or when its account is not open."""

    def first_reading(self, jti: str, *, now: datetime) -> bool:
        """True the first time a person's information is read with it, in one statement."""

    def end(self, jti: str, *, now: datetime) -> bool:
        """End this one (RFC 7009); True when it had not ended."""


class AssertionStore(Protocol):
    def use(self, assertion: Assertion) -> bool:
        """True the first time this (client, jti) is seen before it expires, in one statement; else False."""


class ProofStore(Protocol):
    def use(self, proof: Proof) -> bool:
        """True the first time this (key, jti) is seen before it expires, in one statement; else False."""


class AuditLog(Protocol):
    def append(self, entry: Entry) -> None: ...


class LeaseStore(Protocol):
    def take(self, name: str, holder: str, *, now: datetime, length: timedelta) -> bool:
        """True when the lease was free, run out, or already this holder's; one statement."""

    def release(self, name: str, holder: str) -> None: ...


class ClockStore(Protocol):
    """The high-water mark of time, one for all hosts (jpki.clock)."""

    def mark(self) -> datetime | None:
        """None before the first login."""

    def raise_to(self, moment: datetime) -> None:
        """The mark is the later of the two, in one statement."""


class Transaction(Protocol):
    """Everything done through one of these commits together."""

    @property
    def clients(self) -> ClientStore: ...
    @property
    def managed_clients(self) -> ManagedClientStore: ...
    @property
    def initial_access(self) -> InitialAccessStore: ...
    @property
    def sectors(self) -> SectorStore: ...
    @property
    def interactions(self) -> InteractionStore: ...
    @property
    def cards(self) -> CardTransactionStore: ...
    @property
    def accounts(self) -> AccountStore: ...
    @property
    def revoked(self) -> RevokedStore: ...
    @property
    def notices(self) -> NoticeStore: ...
    @property
    def consents(self) -> ConsentStore: ...
    @property
    def standings(self) -> StandingStore: ...
    @property
    def activities(self) -> ActivityStore: ...
    @property
    def attributes(self) -> AttributeStore: ...
    @property
    def recovery_codes(self) -> RecoveryCodeStore: ...
    @property
    def operators(self) -> OperatorStore: ...
    @property
    def kiosks(self) -> KioskStore: ...
    @property
    def sessions(self) -> SessionStore: ...
    @property
    def grants(self) -> GrantStore: ...
    @property
    def identity_proofs(self) -> IdentityProofStore: ...
    @property
    def codes(self) -> CodeStore: ...
    @property
    def device_codes(self) -> DeviceCodeStore: ...
    @property
    def backchannel_requests(self) -> BackchannelRequestStore: ...
    @property
    def tokens(self) -> TokenStore: ...
    @property
    def refresh_tokens(self) -> RefreshTokenStore: ...
    @property
    def assertions(self) -> AssertionStore: ...
    @property
    def pushed_requests(self) -> PushedRequestStore: ...
    @property
    def attempts(self) -> AttemptStore: ...
    @property
    def proofs(self) -> ProofStore: ...
    @property
    def receipts(self) -> ReceiptStore: ...
    @property
    def audit(self) -> AuditLog: ...
    @property
    def links(self) -> LinkStore: ...
    @property
    def logout_deliveries(self) -> LogoutDeliveryStore: ...
    @property
    def sign_transactions(self) -> SignTransactionStore: ...
    @property
    def raw_digests(self) -> RawDigestStore: ...
    @property
    def joints(self) -> JointStore: ...
    @property
    def register(self) -> RegisterStore: ...
    @property
    def register_tree(self) -> RegisterTree: ...
    @property
    def mandates(self) -> MandateStore: ...
    @property
    def leases(self) -> LeaseStore: ...
    @property
    def clock(self) -> ClockStore: ...


class Store(Protocol):
    def transaction(self) -> AbstractContextManager[Transaction]:
        """Commit at the end of the block, roll back on any exception.

        Raises StoreUnavailable (locked longer than 2 s, disk full, server gone): then nothing happened.
        """

    def purge(self, *, now: datetime) -> dict[str, int]:
        """Delete what has run out, by the schedule of each table; counts by what was deleted, zeros included."""

    def overdue(self, *, now: datetime) -> dict[str, int]:
        """What the schedule wants deleted and is still there; after a purge every count is zero."""


# --- keys ------------------------------------------------------------------------------------------------------------


class KeyUse(StrEnum):
    """One key and custodian per use (design 4.18); a signature for one use is never valid for another."""

    ID_TOKEN = "id-token"  # noqa: S105 -- the name of a use
    ACCESS_TOKEN = "access-token"  # noqa: S105 -- the name of a use
    CARD_REQUEST = "card-request"
    REQUEST_ENCRYPTION = "request-encryption"
    """What clients encrypt to us (request objects); it never signs."""
    REGISTER_LOG = "register-log"
    """Checkpoints of the register of mandates, Ed25519 alone; a log keeps its key for its year."""
    MANDATE_SEAL = "mandate-seal"
    """Seals on documents."""
    MANDATE_STATUS = "mandate-status"
    """Status lists of mandates; its public half stands in the JWK Set."""
    RECEIPT = "receipt"
    """Its public half is published for ever: a receipt is checked years later."""


JWKS_MAX_AGE = timedelta(minutes=5)
"""How long anybody may keep our JWK Set: /jwks says so, and no new key signs before as much time has passed."""


class Keys(Protocol):
    """Keys change while we run: a signer is asked for at each signature and never kept."""

    def signer(self, use: KeyUse, algorithm: str = "ES256") -> Signer:
        """The key that signs now. Raises StoreUnavailable: none of this algorithm (`algorithms` says which there are).

        `Signer.sign` raises StoreUnavailable where the key's device does not answer.
        """

    def algorithms(self, use: KeyUse) -> tuple[str, ...]:
        """What there is a key for now (JWA names), in the order of the key file; the first is no preference."""

    def jwks(self, *uses: KeyUse) -> dict[str, Any]:
        """Public keys as a JWK Set: about to sign, signing, and still overlapping; each with `kid`, `use` and `alg`."""

    def receipt_keys(self) -> dict[str, Any]:
        """Every key that has signed a receipt, signs them or is about to, as a JWK Set with the `issuer` beside it;
        `nbf` and `exp` of a key (Unix time) say between which instants it signs, where that is known.
        """

    def history(self, use: KeyUse) -> dict[str, Any]:
        """The same of the register's logs or of status lists: what they signed is shown again years later."""

    def decrypt(self, token: str | bytes) -> bytes:
        """The plaintext of a compact JWE to one of our encryption keys, each under its own algorithm alone.

        Raises InvalidToken.
        """

    def retire(self, *, now: datetime) -> int:
        """Destroy the keys whose every signature has run out; how many. Raises StoreUnavailable: none was."""

    def trouble(self) -> str | None:
        """Why the newest key file could not be taken, while the last good one serves; None where all is well."""

    def card_agent(self) -> dict[str, Any]:
        """`agent_root` (JWK) and `statement` (root-signed JWS of the request keys)."""

    def statement_expires_at(self) -> datetime:
        """When agents stop accepting our requests unless the statement was renewed."""

    def seal(self, plaintext: bytes, *, context: bytes) -> bytes:
        """Authenticated encryption for storage; `context` must be the same to unseal."""

    def unseal(self, sealed: bytes, *, context: bytes) -> bytes: ...

    def nonce_keys(self) -> NonceKeys:
        """What DPoP nonces are made with: the same on every host that has these keys (RFC 9449 §8)."""

    def keyed_digest(self, value: bytes, *, label: bytes) -> bytes:
        """32 bytes, the same for the same value and label on every host that has these keys, and not without them."""

    def serial_fingerprint(self, issuer_key_hash: bytes, serial: int) -> bytes:
        """jpki.subject.serial_fingerprint under the store's own secret."""


# --- everything a flow is given --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the operator decided, read once at start."""

    issuer: str
    anchors: tuple[bytes, ...] = field(repr=False)
    """DER certificates of the accepted user-authentication CAs."""
    accepted_issuers: tuple[bytes, ...] = field(repr=False)
    """SHA-256 of each anchor's SubjectPublicKeyInfo, as the request to the agent lists them."""
    sign_anchors: tuple[bytes, ...] = field(default=(), repr=False)
    """DER certificates of the accepted 署名用 CAs; none: nobody proves who they are here, and nothing is signed."""
    sign_issuers: tuple[bytes, ...] = field(default=(), repr=False)
    """SHA-256 of each one's SubjectPublicKeyInfo, beside `accepted_issuers` where something is signed."""
    agent_origins: tuple[str, ...]
    """Where the reader agent answers; the card form is sent to the first."""
    crl_max_age: timedelta
    profiles: tuple[Profile, ...] = field(default=(USER_AUTHENTICATION,), repr=False)
    """Whose certificates log in: the plastic card's, and those of phones that the operator accepts."""
    client_anchors: tuple[bytes, ...] = field(default=(), repr=False)
    """DER certificates of the authorities that issue to `tls_client_auth` clients (RFC 8705 §2.1)."""
    mtls_origin: str = ""
    """Where the TLS front asks clients for a certificate (RFC 8705 §5); empty where that is the issuer's own origin."""
    client_certificates: bool = False
    """Whether a TLS front hands on client certificates at all."""
    loopback_clients: bool = False
    """Whether clients may be reached by plain http on this machine: in the sandbox, as its guard allows it."""
    open_registration: SecurityProfile | None = None
    """What anybody may register as without an initial access token: in the sandbox alone (ASVS 10.4.7)."""
    approves_sectors: bool = False
    """Whether a sector_identifier_uri is approved by itself, without an administrator: in the sandbox (design 4.9)."""
    front_channel_logout: bool = False
    """Whether clients may have a page of theirs loaded in a frame at logout (Front-Channel Logout 1.0)."""
    login_receipts_kept: timedelta = timedelta(days=400)
    """How long the receipt of a login can be looked up."""
    receipts_kept: timedelta = timedelta(days=2557)
    """How long that of a proof or a signature can: seven years."""
    approver_channel: str = ""
    """By which residents approve what other devices ask for (CIBA); empty: there is none, and CIBA is off."""
    requires_dpop_nonce: bool = False
    """Whether every DPoP proof must carry a nonce of ours (RFC 9449 §8)."""
    procuring_entities: Entities = field(default_factory=lambda: NONE_LISTED)
    """The procuring entities that powers may be granted towards, by their codes; none: any code will do."""
    login_starts: int = 6000
    """How many logins of one client may begin in a minute."""

    @property
    def origin(self) -> str:
        """The broker's own origin (RFC 6454 §4), from configuration and never from a Host header."""
        parts = urlsplit(self.issuer)
        return f"{parts.scheme}://{parts.netloc}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """The outside, as a flow sees it."""

    policy: Policy
    store: Store
    keys: Keys
    revocation: RevocationSource
    clock: Callable[[], datetime]
    entropy: Callable[[int], bytes]
    documents: ClientDocuments
    logout_receivers: LogoutReceivers
    client_pings: ClientPings
    client_keys: ClientKeys
    correspondence: CorrespondenceSource | None = None
    """None where the operator has no access to the mapping: then a renewed certificate begins a new account."""
    notices: RevocationNotices | None = None
    """None where no platform operator tells of revocations."""
    healthcare: Healthcare | None = None
    """None where no HPKI authority is accepted: then nobody logs in by such a card."""
    register: Register | None = None
    """None where the operator keeps no register: then there are no mandates."""
    seal: SealPort | None = None
    """None where no seal is set up: then no document is sealed."""
    corporations: CorporateCertificates | None = None
    """None where no registrar is trusted: then a corporation's own certificate signs nothing."""
    authorities: tuple[ProcurementPolicy, ...] = ()
    """Procuring authorities whose rules officers may choose on the page of verification."""
