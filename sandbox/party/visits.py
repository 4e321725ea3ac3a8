"""Who is logged in at a sample service: a row of its own database for each visit, found by a secret in the cookie."""

from __future__ import annotations

import hashlib
import json
import secrets
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

VISIT_LIFETIME: Final = timedelta(minutes=30)

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS visit (
    digest BLOB PRIMARY KEY, claims TEXT NOT NULL, id_token TEXT NOT NULL, expires_at TEXT NOT NULL,
    proved TEXT NOT NULL, access_token TEXT NOT NULL, granted TEXT NOT NULL
) STRICT;
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """Somebody logged in: the verified claims of their ID token, and the token itself as a hint for logging out."""

    claims: Mapping[str, Any] = field(repr=False)
    id_token: str = field(repr=False)
    proved: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """What userinfo told beside `sub`: name, address and the like, where an account is opened."""
    access_token: str = field(default="", repr=False)
    granted: Sequence[Mapping[str, Any]] = field(default=(), repr=False)
    """`authorization_details` as the broker granted them (RFC 9396 §7)."""

    @property
    def person(self) -> tuple[str, str]:
        """Issuer and subject: only the two together name a person (OIDC Core §5.7)."""
        return str(self.claims["iss"]), str(self.claims["sub"])


class Visits:
    """SQLite behind short transactions; each call opens its own connection, so any thread may call.

    A service's own tables stand beside the visits: it derives from this, and gives them as `schema`.
    """

    def __init__(self, path: Path, *, schema: str = "") -> None:
        """Make the file and its tables where they are missing. Raises OSError, sqlite3.Error."""
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path = path
        with self._connection() as database:
            database.execute("PRAGMA journal_mode = WAL")
            database.executescript(_SCHEMA + schema)

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
                "INSERT INTO visit VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    _digest(key),
                    json.dumps(dict(visit.claims)),
                    visit.id_token,
                    (now + VISIT_LIFETIME).isoformat(),
                    json.dumps(dict(visit.proved)),
                    visit.access_token,
                    json.dumps(list(visit.granted)),
                ),
            )
        return key

    def visit(self, key: str, *, now: datetime) -> Visit | None:
        """Who is logged in with this secret, if anybody still is."""
        with self._connection() as database:
            row = database.execute(
                "SELECT claims, id_token, proved, access_token, granted FROM visit WHERE digest = ? AND expires_at > ?",
                (_digest(key), now.isoformat()),
            ).fetchone()
        if row is None:
            return None
        return Visit(
            claims=json.loads(row[0]),
            id_token=row[1],
            proved=json.loads(row[2]),
            access_token=row[3],
            granted=json.loads(row[4]),
        )

    def end_visit(self, key: str) -> None:
        """Log out here; ending twice does no harm."""
        with self._connection() as database, database:
            database.execute("DELETE FROM visit WHERE digest = ?", (_digest(key),))


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
