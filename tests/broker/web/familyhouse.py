"""A family at its browsers, and the clinic at which one of them acts for another."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from broker.flows.ports import Transaction
from broker.ids import AccountID, MandateNumber, Subject
from broker.oidc.client import Right
from sandbox.office import LifeEvent
from sandbox.world.registry import Registry
from tests.broker.web.house import House, Page
from tests.broker.web.linkhouse import Service, service
from tests.broker.web.mandatehouse import Person

BORN = "2017-05-05"
"""Of the sandbox's child."""
CHILD_FORM = {
    "kind": "poa.guardian",
    "principal_name": "例示みらい",
    "child_born": BORN,
    "agent_name": "山田花子",
    "agent_title": "母",
    "act_view_record": "yes",
    "act_book": "yes",
    "ends": "",
}
PARENT_FORM = {
    "kind": "poa.person",
    "principal_name": "𠮷見禮子",
    "agent_name": "山田花子",
    "agent_title": "娘",
    "act_view_record": "yes",
    "ends": "",
}


def clinic_at(house: House, name: str = "clinic") -> Service:
    """A service with the right."""
    return service(house, name, vetted=True, rights=frozenset({Right.FAMILY_MANDATES}))


@dataclass
class Family:
    """One guardian's power for the sandbox's child, as far as it has come."""

    house: House
    clinic: Service
    guardian: Person
    child: Person
    path: str

    @property
    def number(self) -> MandateNumber:
        return MandateNumber(self.path.rpartition("/")[2])

    def listed(self) -> list[dict[str, Any]]:
        """What the clinic is told of the guardian's."""
        sub = subject_at(self.clinic, self.guardian.resident)
        answer = self.clinic.program.post("/api/guardianships", sub=sub)
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.get_json()["guardianships"]
        return found

    def confirm(self, **fields: str) -> Any:
        asked = {"number": self.number, "basis": "maternal_handbook", "birthdate": BORN, **fields}
        return self.clinic.program.post("/api/guardianships/confirm", **asked)


def family_at(house: House, clinic: Service, *, guardian: str = "hanako", **changed: str) -> Family:
    """Both cards have been read; the clinic has not looked yet."""
    parent = Person.at(house, guardian)
    path, joining = draft(parent, CHILD_FORM | {"service": clinic.client_id} | changed)
    assert parent.sign(path, "sign").status_code == 200
    child = Person.at(house, "mirai")
    assert child.take(joining) == path
    assert child.sign(path, "accept").status_code == 200
    return Family(house=house, clinic=clinic, guardian=parent, child=child, path=path)


def fill(person: Person, form: dict[str, str]) -> Any:
    """Send the family's form as a browser does."""
    page = person.get("/delegations/new/" + ("child" if form["kind"] == "poa.guardian" else "person"))
    found = Page(page.text).forms["draft-form"]
    fields = {name: found["fields"][name] for name in ("csrf", "kind", "begins")} | form
    return person.browser.post(
        found["action"], data=fields, headers={"Origin": person.house.issuer}, base_url=person.house.issuer
    )


def draft(person: Person, form: dict[str, str]) -> tuple[str, str]:
    """The path of the draft's page, and that of the invitation."""
    page = fill(person, form)
    assert page.status_code == 200, page.text
    found = Page(page.text)
    return found.links["continue"], found.texts["agent-url"].removeprefix(person.house.issuer)


def subject_at(clinic: Service, resident: str) -> str:
    """What a service calls somebody who logs in."""
    return str(clinic.visit(resident).log_in()["sub"])


def at_the_office(house: House, folder: Path, resident: str, event: LifeEvent | None) -> None:
    """Something happens to the certificates of a resident, in this house's world alone; None: they are revoked."""
    shutil.copytree(house.world.root, folder)
    registry = Registry(folder)
    if event is None:
        registry.revoke(resident, now=house.clock())
    else:
        registry.enter(event, resident, now=house.clock())
    house.clock.step(minutes=2)  # what was seen good counts for a minute
    house.lists.publish_from(folder)


def account_of(tx: Transaction, clinic: Service, resident_sub: str) -> AccountID:
    found = tx.accounts.holder(clinic.program.client.sector, Subject(resident_sub))
    assert found is not None
    return found
