"""Logging out: by a client's request, by a person, by another card; and who is told of it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import jwt
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from broker.flows.backchannel_logout import deliver_due
from broker.flows.client_administration import invite
from broker.flows.ports import KeyUse
from broker.flows.session import end_by_operator
from broker.ids import ClientID, SectorID, SessionID
from broker.jose import b64url, parse_claims, public_jwk, verify_jws
from broker.jwe import decrypt_compact
from broker.keys.live import open_keys
from broker.keys.rotation import create, rotate
from broker.oidc.client import Client, Encryption, SecurityProfile
from broker.oidc.logout import DELIVERY_LIFETIME, LOGOUT_EVENT
from tests.broker.web.house import BANK, ISSUER, LOGGED_OUT_URI, PASSPHRASE, REDIRECT_URI, House, Page, Receivers

RECEIVER = f"{BANK}/backchannel"
FRAME = f"{BANK}/frontchannel"


def add_shop(house: House, **changes: object) -> None:
    """A client that wants to be told."""
    given: dict[str, object] = {
        "client_id": ClientID("shop"),
        "name": "見本商店",
        "vetted": True,
        "profile": SecurityProfile.OIDC,
        "redirect_uris": (REDIRECT_URI,),
        "post_logout_redirect_uris": (LOGGED_OUT_URI,),
        "jwks": {"keys": [public_jwk(house.keys["stranger"])]},
        "sector": SectorID("shop"),
        "backchannel_logout_uri": RECEIVER,
        "scope": frozenset({"openid", "offline_access"}),
    }
    house.keys["shop"] = house.keys["stranger"]
    with house.ports.store.transaction() as tx:
        assert tx.clients.add(Client(**{**given, **changes}), now=house.clock())  # type: ignore[arg-type]  # by name


@pytest.fixture
def receivers() -> Receivers:
    return Receivers()


@pytest.fixture
def shop(make_house: Callable[..., House], receivers: Receivers) -> House:
    house = make_house(receivers=receivers)
    add_shop(house)
    return house


def logged_in(house: House, client: str = "bank", resident: str = "hanako") -> tuple[FlaskClient, dict[str, str]]:
    browser = house.browser()
    code = house.login(browser, resident, client_id=client)["code"]
    return browser, house.token(code, client=client).get_json()


def logout(browser: FlaskClient, **parameters: str) -> TestResponse:
    return browser.get(f"/logout?{urlencode(parameters)}", base_url=ISSUER)


def silent(house: House, browser: FlaskClient, client: str = "bank") -> dict[str, str]:
    answer = house.authorize(browser, prompt="none", client_id=client)
    assert answer.status_code == 303
    return dict(parse_qsl(urlsplit(answer.headers["Location"]).query))


def userinfo(house: House, told: dict[str, str]) -> int:
    headers = {"Authorization": f"Bearer {told['access_token']}"}
    return house.browser().get("/userinfo", headers=headers, base_url=ISSUER).status_code


def rows(house: House, statement: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(house.database)) as connection:
        return connection.execute(statement).fetchall()


def hint_of(told: dict[str, str]) -> dict[str, str]:
    claims: dict[str, str] = jwt.decode(told["id_token"], options={"verify_signature": False})
    return claims


# --- at the client's request -----------------------------------------------------------------------------------------


def refused(answer: TestResponse) -> bool:
    return (
        answer.status_code == 400
        and Page(answer.text).texts["error-code"] == "BROKER-010"
        and "Location" not in answer.headers
    )


def test_n21_an_unregistered_return_address_is_a_page_and_no_redirect(house: House) -> None:
    browser, told = logged_in(house)
    for uri in ("https://evil.example/", REDIRECT_URI, LOGGED_OUT_URI + "/", LOGGED_OUT_URI.upper()):
        assert refused(logout(browser, id_token_hint=told["id_token"], post_logout_redirect_uri=uri))
        assert refused(logout(browser, client_id="bank", post_logout_redirect_uri=uri))
    assert "code" in silent(house, browser)


def test_n22_a_query_added_to_the_return_address_is_a_page_and_no_redirect(house: House) -> None:
    browser, told = logged_in(house)
    assert refused(
        logout(browser, id_token_hint=told["id_token"], post_logout_redirect_uri=f"{LOGGED_OUT_URI}?foo=bar")
    )
    assert "code" in silent(house, browser)


def test_n23_a_hint_made_over_with_alg_none_is_a_page_and_no_redirect(house: House) -> None:
    browser, told = logged_in(house)
    _, payload, signature = told["id_token"].split(".")
    none = b64url(json.dumps({"alg": "none"}).encode())
    for hint in (f"{none}.{payload}.", f"{none}.{payload}.{signature}"):
        assert refused(logout(browser, id_token_hint=hint, post_logout_redirect_uri=LOGGED_OUT_URI))
        assert refused(logout(browser, id_token_hint=hint))
    assert "code" in silent(house, browser)


def test_n24_a_hint_signed_by_another_key_is_a_page_and_no_redirect(house: House) -> None:
    browser, told = logged_in(house)
    kid = jwt.get_unverified_header(told["id_token"])["kid"]
    forged = jwt.encode(hint_of(told), house.keys["stranger"], algorithm="ES256", headers={"kid": kid})
    access = told["access_token"]  # ours, and of another use
    head, payload, signature = told["id_token"].split(".")
    for hint in (forged, access, f"{head}.{payload}.{signature[:-4]}AAAA", "x"):
        assert refused(logout(browser, id_token_hint=hint, post_logout_redirect_uri=LOGGED_OUT_URI))
    assert "code" in silent(house, browser)


def test_n25_without_a_hint_nobody_is_sent_anywhere_and_the_person_is_asked(house: House) -> None:
    for client in ({}, {"client_id": "bank"}):
        browser, _ = logged_in(house)
        page = logout(browser, post_logout_redirect_uri=LOGGED_OUT_URI, state="s", **client)
        assert page.status_code == 200
        assert "Location" not in page.headers
        assert ("logout-client" in Page(page.text).texts) == bool(client)
        assert "code" in silent(house, browser)
        ended = house.submit(browser, page, "logout-form")
        assert "logged-out" in Page(ended.text).texts
        assert LOGGED_OUT_URI not in ended.text
        assert "Refresh" not in ended.headers
        assert silent(house, browser)["error"] == "login_required"


def test_n26_logout_returns_to_the_registered_address_with_state_alone_and_really_ends(house: House) -> None:
    browser, told = logged_in(house)
    house.clock.step(minutes=6)  # an ID token that ran out is a hint still
    answer = logout(
        browser, id_token_hint=told["id_token"], post_logout_redirect_uri=LOGGED_OUT_URI, state="s&x=\r\n", x="y"
    )
    assert answer.status_code == 303
    location = urlsplit(answer.headers["Location"])
    assert f"{location.scheme}://{location.netloc}{location.path}" == LOGGED_OUT_URI
    assert parse_qs(location.query) == {"state": ["s&x=\r\n"]}
    assert silent(house, browser)["error"] == "login_required"
    assert rows(house, "SELECT event FROM audit ORDER BY id DESC LIMIT 1") == [("logout",)]


def test_a_hint_of_another_client_is_refused(house: House) -> None:
    browser, told = logged_in(house)
    assert refused(
        logout(browser, id_token_hint=told["id_token"], client_id="clinic", post_logout_redirect_uri=LOGGED_OUT_URI)
    )
    assert refused(logout(browser, client_id="nobody"))
    assert "code" in silent(house, browser)


def test_a_person_who_comes_alone_is_asked_and_the_form_is_this_sessions(house: House) -> None:
    browser, _ = logged_in(house)
    page = logout(browser)
    for wrong in ("x", "é", ""):
        assert Page(house.submit(browser, page, "logout-form", csrf=wrong).text).texts["error-code"] == "BROKER-009"
    foreign = house.submit(browser, page, "logout-form", origin="https://evil.example")
    assert Page(foreign.text).texts["error-code"] == "BROKER-009"
    assert "code" in silent(house, browser)
    assert "logged-out" in Page(house.submit(browser, page, "logout-form").text).texts
    assert silent(house, browser)["error"] == "login_required"
    assert "no-session" in Page(logout(browser).text).texts


def test_the_request_and_the_page_speak_the_language_asked_for(house: House) -> None:
    browser, told = logged_in(house)
    assert Page(logout(browser, ui_locales="en").text).lang == "en"
    ended = logout(browser, ui_locales="en", id_token_hint=told["id_token"], logout_hint="hanako")
    assert (Page(ended.text).lang, ended.status_code) == ("en", 200)


def test_another_persons_hint_does_not_end_this_session_unasked_and_leads_back_once_it_is(house: House) -> None:
    _, theirs = logged_in(house)
    mine, _ = logged_in(house, resident="taro")
    page = logout(mine, id_token_hint=theirs["id_token"], post_logout_redirect_uri=LOGGED_OUT_URI, state="s")
    assert "code" in silent(house, mine)
    ended = house.submit(mine, page, "logout-form")
    assert ended.status_code == 200  # a redirect would meet the form's own `form-action` in Chromium
    assert ended.headers["Refresh"] == f"0; url={LOGGED_OUT_URI}?state=s"
    assert Page(ended.text).links["continue-link"] == f"{LOGGED_OUT_URI}?state=s"
    assert silent(house, mine)["error"] == "login_required"


def test_what_the_form_brings_back_is_judged_again(house: House) -> None:
    _, theirs = logged_in(house)
    mine, _ = logged_in(house, resident="taro")
    page = logout(mine, id_token_hint=theirs["id_token"], post_logout_redirect_uri=LOGGED_OUT_URI)
    assert refused(house.submit(mine, page, "logout-form", post_logout_redirect_uri="https://evil.example/"))
    assert "code" in silent(house, mine)


def test_a_request_posted_from_another_site_ends_the_very_session_of_its_hint(house: House) -> None:
    browser, told = logged_in(house)
    another, _ = logged_in(house)
    answer = house.browser().post(  # SameSite=Lax: no cookie comes along
        "/logout",
        data={"id_token_hint": told["id_token"], "post_logout_redirect_uri": LOGGED_OUT_URI},
        headers={"Origin": BANK},
        base_url=ISSUER,
    )
    assert (answer.status_code, answer.headers["Location"]) == (303, LOGGED_OUT_URI)
    assert silent(house, browser)["error"] == "login_required"
    assert "code" in silent(house, another)  # of the same person and client, in another browser


def test_a_request_posted_without_a_hint_comes_back_as_one_that_brings_the_cookie(house: House) -> None:
    browser, _ = logged_in(house)
    answer = house.browser().post("/logout", data={"client_id": "bank", "state": "a b"}, base_url=ISSUER)
    assert (answer.status_code, answer.headers["Location"]) == (303, f"{ISSUER}/logout?client_id=bank&state=a+b")
    assert "logout-form" in Page(house.get(browser, answer.headers["Location"]).text).forms


# --- what ends with a session ----------------------------------------------------------------------------------------


def test_what_was_granted_in_a_session_ends_with_it(house: House) -> None:
    browser, told = logged_in(house)
    other, theirs = logged_in(house)
    unused = silent(house, browser)["code"]
    assert userinfo(house, told) == 200
    logout(browser, id_token_hint=told["id_token"])
    assert userinfo(house, told) == 401
    assert house.token(unused).get_json()["error"] == "invalid_grant"
    assert userinfo(house, theirs) == 200
    assert "code" in silent(house, other)


def test_a_session_is_idle_fifteen_minutes_and_lives_twelve_hours_at_most(house: House) -> None:
    browser, _ = logged_in(house)
    for _ in range(49):  # 12 h and a quarter, always in use
        house.clock.step(minutes=14, seconds=59)
        last = silent(house, browser)
    assert last["error"] == "login_required"
    fresh, _ = logged_in(house)
    house.clock.step(minutes=15)
    assert silent(house, fresh)["error"] == "login_required"


def test_r1_another_card_ends_what_was_granted_and_its_client_is_told(shop: House, receivers: Receivers) -> None:
    browser, told = logged_in(shop, "shop")
    shop.login(browser, "taro", client_id="bank")
    assert userinfo(shop, told) == 401
    assert deliver_due(shop.ports) == {"delivered": 1, "failed": 0}
    assert [url for url, _ in receivers.got] == [RECEIVER]
    assert ("session_replaced",) in rows(shop, "SELECT event FROM audit")


def test_r1_the_same_card_at_another_client_begins_a_session_and_ends_nobodys_login(
    shop: House, receivers: Receivers
) -> None:
    browser, told = logged_in(shop, "shop")
    shop.login(browser, "hanako", client_id="bank")
    assert "code" in silent(shop, browser)
    assert silent(shop, browser, "shop")["error"] == "login_required"  # a session serves one client
    assert userinfo(shop, told) == 200
    assert deliver_due(shop.ports) == {"delivered": 0, "failed": 0}
    assert receivers.got == []


# --- who is told -----------------------------------------------------------------------------------------------------


def test_n27_a_logout_token_is_signed_names_the_session_and_carries_no_nonce(shop: House, receivers: Receivers) -> None:
    browser, told = logged_in(shop, "shop")
    logout(browser, id_token_hint=told["id_token"])
    [(url, token)] = receivers.got
    assert url == RECEIVER
    header = jwt.get_unverified_header(token)
    assert (header["typ"], header["alg"]) == ("logout+jwt", "ES256")
    jwks = shop.ports.keys.jwks(KeyUse.ID_TOKEN)
    claims = parse_claims(verify_jws(token, jwks=jwks, algorithms=("ES256",), typ="logout+jwt"))
    hint = hint_of(told)
    assert claims.keys() == {"iss", "aud", "iat", "exp", "jti", "sub", "sid", "events"}
    assert [claims[name] for name in ("iss", "aud", "sub", "sid")] == [hint[n] for n in ("iss", "aud", "sub", "sid")]
    assert claims["events"] == {LOGOUT_EVENT: {}}
    assert 0 < claims["exp"] - claims["iat"] <= 120
    assert rows(shop, "SELECT event, reference FROM audit ORDER BY id DESC LIMIT 1") == [
        ("logout_delivered", hint["sid"])
    ]
    assert deliver_due(shop.ports) == {"delivered": 0, "failed": 0}


def test_a_logout_token_is_encrypted_where_id_tokens_are(
    make_house: Callable[..., House], receivers: Receivers
) -> None:
    house = make_house(receivers=receivers)
    jwk = public_jwk(house.keys["stranger"])
    add_shop(
        house,
        id_token_encryption=Encryption(alg="ECDH-ES", enc="A256GCM"),
        jwks={"keys": [jwk | {"kid": "sig", "use": "sig"}, jwk | {"kid": "enc", "use": "enc"}]},
    )
    browser = house.browser()
    house.login(browser, client_id="shop")
    house.submit(browser, logout(browser), "logout-form")
    [(_, token)] = receivers.got
    inner = decrypt_compact(token, key=house.keys["stranger"], algorithms=("ECDH-ES",), encryptions=("A256GCM",))
    assert jwt.get_unverified_header(inner.decode())["typ"] == "logout+jwt"


@pytest.mark.parametrize("alg", ["PS256", "RS256", "EdDSA"])
def test_hint_and_logout_token_are_signed_as_the_client_chose(
    make_house: Callable[..., House], receivers: Receivers, tmp_path: Path, alg: str
) -> None:
    folder, made = tmp_path / "keys", datetime.now(UTC) - timedelta(days=1)
    create(folder, PASSPHRASE, issuer=ISSUER, now=made, agent_root_out=tmp_path / "root.json")
    rotate(folder, PASSPHRASE, now=made, uses=(KeyUse.ID_TOKEN,), algorithms=(alg,))
    house = make_house(receivers=receivers, keys_of=open_keys(folder, PASSPHRASE))
    add_shop(house, id_token_alg=alg)
    browser, told = logged_in(house, "shop")
    assert jwt.get_unverified_header(told["id_token"])["alg"] == alg
    answer = logout(browser, id_token_hint=told["id_token"], post_logout_redirect_uri=LOGGED_OUT_URI)
    assert answer.headers["Location"] == LOGGED_OUT_URI
    [(_, token)] = receivers.got
    jwks = house.get(house.browser(), "/jwks").get_json()
    assert verify_jws(token, jwks=jwks, algorithms=(alg,), typ="logout+jwt")


def test_a_client_that_does_not_answer_keeps_nobody_logged_in_and_is_told_again(
    shop: House, receivers: Receivers
) -> None:
    receivers.answers = False
    browser, told = logged_in(shop, "shop")
    answer = logout(browser, id_token_hint=told["id_token"], post_logout_redirect_uri=LOGGED_OUT_URI)
    assert answer.headers["Location"] == LOGGED_OUT_URI
    assert silent(shop, browser, "shop")["error"] == "login_required"
    assert deliver_due(shop.ports) == {"delivered": 0, "failed": 0}  # not before half a minute
    shop.clock.step(seconds=30)
    assert deliver_due(shop.ports) == {"delivered": 0, "failed": 1}
    receivers.answers = True
    shop.clock.step(minutes=1)
    assert deliver_due(shop.ports) == {"delivered": 1, "failed": 0}
    assert len(receivers.got) == 1
    with shop.ports.store.transaction() as tx:
        assert tx.logout_deliveries.undelivered() == ()


def test_a_client_that_never_answers_is_given_up_and_shown(shop: House, receivers: Receivers) -> None:
    receivers.answers = False
    browser, told = logged_in(shop, "shop")
    logout(browser, id_token_hint=told["id_token"])
    tries = 0
    for _ in range(int(DELIVERY_LIFETIME / timedelta(minutes=30)) + 4):
        shop.clock.step(minutes=30)
        tries += deliver_due(shop.ports)["failed"]
    with shop.ports.store.transaction() as tx:
        [left] = tx.logout_deliveries.undelivered()
    assert (left.next_at, left.attempts, left.last_error) == (
        None,
        tries + 1,
        f"OutboundFailed: {RECEIVER}: nobody answers",
    )
    assert rows(shop, "SELECT event FROM audit ORDER BY id DESC LIMIT 1") == [("logout_undelivered",)]


def test_the_operator_ends_a_session_and_its_client_is_told(shop: House, receivers: Receivers) -> None:
    browser, told = logged_in(shop, "shop")
    session = SessionID(hint_of(told)["sid"])
    assert end_by_operator(session, ports=shop.ports)
    assert not end_by_operator(session, ports=shop.ports)
    assert silent(shop, browser, "shop")["error"] == "login_required"
    assert userinfo(shop, told) == 401
    deliver_due(shop.ports)
    assert len(receivers.got) == 1
    assert ("session_ended", session) in rows(shop, "SELECT event, reference FROM audit")


# --- frames, where they are switched on ------------------------------------------------------------------------------


def test_no_frame_is_loaded_unless_the_operator_says_so(make_house: Callable[..., House]) -> None:
    house = make_house()
    add_shop(house, frontchannel_logout_uri=FRAME, backchannel_logout_uri=None)
    browser, told = logged_in(house, "shop")
    ended = logout(browser, id_token_hint=told["id_token"], post_logout_redirect_uri=LOGGED_OUT_URI)
    assert ended.status_code == 303
    document = house.get(house.browser(), "/.well-known/openid-configuration").get_json()
    assert "frontchannel_logout_supported" not in document
    assert (document["backchannel_logout_supported"], document["backchannel_logout_session_supported"]) == (True, True)


@pytest.mark.parametrize("served", [False, True])
def test_a_client_registers_a_frame_only_where_they_are_served(make_house: Callable[..., House], served: bool) -> None:
    house = make_house(policy={"front_channel_logout": served, "loopback_clients": True})
    token, _ = invite(profile=SecurityProfile.OIDC, vetted=False, uses=1, lifetime=timedelta(days=1), ports=house.ports)
    answer = house.browser().post(
        "/register",
        json={
            "redirect_uris": ["https://shop.example/cb"],
            "jwks": {"keys": [public_jwk(house.keys["bank"])]},
            "frontchannel_logout_uri": "https://shop.example/frame",
            "backchannel_logout_uri": "https://shop.example/back",
        },
        headers={"Authorization": f"Bearer {token}"},
        base_url=ISSUER,
    )
    told = answer.get_json()
    assert (answer.status_code, told.get("error")) == ((201, None) if served else (400, "invalid_client_metadata"))


def test_a_frame_tells_issuer_and_session_and_the_browser_goes_on(make_house: Callable[..., House]) -> None:
    house = make_house(policy={"front_channel_logout": True})
    add_shop(
        house, frontchannel_logout_uri=FRAME, frontchannel_logout_session_required=True, backchannel_logout_uri=None
    )
    browser, told = logged_in(house, "shop")
    ended = logout(browser, id_token_hint=told["id_token"], post_logout_redirect_uri=LOGGED_OUT_URI, state="s")
    expected = f"{FRAME}?{urlencode({'iss': ISSUER, 'sid': hint_of(told)['sid']})}"
    assert expected in Page(ended.text).addresses
    assert ended.headers["Refresh"] == f"2; url={LOGGED_OUT_URI}?state=s"
    assert f"frame-src {BANK};" in ended.headers["Content-Security-Policy"]
    document = house.get(house.browser(), "/.well-known/openid-configuration").get_json()
    assert (document["frontchannel_logout_supported"], document["frontchannel_logout_session_supported"]) == (
        True,
        True,
    )
    assert silent(house, browser, "shop")["error"] == "login_required"
