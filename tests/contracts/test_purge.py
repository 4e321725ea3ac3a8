"""Nothing stays longer than the schedule says, proved by travelling in time; and no table is left out of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, insert, select

from broker.flows.notice import Registration
from broker.ids import SessionID
from broker.oidc.client_authentication import Assertion
from broker.storage.purge import KEPT, PURGES, schedule
from broker.storage.schema import (
    account_orders,
    attempts,
    credentials,
    link_alarms,
    mandate_notes,
    mandate_orders,
    mandates,
    metadata,
)
from broker.storage.store import SQLStore
from tests.contracts import records
from tests.contracts.records import MINUTE, NOW

ROOT = Path(__file__).resolve().parents[2]
LIMITS = {purge.name: purge.kept_for for purge in PURGES}


def live(store: SQLStore, engine: Engine, at: datetime) -> None:
    """One login's worth of rows in every table that the schedule names, all of `at`."""
    login = records.log_in(store)
    later = at - NOW
    interaction = replace(records.interaction(login.client.client_id), expires_at=at + 10 * MINUTE)
    session = replace(login.session, digest=records.digest(), session_id=SessionID(records.name()), authenticated_at=at)
    code = login.code()
    grant = replace(code.grant, session_digest=session.digest, expires_at=at + 10 * MINUTE)
    code = replace(code, grant=grant, expires_at=at + MINUTE)
    certificate = replace(records.credential(), not_after=at + timedelta(days=3))
    with store.transaction() as tx:
        tx.interactions.open(interaction)
        tx.cards.begin(replace(records.card_transaction(interaction), issued_at=at, expires_at=at + 5 * MINUTE))
        tx.sessions.open(session)
        tx.codes.issue(code)
        tx.grants.keep_certificate(grant.grant_id, b"\x01sealed")
        tx.identity_proofs.keep(grant.grant_id, b"\x01sealed")
        tx.tokens.issue(replace(login.token(grant.grant_id), issued_at=at, expires_at=at + 10 * MINUTE))
        tx.assertions.use(Assertion(client_id=login.client.client_id, jti=str(later), expires_at=at + MINUTE))
        tx.accounts.enrol(certificate)
        tx.revoked.remember(certificate.key, not_after=certificate.not_after, now=at)
        named = Registration(name=records.name(), key=certificate.key, not_after=certificate.not_after)
        tx.notices.register("https://platform.example", named)
        tx.receipts.keep(records.receipt(login, at=at, kept_for=timedelta(days=20)))
        tx.leases.take(f"job-{later}", "host", now=at, length=MINUTE)
        operator = records.name()
        tx.operators.add(operator, records.digest(), now=at)
        tx.activities.note(replace(records.activity(login), at=at))
    held: dict[str, dict[str, object]] = {
        "refresh_tokens": {"digest": records.digest(), "grant_id": grant.grant_id, "issued_at": at},
        "device_codes": {
            "digest": records.digest(),
            "user_code_digest": records.digest(),
            "client_id": login.client.client_id,
            "request": "{}",
            "state": "pending",
            "interval": 5,
        },
        "backchannel_requests": {
            "digest": records.digest(),
            "client_id": login.client.client_id,
            "account": login.credential.account,
            "request": "{}",
            "state": "pending",
            "interval": 5,
            "notification_tries": 0,
        },
        "pushed_requests": {"digest": records.digest(), "client_id": login.client.client_id, "parameters": "{}"},
        "sign_transactions": {
            "sign_transaction_id": records.name(),
            "client_id": login.client.client_id,
            "state": "waiting",
            "created_at": at,
        },
        "joint_transactions": {
            "joint_id": records.name(),
            "client_id": login.client.client_id,
            "state": "ordered",
            "order_sealed": b"\x01sealed",
            "created_at": at,
        },
        "link_requests": {
            "digest": records.digest(),
            "link_id": records.name(),
            "client_id": login.client.client_id,
            "value_sealed": b"\x01sealed",
            "value_fingerprint": records.digest(),
            "replaces": b"",
            "action": "{}",
            "refusals": 0,
        },
        "proofs": {"jkt": "thumbprint", "jti_digest": records.digest()},
        "initial_access_tokens": {"digest": records.digest(), "profile": "oidc", "vetted": False, "uses_left": 1},
        "logout_deliveries": {
            "delivery_id": records.name(),
            "client_id": login.client.client_id,
            "subject": "s",
            "session_id": "sid",
            "attempts": 0,
            "next_at": at,
        },
    }
    with engine.begin() as connection:
        for table, values in held.items():
            connection.execute(insert(metadata.tables[table]).values(**values, expires_at=at + 5 * MINUTE))
        connection.execute(
            insert(account_orders).values(
                order_id=records.name(),
                account=login.credential.account,
                action="stop",
                reason="lost",
                ordered_by=operator,
                ordered_at=at,
                expires_at=at + 5 * MINUTE,
            )
        )
        number = records.name()
        for given_up, state in ((records.name(), "abandoned"), (number, "active")):
            connection.execute(
                insert(mandates).values(
                    number=given_up,
                    kind="poa.business",
                    state=state,
                    grant_sealed=b"\x01sealed",
                    begins=at,
                    ends=at,
                    created_at=at,
                    changed_at=at,
                )
            )
        connection.execute(
            insert(mandate_notes).values(number=number, account=login.credential.account, deed="abandon", at=at)
        )
        connection.execute(
            insert(mandate_orders).values(
                order_id=records.name(),
                number=number,
                action="block",
                reason="notice",
                ordered_by=operator,
                ordered_at=at,
                expires_at=at + 5 * MINUTE,
            )
        )
        alarm = {"alarm_id": records.name(), "at": at, "kind": "card_changed", "link_id": records.name()}
        alarm |= {"client_id": login.client.client_id, "closed_at": at + 5 * MINUTE}
        connection.execute(insert(link_alarms).values(**alarm))
        connection.execute(insert(attempts).values(name=records.name(), window_began_at=at, count=1))


def rows(engine: Engine, table: str) -> int:
    with engine.connect() as connection:
        return len(connection.execute(select(metadata.tables[table])).all())


def test_after_every_hour_and_every_day_nothing_is_overdue_and_at_the_end_nothing_is_left(
    own_store: SQLStore, own_engine: Engine
) -> None:
    for hours in (0, 1, 13, 30):
        live(own_store, own_engine, NOW + timedelta(hours=hours))
    journey = [NOW + timedelta(hours=hours) for hours in range(48)] + [
        NOW + timedelta(days=day) for day in (*range(2, 36), *range(36, 733, 40), 733)
    ]
    deleted = dict.fromkeys(LIMITS, 0)
    for now in journey:
        for name, count in own_store.purge(now=now).items():
            deleted[name] += count
        assert set(own_store.overdue(now=now).values()) == {0}, now
    assert deleted == {**dict.fromkeys(LIMITS, 4), "sessions": 8}
    tables = {name for name in LIMITS if "." not in name} - {"mandates"}  # those that held stay
    assert {table: rows(own_engine, table) for table in tables} == dict.fromkeys(tables, 0)


def test_a_row_stays_until_its_time_and_is_overdue_from_then_on(own_store: SQLStore, own_engine: Engine) -> None:
    live(own_store, own_engine, NOW)
    instants = {
        "access_tokens": NOW + 10 * MINUTE,
        "codes": NOW + MINUTE,
        "grant_certificates": NOW + 10 * MINUTE,
        "refresh_tokens": NOW + 5 * MINUTE,
        "device_codes": NOW + 5 * MINUTE,
        "backchannel_requests": NOW + 5 * MINUTE,
        "identity_proofs": NOW + 10 * MINUTE,
        "grants": NOW + 10 * MINUTE,
        "pushed_requests": NOW + 5 * MINUTE,
        "link_requests": NOW + 5 * MINUTE,
        "joint_transactions": NOW + 5 * MINUTE,
        "link_alarms": NOW + 5 * MINUTE,
        "proofs": NOW + 5 * MINUTE,
        "attempts": NOW,
        "initial_access_tokens": NOW + 5 * MINUTE,
        "logout_deliveries": NOW + 5 * MINUTE,
        "assertions": NOW + MINUTE,
        "card_transactions": NOW + 10 * MINUTE,
        "interactions": NOW + 10 * MINUTE,
        "sessions": NOW,
        "credentials.serial_sealed": NOW + timedelta(days=3),
        "revoked_certificates": NOW + timedelta(days=3),
        "registrations": NOW + timedelta(days=3),
        "sign_transactions": NOW + 5 * MINUTE,
        "mandate_orders": NOW + 5 * MINUTE,
        "account_orders": NOW + 5 * MINUTE,
        "activities": NOW,
        "receipts": NOW + timedelta(days=20),
        "mandates": NOW,
        "mandate_notes": NOW,
        "leases": NOW + MINUTE,
    }
    assert instants.keys() == LIMITS.keys()
    for name, instant in instants.items():
        limit = instant + LIMITS[name]
        assert own_store.overdue(now=limit - timedelta(seconds=1))[name] == 0, name
        assert own_store.overdue(now=limit)[name] >= 1, name


def test_the_history_of_an_account_stays_and_the_sealed_serial_goes_with_the_certificate(
    own_store: SQLStore, own_engine: Engine
) -> None:
    credential = records.log_in(own_store).credential
    own_store.purge(now=credential.not_after)
    with own_store.transaction() as tx:
        assert tx.accounts.credential(credential.key) == credential
    own_store.purge(now=credential.not_after + timedelta(days=1))
    with own_engine.connect() as connection:
        row: Any = connection.execute(select(credentials)).one()
    assert row.serial_sealed == b""
    assert row.serial_fingerprint == credential.key.serial_fingerprint


def test_every_table_has_a_time_or_a_reason_to_stay() -> None:
    scheduled = {name for name in LIMITS if "." not in name}
    assert scheduled | KEPT.keys() == metadata.tables.keys()
    assert not scheduled & KEPT.keys()
    assert all(KEPT.values())


def test_the_operators_page_shows_the_schedule_as_it_is() -> None:
    assert schedule() in (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
