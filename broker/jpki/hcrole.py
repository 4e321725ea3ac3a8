"""The licence an HPKI certificate states: hcRole (ISO 17090-2, MHLW HPKI certificate policy §7.1.2).

It is an attribute inside subjectDirectoryAttributes (RFC 5280 §4.2.1.8). Whoever looks for an extension by its object
identifier always finds nothing, and would take every doctor for none.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cryptography import x509

from broker.errors import CertificateMalformed
from broker.jpki import der
from broker.jpki.certificate import parse

MEDICAL_DOCTOR: Final = "Medical Doctor"
"""医師; as decoded from MEDIS's public test certificate."""
DIRECTOR_OF_HOSPITAL: Final = "Director of Hospital"
"""病院長; a public HPKI verifier compares with it."""
DIRECTOR_OF_CLINIC: Final = "Director of Clinic"
"""診療所院長; as above."""
# The policy lists 26 licences and 5 managers. Those whose spelling was not seen in a source have no constant here: a
# role is compared as the exact text that a client's agreement names.

_SUBJECT_DIRECTORY_ATTRIBUTES: Final = x509.ObjectIdentifier("2.5.29.9")
_HC_ACTOR_DATA: Final = bytes.fromhex("288185420001")  # 1.0.17090.0.1
_NATIONAL_LICENCES: Final = bytes.fromhex("2a83088691 0f01060101")  # 1.2.392.100495.1.6.1.1
_MAX_ROLES: Final = 32
_MAX_ROLE: Final = 64

_SET, _OBJECT_IDENTIFIER, _UTF8_STRING, _PRINTABLE_STRING = 0x31, 0x06, 0x0C, 0x13
_CONTEXT_0, _CONTEXT_2 = 0xA0, 0xA2


def hc_roles(certificate: bytes) -> tuple[str, ...]:
    """The roles in `certificate` (DER), as exact strings in their order; empty where it states none.

    Roles of a coding scheme other than the Japanese licences' are left out. Raises CertificateMalformed, also where
    the attribute is there and is not what ISO 17090 makes it: half a licence is none. Nothing here says that the
    certificate may be believed.
    """
    parsed = parse(certificate)
    try:
        (found,) = (each for each in parsed.x509.extensions if each.oid == _SUBJECT_DIRECTORY_ATTRIBUTES)
    except ValueError:  # none; two of a kind do not parse
        return ()
    if not isinstance(found.value, x509.UnrecognizedExtension):
        raise CertificateMalformed("subjectDirectoryAttributes cannot be read as it stands")
    try:
        roles = tuple(_roles(found.value.value))
    except (ValueError, TypeError) as broken:
        raise CertificateMalformed("hcRole is not in the form of ISO 17090") from broken
    if len(roles) > _MAX_ROLES or len(set(roles)) != len(roles):
        raise CertificateMalformed("hcRole names a role twice, or too many")
    return roles


def _roles(extension: bytes) -> Iterator[str]:
    for attribute in der.whole(extension, der.SEQUENCE).children():
        kind, values = _tagged(attribute, der.SEQUENCE).children()
        if _tagged(kind, _OBJECT_IDENTIFIER).value != _HC_ACTOR_DATA:
            continue
        for value in _tagged(values, _SET).children():
            # ISO 17090 has HCActorData ::= SET OF HCActor; certificates are seen with the actor as the value itself
            for actor in value.children() if value.tag == _SET else (value,):
                yield from _role(actor)


def _role(actor: der.Element) -> Iterator[str]:
    """HCActor ::= SEQUENCE { codedData [0] CodedData, regionalHCActorData [1] … OPTIONAL }."""
    coded, *regional = _tagged(actor, der.SEQUENCE).children()
    if len(regional) > 1:
        raise ValueError("unknown fields")
    (data,) = _tagged(coded, _CONTEXT_0).children()
    fields = list(_tagged(data, _SET).children())
    by_tag = {each.tag: each for each in fields}
    if len(by_tag) != len(fields) or _CONTEXT_0 not in by_tag:
        raise ValueError("coding scheme is missing or stands twice")
    (scheme,) = by_tag[_CONTEXT_0].children()
    if _tagged(scheme, _OBJECT_IDENTIFIER).value != _NATIONAL_LICENCES:
        return
    if _CONTEXT_2 not in by_tag:
        raise ValueError("role has no text")
    (text,) = by_tag[_CONTEXT_2].children()
    if text.tag not in {_UTF8_STRING, _PRINTABLE_STRING} or not 0 < len(text.value) <= _MAX_ROLE:
        raise ValueError("role is not a text")
    yield bytes(text.value).decode("utf-8" if text.tag == _UTF8_STRING else "ascii")


def _tagged(element: der.Element, tag: int) -> der.Element:
    if element.tag != tag:
        raise ValueError("element is of another type")
    return element
