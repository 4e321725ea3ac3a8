"""A house with a witnessed register and a seal, and parties to mandates at their browsers."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from broker.delegation.rendering import Renderer
from broker.delegation.sealing import SealMaterial
from broker.flows import mandate_issue, mandate_status, register
from broker.flows.ports import KeyUse, Ports
from broker.flows.register import log_key, origin_at
from broker.jose import load_public_key
from cardreader.agent.direct import answer_request
from cardreader.authentication import APDUCards
from cardreader.cardfile import load
from cardreader.emulator import SoftwareCard
from cardreader.tray import SoftwareReaders, Tray
from sandbox import seals
from sandbox.residents import RESIDENTS_FILE, load_residents
from tests.broker.web.house import Clock, House, Page, transaction_of
from tests.broker.web.my_page import open_page
from tests.registerhouse import Neighbours, register_of, witness_service

WITNESS = "https://w.example"
FORM = {
    "principal_kind": "sole_proprietor",
    "principal_name": "",
    "agent_name": "社員働助",
    "agent_title": "営業係",
    "act_bid": "yes",
    "act_contract": "yes",
    "scope_kind": "term",
    "entities": "100001 100002",
    "limit_amount": "5000000",
}


@dataclass
class Seal:
    """Fulfils SealPort with the sandbox's authorities, called in this process."""

    root: Path
    ports: Ports
    clock: Clock
    renderer: Renderer = field(default_factory=Renderer)

    @property
    def anchors(self) -> tuple[bytes, ...]:
        return seal_anchors(self.root)

    def material(self) -> SealMaterial:
        pki = seals.load(self.root / "ca")
        key = load_public_key(self.ports.keys.jwks(KeyUse.MANDATE_SEAL)["keys"][-1])
        assert isinstance(key, ec.EllipticCurvePublicKey)
        chain = (pki.seal(key, today=self.clock().date()), pki.issuer, pki.stamp.certificate)
        ders = [each.public_bytes(Encoding.DER) for each in chain]
        return SealMaterial(
            certificate=ders[0],
            others=tuple(ders[1:]),
            crls=tuple(pki.crl(name, now=self.clock()) for name in seals.LISTERS),
            anchors=seal_anchors(self.root),
        )

    def stamp(self, request: bytes, /) -> bytes:
        return seals.load(self.root / "ca").stamp.answer(request, now=self.clock())

    def printer(self) -> Renderer:
        return self.renderer


def seal_anchors(root: Path) -> tuple[bytes, ...]:
    from sandbox.generate import World

    pem = World(root=root, made_because=None).seal_anchors.read_bytes()
    return tuple(each.public_bytes(Encoding.DER) for each in x509.load_pem_x509_certificates(pem))


def equip(house: House, folder: Path) -> Neighbours:
    """Give the house a register with one witness, and a seal; answers the witness's street."""
    key, _signer = log_key(house.ports.keys, origin_at(house.issuer, house.clock().astimezone(UTC)))
    street = Neighbours({WITNESS: witness_service(folder, "w.example", key, clock=house.clock)})
    ports = replace(house.ports, register=register_of(street))
    ports = replace(ports, seal=Seal(house.world.root, ports, house.clock))
    house.ports = house.app.extensions["broker"] = ports
    return street


@dataclass(kw_only=True)
class Person:
    """One resident at a browser, with the card and both its secrets."""

    house: House
    resident: str
    browser: FlaskClient

    @classmethod
    def at(cls, house: House, resident: str) -> Person:
        """Logged in to the page."""
        person = cls(house=house, resident=resident, browser=house.browser())
        open_page(house, person.browser, resident, place="delegations")
        return person

    def get(self, path: str) -> TestResponse:
        return self.house.get(self.browser, path)

    def press(self, path: str, form: str, **fields: str) -> TestResponse:
        return self.house.submit(self.browser, self.get(path), form, **fields)

    def press_anyway(self, action: str, page: str) -> TestResponse:
        """Send a form that no page of theirs shows; its token is that of `page`."""
        fields = {"csrf": Page(self.get(page).text).forms["me-logout"]["fields"]["csrf"]}
        headers = {"Origin": self.house.issuer}
        return self.browser.post(action, data=fields, headers=headers, base_url=self.house.issuer)

    def sign(self, path: str, deed: str, *, card: str | None = None) -> TestResponse:
        """Press the button, read the card (of `card`, where it is another's), and follow to where that leads."""
        begun = self.press(path, f"{deed}-form")
        assert begun.status_code == 303, begun.text
        request = Page(self.get(begun.headers["Location"]).text).forms["card-form"]["fields"]["request"]
        answered = self.house.post_answer(transaction_of(request), {"answer": self.answer(request, card)})
        if answered.status_code != 303:
            return answered
        landed = self.get(answered.headers["Location"])
        return self.get(landed.headers["Location"]) if landed.status_code == 303 else landed

    def answer(self, request: str, resident: str | None = None) -> str:
        """What the agent makes of a request, through its own core."""
        card = load(self.house.world.card(resident or self.resident))
        tray = Tray()
        tray.insert_card(SoftwareCard(card))
        return answer_request(
            request,
            origin=self.house.issuer,
            trust=self.house.trust,
            cards=APDUCards(SoftwareReaders(tray)),
            pin=lambda _: card.auth.pin,
            password=lambda _: None if card.sign is None else card.sign.pin,
            now=self.house.clock(),
        )

    def draft(self, **changed: str) -> tuple[str, str]:
        """A draft by this person; the path of its page, and that of the agent's invitation."""
        path, agent, _approvers = self.draft_for(**changed)
        return path, agent

    def draft_for(self, **changed: str) -> tuple[str, str, list[str]]:
        """The same with the approvers' invitations."""
        page = self.fill(**changed)
        assert page.status_code == 200, page.text
        found = Page(page.text)
        urls = {name: url.removeprefix(self.house.issuer) for name, url in found.texts.items() if "-url" in name}
        approvers = [url for name, url in sorted(urls.items()) if name.startswith("approver")]
        return found.links["continue"], urls["agent-url"], approvers

    def fill(self, *, language: str = "ja", **changed: str) -> TestResponse:
        """Send the form as a browser does, which says nothing of boxes that are not ticked."""
        found = Page(self.get("/delegations/new").text).forms["draft-form"]
        fields = {name: found["fields"][name] for name in ("csrf", "kind")} | self.form(**changed)
        headers = {"Origin": self.house.issuer, "Accept-Language": language}
        return self.browser.post(found["action"], data=fields, headers=headers, base_url=self.house.issuer)

    def form(self, **changed: str) -> dict[str, str]:
        day = self.house.clock().date()
        dates = {"begins": day.isoformat(), "ends": day.replace(year=day.year + 1).isoformat()}
        name = _name_of(self.resident)
        return {**FORM, **dates, "principal_name": name, **changed}

    def take(self, invitation: str) -> str:
        """Take an invitation up; the path of the mandate's page."""
        taken = self.press(invitation, "take-form")
        assert taken.status_code == 303, taken.text
        return taken.headers["Location"].removeprefix(self.house.issuer)

    def state(self, path: str) -> str:
        page = self.get(path)
        assert page.status_code == 200, page.text
        return Page(page.text).texts["state"]


def _name_of(resident: str) -> str:
    population = load_residents(RESIDENTS_FILE.read_bytes())
    return next(each.label for each in population.residents if each.name == resident)


def work(house: House, rounds: int = 2) -> None:
    """What the timetable does for mandates, some times over."""
    for _ in range(rounds):
        house.clock.step(minutes=1)
        mandate_issue.issue(house.ports)
        register.witness_all(house.ports)
        mandate_issue.issue(house.ports)
        mandate_status.publish(house.ports)
