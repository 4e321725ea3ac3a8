"""The bank's books: its customers, whose login is whose (官民ID連携 from the private side), and who is here."""

from __future__ import annotations

import hashlib
import json
import secrets
import sqlite3
import tomllib
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

VISIT_LIFETIME: Final = timedelta(minutes=30)
CUSTOMERS_FILE: Final = Path(__file__).with_name("customers.toml")

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS customer (number TEXT PRIMARY KEY, name TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS link (
    issuer TEXT NOT NULL, subject TEXT NOT NULL,
    number TEXT NOT NULL UNIQUE REFERENCES customer (number), linked_at TEXT NOT NULL,
    PRIMARY KEY (issuer, subject)
) STRICT;
CREATE TABLE IF NOT EXISTS visit (
    digest BLOB PRIMARY KEY, claims TEXT NOT NULL, id_token TEXT NOT NULL, expires_at TEXT NOT NULL,
    proved TEXT NOT NULL
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
class Visit:
    """Somebody logged in: the verified claims of their ID token, and the token itself as a hint for logging out."""

    claims: Mapping[str, Any] = field(repr=False)
    id_token: str = field(repr=False)
    proved: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """What userinfo told beside `sub`: name, address and the like, where an account is opened."""

    @property
    def person(self) -> tuple[str, str]:
        """Issuer and subject: only the two together name a person (OIDC Core §5.7)."""
        return str(self.claims["iss"]), str(self.claims["sub"])


class Accounts:
    """SQLite behind short transactions; each call opens its own connection, so any thread may call."""

    def __init__(self, path: Path) -> None:
        """Make the file and its customers where they are missing. Raises OSError, sqlite3.Error."""
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path = path
        customers = tomllib.loads(CUSTOMERS_FILE.read_text(encoding="utf-8"))
        with self._connection() as database:
            database.execute("PRAGMA journal_mode = WAL")
            database.executescript(_SCHEMA)
            with database:
                database.executemany("INSERT OR IGNORE INTO customer VALUES (?, ?)", customers.items())

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        database = sqlite3.connect(self._path, timeout=10)
        try:
            database.execute("PRAGMA foreign_keys = ON")
            yield database
        finally:
            database.close()

    def open_visit(self, visit: Visit, *, now: datetime) -> str:
        """Remember who is logged in; answers the secret for the browser's cookie. Only its hash is stored."""
        key = secrets.token_urlsafe(32)
        with self._connection() as database, database:
            database.execute("DELETE FROM visit WHERE expires_at <= ?", (now.isoformat(),))
            database.execute(
                "INSERT INTO visit VALUES (?, ?, ?, ?, ?)",
                (
                    _digest(key),
                    json.dumps(dict(visit.claims)),
                    visit.id_token,
                    (now + VISIT_LIFETIME).isoformat(),
                    json.dumps(dict(visit.proved)),
                ),
            )
        return key

    def visit(self, key: str, *, now: datetime) -> Visit | None:
        """Who is logged in with this secret, if anybody still is."""
        with self._connection() as database:
            row = database.execute(
                "SELECT claims, id_token, proved FROM visit WHERE digest = ? AND expires_at > ?",
                (_digest(key), now.isoformat()),
            ).fetchone()
        if row is None:
            return None
        return Visit(claims=json.loads(row[0]), id_token=row[1], proved=json.loads(row[2]))

    def end_visit(self, key: str) -> None:
        """Log out here; ending twice does no harm."""
        with self._connection() as database, database:
            database.execute("DELETE FROM visit WHERE digest = ?", (_digest(key),))

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


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
