"""The licence that an HPKI certificate states: hcRole (ISO 17090-2; HPKI certificate policy of the ministry, §7.1.2).

It is an attribute inside subjectDirectoryAttributes (RFC 5280 section 4.2.1.8), not an extension of its own. Everything
here is what the card says of itself: nothing is verified.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from asn1crypto import parser, x509

from cardreader.errors import MalformedCardData
from cardreader.jpki_ap import MAX_OBJECT

_SUBJECT_DIRECTORY_ATTRIBUTES: Final = "2.5.29.9"
_HC_ACTOR: Final = bytes.fromhex("288185420001")  # 1.0.17090.0.1, ISO 17090-2
_JAPANESE_LICENCES: Final = bytes.fromhex("2a830886910f01060101")  # 1.2.392.100495.1.6.1.1
_MAX_ROLES: Final = 32
_MAX_ROLE: Final = 64  # bytes

# Identifier octets (X.690 section 8.1.2)
_OBJECT_IDENTIFIER, _UTF8_STRING, _PRINTABLE_STRING, _SEQUENCE, _SET = 0x06, 0x0C, 0x13, 0x30, 0x31
_TAGGED_0, _TAGGED_2 = 0xA0, 0xA2

_Element = tuple[int, bytes]


def hc_roles(certificate: bytes) -> tuple[str, ...]:
    """The licences in `certificate` (DER), in its order; empty where it states none of the Japanese list.

    Raises MalformedCardData for what is no certificate, and where the attribute is there in another form: half a
    licence is none.
    """
    if len(certificate) > MAX_OBJECT:
        raise MalformedCardData(f"a certificate of more than {MAX_OBJECT} bytes")
    try:
        roles = tuple(role for value in _extensions(certificate) for role in _roles(value))
    except (ValueError, TypeError, KeyError):  # asn1crypto reads late and raises all three
        raise MalformedCardData("the certificate's licence cannot be read") from None
    if len(roles) > _MAX_ROLES or len(set(roles)) != len(roles):
        raise MalformedCardData("a licence stands twice, or there are too many")
    return roles


def _extensions(certificate: bytes) -> list[bytes]:
    """The subjectDirectoryAttributes: none, or one."""
    extensions = x509.Certificate.load(certificate, strict=True)["tbs_certificate"]["extensions"]
    found = [
        bytes(each["extn_value"].contents)
        for each in extensions
        if each["extn_id"].dotted == _SUBJECT_DIRECTORY_ATTRIBUTES
    ]
    if len(found) > 1:
        raise ValueError("an extension stands twice")
    return found


def _roles(extension: bytes) -> Iterator[str]:
    (attributes,) = _elements(extension)
    for attribute in _elements(_content(attributes, _SEQUENCE)):
        kind, values = _elements(_content(attribute, _SEQUENCE))
        if _content(kind, _OBJECT_IDENTIFIER) != _HC_ACTOR:
            continue
        for value in _elements(_content(values, _SET)):
            # HCActorData is a SET OF actors in the standard; certificates are seen with the actor itself as the value
            for actor in _elements(value[1]) if value[0] == _SET else [value]:
                yield from _role(_content(actor, _SEQUENCE))


def _role(actor: bytes) -> Iterator[str]:
    """HCActor: codedData [0], and optionally the region's own data."""
    fields = _elements(actor)
    if not 1 <= len(fields) <= 2:
        raise ValueError("an actor of unknown fields")
    (data,) = _elements(_content(fields[0], _TAGGED_0))
    coded = _elements(_content(data, _SET))
    by_tag = dict(coded)
    if len(by_tag) != len(coded):
        raise ValueError("a field stands twice")
    (scheme,) = _elements(by_tag[_TAGGED_0])
    if _content(scheme, _OBJECT_IDENTIFIER) != _JAPANESE_LICENCES:
        return
    ((tag, text),) = _elements(by_tag[_TAGGED_2])
    if tag not in (_UTF8_STRING, _PRINTABLE_STRING) or not 1 <= len(text) <= _MAX_ROLE:
        raise ValueError("a licence that is no text")
    role = text.decode("utf-8" if tag == _UTF8_STRING else "ascii")
    if not role.isprintable():  # it is shown on terminals
        raise ValueError("a licence with characters that do not show")
    yield role


def _content(element: _Element, tag: int) -> bytes:
    if element[0] != tag:
        raise ValueError("an element of another type")
    return element[1]


def _elements(data: bytes) -> list[_Element]:
    """The DER elements side by side, by their identifier octet."""
    found, at = [], 0
    while at < len(data):
        kind, method, tag, _, content, _ = parser.parse(data[at:])
        whole = parser.emit(kind, method, tag, content)  # the one way that DER allows
        if tag >= 0x1F or data[at : at + len(whole)] != whole:
            raise ValueError("not DER")
        found.append((kind << 6 | method << 5 | tag, bytes(content)))
        at += len(whole)
    return found
