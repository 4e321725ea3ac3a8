"""A login begun where no card reader is, and ended there by a card that another browser read, over the real pcscd."""

from __future__ import annotations

import base64
import hashlib
import secrets
import uuid
from collections.abc import Callable
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
import pytest
import requests
from playwright.sync_api import Page, expect

from cardreader.tray import TrayClient
from sandbox.broker import introduce
from sandbox.launcher import Running
from tests.browser import follow
from tests.journeys.person import card_pin
from tests.journeys.test_login_in_chromium import enter

pytestmark = pytest.mark.timeout(180)
CALLBACK = "http://127.0.0.1:9/callback"
DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"


@pytest.fixture
def program(running: Running) -> str:
    """The name of a program on people's computers that serves devices too."""
    name = f"handover-{uuid.uuid4().hex[:8]}"
    members = {
        "client_id": name,
        "client_name": "みほんアプリ",
        "application_type": "native",
        "token_endpoint_auth_method": "none",
        "grant_types": ["authorization_code", DEVICE_CODE],
        "redirect_uris": ["http://127.0.0.1/callback"],
        "scope": "openid",
        "profile": "oidc",
        "vetted": True,
    }
    assert introduce(running.root, members)
    return name


def test_a_login_goes_on_where_the_reader_is_and_ends_where_it_began(
    running: Running, tray: TrayClient, new_page: Callable[..., Page], program: str
) -> None:
    verifier, state = secrets.token_urlsafe(32), secrets.token_urlsafe(8)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    asked = {
        "client_id": program,
        "redirect_uri": CALLBACK,
        "response_type": "code",
        "scope": "openid",
        "state": state,
        "nonce": "n",
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    here, there = new_page(), new_page()
    here.context.route(f"{CALLBACK}**", lambda route: route.fulfill(body="<p id='back'>back</p>"))
    here.goto(f"{running.addresses.broker}/authorize?{urlencode(asked)}")
    follow(here.locator("#choose"))
    follow(here.locator("#elsewhere"))
    code = "".join(here.locator("#handover-code").inner_text().split())

    there.goto(f"{here.locator('#address').inner_text()}?user_code={code[:-2].rstrip('-')}")
    follow(there.locator("#device-submit"))
    there.fill("#number", f"{(int(code[-2:]) + 1) % 100:02}")
    follow(there.locator("#device-continue"))
    expect(there.locator("#error")).to_be_visible()
    there.fill("#number", code[-2:])
    follow(there.locator("#device-continue"))
    follow(there.locator("#card-submit"))
    enter(there, card_pin(running, "hanako"), scripts=True)
    follow(here.locator("#look-again"))
    expect(here.locator("#handover-code")).to_be_visible()  # the card was read, and nobody has agreed yet
    follow(there.locator("#approve"))
    expect(there.locator("#elsewhere-title")).to_be_visible()

    follow(here.locator("#look-again"))
    expect(here.locator("#back")).to_be_visible()
    told = {name: value for name, (value,) in parse_qs(urlsplit(here.url).query).items()}
    assert (told["state"], told["iss"]) == (state, running.addresses.broker)
    exchange = {
        "grant_type": "authorization_code",
        "code": told["code"],
        "redirect_uri": CALLBACK,
        "client_id": program,
        "code_verifier": verifier,
    }
    answered = requests.post(f"{running.addresses.broker}/token", data=exchange, timeout=60)
    assert answered.status_code == 200, answered.text
    claims = jwt.decode(answered.json()["id_token"], options={"verify_signature": False})
    assert (claims["aud"], claims["acr"]) == (program, "aal2")
    assert not [cookie for cookie in here.context.cookies() if "session" in cookie.get("name", "")]
    assert tray.status().auth_tries == 3
