"""The record: the grant (or the statement) as it was signed, and all that made it whole: what the seal covers.

It carries hashes of evidence, never evidence: no certificate, no serial, no revocation data leave with it
(公的個人認証法 art. 52), and the signatures stay in the operator's store. One method of the Act is otherwise by its
nature: where the principal chose that their own signature travels (委任者記録ファイル方式), it stands in the record,
with the certificate in it; revocation data never does.
"""

from __future__ import annotations

import hashlib
import re
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from broker.delegation import grant_document as grants
from broker.delegation import statement as statements
from broker.delegation.grant import Grant, Method
from broker.delegation.members import MAX_TEXT, canonical, stamp
from broker.delegation.rules import Rule
from broker.delegation.statement import Statement
from broker.errors import InvalidToken, PowerRefused
from broker.jose import parse_json

VERSION: Final = 1
MAX_BYTES: Final = 128 * 1024
MAX_EVIDENCE: Final = 64
_HASH: Final = re.compile(r"[0-9a-f]{64}\Z")
_MEMBERS: Final = frozenset({"v", "type", "issued_at", "evidence", "status", "log", "template"})


class Proof(StrEnum):
    """What a piece of evidence shows."""

    PRINCIPAL_FRAME = "principal_frame"
    """The principal's authentication key signed the frame that names this grant."""
    PRINCIPAL_SIGNATURE = "principal_signature"
    """CAdES by the principal's 署名用 or 商業登記 key over the grant."""
    APPROVAL = "approval"
    ACCEPTANCE = "acceptance"
    """The agent's authentication key signed the frame that accepts it."""
    GUARDIAN_FRAME = "guardian_frame"
    """The guardian's authentication key signed the frame that names this grant."""
    GUARDIAN_SIGNATURE = "guardian_signature"
    """CAdES by the guardian's 署名用 key over the grant."""
    CHILD_CARD = "child_card"
    """The child's authentication key signed the frame that joins it."""
    GUARDIANSHIP = "guardianship"
    """The service has seen what shows the guardianship (母子健康手帳, 戸籍), and said so by its own key."""
    DECISION = "decision"
    """The operator's signed and time-stamped word on the certificates of all of them."""
    REGISTRY_EXTRACT = "registry_extract"
    """登記事項証明書, judged by two people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The SHA-256 (hex) of one piece, and when it came."""

    shows: Proof
    sha256: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What a record says beside the text that was signed."""

    issued_at: datetime
    evidence: tuple[Evidence, ...]
    status_list: str
    """Where the status list is published (Token Status List)."""
    status_index: int
    log_origin: str
    template: str
    """Name and SHA-256 of what it is printed with, NAME:HEX."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record(Frame):
    """One record. `grant_bytes` stand in it as they were signed, as one text."""

    grant_bytes: bytes = field(repr=False)
    grant: Grant
    signature: bytes = field(default=b"", repr=False)
    """The principal's CMS (DER) over `grant_bytes`, where `grant.method` is PRINCIPAL_FILE and nowhere else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementRecord(Frame):
    """The same of a statement (雇用証明書)."""

    statement_bytes: bytes = field(repr=False)
    statement: Statement


def type_of(data: bytes) -> str:
    """What a record says it is, before it is read. Raises PowerRefused."""
    try:
        return str(parse_json(data, limit=MAX_BYTES).get("type"))
    except InvalidToken:
        raise PowerRefused(Rule.FORM) from None


def write(record: Record) -> bytes:
    """The record's bytes, which the document carries. Raises PowerRefused, as `read` of them."""
    travels = {"signature": b64encode(record.signature).decode()} if record.signature else {}
    data = _written(record, kind=record.grant.kind.value, grant=record.grant_bytes.decode("utf-8"), **travels)
    if read(data) != record:
        raise PowerRefused(Rule.FORM)
    return data


def read(data: bytes) -> Record:
    """The record in `data`. Raises PowerRefused."""
    members = _members(data, "grant", optional="signature")
    signed = _signed(members["grant"])
    grant = grants.read(signed)
    if members["type"] != grant.kind.value:
        raise PowerRefused(Rule.FORM, "type")
    frame = _frame(members)
    return Record(grant_bytes=signed, grant=grant, signature=_signature(members, grant, frame["evidence"]), **frame)


def _signature(members: Mapping[str, Any], grant: Grant, evidence: Sequence[Evidence]) -> bytes:
    """The one that the evidence names."""
    if ("signature" in members) != (grant.method is Method.PRINCIPAL_FILE):
        raise PowerRefused(Rule.FORM, "signature")
    if "signature" not in members:
        return b""
    try:
        signature = b64decode(members["signature"], validate=True)
    except (TypeError, ValueError):
        raise PowerRefused(Rule.FORM, "signature") from None
    told = {each.sha256 for each in evidence if each.shows is Proof.PRINCIPAL_SIGNATURE}
    if told != {hashlib.sha256(signature).hexdigest()}:
        raise PowerRefused(Rule.FORM, "signature")
    return signature


def write_statement(record: StatementRecord) -> bytes:
    """As `write`."""
    data = _written(record, kind=statements.TYPE, statement=record.statement_bytes.decode("utf-8"))
    if read_statement(data) != record:
        raise PowerRefused(Rule.FORM)
    return data


def read_statement(data: bytes) -> StatementRecord:
    """As `read`."""
    members = _members(data, "statement")
    signed = _signed(members["statement"])
    statement = statements.read(signed)
    if members["type"] != statements.TYPE:
        raise PowerRefused(Rule.FORM, "type")
    return StatementRecord(statement_bytes=signed, statement=statement, **_frame(members))


def _written(frame: Frame, *, kind: str, **signed: str) -> bytes:
    return canonical(
        {
            "v": VERSION,
            "type": kind,
            **signed,
            "issued_at": stamp(frame.issued_at),
            "evidence": [
                {"shows": each.shows.value, "sha256": each.sha256, "at": stamp(each.at)} for each in frame.evidence
            ],
            "status": {"list": frame.status_list, "index": frame.status_index},
            "log": frame.log_origin,
            "template": frame.template,
        }
    )


def _members(data: bytes, signed: str, *, optional: str = "") -> dict[str, Any]:
    try:
        members = parse_json(data, limit=MAX_BYTES)
    except InvalidToken:
        raise PowerRefused(Rule.FORM) from None
    if members.keys() - {optional} != _MEMBERS | {signed} or members["v"] != VERSION:
        raise PowerRefused(Rule.FORM)
    return members


def _signed(text: Any) -> bytes:
    try:
        data: bytes = text.encode("utf-8")
    except (AttributeError, UnicodeEncodeError):
        raise PowerRefused(Rule.FORM) from None
    return data


def _frame(members: Mapping[str, Any]) -> dict[str, Any]:
    try:
        status, evidence = members["status"], members["evidence"]
        if status.keys() != {"list", "index"} or not 1 <= len(evidence) <= MAX_EVIDENCE:
            raise PowerRefused(Rule.FORM, "status")
        return {
            "issued_at": _moment(members["issued_at"]),
            "evidence": tuple(_evidence(each) for each in evidence),
            "status_list": _text(status["list"]),
            "status_index": _index(status["index"]),
            "log_origin": _text(members["log"]),
            "template": _text(members["template"]),
        }
    except (AttributeError, KeyError, TypeError, ValueError):
        raise PowerRefused(Rule.FORM) from None


def _evidence(members: Any) -> Evidence:
    if members.keys() != {"shows", "sha256", "at"} or _HASH.match(members["sha256"]) is None:
        raise PowerRefused(Rule.FORM, "evidence")
    return Evidence(shows=Proof(members["shows"]), sha256=members["sha256"], at=_moment(members["at"]))


def _moment(text: Any) -> datetime:
    moment = datetime.fromisoformat(text)
    if stamp(moment) != text:
        raise PowerRefused(Rule.FORM)
    return moment


def _text(value: Any) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_TEXT:
        raise PowerRefused(Rule.FORM)
    return value


def _index(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**32:
        raise PowerRefused(Rule.FORM, "status.index")
    return value
