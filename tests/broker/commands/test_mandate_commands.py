"""`broker mandate`: operators hold registry extracts against what waits; nobody does it in another's name."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from broker.__main__ import main
from broker.delegation import grant_document as grants
from broker.delegation.acts import Kind
from broker.delegation.life import Deed, State
from broker.flows.mandate_ports import Mandate
from broker.flows.mandates import context
from broker.ids import MandateNumber
from broker.settings import read
from sandbox.broker import BrokerHouse, open_ports, set_up
from sandbox.generate import generate
from tests.broker.delegation.test_grant import GRANT

NUMBER = MandateNumber(GRANT.number)
EXTRACT = "extract.pdf"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> BrokerHouse:
    """A broker with one mandate that both sides have signed."""
    root: Path = tmp_path_factory.mktemp("sandbox")
    generate(root, datetime.now(UTC))
    house = BrokerHouse(root=root, issuer="http://localhost:8000", agent_origins=("http://127.0.0.1:24780",), port=8000)
    set_up(house, [])
    (root / EXTRACT).write_bytes(b"extract")
    ports = open_ports(read(house.environment()))
    now = ports.clock()
    sealed = ports.keys.seal(grants.write(GRANT), context=context(NUMBER, "grant"))
    accepted = Mandate(
        number=NUMBER,
        kind=Kind.BUSINESS,
        state=State.DRAFT,
        grant_sealed=sealed,
        begins=GRANT.begins,
        ends=GRANT.ends,
        created_at=now,
        changed_at=now,
    )
    with ports.store.transaction() as tx:
        tx.mandates.draft(accepted, [])
        assert tx.mandates.sign(NUMBER, sealed, leads=State.APPROVED, now=now)
        assert tx.mandates.move(NUMBER, Deed.ACCEPT, now=now)
    return house


def run(house: BrokerHouse, *arguments: str, typed: str = "") -> Result:
    return CliRunner().invoke(main, arguments, env=house.environment(), input=typed)


def compared(house: BrokerHouse, name: str, typed: str, number: str = NUMBER) -> Result:
    return run(house, "mandate", "extract", number, str(house.root / EXTRACT), "--operator", name, typed=typed)


def test_two_operators_hold_one_extract_against_what_it_has_to_say(house: BrokerHouse) -> None:
    secrets = {name: run(house, "operator", "add", name).stdout.strip() for name in ("aoki", "baba")}
    [waiting] = map(json.loads, run(house, "mandate", "waiting", "--json").stdout.splitlines())
    assert waiting == {
        "number": NUMBER,
        "judged_by": 0,
        "name": GRANT.principal.name,
        "corporate_number": GRANT.principal.corporate_number,
        "address": GRANT.principal.address,
        "representative_title": GRANT.principal.representative_title,
        "representative": GRANT.principal.representative,
    }
    differs = compared(house, "aoki", "n\n")
    assert differs.exit_code == 1
    borrowed = compared(house, "baba", f"y\n{secrets['aoki']}\n")
    assert borrowed.exit_code == 1
    first = compared(house, "aoki", f"y\n{secrets['aoki']}\n")
    assert (first.exit_code, first.stdout.strip()) == (0, "1 of 2"), first.output
    again = compared(house, "aoki", f"y\n{secrets['aoki']}\n")
    assert again.exit_code == 1
    second = compared(house, "baba", f"y\n{secrets['baba']}\n")
    assert (second.exit_code, second.stdout.strip()) == (0, "2 of 2"), second.output
    assert "judged_by: 2" in run(house, "mandate", "waiting").stdout
    assert not any(secret in each.output for secret in secrets.values() for each in (first, again, second))


def test_a_number_that_nothing_goes_by_is_refused(house: BrokerHouse) -> None:
    secret = run(house, "operator", "add", "chiba").stdout.strip()
    assert compared(house, "chiba", f"{secret}\n", number="x" * 22).exit_code == 1


def test_two_operators_end_one_by_an_order_and_its_confirmation(house: BrokerHouse) -> None:
    secrets = {name: run(house, "operator", "add", name).stdout.strip() for name in ("doi", "endo")}

    def ordered(action: str, name: str = "doi") -> Result:
        words = ("mandate", action, NUMBER, "--operator", name, "--reason", "court order")
        return run(house, *words, typed=f"{secrets[name]}\n")

    def confirmed(order: str, name: str) -> Result:
        return run(house, "mandate", "confirm", order, "--operator", name, typed=f"{secrets[name]}\n")

    assert ordered("block").exit_code == 1, "what never held cannot be suspended"
    assert ordered("unblock").exit_code == 1
    placed = ordered("revoke")
    assert placed.exit_code == 0, placed.output
    order = placed.stdout.strip()
    [waiting] = map(json.loads, run(house, "mandate", "orders", "--json").stdout.splitlines())
    assert (waiting["order"], waiting["action"], waiting["number"]) == (order, "revoke", NUMBER)
    assert "court order" in run(house, "mandate", "orders").stdout
    assert confirmed(order, "doi").exit_code == 1
    assert confirmed(order, "endo").stdout.strip() == f"revoke {NUMBER} done"
    assert confirmed(order, "endo").exit_code == 1
    assert run(house, "mandate", "orders").stdout == ""
    assert ordered("revoke").exit_code == 1, "it has ended"


def test_a_file_of_procuring_entities_is_shown_or_refused_before_it_is_used(tmp_path: Path) -> None:
    file = tmp_path / "entities.toml"
    file.write_text('[[entity]]\ncode = "100001"\nname = "架空県"\nname_en = "Kakuu"\n', encoding="utf-8")
    shown = CliRunner().invoke(main, ["mandate", "entities", str(file)])
    assert (shown.exit_code, shown.output) == (0, "100001  架空県  Kakuu\n")
    told = json.loads(CliRunner().invoke(main, ["mandate", "entities", str(file), "--json"]).output)
    assert told == {"code": "100001", "name": "架空県", "name_en": "Kakuu"}
    file.write_text("[[entity]]\ncode = 1\n", encoding="utf-8")
    refused = CliRunner().invoke(main, ["mandate", "entities", str(file)])
    assert refused.exit_code != 0
    assert "code, name" in refused.output


def test_the_sandbox_lists_its_own_offices(house: BrokerHouse) -> None:
    shown = CliRunner().invoke(main, ["mandate", "entities"], env=house.environment())
    assert shown.exit_code == 0, shown.output
    assert "100001  架空県  Kakuu Prefecture" in shown.output
