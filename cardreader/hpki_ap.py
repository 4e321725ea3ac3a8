"""The two applications of an HPKI card (保健医療福祉分野PKI) as conversations: 署名用 and 認証用.

Cards of different makers keep their objects in different files, so nothing but the application's name and the object
directory is known beforehand (HPKI ICカードガイドライン; ISO/IEC 7816-15). Certificates are shown without a PIN.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from cardreader.apdu import PERFORM_SECURITY_OPERATION, READ_BINARY, SELECT, VERIFY, CommandAPDU, Conversation
from cardreader.errors import (
    HPKICardGiven,
    HPKIPINBlocked,
    HPKIPINFormatInvalid,
    HPKIPINRejected,
    MalformedCardData,
    NotHPKICard,
    PINOutcomeUnknown,
    PINRequired,
    TransportError,
    UnexpectedStatus,
)
from cardreader.jpki_ap import (
    END_OF_FILE,
    MAX_OBJECT,
    OK,
    SECURITY_STATUS_NOT_SATISFIED,
    Secret,
    judge_verify,
    read_counter,
)
from cardreader.jpki_profile import P_384, RSA_2048, CardProfile, SigningMode
from cardreader.pkcs15 import (
    ODF,
    CertificateObject,
    FileReference,
    PINObject,
    PrivateKeyObject,
    certificates,
    directories,
    pins,
    private_keys,
)
from cardreader.tlv import object_length

_PAST_THE_END = 0x6B00
_LOCAL = 0x80  # P2 of VERIFY: a PIN of this application, ISO/IEC 7816-4 section 11.5.2
_MAX_DIRECTORIES = 4  # of one kind
_PIN = Secret(
    absent=NotHPKICard,
    required=PINRequired,
    rejected=HPKIPINRejected,
    blocked=HPKIPINBlocked,
    unknown=PINOutcomeUnknown,
)


class HPKIApplication(Enum):
    """The applications by their names (AID)."""

    SIGN = bytes.fromhex("E828BD080FA000000391000000000001")
    AUTH = bytes.fromhex("E828BD080FA000000391000000000002")


@dataclass(frozen=True, slots=True, kw_only=True)
class HPKIObjects:
    """Where the selected application keeps its key, the key's certificate, and which PIN guards it.

    `ca_certificate` is the one the card carries beside it; None where it carries none.
    """

    key: PrivateKeyObject
    certificate: CertificateObject
    pin: PINObject
    ca_certificate: CertificateObject | None = None

    @property
    def profile(self) -> CardProfile:
        """How the key signs. EC keys are taken for P-384, the curve announced for cards; none was seen."""
        return RSA_2048 if self.key.kind == "RSA" else P_384


def select(application: HPKIApplication) -> Conversation[bool]:
    """SELECT the application by its name; whether the card has it."""
    reply = yield CommandAPDU(ins=SELECT, p1=0x04, data=application.value, le=256)
    return reply.sw == OK


def name_hpki_card() -> Conversation[None]:
    """For a card that is no JPKI card: raise HPKICardGiven where it is a doctor's, so that it is called by its name."""
    for application in HPKIApplication:
        if (yield from select(application)):
            raise HPKICardGiven("the card has an HPKI application and no JPKI one")


def open_application(application: HPKIApplication) -> Conversation[HPKIObjects]:
    """SELECT the application and find its objects. Raises NotHPKICard, MalformedCardData, UnexpectedStatus."""
    if not (yield from select(application)):
        raise NotHPKICard(f"the card has not the HPKI application for {application.name.lower()}")
    found = directories((yield from _read_file(FileReference(identifier=ODF))))
    keys = [each for file in (yield from _read_all(found.private_keys)) for each in private_keys(file)]
    shown = [each for file in (yield from _read_all(found.certificates)) for each in certificates(file)]
    guards = [each for file in (yield from _read_all(found.authentication)) for each in pins(file)]
    for key in keys:
        certificate = next((each for each in shown if each.identifier == key.identifier), None)
        pin = next((each for each in guards if each.authentication == key.authentication), None)
        if certificate is not None and pin is not None:
            authority = next((each for each in shown if each.is_authority and each.identifier != key.identifier), None)
            return HPKIObjects(key=key, certificate=certificate, pin=pin, ca_certificate=authority)
    raise MalformedCardData("no key with a certificate and a PIN in the card's directories")


def read_certificate(objects: HPKIObjects) -> Conversation[bytes]:
    """The key's certificate, DER. Raises PINRequired, MalformedCardData, UnexpectedStatus."""
    return (yield from _read_object(objects.certificate))


def read_ca_certificate(objects: HPKIObjects) -> Conversation[bytes]:
    """The CA certificate beside it, DER; it anchors nothing. Raises alike, MalformedCardData where there is none."""
    if objects.ca_certificate is None:
        raise MalformedCardData("the card carries no CA certificate")
    return (yield from _read_object(objects.ca_certificate))


def _read_object(certificate: CertificateObject) -> Conversation[bytes]:
    data = yield from _read_file(certificate.file)
    total = object_length(data, at_most=MAX_OBJECT)
    if total > len(data):
        raise MalformedCardData("the file ends before the certificate does")
    return data[:total]


def tries_left(objects: HPKIObjects) -> Conversation[int | None]:
    """Tries left, by an empty VERIFY, at no cost. None where the card does not say. Raises UnexpectedStatus."""
    return read_counter((yield CommandAPDU(ins=VERIFY, p2=_LOCAL | objects.pin.reference)))


def check_pin_format(objects: HPKIObjects, pin: str) -> None:
    """Raise HPKIPINFormatInvalid for what cannot be a PIN of this application."""
    if not (pin.isascii() and pin.isalnum() and objects.pin.shortest <= len(pin) <= objects.pin.longest):
        raise HPKIPINFormatInvalid("the PIN has not a length that this card states")


def verify_pin(objects: HPKIObjects, pin: str) -> Conversation[None]:
    """VERIFY the application's PIN. Each application counts its own tries; a failed try is never repeated.

    Raises HPKIPINFormatInvalid before anything is sent, HPKIPINRejected, HPKIPINBlocked, PINOutcomeUnknown.
    """
    check_pin_format(objects, pin)
    try:
        reply = yield CommandAPDU(ins=VERIFY, p2=_LOCAL | objects.pin.reference, data=pin.encode("ascii"))
    except TransportError as error:
        raise PINOutcomeUnknown("the card was lost while it checked the PIN") from error
    judge_verify(reply, _PIN)


def sign(objects: HPKIObjects, message: bytes) -> Conversation[bytes]:
    """Sign `message` as `objects.profile` says. The card pads or signs what it is handed, so the hash is made here.

    Raises PINRequired without a verified PIN, MalformedCardData, UnexpectedStatus.
    """
    yield from _select_file(objects.key.file.identifier)
    data = objects.profile.signing_input(message, SigningMode.PKCS1_PADDING)
    reply = yield CommandAPDU(cla=0x80, ins=PERFORM_SECURITY_OPERATION, p2=0x80, data=data, le=256)
    if reply.sw == SECURITY_STATUS_NOT_SATISFIED:
        raise PINRequired("the card wants the PIN before signing")
    if reply.sw != OK:
        raise UnexpectedStatus(reply.sw, "signing")
    if len(reply.data) != objects.profile.signature_length:
        raise MalformedCardData(f"a signature of {len(reply.data)} bytes")
    return reply.data


def _select_file(identifier: int) -> Conversation[None]:
    reply = yield CommandAPDU(ins=SELECT, p1=0x02, p2=0x0C, data=identifier.to_bytes(2, "big"))
    if reply.sw != OK:
        raise UnexpectedStatus(reply.sw, "SELECT")


def _read_all(files: tuple[FileReference, ...]) -> Conversation[list[bytes]]:
    if len(files) > _MAX_DIRECTORIES:
        raise MalformedCardData(f"more than {_MAX_DIRECTORIES} directories of one kind")
    contents = []
    for file in files:
        contents.append((yield from _read_file(file)))
    return contents


def _read_file(file: FileReference) -> Conversation[bytes]:
    """A file from the object's place to the end, or MAX_OBJECT bytes of it: directories do not state their length."""
    yield from _select_file(file.identifier)
    data = b""
    while len(data) < MAX_OBJECT:
        at = file.offset + len(data)
        if at > 0x7FFF:
            break
        reply = yield CommandAPDU(ins=READ_BINARY, p1=at >> 8, p2=at & 0xFF, le=256)
        if reply.sw == _PAST_THE_END:
            break
        if reply.sw == SECURITY_STATUS_NOT_SATISFIED:
            raise PINRequired("the card wants the PIN before READ BINARY")
        if reply.sw not in (OK, END_OF_FILE):
            raise UnexpectedStatus(reply.sw, "READ BINARY")
        if len(reply.data) > 256:
            raise MalformedCardData("more data than was asked for")
        data += reply.data
        if reply.sw == END_OF_FILE or len(reply.data) < 256:
            break
    return data
