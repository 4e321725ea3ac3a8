"""What a resident's page and a login cost the database when it is full of people.

`python -m bench.people`. A new database gets accounts, three consents, three links and ten uses each (the promise is
about 1 000 000 accounts; the size is an option). Then the statements of the pages and of a login are timed for people
picked at random, one unit of work each as the broker does it. Promised: under 50 ms; exit status 1 beyond.
"""

from __future__ import annotations

import os
import random
import secrets
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, Final

import click
from sqlalchemy import Engine, Table, insert, text

from broker.accounts.activity import Activity, How, Kind
from broker.accounts.credential import CredentialKey
from broker.accounts.session import Session
from broker.audit.entry import Entry, Event
from broker.flows.ports import Transaction
from broker.ids import AccountID, ClientID, CredentialID, GrantID, SectorID, SessionID, Subject
from broker.oidc.client import AuthMethod, Client, SecurityProfile
from broker.oidc.grants import Authentication, AuthorizationCode, Grant
from broker.storage import migrations
from broker.storage.engine import open_engine
from broker.storage.schema import accounts, activities, consent_history, consents, credentials, links, subjects
from broker.storage.store import SQLStore

LIMIT_MS: Final = 50.0
SERVICES: Final = 3
USES: Final = 10
NOW: Final = datetime(2026, 11, 20, 3, 4, 5, tzinfo=UTC)
_BATCH: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Milliseconds of one unit of work: what the caller waits for the database, commit included."""

    engine: str
    name: str
    median_ms: float
    p99_ms: float


def _account(number: int) -> AccountID:
    return AccountID(f"account-{number:08d}-bench")


def _client(number: int) -> ClientID:
    return ClientID(f"service-{number}")


def fill(engine: Engine, people: int) -> None:
    """Accounts with one certificate each, their pseudonyms, consents, links and history."""
    store = SQLStore(engine)
    with store.transaction() as tx:
        for number in range(SERVICES):
            tx.clients.add(
                Client(
                    client_id=_client(number),
                    name=f"サービス{number}",
                    vetted=True,
                    profile=SecurityProfile.OIDC,
                    sector=SectorID(_client(number)),
                    application_type="native",
                    auth_method=AuthMethod.NONE,
                    redirect_uris=("http://127.0.0.1/cb",),
                ),
                now=NOW,
            )
    rows: tuple[tuple[Table, Callable[[int], Iterable[dict[str, Any]]]], ...] = (
        (accounts, lambda n: ({"account": _account(n), "created_at": NOW},)),
        (credentials, lambda n: (_credential(n),)),
        (subjects, _subjects),
        (consents, _consents),
        (consent_history, lambda n: ({k: v for k, v in row.items() if k != "terms"} for row in _consents(n))),
        (links, _links),
    )
    for table, made in rows:
        _insert(engine, table, (row for n in range(people) for row in made(n)))
    # by rounds and not by person: the rows of one person lie apart, as years of uses leave them
    _insert(engine, activities, (_use(n, number) for number in range(USES) for n in range(people)))
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SET LOCAL statement_timeout = 0"))  # the filling is not what is measured
        connection.execute(text("ANALYZE"))


def _insert(engine: Engine, table: Table, rows: Iterator[dict[str, Any]] | Iterable[dict[str, Any]]) -> None:
    given = iter(rows)
    while batch := list(islice(given, _BATCH)):
        with engine.begin() as connection:
            if engine.dialect.name == "sqlite":  # the driver's own transactions are off (broker.storage.engine)
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            connection.execute(insert(table), batch)


def _credential(n: int) -> dict[str, Any]:
    return {
        "credential_id": f"credential-{n:08d}",
        "account": _account(n),
        "issuer_key_hash": b"\x01" * 32,
        "serial_fingerprint": _fingerprint(n),
        "serial_sealed": b"\x01" * 50,
        "kind": "plastic",
        "not_after": NOW + timedelta(days=900),
        "first_seen": NOW,
        "renews": None,
    }


def _fingerprint(n: int) -> bytes:
    return random.Random(n).randbytes(33)


def _subjects(n: int) -> Iterator[dict[str, Any]]:
    for number in range(SERVICES):
        yield {"account": _account(n), "sector": _client(number), "subject": f"subject-{number}-{n:08d}"}


def _consents(n: int) -> Iterator[dict[str, Any]]:
    for number in range(SERVICES):
        yield {
            "account": _account(n),
            "client_id": _client(number),
            "scope": "openid offline_access",
            "declined": "",
            "terms": "",
            "granted_at": NOW,
        }


def _links(n: int) -> Iterator[dict[str, Any]]:
    for number in range(SERVICES):
        yield {
            "link_id": f"link-{number}-{n:08d}",
            "client_id": _client(number),
            "account": _account(n),
            "source": None,
            "value_sealed": b"\x01" * 60,
            "value_fingerprint": f"{number}-{n}".encode(),
            "state": "active",
            "unique_person": False,
            "committed_at": NOW,
            "active_at": NOW,
            "ended_at": None,
            "ended_because": None,
            "start_transaction": "t",
            "commit_transaction": "t",
        }


def _use(n: int, number: int) -> dict[str, Any]:
    moment = NOW + timedelta(days=number)
    return {
        "account": _account(n),
        "client_id": _client(number % SERVICES),
        "kind": "login",
        "how": "card",
        "result": "done",
        "items": "openid offline_access",
        "session_id": f"session-{n}-{number}",
        "grant_id": None,
        "repeats": None,
        "times": 1,
        "at": moment,
        "last_at": moment,
        "reported_at": None,
    }


# --- units -----------------------------------------------------------------------------------------------------------


def _overview(tx: Transaction, n: int) -> None:
    session = tx.sessions.get(b"nobody")
    assert session is None
    tx.standings.state(_account(n))
    _services(tx, n)
    tx.activities.page(_account(n), before=None, limit=2)
    tx.standings.support_number(_account(n), fresh=secrets.token_hex(8))


def _services(tx: Transaction, n: int) -> None:
    for held in tx.consents.of(_account(n)):
        tx.clients.get(held.consent.client_id)
    tx.activities.last_uses(_account(n))
    tx.links.of(_account(n))


def _history(tx: Transaction, n: int) -> None:
    found = tx.activities.page(_account(n), before=None, limit=21)
    assert {row.account for row in found} == {_account(n)}
    for client_id in {row.client_id for row in found}:
        tx.clients.get(client_id)


def _withdrawal(tx: Transaction, n: int) -> None:
    tx.consents.withdraw(_account(n), _client(0), now=NOW)
    tx.sessions.of(_account(n))
    tx.grants.of(_account(n), _client(0))
    tx.audit.append(Entry(at=NOW, event=Event.CONSENT_WITHDRAWN, account=_account(n)))
    tx.activities.note(_activity(n, Kind.WITHDRAWAL))


def _login(tx: Transaction, n: int) -> None:
    key = CredentialKey(issuer_key_hash=b"\x01" * 32, serial_fingerprint=_fingerprint(n))
    credential = tx.accounts.credential(key)
    assert credential is not None
    account = credential.account
    tx.revoked.reason(key)
    tx.standings.state(account)
    subject = tx.accounts.subject(account, SectorID(_client(1)), fresh=Subject("fresh"))
    session = Session(
        digest=secrets.token_bytes(32),
        session_id=SessionID(secrets.token_urlsafe(16)),
        account=account,
        credential=CredentialID(credential.credential_id),
        client_id=_client(1),
        subject=subject,
        authenticated_at=NOW,
        last_used_at=NOW,
    )
    tx.sessions.open(session)
    tx.audit.append(Entry(at=NOW, event=Event.LOGIN, account=account))
    tx.activities.note(_activity(n, Kind.LOGIN))
    assert tx.consents.get(account, _client(1)) is not None
    tx.codes.issue(_code(session))
    tx.audit.append(Entry(at=NOW, event=Event.CODE_ISSUED, account=account))


def _activity(n: int, kind: Kind) -> Activity:
    return Activity(account=_account(n), client_id=_client(1), kind=kind, how=How.CARD, items=("openid",), at=NOW)


def _code(session: Session) -> AuthorizationCode:
    grant = Grant(
        grant_id=GrantID(secrets.token_urlsafe(16)),
        client_id=session.client_id,
        account=session.account,
        credential=session.credential,
        subject=session.subject,
        scope=frozenset({"openid"}),
        authentication=Authentication(time=NOW),
        session_digest=session.digest,
        session_id=session.session_id,
        created_at=NOW,
        expires_at=NOW,
    )
    return AuthorizationCode(
        digest=secrets.token_bytes(32), grant=grant, redirect_uri="x", code_challenge="x", expires_at=NOW
    )


UNITS: Final[dict[str, Callable[[Transaction, int], None]]] = {
    "my page: overview": _overview,
    "my page: services": _services,
    "my page: a page of the history": _history,
    "my page: a withdrawal": _withdrawal,
    "login: the unit that ends it": _login,
}


def measure(url: str, *, people: int, times: int) -> list[Line]:
    """Over a new, empty database at `url`."""
    migrations.upgrade(url)
    engine = open_engine(url)
    try:
        fill(engine, people)
        store = SQLStore(engine)
        chosen = random.Random(1)
        lines = []
        for name, unit in UNITS.items():
            spent = []
            for _ in range(times):
                n = chosen.randrange(people)
                began = time.perf_counter()
                with store.transaction() as tx:
                    unit(tx, n)
                spent.append((time.perf_counter() - began) * 1000)
            lines.append(
                Line(
                    engine=engine.dialect.name,
                    name=name,
                    median_ms=statistics.median(spent),
                    p99_ms=statistics.quantiles(spent, n=100)[98],
                )
            )
        return lines
    finally:
        engine.dispose()


def table(lines: Sequence[Line]) -> str:
    """A Markdown table."""
    rows = ["| engine | unit of work | median ms | p99 ms |", "|---|---|---:|---:|"]
    rows += [f"| {line.engine} | {line.name} | {line.median_ms:.2f} | {line.p99_ms:.2f} |" for line in lines]
    return "\n".join(rows)


@click.command()
@click.option("--people", type=click.IntRange(10, 10_000_000), default=20_000, show_default=True)
@click.option("--times", type=click.IntRange(10, 100_000), default=300, show_default=True, help="Of each unit.")
@click.option("--postgresql", metavar="URL", help="An empty database of a server, to be measured as well.")
@click.option("--folder", type=click.Path(path_type=Path, file_okay=False, exists=True), help="Where SQLite's file is.")
def main(*, people: int, times: int, postgresql: str | None, folder: Path | None) -> None:
    """Measure on SQLite with synchronous=FULL, and on a PostgreSQL that is given."""
    with tempfile.TemporaryDirectory(prefix="bench-", dir=folder) as made:
        lines = measure(f"sqlite:///{os.path.join(made, 'bench.db')}", people=people, times=times)
    if postgresql is not None:
        lines += measure(postgresql, people=people, times=times)
    click.echo(f"{people} accounts, {people * SERVICES} consents and links, {people * USES} uses\n")
    click.echo(table(lines))
    if any(line.median_ms >= LIMIT_MS for line in lines):
        sys.exit(1)


if __name__ == "__main__":
    main()
