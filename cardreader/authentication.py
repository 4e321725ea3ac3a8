"""What a login needs of a card, whichever way leads to it: APDUs of our own, or a vendor's PKCS #11 module.

The agent knows these Protocols only. `APDUCards` is the way through a PC/SC reader or a software card.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from cardreader import hpki_ap, jpki_ap
from cardreader.apdu import converse
from cardreader.channel import Channel
from cardreader.errors import NoAuthCertificate, NotHPKICard, NotJPKICard
from cardreader.pinpad import PINPadConnection, pad_for_auth_pin, verify_auth_pin_on_reader
from cardreader.transport import CardConnection, Readers


class PINPadMissing(Exception):
    """Our own mistake: a reader without keys was asked for a PIN."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CardFace:
    """What the card shows before any PIN. `certificate` (DER) is None where it is shown only after the PIN (phones).

    `tries_left` is None where nobody tells.
    """

    certificate: bytes | None = field(repr=False)
    tries_left: int | None


class AuthenticationCard(Protocol):
    """One card, held exclusively, with its user-authentication key. Every method may raise a TransportError."""

    @property
    def reader_kind(self) -> str:
        """A short word for the way to the card ("pcsc", "pkcs11", "software"); never a reader's name or serial."""

    @property
    def algorithm(self) -> str:
        """JWA name (RFC 7518 section 3.1) of the signatures that `sign` makes."""

    def present(self) -> CardFace:
        """Read what the card shows before the PIN; to be called first, and costs no try. Raises the card's errors."""

    def ca_certificate(self) -> bytes:
        """The CA certificate (DER) on the card, which anchors nothing. Raises NoAuthCertificate where there is none."""

    def verify_pin(self, pin: str) -> None:
        """Hand the PIN to the card once; nothing behind this method ever tries twice.

        Raises PINFormatInvalid before the card is touched; CardRemoved and its kin where the card was gone before the
        PIN was sent, so that no try was used; PINRejected, PINBlocked; PINOutcomeUnknown where the verdict was lost.
        """

    def certificate(self) -> bytes:
        """The user-authentication certificate (DER); on phones only after `verify_pin`. Raises NoAuthCertificate."""

    def sign(self, message: bytes) -> bytes:
        """Sign `message`, hashed on our side. Needs `verify_pin`; raises PINRequired without, MalformedCardData."""


@runtime_checkable
class PINPadCard(Protocol):
    """A card whose reader may have keys of its own, beside what AuthenticationCard promises."""

    @property
    def has_pin_pad(self) -> bool:
        """Whether its PIN can be typed on the reader."""

    def verify_pin_on_pad(self, *, language: str, seconds: int) -> None:
        """As AuthenticationCard.verify_pin, with the PIN typed on the reader within `seconds`; it never comes here.

        Also raises HoldExpired (nobody typed) and LoginCancelled (the reader's cancel key): no try was used.
        """


@runtime_checkable
class SigningCard(Protocol):
    """A card whose signing key (署名用) can be used as well, beside what AuthenticationCard promises."""

    def present_signing_key(self) -> int | None:
        """Tries left for the signing password, at no cost; None where the card does not tell. Raises NoSignCertificate.

        To be called after `present`.
        """

    def sign_ca_certificate(self) -> bytes:
        """The CA certificate (DER) beside it, free to read; it anchors nothing. Raises NoSignCertificate."""

    def verify_sign_password(self, password: str) -> None:
        """As AuthenticationCard.verify_pin, for the signing password; raises its own errors (SignPasswordRejected)."""

    def sign_certificate(self) -> bytes:
        """The signing certificate (DER); needs `verify_sign_password`. Raises NoSignCertificate."""

    def sign_document(self, message: bytes) -> bytes:
        """As AuthenticationCard.sign, by the signing key. Raises SignPasswordRequired without the password."""

    def sign_digest(self, digest: bytes) -> bytes:
        """Sign a SHA-256 digest of something that nobody here has seen. Raises as `sign_document`."""


class AuthenticationCards(Protocol):
    """The way to the one card that lies on this machine's readers."""

    def connect(self) -> AbstractContextManager[AuthenticationCard]:
        """Hold the card exclusively; leaving takes the PIN's verdict from it. Raises as transport.Readers.connect."""


@runtime_checkable
class LicenceCards(Protocol):
    """A way that leads to HPKI cards as well, beside what AuthenticationCards promises."""

    def connect_licence(self) -> AbstractContextManager[AuthenticationCard]:
        """As `connect`, for the key for authentication (認証用) of an HPKI card.

        The card raises NotHPKICard, HPKIPINFormatInvalid, HPKIPINRejected and HPKIPINBlocked where a MyNumber card
        raises its own.
        """


class APDUCards:
    """Cards in `readers`, spoken to by our own driver (jpki_ap).

    `extended_length` asks for certificates in one piece (channel.Channel); not every reader passes that on.
    """

    def __init__(self, readers: Readers, *, extended_length: bool = False) -> None:
        self._readers = readers
        self._extended_length = extended_length

    @contextlib.contextmanager
    def connect(self) -> Iterator[AuthenticationCard]:
        """See AuthenticationCards."""
        with self._readers.connect() as connection:
            yield _APDUCard(connection, Channel(extended_length=self._extended_length))

    @contextlib.contextmanager
    def connect_licence(self) -> Iterator[AuthenticationCard]:
        """See LicenceCards."""
        with self._readers.connect() as connection:
            yield _LicenceCard(connection)


class _LicenceCard:
    """An HPKI card. Its PIN may hold letters, so that no reader's keys are used for it."""

    def __init__(self, connection: CardConnection) -> None:
        self._connection = connection
        self._found: hpki_ap.HPKIObjects | None = None

    @property
    def reader_kind(self) -> str:
        return self._connection.reader_kind

    @property
    def algorithm(self) -> str:
        return self._objects.profile.algorithm

    def present(self) -> CardFace:
        transmit = self._connection.transmit
        self._found = converse(hpki_ap.open_application(hpki_ap.HPKIApplication.AUTH), transmit)
        certificate = converse(hpki_ap.read_certificate(self._found), transmit)
        return CardFace(certificate=certificate, tries_left=converse(hpki_ap.tries_left(self._found), transmit))

    def ca_certificate(self) -> bytes:
        if self._objects.ca_certificate is None:
            raise NoAuthCertificate("the card carries no CA certificate")
        return converse(hpki_ap.read_ca_certificate(self._objects), self._connection.transmit)

    def verify_pin(self, pin: str) -> None:
        hpki_ap.check_pin_format(self._objects, pin)
        self._connection.check_present()  # as for a MyNumber card
        converse(hpki_ap.verify_pin(self._objects, pin), self._connection.transmit)

    def certificate(self) -> bytes:
        return converse(hpki_ap.read_certificate(self._objects), self._connection.transmit)

    def sign(self, message: bytes) -> bytes:
        return converse(hpki_ap.sign(self._objects, message), self._connection.transmit)

    @property
    def _objects(self) -> hpki_ap.HPKIObjects:
        if self._found is None:
            self.present()
        if self._found is None:
            raise NotHPKICard("nothing was found on the card")
        return self._found


class _APDUCard:
    def __init__(self, connection: CardConnection, channel: Channel) -> None:
        self._connection = connection
        self._channel = channel
        self._face: jpki_ap.CardFace | None = None

    @property
    def reader_kind(self) -> str:
        return self._connection.reader_kind

    @property
    def algorithm(self) -> str:
        return self._channel.profile.algorithm

    def present(self) -> CardFace:
        try:
            face = converse(jpki_ap.read_card(self._channel), self._connection.transmit)
        except NotJPKICard:
            converse(hpki_ap.name_hpki_card(), self._connection.transmit)
            raise
        if face.certificate is None and not face.kind.is_phone:
            raise NoAuthCertificate("the card shows no certificate")
        self._face = face
        return CardFace(certificate=face.certificate, tries_left=face.tries_left)

    def ca_certificate(self) -> bytes:
        return converse(jpki_ap.read_auth_ca_certificate(self._channel), self._connection.transmit)

    def verify_pin(self, pin: str) -> None:
        jpki_ap.check_pin_format(pin)
        self._connection.check_present()  # a card taken away while its holder typed: certainly no try was used
        converse(jpki_ap.verify_auth_pin(pin, self._channel), self._connection.transmit)

    @property
    def has_pin_pad(self) -> bool:
        return pad_for_auth_pin(self._connection) is not None

    def verify_pin_on_pad(self, *, language: str, seconds: int) -> None:
        connection, pad = self._connection, pad_for_auth_pin(self._connection)
        if pad is None or not isinstance(connection, PINPadConnection):
            raise PINPadMissing("the reader has no keys for a PIN")
        self._connection.check_present()
        verify_auth_pin_on_reader(connection, pad, self._channel, language=language, seconds=seconds)

    def certificate(self) -> bytes:
        if self._face is not None and self._face.certificate is not None:
            return self._face.certificate
        return converse(jpki_ap.read_auth_certificate(self._channel), self._connection.transmit)

    def sign(self, message: bytes) -> bytes:
        return converse(jpki_ap.sign_with_auth_key(message, self._channel), self._connection.transmit)

    def present_signing_key(self) -> int | None:
        return converse(jpki_ap.read_sign_face(self._channel), self._connection.transmit)

    def sign_ca_certificate(self) -> bytes:
        return converse(jpki_ap.read_sign_ca_certificate(self._channel), self._connection.transmit)

    def verify_sign_password(self, password: str) -> None:
        jpki_ap.fold_sign_password(password)
        self._connection.check_present()  # as for the PIN
        converse(jpki_ap.verify_sign_password(password, self._channel), self._connection.transmit)

    def sign_certificate(self) -> bytes:
        return converse(jpki_ap.read_sign_certificate(self._channel), self._connection.transmit)

    def sign_document(self, message: bytes) -> bytes:
        return converse(jpki_ap.sign_with_sign_key(message, self._channel), self._connection.transmit)

    def sign_digest(self, digest: bytes) -> bytes:
        return converse(jpki_ap.sign_digest_with_sign_key(digest, self._channel), self._connection.transmit)
