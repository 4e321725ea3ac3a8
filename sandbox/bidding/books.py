"""The service's books: what is tendered, and which bids came in on whose answer."""

from __future__ import annotations

import secrets
import sqlite3
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from sandbox.party.settings import DETAIL
from sandbox.party.visits import Visit, Visits

TENDERS_FILE: Final = Path(__file__).with_name("tenders.toml")
MAX_AMOUNT: Final = 10**12
"""Yen."""

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS bid (
    id TEXT PRIMARY KEY, tender TEXT NOT NULL, amount INTEGER NOT NULL, tax_included INTEGER NOT NULL,
    accepted INTEGER NOT NULL, subject TEXT NOT NULL, bidder TEXT NOT NULL, corporate_number TEXT NOT NULL,
    mandate TEXT NOT NULL, decision TEXT NOT NULL UNIQUE, decided_at TEXT NOT NULL, at TEXT NOT NULL
) STRICT;
"""


class AnswerUnfit(Exception):
    """What the broker answered is not an answer to the bid that was made here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tender:
    """One tender of one office."""

    number: str
    name: str
    name_en: str
    office: str
    """Its code, as powers of attorney name it."""
    office_name: str
    office_name_en: str
    category: str
    category_en: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What somebody wants to bid, before anybody was asked whether they may."""

    tender: str
    amount: int
    tax_included: bool

    def question(self, tender: Tender) -> dict[str, Any]:
        """The question for the broker (RFC 9396)."""
        return {
            "type": DETAIL,
            "actions": ["bid"],
            "locations": [tender.office],
            "case_no": tender.number,
            "category": tender.category,
            "amount": self.amount,
            "tax_included": self.tax_included,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Bid:
    """A bid as it is kept. What was refused says of its maker nothing but that."""

    id: str
    tender: str
    amount: int
    tax_included: bool
    accepted: bool
    bidder: str
    corporate_number: str
    mandate: str
    decision: str
    decided_at: str
    at: str


class Books(Visits):
    """Tenders and bids beside the visits."""

    def __init__(self, path: Path) -> None:
        """Raises OSError, sqlite3.Error."""
        super().__init__(path, schema=_SCHEMA)
        rows = tomllib.loads(TENDERS_FILE.read_text(encoding="utf-8"))["tender"]
        self.tenders: Final[Mapping[str, Tender]] = {row["number"]: Tender(**row) for row in rows}

    def decide(self, visit: Visit, offer: Offer, *, subject: str, now: datetime) -> Bid:
        """Take the bid where the broker said yes to this very question, a moment ago, about who is logged in here.

        Raises AnswerUnfit.
        """
        answer = _answer_to(visit, offer.question(self.tenders[offer.tender]))
        if visit.claims["sub"] != subject:
            raise AnswerUnfit("another person's card")
        accepted = answer.get("decision") == "allow"
        if accepted and datetime.fromisoformat(answer["holds_until"]) <= now:
            raise AnswerUnfit("the answer holds no longer")
        bidder, number = _principal(visit) if accepted else ("", "")
        bid = Bid(
            id=secrets.token_urlsafe(12),
            tender=offer.tender,
            amount=offer.amount,
            tax_included=offer.tax_included,
            accepted=accepted,
            bidder=bidder,
            corporate_number=number,
            mandate=str(answer.get("mandate", "")) if accepted else "",
            decision=str(answer["decision_id"]),
            decided_at=str(answer["decided_at"]),
            at=now.astimezone(UTC).replace(microsecond=0).isoformat(),
        )
        try:
            with self._connection() as database, database:
                database.execute(
                    "INSERT INTO bid VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        bid.id,
                        bid.tender,
                        bid.amount,
                        bid.tax_included,
                        bid.accepted,
                        subject,
                        bid.bidder,
                        bid.corporate_number,
                        bid.mandate,
                        bid.decision,
                        bid.decided_at,
                        bid.at,
                    ),
                )
        except sqlite3.IntegrityError:
            raise AnswerUnfit("this answer was used before") from None
        return bid

    def bid(self, bid_id: str, *, subject: str) -> Bid | None:
        """One of somebody's own."""
        with self._connection() as database:
            row = database.execute(f"{_BIDS} WHERE id = ? AND subject = ?", (bid_id, subject)).fetchone()
        return None if row is None else _bid(row)

    def of(self, subject: str) -> tuple[Bid, ...]:
        """Somebody's own, the newest first."""
        with self._connection() as database:
            rows = database.execute(f"{_BIDS} WHERE subject = ? ORDER BY at DESC, id", (subject,)).fetchall()
        return tuple(_bid(row) for row in rows)

    def received(self) -> tuple[Bid, ...]:
        """For the office: what was taken, the newest first."""
        with self._connection() as database:
            rows = database.execute(f"{_BIDS} WHERE accepted ORDER BY at DESC, id").fetchall()
        return tuple(_bid(row) for row in rows)


_BIDS: Final = (
    "SELECT id, tender, amount, tax_included, accepted, bidder, corporate_number, mandate, decision, decided_at, at"
    " FROM bid"
)


def _bid(row: Any) -> Bid:
    return Bid(
        id=row[0],
        tender=row[1],
        amount=row[2],
        tax_included=bool(row[3]),
        accepted=bool(row[4]),
        bidder=row[5],
        corporate_number=row[6],
        mandate=row[7],
        decision=row[8],
        decided_at=row[9],
        at=row[10],
    )


def _answer_to(visit: Visit, question: Mapping[str, Any]) -> Mapping[str, Any]:
    """The one answer that repeats the question word for word."""
    fitting = [each for each in visit.granted if question.items() <= each.items()]
    if len(fitting) != 1 or fitting[0].get("decision") not in {"allow", "deny"}:
        raise AnswerUnfit("no answer to this question")
    return fitting[0]


def _principal(visit: Visit) -> tuple[str, str]:
    """Name and corporate number of whom the bid is for, out of the signed ID token."""
    try:
        (authority,) = visit.claims["verified_claims"]["claims"]["authority"]
        principal = authority["applies_to"]
        return str(principal["organization_name"]), str(principal.get("registration_number", ""))
    except (KeyError, TypeError, ValueError):
        raise AnswerUnfit("the ID token does not say for whom") from None
