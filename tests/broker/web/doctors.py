"""A clinic whose client asks for licences, a doctor's card, and the lists of the card's authority."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from broker.flows.licence_ports import Healthcare
from broker.jpki.certificate import issuer_key_hash
from broker.oidc.client import GrantType, Right
from cardreader.cardfile import CardFile, load
from sandbox import hpki
from sandbox.generate import World
from sandbox.hpki import HealthcareAuthority, HealthcarePKI
from sandbox.residents import RESIDENTS_FILE, load_residents
from tests.broker.web.house import House, Page, transaction_of
from tests.broker.web.program import Program, register
from tests.broker.web.pushing import push

ORDERS = "/api/joint-transactions"
PURPOSE = "検査の説明と同意"
DOCTOR, PATIENT = "isha", "hanako"


@dataclass
class Lists:
    """Stands in for the network only: it hands out what the sandbox's authorities publish."""

    world: World
    clock: Callable[[], datetime]
    available: bool = True
    age: timedelta = timedelta()

    def current(self) -> tuple[bytes, ...]:
        if not self.available:
            return ()
        now = self.clock() - self.age
        return tuple(hpki.publish(self.world.root / "ca", name, now=now) for name in hpki.LISTERS)


def healthcare(world: World, lists: Lists) -> Healthcare:
    root, issuer = ((world.root / "ca" / f"{name}.cer").read_bytes() for name in hpki.LISTERS)
    return Healthcare(anchors=(root,), issuers=(issuer,), issuer_hashes=(issuer_key_hash(issuer),), lists=lists)


def card_of(world: World, **changes: Any) -> CardFile:
    """A card that the sandbox's authority issues to another holder or for another licence, with a key of its own."""
    role = changes.pop("role", hpki.MEDICAL_DOCTOR)
    today = changes.pop("today", datetime.now(UTC).date())
    (doctor,) = (each for each in load_residents(RESIDENTS_FILE.read_bytes()).residents if each.name == DOCTOR)
    holder = replace(doctor, **changes)
    folder = world.root / "ca"
    authorities: dict[str, HealthcareAuthority] = {
        name: hpki.load_authority(folder, name) for name in ("hpkiroot", "hpkisign", "hpkiauth")
    }
    pki = HealthcarePKI(
        root=authorities["hpkiroot"], issuers={"sign": authorities["hpkisign"], "auth": authorities["hpkiauth"]}
    )
    key = rsa.generate_private_key(65537, 2048)
    certificate = hpki.issue(pki, "auth", holder, key.public_key(), today, role=role)
    card = load(world.card(DOCTOR))
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    slot = replace(card.auth, certificate=certificate.public_bytes(Encoding.DER), private_key=pem)
    return replace(card, auth=slot)


@dataclass
class Clinic:
    """The client, and the two people who come to it."""

    program: Program
    lists: Lists

    @property
    def house(self) -> House:
        return self.program.house

    def own_token(self, *, scope: str = "joint") -> str:
        assertion = self.program.assertion(aud=self.house.issuer)
        answer = self.program.post("/token", grant_type="client_credentials", scope=scope, client_assertion=assertion)
        assert answer.status_code == 200, answer.text
        return str(answer.get_json()["access_token"])

    def call(self, method: str, path: str = "", *, token: str | None = None, **options: Any) -> TestResponse:
        headers = {"Authorization": f"Bearer {self.own_token() if token is None else token}"}
        return self.house.browser().open(
            f"{ORDERS}{path}", method=method, headers=headers, base_url=self.house.issuer, **options
        )

    def ordered(self, role: str = hpki.MEDICAL_DOCTOR, purpose: str = PURPOSE) -> str:
        answer = self.call("POST", json={"purpose": purpose, "role": role})
        assert answer.status_code == 201, answer.text
        return str(answer.get_json()["joint_transaction_id"])

    def state(self, joint: str) -> dict[str, Any]:
        answer = self.call("GET", f"/{joint}")
        assert answer.status_code == 200, answer.text
        return dict(answer.get_json())

    def begin(self, browser: FlaskClient, scope: str, joint: str | None = None, **changes: str | None) -> TestResponse:
        """The visit to the authorization endpoint with a pushed request."""
        asked: dict[str, str | None] = {"scope": f"openid {scope}", "joint_transaction_id": joint, **changes}
        answer = push(self.program, **asked)
        assert answer.status_code == 201, answer.text
        query = {"client_id": self.program.client.client_id, "request_uri": answer.get_json()["request_uri"]}
        return browser.get("/authorize", query_string=query, base_url=self.house.issuer)

    def page(self, browser: FlaskClient, scope: str, joint: str | None = None, **changes: str | None) -> TestResponse:
        begun = self.begin(browser, scope, joint, **changes)
        assert begun.status_code == 303, begun.text
        return self.house.get(browser, begun.headers["Location"])

    def answered(self, page: TestResponse, card: CardFile | str) -> TestResponse:
        """What the agent's answer with this card brings: a redirect, or the broker's refusal."""
        request = Page(page.text).forms["card-form"]["fields"]["request"]
        chosen = load(self.house.world.card(card)) if isinstance(card, str) else card
        return self.house.post_answer(transaction_of(request), {"answer": self.house.sign_with(chosen, request)})

    def returned(
        self, browser: FlaskClient, scope: str, card: CardFile | str, joint: str | None = None
    ) -> dict[str, str]:
        """A whole login; what comes back to the client, a code or an error."""
        answered = self.answered(self.page(browser, scope, joint), card)
        page = self.house.get(browser, answered.headers["Location"])
        return dict(parse_qsl(urlsplit(Page(page.text).links["continue-link"]).query, strict_parsing=True))

    def tokens(self, code: str) -> dict[str, Any]:
        answer = self.program.token(code)
        assert answer.status_code == 200, answer.text
        return dict(answer.get_json())

    def userinfo(self, access_token: str) -> dict[str, Any]:
        answer = self.program.userinfo(access_token)
        assert answer.status_code == 200, answer.text
        return dict(answer.get_json())


def clinic(house: House, lists: Lists, *, client_id: str = "shinryo", **changes: Any) -> Clinic:
    members: dict[str, Any] = {
        "vetted": True,
        "rights": frozenset({Right.HEALTHCARE}),
        "scope": frozenset({"openid", "hpki", "joint"}),
        "grant_types": frozenset({GrantType.AUTHORIZATION_CODE, GrantType.CLIENT_CREDENTIALS}),
        **changes,
    }
    return Clinic(register(house, client_id, **members), lists)
