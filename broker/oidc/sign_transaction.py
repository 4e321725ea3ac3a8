"""Documents that a client asks a resident to sign: what it may order, and what it is told afterwards (design 4.12).

The addresses and the order of the steps are those of the デジタル認証アプリ's public interface: a transaction is
made with the client's own token, its id stands in the authorization request, and the result is fetched by it.
"""

from __future__ import annotations

import binascii
import unicodedata
from base64 import b64decode
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from hashlib import sha256
from typing import Any, Final

from broker.errors import DocumentRefused, InvalidRequest, SigningNotAllowed
from broker.oidc.client import AuthMethod, Client, Right

SCOPE: Final = "sign"
LIFETIME: Final = timedelta(minutes=15)
"""From the order to the signature: a login begins within it and may take its own ten minutes."""
RESULT_LIFETIME: Final = timedelta(minutes=10)
"""From the signature to the wiping of documents and result."""
MAX_DOCUMENTS: Final = 10
MAX_NAME: Final = 200
"""Characters, as the agent shows them."""
MAX_CONTENT: Final = 5 * 1024 * 1024
"""Octets of all documents of an order together."""
MAX_TEXT: Final = 64 * 1024
"""Octets of one text: it is read on the page."""
MAX_ORDER: Final = 8 * 1024 * 1024
"""Octets of an order as JSON: the documents in Base64, and their names."""
PDF: Final = "application/pdf"
TEXT: Final = "text/plain"
_DIGEST_NAMES: Final = frozenset({"SHA-256", "SHA256", "sha256", "sha-256"})
_DIGEST_INFO: Final = bytes.fromhex("3031300d060960864801650304020105000420")
"""The DigestInfo of a SHA-256 hash up to the hash (RFC 8017 §9.2, note 1): the card puts it before a digest itself."""
_KNOWN: Final = frozenset({"name", "digest", "digest_algorithm", "content", "type", "format"})
_DIRECTIONS: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


class Form(StrEnum):
    """What a signature comes as."""

    CADES = "cades"
    """A detached CMS over the document (ETSI EN 319 122-1, B-B)."""
    PADES = "pades"
    """Within the PDF (ETSI EN 319 142-1, B-B)."""
    RAW = "raw"
    """RSASSA-PKCS1-v1_5 over the digest itself, without CMS: needs Right.RAW_SIGNING."""


class State(StrEnum):
    """How far a transaction is; cancelled and run out ones are gone."""

    WAITING = "waiting"
    SIGNED = "signed"


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderedDocument:
    """One document of an order. `content` is None where the client told its digest alone: then nobody can show it."""

    name: str
    form: Form
    digest: bytes
    """SHA-256 of the document."""
    media_type: str | None = None
    content: bytes | None = field(default=None, repr=False)


def check_may_sign(client: Client) -> None:
    """Who may have residents sign (design 4.8). Raises SigningNotAllowed."""
    if client.auth_method is not AuthMethod.PRIVATE_KEY_JWT:
        raise SigningNotAllowed("signing takes a client that authenticates with private_key_jwt")
    if SCOPE not in client.scope:
        raise SigningNotAllowed("this client is not registered for the scope sign")


def read_request(named: str | None, asked: Collection[str], client: Client) -> str | None:
    """The transaction that an authorization request names, for which it must ask for the scope `sign` (and the other
    way round). Raises InvalidRequest, SigningNotAllowed. Whose it is, and whether it waits, the store says.
    """
    if named is None and SCOPE not in asked:
        return None
    if named is None or SCOPE not in asked:
        raise InvalidRequest("sign_transaction_id and the scope sign go together")
    check_may_sign(client)
    if not client.pushes and Right.DIRECT_SIGNING not in client.rights:
        raise SigningNotAllowed("a request to sign is pushed (RFC 9126)")
    return named


def read_order(given: Mapping[str, Any], client: Client) -> tuple[OrderedDocument, ...]:
    """The documents that a request body orders, each checked but for what is inside a PDF.

    Either `documents`, or one alone by `digest` at the top. Members beside these are ignored at the top and refused in
    a document. Raises InvalidRequest, SigningNotAllowed, DocumentRefused.
    """
    if given.get("client_id", client.client_id) != client.client_id:
        raise InvalidRequest("client_id is not that of the token")
    if ("documents" in given) == ("digest" in given):
        raise InvalidRequest("either documents, or the digest of one")
    rows = given.get("documents")
    if rows is None:
        rows = [{name: given[name] for name in _KNOWN & given.keys()}]
    if not isinstance(rows, list) or not 1 <= len(rows) <= MAX_DOCUMENTS:
        raise InvalidRequest(f"documents: 1 to {MAX_DOCUMENTS}")
    documents = tuple(_document(row, client) for row in rows)
    if sum(len(document.content or b"") for document in documents) > MAX_CONTENT:
        raise DocumentRefused(f"documents of together more than {MAX_CONTENT} octets")
    return documents


def _document(row: object, client: Client) -> OrderedDocument:
    if not isinstance(row, dict) or row.keys() - _KNOWN:
        raise InvalidRequest(f"a document has the members {', '.join(sorted(_KNOWN))}")
    if ("digest" in row) == ("content" in row):
        raise InvalidRequest("a document comes whole (content) or by its digest")
    name = _name(row.get("name"), needed="content" in row)
    if "digest" in row:
        form = _form(row.get("format", Form.CADES), Form.CADES, Form.RAW)
        if form is Form.RAW and Right.RAW_SIGNING not in client.rights:
            raise SigningNotAllowed("raw signatures take a right that an administrator grants")
        if "type" in row or row.get("digest_algorithm", "SHA-256") not in _DIGEST_NAMES:
            raise InvalidRequest("digest_algorithm: SHA-256; a type goes with content")
        return OrderedDocument(name=name, form=form, digest=_digest(row["digest"], form))
    content = _octets(row["content"], "content")
    if "digest_algorithm" in row:
        raise InvalidRequest("digest_algorithm goes with digest")
    match row.get("type"):
        case "application/pdf":
            form = _form(row.get("format", Form.PADES), Form.PADES, Form.CADES)
            media_type = PDF
        case "text/plain":
            form = _form(row.get("format", Form.CADES), Form.CADES)
            media_type = TEXT
            check_text(content)
        case _:
            raise InvalidRequest(f"type: {PDF} or {TEXT}")
    return OrderedDocument(
        name=name, form=form, digest=sha256(content).digest(), media_type=media_type, content=content
    )


def check_text(content: bytes) -> str:
    """A text that everybody who looks at it sees alike. Raises DocumentRefused."""
    if not 0 < len(content) <= MAX_TEXT:
        raise DocumentRefused(f"a text has 1 to {MAX_TEXT} octets")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        raise DocumentRefused("a text is UTF-8") from None
    if any(_unseen(character) and character not in "\t\n\r" for character in text) or not text.strip():
        raise DocumentRefused("a text with characters that cannot be seen, or change the direction of others")
    return text


def _unseen(character: str) -> bool:
    """Controls, direction marks, private use, unassigned: what is shown for them differs, or nothing is."""
    return character in _DIRECTIONS or unicodedata.category(character) in {"Cc", "Cs", "Co", "Cn"}


def _name(value: object, *, needed: bool) -> str:
    if value is None and not needed:
        return "-"
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_NAME or not value.strip():
        raise InvalidRequest(f"name: 1 to {MAX_NAME} characters")
    if any(_unseen(character) for character in value):
        raise InvalidRequest("name: without characters that cannot be seen, or change the direction of others")
    return value


def _form(value: object, *allowed: Form) -> Form:
    for form in allowed:
        if value == form.value:
            return form
    raise InvalidRequest(f"format here: {' or '.join(allowed)}")


def _digest(value: object, form: Form) -> bytes:
    octets = _octets(value, "digest", most=128)
    if form is Form.RAW and len(octets) == len(_DIGEST_INFO) + 32 and octets.startswith(_DIGEST_INFO):
        return octets[len(_DIGEST_INFO) :]
    if len(octets) != 32:
        raise InvalidRequest("digest: the 32 octets of a SHA-256 hash in Base64")
    return octets


def _octets(value: object, member: str, *, most: int = MAX_ORDER) -> bytes:
    """Base64, of either alphabet, with or without padding."""
    if not isinstance(value, str) or not 0 < len(value) <= most or not value.isascii():
        raise InvalidRequest(f"{member}: Base64")
    try:
        standard = value.translate(_TO_STANDARD).rstrip("=")
        return b64decode(standard + "=" * (-len(standard) % 4), validate=True)
    except binascii.Error:
        raise InvalidRequest(f"{member}: Base64") from None


_TO_STANDARD: Final = str.maketrans("-_", "+/")
