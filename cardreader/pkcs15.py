"""What a card says of its own objects: the directory files of PKCS #15 v1.1 (ISO/IEC 7816-15), read within bounds.

Only what leads from an application to a key, its certificate and its PIN is read. Every byte comes from the card, so
sizes, counts and depth are bounded and anything unexpected raises MalformedCardData.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from cardreader.errors import MalformedCardData

ODF = 0x5031
"""Object directory file (PKCS #15 section 5.5.1): the one place that is fixed."""

MAX_FILE = 4096  # bytes of a directory file
MAX_ENTRIES = 32  # in one directory file
_MAX_OFFSET = 0x7FFF  # READ BINARY's own limit
_MAX_IDENTIFIER = 255  # bytes, PKCS #15 pkcs15-ub-identifier

_BOOLEAN, _INTEGER, _BIT_STRING, _OCTET_STRING, _ENUMERATED = 0x01, 0x02, 0x03, 0x04, 0x0A
_SEQUENCE = 0x30
_PRIVATE_KEYS, _CERTIFICATES, _AUTHENTICATION = 0xA0, 0xA4, 0xA8  # PKCS15Objects, section 6.2
_TYPE_ATTRIBUTES = 0xA1  # PKCS15Object, section 6.1.6
_FILLERS = frozenset({0x00, 0xFF})

_ELLIPTIC_CURVE_KEY = 0xA0  # PrivateKeyType, section 6.3: [0] in the place of an RSA key's SEQUENCE

KeyKind = Literal["RSA", "EC"]
_Element = tuple[int, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileReference:
    """A file of the application and where in it the object begins, in bytes."""

    identifier: int
    offset: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Directories:
    """What the object directory leads to; an application may have several files of a kind."""

    private_keys: tuple[FileReference, ...]
    certificates: tuple[FileReference, ...]
    authentication: tuple[FileReference, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateObject:
    """An X.509 certificate; it belongs to the key of the same `identifier`. `is_authority`: it is a CA's own."""

    identifier: bytes
    file: FileReference
    is_authority: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivateKeyObject:
    """A key, and the PIN that guards it by `authentication` (empty where it names none)."""

    kind: KeyKind
    identifier: bytes
    authentication: bytes
    file: FileReference


@dataclass(frozen=True, slots=True, kw_only=True)
class PINObject:
    """A PIN: `reference` goes into P2 of VERIFY; lengths are in characters."""

    authentication: bytes
    reference: int
    shortest: int
    longest: int


def directories(odf: bytes) -> Directories:
    """The directory files that the object directory names. Raises MalformedCardData."""
    found: dict[int, list[FileReference]] = {_PRIVATE_KEYS: [], _CERTIFICATES: [], _AUTHENTICATION: []}
    for tag, value in _entries(odf):
        if tag in found:
            found[tag].append(_path(_only(value)))
    return Directories(
        private_keys=tuple(found[_PRIVATE_KEYS]),
        certificates=tuple(found[_CERTIFICATES]),
        authentication=tuple(found[_AUTHENTICATION]),
    )


def certificates(cdf: bytes) -> tuple[CertificateObject, ...]:
    """The X.509 certificates of a certificate directory; other types are left out. Raises MalformedCardData."""
    found = []
    for tag, value in _entries(cdf):
        if tag != _SEQUENCE:
            continue
        _, own, kind = _object(value)
        is_authority = any(tag_of == _BOOLEAN and content != b"\0" for tag_of, content in own[1:])
        found.append(
            CertificateObject(identifier=_identifier(own), file=_path(_first(kind)), is_authority=is_authority)
        )
    return tuple(found)


def private_keys(prkdf: bytes) -> tuple[PrivateKeyObject, ...]:
    """The RSA and EC keys of a private key directory; other types are left out. Raises MalformedCardData."""
    kinds: dict[int, KeyKind] = {_SEQUENCE: "RSA", _ELLIPTIC_CURVE_KEY: "EC"}
    found = []
    for tag, value in _entries(prkdf):
        if tag not in kinds:
            continue
        common, own, kind = _object(value)
        guards = [content for kind_of, content in common if kind_of == _OCTET_STRING]
        if len(guards) > 1:
            raise MalformedCardData("a key names two PINs")
        key = PrivateKeyObject(
            kind=kinds[tag],
            identifier=_identifier(own),
            authentication=guards[0] if guards else b"",
            file=_path(_first(kind)),
        )
        found.append(key)
    return tuple(found)


def pins(aodf: bytes) -> tuple[PINObject, ...]:
    """The PINs of an authentication directory; other types are left out. Raises MalformedCardData."""
    found = []
    for tag, value in _entries(aodf):
        if tag != _SEQUENCE:
            continue
        _, own, kind = _object(value)
        found.append(_pin(_identifier(own), kind))
    return tuple(found)


def _pin(authentication: bytes, attributes: list[_Element]) -> PINObject:
    """PinAttributes (section 6.8.2): pinFlags, pinType, minLength, storedLength, maxLength?, pinReference [0], …"""
    if [tag for tag, _ in attributes[:4]] != [_BIT_STRING, _ENUMERATED, _INTEGER, _INTEGER]:
        raise MalformedCardData("PIN attributes out of order")
    shortest, stored = _number(attributes[2][1]), _number(attributes[3][1])
    rest = attributes[4:]
    longest = stored
    if rest and rest[0][0] == _INTEGER:
        longest = _number(rest.pop(0)[1])
    reference = 0
    if rest and rest[0][0] == 0x80:
        octets = rest[0][1]
        if len(octets) == 2 and octets[0] == 0:
            octets = octets[1:]
        if len(octets) != 1:  # cards write 88 both as 0088 and, against X.690, as the one byte
            raise MalformedCardData("a PIN reference that is not one byte")
        reference = octets[0]
    if not 0 <= shortest <= longest <= 255:
        raise MalformedCardData("a PIN of impossible length")
    return PINObject(authentication=authentication, reference=reference, shortest=shortest, longest=longest)


def _object(value: bytes) -> tuple[list[_Element], list[_Element], list[_Element]]:
    """PKCS15Object: common, class and type attributes; the subclass's [0] between them is not used."""
    elements = list(_elements(value))
    if len(elements) not in (3, 4) or [tag for tag, _ in elements[:2]] != [_SEQUENCE, _SEQUENCE]:
        raise MalformedCardData("not a PKCS #15 object")
    tag, content = elements[-1]
    if tag != _TYPE_ATTRIBUTES:
        raise MalformedCardData("a PKCS #15 object without its type's attributes")
    return list(_elements(elements[0][1])), list(_elements(elements[1][1])), list(_elements(_only(content)))


def _identifier(attributes: list[_Element]) -> bytes:
    if not attributes or attributes[0][0] != _OCTET_STRING or not 1 <= len(attributes[0][1]) <= _MAX_IDENTIFIER:
        raise MalformedCardData("an object without identifier")
    return attributes[0][1]


def _first(attributes: list[_Element]) -> bytes:
    """The content of the path that type attributes begin with."""
    if not attributes or attributes[0][0] != _SEQUENCE:
        raise MalformedCardData("an object that is not in a file of the card")
    return attributes[0][1]


def _path(value: bytes) -> FileReference:
    """Path (section 6.1.5). Its last two bytes name the file; every file we use is the application's own."""
    elements = list(_elements(value))
    if not elements or elements[0][0] != _OCTET_STRING:
        raise MalformedCardData("a path without a file")
    octets = elements[0][1]
    if len(octets) % 2 or not 2 <= len(octets) <= 16:
        raise MalformedCardData(f"a path of {len(octets)} bytes")
    offset = _number(elements[1][1]) if len(elements) > 1 and elements[1][0] == _INTEGER else 0
    if offset > _MAX_OFFSET:
        raise MalformedCardData("an object beyond what can be read")
    return FileReference(identifier=int.from_bytes(octets[-2:], "big"), offset=offset)


def _only(value: bytes) -> bytes:
    """The content of the one SEQUENCE that `value` is."""
    elements = list(_elements(value))
    if len(elements) != 1 or elements[0][0] != _SEQUENCE:
        raise MalformedCardData("not one SEQUENCE")
    return elements[0][1]


def _number(octets: bytes) -> int:
    if not 1 <= len(octets) <= 3 or octets[0] & 0x80:
        raise MalformedCardData("a number that is negative or too large")
    return int.from_bytes(octets, "big")


def _entries(file: bytes) -> Iterator[_Element]:
    """The objects of a directory file, up to the filler behind them."""
    if len(file) > MAX_FILE:
        raise MalformedCardData(f"a directory of more than {MAX_FILE} bytes")
    for count, element in enumerate(_elements(file, filled=True)):
        if count == MAX_ENTRIES:
            raise MalformedCardData(f"a directory of more than {MAX_ENTRIES} objects")
        yield element


def _elements(data: bytes, *, filled: bool = False) -> Iterator[_Element]:
    """BER elements side by side: tags of one byte, definite lengths of at most two length octets."""
    at = 0
    while at < len(data):
        tag = data[at]
        if filled and tag in _FILLERS:
            return
        if tag & 0x1F == 0x1F or at + 2 > len(data):
            raise MalformedCardData("a tag we do not read")
        length, at = data[at + 1], at + 2
        if length >= 0x80:
            octets = length & 0x7F
            if octets not in (1, 2) or at + octets > len(data):
                raise MalformedCardData("a length we do not read")
            length, at = int.from_bytes(data[at : at + octets], "big"), at + octets
        if at + length > len(data):
            raise MalformedCardData("an object longer than its file")
        yield tag, data[at : at + length]
        at += length
