"""However many powers somebody is a party to: every list goes on to the last, and an account's end ends them all."""

from __future__ import annotations

from dataclasses import replace

from broker.delegation.life import State
from broker.flows.mandates import PAGE, context, grant_bytes
from broker.ids import MandateNumber
from tests.broker.web.house import House, Page
from tests.broker.web.mandatehouse import Person
from tests.broker.web.test_web_mandate_access import call, office, token_of


def copies(person: Person, path: str, count: int) -> list[MandateNumber]:
    """As many drafts beside the one of `path`, as if they had been filled in one after another."""
    number, ports = MandateNumber(path.rpartition("/")[2]), person.house.ports
    made = [MandateNumber(f"{number[:-4]}{index:04}") for index in range(count)]
    with ports.store.transaction() as tx:
        first, parts = tx.mandates.get(number), tx.mandates.parts(number)
        assert first is not None
        grant = grant_bytes(first, ports=ports)
        for copy in made:
            sealed = ports.keys.seal(grant, context=context(copy, "grant"))
            mine = [replace(part, number=copy) for part in parts if part.account is not None]
            tx.mandates.draft(replace(first, number=copy, grant_sealed=sealed), mine)
    return made


def test_every_list_goes_on_to_the_last_power_and_all_end_with_the_account(house: House) -> None:
    person = Person.at(house, "hanako")
    path, _invitation = person.draft()
    every = {*copies(person, path, PAGE), MandateNumber(path.rpartition("/")[2])}

    first = Page(person.get("/delegations").text)
    second = Page(person.get(first.links["older"]).text)
    assert "newest" not in first.links
    assert ("older" in second.links, second.links["newest"]) == (False, "/delegations")
    assert ("notes" in first.texts, "notes" in second.texts) == (True, False)
    assert (first.texts["given"].count("→"), second.texts["given"].count("→")) == (PAGE, 1)

    token = token_of(office(house), "hanako")
    told = call(house, token).get_json()
    rest = call(house, token, f"?older_than={told['older']}").get_json()
    assert "older" not in rest
    assert {each["number"] for each in (*told["delegations"], *rest["delegations"])} == every
    exported = person.get("/me/export/everything.json").get_json()["delegations"]
    assert {each["number"] for each in exported} == every

    assert person.press("/me/delete", "delete-form", understood="yes").status_code == 200
    with house.ports.store.transaction() as tx:
        states = [found.state for number in every if (found := tx.mandates.get(number)) is not None]
    assert states == [State.ABANDONED] * (PAGE + 1)
