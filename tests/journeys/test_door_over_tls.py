"""The test door under TLS: pages, forms and cookies alone take a test resident from the client and back to it."""

from __future__ import annotations

import json

import pytest

from sandbox.launcher import Running
from tests.journeys.person import Person, error_code, forged, returned

pytestmark = pytest.mark.timeout(180)


def test_a_test_resident_logs_in_by_forms_alone_and_the_client_accepts_the_token(visitor: Person) -> None:
    consent = visitor.press(visitor.begin(), "door-form", resident="alex")
    assert consent.form("consent-form") is not None
    assert "greeting" in visitor.arrive(consent).elements.texts
    claims = json.loads(visitor.web.get(f"{visitor.addresses.bank}/api/me").body)["claims"]
    assert claims["iss"] == visitor.addresses.broker
    assert claims["acr"] == "aal3"
    assert claims["amr"] == ["hwk", "pin", "sc", "mfa"]


def test_the_way_through_the_agent_stands_beside_it(visitor: Person) -> None:
    page = visitor.begin()
    assert {"card-form", "door-form", "cancel-form"} <= set(page.elements.forms)


@pytest.mark.parametrize(
    ("resident", "exception"),
    [("shikko", "CertificateRevoked"), ("kigen", "CertificateExpired"), ("lock", "PINBlocked")],
)
def test_what_a_card_or_the_broker_refuses_is_refused_at_the_door_too(
    visitor: Person, catalogue: dict[str, str], *, resident: str, exception: str
) -> None:
    page = visitor.press(visitor.begin(), "door-form", resident=resident)
    assert catalogue[exception] in page.body.decode()
    assert page.form("consent-form") is None
    assert "continue-link" not in page.elements.links


def test_another_resident_than_there_is_or_a_forged_request_opens_nothing(visitor: Person) -> None:
    page = visitor.begin()
    for spoiled in (
        forged(page, "door-form", resident="../../etc/passwd"),
        forged(page, "door-form", resident="nobody"),
        forged(page, "door-form", resident="hanako", request="eyJhbGciOiJub25lIn0.e30."),
    ):
        answer = visitor.web.submit(spoiled, origin=visitor.addresses.broker, follow=False)
        assert answer.status == 400
        assert "location" not in answer.headers


def test_another_site_cannot_send_a_browser_through_the_door(visitor: Person, catalogue: dict[str, str]) -> None:
    form = forged(visitor.begin(), "door-form", resident="hanako")
    answer = visitor.web.submit(form, origin="https://evil.example", follow=False)
    assert error_code(answer) == catalogue["FormTokenInvalid"]


def test_what_the_door_answered_opens_nothing_in_another_browser(
    visitor: Person, secure: Running, catalogue: dict[str, str]
) -> None:
    handed = visitor.press(visitor.begin(), "door-form", follow=False, resident="hanako")
    assert handed.status == 303
    with Person(secure.addresses, authorities=secure.authorities) as thief:
        assert error_code(thief.web.get(handed.headers["location"])) == catalogue["BrowserMismatch"]


def test_one_request_is_answered_once(visitor: Person, catalogue: dict[str, str]) -> None:
    page = visitor.begin()
    assert visitor.press(page, "door-form", follow=False, resident="hanako").status == 303
    again = visitor.press(page, "door-form", follow=False, resident="hanako")
    assert error_code(again) == catalogue["AnswerReplayed"]


def test_giving_up_beside_the_door_tells_the_client(visitor: Person) -> None:
    assert returned(visitor.press(visitor.begin(), "cancel-form"))["error"] == "access_denied"
