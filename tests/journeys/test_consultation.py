"""A doctor and a patient at a clinic, each with a card in the real pcscd: browser, broker, agent, card, and lists.

Mostly the clinic is a program without pages: what its two people see is the broker's and the agent's. Once it is the
sample clinic's consultation room.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import jwt
import pytest
import urllib3
from cryptography.hazmat.primitives.asymmetric import ec

from broker.jose import public_jwk
from broker.oidc.pkce import s256
from cardreader.cardfile import save
from cardreader.tray import TrayClient
from cardreader.webclient import Page
from sandbox import hpki
from sandbox.broker import introduce
from sandbox.launcher import Running
from tests.broker.web.doctors import card_of
from tests.journeys.person import Person, card_pin, error_code, returned

pytestmark = pytest.mark.timeout(300)
CLAIM = "urn:jpki-broker:claim:joint"
CALLBACK = "http://127.0.0.9:8099/callback"
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
DOCTOR, PATIENT = "isha", "hanako"


@dataclass
class Clinic:
    """The clinic's program: it orders, pushes, and fetches tokens."""

    issuer: str
    client_id: str
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    pool: urllib3.PoolManager = field(default_factory=urllib3.PoolManager)

    def registration(self) -> dict[str, Any]:
        return {
            "client_id": self.client_id,
            "client_name": "見本診療所",
            "vetted": True,
            "rights": ["healthcare"],
            "redirect_uris": [CALLBACK],
            "grant_types": ["authorization_code", "client_credentials"],
            "scope": "openid hpki joint",
            "token_endpoint_auth_method": "private_key_jwt",
            "jwks": {"keys": [public_jwk(self.key)]},
        }

    def call(self, path: str, **form: str) -> dict[str, Any]:
        now = int(time.time())
        claims = {"iss": self.client_id, "sub": self.client_id, "aud": self.issuer, "iat": now, "exp": now + 60}
        assertion = jwt.encode({**claims, "jti": str(uuid.uuid4())}, self.key, algorithm="ES256")
        fields = {
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": assertion,
            **form,
        }
        return self._json("POST", path, fields=fields, encode_multipart=False)

    def order(self, role: str = "Medical Doctor") -> str:
        token = self.call("/token", grant_type="client_credentials", scope="joint")["access_token"]
        order = {"purpose": "検査の説明と同意", "role": role}
        told = self._json("POST", "/api/joint-transactions", json=order, headers={"Authorization": f"Bearer {token}"})
        return str(told["joint_transaction_id"])

    def address(self, scope: str, joint: str) -> str:
        pushed = self.call(
            "/par",
            client_id=self.client_id,
            redirect_uri=CALLBACK,
            response_type="code",
            scope=f"openid {scope}",
            state="s",
            nonce="n",
            code_challenge=s256(VERIFIER),
            code_challenge_method="S256",
            joint_transaction_id=joint,
        )
        return f"{self.issuer}/authorize?{urlencode({'client_id': self.client_id, **_only(pushed, 'request_uri')})}"

    def told(self, code: str) -> tuple[dict[str, Any], str]:
        """What the ID token says, and the access token."""
        answer = self.call(
            "/token", grant_type="authorization_code", code=code, redirect_uri=CALLBACK, code_verifier=VERIFIER
        )
        return dict(jwt.decode(answer["id_token"], options={"verify_signature": False})), answer["access_token"]

    def userinfo(self, token: str) -> dict[str, Any]:
        return self._json("GET", "/userinfo", headers={"Authorization": f"Bearer {token}"})

    def _json(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        answer = self.pool.request(method, f"{self.issuer}{path}", **options)
        assert answer.status in {200, 201}, answer.data
        return dict(json.loads(answer.data))


def _only(told: dict[str, Any], name: str) -> dict[str, str]:
    return {name: str(told[name])}


@pytest.fixture
def clinic(running: Running) -> Iterator[Clinic]:
    made = Clinic(issuer=running.addresses.broker, client_id=f"shinryo-{uuid.uuid4().hex[:8]}")
    assert introduce(running.root, made.registration())
    yield made
    made.pool.clear()


def card_comes(running: Running, person: Person, tray: TrayClient, page: Page, resident: str) -> Page:
    """The card on the reader, its own PIN in the agent, and where the broker leads then."""
    tray.insert(running.world.card(resident))
    asked = person.place_card(page)
    assert ("利用者証明用" in asked.body.decode()) is (resident == PATIENT)
    return person.hand_back(person.enter_pin(asked, card_pin(running, resident)))


def test_a_doctor_and_a_patient_join_with_two_cards_on_one_reader(
    running: Running, person: Person, tray: TrayClient, clinic: Clinic
) -> None:
    joint = clinic.order()
    doctors = card_comes(running, person, tray, person.web.get(clinic.address("hpki", joint)), DOCTOR)
    said, token = clinic.told(returned(doctors)["code"])
    assert said["acr"] == "urn:jpki-broker:acr:hpki"
    assert said["verified_claims"]["claims"]["hcrole"] == ["Medical Doctor"]
    assert said[CLAIM] == {"id": joint, "role": "professional", "state": "begun"}
    page = person.web.get(clinic.address("joint", joint))
    assert page.elements.texts["joint-name"] == said["verified_claims"]["claims"]["name"]
    patients = card_comes(running, person, tray, page, PATIENT)
    agreed, _ = clinic.told(returned(patients)["code"])
    assert agreed["acr"] == "aal3"
    assert agreed[CLAIM]["professional"]["sub"] == said["sub"]
    assert clinic.userinfo(token)[CLAIM]["patient"] == {"sub": agreed["sub"]}


def test_the_sample_clinics_room_leads_a_doctor_and_a_patient_to_one_result(
    running: Running, person: Person, tray: TrayClient
) -> None:
    room = person.web.get(f"{running.addresses.clinic}/consultation")
    doctors = card_comes(running, person, tray, person.press(room, "begin-form", purpose="検査の説明と同意"), DOCTOR)
    turn = person.web.get(doctors.elements.links["continue-link"])
    assert turn.elements.texts["doctor-name"] == "医師見本"
    patients = card_comes(running, person, tray, person.press(turn, "patient-form"), PATIENT)
    both = person.web.get(patients.elements.links["continue-link"]).elements.texts
    assert (both["purpose"], both["doctor-name"]) == ("検査の説明と同意", "医師見本")
    assert len(both["patient-subject"]) > 20
    assert len(both["joint"]) > 20


def test_the_agent_takes_each_card_for_its_own_half_only(
    running: Running, person: Person, tray: TrayClient, clinic: Clinic
) -> None:
    joint = clinic.order()
    login = person.web.get(clinic.address("hpki", joint))
    tray.insert(running.world.card(PATIENT))
    assert error_code(person.place_card(login)) == "CARD-029"
    doctors = card_comes(running, person, tray, person.web.get(clinic.address("hpki", joint)), DOCTOR)
    assert "code" in returned(doctors)
    tray.insert(running.world.card(DOCTOR))
    assert error_code(person.place_card(person.web.get(clinic.address("joint", joint)))) == "CARD-030"


def test_a_revoked_licence_is_refused_by_the_list_that_its_authority_publishes(
    running: Running, person: Person, tray: TrayClient, clinic: Clinic, tmp_path: Path
) -> None:
    other = card_of(running.world)
    save(other, tmp_path / "other.json")
    hpki.revoke(running.root / "ca", other)
    time.sleep(3.1)  # the sandbox's broker asks for lists this often
    page = person.web.get(clinic.address("hpki", clinic.order()))
    tray.insert(tmp_path / "other.json")
    refused = person.hand_back(person.enter_pin(person.place_card(page), other.auth.pin))
    assert error_code(refused) == "HPKI-005"
