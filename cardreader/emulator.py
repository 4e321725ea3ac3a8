"""A MyNumber card in software: the JPKI application with the state, files and status words of the plastic card.

It answers what open tools have seen real cards answer, so that the driver, OpenSC and the tests meet the same card.
Security status outlives a reset and ends with the power, as on the real one.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa, utils

from cardreader.apdu import (
    CHANGE_REFERENCE_DATA,
    PERFORM_SECURITY_OPERATION,
    READ_BINARY,
    SELECT,
    VERIFY,
    CommandAPDU,
    ResponseAPDU,
)
from cardreader.cardfile import CardFile, KeySlot
from cardreader.errors import CardFileInvalid

SlotName = Literal["auth", "sign"]

_AID = bytes.fromhex("D392F000260100000001")
_DIGEST_INFO = bytes.fromhex("3031300d060960864801650304020105000420")  # SHA-256, RFC 8017 section 9.2 note 1
_CERTIFICATES: dict[int, SlotName] = {0x0001: "sign", 0x000A: "auth"}
_CA_CERTIFICATES: dict[int, SlotName] = {0x0002: "sign", 0x000B: "auth"}
_KEYS: dict[int, SlotName] = {0x0017: "auth", 0x001A: "sign"}
_PINS: dict[int, SlotName] = {0x0018: "auth", 0x001B: "sign"}
_TOKEN_INFO, _PRESENCE = 0x0006, 0x0008
_FILLER = b"\xff" * 64  # files are larger than the certificate in them
_RSA_BYTES = 256

OK = 0x9000
WRONG_LENGTH = 0x6700
SECURITY_STATUS_NOT_SATISFIED = 0x6982
WRONG_FILE_KIND = 0x6981
CONDITIONS_NOT_SATISFIED = 0x6985
NO_CURRENT_EF = 0x6986
WRONG_DATA = 0x6A80
FILE_NOT_FOUND = 0x6A82
WRONG_P1_P2 = 0x6A86
REFERENCE_NOT_FOUND = 0x6A88
PAST_THE_END = 0x6B00
INS_UNKNOWN = 0x6D00
CLA_UNKNOWN = 0x6E00


class SoftwareCard:
    """One card and its state. `on_change` is called with the card whenever a counter or PIN changed, before the answer
    leaves, so that a power cut cannot give a try back. Calls from several threads are answered one after another."""

    def __init__(
        self,
        card: CardFile,
        *,
        on_change: Callable[[CardFile], None] = lambda _: None,
        short_identifiers: bool = True,
    ) -> None:
        """`short_identifiers=False` makes a card that wants a SELECT before every use. Raises CardFileInvalid for a key
        that is not RSA-2048."""
        self._card = card
        self._on_change = on_change
        self._short_identifiers = short_identifiers
        self._keys = {"auth": _private_key(card.auth)}
        if card.sign is not None:
            self._keys["sign"] = _private_key(card.sign)
        self._lock = threading.RLock()
        self._verified: set[str] = set()
        self._application = False
        self._current: int | None = None

    @property
    def card(self) -> CardFile:
        """The card as it is now, counters included."""
        return self._card

    def power_on(self) -> bytes:
        """Begin a session; the answer to reset."""
        with self._lock:
            self._application, self._current = False, None
            return self._card.atr

    def power_off(self) -> None:
        """End the session and forget which PINs were verified."""
        with self._lock:
            self._application, self._current = False, None
            self._verified.clear()

    def reset(self) -> bytes:
        """Warm reset: nothing is selected any more, but a verified PIN stays verified."""
        return self.power_on()

    def reset_pin(self) -> None:
        """What the municipal office does: both counters start anew, the PINs stay."""
        with self._lock:
            for name in self._keys:
                slot = self._slot(name)
                self._update(name, replace(slot, tries=slot.tries_max))

    def process(self, raw: bytes) -> bytes:
        """Answer one command as bytes; what is no short APDU is answered 6700."""
        try:
            command = CommandAPDU.decode(raw)
        except ValueError:
            return ResponseAPDU(sw=WRONG_LENGTH).encode()
        return self.transmit(command).encode()

    def transmit(self, command: CommandAPDU) -> ResponseAPDU:
        """Answer one command."""
        with self._lock:
            data, sw = self._answer(command)
            return ResponseAPDU(data=data, sw=sw)

    def _answer(self, command: CommandAPDU) -> tuple[bytes, int]:
        match command.cla, command.ins:
            case 0x00, 0xA4:
                return b"", self._select(command)
            case (0x00, 0x20 | 0x24 | 0xB0) | (0x80, 0x2A) if not self._application:
                return b"", CONDITIONS_NOT_SATISFIED
            case 0x00, 0xB0:
                return self._read_binary(command)
            case 0x00, 0x20:
                return b"", self._verify(command)
            case 0x00, 0x24:
                return b"", self._change_pin(command)
            case 0x80, 0x2A:
                return self._sign(command)
            case _, ins if ins in (SELECT, READ_BINARY, VERIFY, CHANGE_REFERENCE_DATA, PERFORM_SECURITY_OPERATION):
                return b"", CLA_UNKNOWN
            case _:
                return b"", INS_UNKNOWN

    def _select(self, command: CommandAPDU) -> int:
        match command.p1, command.p2:
            case 0x04, 0x0C | 0x00:
                if command.data != _AID:
                    return FILE_NOT_FOUND
                self._application, self._current = True, None
                return OK
            case 0x00, 0x00 if self._application:
                return OK  # selecting the application's own folder: nothing happens
            case 0x02, 0x0C if self._application:
                identifier = int.from_bytes(command.data, "big")
                if len(command.data) != 2 or not self._exists(identifier):
                    return FILE_NOT_FOUND
                self._current = identifier
                return OK
            case (0x02, _) | (0x04, _):
                return FILE_NOT_FOUND
            case _:
                return WRONG_P1_P2

    def _read_binary(self, command: CommandAPDU) -> tuple[bytes, int]:
        offset = command.p1 << 8 | command.p2
        if command.p1 & 0x80:
            if not self._short_identifiers or command.p1 & 0x60:
                return b"", WRONG_P1_P2
            identifier = command.p1 & 0x1F
            if not self._exists(identifier):
                return b"", FILE_NOT_FOUND
            self._current, offset = identifier, command.p2
        if self._current is None:
            return b"", NO_CURRENT_EF
        content = self._content(self._current)
        if isinstance(content, int):
            return b"", content
        if offset >= len(content):
            return b"", PAST_THE_END
        if command.le is None or command.data:
            return b"", WRONG_LENGTH
        return content[offset : offset + command.le], OK

    def _content(self, identifier: int) -> bytes | int:
        """A file's bytes, or the status that stands in for them."""
        card = self._card
        if identifier == _TOKEN_INFO:
            return card.token_label.encode("ascii").ljust(32).ljust(160, b"\0")
        if identifier == _PRESENCE:
            present = (card.sign is not None and card.sign.certificate is not None, card.auth.certificate is not None)
            return bytes(0x8F if there else 0x00 for there in present) + b"\0"
        if identifier in _CERTIFICATES:
            name = _CERTIFICATES[identifier]
            if name not in self._verified and (name == "sign" or card.kind in ("android", "iphone")):
                return SECURITY_STATUS_NOT_SATISFIED
            return (self._slot(name).certificate or b"") + _FILLER
        if identifier in _CA_CERTIFICATES:
            return (self._slot(_CA_CERTIFICATES[identifier]).ca_certificate or b"") + _FILLER
        return WRONG_FILE_KIND

    def _exists(self, identifier: int) -> bool:
        if identifier in (_TOKEN_INFO, _PRESENCE):
            return True
        if identifier in _CERTIFICATES:
            name = _CERTIFICATES[identifier]
            return name in self._keys and self._slot(name).certificate is not None
        if identifier in _CA_CERTIFICATES:
            name = _CA_CERTIFICATES[identifier]
            return name in self._keys and self._slot(name).ca_certificate is not None
        return (_KEYS | _PINS).get(identifier) in self._keys

    def _reference(self, p2: int, among: dict[int, SlotName]) -> SlotName | int:
        """The key or PIN that P2 names, by short identifier or as the current file; or the status that says why not."""
        if not p2 & 0x80 or p2 & 0x60:
            return WRONG_P1_P2
        identifier: int | None = p2 & 0x1F
        if identifier and not self._short_identifiers:
            return REFERENCE_NOT_FOUND
        identifier = identifier or self._current
        if identifier is None:
            return NO_CURRENT_EF
        name = among.get(identifier)
        if name is None or name not in self._keys:
            return REFERENCE_NOT_FOUND
        if p2 & 0x1F:
            self._current = identifier
        return name

    def _verify(self, command: CommandAPDU) -> int:
        name = self._reference(command.p2, _PINS) if command.p1 == 0 else WRONG_P1_P2
        if isinstance(name, int):
            return name
        slot = self._slot(name)
        if not command.data:
            return OK if name in self._verified else self._counter(slot)
        if slot.tries == 0:
            return self._counter(slot)
        if command.data == slot.pin.encode("ascii"):
            if slot.tries != slot.tries_max:
                self._update(name, replace(slot, tries=slot.tries_max))
            self._verified.add(name)
            return OK
        self._verified.discard(name)
        self._update(name, replace(slot, tries=slot.tries - 1))
        return 0x63C0 | slot.tries - 1

    def _counter(self, slot: KeySlot) -> int:
        return 0x63C0 | slot.tries if slot.tries else self._card.blocked_status

    def _change_pin(self, command: CommandAPDU) -> int:
        name = self._reference(command.p2, _PINS) if command.p1 == 1 else WRONG_P1_P2
        if isinstance(name, int):
            return name
        if name not in self._verified:
            return SECURITY_STATUS_NOT_SATISFIED
        pin = command.data.decode("latin-1")
        right = len(pin) == 4 and pin.isdigit() if name == "auth" else 6 <= len(pin) <= 16 and pin.isalnum()
        if not (right and pin.isascii() and pin == pin.upper()):
            return WRONG_DATA
        self._update(name, replace(self._slot(name), pin=pin))
        return OK

    def _sign(self, command: CommandAPDU) -> tuple[bytes, int]:
        if command.p1 > 5:
            return b"", WRONG_P1_P2
        name = self._reference(command.p2, _KEYS)
        if isinstance(name, int):
            return b"", name
        if name not in self._verified:
            return b"", SECURITY_STATUS_NOT_SATISFIED
        data = command.data
        wrong_length = len(data) != 32 if command.p1 in (2, 4) else not 1 <= len(data) <= 245
        if wrong_length or command.le is None:
            return b"", WRONG_LENGTH
        signature = _signature(self._keys[name], command.p1, data)
        return signature[: command.le], OK

    def _slot(self, name: str) -> KeySlot:
        slot = self._card.auth if name == "auth" else self._card.sign
        if slot is None:
            raise LookupError(name)
        return slot

    def _update(self, name: str, slot: KeySlot) -> None:
        self._card = replace(self._card, auth=slot) if name == "auth" else replace(self._card, sign=slot)
        self._on_change(self._card)


def _private_key(slot: KeySlot) -> rsa.RSAPrivateKey:
    try:
        key = serialization.load_pem_private_key(slot.private_key.encode(), None)
    except (ValueError, TypeError):
        raise CardFileInvalid("private_key is no unencrypted PKCS #8 PEM") from None
    if not isinstance(key, rsa.RSAPrivateKey) or key.key_size != _RSA_BYTES * 8:
        raise CardFileInvalid("private_key is not RSA-2048")
    return key


def _signature(key: rsa.RSAPrivateKey, p1: int, data: bytes) -> bytes:
    """P1 says who hashes and how it is padded: 00 caller's bytes, 01 card hashes, 02 hash in, 03 both, 04, 05 PSS."""
    if p1 in (1, 3, 5):
        data = hashlib.sha256(data).digest()
    if p1 in (2, 3):
        data = _DIGEST_INFO + data
    if p1 in (4, 5):
        pss = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=32)
        return key.sign(data, pss, utils.Prehashed(hashes.SHA256()))
    return key.sign(data, padding.PKCS1v15(), utils.NoDigestInfo())
