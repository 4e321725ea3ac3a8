"""A rotation of the provider's keys, as its clients see it over HTTP (case 20 of the suite)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
from flask.testing import FlaskClient

from broker.flows.ports import KeyUse
from broker.jose import verify_jws
from broker.keys.live import LiveKeys
from broker.keys.ring import PUBLISHED_BEFORE
from broker.keys.rotation import create, rotate
from broker.oidc.tokens import ID_TOKEN_LIFETIME
from tests.broker.web.house import ISSUER, LOGGED_OUT_URI, PASSPHRASE, Clock, House


def published(house: House) -> dict[str, Any]:
    jwks: dict[str, Any] = house.browser().get("/jwks", base_url=ISSUER).get_json()
    return jwks


def id_token(house: House, browser: FlaskClient) -> str:
    return str(house.token(house.login(browser)["code"]).get_json()["id_token"])


def kid(token: str) -> str:
    return str(jwt.get_unverified_header(token)["kid"])


def test_n20_a_new_key_is_published_beside_the_old_one_before_it_signs(
    make_house: Callable[..., House], tmp_path: Path
) -> None:
    folder, made = tmp_path / "keys", datetime.now(UTC)
    create(folder, PASSPHRASE, issuer=ISSUER, now=made, agent_root_out=tmp_path / "root.json")
    clock = Clock(now=made + timedelta(hours=1))
    house = make_house(keys_of=LiveKeys(folder, PASSPHRASE, clock=clock, look_every=0))
    house.clock.now = clock.now
    browser = house.browser()

    first, before = id_token(house, browser), published(house)
    rotate(folder, PASSPHRASE, now=clock.now, uses=(KeyUse.ID_TOKEN,))
    during = published(house)
    old, new = ({key["kid"] for key in jwks["keys"]} for jwks in (before, during))
    assert old < new
    assert len(new - old) == 1
    assert len(new) == len(during["keys"])
    assert kid(id_token(house, browser)) == kid(first)  # nobody need know the new key yet

    clock.now = house.clock.now = clock.now + PUBLISHED_BEFORE + timedelta(seconds=1)
    second = id_token(house, browser)
    assert kid(second) in new - old
    assert kid(first) in {key["kid"] for key in published(house)["keys"]}
    for token, jwks in ((first, published(house)), (second, during)):  # the second, with what was fetched before
        assert verify_jws(token, jwks=jwks, algorithms=("ES256",))

    late = house.get(browser, f"/logout?id_token_hint={first}&post_logout_redirect_uri={LOGGED_OUT_URI}")
    assert late.headers["Location"] == LOGGED_OUT_URI  # a hint of the old key is a hint still
    assert clock.now - made > ID_TOKEN_LIFETIME
