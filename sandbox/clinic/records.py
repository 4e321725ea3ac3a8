"""The clinic's books: its patients, whose pseudonym is whose number, who asked at the desk, and the answers it had."""

from __future__ import annotations

import sqlite3
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from sandbox.clinic.matters import AnswerUnfit, Matters
from sandbox.party.settings import DETAIL
from sandbox.party.visits import Visit

PATIENTS_FILE: Final = Path(__file__).with_name("patients.toml")
VIEW: Final[Mapping[str, Any]] = {"type": DETAIL, "actions": ["view_record"]}
"""The question for the broker (RFC 9396): may who logs in see the records of somebody of the family here?"""

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS patient (subject TEXT PRIMARY KEY, number TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE IF NOT EXISTS asking (subject TEXT PRIMARY KEY, at TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS answer (
    decision TEXT PRIMARY KEY, actor TEXT NOT NULL, principal TEXT NOT NULL, holds_until TEXT NOT NULL
) STRICT;
"""


class NumberTaken(Exception):
    """No such patient, or the number or the child is bound already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """One child as the clinic has known it all along."""

    number: str
    name: str = field(repr=False)
    born: str = field(repr=False)
    vaccinations: tuple[Mapping[str, str], ...] = field(repr=False)
    checkups: tuple[Mapping[str, str], ...] = field(repr=False)


class Records(Matters):
    """Patients beside the visits and the consultations."""

    def __init__(self, path: Path) -> None:
        """Raises OSError, sqlite3.Error."""
        super().__init__(path, schema=_SCHEMA)
        told = tomllib.loads(PATIENTS_FILE.read_text(encoding="utf-8"))
        self.patients: Final = {
            number: Patient(
                number=number,
                name=each["name"],
                born=each["born"],
                vaccinations=tuple(each["vaccinations"]),
                checkups=tuple(each["checkups"]),
            )
            for number, each in told.items()
        }

    def bind(self, subject: str, number: str) -> None:
        """The patient number of the child behind a pseudonym, for good; saying the same again does no harm.

        Raises NumberTaken.
        """
        if number not in self.patients:
            raise NumberTaken("unknown")
        found = self.patient_of(subject)
        if found is not None and found.number == number:
            return
        try:
            with self._connection() as database, database:
                database.execute("INSERT INTO patient VALUES (?, ?)", (subject, number))
        except sqlite3.IntegrityError:
            raise NumberTaken("bound already") from None

    def patient_of(self, subject: str) -> Patient | None:
        with self._connection() as database:
            row = database.execute("SELECT number FROM patient WHERE subject = ?", (subject,)).fetchone()
        return None if row is None else self.patients[row[0]]

    def ask(self, subject: str, *, now: datetime) -> None:
        """A parent wants the desk to look at the papers."""
        with self._connection() as database, database:
            database.execute(
                "INSERT INTO asking VALUES (?, ?) ON CONFLICT (subject) DO UPDATE SET at = excluded.at",
                (subject, now.isoformat()),
            )

    def asking(self) -> tuple[str, ...]:
        """Who does, the newest first."""
        with self._connection() as database:
            rows = database.execute("SELECT subject FROM asking ORDER BY at DESC LIMIT 50").fetchall()
        return tuple(row[0] for row in rows)

    def take(self, visit: Visit, *, actor: str, now: datetime) -> str | None:
        """Keep an answer that was yes; its name, or None where it was no. Raises AnswerUnfit: to another question,
        about another person, too late, or taken before.
        """
        fitting = [each for each in visit.granted if VIEW.items() <= each.items()]
        if len(fitting) != 1 or visit.claims["sub"] != actor:
            raise AnswerUnfit("no answer to this question by this person")
        (answer,) = fitting
        if answer.get("decision") != "allow":
            return None
        if datetime.fromisoformat(str(answer["holds_until"])) <= now:
            raise AnswerUnfit("the answer holds no longer")
        row = (str(answer["decision_id"]), actor, str(answer["principal"]), str(answer["holds_until"]))
        try:
            with self._connection() as database, database:
                database.execute("INSERT INTO answer VALUES (?, ?, ?, ?)", row)
        except sqlite3.IntegrityError:
            raise AnswerUnfit("taken before") from None
        return row[0]

    def shown(self, decision: str, *, actor: str, now: datetime) -> Patient | None:
        """Whose record this answer opens, while it holds; None for anything else."""
        with self._connection() as database:
            row = database.execute(
                "SELECT principal, holds_until FROM answer WHERE decision = ? AND actor = ?", (decision, actor)
            ).fetchone()
        if row is None or datetime.fromisoformat(row[1]) <= now:
            return None
        return self.patient_of(row[0])
