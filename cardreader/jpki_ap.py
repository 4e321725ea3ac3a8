"""The JPKI application of the card (公的個人認証AP) as conversations: what to ask, in which order, what answers mean.

The card's specification is disclosed on application only; the commands are those that independent open tools agree on,
over ISO/IEC 7816-4. No other application of the card is ever selected: some lead to the 12-digit 個人番号 (rule R15).

Conversations with one powered card share a `Channel`, which remembers what the card has shown of itself; without one,
each begins knowing nothing and takes the longer way.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from cardreader.apdu import (
    CHANGE_REFERENCE_DATA,
    PERFORM_SECURITY_OPERATION,
    READ_BINARY,
    SELECT,
    VERIFY,
    CommandAPDU,
    Conversation,
    ResponseAPDU,
)
from cardreader.channel import Channel
from cardreader.errors import (
    CardError,
    HPKIPINBlocked,
    HPKIPINRejected,
    MalformedCardData,
    NoAuthCertificate,
    NoSignCertificate,
    NotJPKICard,
    OldResidentCard,
    PINBlocked,
    PINChangeOutcomeUnknown,
    PINChangeRefused,
    PINFormatInvalid,
    PINOutcomeUnknown,
    PINRejected,
    PINRequired,
    SignPasswordBlocked,
    SignPasswordFormatInvalid,
    SignPasswordOutcomeUnknown,
    SignPasswordRejected,
    SignPasswordRequired,
    TransportError,
    UnexpectedStatus,
)
from cardreader.jpki_profile import CardKind, KeyFiles, SigningMode
from cardreader.tlv import object_length

OK = 0x9000
END_OF_FILE = 0x6282  # the data is good, there is no more
SECURITY_STATUS_NOT_SATISFIED = 0x6982
FILE_NOT_FOUND = 0x6A82
NO_PRECISE_DIAGNOSIS = 0x6F00  # seen once on the first command after power-up
BLOCKED = frozenset({0x6983, 0x6984})  # ISO/IEC 7816-4 says 6983, JPKI cards say 6984
NO_SHORT_IDENTIFIER = frozenset({0x6986, 0x6A86, 0x6A88, 0x6B00})  # "this card wants a SELECT first"
NO_EXTENDED_LENGTH = frozenset({0x6700, 0x6985})

MAX_OBJECT = 4096  # bytes; real certificates have at most 1,319
MAX_CARD_HASHED = 245  # bytes of a message that the card hashes itself
_LABEL_LENGTH = 32  # CK_TOKEN_INFO.label, PKCS #11


@dataclass(frozen=True, slots=True, kw_only=True)
class CardFace:
    """All that the card shows before a PIN.

    `certificate` (DER) is None where it is shown only after the PIN, as on phones. A card that shows it freely is a
    plastic one: its label is not read. `tries_left` is None where the card does not tell, because the PIN is already
    verified or the status carries no counter.
    """

    kind: CardKind
    certificate: bytes | None = field(repr=False)
    tries_left: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Presence:
    """Which certificates the card says it carries (EF 0008)."""

    auth: bool
    sign: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """One of a card's PINs with the errors that speak of it: each has words of its own."""

    absent: type[CardError]
    required: type[CardError]
    rejected: type[PINRejected] | type[SignPasswordRejected] | type[HPKIPINRejected]
    blocked: type[PINBlocked] | type[SignPasswordBlocked] | type[HPKIPINBlocked]
    unknown: type[CardError]


_AUTH = Secret(
    absent=NoAuthCertificate,
    required=PINRequired,
    rejected=PINRejected,
    blocked=PINBlocked,
    unknown=PINOutcomeUnknown,
)
_SIGN = Secret(
    absent=NoSignCertificate,
    required=SignPasswordRequired,
    rejected=SignPasswordRejected,
    blocked=SignPasswordBlocked,
    unknown=SignPasswordOutcomeUnknown,
)


def check_pin_format(pin: str) -> None:
    """Raise PINFormatInvalid unless `pin` is four ASCII digits, as 利用者証明用パスワード is."""
    if not (len(pin) == 4 and pin.isascii() and pin.isdigit()):
        raise PINFormatInvalid("the PIN has four digits")


def fold_sign_password(password: str) -> str:
    """署名用パスワード as the card keeps it: 6 to 16 of A-Z and 0-9, small letters made large.

    Raises SignPasswordFormatInvalid for anything else, full-width letters included.
    """
    if not (6 <= len(password) <= 16 and password.isascii() and password.isalnum()):
        raise SignPasswordFormatInvalid("the password has 6 to 16 letters and digits")
    return password.upper()


def select_jpki_ap(channel: Channel | None = None) -> Conversation[None]:
    """SELECT the JPKI application by its AID. Raises NotJPKICard where the card has none."""
    channel = channel or Channel()
    command = CommandAPDU(ins=SELECT, p1=0x04, p2=0x0C, data=channel.profile.aid)
    channel.application_selected()
    reply = yield command
    if reply.sw == NO_PRECISE_DIAGNOSIS:
        reply = yield command
    if reply.sw != OK:
        raise NotJPKICard(f"the card answered {reply.sw:04X} to the JPKI application's name")


def read_card(channel: Channel | None = None) -> Conversation[CardFace]:
    """Everything before the PIN: application, certificate where it is shown, kind, and last the counter.

    The counter comes last because its file is then current, which saves a card without short identifiers a SELECT.
    Raises NotJPKICard, OldResidentCard, NoAuthCertificate, MalformedCardData, UnexpectedStatus. Uses no try.
    """
    channel = channel or Channel()
    yield from select_jpki_ap(channel)
    kind, certificate = CardKind.PLASTIC, None
    try:
        certificate = yield from read_auth_certificate(channel)
    except (NoAuthCertificate, PINRequired) as missing:
        kind = yield from read_kind(channel)
        if isinstance(missing, NoAuthCertificate):
            raise
    tries_left = yield from auth_tries_left(channel)
    return CardFace(kind=kind, certificate=certificate, tries_left=tries_left)


def read_token_label(channel: Channel | None = None) -> Conversation[str]:
    """The label in the token information (EF 0006), its padding removed. Raises NotJPKICard where it is no text."""
    channel = channel or Channel()
    head = yield from _read_head(channel, channel.profile.token_info, _LABEL_LENGTH)
    try:
        return head[:_LABEL_LENGTH].decode("ascii").rstrip(" \0")
    except UnicodeDecodeError:
        raise NotJPKICard("the token label is not ASCII") from None


def read_kind(channel: Channel | None = None) -> Conversation[CardKind]:
    """What carries the application. Raises NotJPKICard for a label we do not know, OldResidentCard for 住基カード."""
    channel = channel or Channel()
    kind = channel.profile.kind((yield from read_token_label(channel)))
    if kind is CardKind.JUKI:
        raise OldResidentCard("the token label is that of a 住基カード")
    return kind


def read_presence(channel: Channel | None = None) -> Conversation[Presence]:
    """Which certificates there are (EF 0008), known even where they cannot be read yet. Raises MalformedCardData."""
    channel = channel or Channel()
    head = yield from _read_head(channel, channel.profile.presence, 3)
    if len(head) < 2:
        raise MalformedCardData("the availability file has not two bytes")
    return Presence(sign=head[0] != 0, auth=head[1] != 0)


# 利用者証明用: the key that logs in, and its PIN of four digits


def read_auth_certificate(channel: Channel | None = None) -> Conversation[bytes]:
    """The user-authentication certificate (EF 000A), DER.

    Raises NoAuthCertificate, PINRequired (phones), MalformedCardData, UnexpectedStatus.
    """
    channel = channel or Channel()
    return (yield from _read_certificate(channel, channel.profile.auth.certificate, _AUTH))


def read_auth_ca_certificate(channel: Channel | None = None) -> Conversation[bytes]:
    """The CA certificate that the card carries beside it (EF 000B), DER; it anchors nothing. Raises alike."""
    channel = channel or Channel()
    return (yield from _read_certificate(channel, channel.profile.auth.ca_certificate, _AUTH))


def auth_tries_left(channel: Channel | None = None) -> Conversation[int | None]:
    """Tries left for the authentication PIN, by an empty VERIFY, at no cost. None where the card does not say."""
    channel = channel or Channel()
    return (yield from _tries_left(channel, channel.profile.auth, _AUTH))


def verify_auth_pin(pin: str, channel: Channel | None = None) -> Conversation[None]:
    """VERIFY the user-authentication PIN (利用者証明用パスワード) against EF 0018.

    Raises PINFormatInvalid before anything is sent; PINRejected with the tries the card reports; PINBlocked at none;
    PINOutcomeUnknown where the verdict was lost. Never retries: a try belongs to the cardholder, and a blocked card
    means a visit to the municipal office.
    """
    check_pin_format(pin)
    channel = channel or Channel()
    yield from _verify(channel, channel.profile.auth, pin, _AUTH)


def change_auth_pin(old: str, new: str, channel: Channel | None = None) -> Conversation[None]:
    """VERIFY `old`, then CHANGE REFERENCE DATA to `new`. The command's form is known from open tools, none tested it.

    Raises what `verify_auth_pin` raises; PINFormatInvalid for either before anything is sent; PINChangeRefused, where
    the old PIN still holds; PINChangeOutcomeUnknown, where either may.
    """
    check_pin_format(new)
    channel = channel or Channel()
    yield from verify_auth_pin(old, channel)
    yield from _change(channel, channel.profile.auth, new)


def sign_with_auth_key(
    message: bytes, channel: Channel | None = None, *, mode: SigningMode = SigningMode.PKCS1_PADDING
) -> Conversation[bytes]:
    """Sign `message` with the authentication key: by default RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017 section 8.2).

    The card pads whatever it is handed, so this hashes `message` itself and takes no digest. Needs the PIN verified.
    Raises PINRequired, MalformedCardData where the reply has not the key's length, UnexpectedStatus; ValueError for a
    mode that the card has not, or a message too long for the card to hash.
    """
    channel = channel or Channel()
    return (yield from _sign(channel, channel.profile.auth, message, mode, _AUTH))


# 署名用: the key that signs documents, and its password


def read_sign_certificate(channel: Channel | None = None) -> Conversation[bytes]:
    """The signing certificate (EF 0001), DER: it holds name and address, so the card wants the password first.

    Raises NoSignCertificate, SignPasswordRequired, MalformedCardData, UnexpectedStatus.
    """
    channel = channel or Channel()
    return (yield from _read_certificate(channel, channel.profile.sign.certificate, _SIGN))


def read_sign_ca_certificate(channel: Channel | None = None) -> Conversation[bytes]:
    """The CA certificate beside it (EF 0002), DER, free to read; it anchors nothing. Raises alike."""
    channel = channel or Channel()
    return (yield from _read_certificate(channel, channel.profile.sign.ca_certificate, _SIGN))


def sign_tries_left(channel: Channel | None = None) -> Conversation[int | None]:
    """Tries left for the signing password, at no cost. None where the card does not say. Raises NoSignCertificate."""
    channel = channel or Channel()
    return (yield from _tries_left(channel, channel.profile.sign, _SIGN))


def read_sign_face(channel: Channel | None = None) -> Conversation[int | None]:
    """All that the card shows of its signing key before the password: that there is one, and the tries left.

    Whether there is a certificate, only EF 0008 says before the password; a card without that file is taken at its
    word about the counter. Raises NoSignCertificate, UnexpectedStatus.
    """
    channel = channel or Channel()
    try:
        presence = yield from read_presence(channel)
    except (UnexpectedStatus, MalformedCardData):
        presence = None
    if presence is not None and not presence.sign:
        raise NoSignCertificate("the card says that it has none")
    return (yield from sign_tries_left(channel))


def verify_sign_password(password: str, channel: Channel | None = None) -> Conversation[None]:
    """VERIFY the signing password (署名用パスワード) against EF 001B, small letters made large.

    Raises SignPasswordFormatInvalid before anything is sent; NoSignCertificate; SignPasswordRejected,
    SignPasswordBlocked, SignPasswordOutcomeUnknown. Never retries.
    """
    folded = fold_sign_password(password)
    channel = channel or Channel()
    yield from _verify(channel, channel.profile.sign, folded, _SIGN)


def change_sign_password(old: str, new: str, channel: Channel | None = None) -> Conversation[None]:
    """As `change_auth_pin`, for the signing password; raises its errors."""
    folded = fold_sign_password(new)
    channel = channel or Channel()
    yield from verify_sign_password(old, channel)
    yield from _change(channel, channel.profile.sign, folded)


def sign_with_sign_key(
    message: bytes, channel: Channel | None = None, *, mode: SigningMode = SigningMode.PKCS1_PADDING
) -> Conversation[bytes]:
    """As `sign_with_auth_key`, with the signing key. Raises SignPasswordRequired without its password."""
    channel = channel or Channel()
    return (yield from _sign(channel, channel.profile.sign, message, mode, _SIGN))


def sign_digest_with_sign_key(digest: bytes, channel: Channel | None = None) -> Conversation[bytes]:
    """As `sign_with_sign_key`, over a digest of what nobody here has seen; by the signing key alone.

    The authentication key never gets here: its signatures over chosen digests would log others in. Raises ValueError
    for a digest of another length than the card's hash has.
    """
    channel = channel or Channel()
    data = channel.profile.digest_input(digest)
    return (yield from _sign_input(channel, channel.profile.sign, data, SigningMode.PKCS1_PADDING, _SIGN))


# What both have in common


def _select_ef(channel: Channel, identifier: int, secret: Secret | None = None) -> Conversation[None]:
    """SELECT an elementary file of the current application, unless it is current. Raises UnexpectedStatus."""
    if channel.is_current(identifier):
        return
    channel.selected(None)
    reply = yield CommandAPDU(ins=SELECT, p1=0x02, p2=0x0C, data=identifier.to_bytes(2, "big"))
    _expect(reply, OK, step="SELECT", secret=secret)
    channel.selected(identifier)


def _tries_left(channel: Channel, files: KeyFiles, secret: Secret) -> Conversation[int | None]:
    reply = None
    if channel.may_read_by_short():
        reply = yield CommandAPDU(ins=VERIFY, p2=0x80 | files.pin)
        if reply.sw in NO_SHORT_IDENTIFIER:
            channel.declined_short()
            reply = None
        else:
            channel.answered_short(files.pin)
    if reply is None:
        yield from _select_ef(channel, files.pin, secret)
        reply = yield CommandAPDU(ins=VERIFY, p2=0x80)
    return read_counter(reply)


def read_counter(reply: ResponseAPDU) -> int | None:
    """What the answer to an empty VERIFY says of the tries; None where it says nothing. Raises UnexpectedStatus."""
    match reply.sw:
        case 0x9000 | 0x6300:
            return None
        case sw if sw in BLOCKED:
            return 0
        case sw if sw & 0xFFF0 == 0x63C0:
            return sw & 0xF
        case sw:
            raise UnexpectedStatus(sw, "the PIN counter")


def _verify(channel: Channel, files: KeyFiles, pin: str, secret: Secret) -> Conversation[None]:
    """One VERIFY, to a file that is certainly the right one; nothing here sends a second."""
    p2 = 0x80 | files.pin
    if not channel.may_use_by_short(files.pin):
        yield from _select_ef(channel, files.pin, secret)
        p2 = 0x80
    try:
        reply = yield CommandAPDU(ins=VERIFY, p2=p2, data=pin.encode("ascii"))
    except TransportError as error:
        raise secret.unknown("the card was lost while it checked the PIN") from error
    judge_verify(reply, secret)


def judge_verify(reply: ResponseAPDU, secret: Secret = _AUTH) -> None:
    """Return where a VERIFY was answered well. Raises the words of `secret`: PINRejected, PINBlocked and the like."""
    match reply.sw:
        case 0x9000:
            return
        case 0x63C0:  # cards differ: some count down to zero, some answer "blocked"
            raise secret.blocked(by_this_try=True)
        case 0x6983 | 0x6984:
            raise secret.blocked
        case 0x6300:
            raise secret.rejected
        case sw if sw & 0xFFF0 == 0x63C0:
            raise secret.rejected(sw & 0xF)
        case sw:
            raise secret.unknown(f"status {sw:04X} to the PIN")


def _change(channel: Channel, files: KeyFiles, pin: str) -> Conversation[None]:
    p2 = 0x80 | files.pin
    if not channel.may_use_by_short(files.pin):
        yield from _select_ef(channel, files.pin)
        p2 = 0x80
    try:
        reply = yield CommandAPDU(ins=CHANGE_REFERENCE_DATA, p1=0x01, p2=p2, data=pin.encode("ascii"))
    except TransportError as error:
        raise PINChangeOutcomeUnknown("the card was lost while it changed the PIN") from error
    if reply.sw != OK:
        raise PINChangeRefused(f"status {reply.sw:04X} to the new PIN")


def _sign(channel: Channel, files: KeyFiles, message: bytes, mode: SigningMode, secret: Secret) -> Conversation[bytes]:
    if mode.card_hashes and not 1 <= len(message) <= MAX_CARD_HASHED:
        raise ValueError(f"the card hashes messages of 1 to {MAX_CARD_HASHED} bytes")
    return (yield from _sign_input(channel, files, channel.profile.signing_input(message, mode), mode, secret))


def _sign_input(
    channel: Channel, files: KeyFiles, data: bytes, mode: SigningMode, secret: Secret
) -> Conversation[bytes]:
    reply = None
    if channel.takes_any_short():
        reply = yield _signing_command(0x80 | files.key, data, mode)
        if reply.sw in NO_SHORT_IDENTIFIER:
            channel.declined_short()
            reply = None
    if reply is None:
        yield from _select_ef(channel, files.key, secret)
        reply = yield _signing_command(0x80, data, mode)
    _expect(reply, OK, step="signing", secret=secret)
    if len(reply.data) != channel.profile.signature_length:
        raise MalformedCardData(f"a signature of {len(reply.data)} bytes")
    return reply.data


def _signing_command(p2: int, data: bytes, mode: SigningMode) -> CommandAPDU:
    return CommandAPDU(cla=0x80, ins=PERFORM_SECURITY_OPERATION, p1=mode.value, p2=p2, data=data, le=256)


def _read_certificate(channel: Channel, identifier: int, secret: Secret) -> Conversation[bytes]:
    """One DER object: its header comes with the first bytes and says where to stop, as filler may follow."""
    data = yield from _read_head(channel, identifier, MAX_OBJECT if channel.extended_length else 256, secret)
    total = object_length(data, at_most=MAX_OBJECT)
    while len(data) < total:
        wanted = min(256, total - len(data))
        reply = yield CommandAPDU(ins=READ_BINARY, p1=len(data) >> 8, p2=len(data) & 0xFF, le=wanted)
        _expect(reply, OK, END_OF_FILE, step="READ BINARY", secret=secret)
        if len(reply.data) != wanted:
            raise MalformedCardData("the file ends before the certificate does")
        data += reply.data
    return data[:total]


def _read_head(channel: Channel, identifier: int, length: int, secret: Secret | None = None) -> Conversation[bytes]:
    """The first `length` bytes of a file, which is current afterwards; a shorter file gives what it has."""
    reply = yield from _read_first(channel, identifier, length, secret)
    if length > 256 and reply.sw in NO_EXTENDED_LENGTH:
        channel.extended_length = False
        length = 256
        reply = yield from _read_first(channel, identifier, length, secret)
    _expect(reply, OK, END_OF_FILE, step="READ BINARY", secret=secret)
    if len(reply.data) > length:
        raise MalformedCardData("more data than was asked for")
    return reply.data


def _read_first(channel: Channel, identifier: int, length: int, secret: Secret | None) -> Conversation[ResponseAPDU]:
    extended = length > 256
    if channel.may_read_by_short():
        reply = yield CommandAPDU(ins=READ_BINARY, p1=0x80 | identifier, le=length, extended=extended)
        if reply.sw in NO_SHORT_IDENTIFIER:
            channel.declined_short()
        elif reply.sw != FILE_NOT_FOUND:
            channel.answered_short(identifier)
            return reply
    # Also where the short identifier leads to no file: that a certificate is missing, only a SELECT can say.
    yield from _select_ef(channel, identifier, secret)
    return (yield CommandAPDU(ins=READ_BINARY, le=length, extended=extended))


def _expect(reply: ResponseAPDU, *statuses: int, step: str, secret: Secret | None) -> None:
    if reply.sw in statuses:
        return
    if secret is not None and reply.sw == SECURITY_STATUS_NOT_SATISFIED:
        raise secret.required(f"the card wants the PIN before {step}")
    if secret is not None and reply.sw == FILE_NOT_FOUND:
        raise secret.absent("the card has no such file")
    raise UnexpectedStatus(reply.sw, step)
