"""A service that its user allowed to sees their powers of attorney and ends them for them, and can never widen one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import TestResponse

from broker.delegation.rendering import FONTS
from broker.oidc.client import Right
from tests.broker.web.house import House, Page
from tests.broker.web.mandatehouse import Person, equip, work
from tests.broker.web.program import Program, register
from tests.broker.web.test_web_mandates import granted
from tests.registerhouse import Neighbours


@pytest.fixture
def street(house: House, tmp_path: Path) -> Neighbours:
    if not all(font.exists() for font in FONTS):
        pytest.skip("missing: fonts-ipaexfont-gothic, fonts-ipamj-mincho")
    return equip(house, tmp_path)


def office(house: House, client_id: str = "office", **changes: Any) -> Program:
    """A client with the right to ask, registered for the scope."""
    members: dict[str, Any] = {
        "rights": frozenset({Right.MANDATE_QUESTIONS}),
        "scope": frozenset({"openid", "delegations"}),
    }
    return register(house, client_id, **(members | changes))


def token_of(program: Program, resident: str, scope: str = "openid delegations") -> str:
    house, client_id = program.house, program.client.client_id
    came = house.login(house.browser(), resident, client_id=client_id, scope=scope)
    return str(program.token(came["code"]).get_json()["access_token"])


def call(house: House, token: str, path: str = "", *, method: str = "GET") -> TestResponse:
    headers = {"Authorization": f"Bearer {token}"}
    return house.browser().open(f"/api/delegations{path}", method=method, headers=headers, base_url=house.issuer)


def test_the_users_powers_are_read_and_ended_for_them_and_for_nobody_else(house: House, street: Neighbours) -> None:
    principal, agent, path = granted(house)
    work(house)
    number = path.rpartition("/")[2]
    program = office(house)
    page = house.consent_page(house.browser(), "shain", client_id="office", scope="openid delegations")
    assert "電子委任状の一覧と状態" in page.text, "the person is told before they agree"
    token = token_of(program, "shain")
    (listed,) = call(house, token).get_json()["delegations"]
    assert (listed["number"], listed["role"], listed["state"]) == (number, "agent", "active")
    told = call(house, token, f"/{number}").get_json()
    assert told["grant"]["agent"]["name"] == "社員働助"
    assert [each["event"] for each in told["history"]] == ["issue"]

    stranger = token_of(program, "taro")
    assert call(house, stranger).get_json() == {"delegations": []}
    for method, tail in (("GET", ""), ("POST", "/suspend"), ("POST", "/revoke")):
        assert call(house, stranger, f"/{number}{tail}", method=method).status_code == 404

    suspended = call(house, token, f"/{number}/suspend", method="POST")
    assert (suspended.status_code, suspended.get_json()["state"]) == (200, "suspended")
    assert principal.state(path) == "停止中"
    assert "停止" in Page(agent.get("/delegations").text).texts["notes"], "the person is told what a service did"
    assert call(house, token, f"/{number}/suspend", method="POST").status_code == 409
    revoked = call(house, token, f"/{number}/revoke", method="POST").get_json()
    assert revoked["state"] == "revoked"
    assert principal.state(path) == "取り消し済み"
    assert call(house, token, f"/{number}/revoke", method="POST").status_code == 409
    assert "電子委任状の一覧" in agent.get("/me/history").text


def test_nothing_widens_by_a_token(house: House, street: Neighbours) -> None:
    _principal, _agent, path = granted(house)
    work(house)
    number = path.rpartition("/")[2]
    token = token_of(office(house), "hanako")
    for deed in ("resume", "sign", "accept", "approve", "seal"):
        assert call(house, token, f"/{number}/{deed}", method="POST").status_code == 404
    assert call(house, token, f"/{number}", method="POST").status_code == 405
    assert call(house, token, f"/{number}/suspend").status_code == 405


def test_without_the_scope_the_right_or_a_login_there_is_no_access(house: House, street: Neighbours) -> None:
    _principal, _agent, path = granted(house)
    work(house)
    number = path.rpartition("/")[2]
    program = office(house)
    narrow = token_of(program, "shain", scope="openid")
    unright = token_of(office(house, "other", rights=frozenset()), "shain")
    for token in (narrow, unright):
        for method, tail in (("GET", ""), ("GET", f"/{number}"), ("POST", f"/{number}/revoke")):
            answer = call(house, token, tail, method=method)
            assert (answer.status_code, answer.get_json()["error"]) == (403, "insufficient_scope")
            assert 'scope="delegations"' in answer.headers["WWW-Authenticate"]
    assert house.browser().get("/api/delegations", base_url=house.issuer).status_code == 401
    assert call(house, "nonsense").status_code == 401


def test_access_ends_with_the_consent(house: House, street: Neighbours) -> None:
    granted(house)
    program = office(house)
    token = token_of(program, "shain")
    assert call(house, token).status_code == 200
    person = Person.at(house, "shain")
    page = person.get("/me/services")
    form = next(name for name, one in Page(page.text).forms.items() if one["fields"].get("client_id") == "office")
    assert house.submit(person.browser, page, form).status_code == 200
    assert call(house, token).status_code == 401
