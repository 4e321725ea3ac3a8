"""Mandates: every change of state happens once, from the states it may begin in, and answers queue with revocations."""

from __future__ import annotations

import secrets
import threading
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from broker.audit.leaf import Happening
from broker.delegation.acts import Act, Kind
from broker.delegation.life import STEPS, Deed, Role, State
from broker.delegation.record import Proof
from broker.delegation.statement import StatementKind
from broker.flows.mandate_ports import Decided, Epoch, Mandate, MandateOrder, Note, Part, Piece
from broker.ids import AccountID, MandateNumber
from broker.storage.store import SQLStore, StoreMisused
from tests.contracts import records
from tests.contracts.records import MINUTE, NOW, SECOND

DAY = timedelta(days=1)


def mandate(**changed: Any) -> Mandate:
    made = Mandate(
        number=MandateNumber(secrets.token_urlsafe(18)),
        kind=Kind.BUSINESS,
        state=State.DRAFT,
        grant_sealed=b"draft",
        begins=NOW,
        ends=NOW + 30 * DAY,
        created_at=NOW,
        changed_at=NOW,
    )
    return replace(made, **changed)


def drafted(store: SQLStore, *parts: Part, **changed: object) -> MandateNumber:
    made = mandate(**changed)
    with store.transaction() as tx:
        tx.mandates.draft(made, [replace(part, number=made.number) for part in parts])
    return made.number


def lead(store: SQLStore, number: MandateNumber, to: State) -> None:
    """By the shortest way of deeds."""
    with store.transaction() as tx:
        assert tx.mandates.sign(number, b"signed", leads=State.APPROVED, now=NOW)
        for deed in (Deed.ACCEPT, Deed.VERIFY, Deed.LOG, Deed.WITNESS, Deed.SEAL):
            current = tx.mandates.get(number)
            assert current is not None
            if current.state is to:
                return
            if deed is Deed.LOG:
                assert tx.mandates.log(logged(current), now=NOW)
            elif deed is Deed.SEAL:
                assert tx.mandates.seal(number, b"sealed", now=NOW)
            else:
                assert tx.mandates.move(number, deed, now=NOW)


def logged(current: Mandate) -> Mandate:
    return replace(
        current,
        status_index=secrets.randbelow(2**31),
        record_sealed=b"record",
        salt_sealed=b"salt",
        document_sealed=b"unsigned",
        log_origin="op.example/register-log/2026",
        log_index=7,
    )


def state(store: SQLStore, number: MandateNumber) -> State:
    with store.transaction() as tx:
        found = tx.mandates.get(number)
    assert found is not None
    return found.state


def test_what_was_drafted_is_answered_as_it_was(store: SQLStore) -> None:
    owner, agent = records.log_in(store).who().account, records.log_in(store).who().account
    digest = secrets.token_bytes(32)
    made = mandate()
    mine = Part(number=made.number, part_id="principal-0123456", role=Role.PRINCIPAL, account=owner)
    theirs = Part(
        number=made.number,
        part_id="agent-0123456789ab",
        role=Role.AGENT,
        invitation_digest=digest,
        invited_until=NOW + DAY,
    )
    with store.transaction() as tx:
        tx.mandates.draft(made, (mine, theirs))
        assert tx.mandates.get(made.number) == made
        assert set(tx.mandates.parts(made.number)) == {mine, theirs}
        assert tx.mandates.of(owner) == ((made, Role.PRINCIPAL),)
        assert tx.mandates.of(agent) == ()
        assert tx.mandates.get(MandateNumber("nobody\x00")) is None
        assert tx.mandates.lock(MandateNumber("nobody")) is None


def test_statements_and_powers_are_never_answered_for_one_another(store: SQLStore) -> None:
    person = records.log_in(store).who().account
    power, statement = mandate(), mandate(kind=StatementKind.EMPLOYMENT)
    with store.transaction() as tx:
        for made in (power, statement):
            part = Part(number=made.number, part_id="principal-0123456", role=Role.PRINCIPAL, account=person)
            tx.mandates.draft(made, (part,))
            tx.mandates.notify(Note(number=made.number, account=person, deed=Deed.SIGN, at=NOW))
        assert tx.mandates.of(person) == ((power, Role.PRINCIPAL),)
        assert tx.mandates.of(person, statements=True) == ((statement, Role.PRINCIPAL),)
        assert [each.number for each in tx.mandates.notes(person)] == [power.number]
        assert [each.number for each in tx.mandates.notes(person, statements=True)] == [statement.number]


def test_lists_go_on_where_the_page_before_ended_and_lose_nobody(store: SQLStore) -> None:
    person, other = records.log_in(store).who().account, records.log_in(store).who().account
    mine = Part(number=MandateNumber(""), part_id="principal-0123456", role=Role.PRINCIPAL, account=person)
    approver = replace(mine, part_id="approver-0123456", role=Role.APPROVER)
    theirs = replace(mine, part_id="agent-0123456789ab", role=Role.AGENT, account=other)
    at_once = [drafted(store, mine, theirs) for _ in range(3)]
    newer = drafted(store, mine, created_at=NOW + SECOND)
    drafted(store, mine, kind=StatementKind.EMPLOYMENT, created_at=NOW + SECOND)
    lead(store, at_once[0], State.ACTIVE)
    with store.transaction() as tx:
        assert tx.mandates.move(newer, Deed.ABANDON, now=NOW)
    drafted(store, approver, created_at=NOW - SECOND)
    with store.transaction() as tx:
        whole = tx.mandates.of(person)
        assert [each.number for each, _role in whole][:4] == [newer, *sorted(at_once)]
        assert [role for _each, role in whole] == [Role.PRINCIPAL] * 4 + [Role.APPROVER]
        pages, older = [], None
        while found := tx.mandates.of(person, older_than=older, limit=2):
            pages += found
            older = found[-1][0].number
        assert tuple(pages) == whole
        assert {each.document_sealed for each, _role in whole} == {None}, "no list carries the documents"
        assert tx.mandates.of(person, older_than=MandateNumber("nobody")) == ()
        assert tx.mandates.of(person, older_than=MandateNumber("nobody\x00")) == ()

        first = tx.mandates.unended(person, limit=2)
        rest = tx.mandates.unended(person, after=first[-1].number, limit=2)
        assert [each.number for each in (*first, *rest)] == sorted(at_once), "neither ended, nor as an approver"
        assert {each.role for each in tx.mandates.unended(other)} == {Role.AGENT}
        assert tx.mandates.in_force(person) == {Role.PRINCIPAL: 1}
        assert tx.mandates.in_force(other) == {Role.AGENT: 1}


def test_an_invitation_is_taken_up_once_and_in_time(store: SQLStore) -> None:
    digest = secrets.token_bytes(32)
    invited = Part(
        number=MandateNumber(""),
        part_id="agent-0123456789ab",
        role=Role.AGENT,
        invitation_digest=digest,
        invited_until=NOW + DAY,
    )
    first, second = records.log_in(store).who().account, records.log_in(store).who().account
    number = drafted(store, invited)
    with store.transaction() as tx:
        assert tx.mandates.invited(digest, now=NOW + DAY) is None
        assert tx.mandates.take(digest, first, now=NOW + DAY) is None, "too late"
        assert tx.mandates.invited(digest, now=NOW) is not None
        taken = tx.mandates.take(digest, first, now=NOW)
        assert taken is not None
        assert (taken.account, taken.number) == (first, number)
        assert tx.mandates.take(digest, second, now=NOW) is None, "taken"
        assert tx.mandates.invited(digest, now=NOW) is None
        assert tx.mandates.did(number, invited.part_id, now=NOW)
        assert not tx.mandates.did(number, invited.part_id, now=NOW), "done once"


@pytest.mark.parametrize("deed", [deed for deed in Deed if deed not in {Deed.SIGN, Deed.LOG, Deed.SEAL}])
def test_a_deed_leads_only_from_where_it_begins(store: SQLStore, deed: Deed) -> None:
    for begins in (State.DRAFT, State.APPROVED, State.ACCEPTED, State.LOGGED, State.ACTIVE):
        number = drafted(store)
        if begins is not State.DRAFT:
            lead(store, number, begins)
        with store.transaction() as tx:
            moved = tx.mandates.move(number, deed, now=NOW + SECOND)
            found = tx.mandates.get(number)
        assert found is not None
        assert moved is (begins in STEPS[deed].begins)
        assert found.state is (STEPS[deed].leads if moved else begins)


def test_a_draft_is_signed_once_and_keeps_the_bytes_that_were_signed(store: SQLStore) -> None:
    number = drafted(store)
    with store.transaction() as tx:
        assert tx.mandates.sign(number, b"first", leads=State.SIGNED, now=NOW)
        assert not tx.mandates.sign(number, b"second", leads=State.APPROVED, now=NOW)
        found = tx.mandates.get(number)
    assert found is not None
    assert (found.grant_sealed, found.state) == (b"first", State.SIGNED)


def test_a_place_in_the_status_list_belongs_to_one(store: SQLStore) -> None:
    one, other = drafted(store), drafted(store)
    lead(store, one, State.LOGGED)
    lead(store, other, State.VERIFIED)
    with store.transaction() as tx:
        taken = tx.mandates.get(one)
        assert taken is not None
        assert taken.status_index is not None
        assert tx.mandates.place_taken(taken.status_index)
        assert tx.mandates.listed()[one] == (taken.status_index, State.LOGGED, None)
        assert other not in tx.mandates.listed()
        waits = tx.mandates.get(other)
        assert waits is not None
    clash = replace(logged(waits), status_index=taken.status_index)
    with pytest.raises(StoreMisused), store.transaction() as tx:
        tx.mandates.log(clash, now=NOW)
    assert state(store, other) is State.VERIFIED


def test_what_is_suspended_holds_again_by_an_entry_and_suspending_anew_forgets_it(store: SQLStore) -> None:
    number = drafted(store)
    lead(store, number, State.ACTIVE)
    with store.transaction() as tx:
        assert not tx.mandates.ask_resume(number, origin="op.example/register-log/2026", index=9, now=NOW)
        assert tx.mandates.move(number, Deed.SUSPEND, now=NOW)
        assert tx.mandates.ask_resume(number, origin="op.example/register-log/2026", index=9, now=NOW)
        assert [each.resume_index for each in tx.mandates.resuming() if each.number == number] == [9]
        assert tx.mandates.move(number, Deed.RESUME, now=NOW)
        found = tx.mandates.get(number)
        assert found is not None
        assert (found.state, found.resume_index) == (State.ACTIVE, None)
        assert number not in [each.number for each in tx.mandates.resuming()]


def test_the_clock_ends_terms_and_forgotten_drafts(store: SQLStore) -> None:
    over, running, forgotten = drafted(store), drafted(store, ends=NOW + 90 * DAY), drafted(store)
    for number in (over, running):
        lead(store, number, State.ACTIVE)
    with store.transaction() as tx:
        due = dict(tx.mandates.overdue(now=NOW + 30 * DAY, drafts_before=NOW - DAY))
        old = dict(tx.mandates.overdue(now=NOW, drafts_before=NOW))
    assert due[over] is Deed.EXPIRE
    assert running not in due
    assert due[forgotten] is Deed.ABANDON
    assert old[forgotten] is Deed.ABANDON
    assert over not in old


def test_papers_are_kept_in_order(store: SQLStore) -> None:
    login = records.log_in(store)
    number = drafted(store)
    piece = Piece(shows=Proof.ACCEPTANCE, sha256="ab" * 32, sealed=b"sealed", at=NOW)
    decided = Decided(
        decision_id=secrets.token_urlsafe(16),
        number=number,
        client_id=login.client.client_id,
        act=Act.BID,
        entity="100001",
        amount=10**12,
        allowed=True,
        at=NOW,
        holds_until=NOW + MINUTE,
    )
    note = Note(number=number, account=login.who().account, deed=Deed.REVOKE, at=NOW)
    with store.transaction() as tx:
        tx.mandates.keep(number, piece)
        tx.mandates.keep(number, replace(piece, shows=Proof.DECISION))
        tx.mandates.decide(decided)
        tx.mandates.notify(note)
        assert tx.mandates.judge(number, "aoki", sha256="cd" * 32, now=NOW)
        assert not tx.mandates.judge(number, "aoki", sha256="ef" * 32, now=NOW), "one operator is one"
        tx.mandates.happen(number, Happening.SUSPEND, at=NOW, salt_sealed=b"salt", commit=b"c" * 32)
        tx.mandates.happen(number, Happening.REVOKE, at=NOW, salt_sealed=b"salt", commit=b"d" * 32)
    with store.transaction() as tx:
        assert [each.shows for each in tx.mandates.evidence(number)] == [Proof.ACCEPTANCE, Proof.DECISION]
        assert tx.mandates.decisions(number) == (decided,)
        assert tx.mandates.notes(login.who().account) == (note,)
        assert tx.mandates.notes(AccountID("nobody")) == ()
        assert tx.mandates.judges(number) == {"aoki": "cd" * 32}
        first, second = tx.mandates.story(number)
        assert (first.happening, second.happening) == (Happening.SUSPEND, Happening.REVOKE)
        assert {first.event_id, second.event_id} <= {each.event_id for each in tx.mandates.unlogged()}
        tx.mandates.logged(first.event_id, origin="op.example/register-log/2026", index=3)
        assert first.event_id not in {each.event_id for each in tx.mandates.unlogged()}
        assert tx.mandates.story(number)[0].log_index == 3


def test_a_protection_notice_stands_until_it_is_lifted(store: SQLStore) -> None:
    person, other = records.log_in(store).who().account, records.log_in(store).who().account
    with store.transaction() as tx:
        tx.mandates.protect(person, now=NOW)
        tx.mandates.protect(person, now=NOW + DAY)
        assert tx.mandates.protected(person)
        assert not tx.mandates.protected(other)
        tx.mandates.unprotect(person)
        assert not tx.mandates.protected(person)


def test_the_epoch_in_force_is_the_newest_that_was_published_by_then(store: SQLStore) -> None:
    uri = f"https://op.example/status-lists/{secrets.token_urlsafe(6)}"
    epochs = [
        Epoch(list_uri=uri, at=NOW + minutes * MINUTE, token=f"t{minutes}", log_origin="o", log_index=minutes)
        for minutes in (0, 10)
    ]
    with store.transaction() as tx:
        for each in epochs:
            tx.mandates.publish(each)
        assert tx.mandates.epoch(uri, at=NOW - SECOND) is None
        assert tx.mandates.epoch(uri, at=NOW + 9 * MINUTE) == epochs[0]
        assert tx.mandates.epoch(uri, at=NOW + 10 * MINUTE) == epochs[1]


def test_of_a_revocation_and_an_answer_one_waits_for_the_other(store: SQLStore) -> None:
    number = drafted(store)
    lead(store, number, State.ACTIVE)
    begun, seen = threading.Event(), []

    def revoke() -> None:
        begun.wait()
        with store.transaction() as tx:
            seen.append(tx.mandates.move(number, Deed.REVOKE, now=NOW))

    other = threading.Thread(target=revoke)
    other.start()
    with store.transaction() as tx:
        assert tx.mandates.lock(number) is State.ACTIVE
        begun.set()
        other.join(0.2)
        assert not seen, "the revocation waits for the answer"
    other.join()
    assert seen == [True]
    with store.transaction() as tx:
        assert tx.mandates.lock(number) is State.REVOKED


def test_a_blocked_one_is_resumed_by_nobody_before_the_block_is_taken_back(store: SQLStore) -> None:
    number, draft = drafted(store), drafted(store)
    lead(store, number, State.ACTIVE)
    with store.transaction() as tx:
        assert not tx.mandates.block(draft, now=NOW)
        assert not tx.mandates.unblock(number, now=NOW)
        assert tx.mandates.move(number, Deed.SUSPEND, now=NOW)
        assert tx.mandates.ask_resume(number, origin="op.example/register-log/2026", index=8, now=NOW)
    with store.transaction() as tx:
        assert tx.mandates.block(number, now=NOW + SECOND)
        assert not tx.mandates.block(number, now=NOW + SECOND)
        assert number not in {each.number for each in tx.mandates.resuming()}, "what was under way is dropped"
        assert not tx.mandates.ask_resume(number, origin="op.example/register-log/2026", index=9, now=NOW)
        assert not tx.mandates.move(number, Deed.RESUME, now=NOW)
        found = tx.mandates.get(number)
        assert found is not None
        assert (found.state, found.blocked_at) == (State.SUSPENDED, NOW + SECOND)
    with store.transaction() as tx:
        assert tx.mandates.unblock(number, now=NOW)
        assert tx.mandates.ask_resume(number, origin="op.example/register-log/2026", index=9, now=NOW)
        assert tx.mandates.move(number, Deed.RESUME, now=NOW)
        assert tx.mandates.block(number, now=NOW), "an active one is suspended with it"
        assert tx.mandates.move(number, Deed.REVOKE, now=NOW)
        assert not tx.mandates.unblock(number, now=NOW)
        assert not tx.mandates.block(number, now=NOW)


def test_an_order_about_a_mandate_is_confirmed_once_in_time_and_by_another_operator(store: SQLStore) -> None:
    number, one, two = drafted(store), records.name(), records.name()
    with store.transaction() as tx:
        for operator in (one, two):
            assert tx.operators.add(operator, records.digest(), now=NOW)
        order = MandateOrder(
            order_id=records.name(),
            number=number,
            action="block",
            reason="protection notice",
            ordered_by=one,
            ordered_at=NOW,
            expires_at=NOW + MINUTE,
        )
        tx.mandates.order(order)
        assert order in tx.mandates.orders(now=NOW)
        assert order not in tx.mandates.orders(now=NOW + MINUTE)
        assert tx.mandates.confirm(order.order_id, by=one, now=NOW) is None
        assert tx.mandates.confirm(order.order_id, by=two, now=NOW + MINUTE) is None
        assert tx.mandates.confirm("nothing\x00", by=two, now=NOW) is None
        assert tx.mandates.confirm(order.order_id, by=two, now=NOW) == order
        assert tx.mandates.confirm(order.order_id, by=two, now=NOW) is None
        assert order not in tx.mandates.orders(now=NOW)
