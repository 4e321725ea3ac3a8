"""A MyNumber card in software: the JPKI application with the state, files and status words of the plastic card.

It answers what open tools have seen real cards answer, so that the driver, OpenSC and the tests meet the same card.
Security status outlives a reset and ends with the power, as on the real one.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from cardreader.apdu import (
    CHANGE_REFERENCE_DATA,
    GET_CHALLENGE,
    PERFORM_SECURITY_OPERATION,
    READ_BINARY,
    SELECT,
    VERIFY,
    CommandAPDU,
    ResponseAPDU,
)
from cardreader.cardfile import CardFile, KeySlot
from cardreader.faults import HUGE_REPLY, Fault, FaultKind
from cardreader.softkey import InputRefused, ModeUnknown, load_key

SlotName = Literal["auth", "sign"]

_AID = bytes.fromhex("D392F000260100000001")
_CERTIFICATES: dict[int, SlotName] = {0x0001: "sign", 0x000A: "auth"}
_CA_CERTIFICATES: dict[int, SlotName] = {0x0002: "sign", 0x000B: "auth"}
KEYS: dict[int, SlotName] = {0x0017: "auth", 0x001A: "sign"}
PINS: dict[int, SlotName] = {0x0018: "auth", 0x001B: "sign"}
_TOKEN_INFO, _PRESENCE = 0x0006, 0x0008
_PROTECTED, _TERMINAL_CA_KEY = 0x0009, 0x0016  # seen on cards; what they hold is not known
_FILLER = b"\xff" * 64  # files are larger than the certificate in them
_IPHONE_ONLY = (0x80, 0xFC)

_INSTRUCTIONS = frozenset(
    {SELECT, READ_BINARY, VERIFY, CHANGE_REFERENCE_DATA, PERFORM_SECURITY_OPERATION, GET_CHALLENGE}
)

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


class CardGone(OSError):
    """The card was taken out before it answered."""


class SoftwareCard:
    """One card and its state. `on_change` is called with the card whenever a counter or PIN changed, before the answer
    leaves, so that a power cut cannot give a try back. Calls from several threads are answered one after another."""

    def __init__(
        self,
        card: CardFile,
        *,
        on_change: Callable[[CardFile], None] = lambda _: None,
        short_identifiers: bool = True,
        extended_length: bool = True,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        """`short_identifiers=False` makes a card that wants a SELECT before every use, `extended_length=False` one that
        reads in short form only. Raises CardFileInvalid for a key that no card has."""
        self._card = card
        self._on_change = on_change
        self._short_identifiers = short_identifiers
        self._extended_length = extended_length
        self._random_bytes = random_bytes
        self._keys = {}
        if card.kind != "juki":  # 住基カード had the signing key alone: the other came with the MyNumber card
            self._keys["auth"] = load_key(card.auth)
        if card.sign is not None:
            self._keys["sign"] = load_key(card.sign)
        self._lock = threading.RLock()
        self._verified: set[str] = set()
        self._application = False
        self._current: int | None = None
        self._commands = 0  # since power-up
        self._fault: Fault | None = None
        self._fault_left: int | None = None
        self._taken_out: Callable[[], object] = lambda: None

    @property
    def card(self) -> CardFile:
        """The card as it is now, counters included."""
        return self._card

    def power_on(self) -> bytes:
        """Begin a session; the answer to reset."""
        with self._lock:
            self._application, self._current = False, None
            self._commands = 0
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
            for name, slot in (("auth", self._card.auth), ("sign", self._card.sign)):
                if slot is not None:
                    self._update(name, replace(slot, tries=slot.tries_max))

    def fail(self, fault: Fault | None, *, taken_out: Callable[[], object] = lambda: None) -> None:
        """From now on do `fault` where it strikes; None makes the card well again.

        `taken_out` is called where the fault is the card's removal, before `process` raises CardGone.
        """
        with self._lock:
            self._fault, self._taken_out = fault, taken_out
            self._fault_left = None if fault is None else fault.times

    def process(self, raw: bytes) -> bytes:
        """Answer one command as bytes; what is no APDU is answered 6700. Raises CardGone where a fault says so."""
        fault = self._due_fault(raw)
        match fault.kind if fault is not None else None:
            case FaultKind.REMOVED:
                self._taken_out()
                raise CardGone("a fault took the card out")
            case FaultKind.STATUS if fault is not None:
                return ResponseAPDU(sw=fault.status).encode()
            case FaultKind.SLOW if fault is not None:
                time.sleep(fault.seconds)
            case FaultKind.POWER_LOST:
                self.power_off()
        try:
            reply = self.transmit(CommandAPDU.decode(raw)).encode()
        except ValueError:
            reply = ResponseAPDU(sw=WRONG_LENGTH).encode()
        match fault.kind if fault is not None else None:
            case FaultKind.SHORT:
                return reply[-1:]
            case FaultKind.EMPTY:
                return b""
            case FaultKind.HUGE:
                return reply.rjust(HUGE_REPLY, b"\0")
        return reply

    def _due_fault(self, raw: bytes) -> Fault | None:
        with self._lock:
            index, self._commands = self._commands, self._commands + 1
            fault = self._fault
            if fault is None or self._fault_left == 0 or not fault.strikes(index, raw):
                return None
            if self._fault_left is not None:
                self._fault_left -= 1
            return fault

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
            case 0x00, 0x84:
                return self._challenge(command)
            case pair if pair == _IPHONE_ONLY:
                return b"", OK if self._card.kind == "iphone" and not command.data else WRONG_LENGTH
            case _, ins if ins in _INSTRUCTIONS:
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
        if command.le is None or command.data or (command.extended and not self._extended_length):
            return b"", WRONG_LENGTH
        return content[offset : offset + command.le], OK

    def _content(self, identifier: int) -> bytes | int:
        """A file's bytes, or the status that stands in for them."""
        card = self._card
        if identifier == _TOKEN_INFO:
            return card.token_label.encode("ascii").ljust(32).ljust(160, b"\0")
        if identifier == _PROTECTED:
            return SECURITY_STATUS_NOT_SATISFIED
        if identifier == _PRESENCE:
            present = (self._exists(0x0001), self._exists(0x000A))
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
        if identifier in (_TOKEN_INFO, _PRESENCE, _PROTECTED, _TERMINAL_CA_KEY):
            return True
        if identifier in _CERTIFICATES:
            name = _CERTIFICATES[identifier]
            return name in self._keys and self._slot(name).certificate is not None
        if identifier in _CA_CERTIFICATES:
            name = _CA_CERTIFICATES[identifier]
            return name in self._keys and self._slot(name).ca_certificate is not None
        return (KEYS | PINS).get(identifier) in self._keys

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
        name = self._reference(command.p2, PINS) if command.p1 == 0 else WRONG_P1_P2
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
        name = self._reference(command.p2, PINS) if command.p1 == 1 else WRONG_P1_P2
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
        name = self._reference(command.p2, KEYS)
        if isinstance(name, int):
            return b"", name
        if name not in self._verified:
            return b"", SECURITY_STATUS_NOT_SATISFIED
        if command.le is None:
            return b"", WRONG_LENGTH
        try:
            return self._keys[name].sign(command.p1, command.data)[: command.le], OK
        except ModeUnknown:
            return b"", WRONG_P1_P2
        except InputRefused:
            return b"", WRONG_LENGTH

    def _challenge(self, command: CommandAPDU) -> tuple[bytes, int]:
        if command.p1 or command.p2:
            return b"", WRONG_P1_P2
        if command.extended:
            return b"", CONDITIONS_NOT_SATISFIED  # as seen; READ BINARY takes it
        if command.le is None or command.data:
            return b"", WRONG_LENGTH
        return self._random_bytes(command.le), OK

    def _slot(self, name: str) -> KeySlot:
        slot = self._card.auth if name == "auth" else self._card.sign
        if slot is None:
            raise LookupError(name)
        return slot

    def _update(self, name: str, slot: KeySlot) -> None:
        self._card = replace(self._card, auth=slot) if name == "auth" else replace(self._card, sign=slot)
        self._on_change(self._card)
