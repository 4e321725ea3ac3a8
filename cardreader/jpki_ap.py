"""The JPKI application of the card (公的個人認証AP) as conversations: what to ask, in which order, what answers mean.

The card's specification is disclosed on application only; the commands are those that independent open tools agree on,
over ISO/IEC 7816-4. No other application of the card is ever selected: some lead to the 12-digit 個人番号 (rule R15).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import Enum

from cardreader.apdu import (
    PERFORM_SECURITY_OPERATION,
    READ_BINARY,
    SELECT,
    VERIFY,
    CommandAPDU,
    Conversation,
    ResponseAPDU,
)
from cardreader.errors import (
    MalformedCardData,
    NoAuthCertificate,
    NotJPKICard,
    OldResidentCard,
    PINBlocked,
    PINFormatInvalid,
    PINOutcomeUnknown,
    PINRejected,
    PINRequired,
    TransportError,
    UnexpectedStatus,
)
from cardreader.tlv import object_length

OK = 0x9000
SECURITY_STATUS_NOT_SATISFIED = 0x6982
FILE_NOT_FOUND = 0x6A82
NO_PRECISE_DIAGNOSIS = 0x6F00  # seen once on the first command after power-up
BLOCKED = frozenset({0x6983, 0x6984})  # ISO/IEC 7816-4 says 6983, JPKI cards say 6984
NO_SHORT_IDENTIFIER = frozenset({0x6A86, 0x6A88, 0x6B00})  # "this card wants a SELECT first"

MAX_OBJECT = 4096  # bytes; real certificates have at most 1,319
_LABEL_LENGTH = 32  # CK_TOKEN_INFO.label, PKCS #11
_SHA256_DIGEST_INFO = bytes.fromhex("3031300d060960864801650304020105000420")  # RFC 8017 section 9.2 note 1


class CardKind(Enum):
    """What carries the application, told by the token label."""

    PLASTIC = "plastic"
    ANDROID = "android"
    IPHONE = "iphone"
    JUKI = "juki"  # old 住基カード, refused

    @property
    def is_phone(self) -> bool:
        """A phone shows its certificate only after the PIN."""
        return self in (CardKind.ANDROID, CardKind.IPHONE)


@dataclass(frozen=True, slots=True, kw_only=True)
class ElementaryFiles:
    """Where things are: two-byte file identifiers, each also a short identifier of 01 to 1E."""

    token_info: int
    auth_certificate: int
    auth_ca_certificate: int
    auth_key: int
    auth_pin: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CardProfile:
    """One generation of the card. The next one (EC keys) is another object, not another driver."""

    aid: bytes
    algorithm: str  # JWA name of what the authentication key makes
    signature_length: int  # bytes
    files: ElementaryFiles
    labels: dict[str, CardKind] = field(repr=False)


RSA_2048 = CardProfile(
    aid=bytes.fromhex("D392F000260100000001"),
    algorithm="RS256",
    signature_length=256,
    files=ElementaryFiles(
        token_info=0x0006, auth_certificate=0x000A, auth_ca_certificate=0x000B, auth_key=0x0017, auth_pin=0x0018
    ),
    labels={
        "JPKIAPICCTOKEN2": CardKind.PLASTIC,
        "JPKIAPICCTOKEN": CardKind.JUKI,
        "JPKIAPGPSETOKEN": CardKind.ANDROID,
        "JPKIAPIOSTOKEN": CardKind.IPHONE,
    },
)
_FILES = RSA_2048.files


@dataclass(frozen=True, slots=True, kw_only=True)
class CardFace:
    """All that the card shows before a PIN.

    `certificate` (DER) is None on phones. `tries_left` is None where the card does not tell, because the PIN is
    already verified or the status carries no counter. `short_identifiers` says that this card takes the PIN and the
    key by short identifier: hand it to `verify_auth_pin` and `sign_with_auth_key` to save an exchange each.
    """

    kind: CardKind
    certificate: bytes | None = field(repr=False)
    tries_left: int | None
    short_identifiers: bool


def select_jpki_ap() -> Conversation[None]:
    """SELECT the JPKI application by its AID. Raises NotJPKICard where the card has none."""
    command = CommandAPDU(ins=SELECT, p1=0x04, p2=0x0C, data=RSA_2048.aid)
    reply = yield command
    if reply.sw == NO_PRECISE_DIAGNOSIS:
        reply = yield command
    if reply.sw != OK:
        raise NotJPKICard(f"the card answered {reply.sw:04X} to the JPKI application's name")


def select_ef(identifier: int) -> Conversation[None]:
    """SELECT an elementary file of the current application. Raises UnexpectedStatus."""
    reply = yield CommandAPDU(ins=SELECT, p1=0x02, p2=0x0C, data=identifier.to_bytes(2, "big"))
    _expect(reply, OK, step="SELECT")


def read_token_label() -> Conversation[str]:
    """The label in the token information (EF 0006), its padding removed. Raises NotJPKICard where it is no text."""
    head = yield from _read_head(_FILES.token_info, _LABEL_LENGTH)
    try:
        return head[:_LABEL_LENGTH].decode("ascii").rstrip(" \0")
    except UnicodeDecodeError:
        raise NotJPKICard("the token label is not ASCII") from None


def read_auth_certificate() -> Conversation[bytes]:
    """The user-authentication certificate (EF 000A), DER.

    Raises NoAuthCertificate, PINRequired (phones), MalformedCardData, UnexpectedStatus.
    """
    return (yield from _read_certificate(_FILES.auth_certificate))


def read_auth_ca_certificate() -> Conversation[bytes]:
    """The CA certificate that the card carries beside it (EF 000B), DER; it anchors nothing. Raises alike."""
    return (yield from _read_certificate(_FILES.auth_ca_certificate))


def auth_tries_left() -> Conversation[int | None]:
    """Tries left for the authentication PIN, by an empty VERIFY, at no cost. None where the card does not say."""
    tries, _ = yield from _read_counter()
    return tries


def read_card() -> Conversation[CardFace]:
    """Everything before the PIN: application, kind, counter, and on plastic cards the certificate.

    Raises NotJPKICard, OldResidentCard, NoAuthCertificate, MalformedCardData, UnexpectedStatus. Uses no try.
    """
    yield from select_jpki_ap()
    label = yield from read_token_label()
    kind = RSA_2048.labels.get(label)
    if kind is None:
        raise NotJPKICard("the token label is not one of a JPKI card")
    if kind is CardKind.JUKI:
        raise OldResidentCard("the token label is that of a 住基カード")
    tries_left, short_identifiers = yield from _read_counter()
    certificate = None if kind.is_phone else (yield from read_auth_certificate())
    return CardFace(kind=kind, certificate=certificate, tries_left=tries_left, short_identifiers=short_identifiers)


def check_pin_format(pin: str) -> None:
    """Raise PINFormatInvalid unless `pin` is four ASCII digits, as 利用者証明用パスワード is."""
    if not (len(pin) == 4 and pin.isascii() and pin.isdigit()):
        raise PINFormatInvalid("the PIN has four digits")


def verify_auth_pin(pin: str, *, short_identifiers: bool = False) -> Conversation[None]:
    """VERIFY the authentication PIN, once. Nothing here ever retries: a try belongs to the cardholder.

    Raises PINFormatInvalid before the first command; PINRejected with the tries the card reports; PINBlocked at none;
    PINOutcomeUnknown where the PIN was sent and the verdict was lost. Read the counter before asking for the PIN
    (`read_card`); `short_identifiers` comes from its CardFace.
    """
    check_pin_format(pin)
    if not short_identifiers:
        yield from select_ef(_FILES.auth_pin)
    p2 = 0x80 | _FILES.auth_pin if short_identifiers else 0x80
    try:
        reply = yield CommandAPDU(ins=VERIFY, p2=p2, data=pin.encode("ascii"))
    except TransportError as error:
        raise PINOutcomeUnknown("the card was lost while it checked the PIN") from error
    match reply.sw:
        case 0x9000:
            return
        case 0x63C0:  # cards differ: some count down to zero, some answer "blocked"
            raise PINBlocked(by_this_try=True)
        case 0x6983 | 0x6984:
            raise PINBlocked
        case 0x6300:
            raise PINRejected
        case sw if sw & 0xFFF0 == 0x63C0:
            raise PINRejected(sw & 0xF)
        case sw:
            raise PINOutcomeUnknown(f"status {sw:04X} to the PIN")


def sign_with_auth_key(message: bytes, *, short_identifiers: bool = False) -> Conversation[bytes]:
    """RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017 section 8.2) over `message`, by the authentication key.

    The card pads whatever it is handed, so this hashes `message` itself and takes no digest. Needs the PIN verified.
    Raises PINRequired, MalformedCardData where the reply has not the key's length, UnexpectedStatus.
    """
    data = _SHA256_DIGEST_INFO + hashlib.sha256(message).digest()
    by_select = CommandAPDU(ins=PERFORM_SECURITY_OPERATION, cla=0x80, p2=0x80, data=data, le=256)
    if short_identifiers:
        p2 = 0x80 | _FILES.auth_key
        reply = yield CommandAPDU(ins=PERFORM_SECURITY_OPERATION, cla=0x80, p2=p2, data=data, le=256)
        if reply.sw in NO_SHORT_IDENTIFIER:
            yield from select_ef(_FILES.auth_key)
            reply = yield by_select
    else:
        yield from select_ef(_FILES.auth_key)
        reply = yield by_select
    _expect(reply, OK, step="signing")
    if len(reply.data) != RSA_2048.signature_length:
        raise MalformedCardData(f"a signature of {len(reply.data)} bytes")
    return reply.data


def _read_counter() -> Conversation[tuple[int | None, bool]]:
    """Tries left, and whether the card takes the PIN by its short identifier."""
    reply = yield CommandAPDU(ins=VERIFY, p2=0x80 | _FILES.auth_pin)
    short_identifiers = reply.sw not in NO_SHORT_IDENTIFIER
    if not short_identifiers:
        yield from select_ef(_FILES.auth_pin)
        reply = yield CommandAPDU(ins=VERIFY, p2=0x80)
    match reply.sw:
        case 0x9000 | 0x6300:
            return None, short_identifiers
        case sw if sw in BLOCKED:
            return 0, short_identifiers
        case sw if sw & 0xFFF0 == 0x63C0:
            return sw & 0xF, short_identifiers
        case sw:
            raise UnexpectedStatus(sw, "the PIN counter")


def _read_certificate(identifier: int) -> Conversation[bytes]:
    """One DER object: its header comes with the first 256 bytes and says where to stop, as filler may follow."""
    data = yield from _read_head(identifier, 256, absent=NoAuthCertificate)
    total = object_length(data, at_most=MAX_OBJECT)
    while len(data) < total:
        wanted = min(256, total - len(data))
        reply = yield CommandAPDU(ins=READ_BINARY, p1=len(data) >> 8, p2=len(data) & 0xFF, le=wanted)
        _expect(reply, OK, 0x6282, step="READ BINARY")  # 6282: end of file reached, the data is good
        if len(reply.data) != wanted:
            raise MalformedCardData("the file ends before the certificate does")
        data += reply.data
    return data[:total]


def _read_head(identifier: int, length: int, *, absent: type[NoAuthCertificate] | None = None) -> Conversation[bytes]:
    """The first `length` bytes of a file, which is current afterwards; a shorter file gives what it has."""
    reply = yield CommandAPDU(ins=READ_BINARY, p1=0x80 | identifier, le=length)
    if reply.sw in NO_SHORT_IDENTIFIER:
        yield from select_ef(identifier)
        reply = yield CommandAPDU(ins=READ_BINARY, le=length)
    if reply.sw == FILE_NOT_FOUND and absent is not None:
        raise absent("the card has no such file")
    _expect(reply, OK, 0x6282, step="READ BINARY")
    if len(reply.data) > length:
        raise MalformedCardData("more data than was asked for")
    return reply.data


def _expect(reply: ResponseAPDU, *statuses: int, step: str) -> None:
    if reply.sw == SECURITY_STATUS_NOT_SATISFIED:
        raise PINRequired(f"the card wants the PIN before {step}")
    if reply.sw not in statuses:
        raise UnexpectedStatus(reply.sw, step)
