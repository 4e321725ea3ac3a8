"""What was kept of a mandate's signatures, opened, and the certificates behind them judged as of now."""

from __future__ import annotations

import base64
import json
import unicodedata
from typing import Final

from broker.accounts.credential import CredentialKey
from broker.audit.receipt import Decision
from broker.delegation.acts import Kind
from broker.delegation.content import Content, principal_of
from broker.delegation.grant import Grant
from broker.delegation.record import Proof
from broker.flows.evidence import decision, prove_unrevoked
from broker.flows.mandate_ports import Piece
from broker.flows.mandates import context
from broker.flows.ports import Ports
from broker.ids import MandateNumber
from broker.jpki import cms
from broker.jpki.attributes import holder_attributes
from broker.jpki.certificate import TrustedCertificate, parse
from broker.jpki.path import validate_path
from broker.jpki.profile import DIGITAL_SIGNATURE, Profile, profile_for

SIGNATURES: Final = frozenset({Proof.PRINCIPAL_SIGNATURE, Proof.GUARDIAN_SIGNATURE})
"""What a 署名用 key made; the rest of what cards gave are frames of the 利用者証明用 key."""


def opened(number: MandateNumber, piece: Piece, *, ports: Ports) -> bytes:
    """A piece of evidence as it came. Raises StoreUnavailable."""
    return ports.keys.unseal(piece.sealed, context=context(number, f"evidence {piece.sha256}"))


def judged(shows: Proof, data: bytes, *, ports: Ports) -> tuple[TrustedCertificate, Decision]:
    """Path and revocation of the certificate behind a piece, now. Raises CertificateError, RevocationUnknown."""
    now = ports.clock()
    profile, trusted = _trusted(shows, data, ports=ports)
    key = CredentialKey(
        issuer_key_hash=trusted.issuer_key_hash,
        serial_fingerprint=ports.keys.serial_fingerprint(trusted.issuer_key_hash, trusted.serial),
    )
    proved = prove_unrevoked(trusted, key, now=now, ports=ports)
    return trusted, decision(profile, trusted, proved, now=now)


def names_signer(content: Content, signer: TrustedCertificate) -> bool:
    """Whether who signed (the principal, or a child's guardian) is called what their certificate calls them."""
    named = principal_of(content)
    if isinstance(content, Grant) and content.kind is Kind.GUARDIAN:
        named = content.agent
    return _folded(named.name) == _folded(holder_attributes(signer).name.text)


def signer_of(signature: bytes, *, ports: Ports) -> TrustedCertificate:
    """Whose 署名用 certificate stands in a CMS that the card's answer brought. Raises CertificateError."""
    return _trusted(Proof.PRINCIPAL_SIGNATURE, signature, ports=ports)[1]


def _trusted(shows: Proof, data: bytes, *, ports: Ports) -> tuple[Profile, TrustedCertificate]:
    if shows in SIGNATURES:
        profile, anchors, der = DIGITAL_SIGNATURE, ports.policy.sign_anchors, cms.certificate_of(data)
    else:
        der = base64.b64decode(json.loads(data)["certificate"])
        profile, anchors = profile_for(parse(der), ports.policy.profiles), ports.policy.anchors
    return profile, validate_path(der, anchors=anchors, at=ports.clock(), profile=profile)


def _folded(name: str) -> str:
    return "".join(unicodedata.normalize("NFKC", name).split())
