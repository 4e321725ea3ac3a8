"""Remembering a token saves its verification, and opens no other door."""

from __future__ import annotations

import pytest

from broker.errors import InvalidToken
from broker.flows import own_token
from broker.flows.own_token import MOST, read_access_token, sign_access_token
from broker.flows.ports import KeyUse
from tests.broker.web.house import House


def about(house: House, token: str) -> int:
    answer = house.browser().get("/userinfo", headers={"Authorization": f"Bearer {token}"}, base_url=house.issuer)
    return answer.status_code


def test_only_the_very_octets_are_recognised(house: House) -> None:
    told = house.login(house.browser(), "hanako")
    token = house.token(told["code"]).get_json()["access_token"]
    assert about(house, token) == about(house, token) == 200
    head, body, signature = token.split(".")
    other = "A" if signature[0] != "A" else "B"
    assert about(house, f"{head}.{body}.{other}{signature[1:]}") == 401
    assert about(house, f"{head}.{body}.") == 401
    assert about(house, f"{head}.{body}") == 401


def test_a_remembered_token_of_a_key_that_is_published_no_longer_is_nothing(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    signer = house.ports.keys.signer(KeyUse.ACCESS_TOKEN)
    token = sign_access_token({"iss": house.issuer, "jti": "x"}, signer=signer)
    assert read_access_token(token, ports=house.ports)["jti"] == "x"
    left = [jwk for jwk in house.ports.keys.jwks(KeyUse.ACCESS_TOKEN)["keys"] if jwk["kid"] != signer.kid]
    monkeypatch.setattr(type(house.ports.keys), "jwks", lambda *_: {"keys": left})
    with pytest.raises(InvalidToken):
        read_access_token(token, ports=house.ports)


def test_what_is_remembered_is_bounded_and_cannot_be_changed(house: House) -> None:
    signer = house.ports.keys.signer(KeyUse.ACCESS_TOKEN)
    token = sign_access_token({"jti": "first"}, signer=signer)
    with pytest.raises(TypeError):
        read_access_token(token, ports=house.ports)["jti"] = "second"  # type: ignore[index]  # the very point
    for number in range(MOST + 5):
        own_token._remember(f"a.b.{number}", signer.kid, {})
    assert len(own_token._KNOWN) == MOST
    assert read_access_token(token, ports=house.ports)["jti"] == "first"  # read anew, and verified
