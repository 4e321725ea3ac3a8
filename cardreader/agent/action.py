"""What a card request asks to be done: which claims it releases, and which documents it has signed.

Only acts that this program has words for are read at all, because a person consents to what is shown. Everything is
bounded before it is looked into; of the attributes to be signed nothing is parsed: they are rebuilt and compared.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final, Literal, cast

from cardreader import cms
from cardreader.agent.display import displayable
from cardreader.agent.joint import JOINT_TAGS, PROFESSION_TAG, Joint, parse_joint
from cardreader.agent.jose import canonical_json, decode_base64url, parse_json
from cardreader.agent.linking import LINK_TAGS, Link, parse_link
from cardreader.agent.mandate import DOCUMENT_TYPE, MANDATE_TAG, MANDATE_TAGS, Mandate, parse_mandate
from cardreader.agent.statement import KIND as STATEMENT
from cardreader.agent.statement import Statement, parse_statement
from cardreader.errors import ActionUnknown, RequestMalformed

AUTH_TAG: Final = "JPKI-FED-AUTH/1"
PROOF_TAG: Final = "JPKI-FED-PROOF/1"
CONSENT_TAG: Final = "JPKI-FED-CONSENT/1"
RELEASABLE: Final = (
    "name", "address", "birthdate", "gender", "language", "called", "communication", "dietary_needs",
    "emergency_contact", "linked_id", "offline_access", "sign",
)  # fmt: skip
"""What can be released, in the order of showing it; beside these, whether somebody has reached an age."""
MAX_DOCUMENTS: Final = 10
MAX_NAME: Final = 200  # characters
MAX_ATTRIBUTES: Final = 256  # bytes; they have 107
_MAX_SIZE: Final = 2**40  # bytes
_AGE = re.compile(r"age_over_([1-9][0-9]?|1[01][0-9]|120)\Z")
_MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,63}/[a-z0-9][a-z0-9!#$&^_.+-]{0,63}\Z")
_DOCUMENT_MEMBERS: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "cms": frozenset({"name", "sha256", "attributes"}),
        "pades": frozenset({"name", "sha256", "attributes", "form"}),
        "raw": frozenset({"name", "sha256", "digest", "form"}),
    }
)

Form = Literal["cms", "pades", "raw"]
Kind = Literal["login", "consent", "proof", "sign", "link", "mandate", "statement", "profession", "joint"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One document to be signed. `size` (bytes) and `media_type` are None where the service told a fingerprint only.

    `sha256` is that of the document as the resident was shown it. `to_sign` is the DER SET OF attributes that lacks the
    certificate's alone, or for the form "raw" the digest that the key signs as it is.
    """

    name: str
    sha256: bytes
    size: int | None
    media_type: str | None
    form: Form
    to_sign: bytes = field(repr=False)

    @property
    def display_name(self) -> str:
        """Its name, safe to show."""
        return displayable(self.name, at_most=MAX_NAME)

    @property
    def fingerprint(self) -> str:
        """SHA-256 as hexadecimal digits in groups of eight."""
        digits = self.sha256.hex()
        return " ".join(digits[at : at + 8] for at in range(0, len(digits), 8))


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """An act as it stood in the request. `released` is in the order of RELEASABLE, ages last.

    Where there are `documents`, the 署名用 certificate (name, address, birth date and sex) goes to the broker.
    """

    kind: Kind
    released: tuple[str, ...] = ()
    documents: tuple[Document, ...] = ()
    link: Link | None = None
    """What is bound, of kind "link" alone; nothing else is released then."""
    mandate: Mandate | None = None
    """What is granted or accepted, of kind "mandate" alone; nothing is released then."""
    statement: Statement | None = None
    """What an employer certifies, of kind "statement" alone; nothing is released then."""
    joint: Joint | None = None
    """What a doctor and a patient join in, of kinds "profession" and "joint" alone; nothing is released then."""

    @property
    def needs_licence(self) -> bool:
        """Whether an HPKI card answers, and no MyNumber card."""
        return self.kind == "profession"


def parse_action(tag: str, text: str, *, issued_at: datetime) -> Action:
    """Read the action of a request with `tag`, made at `issued_at`. Raises ActionUnknown, RequestMalformed."""
    if tag not in (AUTH_TAG, CONSENT_TAG, PROOF_TAG, *LINK_TAGS, *MANDATE_TAGS, *JOINT_TAGS):
        raise ActionUnknown("a tag that is reserved or unknown")
    action = parse_json(text, what="action")
    if not isinstance(action, dict) or canonical_json(action) != text:
        raise RequestMalformed("action is not an object in RFC 8785 form")
    if tag in LINK_TAGS:
        return Action(kind="link", link=parse_link(tag, action))
    if tag in JOINT_TAGS:
        kind: Kind = "profession" if tag == PROFESSION_TAG else "joint"
        return Action(kind=kind, joint=parse_joint(tag, action))
    if (tag, action.get("kind")) == (MANDATE_TAG, STATEMENT):
        return _statement(action, issued_at=issued_at)
    if tag in MANDATE_TAGS:
        return _mandate(tag, action, issued_at=issued_at)
    if tag in (AUTH_TAG, CONSENT_TAG):
        if action.keys() - {"release"}:
            raise ActionUnknown("action has members without a template")
        kind = "login" if tag == AUTH_TAG else "consent"
        return Action(kind=kind, released=_released(action.get("release", [])))
    if action.keys() != {"documents", "kind", "release"}:
        raise ActionUnknown("a proof's action has not exactly documents, kind and release")
    kind = action["kind"]
    if kind not in ("proof", "sign"):
        raise ActionUnknown("a kind of proof without a template")
    return Action(
        kind=kind,
        released=_released(action["release"]),
        documents=_documents(action["documents"], kind=kind, issued_at=issued_at),
    )


def _mandate(tag: str, action: Mapping[str, Any], *, issued_at: datetime) -> Action:
    """What is signed is what is shown: the one document is the grant itself."""
    mandate = parse_mandate(tag, action)
    if mandate.step != "grant":
        return Action(kind="mandate", mandate=mandate)
    documents = _documents(action["documents"], kind="mandate", issued_at=issued_at)
    document = documents[0]
    if (document.form, document.media_type, document.sha256) != ("cms", DOCUMENT_TYPE, mandate.sha256):
        raise ActionUnknown("a mandate's document is not the grant that is shown")
    return Action(kind="mandate", documents=documents, mandate=mandate)


def _statement(action: Mapping[str, Any], *, issued_at: datetime) -> Action:
    """As with a power of attorney: the one document is the statement that is shown."""
    statement = parse_statement(action)
    documents = _documents(action["documents"], kind="statement", issued_at=issued_at)
    document = documents[0]
    if (document.form, document.media_type, document.sha256) != ("cms", DOCUMENT_TYPE, statement.sha256):
        raise ActionUnknown("a statement's document is not the one that is shown")
    return Action(kind="statement", documents=documents, statement=statement)


def age_of(released: str) -> int | None:
    """The N of `age_over_N`; None for every other claim."""
    found = _AGE.match(released)
    return None if found is None else int(found[1])


def _released(release: object) -> tuple[str, ...]:
    if not isinstance(release, list) or not all(isinstance(name, str) for name in release):
        raise ActionUnknown("release is not a list of names")
    if len(set(release)) != len(release):
        raise ActionUnknown("release names something twice")
    ages = {name: age for name in release if (age := age_of(name)) is not None}
    if not all(name in RELEASABLE or name in ages for name in release):
        raise ActionUnknown("action releases what has no template")
    plain = (name for name in RELEASABLE if name in release)
    return (*plain, *sorted(ages, key=ages.__getitem__))


def _documents(rows: object, *, kind: Kind, issued_at: datetime) -> tuple[Document, ...]:
    at_most = MAX_DOCUMENTS if kind == "sign" else 1
    if not isinstance(rows, list) or not 1 <= len(rows) <= at_most:
        raise RequestMalformed(f"documents has not 1 to {at_most} entries")
    documents = tuple(_document(row, issued_at=issued_at) for row in rows)
    application = documents[0]
    if kind == "proof" and (application.form, application.media_type) != ("cms", "text/plain"):
        raise ActionUnknown("what a proof signs is not a plain text of the broker's")
    return documents


def _document(row: object, *, issued_at: datetime) -> Document:
    if not isinstance(row, dict):
        raise RequestMalformed("a document is not an object")
    form = row.get("form", "cms")
    if not isinstance(form, str) or form not in _DOCUMENT_MEMBERS or ("form" in row and form == "cms"):
        raise ActionUnknown("a form of document without a template")
    told = {"size", "type"} if "size" in row or "type" in row else set[str]()
    if row.keys() != _DOCUMENT_MEMBERS[form] | told:
        raise ActionUnknown("a document has members without a template, or lacks some")
    sha256 = _exactly(32, row["sha256"], what="sha256")
    return Document(
        name=_name(row["name"]),
        sha256=sha256,
        size=_size(row["size"]) if told else None,
        media_type=_media_type(row["type"]) if told else None,
        form=cast(Form, form),
        to_sign=_digest(row, sha256) if form == "raw" else _attributes(row, form, sha256, issued_at=issued_at),
    )


def _attributes(row: Mapping[str, Any], form: str, sha256: bytes, *, issued_at: datetime) -> bytes:
    """The attributes, equal to what we would have written: the digest at their end is all that a broker may choose.

    Of a PDF the signature covers a byte range of another digest than the document's that was shown, and the byte range
    states the time instead of the attributes (PAdES).
    """
    text = row["attributes"]
    if not isinstance(text, str) or len(text) > 2 * MAX_ATTRIBUTES:
        raise RequestMalformed("attributes is no text of at most 256 bytes")
    attributes = decode_base64url(text, what="attributes")
    digest, signed_at = (attributes[-32:], None) if form == "pades" else (sha256, issued_at)
    if attributes != cms.document_attributes(digest=digest, signed_at=signed_at):
        raise RequestMalformed("attributes are not content type, digest and the request's own time")
    return attributes


def _digest(row: Mapping[str, Any], sha256: bytes) -> bytes:
    digest = _exactly(32, row["digest"], what="digest")
    if digest != sha256:
        raise RequestMalformed("digest is not the document's sha256")
    return digest


def _name(value: object) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_NAME or not displayable(value):
        raise RequestMalformed(f"a document's name is not 1 to {MAX_NAME} characters that can be seen")
    return value


def _size(value: object) -> int:
    if type(value) is not int or not 0 <= value <= _MAX_SIZE:  # not isinstance: JSON's true is no number
        raise RequestMalformed("a document's size is no number of bytes")
    return value


def _media_type(value: object) -> str:
    if not isinstance(value, str) or not _MEDIA_TYPE.match(value):
        raise RequestMalformed("a document's type is no media type")
    return value


def _exactly(length: int, value: object, *, what: str) -> bytes:
    if not isinstance(value, str) or len(value) > 2 * length:
        raise RequestMalformed(f"{what} is not {length} bytes")
    raw = decode_base64url(value, what=what)
    if len(raw) != length:
        raise RequestMalformed(f"{what} is not {length} bytes")
    return raw
