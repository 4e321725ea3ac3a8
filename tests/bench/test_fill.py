"""A full database: what one login wrote, for many people."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from bench.fill import Filler

SCHEMA = """
CREATE TABLE clients (client_id TEXT PRIMARY KEY, name TEXT);
CREATE TABLE accounts (account TEXT PRIMARY KEY, created TEXT);
CREATE TABLE grants (grant_id TEXT PRIMARY KEY, account TEXT REFERENCES accounts(account),
                     client_id TEXT REFERENCES clients(client_id), scope TEXT);
CREATE TABLE tokens (digest BLOB PRIMARY KEY, grant_id TEXT REFERENCES grants(grant_id), issued TEXT);
CREATE TABLE assertions (client_id TEXT REFERENCES clients(client_id), jti BLOB, PRIMARY KEY (client_id, jti));
CREATE TABLE audit (id INTEGER PRIMARY KEY, what TEXT, reference TEXT);
INSERT INTO clients VALUES ('bank', 'A bank');
INSERT INTO accounts VALUES ('account-one', 'yesterday');
"""


def login(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("INSERT INTO grants VALUES ('grant-1', 'account-one', 'bank', 'openid')")
        connection.execute("INSERT INTO tokens VALUES (randomblob(16), 'grant-1', 'today')")
        connection.execute("INSERT INTO assertions VALUES ('bank', x'22334455')")
        connection.execute("INSERT INTO audit (what, reference) VALUES ('login', 'grant-1')")
    connection.close()


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "full.db"
    with sqlite3.connect(path) as connection:
        connection.executescript(SCHEMA)
    connection.close()
    return path


def test_a_login_is_copied_with_its_person_and_every_key_is_its_own(database: Path) -> None:
    filler = Filler(database)
    filler.fill(500, login=lambda: login(database))
    assert filler.grants() == 500
    connection = sqlite3.connect(database)
    counted = "SELECT (SELECT count(*) FROM accounts), (SELECT count(*) FROM tokens), (SELECT count(*) FROM audit)"
    assert connection.execute(counted).fetchone() == (500, 500, 500)
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    assert connection.execute("SELECT count(*) FROM clients").fetchone() == (1,)
    told = "SELECT count(DISTINCT reference) FROM audit JOIN grants ON grants.grant_id = audit.reference"
    assert connection.execute(told).fetchone() == (500,)  # a key is the same wherever it stands
    assert connection.execute("SELECT DISTINCT client_id, scope FROM grants").fetchall() == [("bank", "openid")]
    assert connection.execute("SELECT DISTINCT client_id, length(jti) FROM assertions").fetchall() == [("bank", 4)]
    connection.close()


def test_a_login_that_writes_nothing_fills_nothing(database: Path) -> None:
    with pytest.raises(ValueError, match="no row"):
        Filler(database).fill(10, login=lambda: None)
