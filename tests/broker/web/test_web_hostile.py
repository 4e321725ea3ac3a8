"""Whatever is sent, to whatever address: an answer of ours, never a 500, never a way out of the registered set."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.broker.web import hostile
from tests.broker.web.house import Documents, House

SETTINGS = settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)


@SETTINGS
@given(data=st.data())
def test_no_request_makes_a_500_or_leads_out_of_the_registered_set(house: House, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(hostile.paths(house.app)), label="path")
    content_type, body = data.draw(hostile.bodies, label="body")
    query = data.draw(hostile.pairs, label="query")
    response = house.browser().open(
        path,
        method=data.draw(st.sampled_from(hostile.METHODS), label="method"),
        query_string=dict(query),
        headers=[*data.draw(hostile.headers, label="headers"), ("Content-Type", content_type)],
        data=body,
        base_url=house.issuer,
    )
    assert hostile.faults(response, house, path=path) == []
    assert isinstance(house.ports.documents, Documents)
    assert house.ports.documents.asked == []


@SETTINGS
@given(changes=st.dictionaries(st.sampled_from(hostile.NAMES), hostile.values | st.none(), max_size=4))
def test_a_good_request_that_is_changed_goes_on_here_or_back_to_who_asked(
    house: House, changes: dict[str, str | None]
) -> None:
    browser = house.browser()
    response = house.authorize(browser, **changes)
    assert hostile.faults(response, house, path="/authorize") == []
    assert response.status_code in {200, 303, 400, 403, 413, 429}
    if response.status_code == 303 and response.headers["Location"].startswith(f"{house.issuer}/"):
        login = house.get(browser, response.headers["Location"])
        assert login.status_code == 200
        assert hostile.faults(login, house, path="/login") == []


@SETTINGS
@given(changes=st.dictionaries(st.sampled_from(hostile.NAMES), hostile.values | st.none(), max_size=4))
def test_a_good_token_request_that_is_changed_gets_no_token_for_a_code_that_does_not_exist(
    house: House, changes: dict[str, str | None]
) -> None:
    response = house.token(**{"code": "x" * 43, **changes})
    assert hostile.faults(response, house, path="/token") == []
    assert response.status_code in {400, 401, 413}


@pytest.mark.parametrize(
    "host", ["elsewhere.example", "a b", "[", "x:y:z", "", "日本".encode().decode("latin-1"), "a" * 9000]
)
def test_a_host_header_that_is_none_changes_nothing(house: House, host: str) -> None:
    told = house.browser().get("/logout", base_url=house.issuer, headers={"Host": host})
    assert told.status_code == 200
    assert hostile.faults(told, house, path="/logout") == []


def test_the_judge_sees_what_it_is_there_for(house: House) -> None:
    response = house.browser().get("/jwks", base_url=house.issuer)
    assert hostile.faults(response, house, path="/jwks") == []
    response.status_code = 500
    response.headers["Location"] = "https://elsewhere.example/callback"
    response.headers["Refresh"] = "0; url=http://127.0.0.2:8001/callback.evil"
    assert hostile.faults(response, house, path="/jwks") == [
        "status 500",
        "leads to https://elsewhere.example/callback",
        "leads to http://127.0.0.2:8001/callback.evil",
        "a refusal without an error code",
        "a refusal that may be stored",
    ]


@pytest.mark.parametrize("path", ["/authorize", "/token", "/login/<handle:interaction>"])
def test_the_addresses_that_are_drawn_are_those_that_are_served(house: House, path: str) -> None:
    wanted = path.replace("<handle:interaction>", "x" * 22)
    assert wanted in hostile.paths(house.app)
    assert not [found for found in hostile.paths(house.app) if "<" in found]
