"""Refresh tokens: what they repeat, what is judged again, and how they end (design 4.8); case 18 of the suite."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from werkzeug.test import TestResponse

from broker.accounts.credential import CredentialKey
from broker.ids import ClientID
from broker.jpki.certificate import issuer_key_hash, parse
from broker.oidc.client import AuthMethod, GrantType, SecurityProfile
from broker.oidc.consent import Consent
from tests.broker.web.house import ISSUER, House
from tests.broker.web.program import Program, certificate_of, issuer_of, register

GRANTS = frozenset({GrantType.AUTHORIZATION_CODE, GrantType.REFRESH_TOKEN})
SCOPE = frozenset({"openid", "offline_access", "accounts"})


def refused(answer: TestResponse, status: int, error: str) -> None:
    body = answer.get_json()
    assert (answer.status_code, body["error"]) == (status, error), body


def offline(house: House, client_id: str = "offline", **members: Any) -> Program:
    return register(house, client_id, grant_types=GRANTS, scope=SCOPE, **members)


def public(house: House) -> Program:
    return offline(house, "app", auth_method=AuthMethod.NONE, application_type="native")


@pytest.fixture
def program(house: House) -> Program:
    return offline(house)


def begin(program: Program, **form: Any) -> dict[str, Any]:
    """The answer to a code with offline_access."""
    proof = form.pop("dpop", None)
    answer = program.token(program.grant(scope="openid offline_access accounts"), dpop=proof, **form)
    assert answer.status_code == 200, answer.text
    return dict(answer.get_json())


def refresh(program: Program, token: str, *, dpop: str | None = None, **form: Any) -> TestResponse:
    headers = [("DPoP", dpop)] if dpop else []
    if program.client.public:
        form = {"authenticated": False, "client_id": program.client.client_id} | form
    return program.post("/token", headers=headers, **{"grant_type": "refresh_token", "refresh_token": token} | form)


def events(house: House) -> list[str]:
    with closing(sqlite3.connect(house.database)) as connection:
        return [row[0] for row in connection.execute("SELECT event FROM audit ORDER BY id")]


def key_of(house: House, resident: str = "hanako") -> CredentialKey:
    der = certificate_of(house, resident)
    issuer = issuer_key_hash(issuer_of(house, der))
    serial = house.ports.keys.serial_fingerprint(issuer, parse(der).serial)
    return CredentialKey(issuer_key_hash=issuer, serial_fingerprint=serial)


def claims(token: str) -> dict[str, Any]:
    return dict(jwt.decode(token, options={"verify_signature": False}))


def test_a_refresh_repeats_the_login_and_its_token_works_again_and_again(program: Program) -> None:
    first = begin(program)
    program.house.clock.step(hours=5)
    for _ in range(3):
        answer = refresh(program, first["refresh_token"])
        assert answer.status_code == 200, answer.text
        again = answer.get_json()
        assert "refresh_token" not in again  # it stays the same, so a lost answer is asked for again
        assert program.userinfo(again["access_token"]).status_code == 200
        old, new = claims(first["id_token"]), claims(again["id_token"])
        assert {name: new[name] for name in ("sub", "acr", "amr", "auth_time", "iss", "aud")} == {
            name: old[name] for name in ("sub", "acr", "amr", "auth_time", "iss", "aud")
        }
        assert new["iat"] > old["iat"]
        assert not {"nonce", "sid"} & new.keys()


def test_a_fapi2_client_retries_a_refresh_half_a_minute_later_and_loses_nothing(house: House) -> None:
    strict = offline(house, "strict", profile=SecurityProfile.FAPI2, dpop_bound_tokens=True)
    token = begin(strict, dpop=strict.proof())["refresh_token"]
    assert refresh(strict, token, dpop=strict.proof()).get_json()["token_type"] == "DPoP"
    house.clock.step(seconds=30)
    assert refresh(strict, token, dpop=strict.proof()).status_code == 200
    new_key = strict.proof(key=ec.generate_private_key(ec.SECP256R1()))
    assert refresh(strict, token, dpop=new_key).status_code == 200  # it authenticates, so its key may change
    refused(refresh(strict, token), 400, "invalid_dpop_proof")


def test_n18_another_clients_refresh_token_is_refused_and_stays_good(program: Program) -> None:
    token = begin(program)["refresh_token"]
    other = offline(program.house, "other")
    refused(refresh(other, token), 400, "invalid_grant")
    assert refresh(program, token).status_code == 200


@pytest.mark.parametrize("token", ["unknown", "x" * 2000, "a.b.c", None])
def test_what_is_no_refresh_token_is_refused(program: Program, token: str | None) -> None:
    refused(refresh(program, token or ""), 400, "invalid_grant" if token else "invalid_request")


def test_no_refresh_token_without_offline_access_or_the_registered_grant(house: House) -> None:
    program = offline(house)
    assert "refresh_token" not in program.token(program.grant(scope="openid accounts")).get_json()
    online = register(house, "online", scope=SCOPE)
    assert "refresh_token" not in begin(online)


def test_no_refresh_token_where_nothing_is_kept_to_judge_the_certificate_by(house: House) -> None:
    program = offline(house)
    code = program.grant(scope="openid offline_access")
    with closing(sqlite3.connect(house.database)) as connection, connection:
        connection.execute("DELETE FROM grant_certificates")
    assert "refresh_token" not in program.token(code).get_json()


def test_it_ends_ninety_days_after_the_login_however_often_it_is_used(program: Program, house: House) -> None:
    token = begin(program)["refresh_token"]
    for _ in range(8):
        house.clock.step(days=11)
        assert refresh(program, token).status_code == 200
    house.clock.step(days=2)
    refused(refresh(program, token), 400, "invalid_grant")


def test_a_part_of_what_was_granted_can_be_asked_for_and_no_more(house: House) -> None:
    program = offline(house, resources=("https://api.example/", "urn:x:y"))
    code = program.grant(scope="openid offline_access accounts", resources=("https://api.example/", "urn:x:y"))
    token = program.token(code).get_json()["refresh_token"]
    part = refresh(program, token, scope="accounts", resource="urn:x:y").get_json()
    assert part["scope"] == "accounts"
    assert "id_token" not in part
    assert claims(part["access_token"])["aud"] == "urn:x:y"
    assert refresh(program, token).get_json()["scope"] == "accounts offline_access openid"
    for wrong in ("accounts name", "other", "a  b"):
        refused(refresh(program, token, scope=wrong), 400, "invalid_scope")
    refused(refresh(program, token, resource="https://other.example/"), 400, "invalid_target")
    refused(refresh(program, token, authorization_details='[{"type":"x"}]'), 400, "invalid_authorization_details")


# --- judged again ----------------------------------------------------------------------------------------------------


def test_where_the_certificates_state_is_unknown_the_client_waits_and_nothing_is_used_up(house: House) -> None:
    app = public(house)
    token = begin(app, authenticated=False, client_id="app")["refresh_token"]
    house.clock.step(days=1)
    house.lists.available = False
    answer = refresh(app, token)
    refused(answer, 503, "temporarily_unavailable")
    assert answer.headers["Retry-After"]
    house.lists.available = True
    assert refresh(app, token).status_code == 200


def test_a_revoked_certificate_ends_the_grant_for_good_and_the_client_is_not_told_why(program: Program) -> None:
    house = program.house
    first = begin(program)
    with house.ports.store.transaction() as tx:
        tx.revoked.remember(key_of(house), not_after=house.clock() + timedelta(days=900), now=house.clock())
    answer = refresh(program, first["refresh_token"])
    refused(answer, 400, "invalid_grant")
    assert not {"revoked", "certificate"} & set(answer.get_json()["error_description"].lower().split())
    refused(program.userinfo(first["access_token"]), 401, "invalid_token")
    assert events(house)[-1] == "grant_ended"
    with closing(sqlite3.connect(house.database)) as connection:
        assert connection.execute("SELECT count(*) FROM grant_certificates").fetchone() == (0,)


def test_a_certificate_on_the_list_ends_the_grant(house: House) -> None:
    program = offline(house)
    token = program.token(program.grant(scope="openid offline_access", resident="shikko")).get_json()["refresh_token"]
    refused(refresh(program, token), 400, "invalid_grant")
    assert events(house)[-1] == "grant_ended"


def test_a_renewed_certificate_stops_the_grant_without_ending_it(program: Program) -> None:
    house = program.house
    first = begin(program)
    with house.ports.store.transaction() as tx:
        after = house.clock() + timedelta(days=900)
        tx.revoked.remember(key_of(house), not_after=after, now=house.clock(), reason="superseded")
    refused(refresh(program, first["refresh_token"]), 400, "invalid_grant")
    assert events(house)[-1] == "grant_paused"
    assert program.userinfo(first["access_token"]).status_code == 200


def test_a_certificate_that_ran_out_stops_the_grant(house: House) -> None:
    program = offline(house)
    token = (
        program.token(program.grant(scope="openid offline_access", resident="kigen")).get_json().get("refresh_token")
    )
    refused(refresh(program, token), 400, "invalid_grant")
    assert events(house)[-1] == "grant_paused"


def test_without_the_consent_that_it_began_with_a_grant_ends(program: Program) -> None:
    house = program.house
    first = begin(program)
    with house.ports.store.transaction() as tx:
        credential = tx.accounts.credential(key_of(house))
        assert credential is not None
        less = Consent(client_id=ClientID("offline"), scope=frozenset({"openid"}), granted_at=house.clock())
        tx.consents.give(credential.account, less)
    refused(refresh(program, first["refresh_token"]), 400, "invalid_grant")
    refused(program.userinfo(first["access_token"]), 401, "invalid_token")


def test_a_clock_that_went_back_refreshes_nothing(program: Program) -> None:
    house = program.house
    token = begin(program)["refresh_token"]
    assert refresh(program, token).status_code == 200  # raises the mark to what the list witnesses
    with house.ports.store.transaction() as tx:
        tx.clock.raise_to(house.clock())
    house.clock.step(minutes=-3)
    refused(refresh(program, token), 503, "temporarily_unavailable")


# --- public clients --------------------------------------------------------------------------------------------------


def test_a_public_clients_token_rotates_and_a_used_one_ends_the_family(house: House) -> None:
    app = public(house)
    first = begin(app, authenticated=False, client_id="app")
    second = refresh(app, first["refresh_token"]).get_json()
    assert second["refresh_token"] != first["refresh_token"]
    third = refresh(app, second["refresh_token"]).get_json()
    refused(refresh(app, second["refresh_token"]), 400, "invalid_grant")
    assert events(house)[-1] == "refresh_replayed"
    refused(refresh(app, third["refresh_token"]), 400, "invalid_grant")
    refused(app.userinfo(third["access_token"]), 401, "invalid_token")


def test_a_public_clients_token_is_bound_to_its_key(house: House) -> None:
    app = public(house)
    token = begin(app, dpop=app.proof(), authenticated=False, client_id="app")["refresh_token"]
    refused(refresh(app, token), 400, "invalid_grant")
    refused(refresh(app, token, dpop=app.proof(key=ec.generate_private_key(ec.SECP256R1()))), 400, "invalid_grant")
    assert refresh(app, token, dpop=app.proof()).status_code == 200


def test_a_code_that_comes_back_ends_the_refresh_token_too(program: Program) -> None:
    code = program.grant(scope="openid offline_access")
    token = program.token(code).get_json()["refresh_token"]
    refused(program.token(code), 400, "invalid_grant")
    refused(refresh(program, token), 400, "invalid_grant")


def test_a_whole_login_with_the_card_brings_a_refresh_token(make_house: Callable[..., House]) -> None:
    house = make_house()
    program = offline(house)
    browser = house.browser()
    told = house.login(browser, client_id="offline", scope="openid offline_access accounts", prompt="consent")
    first = program.token(told["code"]).get_json()
    assert "refresh_token" in first
    house.clock.step(hours=20)  # long after the session
    again = refresh(program, first["refresh_token"])
    assert again.status_code == 200, again.text
    assert claims(again.get_json()["id_token"])["sub"] == claims(first["id_token"])["sub"]
    assert program.userinfo(again.get_json()["access_token"]).status_code == 200
    assert house.issuer == ISSUER
