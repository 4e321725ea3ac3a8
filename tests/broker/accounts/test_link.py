"""Links as decisions: R3 (one card in a linking), R6 (two numbers, two cards), and the states a link goes through."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, precondition, rule

from broker.accounts.credential import CredentialKey
from broker.accounts.link import (
    NEXT,
    AlarmKind,
    Ending,
    Link,
    LinkAct,
    LinkRequest,
    LinkState,
    Start,
    check_commit,
    check_start,
    commitment,
    decide,
    follow,
    masked,
)
from broker.errors import LinkCardChanged, LinkRequestUnknown, LinkStateRefused
from broker.flows import links
from broker.ids import AccountID, ClientID, LinkID, TransactionID
from broker.storage import migrations
from broker.storage.engine import open_engine
from broker.storage.store import SQLStore
from tests.contracts import records

NOW = datetime(2026, 11, 20, 3, 4, 5, tzinfo=UTC)
HANAKO, TARO = AccountID("hanako"), AccountID("taro")
CARD, OTHER_CARD = (CredentialKey(issuer_key_hash=b"i" * 32, serial_fingerprint=serial) for serial in (b"1", b"2"))


def request(number: bytes = b"42", **changes: Any) -> LinkRequest:
    asked = LinkRequest(
        digest=b"d" * 32,
        link_id=LinkID("new"),
        client_id=ClientID("bank"),
        value_fingerprint=number,
        action="{}",
        expires_at=NOW + timedelta(minutes=10),
    )
    return replace(asked, **changes)


def begun(account: AccountID = HANAKO, key: CredentialKey = CARD) -> LinkRequest:
    start = Start(account=account, key=key, transaction=TransactionID("t"), frame_sealed=b"frame")
    return request(start=start)


def link(account: AccountID = HANAKO, number: bytes = b"42", **changes: Any) -> Link:
    made = Link(
        link_id=LinkID(f"{account}-{number.decode()}"),
        client_id=ClientID("bank"),
        account=account,
        value_fingerprint=number,
        state=LinkState.ACTIVE,
        committed_at=NOW,
        active_at=NOW,
        start_transaction=TransactionID("s"),
        commit_transaction=TransactionID("c"),
    )
    return replace(made, **changes)


# --- R3 --------------------------------------------------------------------------------------------------------------


def test_the_card_of_the_start_may_finish_and_no_other() -> None:
    asked = begun()
    assert check_commit(asked, key=CARD) == asked.start
    with pytest.raises(LinkCardChanged):
        check_commit(asked, key=OTHER_CARD)
    with pytest.raises(LinkCardChanged):
        check_commit(asked, key=replace(CARD, issuer_key_hash=b"j" * 32))


def test_what_was_never_begun_or_is_over_cannot_be_finished() -> None:
    for gone in (request(), None):
        with pytest.raises(LinkRequestUnknown):
            check_commit(gone, key=CARD)


def test_only_who_began_may_begin_anew() -> None:
    check_start(request(), account=HANAKO, key=CARD)
    check_start(begun(), account=HANAKO, key=CARD)
    for account, key in ((TARO, OTHER_CARD), (HANAKO, OTHER_CARD), (TARO, CARD)):
        with pytest.raises(LinkCardChanged):
            check_start(begun(), account=account, key=key)


# --- R6 --------------------------------------------------------------------------------------------------------------


def test_where_nothing_is_in_the_way_the_link_takes_effect() -> None:
    decision = decide(request(), account=HANAKO, mine=None, others=None)
    assert (decision.act, decision.alarms, decision.ends) == (LinkAct.COMMIT, (), ())


def test_one_card_with_two_numbers_is_held_and_alarms() -> None:
    mine = link(number=b"41")
    decision = decide(request(), account=HANAKO, mine=mine, others=None)
    assert decision.act is LinkAct.HOLD
    assert decision.alarms == ((AlarmKind.ONE_CARD_TWO_IDS, mine),)


def test_two_cards_with_one_number_are_held_and_alarm() -> None:
    theirs = link(TARO)
    decision = decide(request(), account=HANAKO, mine=None, others=theirs)
    assert decision.act is LinkAct.HOLD
    assert decision.alarms == ((AlarmKind.ONE_ID_TWO_CARDS, theirs),)


def test_a_change_that_names_the_old_number_takes_its_place_without_an_alarm() -> None:
    mine = link(number=b"41")
    decision = decide(request(replaces=b"41"), account=HANAKO, mine=mine, others=None)
    assert (decision.act, decision.ends, decision.alarms) == (LinkAct.COMMIT, (mine,), ())
    guessed = decide(request(replaces=b"40"), account=HANAKO, mine=mine, others=None)
    assert guessed.act is LinkAct.HOLD


def test_a_change_to_somebody_elses_number_is_held() -> None:
    decision = decide(request(replaces=b"41"), account=HANAKO, mine=link(number=b"41"), others=link(TARO))
    assert decision.act is LinkAct.HOLD
    assert [kind for kind, _ in decision.alarms] == [AlarmKind.ONE_ID_TWO_CARDS]


def test_the_same_number_again_changes_nothing() -> None:
    mine = link()
    decision = decide(request(), account=HANAKO, mine=mine, others=None)
    assert (decision.act, decision.same) == (LinkAct.COMMIT, mine)


ENDED = {"state": LinkState.ENDED, "ended_at": NOW, "ended_because": Ending.BY_RESIDENT}


def test_a_ticket_never_changes_hands_even_after_it_ended() -> None:
    for theirs in (link(TARO), link(TARO, **ENDED)):
        decision = decide(request(), account=HANAKO, mine=None, others=theirs, transferable=False)
        assert decision.act is LinkAct.END
        assert [kind for kind, _ in decision.alarms] == [AlarmKind.ONE_ID_TWO_CARDS]


def test_one_person_one_ticket_even_after_it_ended() -> None:
    for mine in (link(number=b"41"), link(number=b"41", **ENDED)):
        decision = decide(request(replaces=b"41"), account=HANAKO, mine=mine, others=None, transferable=False)
        assert decision.act is LinkAct.END
        assert [kind for kind, _ in decision.alarms] == [AlarmKind.ONE_CARD_TWO_IDS]


def test_a_ticket_comes_back_to_its_own_person() -> None:
    decision = decide(request(), account=HANAKO, mine=link(**ENDED), others=None, transferable=False)
    assert (decision.act, decision.same) == (LinkAct.COMMIT, None)


def test_links_of_the_wrong_person_are_our_own_mistake() -> None:
    with pytest.raises(ValueError, match="another person's"):
        decide(request(), account=HANAKO, mine=link(TARO), others=None)
    with pytest.raises(ValueError, match="own"):
        decide(request(), account=HANAKO, mine=None, others=link())


# --- words -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "shown"), [("0012345", "•••••45"), ("1", "•"), ("123", "••3"), ("A" * 64, "•" * 61 + "AAA")]
)
def test_a_masked_number_shows_at_most_a_third(value: str, shown: str) -> None:
    assert masked(value) == shown


def test_what_the_card_signs_for_tells_handle_and_number_apart() -> None:
    assert len({commitment(handle, value) for handle in ("a", "ab") for value in ("b", "bb", "")}) == 6


def test_an_ended_link_goes_nowhere_and_every_other_can_end() -> None:
    for act in LinkAct:
        with pytest.raises(LinkStateRefused):
            follow(LinkState.ENDED, act)
    for state in set(LinkState) - {LinkState.ENDED}:
        assert follow(state, LinkAct.END) is LinkState.ENDED
    assert NEXT[LinkState.HELD, LinkAct.CONFIRM] is LinkState.ACTIVE


# --- many links of many people ---------------------------------------------------------------------------------------

PEOPLE, NUMBERS = 3, 4


@pytest.fixture(scope="module")
def machine_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SQLStore]:
    url = f"sqlite:///{tmp_path_factory.mktemp('links') / 'links.db'}"
    migrations.upgrade(url)
    engine = open_engine(url)
    yield SQLStore(engine)
    engine.dispose()


class Links(RuleBasedStateMachine):
    """People at one client link, change, confirm and end as they like; store and decisions are the real ones."""

    store: SQLStore
    made = Bundle("made")

    @initialize(transferable=st.booleans())
    def begin(self, transferable: bool) -> None:
        self.transferable = transferable
        logins = [records.log_in(self.store) for _ in range(PEOPLE)]
        self.people = [login.credential.account for login in logins]
        self.client_id = logins[0].client.client_id
        self.held_by: dict[bytes, set[AccountID]] = {}
        self.now = NOW

    @rule(
        target=made,
        person=st.integers(0, PEOPLE - 1),
        number=st.integers(0, NUMBERS - 1),
        old=st.integers(-1, NUMBERS - 1),
    )
    def commit(self, person: int, number: int, old: int) -> LinkID:
        self.now += timedelta(seconds=1)
        account, value = self.people[person], b"number %d" % number
        asked = request(
            value,
            link_id=LinkID(secrets.token_hex(8)),
            client_id=self.client_id,
            replaces=b"" if old < 0 else b"number %d" % old,
        )
        with self.store.transaction() as tx:
            find = tx.links.active if self.transferable else tx.links.earlier
            mine = find(self.client_id, account)
            others = tx.links.rival(self.client_id, value, account, ended=not self.transferable)
            decision = decide(asked, account=account, mine=mine, others=others, transferable=self.transferable)
            if decision.same is not None or decision.act is LinkAct.END:
                return asked.link_id
            for other in decision.ends:
                assert links.end_link(tx, other, because=Ending.CHANGED, now=self.now)
            state = follow(LinkState.STARTED, decision.act)
            new = link(
                account, value, link_id=asked.link_id, client_id=self.client_id, state=state, committed_at=self.now
            )
            assert tx.links.add(new), "what was decided can be written"
            assert (state is LinkState.HELD) is bool(decision.alarms)
        return asked.link_id

    @rule(link_id=made)
    def confirm(self, link_id: LinkID) -> None:
        with self.store.transaction() as tx:
            found = tx.links.get(link_id)
            if found is None or found.state is not LinkState.HELD:
                return
            links.confirm(tx, found, by="desk", now=self.now)
            assert tx.links.active(self.client_id, found.account) == replace(
                found, state=LinkState.ACTIVE, active_at=self.now
            )

    @rule(link_id=made)
    def end(self, link_id: LinkID) -> None:
        with self.store.transaction() as tx:
            found = tx.links.get(link_id)
            if found is not None:
                assert links.end_link(tx, found, because=Ending.BY_RESIDENT, now=self.now) is (
                    found.state is not LinkState.ENDED
                )

    @precondition(lambda self: hasattr(self, "people"))
    @rule(person=st.integers(0, PEOPLE - 1))
    def delete(self, person: int) -> None:
        with self.store.transaction() as tx:
            links.forget(tx, self.people[person], now=self.now)
            assert {each.state for each in tx.links.of(self.people[person])} <= {LinkState.ENDED}
            assert {each.value_sealed for each in tx.links.of(self.people[person])} <= {b""}

    @invariant()
    def nobody_is_bound_twice(self) -> None:
        if not hasattr(self, "people"):
            return
        with self.store.transaction() as tx:
            everything = [each for person in self.people for each in tx.links.of(person)]
        active = [each for each in everything if each.state is LinkState.ACTIVE]
        assert len({each.account for each in active}) == len(active)
        assert len({each.value_fingerprint for each in active}) == len(active)
        if not self.transferable:
            for each in everything:
                self.held_by.setdefault(each.value_fingerprint, set()).add(each.account)
            assert all(len(people) == 1 for people in self.held_by.values()), "a ticket has changed hands"
            assert all(
                len({each.value_fingerprint for each in everything if each.account == person}) <= 1
                for person in self.people
            ), "one person has had two tickets"


def test_no_order_of_acts_binds_anybody_twice(machine_store: SQLStore) -> None:
    Links.store = machine_store
    Links.TestCase.settings = settings(
        max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
    )
    Links.TestCase().runTest()
