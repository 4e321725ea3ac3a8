"""A service's members: whose login a number is, what waits for the counter, and what was counted."""

from __future__ import annotations

import hmac
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sandbox.party.visits import Visits

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS member (
    number TEXT PRIMARY KEY, word TEXT NOT NULL, issuer TEXT, subject TEXT, counted INTEGER NOT NULL DEFAULT 0,
    UNIQUE (issuer, subject)
) STRICT;
CREATE TABLE IF NOT EXISTS waiting (
    link_id TEXT PRIMARY KEY, number TEXT NOT NULL, issuer TEXT NOT NULL, subject TEXT NOT NULL
) STRICT;
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A number, and what was counted under it."""

    number: str
    counted: int


class Members(Visits):
    """Members beside the visits."""

    def __init__(self, path: Path, known: Mapping[str, str]) -> None:
        """Make the file and the numbers that people have already. Raises OSError, sqlite3.Error."""
        super().__init__(path, schema=_SCHEMA)
        with self._connection() as database, database:
            database.executemany("INSERT OR IGNORE INTO member (number, word) VALUES (?, ?)", known.items())

    def of(self, person: tuple[str, str]) -> Member | None:
        """The member that this login is."""
        with self._connection() as database:
            row = database.execute(
                "SELECT number, counted FROM member WHERE issuer = ? AND subject = ?", person
            ).fetchone()
        return None if row is None else Member(number=row[0], counted=row[1])

    def holder(self, number: str) -> tuple[str, str] | None:
        """Whose login a number is; None for nobody's."""
        with self._connection() as database:
            row = database.execute("SELECT issuer, subject FROM member WHERE number = ?", (number,)).fetchone()
        return None if row is None or row[0] is None else (row[0], row[1])

    def knows(self, number: str, word: str) -> bool:
        """Is it a number of ours, and its word the right one?"""
        with self._connection() as database:
            row = database.execute("SELECT word FROM member WHERE number = ?", (number,)).fetchone()
        return hmac.compare_digest((row[0] if row else "").encode(), word.strip().encode()) and row is not None

    def add(self, number: str) -> bool:
        """A number made here; False where it was made before."""
        try:
            with self._connection() as database, database:
                database.execute("INSERT INTO member (number, word) VALUES (?, '')", (number,))
        except sqlite3.IntegrityError:
            return False
        return True

    def bind(self, number: str, person: tuple[str, str]) -> None:
        """The broker says whose it is now: what this person had before is theirs no more, nor anybody else's this."""
        with self._connection() as database, database:
            database.execute("UPDATE member SET issuer = NULL, subject = NULL WHERE issuer = ? AND subject = ?", person)
            database.execute("UPDATE member SET issuer = ?, subject = ? WHERE number = ?", (*person, number))
            database.execute("DELETE FROM waiting WHERE number = ?", (number,))

    def release(self, person: tuple[str, str]) -> None:
        """This login is no member any more; the number and its count stay."""
        with self._connection() as database, database:
            database.execute("UPDATE member SET issuer = NULL, subject = NULL WHERE issuer = ? AND subject = ?", person)

    def wait(self, link_id: str, number: str, person: tuple[str, str]) -> None:
        """Held at the broker until somebody has looked (R6)."""
        with self._connection() as database, database:
            database.execute("INSERT OR REPLACE INTO waiting VALUES (?, ?, ?, ?)", (link_id, number, *person))

    def waits(self, person: tuple[str, str]) -> tuple[str, str] | None:
        """What waits of this login: the link and its number."""
        with self._connection() as database:
            row = database.execute(
                "SELECT link_id, number FROM waiting WHERE issuer = ? AND subject = ?", person
            ).fetchone()
        return None if row is None else (row[0], row[1])

    def count(self, person: tuple[str, str], *, each: int, most: int) -> bool:
        """Count one act, in one statement; False where there is no more to be had."""
        with self._connection() as database, database:
            done = database.execute(
                "UPDATE member SET counted = counted + ? WHERE issuer = ? AND subject = ? AND (? = 0 OR counted < ?)",
                (each, *person, most, most),
            )
            return done.rowcount == 1
