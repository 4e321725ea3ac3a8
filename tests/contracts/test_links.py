"""What the port of links promises, on both engines: one person one number, one number one person, one answer."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from broker.accounts.credential import CredentialKey
from broker.accounts.link import AlarmKind, Ending, Link, LinkAlarm, LinkRequest, LinkState, Start
from broker.ids import AccountID, ClientID, LinkID, TransactionID
from broker.storage.store import SQLStore
from tests.contracts import records
from tests.contracts.records import MINUTE, NOW, LoggedIn


def asked(client_id: ClientID) -> LinkRequest:
    return LinkRequest(
        digest=records.digest(),
        link_id=LinkID(records.name()),
        client_id=client_id,
        value_sealed=b"\x01sealed",
        value_fingerprint=records.digest(),
        action='{"kind":"link","label":"口座"}',
        expires_at=NOW + 10 * MINUTE,
    )


def start_of(login: LoggedIn) -> Start:
    return Start(
        account=login.credential.account,
        key=login.credential.key,
        transaction=TransactionID(records.name()),
        frame_sealed=b"\x01frame",
    )


def link_of(login: LoggedIn, *, number: bytes | None = None, state: LinkState = LinkState.ACTIVE) -> Link:
    return Link(
        link_id=LinkID(records.name()),
        client_id=login.client.client_id,
        account=login.credential.account,
        value_sealed=b"\x01sealed",
        value_fingerprint=number or records.digest(),
        state=state,
        unique_person=True,
        committed_at=NOW,
        active_at=NOW if state is LinkState.ACTIVE else None,
        start_transaction=TransactionID(records.name()),
        commit_transaction=TransactionID(records.name()),
    )


def same_client(store: SQLStore, other: LoggedIn) -> LoggedIn:
    """Another person at the client of `other`."""
    return replace(records.log_in(store), client=other.client)


def test_a_request_comes_back_until_it_is_answered_or_runs_out(store: SQLStore) -> None:
    login = records.log_in(store)
    request = replace(asked(login.client.client_id), subject=login.session.subject, source=login.client.client_id)
    with store.transaction() as tx:
        tx.links.ask(request)
    with store.transaction() as tx:
        assert tx.links.asked(request.digest, now=NOW) == request
        assert tx.links.waits(request.link_id, request.client_id, now=NOW)
        assert not tx.links.waits(request.link_id, ClientID("another"), now=NOW)
        assert not tx.links.waits(LinkID("\x00"), request.client_id, now=NOW)
        assert tx.links.asked(request.digest, now=request.expires_at) is None
        assert not tx.links.waits(request.link_id, request.client_id, now=request.expires_at)
        assert tx.links.use(request.digest, now=request.expires_at) is None
        assert tx.links.use(request.digest, now=NOW) == request
        assert tx.links.use(request.digest, now=NOW) is None
        assert tx.links.asked(request.digest, now=NOW) is None
        assert not tx.links.waits(request.link_id, request.client_id, now=NOW)


def test_the_first_card_binds_a_request_and_only_the_same_begins_anew(store: SQLStore) -> None:
    login, other = records.log_in(store), records.log_in(store)
    request = asked(login.client.client_id)
    first, again, stranger = start_of(login), start_of(login), start_of(other)
    same_person_other_card = replace(
        again, key=CredentialKey(issuer_key_hash=records.digest(), serial_fingerprint=b"2")
    )
    with store.transaction() as tx:
        tx.links.ask(request)
        assert tx.links.start(request.digest, first, now=NOW)
        assert not tx.links.start(request.digest, stranger, now=NOW)
        assert not tx.links.start(request.digest, same_person_other_card, now=NOW)
        tx.links.stumbled(request.digest)
        assert tx.links.start(request.digest, again, now=NOW)
        assert not tx.links.start(request.digest, again, now=request.expires_at)
    with store.transaction() as tx:
        assert tx.links.asked(request.digest, now=NOW) == replace(request, start=again, refusals=1)


def test_a_link_comes_back_as_it_was_made(store: SQLStore) -> None:
    login = records.log_in(store)
    link = link_of(login)
    with store.transaction() as tx:
        assert tx.links.get(link.link_id) is None
        assert tx.links.add(link)
    with store.transaction() as tx:
        assert tx.links.get(link.link_id) == link
        assert tx.links.get(LinkID("\x00")) is None
        assert tx.links.active(link.client_id, link.account) == link
        assert tx.links.active(link.client_id, AccountID("another")) is None
        assert tx.links.of(link.account) == (link,)
        assert link in tx.links.batch(after=LinkID(""))


def test_a_person_has_one_active_number_at_a_client_and_a_number_one_person(store: SQLStore) -> None:
    login = records.log_in(store)
    other = same_client(store, login)
    link = link_of(login)
    with store.transaction() as tx:
        assert tx.links.add(link)
        assert not tx.links.add(link_of(login))
        assert not tx.links.add(link_of(other, number=link.value_fingerprint))
        assert tx.links.add(link_of(other))
        held = link_of(login, state=LinkState.HELD)
        assert tx.links.add(held), "what waits is in nobody's way"
        assert not tx.links.activate(held.link_id, now=NOW)
        assert tx.links.end(link.link_id, because=Ending.CHANGED, now=NOW)
        assert tx.links.activate(held.link_id, now=NOW + MINUTE)
        assert not tx.links.activate(held.link_id, now=NOW + MINUTE)
    with store.transaction() as tx:
        assert tx.links.active(login.client.client_id, login.credential.account) == replace(
            held, state=LinkState.ACTIVE, active_at=NOW + MINUTE
        )


def test_what_is_read_from_another_client_is_no_number_in_anybodys_way(store: SQLStore) -> None:
    login = records.log_in(store)
    other = same_client(store, login)
    shared = [
        replace(link_of(who, number=b""), value_fingerprint=b"", source=ClientID("bank")) for who in (login, other)
    ]
    issuer = records.client()
    with store.transaction() as tx:
        tx.clients.add(issuer, now=NOW)
        for link in shared:
            assert tx.links.add(replace(link, source=issuer.client_id, value_sealed=b""))


def test_rivals_and_earlier_links_are_found(store: SQLStore) -> None:
    login = records.log_in(store)
    other = same_client(store, login)
    link = link_of(login)
    client_id, number = link.client_id, link.value_fingerprint
    with store.transaction() as tx:
        tx.links.add(link)
        assert tx.links.rival(client_id, number, login.credential.account, ended=True) is None
        assert tx.links.rival(client_id, number, other.credential.account, ended=False) == link
        assert tx.links.earlier(client_id, login.credential.account) == link
        tx.links.end(link.link_id, because=Ending.BY_CLIENT, now=NOW)
        ended = replace(link, state=LinkState.ENDED, ended_at=NOW, ended_because=Ending.BY_CLIENT)
        assert tx.links.rival(client_id, number, other.credential.account, ended=False) is None
        assert tx.links.rival(client_id, number, other.credential.account, ended=True) == ended
        assert tx.links.earlier(client_id, login.credential.account) == ended
        later = replace(link_of(login), committed_at=NOW + MINUTE)
        tx.links.add(later)
        assert tx.links.earlier(client_id, login.credential.account) == later
        assert tx.links.earlier(client_id, other.credential.account) is None


def test_ending_is_once_and_all_of_a_person_end_together(store: SQLStore) -> None:
    login = records.log_in(store)
    elsewhere = replace(login, client=records.client())
    with store.transaction() as tx:
        tx.clients.add(elsewhere.client, now=NOW)
        here, held, there = link_of(login), link_of(login, state=LinkState.HELD), link_of(elsewhere)
        assert all(tx.links.add(link) for link in (here, held, there))
        assert {link.link_id for link in tx.links.batch(after=LinkID(""))} >= {
            here.link_id,
            there.link_id,
        }
        gone = tx.links.end_all(
            login.credential.account, client_id=login.client.client_id, because=Ending.CONSENT_WITHDRAWN, now=NOW
        )
        assert {link.link_id for link in gone} == {here.link_id, held.link_id}
        assert not tx.links.end(here.link_id, because=Ending.BY_RESIDENT, now=NOW)
        assert tx.links.forget(login.credential.account) == 2
        rest = tx.links.end_all(login.credential.account, client_id=None, because=Ending.ACCOUNT_DELETED, now=NOW)
        assert [link.link_id for link in rest] == [there.link_id]
        assert tx.links.forget(login.credential.account) == 1
        kept = tx.links.of(login.credential.account)
    assert {link.value_sealed for link in kept} == {b""}
    assert {link.value_fingerprint for link in kept} == {link.value_fingerprint for link in (here, held, there)}


def test_what_waits_too_long_for_its_confirmation_is_found(store: SQLStore) -> None:
    login = records.log_in(store)
    held = replace(link_of(login, state=LinkState.HELD), committed_at=NOW - timedelta(days=30))
    with store.transaction() as tx:
        tx.links.add(held)
        tx.links.add(link_of(login, state=LinkState.HELD))
        found = tx.links.overdue(before=NOW - timedelta(days=7))
    assert [link for link in found if link.account == login.credential.account] == [held]


def test_alarms_stay_open_until_somebody_closes_them(store: SQLStore) -> None:
    login = records.log_in(store)
    alarm = LinkAlarm(
        alarm_id=records.name(),
        at=NOW + timedelta(days=400),
        kind=AlarmKind.ONE_ID_TWO_CARDS,
        client_id=login.client.client_id,
        link_id=LinkID(records.name()),
        other=LinkID(records.name()),
    )
    with store.transaction() as tx:
        tx.links.alarm(alarm)
        assert tx.links.alarms(closed=False)[0] == alarm
        assert tx.links.alarms_of(alarm.link_id) == (alarm,)
        assert tx.links.alarms_of(LinkID(records.name())) == ()
        assert tx.links.close_alarms(alarm.link_id, by="tanaka", decision="refused", now=NOW) == 1
        assert tx.links.close_alarms(alarm.link_id, by="suzuki", decision="confirmed", now=NOW) == 0
        assert alarm not in tx.links.alarms(closed=False)
        closed = replace(alarm, closed_at=NOW, closed_by="tanaka", decision="refused")
        assert tx.links.alarms(closed=True)[0] == closed


def test_counts_are_kept_by_the_day(store: SQLStore) -> None:
    name = records.name()
    with store.transaction() as tx:
        for _ in range(3):
            tx.links.count(name, now=NOW)
        tx.links.count(name, now=NOW + timedelta(days=1))
    with store.transaction() as tx:
        assert tx.links.counts(day="2026-11-20")[name] == 3
        assert tx.links.counts(day="2026-11-21")[name] == 1
        assert name not in tx.links.counts(day="2026-11-22")


def test_a_survey_counts_every_state_and_every_impossible_thing_zeros_included(own_store: SQLStore) -> None:
    nothing = {
        "active": 0,
        "held": 0,
        "ended": 0,
        "two_numbers_one_card": 0,
        "one_number_two_cards": 0,
        "without_subject": 0,
        "without_account": 0,
        "shared_without_source": 0,
        "alarms_open": 0,
    }
    with own_store.transaction() as tx:
        assert tx.links.survey() == nothing
    login = records.log_in(own_store)
    other = same_client(own_store, login)
    with own_store.transaction() as tx:
        tx.links.add(link_of(login))  # no pseudonym was made for this person here
        tx.links.add(link_of(login, state=LinkState.HELD))
        reader = replace(link_of(other), source=login.client.client_id, value_fingerprint=b"")
        tx.links.add(reader)
        tx.accounts.subject(reader.account, login.client.sector, fresh=login.session.subject)
        assert tx.links.survey() == nothing | {"active": 2, "held": 1, "without_subject": 1, "shared_without_source": 1}


@pytest.mark.parametrize("rivals", ["two people, one number", "one person, two numbers"])
def test_of_many_at_the_same_moment_one_is_bound(store: SQLStore, rivals: str) -> None:
    login = records.log_in(store)
    number = records.digest()
    if rivals == "two people, one number":
        wanted = [link_of(same_client(store, login), number=number) for _ in range(6)]
    else:
        wanted = [link_of(login) for _ in range(6)]
    ready = threading.Barrier(len(wanted))

    def bind(link: Link) -> bool:
        ready.wait()
        with store.transaction() as tx:
            return tx.links.add(link)

    with ThreadPoolExecutor(len(wanted)) as pool:
        assert sum(pool.map(bind, wanted)) == 1


def test_of_many_answers_to_one_request_one_is_the_first(store: SQLStore) -> None:
    request = asked(records.log_in(store).client.client_id)
    with store.transaction() as tx:
        tx.links.ask(request)
    ready = threading.Barrier(6)

    def use(_number: int) -> bool:
        ready.wait()
        with store.transaction() as tx:
            return tx.links.use(request.digest, now=NOW) is not None

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(use, range(6))) == 1
