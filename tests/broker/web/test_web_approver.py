"""The sandbox's approver channel: what official suites post to have a request approved or denied."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient

import broker.web
from broker.oidc.client import GrantType
from broker.web.settings import WebSettings
from sandbox import approver
from sandbox.broker import trial_door
from tests.broker.web.house import BANK, ISSUER, House, Page
from tests.broker.web.program import Program, register
from tests.broker.web.test_web_ciba import begun, poll, refused


@pytest.fixture
def house(make_house: Callable[..., House]) -> House:
    return make_house(policy={"approver_channel": approver.CHANNEL})


@pytest.fixture
def counter(house: House) -> Program:
    return register(
        house,
        "counter",
        grant_types=frozenset({GrantType.AUTHORIZATION_CODE, GrantType.CIBA}),
        ciba_delivery_mode="poll",
        redirect_uris=(f"{BANK}/callback",),
    )


@pytest.fixture
def channel(house: House) -> FlaskClient:
    """The same house with the sandbox's door and channel mounted."""
    app = Flask("broker.web", static_folder=None)
    door = trial_door(house.world.cards)
    broker.web.register(app, house.ports, web=WebSettings(secure=False, trial_door=f"{door.name}.html"))
    app.register_blueprint(door)
    return app.test_client()


@pytest.mark.parametrize("action", ["allow", "approve"])
def test_a_posted_approval_brings_tokens(channel: FlaskClient, counter: Program, action: str) -> None:
    auth_req_id = begun(counter)
    answer = channel.post(approver.PATH, query_string={"auth_req_id": auth_req_id, "action": action}, base_url=ISSUER)
    assert (answer.status_code, answer.get_json()) == (200, {"approved": True})
    assert poll(counter, auth_req_id).status_code == 200


def test_a_posted_denial_is_access_denied(channel: FlaskClient, counter: Program) -> None:
    auth_req_id = begun(counter)
    answer = channel.post(approver.PATH, data={"auth_req_id": auth_req_id, "action": "deny"}, base_url=ISSUER)
    assert answer.get_json() == {"approved": False}
    refused(poll(counter, auth_req_id), "access_denied")


def test_another_residents_card_does_not_approve(channel: FlaskClient, counter: Program) -> None:
    auth_req_id = begun(counter)
    form = {"auth_req_id": auth_req_id, "action": "allow", "resident": "taro"}
    assert channel.post(approver.PATH, data=form, base_url=ISSUER).get_json() == {"approved": False}
    refused(poll(counter, auth_req_id), "access_denied")


def test_a_person_goes_on_with_the_pages(channel: FlaskClient, counter: Program, house: House) -> None:
    auth_req_id = begun(counter, binding_message="W-4711")
    assert {"approver-form"} <= Page(channel.get(approver.PATH, base_url=ISSUER).text).forms.keys()
    opened = channel.post(approver.PATH, data={"auth_req_id": auth_req_id, "action": "open"}, base_url=ISSUER)
    login = house.get(channel, opened.headers["Location"])
    assert Page(login.text).texts["binding-message"] == "W-4711"
    assert "door-form" in Page(login.text).forms


@pytest.mark.parametrize(
    "form",
    [
        {"action": "allow"},
        {"auth_req_id": "x" * 43, "action": "allow"},
        {"auth_req_id": "x" * 43, "action": "deny"},
        {"auth_req_id": "x" * 43, "action": "perhaps"},
        {"auth_req_id": "x" * 43, "action": "allow", "resident": "../ca"},
    ],
)
def test_nonsense_is_refused(channel: FlaskClient, form: dict[str, str]) -> None:
    assert 400 <= channel.post(approver.PATH, data=form, base_url=ISSUER).status_code < 500


def test_a_broker_without_the_channel_does_not_have_the_page(house: House) -> None:
    assert house.browser().get(approver.PATH, base_url=ISSUER).status_code == 404
