"""What the reader agent is asked: a signed request, one card transaction a showing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from cryptography.hazmat.primitives.asymmetric import ec

from broker.errors import InteractionUnknown
from broker.flows import joints, kiosks, linking, proofing, restoring, signing
from broker.flows.card_act import act_of
from broker.flows.interaction import client_of, find
from broker.flows.kept_action import kept
from broker.flows.login_ports import CardTransaction, Interaction
from broker.flows.ports import KeyUse, Ports
from broker.flows.proofing import ReleasePrompt
from broker.flows.secret import digest, mint
from broker.flows.sign_documents import SignDocument
from broker.ids import InteractionID, KioskID, TransactionID
from broker.jose import b64url, public_jwk, sign_jws
from broker.jpki.challenge import PROFESSION
from broker.oidc import licence
from broker.oidc.client import Client

TRANSACTION_LIFETIME = timedelta(seconds=300)
MAX_CARD_REQUESTS = 20
"""How often one login may ask for the card anew; more is a page reloading itself."""

_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


@dataclass(frozen=True, slots=True, kw_only=True)
class CardPrompt:
    """What the login page shows and sends."""

    interaction: Interaction
    client: Client
    agent_url: str
    request: str = field(repr=False)
    """The signed request for the agent (JWS)."""
    transaction_id: TransactionID
    application: str = field(default="", repr=False)
    """What the 署名用 key is to sign, to be shown beside the form; empty where it signs nothing."""
    released: tuple[str, ...] = ()
    """What the signature lets go (oidc.claims_request.IDENTITY)."""
    asked: tuple[str, ...] = ()
    """What the client asks for beside it (oidc.release.BY_LOGIN)."""
    documents: tuple[SignDocument, ...] = ()
    """What the client wants signed, to be shown beside the form."""
    joint: joints.Shown | None = field(default=None, repr=False)
    """What this login is half of, to be shown beside the form."""

    @property
    def needs_licence(self) -> bool:
        """Whether an HPKI card answers, and no MyNumber card."""
        return licence.SCOPE in self.interaction.request.scope


def prompt(
    interaction_id: InteractionID,
    browser_secret: str | None,
    *,
    language: Callable[[str | None], str],
    kiosk_id: KioskID | None = None,
    ports: Ports,
) -> CardPrompt | ReleasePrompt:
    """Make a fresh request for the agent; or what must be chosen before. Raises InteractionUnknown, BrowserMismatch,
    StoreUnavailable; in the browser of a kiosk (`kiosk_id`) also KioskRefused, KioskActOff.

    Each showing is a transaction of its own with its own nonce and answer key, because an agent accepts a
    request once only. `language` turns the client's ui_locales into the one the pages are shown in.
    """
    issuer = ports.policy.issuer
    issued_at = ports.clock().replace(microsecond=0)  # whole seconds: `iat` is the very time in the frame
    transaction_id = TransactionID(b64url(ports.entropy(24)))
    nonce, end_handle = ports.entropy(32), mint(ports.entropy)
    scalar = int.from_bytes(ports.entropy(48), "big") % (_P256_ORDER - 1) + 1
    answer_key = ec.derive_private_key(scalar, ec.SECP256R1())
    signer = ports.keys.signer(KeyUse.CARD_REQUEST)
    with ports.store.transaction() as tx:
        interaction = find(tx, interaction_id, browser_secret, now=issued_at)
        if tx.cards.begun(interaction_id) >= MAX_CARD_REQUESTS:
            raise InteractionUnknown("the card was asked for too often")
        client = client_of(tx, interaction)
        shown = restoring.named_client(tx, interaction)
        unasked = proofing.prompt_for(interaction, client) if interaction.released is None else None
        if unasked is not None:
            return unasked
        shown_in = language(interaction.request.ui_locales)
        act = act_of(
            tx,
            interaction,
            client,
            issuer=issuer,
            transaction_id=transaction_id,
            issued_at=issued_at,
            language=shown_in,
            documents=signing.asked_of_card(tx, interaction, now=issued_at, ports=ports),
            nonce=nonce,
            ports=ports,
        )
        joint = joints.shown(tx, interaction, now=issued_at, ports=ports)
        kiosks.begun_at(tx, kiosk_id, interaction, tag=act.tag, action=act.action)
        transaction = CardTransaction(
            transaction_id=transaction_id,
            interaction_id=interaction_id,
            client_id=shown.client_id,
            nonce=nonce,
            tag=act.tag,
            action=kept(act.action, transaction_id, ports=ports) if act.sealed else act.action,
            previous=act.previous,
            request_key_thumbprint=signer.kid,
            answer_key=ports.keys.seal(scalar.to_bytes(32, "big"), context=transaction_id.encode()),
            issued_at=issued_at,
            expires_at=issued_at + TRANSACTION_LIFETIME,
            application=act.application,
            kiosk_id=kiosk_id,
            end_digest=digest(end_handle),
        )
        tx.cards.begin(transaction)
    issuers = ports.policy.accepted_issuers + (ports.policy.sign_issuers if act.signs else ())
    if act.tag == PROFESSION and ports.healthcare is not None:
        issuers = ports.healthcare.issuer_hashes
    request = sign_jws(
        {
            "iss": issuer,
            "aud": "card-agent",
            "iat": int(transaction.issued_at.timestamp()),
            "exp": int(transaction.expires_at.timestamp()),
            "jti": transaction_id,
            "nonce": b64url(nonce),
            "client_id": shown.client_id,
            "client_name": shown.name if shown.vetted else shown.host,
            "client_vetted": shown.vetted,
            "tag": transaction.tag,
            "action": act.action,
            "previous": b64url(linking.previous_of(transaction, ports=ports)),
            "accepted_issuers": [b64url(key_hash) for key_hash in issuers],
            "answer_key": public_jwk(answer_key),
            "return_uri": f"{issuer}/agent/cb/{transaction_id}",
            "end_handle": f"/agent/end/{transaction_id}/{end_handle}",
            "ui_locales": shown_in,
            "statement": ports.keys.card_agent()["statement"],
        },
        signer=signer,
        typ="card-request+jwt",
    )
    return CardPrompt(
        interaction=interaction,
        client=client,
        agent_url=f"{ports.policy.agent_origins[0]}/v1/sign",
        request=request,
        transaction_id=transaction_id,
        application=act.application,
        released=act.released,
        asked=act.asked,
        documents=act.documents,
        joint=joint,
    )
