"""What is approved on another device: one answer, one grant, whoever comes at once and on either engine."""

from __future__ import annotations

from dataclasses import replace

import pytest

from broker.flows.approval_ports import ApprovalStore
from broker.flows.ports import Transaction
from broker.ids import SectorID, Subject
from broker.oidc.approval import Approval, ApprovalState, Device, DeviceKind
from broker.oidc.grants import Grant
from broker.storage.store import SQLStore
from tests.contracts import records
from tests.contracts.records import MINUTE, NOW, SECOND, LoggedIn
from tests.contracts.test_races import CALLERS, race

KINDS = ("device", "backchannel")


def approval(login: LoggedIn) -> Approval:
    client_id = login.client.client_id
    return Approval(
        digest=records.digest(), client_id=client_id, request=records.request(client_id), expires_at=NOW + MINUTE
    )


def grant(login: LoggedIn) -> Grant:
    return replace(login.grant(), session_digest=None, session_id=None)


def of(tx: Transaction, kind: str) -> ApprovalStore:
    return tx.device_codes if kind == "device" else tx.backchannel_requests


def opened(store: SQLStore, kind: str, login: LoggedIn) -> Approval:
    fresh = approval(login)
    with store.transaction() as tx:
        if kind == "device":
            told = Device(number="47", kind=DeviceKind.PRINTER, place="居間", address="00ff")
            fresh = replace(fresh, device=told)
            assert tx.device_codes.open(fresh, user_code_digest=records.digest())
        else:
            tx.backchannel_requests.open(fresh, account=login.credential.account, notification=None)
    return fresh


@pytest.mark.parametrize("kind", KINDS)
def test_it_comes_back_as_it_was_opened(store: SQLStore, kind: str) -> None:
    fresh = opened(store, kind, records.log_in(store))
    with store.transaction() as tx:
        assert of(tx, kind).hold(fresh.digest) == fresh
        assert of(tx, kind).hold(records.digest()) is None


@pytest.mark.parametrize("kind", KINDS)
def test_how_long_the_client_waits_is_kept(store: SQLStore, kind: str) -> None:
    fresh = opened(store, kind, records.log_in(store))
    with store.transaction() as tx:
        of(tx, kind).polled(fresh.digest, interval=15, now=NOW)
    with store.transaction() as tx:
        assert of(tx, kind).hold(fresh.digest) == replace(fresh, interval=15, polled_at=NOW)


@pytest.mark.parametrize("kind", KINDS)
def test_an_approved_one_brings_its_grant_once(store: SQLStore, kind: str) -> None:
    login = records.log_in(store)
    fresh, allowed = opened(store, kind, login), grant(login)
    with store.transaction() as tx:
        assert of(tx, kind).consume(fresh.digest, now=NOW) is None, "nobody has approved"
        assert of(tx, kind).approve(fresh.digest, allowed, now=NOW)
        assert of(tx, kind).used(fresh.digest) is None
    with store.transaction() as tx:
        assert of(tx, kind).consume(fresh.digest, now=NOW) == allowed
        assert of(tx, kind).consume(fresh.digest, now=NOW) is None
        assert of(tx, kind).used(fresh.digest) == allowed.grant_id
        held = of(tx, kind).hold(fresh.digest)
    assert held == replace(fresh, state=ApprovalState.APPROVED, used=True)


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_answer_stands(store: SQLStore, kind: str) -> None:
    login = records.log_in(store)
    yes, no = opened(store, kind, login), opened(store, kind, login)
    with store.transaction() as tx:
        assert of(tx, kind).approve(yes.digest, grant(login), now=NOW)
        assert not of(tx, kind).deny(yes.digest, now=NOW)
        assert of(tx, kind).deny(no.digest, now=NOW)
        late = grant(login)
        assert not of(tx, kind).approve(no.digest, late, now=NOW)
        assert tx.grants.get(late.grant_id) is None, "no grant stays open that nobody can fetch"
        assert of(tx, kind).consume(no.digest, now=NOW) is None


@pytest.mark.parametrize("kind", KINDS)
def test_one_that_ran_out_takes_no_answer(store: SQLStore, kind: str) -> None:
    login = records.log_in(store)
    fresh = opened(store, kind, login)
    with store.transaction() as tx:
        assert not of(tx, kind).approve(fresh.digest, grant(login), now=NOW + MINUTE)
        assert not of(tx, kind).deny(fresh.digest, now=NOW + MINUTE)
        assert of(tx, kind).deny(fresh.digest, now=NOW + MINUTE - SECOND)


@pytest.mark.parametrize("kind", KINDS)
def test_a_grant_that_ended_meanwhile_is_not_handed_out(store: SQLStore, kind: str) -> None:
    login = records.log_in(store)
    fresh, allowed = opened(store, kind, login), grant(login)
    with store.transaction() as tx:
        of(tx, kind).approve(fresh.digest, allowed, now=NOW)
        tx.grants.end(allowed.grant_id, now=NOW)
    with store.transaction() as tx:
        assert of(tx, kind).consume(fresh.digest, now=NOW) is None


@pytest.mark.parametrize("kind", KINDS)
def test_of_eight_redeemers_of_one_approval_exactly_one_wins(store: SQLStore, kind: str) -> None:
    login = records.log_in(store)
    for _ in range(5):
        fresh, allowed = opened(store, kind, login), grant(login)
        with store.transaction() as tx:
            assert of(tx, kind).approve(fresh.digest, allowed, now=NOW)

        def redeem(tx: Transaction, _number: int, digest: bytes = fresh.digest) -> Grant | None:
            return of(tx, kind).consume(digest, now=NOW)

        won = race(store, redeem)
        assert sorted(outcome is None for outcome in won) == [False] + [True] * (CALLERS - 1)


@pytest.mark.parametrize("kind", KINDS)
def test_of_eight_answers_at_once_one_stands(store: SQLStore, kind: str) -> None:
    login = records.log_in(store)
    fresh = opened(store, kind, login)
    answers = race(
        store,
        lambda tx, number: (
            of(tx, kind).approve(fresh.digest, grant(login), now=NOW)
            if number % 2
            else of(tx, kind).deny(fresh.digest, now=NOW)
        ),
    )
    assert sum(answers) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_of_eight_questions_at_once_each_sees_the_one_before(store: SQLStore, kind: str) -> None:
    fresh = opened(store, kind, records.log_in(store))

    def ask(tx: Transaction, _number: int) -> int:
        held = of(tx, kind).hold(fresh.digest)
        assert held is not None
        of(tx, kind).polled(fresh.digest, interval=held.interval + 5, now=NOW)
        return held.interval

    assert sorted(race(store, ask)) == [fresh.interval + 5 * number for number in range(CALLERS)]


def test_a_user_code_is_one_devices_and_waits_for_one_answer(store: SQLStore) -> None:
    login = records.log_in(store)
    fresh, user_code = approval(login), records.digest()
    with store.transaction() as tx:
        assert tx.device_codes.open(fresh, user_code_digest=user_code)
        assert not tx.device_codes.open(approval(login), user_code_digest=user_code)
        assert tx.device_codes.pending(user_code, now=NOW) == fresh
        assert tx.device_codes.pending(records.digest(), now=NOW) is None
        assert tx.device_codes.pending(user_code, now=NOW + MINUTE) is None
        assert tx.device_codes.deny(fresh.digest, now=NOW)
        assert tx.device_codes.pending(user_code, now=NOW) is None


def test_a_request_about_nobody_known_can_never_be_answered(store: SQLStore) -> None:
    login = records.log_in(store)
    known, unknown = opened(store, "backchannel", login), approval(login)
    with store.transaction() as tx:
        tx.backchannel_requests.open(unknown, account=None, notification=b"\x01sealed")
        assert tx.backchannel_requests.pending(known.digest, now=NOW) == known
        assert tx.backchannel_requests.pending(unknown.digest, now=NOW) is None


def test_a_client_is_told_of_an_answer_a_few_times_and_not_before_there_is_one(store: SQLStore) -> None:
    login = records.log_in(store)
    fresh, quiet = approval(login), opened(store, "backchannel", login)
    with store.transaction() as tx:
        requests = tx.backchannel_requests
        requests.open(fresh, account=login.credential.account, notification=b"\x01sealed")
        assert requests.claim(fresh.digest, most=2, now=NOW) is None
        assert requests.deny(fresh.digest, now=NOW)
        assert requests.deny(quiet.digest, now=NOW)
        assert fresh.digest in requests.untold(most=2, now=NOW)
        assert requests.claim(fresh.digest, most=2, now=NOW + MINUTE) is None, "it ran out"
        told = (login.client.client_id, b"\x01sealed")
        assert [requests.claim(fresh.digest, most=2, now=NOW) for _ in range(3)] == [told, told, None]
        assert fresh.digest not in requests.untold(most=2, now=NOW)
        assert requests.claim(fresh.digest, most=9, now=NOW) == told
        requests.told(fresh.digest)
        assert requests.claim(fresh.digest, most=9, now=NOW) is None
        assert requests.claim(quiet.digest, most=9, now=NOW) is None, "nobody wants to be told"
        assert quiet.digest not in requests.untold(most=9, now=NOW)


def test_whose_a_subject_is_can_be_found(store: SQLStore) -> None:
    account, subject = records.log_in(store).credential.account, Subject(records.name())
    with store.transaction() as tx:
        tx.accounts.subject(account, SectorID("holders"), fresh=subject)
        assert tx.accounts.holder(SectorID("holders"), subject) == account
        assert tx.accounts.holder(SectorID("others"), subject) is None
        assert tx.accounts.holder(SectorID("holders"), Subject("\x00")) is None


def test_tries_can_be_looked_up_without_being_counted(store: SQLStore) -> None:
    name = records.name()
    with store.transaction() as tx:
        assert tx.attempts.tried(name, window=MINUTE, now=NOW) == 0
        tx.attempts.count_up(name, window=MINUTE, now=NOW)
        assert tx.attempts.tried(name, window=MINUTE, now=NOW) == 1
        assert tx.attempts.tried(name, window=MINUTE, now=NOW) == 1
        assert tx.attempts.tried(name, window=MINUTE, now=NOW + 2 * MINUTE) == 0
