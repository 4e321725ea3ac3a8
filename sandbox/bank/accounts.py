"""The bank's books: its customers, whose login is whose (官民ID連携 from the private side), and who is here."""

from __future__ import annotations

import sqlite3
import tomllib
import unicodedata
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

from sandbox.party.visits import Visits

CUSTOMERS_FILE: Final = Path(__file__).with_name("customers.toml")

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS customer (number TEXT PRIMARY KEY, name TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS link (
    issuer TEXT NOT NULL, subject TEXT NOT NULL,
    number TEXT NOT NULL UNIQUE REFERENCES customer (number), linked_at TEXT NOT NULL,
    PRIMARY KEY (issuer, subject)
) STRICT;
CREATE TABLE IF NOT EXISTS registered (
    issuer TEXT NOT NULL, subject TEXT NOT NULL, number TEXT NOT NULL, link_id TEXT NOT NULL, held INTEGER NOT NULL,
    PRIMARY KEY (issuer, subject)
) STRICT;
"""


class NumberRefused(Exception):
    """The customer number is unknown, taken by another login, or this login has one: the asker is not told which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Customer:
    """A customer as the bank has known them all along."""

    number: str
    name: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """A customer number that the login service knows too, or holds until the bank has looked."""

    number: str
    link_id: str
    held: bool


class Accounts(Visits):
    """Customers and logins beside the visits."""

    def __init__(self, path: Path) -> None:
        """Make the file and its customers where they are missing. Raises OSError, sqlite3.Error."""
        super().__init__(path, schema=_SCHEMA)
        customers = tomllib.loads(CUSTOMERS_FILE.read_text(encoding="utf-8"))
        with self._connection() as database, database:
            database.executemany("INSERT OR IGNORE INTO customer VALUES (?, ?)", customers.items())

    def customer_of(self, person: tuple[str, str]) -> Customer | None:
        """The customer whom this login was bound to."""
        with self._connection() as database:
            row = database.execute(
                "SELECT number, name FROM customer NATURAL JOIN link WHERE issuer = ? AND subject = ?", person
            ).fetchone()
        return None if row is None else Customer(number=row[0], name=row[1])

    def unbound(self, number: str) -> Customer | None:
        """The customer of this number, if no login is bound to it yet."""
        with self._connection() as database:
            row = database.execute(
                "SELECT number, name FROM customer WHERE number = ? AND number NOT IN (SELECT number FROM link)",
                (number,),
            ).fetchone()
        return None if row is None else Customer(number=row[0], name=row[1])

    def bind(self, person: tuple[str, str], number: str, *, now: datetime) -> None:
        """Bind a login to a customer, for good: both sides are unique, and one statement decides a race.

        Raises NumberRefused.
        """
        try:
            with self._connection() as database, database:
                database.execute("INSERT INTO link VALUES (?, ?, ?, ?)", (*person, number, now.isoformat()))
        except sqlite3.IntegrityError:
            raise NumberRefused("unknown number, or one of the two is bound already") from None

    def registered(self, person: tuple[str, str]) -> Registered | None:
        """What this person had registered at the login service, as far as the bank was told."""
        with self._connection() as database:
            row = database.execute(
                "SELECT number, link_id, held FROM registered WHERE issuer = ? AND subject = ?", person
            ).fetchone()
        return None if row is None else Registered(number=row[0], link_id=row[1], held=bool(row[2]))

    def register(self, person: tuple[str, str], told: Registered, *, now: datetime) -> None:
        """The login service's answer. Once it stands, a changed number takes the place of the one before.

        Raises NumberRefused, and nothing is changed.
        """
        try:
            with self._connection() as database, database:
                if not told.held:
                    database.execute("DELETE FROM link WHERE issuer = ? AND subject = ?", person)
                    database.execute("INSERT INTO link VALUES (?, ?, ?, ?)", (*person, told.number, now.isoformat()))
                database.execute(
                    "INSERT OR REPLACE INTO registered VALUES (?, ?, ?, ?, ?)",
                    (*person, told.number, told.link_id, int(told.held)),
                )
        except sqlite3.IntegrityError:
            raise NumberRefused("unknown number, or another login's") from None

    def unregister(self, person: tuple[str, str]) -> None:
        """The login service knows it no more; the customer stays one."""
        with self._connection() as database, database:
            database.execute("DELETE FROM registered WHERE issuer = ? AND subject = ?", person)

    def spare(self) -> tuple[Customer, ...]:
        """Customers without a login, for the sandbox's page: a real bank shows nobody's number to anybody."""
        with self._connection() as database:
            rows = database.execute(
                "SELECT number, name FROM customer WHERE number NOT IN (SELECT number FROM link) ORDER BY number"
            ).fetchall()
        return tuple(Customer(number=number, name=name) for number, name in rows)


def normalize_number(typed: str) -> str | None:
    """Seven digits from what a person typed: full width, spaces and hyphens are forgiven. None for anything else."""
    digits = "".join(
        character for character in unicodedata.normalize("NFKC", typed[:64]) if character not in " -‐‑–—−ー"
    )
    return digits if len(digits) == 7 and digits.isascii() and digits.isdigit() else None
