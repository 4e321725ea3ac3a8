"""What one card request asks for beyond a login: the purpose of its frame, its action, and the documents behind it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime

from broker.errors import InteractionUnknown
from broker.flows import application, documents_to_sign, joints, linking, mandate_cards, restoring
from broker.flows.documents_to_sign import Document, Kind
from broker.flows.login_ports import Interaction
from broker.flows.ports import Ports, Transaction
from broker.flows.sign_documents import SignDocument
from broker.ids import TransactionID
from broker.jpki import challenge
from broker.oidc import licence, release
from broker.oidc.client import Client


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """What the auth key signs for, and what the 署名用 key signs beside it."""

    tag: str
    action: str = documents_to_sign.NOTHING
    application: str = field(default="", repr=False)
    """The text that we wrote, exactly as it is shown and signed; empty where there is none."""
    released: tuple[str, ...] = ()
    """What the 署名用 key proves and lets go."""
    asked: tuple[str, ...] = ()
    """What the client asks for beside it (release.BY_LOGIN); it stands in the action too."""
    previous: bytes = field(default=b"", repr=False)
    """The sealed frame of the step before; empty where there is none."""
    documents: tuple[SignDocument, ...] = ()
    """What a client wants signed, to be shown beside the form."""

    sealed: bool = False
    """Whether the action says so much of people that it is kept sealed."""
    grants: bool = False
    """Whether the 署名用 key signs a grant."""

    @property
    def signs(self) -> bool:
        """Whether the 署名用 key is needed."""
        return self.tag == challenge.PROOF or self.grants


def act_of(
    tx: Transaction,
    interaction: Interaction,
    client: Client,
    *,
    issuer: str,
    transaction_id: TransactionID,
    issued_at: datetime,
    language: str,
    documents: tuple[SignDocument, ...] = (),
    nonce: bytes,
    ports: Ports,
) -> Act:
    """What this showing of the card form asks for; `documents` are the client's, where it wants some signed.

    Raises InteractionUnknown where nobody has chosen yet, or the card has answered; LinkRequestUnknown.
    """
    if interaction.request.link is not None:
        tag, action, previous = linking.act_of(tx, interaction, now=issued_at)
        return Act(tag=tag, action=action, previous=previous)
    if interaction.authenticated is not None:
        raise InteractionUnknown("the card has answered already")
    wanted = mandate_cards.read(interaction.request)
    if wanted is not None:
        tag, action, grants = mandate_cards.act_of(tx, wanted, nonce=nonce, issued_at=issued_at, ports=ports)
        return Act(tag=tag, action=action, sealed=True, grants=grants)
    restoration = restoring.read(interaction.request)
    if restoration is not None:
        return Act(tag=challenge.CONSENT, action=restoring.action_of(restoration.items))
    if licence.SCOPES & interaction.request.scope:
        tag, action = joints.act_of(tx, interaction, now=issued_at, ports=ports)
        return Act(tag=tag, action=action, sealed=True)
    items = release.items(interaction.request)
    if items and interaction.released is None:
        raise InteractionUnknown("what is to be released has not been chosen")
    chosen = [item for item in items if item.name in (interaction.released or ())]
    released, asked = tuple(item.name for item in chosen), release.by_login(interaction.request)
    if documents:
        return _signature(documents, released=released, asked=asked, issued_at=issued_at)
    if not chosen:
        return Act(tag=challenge.AUTH, action=documents_to_sign.login_of(asked), asked=asked)
    written = application.write(
        client, chosen, issuer=issuer, transaction=transaction_id, at=issued_at, language=language
    )
    data = written.text.encode()
    document = Document(
        name=written.title,
        sha256=hashlib.sha256(data).digest(),
        size=len(data),
        type=application.MEDIA_TYPE,
    )
    action = documents_to_sign.action_of((document,), kind=Kind.PROOF, release=released + asked, signing_time=issued_at)
    return Act(tag=challenge.PROOF, action=action, application=written.text, released=released, asked=asked)


def _signature(
    documents: tuple[SignDocument, ...], *, released: tuple[str, ...], asked: tuple[str, ...], issued_at: datetime
) -> Act:
    """The client's own documents take the application's place: what is let go beside them stands in the action."""
    to_sign = [document.to_sign(issued_at) for document in documents]
    action = documents_to_sign.action_of(to_sign, kind=Kind.SIGN, release=released + asked, signing_time=issued_at)
    return Act(tag=challenge.PROOF, action=action, released=released, asked=asked, documents=documents, sealed=True)
