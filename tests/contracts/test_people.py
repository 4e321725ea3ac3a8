"""What is kept of people beside their certificates, one caller at a time and two at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from broker.accounts.account import State
from broker.accounts.activity import Kind, Result, daily
from broker.errors import StoreUnavailable
from broker.flows.people_ports import AccountOrder, SealedAttribute
from broker.ids import ClientID, GrantID
from broker.oidc.consent import Consent
from broker.storage.store import SQLStore
from tests.contracts import records
from tests.contracts.records import MINUTE, NOW, SECOND, LoggedIn


def consent(login: LoggedIn) -> Consent:
    return Consent(
        client_id=login.client.client_id,
        scope=frozenset({"openid", "language"}),
        granted_at=NOW,
        declined=frozenset({"dietary_needs"}),
        terms="of this very page",
    )


def test_a_consent_is_withdrawn_once_and_only_that_withdrawal_is_undone(store: SQLStore) -> None:
    login = records.log_in(store)
    account, given = login.credential.account, consent(login)
    client = given.client_id
    with store.transaction() as tx:
        assert tx.consents.withdraw(account, client, now=NOW) is None
        tx.consents.give(account, given, uses='{"language":{}}')
        assert tx.consents.get(account, client) == given
        assert tx.consents.withdraw(account, client, now=NOW + MINUTE) == given
        assert tx.consents.withdraw(account, client, now=NOW + MINUTE) is None
        assert tx.consents.get(account, client) is None
        [held] = tx.consents.of(account)
        assert (held.account, held.consent, held.withdrawn_at) == (account, given, NOW + MINUTE)
        assert not tx.consents.restore(account, client, withdrawn_at=NOW, now=NOW + 2 * MINUTE)
        assert tx.consents.restore(account, client, withdrawn_at=NOW + MINUTE, now=NOW + 2 * MINUTE)
        assert not tx.consents.restore(account, client, withdrawn_at=NOW + MINUTE, now=NOW + 2 * MINUTE)
        assert tx.consents.get(account, client) == given
        history = tx.consents.history(account, limit=10)
    assert [(record.event, record.at) for record in history] == [
        ("restored", NOW + 2 * MINUTE),
        ("withdrawn", NOW + MINUTE),
        ("given", NOW),
    ]
    assert {record.account for record in history} == {account}
    assert history[-1].uses == '{"language":{}}'
    assert history[-1].declined == frozenset({"dietary_needs"})
    with store.transaction() as tx:
        tx.consents.forget(account)
        assert (tx.consents.of(account), tx.consents.history(account, limit=10)) == ((), ())


def test_an_account_is_stopped_opened_buried_and_begins_anew(store: SQLStore, engine: Engine) -> None:
    login = records.log_in(store)
    account = login.credential.account
    sealed: dict[str, Any] = {"credential": login.credential.credential_id, "serial_sealed": b"\x01anew"}
    with store.transaction() as tx:
        assert tx.standings.state(account) is State.OPEN
        assert not tx.standings.reopen(account)
        assert tx.standings.stop(account, now=NOW)
        assert not tx.standings.stop(account, now=NOW)
        assert not tx.standings.bury(account, now=NOW)
        assert tx.standings.state(account) is State.STOPPED
        assert tx.standings.reopen(account)
        number = tx.standings.support_number(account, fresh="BCDFGHJKLM")
        assert tx.standings.support_number(account, fresh="ZZZZZZZZZZ") == number
        assert tx.standings.numbered(number) == account
        assert not tx.standings.revive(account, **sealed, now=NOW)
        assert tx.standings.bury(account, now=NOW)
        assert tx.standings.state(account) is State.DELETED
        assert tx.standings.numbered(number) is None
        assert not tx.standings.stop(account, now=NOW)
        found = tx.accounts.enrol(records.credential(login.credential.key))
        assert (found.account, found.serial_sealed) == (account, b"")
        assert tx.standings.revive(account, **sealed, now=NOW + MINUTE)
        assert tx.standings.state(account) is State.OPEN
        assert tx.standings.began_at(account) == NOW + MINUTE
    with engine.connect() as connection:
        resealed = connection.execute(
            text("SELECT serial_sealed FROM credentials WHERE account = :account"), {"account": account}
        ).scalar_one()
    assert bytes(resealed) == b"\x01anew"


def test_nobody_is_given_the_support_number_of_another(store: SQLStore) -> None:
    one, two = records.log_in(store).credential.account, records.log_in(store).credential.account
    fresh = records.name()
    with store.transaction() as tx:
        assert tx.standings.support_number(one, fresh=fresh) == fresh
    with pytest.raises(StoreUnavailable), store.transaction() as tx:
        tx.standings.support_number(two, fresh=fresh)
    with store.transaction() as tx:
        assert tx.standings.numbered(fresh) == one
        assert tx.standings.numbered("\x00") is None


@pytest.mark.parametrize("stopped", [True, False], ids=["stopped", "deleted"])
def test_a_token_of_an_account_that_is_not_open_is_no_token(store: SQLStore, *, stopped: bool) -> None:
    login = records.log_in(store)
    code = login.code()
    token = login.token(code.grant.grant_id)
    with store.transaction() as tx:
        tx.codes.issue(code)
        tx.tokens.issue(token)
        assert tx.tokens.get(token.jti, now=NOW) == token
        if stopped:
            tx.standings.stop(login.credential.account, now=NOW)
        else:
            tx.standings.bury(login.credential.account, now=NOW)
        assert tx.tokens.get(token.jti, now=NOW) is None


def test_what_is_open_of_an_account_is_found(store: SQLStore) -> None:
    login, other = records.log_in(store), records.log_in(store)
    code = login.code()
    with store.transaction() as tx:
        tx.codes.issue(code)
        account = login.credential.account
        assert tx.sessions.of(account) == (login.session,)
        assert tx.grants.of(account) == tx.grants.of(account, login.client.client_id) == (code.grant,)
        assert tx.grants.of(account, other.client.client_id) == tx.grants.of(other.credential.account) == ()
        tx.grants.end(code.grant.grant_id, now=NOW)
        tx.sessions.end(login.session.digest, now=NOW)
        assert (tx.sessions.of(account), tx.grants.of(account)) == ((), ())


def test_information_is_read_with_a_token_for_the_first_time_once(store: SQLStore) -> None:
    login = records.log_in(store)
    code = login.code()
    token = login.token(code.grant.grant_id)
    with store.transaction() as tx:
        tx.codes.issue(code)
        tx.tokens.issue(token)
        assert tx.tokens.first_reading(token.jti, now=NOW)
        assert not tx.tokens.first_reading(token.jti, now=NOW)


def test_activities_come_newest_first_page_by_page_and_of_one_account_alone(store: SQLStore) -> None:
    login, other = records.log_in(store), records.log_in(store)
    account = login.credential.account
    with store.transaction() as tx:
        for minute in range(5):
            tx.activities.note(replace(records.activity(login), at=NOW + minute * MINUTE))
            tx.activities.note(replace(records.activity(other), at=NOW + minute * MINUTE))
        first = tx.activities.page(account, before=None, limit=3)
        second = tx.activities.page(account, before=first[-1].number, limit=3)
        nothing = tx.activities.page(account, before=None, limit=3, client_id=other.client.client_id)
        last = tx.activities.last_uses(account)
    assert [row.at for row in first + second] == [NOW + minute * MINUTE for minute in (4, 3, 2, 1, 0)]
    assert {row.account for row in first + second} == {account}
    assert nothing == ()
    assert last == {login.client.client_id: NOW + 4 * MINUTE}
    assert first[0] == replace(
        records.activity(login), at=NOW + 4 * MINUTE, last_at=NOW + 4 * MINUTE, number=first[0].number
    )


def test_uses_that_share_a_day_share_a_row(store: SQLStore) -> None:
    login = records.log_in(store)
    grant = GrantID(records.name())
    reading = replace(
        records.activity(login), kind=Kind.READING, grant_id=grant, repeats=daily(Kind.READING, grant, NOW)
    )
    with store.transaction() as tx:
        tx.activities.note(reading)
        tx.activities.note(replace(reading, at=NOW + MINUTE, items=("language",)))
        tx.activities.note(replace(reading, repeats=daily(Kind.READING, grant, NOW + timedelta(days=1))))
        rows = tx.activities.page(login.credential.account, before=None, limit=9)
    assert [(row.count, row.at, row.last_at) for row in rows] == [(1, NOW, NOW), (2, NOW, NOW + MINUTE)]
    assert rows[1].items == ("language",)


def test_a_use_is_disowned_once_by_its_own_account(store: SQLStore) -> None:
    login, other = records.log_in(store), records.log_in(store)
    account = login.credential.account
    with store.transaction() as tx:
        tx.activities.note(records.activity(login))
        [row] = tx.activities.page(account, before=None, limit=1)
        assert tx.activities.report(other.credential.account, row.number, now=NOW) is None
        assert tx.activities.report(account, -1, now=NOW) is None
        assert tx.activities.report(account, 2**70, now=NOW) is None
        assert tx.activities.report(account, row.number, now=NOW) == replace(row, reported_at=NOW)
        assert tx.activities.report(account, row.number, now=NOW) is None
        assert row.number in {reported.number for reported in tx.activities.reported(limit=1000)}
        tx.activities.forget(account)
        assert tx.activities.page(account, before=None, limit=1) == ()


def test_an_attribute_is_replaced_removed_and_found_for_its_account_alone(store: SQLStore) -> None:
    login, other = records.log_in(store), records.log_in(store)
    account = login.credential.account
    one = SealedAttribute(account=account, name="language", sealed=b"\x01a", changed_at=NOW)
    two = replace(one, sealed=b"\x01b", changed_at=NOW + SECOND)
    with store.transaction() as tx:
        tx.attributes.put(one)
        tx.attributes.put(two)
        assert tx.attributes.of(account) == (two,)
        assert tx.attributes.of(other.credential.account) == ()
        assert not tx.attributes.remove(other.credential.account, "language")
        assert tx.attributes.remove(account, "language")
        assert not tx.attributes.remove(account, "language")
        tx.attributes.put(one)
        tx.attributes.forget(account)
        assert tx.attributes.of(account) == ()


def test_of_two_who_use_one_recovery_code_one_is_told_whose_it_is(own_store: SQLStore) -> None:
    account = records.log_in(own_store).credential.account
    code = records.digest()
    with own_store.transaction() as tx:
        tx.recovery_codes.replace(account, [code, records.digest()], now=NOW)

    def use(_: int) -> object:
        with own_store.transaction() as tx:
            return tx.recovery_codes.use(code, now=NOW)

    with ThreadPoolExecutor(4) as pool:
        assert sorted(map(str, pool.map(use, range(4)))) == sorted([str(account), "None", "None", "None"])
    with own_store.transaction() as tx:
        assert tx.recovery_codes.left(account) == (1, NOW)


def test_a_new_sheet_of_recovery_codes_ends_the_old_one(store: SQLStore) -> None:
    account = records.log_in(store).credential.account
    old, new = records.digest(), records.digest()
    with store.transaction() as tx:
        assert tx.recovery_codes.left(account) == (0, None)
        tx.recovery_codes.replace(account, [old], now=NOW)
        tx.recovery_codes.replace(account, [new], now=NOW + MINUTE)
        assert tx.recovery_codes.use(old, now=NOW) is None
        assert tx.recovery_codes.left(account) == (1, NOW + MINUTE)
        tx.recovery_codes.forget(account)
        assert tx.recovery_codes.use(new, now=NOW) is None


def test_an_order_is_confirmed_once_in_time_and_by_another_operator(store: SQLStore) -> None:
    account = records.log_in(store).credential.account
    one, two = records.name(), records.name()
    with store.transaction() as tx:
        for operator in (one, two):
            assert tx.operators.add(operator, records.digest(), now=NOW)
            assert not tx.operators.add(operator, records.digest(), now=NOW)
        order = AccountOrder(
            order_id=records.name(),
            account=account,
            action="stop",
            reason="lost card",
            ordered_by=one,
            ordered_at=NOW,
            expires_at=NOW + MINUTE,
        )
        tx.operators.order(order)
        assert order in tx.operators.waiting(now=NOW)
        assert order not in tx.operators.waiting(now=NOW + MINUTE)
        assert tx.operators.confirm(order.order_id, by=one, now=NOW) is None
        assert tx.operators.confirm(order.order_id, by=two, now=NOW + MINUTE) is None
        assert tx.operators.confirm(records.name(), by=two, now=NOW) is None
        assert tx.operators.confirm(order.order_id, by=two, now=NOW) == order
        assert tx.operators.confirm(order.order_id, by=two, now=NOW) is None
        assert tx.operators.remove(one, now=NOW)
        assert not tx.operators.remove(one, now=NOW)
        assert tx.operators.secret(one) is None
        assert not tx.operators.add(one, records.digest(), now=NOW)
        assert two in tx.operators.all()
        assert one not in tx.operators.all()


def test_a_refused_login_is_kept_with_its_result(store: SQLStore) -> None:
    login = records.log_in(store)
    refused = replace(records.activity(login), result=Result.REFUSED, client_id=ClientID(login.client.client_id))
    with store.transaction() as tx:
        tx.activities.note(refused)
        [row] = tx.activities.page(login.credential.account, before=None, limit=1)
    assert row.result is Result.REFUSED
