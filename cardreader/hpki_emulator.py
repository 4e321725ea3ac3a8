"""A doctor's HPKI card in software: two applications whose objects are found through PKCS #15 directories.

The layout is the caller's, as makers differ; by default it is the one of the sample card that open tools were written
for (certificate 0016, key 000C, PIN reference 88).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cardreader.apdu import CommandAPDU
from cardreader.cardfile import CardFile
from cardreader.emulator import (
    FILE_NOT_FOUND,
    INS_UNKNOWN,
    KEYS,
    OK,
    PINS,
    REFERENCE_NOT_FOUND,
    WRONG_FILE_KIND,
    WRONG_P1_P2,
    SlotName,
    SoftwareCard,
)
from cardreader.hpki_ap import HPKIApplication
from cardreader.softkey import ECKey

_APPLICATIONS: dict[bytes, SlotName] = {HPKIApplication.SIGN.value: "sign", HPKIApplication.AUTH.value: "auth"}
_DIR, _ODF, _TOKEN_INFO = 0x2F00, 0x5031, 0x5032
_FILLER = bytes(32)
_KEY_ID, _CA_ID, _PIN_ID = b"\x01", b"\x02", b"\x01"
_SEQUENCE, _UTF8_STRING, _OCTET_STRING, _BIT_STRING, _INTEGER, _BOOLEAN = 0x30, 0x0C, 0x04, 0x03, 0x02, 0x01


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Which files a maker chose, the same in both applications."""

    certificate: int = 0x0016
    ca_certificate: int = 0x0017
    key: int = 0x000C
    pin_reference: int = 0x88
    private_keys: int = 0x4401
    certificates: int = 0x4402
    authentication: int = 0x4403


SAMPLE = Layout()


class HPKICard(SoftwareCard):
    """One HPKI card and its state: `auth` and `sign` of the card file are its two applications, each with its PIN.

    What PIN is verified holds within the application and ends when another one is selected (ISO/IEC 7816-4 section 9).
    """

    def __init__(
        self, card: CardFile, *, on_change: Callable[[CardFile], None] = lambda _: None, layout: Layout = SAMPLE
    ) -> None:
        """Raises CardFileInvalid for a key that no card has."""
        super().__init__(card, on_change=on_change, short_identifiers=False)
        self._layout = layout
        self._selected: SlotName | None = None

    def _answer(self, command: CommandAPDU) -> tuple[bytes, int]:
        match command.cla, command.ins:
            case 0x00, 0xA4:
                return self._select_with_information(command)
            case 0x00, 0xB0:
                return self._read_binary(command)
            case 0x00, 0x24:
                return b"", INS_UNKNOWN  # the form of a change is the maker's
            case _:
                return super()._answer(command)

    def _select_with_information(self, command: CommandAPDU) -> tuple[bytes, int]:
        """SELECT by name, by identifier or by path, with file control information where P2 asks for it."""
        if command.p2 not in (0x00, 0x0C):
            return b"", WRONG_P1_P2
        if command.p1 == 0x04:
            name = _APPLICATIONS.get(command.data)
            if name is None or name not in self._keys:
                return b"", FILE_NOT_FOUND
            if name != self._selected or not self._application:
                self._verified.clear()
            self._application, self._selected, self._current = True, name, None
            information = _tlv(0x84, command.data)
        elif command.p1 in (0x00, 0x02, 0x08, 0x09) and len(command.data) >= 2:
            identifier = int.from_bytes(command.data[-2:], "big")
            if not self._exists(identifier):
                return b"", FILE_NOT_FOUND
            self._current = identifier
            content = self._content(identifier)
            size = len(content) if isinstance(content, bytes) else 0
            information = _tlv(0x83, command.data[-2:]) + b"\x82\x01\x01" + _tlv(0x80, size.to_bytes(2, "big"))
        else:
            return b"", WRONG_P1_P2
        if command.p2 == 0x0C or command.le is None:
            return b"", OK
        return _tlv(0x6F, information)[: command.le], OK

    def _exists(self, identifier: int) -> bool:
        layout = self._layout
        own = {
            _ODF,
            _TOKEN_INFO,
            layout.private_keys,
            layout.certificates,
            layout.authentication,
            layout.certificate,
            layout.ca_certificate,
            layout.key,
        }
        return identifier == _DIR or (self._application and identifier in own)

    def _content(self, identifier: int) -> bytes | int:
        if identifier == _DIR:
            held = ((aid, name) for aid, name in _APPLICATIONS.items() if name in self._keys)
            return b"".join(_tlv(0x61, _tlv(0x4F, aid), _tlv(0x50, f"HPKI {name}".encode())) for aid, name in held)
        if self._selected is None:
            return FILE_NOT_FOUND
        slot, layout = self._slot(self._selected), self._layout
        if identifier == layout.certificate:
            return (slot.certificate or b"") + _FILLER
        if identifier == layout.ca_certificate:
            return (slot.ca_certificate or b"") + _FILLER
        directory = {
            _ODF: _object_directory(layout),
            _TOKEN_INFO: _token_information(self._card.token_label),
            layout.private_keys: _private_keys(
                layout, self._selected, is_ec=isinstance(self._keys[self._selected], ECKey)
            ),
            layout.certificates: _certificates(layout, with_ca=slot.ca_certificate is not None),
            layout.authentication: _authentication(layout),
        }.get(identifier)
        return WRONG_FILE_KIND if directory is None else directory + _FILLER

    def _reference(self, p2: int, among: dict[int, SlotName]) -> SlotName | int:
        """P2 names the PIN itself; a key is the current file. Neither outlives the application."""
        if not self._application or self._selected is None:
            return REFERENCE_NOT_FOUND
        is_pin = among is PINS and p2 == self._layout.pin_reference
        is_key = among is KEYS and p2 == 0x80 and self._current == self._layout.key
        return self._selected if is_pin or is_key else REFERENCE_NOT_FOUND


def software_card(card: CardFile, *, on_change: Callable[[CardFile], None] = lambda _: None) -> SoftwareCard:
    """The emulator that a card file's kind asks for. Raises CardFileInvalid."""
    return (HPKICard if card.kind == "hpki" else SoftwareCard)(card, on_change=on_change)


# The directories as PKCS #15 v1.1 section 6 defines them


def _object_directory(layout: Layout) -> bytes:
    kinds = ((0xA0, layout.private_keys), (0xA4, layout.certificates), (0xA8, layout.authentication))
    return b"".join(_tlv(tag, _path(identifier)) for tag, identifier in kinds)


def _token_information(label: str) -> bytes:
    maker, flags = _tlv(_UTF8_STRING, b"software card"), _tlv(_BIT_STRING, b"\x07\x80")  # readonly
    serial = _tlv(_OCTET_STRING, b"\x00")
    return _tlv(_SEQUENCE, _tlv(_INTEGER, b"\x00"), serial, maker, _tlv(0x80, label.encode("ascii")), flags)


def _private_keys(layout: Layout, name: SlotName, *, is_ec: bool) -> bytes:
    usage = b"\x06\x00\x40" if name == "sign" else b"\x05\x20"  # nonRepudiation (bit 9), sign (bit 2)
    common = _tlv(_SEQUENCE, _label(f"HPKI {name} key"), _tlv(_BIT_STRING, b"\x07\x80"), _tlv(_OCTET_STRING, _PIN_ID))
    own = _tlv(_SEQUENCE, _tlv(_OCTET_STRING, _KEY_ID), _tlv(_BIT_STRING, usage))
    if is_ec:  # privateECKey [0], PKCS #15 section 6.3.4
        return _tlv(0xA0, common, own, _tlv(0xA1, _tlv(_SEQUENCE, _path(layout.key))))
    key = _tlv(_SEQUENCE, _path(layout.key), _tlv(_INTEGER, (2048).to_bytes(2, "big")))
    return _tlv(_SEQUENCE, common, own, _tlv(0xA1, key))


def _certificates(layout: Layout, *, with_ca: bool) -> bytes:
    authority = _tlv(_BOOLEAN, b"\xff")
    rows = [(_CA_ID, authority, "CA certificate", layout.ca_certificate)] if with_ca else []
    rows.append((_KEY_ID, b"", "HPKI certificate", layout.certificate))  # last: who takes the first takes the CA's
    return b"".join(
        _tlv(
            _SEQUENCE,
            _tlv(_SEQUENCE, _label(label)),
            _tlv(_SEQUENCE, _tlv(_OCTET_STRING, identifier), is_authority),
            _tlv(0xA1, _tlv(_SEQUENCE, _path(file))),
        )
        for identifier, is_authority, label, file in rows
    )


def _authentication(layout: Layout) -> bytes:
    flags = _tlv(_BIT_STRING, b"\x03\x48")  # local, initialized
    lengths = b"".join(_tlv(_INTEGER, bytes([length])) for length in (4, 16, 16))
    reference = _tlv(0x80, layout.pin_reference.to_bytes(2, "big"))
    pin = _tlv(_SEQUENCE, flags, _tlv(0x0A, b"\x01"), lengths, reference)
    common = _tlv(_SEQUENCE, _label("HPKI PIN"), _tlv(_BIT_STRING, b"\x07\x80"))
    return _tlv(_SEQUENCE, common, _tlv(_SEQUENCE, _tlv(_OCTET_STRING, _PIN_ID)), _tlv(0xA1, pin))


def _label(text: str) -> bytes:
    return _tlv(_UTF8_STRING, text.encode())


def _path(identifier: int) -> bytes:
    return _tlv(_SEQUENCE, _tlv(_OCTET_STRING, identifier.to_bytes(2, "big")))


def _tlv(tag: int, *parts: bytes) -> bytes:
    value = b"".join(parts)
    length = bytes([len(value)]) if len(value) < 0x80 else b"\x81" + bytes([len(value)])
    return bytes([tag]) + length + value
