"""What somebody signs as principal, of either kind: a power of attorney, or a statement about one of their people."""

from __future__ import annotations

from dataclasses import replace

from broker.delegation import grant_document as grants
from broker.delegation import statement as statements
from broker.delegation.grant import Grant, Party
from broker.delegation.members import MAX_BYTES
from broker.delegation.rules import Rule
from broker.delegation.statement import Statement
from broker.errors import InvalidToken, PowerRefused
from broker.jose import parse_json

Content = Grant | Statement


def read(data: bytes) -> Content:
    """Raises PowerRefused, as the reader of its kind."""
    try:
        kind = parse_json(data, limit=MAX_BYTES).get("type")
    except InvalidToken:
        raise PowerRefused(Rule.FORM) from None
    return statements.read(data) if kind == statements.TYPE else grants.read(data)


def write(content: Content) -> bytes:
    """The canonical bytes, which are signed. Raises PowerRefused."""
    return statements.write(content) if isinstance(content, Statement) else grants.write(content)


def with_nonce(draft: bytes, nonce: str) -> bytes:
    """The same content, to be signed in that transaction and no other. Raises PowerRefused."""
    read_ = read(draft)
    return write(replace(read_, nonce=nonce))


def name_of(content: Content) -> str:
    """What it is called in records and actions: "grant" or "statement"."""
    return "statement" if isinstance(content, Statement) else "grant"


def principal_of(content: Content) -> Party:
    """Who signs: the one who grants, or the employer."""
    return content.employer if isinstance(content, Statement) else content.principal
