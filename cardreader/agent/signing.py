"""One card, one request: everything that is judged before the PIN, and the one signature after it.

Pages (app.py) and programs (`answer_request`) both come through here, so there is no second way to a card. What is
signed after that with the other key, documents.py says.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from cardreader.agent.certificates import AUTHENTICATION, LICENCE, judge_certificate
from cardreader.agent.documents import present_signing_key
from cardreader.agent.frame import build_frame
from cardreader.agent.linking import check_same_card
from cardreader.agent.request import SignRequest
from cardreader.authentication import (
    AuthenticationCard,
    AuthenticationCards,
    CardFace,
    LicenceCards,
    PINPadCard,
    PINPadMissing,
)
from cardreader.errors import (
    HPKIPINBlocked,
    LastTryNotConfirmed,
    NotHPKICard,
    PINBlocked,
    SignatureMismatch,
    SignLastTryNotConfirmed,
)

PAD_SECONDS = 30  # for typing on a reader


@dataclass(frozen=True, slots=True, kw_only=True)
class PresentedCard:
    """A card that may be asked for its PIN: its face was read, and its certificate, where readable yet, was judged."""

    face: CardFace
    key: rsa.RSAPublicKey | None = field(default=None, repr=False)
    """The judged certificate's; None where that is readable only after the PIN."""
    has_pin_pad: bool = False
    """The reader has keys of its own for the PIN."""
    sign_tries_left: int | None = None
    """Of the signing password, where documents are to be signed; None where the card does not tell."""

    @property
    def tries_left(self) -> int | None:
        """As the card told before any PIN; None where it does not tell."""
        return self.face.tries_left


@dataclass(frozen=True, slots=True, kw_only=True)
class CardSignature:
    """What the card made: PKCS#1 v1.5 with SHA-256 over the frame, already verified with the certificate's key."""

    certificate: bytes = field(repr=False)
    signature: bytes = field(repr=False)
    algorithm: str
    reader_kind: str


def connect_card(cards: AuthenticationCards, request: SignRequest) -> AbstractContextManager[AuthenticationCard]:
    """Hold the card that `request` is for: an HPKI card, or a MyNumber card. Raises as AuthenticationCards.connect,
    and NotHPKICard where the way leads to MyNumber cards alone.
    """
    if not request.act.needs_licence:
        return cards.connect()
    if not isinstance(cards, LicenceCards):
        raise NotHPKICard("this way leads to MyNumber cards alone")
    return cards.connect_licence()


def present_card(card: AuthenticationCard, request: SignRequest) -> PresentedCard:
    """Read and judge the card for `request`; uses no PIN try.

    Raises the card's own errors, PINBlocked where no try is left, CertificateUnsuitable, CertificateExpired,
    HierarchyForeign, LinkCardChanged, and what `present_signing_key` raises where documents are to be signed: a person
    is asked for nothing that cannot lead to the end. A phone shows its certificate only after the PIN: it is judged
    then.
    """
    face = card.present()
    if face.tries_left == 0:
        raise HPKIPINBlocked(by_this_try=False) if request.act.needs_licence else PINBlocked(by_this_try=False)
    key = None if face.certificate is None else _judge(face.certificate, card, request)
    return PresentedCard(
        face=face,
        key=key,
        has_pin_pad=isinstance(card, PINPadCard) and card.has_pin_pad,
        sign_tries_left=present_signing_key(card) if request.act.documents else None,
    )


def check_tries(tries_left: int | None, *, floor: int) -> None:
    """Raise LastTryNotConfirmed below `floor` tries; a card that does not tell counts as one with a single try."""
    if (tries_left or 1) < floor:
        raise LastTryNotConfirmed(tries_left)


def check_sign_tries(tries_left: int | None, *, floor: int) -> None:
    """The same for the signing password's own counter. Raises SignLastTryNotConfirmed."""
    if (tries_left or 1) < floor:
        raise SignLastTryNotConfirmed(tries_left)


@dataclass(frozen=True, slots=True, kw_only=True)
class OnPINPad:
    """In a PIN's place: the holder types it on the reader, within `seconds` (1 to 255)."""

    language: str
    seconds: int


def sign_with_pin(
    card: AuthenticationCard, presented: PresentedCard, request: SignRequest, pin: str | OnPINPad
) -> CardSignature:
    """Verify the PIN once, sign the frame, and prove the signature with the certificate.

    The caller has asked `check_tries`. Raises the card's own errors; SignatureMismatch; for phones also what
    `present_card` raises.
    """
    if isinstance(pin, str):
        card.verify_pin(pin)
    elif isinstance(card, PINPadCard):
        card.verify_pin_on_pad(language=pin.language, seconds=pin.seconds)
    else:
        raise PINPadMissing("the card's way knows no reader keys")
    der, key = presented.face.certificate, presented.key
    if der is None or key is None:
        der = card.certificate()
        key = _judge(der, card, request)
    frame = build_frame(
        tag=request.tag,
        issuer=request.issuer,
        origin=request.origin,
        request_key_thumbprint=request.request_key_thumbprint,
        nonce=request.nonce,
        client_id=request.client_id,
        transaction=request.transaction,
        action=request.action,
        previous=request.previous,
        issued_at_ms=int(request.issued_at.timestamp()) * 1000,
        certificate=der,
    )
    signature = card.sign(frame)
    try:
        key.verify(signature, frame, padding.PKCS1v15(), SHA256())
    except InvalidSignature:
        raise SignatureMismatch("the card's signature does not verify with its certificate") from None
    return CardSignature(
        certificate=der,
        signature=signature,
        algorithm=card.algorithm,
        reader_kind=card.reader_kind,
    )


def _judge(der: bytes, card: AuthenticationCard, request: SignRequest) -> rsa.RSAPublicKey:
    if request.act.link is not None and request.act.link.step == "commit":
        check_same_card(request.previous, der)
    purpose = LICENCE if request.act.needs_licence else AUTHENTICATION
    return judge_certificate(der, request, purpose=purpose, ca_certificate=card.ca_certificate)
