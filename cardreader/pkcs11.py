"""The card behind a vendor's PKCS #11 module (OASIS PKCS #11 3.0), for readers that only such a module drives.

The module is started for one card and ended after it. Whether that takes the card's power, and the PIN's verdict with
it, is the module's own affair: OpenSC does so with `disconnect_action = unpower` only. It runs in this process and
knows no deadline; whoever holds the card (agent.hold) has one of its own.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography import x509

from cardreader.authentication import AuthenticationCard, CardFace
from cardreader.errors import (
    CardAbsent,
    CardError,
    CardRemoved,
    MalformedCardData,
    NoAuthCertificate,
    NoReader,
    NotJPKICard,
    PINBlocked,
    PINOutcomeUnknown,
    PINRejected,
    PINRequired,
    ReaderBusy,
    ServiceNotRunning,
    SeveralCards,
    TransportFault,
)
from cardreader.jpki_ap import check_pin_format

if TYPE_CHECKING:
    import pkcs11
    from pkcs11._pkcs11 import lib as Library

SHA256_DIGEST_INFO = bytes.fromhex("3031300d060960864801650304020105000420")  # RFC 8017 section 9.2 note 1
MAX_CERTIFICATE = 4096  # bytes

_TELLS_TRIES = frozenset({"OpenSC Project"})  # makers whose modules set the flags of tries wherever the card tells
_FULL_TRIES = 3  # of a JPKI card's user-authentication PIN
_BY_NAME: dict[str, type[CardError]] = {
    "DeviceRemoved": CardRemoved,
    "TokenNotPresent": CardRemoved,
    "SessionHandleInvalid": CardRemoved,
    "SessionClosed": CardRemoved,
    "SlotIDInvalid": CardRemoved,
    "TokenNotRecognised": NotJPKICard,
    "UserNotLoggedIn": PINRequired,
}

_MODULES = threading.Lock()  # a module is one state for the whole process: one card at a time


class PKCS11Cards:
    """The one card that `module`, a PKCS #11 library, finds; fulfils authentication.AuthenticationCards."""

    def __init__(self, module: Path) -> None:
        self._module = module

    @contextlib.contextmanager
    def connect(self) -> Iterator[AuthenticationCard]:
        """See AuthenticationCards. Raises ServiceNotRunning where the module or python-pkcs11 cannot be loaded."""
        if not _MODULES.acquire(blocking=False):
            raise ReaderBusy("another request holds the PKCS #11 module")
        try:
            library = _load(self._module)
            try:
                yield _find_card(library)
            finally:
                with contextlib.suppress(RuntimeError):  # PKCS11Error: the module ends without its card too
                    library.finalize()
        finally:
            _MODULES.release()


class _PKCS11Card:
    reader_kind = "pkcs11"
    algorithm = "RS256"

    def __init__(
        self,
        library: Library,
        session: pkcs11.Session,
        *,
        certificate: bytes,
        key_id: bytes,
        ca: bytes | None,
        tells_tries: bool,
    ) -> None:
        self._session = session
        self._slot_id = session.token.slot.slot_id
        self._library = library
        self._certificate = certificate
        self._key_id = key_id
        self._ca = ca
        self._tells_tries = tells_tries

    def present(self) -> CardFace:
        return CardFace(certificate=self._certificate, tries_left=self._tries_left())

    def ca_certificate(self) -> bytes:
        if self._ca is None:
            raise NoAuthCertificate("the module shows no CA certificate")
        return self._ca

    def certificate(self) -> bytes:
        return self._certificate

    def verify_pin(self, pin: str) -> None:
        import pkcs11  # noqa: PLC0415 - loaded already, by _load

        check_pin_format(pin)
        before = self._tries_left()  # also proves that the card is still there, so that no try is in doubt
        if before == 0:
            raise PINBlocked(by_this_try=False)
        try:
            self._session = self._session.token.open(user_pin=pin)
        except pkcs11.PinIncorrect:
            tries_left = self._tries_after_refusal()
            if tries_left == 0 or before == 1:
                raise PINBlocked(by_this_try=True) from None
            raise PINRejected(tries_left) from None
        except pkcs11.PinLocked:
            raise PINBlocked from None
        except pkcs11.PKCS11Error as error:
            raise PINOutcomeUnknown(f"{type(error).__name__} to the PIN") from None

    def sign(self, message: bytes) -> bytes:
        import pkcs11  # noqa: PLC0415 - loaded already, by _load

        digest_info = SHA256_DIGEST_INFO + hashlib.sha256(message).digest()
        try:
            key: Any = self._session.get_key(object_class=pkcs11.ObjectClass.PRIVATE_KEY, id=self._key_id)
            signature = bytes(key.sign(digest_info, mechanism=pkcs11.Mechanism.RSA_PKCS))
        except pkcs11.NoSuchKey:
            raise PINRequired("the module shows the key only after the PIN") from None
        except pkcs11.PKCS11Error as error:
            raise _translated(error) from None
        if len(signature) < 256:
            raise MalformedCardData(f"a signature of {len(signature)} bytes")
        return signature

    def _tries_left(self) -> int | None:
        """By the token's flags, asked anew. None where the module is not known to set them: their absence says nothing
        then (PKCS #11 3.0 section 3.2, CK_TOKEN_INFO)."""
        import pkcs11  # noqa: PLC0415 - loaded already, by _load

        try:
            # The list first: it is what makes modules look into their readers.
            present = self._library.get_slots(token_present=True)
            slot = next((slot for slot in present if slot.slot_id == self._slot_id), None)
            if slot is None:
                raise CardRemoved("the module no longer lists the card")
            flags = slot.get_token().flags
        except pkcs11.PKCS11Error as error:
            raise _translated(error) from None
        if flags & pkcs11.TokenFlag.USER_PIN_LOCKED:
            return 0
        if flags & pkcs11.TokenFlag.USER_PIN_FINAL_TRY:
            return 1
        if flags & pkcs11.TokenFlag.USER_PIN_COUNT_LOW:
            return _FULL_TRIES - 1
        return _FULL_TRIES if self._tells_tries else None

    def _tries_after_refusal(self) -> int | None:
        try:
            tries_left = self._tries_left()
        except CardError:
            return None  # the refusal is certain, the count is not
        return None if tries_left == _FULL_TRIES else tries_left  # no flag after a refusal: the module does not know


def _load(module: Path) -> Library:
    try:
        import pkcs11  # noqa: PLC0415 - only who uses a module needs python-pkcs11
    except ImportError as error:
        raise ServiceNotRunning("python-pkcs11 is not installed") from error
    try:
        return pkcs11.lib(str(module))
    except pkcs11.PKCS11Error as error:
        raise ServiceNotRunning(f"the PKCS #11 module cannot be loaded: {type(error).__name__}") from None


def _find_card(library: Library) -> _PKCS11Card:
    """The token whose certificate is for authentication. Its other tokens, such as the 署名用 key's, stay untouched."""
    import pkcs11  # noqa: PLC0415 - loaded already, by _load

    try:
        if not library.get_slots():
            raise NoReader("the module knows no reader")
        slots = library.get_slots(token_present=True)
        if not slots:
            raise CardAbsent("no reader of the module holds a card")
        tells_tries = library.manufacturer_id in _TELLS_TRIES
        found = [card for slot in slots if (card := _card_in(library, slot, tells_tries=tells_tries)) is not None]
    except pkcs11.PKCS11Error as error:
        raise _translated(error) from None
    if len(found) > 1:
        raise SeveralCards(f"{len(found)} tokens have a certificate for authentication")
    if not found:
        raise NoAuthCertificate("no token shows a certificate for authentication")
    return found[0]


def _card_in(library: Library, slot: pkcs11.Slot, *, tells_tries: bool) -> _PKCS11Card | None:
    import pkcs11  # noqa: PLC0415 - loaded already, by _load

    try:
        session = slot.get_token().open()
    except (pkcs11.TokenNotRecognised, pkcs11.TokenNotPresent):
        return None
    leaf, key_id, authorities = None, b"", []
    for shown in session.get_objects({pkcs11.Attribute.CLASS: pkcs11.ObjectClass.CERTIFICATE}):
        der = bytes(shown[pkcs11.Attribute.VALUE])
        match _purpose(der):
            case "authentication" if leaf is None:
                leaf, key_id = der, bytes(shown[pkcs11.Attribute.ID])
            case "authority":
                authorities.append(der)
    if leaf is None:
        return None
    issuer = x509.load_der_x509_certificate(leaf).issuer
    ca = next((der for der in authorities if x509.load_der_x509_certificate(der).subject == issuer), None)
    return _PKCS11Card(library, session, certificate=leaf, key_id=key_id, ca=ca, tells_tries=tells_tries)


def _purpose(der: bytes) -> str:
    """What key usage (RFC 5280 section 4.2.1.3) says: "authentication", "authority", or "" also for no certificate."""
    if len(der) > MAX_CERTIFICATE:
        return ""
    try:
        certificate = x509.load_der_x509_certificate(der)
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
        _ = certificate.issuer, certificate.subject  # parsed here, so that nothing is surprised later
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension):
        return ""
    if usage.key_cert_sign:
        return "authority"
    return "authentication" if usage.digital_signature and not usage.content_commitment else ""


def _translated(error: pkcs11.PKCS11Error) -> CardError:
    name = type(error).__name__
    return _BY_NAME.get(name, TransportFault)(f"PKCS #11: {name}")
