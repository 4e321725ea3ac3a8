"""`broker account`: two operators stop an account without the card, and open it again; nobody does it alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from broker.__main__ import main
from broker.accounts.account import State
from broker.accounts.activity import Kind as ActivityKind
from broker.delegation.acts import Kind
from broker.delegation.life import Role
from broker.delegation.life import State as MandateState
from broker.flows.mandate_ports import Mandate, Part
from broker.ids import AccountID, MandateNumber
from broker.storage.engine import open_engine
from broker.storage.store import SQLStore
from sandbox.broker import BrokerHouse, set_up
from sandbox.generate import generate
from tests.contracts import records


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> BrokerHouse:
    root: Path = tmp_path_factory.mktemp("sandbox")
    generate(root, datetime.now(UTC))
    house = BrokerHouse(root=root, issuer="http://localhost:8000", agent_origins=("http://127.0.0.1:24780",), port=8000)
    set_up(house, [])
    return house


@pytest.fixture
def store(house: BrokerHouse) -> Iterator[SQLStore]:
    engine = open_engine(house.environment()["BROKER_DATABASE_URL"])
    yield SQLStore(engine)
    engine.dispose()


def run(house: BrokerHouse, *arguments: str, secret: str = "") -> Result:
    return CliRunner().invoke(main, arguments, env=house.environment(), input=f"{secret}\n")


def operators(house: BrokerHouse) -> dict[str, str]:
    names = [f"op-{records.name().lower().replace('_', 'x')}" for _ in range(2)]
    return {name: run(house, "operator", "add", name).stdout.strip() for name in names}


def test_one_orders_another_confirms_and_everything_ends(house: BrokerHouse, store: SQLStore) -> None:
    login = records.log_in(store)
    code = login.code()
    account = login.credential.account
    with store.transaction() as tx:
        tx.codes.issue(code)
    (one, first), (two, second) = operators(house).items()
    named = ("--sid", login.session.session_id)
    ordered = run(house, "account", "stop", *named, "--operator", one, "--reason", "card lost", secret=first)
    assert ordered.exit_code == 0, ordered.output
    order = ordered.stdout.strip().splitlines()[-1]
    assert [row["ordered_by"] for row in json.loads(run(house, "account", "orders", "--json").stdout)] == [one]
    with store.transaction() as tx:
        assert tx.standings.state(account) is State.OPEN  # an order alone does nothing
    alone = run(house, "account", "confirm", "--operator", one, "--", order, secret=first)
    assert alone.exit_code == 1
    wrong = run(house, "account", "confirm", "--operator", two, "--", order, secret=first)
    assert wrong.exit_code == 1
    done = run(house, "account", "confirm", "--operator", two, "--", order, secret=second)
    assert done.exit_code == 0, done.output
    with store.transaction() as tx:
        assert tx.standings.state(account) is State.STOPPED
        assert tx.sessions.of(account) == tx.grants.of(account) == ()
        [row] = tx.activities.page(account, before=None, limit=9)
    assert (row.kind, row.items) == (ActivityKind.ACCOUNT, ("stopped",))
    again = run(house, "account", "confirm", "--operator", two, "--", order, secret=second)
    assert again.exit_code == 1


def test_a_stopped_account_is_found_by_its_number_and_opened_by_two(house: BrokerHouse, store: SQLStore) -> None:
    login = records.log_in(store)
    account = login.credential.account
    number = "BCDFGHJKLM"
    with store.transaction() as tx:
        tx.standings.support_number(account, fresh=number)
        tx.standings.stop(account, now=records.NOW)
    (one, first), (two, second) = operators(house).items()
    assert run(house, "account", "show", "--number", "bcdfg hjklm").stdout == "stopped\n"
    options = ("--number", "BCDFG-HJKLM", "--operator", two, "--reason", "came to the desk")
    ordered = run(house, "account", "resume", *options, secret=second)
    order = ordered.stdout.strip().splitlines()[-1]
    assert run(house, "account", "confirm", "--operator", one, "--", order, secret=first).exit_code == 0
    assert run(house, "account", "show", "--number", number).stdout == "open\n"


def test_a_protection_notice_of_two_ends_what_others_do_for_a_person_and_is_lifted_by_two(
    house: BrokerHouse, store: SQLStore
) -> None:
    child, guardian = records.log_in(store), records.log_in(store)
    people = {Role.PRINCIPAL: child.credential.account, Role.AGENT: guardian.credential.account}
    powers = {kind: power(store, kind, people) for kind in (Kind.GUARDIAN, Kind.BUSINESS)}
    (one, first), (two, second) = operators(house).items()

    def ordered_and_done(action: str) -> None:
        named = ("--sid", child.session.session_id, "--operator", one, "--reason", "at the desk")
        ordered = run(house, "account", action, *named, secret=first)
        assert ordered.exit_code == 0, ordered.output
        with store.transaction() as tx:
            assert tx.mandates.protected(child.credential.account) is (action == "unprotect"), "an order does nothing"
        order = ordered.stdout.strip().splitlines()[-1]
        alone = run(house, "account", "confirm", "--operator", one, "--", order, secret=first)
        assert alone.exit_code == 1
        done = run(house, "account", "confirm", "--operator", two, "--", order, secret=second)
        assert (done.exit_code, done.stdout) == (0, f"{action} done\n")

    def states() -> dict[Kind, MandateState]:
        with store.transaction() as tx:
            return {kind: found.state for kind, number in powers.items() if (found := tx.mandates.get(number))}

    ordered_and_done("protect")
    assert states() == {Kind.GUARDIAN: MandateState.ABANDONED, Kind.BUSINESS: MandateState.DRAFT}
    with store.transaction() as tx:
        assert tx.mandates.protected(child.credential.account)
        assert not tx.mandates.protected(guardian.credential.account)
        assert tx.standings.state(child.credential.account) is State.OPEN, "the person's own logins go on"
    ordered_and_done("unprotect")
    with store.transaction() as tx:
        assert not tx.mandates.protected(child.credential.account)
    assert states()[Kind.GUARDIAN] is MandateState.ABANDONED, "what had ended stays ended"


def power(store: SQLStore, kind: Kind, people: dict[Role, AccountID]) -> MandateNumber:
    """A draft with both sides in it."""
    number = MandateNumber(records.name())
    parts = [Part(number=number, part_id=f"{role}-part", role=role, account=who) for role, who in people.items()]
    with store.transaction() as tx:
        tx.mandates.draft(
            Mandate(
                number=number,
                kind=kind,
                state=MandateState.DRAFT,
                grant_sealed=b"draft",
                begins=records.NOW,
                ends=records.NOW + records.MINUTE,
                created_at=records.NOW,
                changed_at=records.NOW,
            ),
            parts,
        )
    return number


def test_an_account_is_found_by_the_pseudonym_its_service_knows(house: BrokerHouse, store: SQLStore) -> None:
    login = records.log_in(store)
    with store.transaction() as tx:
        subject = tx.accounts.subject(login.credential.account, login.client.sector, fresh=login.session.subject)
    found = run(house, "account", "show", "--client", login.client.client_id, "--subject", subject)
    assert found.stdout == "open\n"
    assert run(house, "account", "show", "--client", login.client.client_id, "--subject", "nobody").exit_code == 1
    assert run(house, "account", "show", "--number", "x").exit_code == 1
    assert run(house, "account", "show").exit_code == 2
    assert run(house, "account", "show", "--sid", "x", "--number", "y").exit_code == 2


def test_a_removed_operator_does_nothing_any_more(house: BrokerHouse, store: SQLStore) -> None:
    login = records.log_in(store)
    (one, first), (two, _) = operators(house).items()
    assert run(house, "operator", "remove", one).stdout == "removed\n"
    assert run(house, "operator", "remove", one).exit_code == 1
    assert run(house, "operator", "add", one).exit_code == 1
    listed = run(house, "operator", "list").stdout.splitlines()
    assert (one in listed, two in listed) == (False, True)
    options = ("--sid", login.session.session_id, "--operator", one, "--reason", "x")
    assert run(house, "account", "stop", *options, secret=first).exit_code == 1
    assert (
        run(house, "account", "resume", *options[:2], "--operator", two, "--reason", "x", secret=first).exit_code == 1
    )


def test_what_residents_reported_is_listed(house: BrokerHouse, store: SQLStore) -> None:
    login = records.log_in(store)
    with store.transaction() as tx:
        tx.activities.note(records.activity(login))
        [row] = tx.activities.page(login.credential.account, before=None, limit=1)
        tx.activities.report(login.credential.account, row.number, now=records.NOW)
    told = json.loads(run(house, "account", "reports", "--json").stdout)
    assert login.session.session_id in {one["sid"] for one in told}
    assert login.credential.account not in json.dumps(told)
    assert login.session.session_id in run(house, "account", "reports").stdout
