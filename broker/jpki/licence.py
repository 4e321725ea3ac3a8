"""Who holds an HPKI certificate, as it certifies: licences, name, institution (MHLW HPKI certificate policy §7.1).

The name is taken from subjectAltName's directoryName, where the authorities write it in Japanese; from the subject,
which is romaji, where there is none.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from cryptography import x509
from cryptography.x509.oid import NameOID

from broker.errors import CertificateMalformed
from broker.jpki.certificate import parse
from broker.jpki.hcrole import hc_roles

MAX_TEXT: Final = 80
"""Characters of a name or an institution, as the agent shows them."""
MAX_ROLES: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class LicenceHolder:
    """`roles` are exact strings, one at least; `organization` is empty where the certificate states none."""

    name: str = field(repr=False)
    organization: str = field(repr=False)
    roles: tuple[str, ...]


def licence_holder(certificate: bytes) -> LicenceHolder:
    """The holder of `certificate` (DER). Raises CertificateMalformed: no name or licence that can be shown.

    Nothing here says that the certificate may be believed.
    """
    roles = hc_roles(certificate)
    if not 1 <= len(roles) <= MAX_ROLES or not all(role.isprintable() for role in roles):
        raise CertificateMalformed(f"not 1 to {MAX_ROLES} licences that can be shown")
    parsed = parse(certificate)
    named = parsed.extension(x509.SubjectAlternativeName)
    names = [] if named is None else named.value.get_values_for_type(x509.DirectoryName)
    told = names[0] if names else parsed.subject
    name = _text(told, NameOID.COMMON_NAME)
    if not name:
        raise CertificateMalformed("the holder has no name")
    return LicenceHolder(name=name, organization=_text(told, NameOID.ORGANIZATION_NAME), roles=roles)


def _text(name: x509.Name, kind: x509.ObjectIdentifier) -> str:
    found = name.get_attributes_for_oid(kind)
    value = found[0].value if found else ""
    if not isinstance(value, str) or len(value) > MAX_TEXT or not value.isprintable():
        raise CertificateMalformed("a name that cannot be shown")
    return value.strip()
