"""Services that bind their own numbers, as the seeds have them, and residents at their browsers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jwt
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.broker.web.house import REDIRECT_URI, VERIFIER, House, Page, returned, transaction_of
from tests.broker.web.program import Program, register

SEEDS: dict[str, dict[str, Any]] = {
    "bank": {"name": "見本銀行", "linked_id_pattern": r"\d{7}"},
    "clinic": {"name": "見本クリニック", "linked_id_pattern": r"P[0-9]{8}", "linked_id_readers": ("pharmacy",)},
    "pharmacy": {"name": "見本薬局"},
    "library": {"name": "見本図書館・ポイント", "linked_id_pattern": r"MK-[0-9A-Z]{6,10}"},
    "ticket": {
        "name": "見本チケット",
        "linked_id_pattern": r"E[0-9]{6}",
        "linked_id_transferable": False,
        "linked_id_unique_person": True,
    },
    "employer": {"name": "見本商事", "linked_id_pattern": r"[A-Z]{2}-[0-9]{4}"},
}
"""A customer number, a patient number that others read, a library and points card, a ticket, a staff number."""


@dataclass(kw_only=True)
class Visit:
    """One resident's browser at one service."""

    service: Service
    resident: str
    browser: FlaskClient

    def open(self, handle: str | None, **changes: str | None) -> TestResponse:
        """The login page of a link request (or of a plain login)."""
        asked = {"client_id": self.service.client_id, "scope": "openid linked_id", "link_request": handle, **changes}
        return self.service.house.login_page(self.browser, **asked)

    def read(self, page: TestResponse, resident: str | None = None) -> TestResponse:
        """Read a card for the page's request, and follow to where its answer may be released."""
        house = self.service.house
        answered = house.answer(page, resident or self.resident)
        page = house.get(self.browser, answered.headers["Location"]) if answered.status_code == 303 else answered
        return house.get(self.browser, page.headers["Location"]) if page.status_code == 303 else page

    def link(self, handle: str, *, commit: str | None = None, **changes: str | None) -> TestResponse:
        """Both readings; `commit` is whose card the second is of."""
        return self.read(self.read(self.open(handle, **changes)), commit)

    def code(self, page: TestResponse) -> str:
        """The code that a return page brings."""
        return returned(page)["code"]

    def log_in(self) -> dict[str, Any]:
        """A plain login; answers the verified claims of the ID token."""
        page = self.read(self.open(None))
        if "consent-form" in Page(page.text).forms:
            page = self.service.house.submit(self.browser, page, "consent-form", decision="approve")
        return self.service.claims(self.code(page))


@dataclass(kw_only=True)
class Service:
    """One registered service."""

    program: Program

    @property
    def house(self) -> House:
        return self.program.house

    @property
    def client_id(self) -> str:
        return self.program.client.client_id

    def ask(self, linked_id: str | None = "0012345", **fields: str | None) -> dict[str, Any]:
        """Begin a link; answers `link_request` and `link_id`."""
        answer = self.program.post("/api/links", linked_id=linked_id, **fields)
        assert answer.status_code == 201, answer.text
        told: dict[str, Any] = answer.get_json()
        return told

    def state(self, link_id: str) -> dict[str, Any]:
        answer = self.program.post("/api/links/state", link_id=link_id)
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.get_json()
        return told

    def visit(self, resident: str = "hanako", browser: FlaskClient | None = None) -> Visit:
        return Visit(service=self, resident=resident, browser=browser or self.house.browser())

    def token(self, code: str) -> dict[str, Any]:
        answer = self.program.token(code, redirect_uri=REDIRECT_URI, code_verifier=VERIFIER)
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.get_json()
        return told

    def claims(self, code: str) -> dict[str, Any]:
        return id_claims(self.token(code))

    def bind(self, linked_id: str | None = "0012345", resident: str = "hanako", **fields: str | None) -> dict[str, Any]:
        """A whole link; answers the ID token's claims and, as `link_id`, its name."""
        asked = self.ask(linked_id, **fields)
        visit = self.visit(resident)
        return {**self.claims(visit.code(visit.link(asked["link_request"]))), "link_id": asked["link_id"]}


def id_claims(token: dict[str, Any]) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(token["id_token"], options={"verify_signature": False})
    return claims


def service(house: House, name: str, **members: Any) -> Service:
    """A seed's service, or one by another name made of `members`."""
    settled = {"scope": frozenset({"openid", "linked_id", "offline_access"})} | SEEDS.get(name, {}) | members
    return Service(program=register(house, f"{name}-link", **settled))


def card_request(page: TestResponse) -> dict[str, Any]:
    """The claims of the signed request in a page's card form."""
    request = Page(page.text).forms["card-form"]["fields"]["request"]
    claims: dict[str, Any] = jwt.decode(request, options={"verify_signature": False})
    assert claims["jti"] == transaction_of(request)
    return claims
