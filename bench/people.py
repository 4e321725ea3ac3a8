"""What a resident's page and a login cost the database when it is full of people.

`python -m bench.people`. A new database gets accounts, three consents, three links and ten uses each (the promise is
about 1 000 000 accounts; the size is an option). Then the statements of the pages and of a login are timed for people
picked at random, one unit of work each as the broker does it, over the connections of the broker itself. Promised:
99 of 100 stay under 50 ms; exit status 1 beyond.
"""

from __future__ import annotations

import os
import random
import secrets
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

from bench.population import (
    ISSUER_KEY,
    NOW,
    SERVICES,
    USES,
    account_id,
    check_empty,
    client_id,
    fill,
    fingerprint,
)
from broker.accounts.activity import Activity, How, Kind
from broker.accounts.credential import CredentialKey
from broker.accounts.session import Session
from broker.audit.entry import Entry, Event
from broker.flows.ports import Transaction
from broker.ids import CredentialID, GrantID, SectorID, SessionID, Subject
from broker.oidc.grants import Authentication, AuthorizationCode, Grant
from broker.storage import migrations
from broker.storage.engine import open_engine
from broker.storage.store import SQLStore

LIMIT_MS: Final = 50.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Milliseconds of one unit of work: what the caller waits for the database, commit included."""

    engine: str
    name: str
    median_ms: float
    p99_ms: float


# --- units -----------------------------------------------------------------------------------------------------------


def _overview(tx: Transaction, n: int) -> None:
    session = tx.sessions.get(b"nobody")
    assert session is None
    tx.standings.state(account_id(n))
    _services(tx, n)
    tx.mandates.in_force(account_id(n))
    tx.activities.page(account_id(n), before=None, limit=2)
    tx.standings.support_number(account_id(n), fresh=secrets.token_hex(8))


def _services(tx: Transaction, n: int) -> None:
    for held in tx.consents.of(account_id(n)):
        tx.clients.get(held.consent.client_id)
    tx.activities.last_uses(account_id(n))
    tx.links.of(account_id(n))


def _records(tx: Transaction, n: int) -> None:
    found = tx.consents.history(account_id(n), limit=500)
    assert {record.account for record in found} == {account_id(n)}
    for service in {record.client_id for record in found}:
        tx.clients.get(service)


def _history(tx: Transaction, n: int) -> None:
    found = tx.activities.page(account_id(n), before=None, limit=21)
    assert {use.account for use in found} == {account_id(n)}
    for service in {use.client_id for use in found}:
        tx.clients.get(service)


def _withdrawal(tx: Transaction, n: int) -> None:
    tx.consents.withdraw(account_id(n), client_id(0), now=NOW)
    tx.sessions.of(account_id(n))
    tx.grants.of(account_id(n), client_id(0))
    tx.audit.append(Entry(at=NOW, event=Event.CONSENT_WITHDRAWN, account=account_id(n)))
    tx.activities.note(_activity(n, Kind.WITHDRAWAL))


def _login(tx: Transaction, n: int) -> None:
    key = CredentialKey(issuer_key_hash=ISSUER_KEY, serial_fingerprint=fingerprint(n))
    credential = tx.accounts.credential(key)
    assert credential is not None
    account = credential.account
    tx.revoked.reason(key)
    tx.standings.state(account)
    subject = tx.accounts.subject(account, SectorID(client_id(1)), fresh=Subject("fresh"))
    session = Session(
        digest=secrets.token_bytes(32),
        session_id=SessionID(secrets.token_urlsafe(16)),
        account=account,
        credential=CredentialID(credential.credential_id),
        client_id=client_id(1),
        subject=subject,
        authenticated_at=NOW,
        last_used_at=NOW,
    )
    tx.sessions.open(session)
    tx.audit.append(Entry(at=NOW, event=Event.LOGIN, account=account))
    tx.activities.note(_activity(n, Kind.LOGIN))
    assert tx.consents.get(account, client_id(1)) is not None
    tx.codes.issue(_code(session))
    tx.audit.append(Entry(at=NOW, event=Event.CODE_ISSUED, account=account))


def _activity(n: int, kind: Kind) -> Activity:
    return Activity(account=account_id(n), client_id=client_id(1), kind=kind, how=How.CARD, items=("openid",), at=NOW)


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
    "my page: the record of consents": _records,
    "my page: a withdrawal": _withdrawal,
    "login: the unit that ends it": _login,
}


def measure(url: str, *, people: int, times: int, aloud: bool = False) -> Iterator[Line]:
    """Over a new, empty database at `url`; each line as soon as it is known. Raises NotEmpty.

    `aloud` tells on standard error how the filling goes on.
    """
    migrations.upgrade(url)
    engine = open_engine(url)
    try:
        fill(engine, people, aloud=aloud)
        store = SQLStore(engine)
        chosen = random.Random(1)
        for name, unit in UNITS.items():
            spent = []
            for _ in range(times):
                n = chosen.randrange(people)
                began = time.perf_counter()
                with store.transaction() as tx:
                    unit(tx, n)
                spent.append((time.perf_counter() - began) * 1000)
            yield Line(
                engine=engine.dialect.name,
                name=name,
                median_ms=statistics.median(spent),
                p99_ms=statistics.quantiles(spent, n=100)[98],
            )
    finally:
        engine.dispose()


HEAD: Final = "| engine | unit of work | median ms | p99 ms |\n|---|---|---:|---:|"


def row(line: Line) -> str:
    """A row of a Markdown table under HEAD."""
    return f"| {line.engine} | {line.name} | {line.median_ms:.2f} | {line.p99_ms:.2f} |"


def _prepare(url: str) -> None:
    """Whether it can be measured is known before anything else takes its minutes. Raises NotEmpty."""
    migrations.upgrade(url)
    engine = open_engine(url)
    try:
        check_empty(engine)
    finally:
        engine.dispose()


@click.command()
@click.option("--people", type=click.IntRange(10, 10_000_000), default=20_000, show_default=True)
@click.option("--times", type=click.IntRange(10, 100_000), default=300, show_default=True, help="Of each unit.")
@click.option("--sqlite/--no-sqlite", default=True, show_default=True, help="Measure SQLite with synchronous=FULL.")
@click.option("--postgresql", metavar="URL", help="An empty database of a server, to be measured as well.")
@click.option("--folder", type=click.Path(path_type=Path, file_okay=False, exists=True), help="Where SQLite's file is.")
def main(*, people: int, times: int, sqlite: bool, postgresql: str | None, folder: Path | None) -> None:
    """Measure on SQLite, and on a PostgreSQL that is given. A million people want 8 GB of disk for each."""
    if postgresql:
        _prepare(postgresql)
    click.echo(f"{people} accounts, {people * SERVICES} consents and links, {people * USES} uses\n")
    click.echo(HEAD)
    lines: list[Line] = []
    with tempfile.TemporaryDirectory(prefix="bench-", dir=folder) as made:
        urls = [f"sqlite:///{os.path.join(made, 'bench.db')}"] if sqlite else []
        for url in [*urls, *([postgresql] if postgresql else [])]:
            for line in measure(url, people=people, times=times, aloud=True):
                click.echo(row(line))
                lines.append(line)
    if any(line.p99_ms >= LIMIT_MS for line in lines):
        sys.exit(1)


if __name__ == "__main__":
    main()
