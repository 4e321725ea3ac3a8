"""What the tests of the resident's own page share: a card login to it, a service that asks for more, and its forms."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from broker.ids import ClientID, SectorID
from broker.oidc.client import Client, GrantType
from broker.oidc.data_use import DataUse
from tests.broker.web.house import BANK, House, Page

LOGOUT_URI = f"{BANK}/backchannel"
LANGUAGE = DataUse(item="language", purpose="窓口での案内", retention="口座を閉じるまで", optional=True)
DIETARY = DataUse(item="dietary_needs", purpose="食事の用意", retention="1年", purpose_en="Meals", optional=True)


def open_page(house: House, browser: FlaskClient, resident: str = "hanako", place: str = "overview") -> TestResponse:
    """Log in to the page with the card; answers where it leads."""
    begun = browser.post("/me/login", data={"place": place}, headers={"Origin": house.issuer}, base_url=house.issuer)
    login = house.get(browser, begun.headers["Location"])
    answered = house.answer(login, resident)
    landed = house.get(browser, answered.headers["Location"])
    return house.get(browser, landed.headers["Location"]) if landed.status_code == 303 else landed


def add_service(house: House, service: str = "curious", **changes: Any) -> Client:
    """A client that asks for attributes and offline access, and wants to be told of logouts."""
    with house.ports.store.transaction() as tx:
        bank = tx.clients.get(ClientID("bank"))
        assert bank is not None
        values: dict[str, Any] = {
            "client_id": ClientID(service),
            "sector": SectorID(service),
            "name": "もてなし旅館",
            "scope": frozenset({"openid", "offline_access", "language", "dietary_needs"}),
            "grant_types": frozenset({GrantType.AUTHORIZATION_CODE, GrantType.REFRESH_TOKEN}),
            "data_use": (DIETARY, LANGUAGE),
            "backchannel_logout_uri": LOGOUT_URI,
            **changes,
        }
        client = replace(bank, **values)
        tx.clients.add(client, now=house.clock())
    house.keys[service] = house.keys["bank"]
    return client


def press(house: House, browser: FlaskClient, path: str, form: str, **fields: str) -> TestResponse:
    """Open one of the page's pages and send one of its forms."""
    return house.submit(browser, house.get(browser, path), form, **fields)


def code_of(page: TestResponse) -> str:
    return Page(page.text).texts["error-code"]
