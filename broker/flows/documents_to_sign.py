"""What a card transaction asks the 署名用 key to sign: written into the frame's action, and judged from there.

The action is stored before it is sent, and the auth key signs it too (design 4.4): everything an answer is compared
with stands in our own store. Pure: what is behind a document, and what becomes of its signature, is its flow's to know.
"""

from __future__ import annotations

import binascii
import json
from base64 import b64decode, b64encode
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from broker.errors import AnswerMalformed, SignatureInvalid
from broker.jose import b64url, b64url_decode, compact_json
from broker.jpki import cms
from broker.jpki.certificate import MAX_CERTIFICATE
from broker.oidc.claims_request import IDENTITY

MAX_DOCUMENTS: Final = 10
MAX_NAME: Final = 200
"""Characters of a document's name."""
MAX_RAW: Final = 1024
"""Octets of a bare signature."""
NOTHING: Final = "{}"
"""The action of a transaction that releases and signs nothing."""
_WITHOUT_DOCUMENTS: Final = frozenset({"link", "accept", "approve", "resume"})


class Kind(StrEnum):
    """What the documents are."""

    PROOF = "proof"
    """The application that we wrote, for a proof of identity: exactly one."""
    SIGN = "sign"
    """Documents of the client."""
    MANDATE = "mandate"
    """The grant of a power of attorney, by its principal (flows.mandate_cards)."""
    STATEMENT = "statement"
    """What an employer certifies (flows.mandate_cards)."""


class Form(StrEnum):
    """How a document is signed."""

    CMS = ""
    """Detached CMS over the document itself."""
    PADES = "pades"
    """CMS over a byte range of the PDF that it is put into."""
    RAW = "raw"
    """A bare signature over the client's own digest (design 4.12)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One document to sign. `size` and `type` are both known, or (a client gave a digest alone) neither."""

    name: str
    sha256: bytes
    """Of what the resident is shown."""
    size: int | None = None
    """Octets."""
    type: str | None = None
    """Media type."""
    form: Form = Form.CMS
    digest: bytes | None = None
    """What is signed where that is not `sha256`: the digest of the PDF's byte range."""

    def __post_init__(self) -> None:
        if not 1 <= len(self.name) <= MAX_NAME or len(self.sha256) != 32 or (self.size is None) != (self.type is None):
            raise ValueError("a document has a name, a SHA-256, and size and type together")
        if (self.digest is not None) != (self.form is Form.PADES):
            raise ValueError("only a PDF's byte range has a digest of its own")

    def member(self, signing_time: datetime) -> dict[str, Any]:
        """As it stands in an action; `signing_time` is the request's own time of issue, in whole seconds."""
        told: dict[str, Any] = {"name": self.name, "sha256": b64url(self.sha256)}
        if self.size is not None:
            told |= {"size": self.size, "type": self.type}
        if self.form is not Form.CMS:
            told["form"] = self.form.value
        if self.form is Form.RAW:
            return told | {"digest": b64url(self.sha256)}
        stated = None if self.form is Form.PADES else signing_time  # ETSI EN 319 142-1 §6.3: a PDF states it itself
        return told | {"attributes": b64url(cms.signed_attributes(self.digest or self.sha256, stated))}


def action_of(documents: Sequence[Document], *, kind: Kind, release: Collection[str], signing_time: datetime) -> str:
    """The action in RFC 8785 form. Raises ValueError: what is to be signed is settled before this."""
    if not 1 <= len(documents) <= (1 if kind is Kind.PROOF else MAX_DOCUMENTS):
        raise ValueError("too many documents, or none")
    members = [document.member(signing_time) for document in documents]
    action = {"documents": members, "kind": kind.value, "release": sorted(release)}
    return json.dumps(action, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def login_of(release: Collection[str]) -> str:
    """The action of a login that signs no document and lets go of `release`, in RFC 8785 form."""
    return compact_json({"release": sorted(release)}).decode() if release else NOTHING


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """An action as read back."""

    kind: Kind | None
    """None where nothing is signed by the 署名用 key."""
    release: frozenset[str]
    documents: tuple[dict[str, Any], ...] = field(repr=False)

    @property
    def proved(self) -> frozenset[str]:
        """The part of `release` that the 署名用 certificate has to prove."""
        return self.release & set(IDENTITY)

    @property
    def signs_clients_own(self) -> bool:
        """Whether a document of the client's is among them that the resident could read."""
        return self.kind is Kind.SIGN and any("size" in document for document in self.documents)


def read(action: str) -> Asked:
    """What `action_of` or `login_of` wrote; without documents a link's or a mandate's action asks for none either."""
    told = json.loads(action)
    if told.get("kind") in _WITHOUT_DOCUMENTS:
        return Asked(kind=None, release=frozenset(), documents=())
    return Asked(
        kind=Kind(told["kind"]) if "kind" in told else None,
        release=frozenset(told.get("release", ())),
        documents=tuple(told.get("documents", ())),
    )


# --- the answer ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedDocuments:
    """Signatures that hold, one for each document in the action's order, all by one certificate.

    It is kept sealed with the transaction, and ends with it: the certificate says who the resident is.
    """

    certificate: bytes = field(repr=False)
    """DER of the 署名用 certificate."""
    signatures: tuple[bytes, ...] = field(repr=False)
    """DER of a detached CMS each; a bare signature for a document of form `raw`."""
    answered_at: datetime
    one_transaction: bool = True
    """Nothing but this transaction ties it to the 利用者証明用 certificate; False: J-LIS said so (design 4.13)."""
    revocation_source: str = ""
    revocation_this_update: datetime | None = None

    def judged(
        self, *, one_transaction: bool, revocation_source: str, revocation_this_update: datetime | None
    ) -> SignedDocuments:
        """With what was learned of the certificate afterwards."""
        return replace(
            self,
            one_transaction=one_transaction,
            revocation_source=revocation_source,
            revocation_this_update=revocation_this_update,
        )

    def to_json(self) -> bytes:
        """For sealing."""
        update = self.revocation_this_update
        return compact_json(
            {
                "certificate": b64encode(self.certificate).decode(),
                "signatures": [b64encode(each).decode() for each in self.signatures],
                "answered_at": self.answered_at.isoformat(),
                "one_transaction": self.one_transaction,
                "revocation_source": self.revocation_source,
                "revocation_this_update": None if update is None else update.isoformat(),
            }
        )


def from_json(data: bytes) -> SignedDocuments:
    """What `SignedDocuments.to_json` wrote."""
    told = json.loads(data)
    update = told["revocation_this_update"]
    return SignedDocuments(
        certificate=b64decode(told["certificate"]),
        signatures=tuple(b64decode(each) for each in told["signatures"]),
        answered_at=datetime.fromisoformat(told["answered_at"]),
        one_transaction=told["one_transaction"],
        revocation_source=told["revocation_source"],
        revocation_this_update=None if update is None else datetime.fromisoformat(update),
    )


def judge(asked: Asked, envelope: dict[str, Any], *, now: datetime) -> SignedDocuments | None:
    """The signatures in an agent's answer, each verified over what its document in `asked` says.

    None where nothing was to be signed. Whether the certificate is worth anything is for path, profile and revocation.
    Raises AnswerMalformed, SignatureInvalid, DocumentChanged, CertificateMalformed.
    """
    told = {name for name in ("cms", "raw_signatures", "sign_certificate") if name in envelope}
    if not asked.documents:
        if told:
            raise AnswerMalformed("signatures that nobody asked for")
        return None
    raw = [document.get("form") == Form.RAW for document in asked.documents]
    given_cms = _binaries(envelope, "cms", count=raw.count(False), longest=cms.MAX_CMS)
    given_raw = _binaries(envelope, "raw_signatures", count=raw.count(True), longest=MAX_RAW)
    certificates = [] if given_cms else [_binary(envelope.get("sign_certificate"), MAX_CERTIFICATE)]
    if given_cms and "sign_certificate" in envelope:
        raise AnswerMalformed("a certificate beside those of the CMS")
    signatures = []
    for document in asked.documents:
        if document.get("form") == Form.RAW:
            signatures.append(given_raw.pop(0))
            continue
        signed = cms.verify_detached(given_cms.pop(0), attributes=b64url_decode(document["attributes"]))
        certificates.append(signed.certificate)
        signatures.append(cms.detached(signed))
    if len(set(certificates)) != 1:
        raise SignatureInvalid("two certificates in one answer")
    for document, signature in zip(asked.documents, signatures, strict=True):
        if document.get("form") == Form.RAW:
            cms.verify_raw(certificates[0], b64url_decode(document["digest"]), signature)
    return SignedDocuments(certificate=certificates[0], signatures=tuple(signatures), answered_at=now)


def _binaries(envelope: dict[str, Any], name: str, *, count: int, longest: int) -> list[bytes]:
    given = envelope.get(name, [])
    if not isinstance(given, list) or len(given) != count or (name in envelope) != bool(count):
        raise AnswerMalformed(f"{name}: one for each document")
    return [_binary(each, longest) for each in given]


def _binary(given: object, longest: int) -> bytes:
    if not isinstance(given, str) or len(given) > (longest + 2) // 3 * 4:
        raise AnswerMalformed("a signature or certificate is missing or too long")
    try:
        return b64decode(given, validate=True)
    except (binascii.Error, ValueError) as malformed:
        raise AnswerMalformed("a signature or certificate is not base64") from malformed
