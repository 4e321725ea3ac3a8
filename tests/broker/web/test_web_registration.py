"""Clients register by invitation and look after themselves, over HTTP (RFC 7591, RFC 7592)."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, text
from werkzeug.test import TestResponse

from broker.flows.client_administration import invite
from broker.flows.registration import RATE
from broker.flows.sector import approve as approve_sector
from broker.ids import ClientID
from broker.jose import public_jwk
from broker.oidc.client import SecurityProfile
from broker.oidc.registration import MEMBERS
from broker.web.endpoint import MAX_BODY
from tests.broker.web.house import REDIRECT_URI, VERIFIER, Documents, House, Page

KEY, NEXT_KEY = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
JWKS_URI = "https://rp.example/jwks"
SECTOR_URI = "https://group.example/redirect_uris.json"
OUT = "https://rp.example/out"
SANDBOX = {"loopback_clients": True, "approves_sectors": True}


@pytest.fixture
def house(make_house: Callable[..., House]) -> House:
    """One that lets clients be on this machine, as the sandbox does."""
    return make_house(policy=SANDBOX)


def jwks(key: ec.EllipticCurvePrivateKey, kid: str) -> dict[str, Any]:
    return {"keys": [{**public_jwk(key), "kid": kid, "use": "sig", "alg": "ES256"}]}


GOOD: dict[str, Any] = {
    "client_name": "見本商店",
    "redirect_uris": [REDIRECT_URI],
    "token_endpoint_auth_method": "private_key_jwt",
    "jwks": jwks(KEY, "one"),
}


def invitation(house: House, *, profile: SecurityProfile = SecurityProfile.OIDC, uses: int = 100) -> str:
    token, _ = invite(profile=profile, vetted=False, uses=uses, lifetime=timedelta(days=1), ports=house.ports)
    return token


def send(house: House, method: str, url: str, token: str | None, body: Any = None, **options: Any) -> TestResponse:
    return house.browser().open(
        url.removeprefix(house.issuer),
        method=method,
        base_url=house.issuer,
        headers={} if token is None else {"Authorization": f"Bearer {token}"},
        **({} if body is None else {"data": json.dumps(body), "content_type": "application/json"}) | options,
    )


def register(house: House, token: str | None, **changes: Any) -> TestResponse:
    members = {name: value for name, value in {**GOOD, **changes}.items() if value is not None}
    return send(house, "POST", "/register", token, members)


def registered(house: House, **changes: Any) -> dict[str, Any]:
    made = register(house, invitation(house), **changes)
    assert made.status_code == 201, made.text
    told: dict[str, Any] = made.get_json()
    return told


def manage(house: House, method: str, told: dict[str, Any], body: Any = None) -> TestResponse:
    return send(house, method, told["registration_client_uri"], told["registration_access_token"], body)


def own_members(told: dict[str, Any]) -> dict[str, Any]:
    """What a client sends back with an update."""
    ours = {"registration_access_token", "registration_client_uri", "client_id_issued_at", "client_secret_expires_at"}
    return {name: value for name, value in told.items() if name not in ours}


def refused(response: TestResponse, error: str, status: int = 400) -> bool:
    assert response.headers["Cache-Control"] == "no-store"
    return (response.status_code, response.get_json()["error"]) == (status, error)


def stored(house: House) -> list[ClientID]:
    with house.ports.store.transaction() as tx:
        return [client.client_id for client in tx.clients.all()]


def audited(house: House, event: str) -> list[tuple[str | None, str | None]]:
    engine = create_engine(f"sqlite:///{house.database}")
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT client_id, reference FROM audit WHERE event = :event"), {"event": event})
        found = [(row.client_id, row.reference) for row in rows]
    engine.dispose()
    return found


# --- registering -----------------------------------------------------------------------------------------------------


def test_a_registered_client_is_told_everything_that_is_stored_and_logs_people_in(house: House) -> None:
    told = registered(house, logo_uri="https://rp.example/logo.png", unknown_member=1)
    assert {name: told[name] for name in GOOD} == GOOD
    assert told["logo_uri"] == "https://rp.example/logo.png"
    assert "unknown_member" not in told
    assert (told["subject_type"], told["response_types"], told["scope"]) == ("pairwise", ["code"], "openid")
    assert told["client_id_issued_at"] == int(house.clock().timestamp())
    assert told["registration_client_uri"].startswith(f"{house.issuer}/")
    assert "client_secret" not in told
    client_id = told["client_id"]
    house.keys[client_id] = KEY
    code = house.login(house.browser(), client_id=client_id)["code"]
    assert house.token(code, client=client_id).status_code == 200
    ((added, reference),) = audited(house, "client_added")
    ((_, invited),) = audited(house, "client_invited")
    assert (added, reference) == (client_id, invited)


def test_the_endpoint_is_in_the_metadata(house: House) -> None:
    document = house.get(house.browser(), "/.well-known/openid-configuration").get_json()
    assert document["registration_endpoint"] == f"{house.issuer}/register"


def test_without_an_invitation_nobody_registers(house: House) -> None:
    for token in (None, "no-token-of-ours", registered(house)["registration_access_token"]):
        answer = register(house, token)
        assert refused(answer, "invalid_token", 401)
        assert answer.headers["WWW-Authenticate"].startswith("Bearer ")


def test_an_invitation_ends_with_its_uses_and_its_time(house: House) -> None:
    token = invitation(house, uses=2)
    assert refused(register(house, token, redirect_uris=["http://rp.example/"]), "invalid_redirect_uri")
    assert [register(house, token).status_code for _ in range(3)] == [201, 201, 401]
    late = invitation(house)
    house.clock.step(days=1)
    assert refused(register(house, late), "invalid_token", 401)


def test_one_invitation_registers_so_many_a_minute_and_another_is_not_held_up(house: House) -> None:
    token = invitation(house, uses=1000)
    for _ in range(RATE.limit):
        assert refused(register(house, token, response_types=["token"]), "invalid_client_metadata")
    limited = register(house, token)
    assert limited.status_code == 429
    assert 1 <= int(limited.headers["Retry-After"]) <= 60
    assert register(house, invitation(house)).status_code == 201
    house.clock.step(minutes=1)
    assert register(house, token).status_code == 201


def test_only_the_sandbox_lets_anybody_in_and_counts_them(make_house: Callable[..., House]) -> None:
    house = make_house(policy=SANDBOX | {"open_registration": SecurityProfile.OIDC})
    for _ in range(RATE.limit - 1):
        assert register(house, None, response_types=["token"]).status_code == 400
    told = register(house, None).get_json()
    assert manage(house, "GET", told).get_json() == told
    assert register(house, None).status_code == 429
    assert refused(register(house, "no-token-of-ours"), "invalid_token", 401)


def test_a_secret_is_told_once_and_only_a_change_of_method_makes_another(house: House) -> None:
    told = registered(house, token_endpoint_auth_method=None, jwks=None)
    assert (told["token_endpoint_auth_method"], told["client_secret_expires_at"]) == ("client_secret_basic", 0)
    client_id, secret = told["client_id"], told["client_secret"]
    assert len(secret) >= 43

    def redeem(password: str) -> int:
        code = house.login(house.browser(), client_id=client_id)["code"]
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": REDIRECT_URI,
            "code_verifier": VERIFIER,
        }
        answer = house.browser().post("/token", data=form, auth=(client_id, password), base_url=house.issuer)
        return answer.status_code

    assert redeem(secret) == 200
    assert "client_secret" not in manage(house, "GET", told).get_json()
    wrong = own_members(told) | {"client_secret": f"{secret}x"}
    assert refused(manage(house, "PUT", told, wrong), "invalid_client_metadata")
    now = manage(house, "PUT", told, own_members(told)).get_json()
    assert "client_secret" not in now
    assert redeem(secret) == 200
    keyed = own_members(now) | {"token_endpoint_auth_method": "private_key_jwt", "jwks": GOOD["jwks"]}
    now = manage(house, "PUT", now, keyed).get_json()
    assert redeem(secret) == 401
    back = own_members(now) | {"token_endpoint_auth_method": "client_secret_basic"}
    fresh = manage(house, "PUT", now, back).get_json()["client_secret"]
    assert (redeem(secret), redeem(fresh)) == (401, 200)


def test_the_invitation_decides_the_profile(house: House) -> None:
    token = invitation(house, profile=SecurityProfile.FAPI2)
    told = register(house, token).get_json()
    assert told["dpop_bound_access_tokens"] is True
    with house.ports.store.transaction() as tx:
        client = tx.clients.get(ClientID(told["client_id"]))
        assert client is not None
        assert (client.profile, client.vetted) == (SecurityProfile.FAPI2, False)
    assert refused(register(house, token, jwks=None, token_endpoint_auth_method="none"), "invalid_client_metadata")


@pytest.mark.parametrize("uri", [f"{REDIRECT_URI}#part", "https://rp.example/cb#"])
def test_n06_a_redirect_uri_with_a_fragment_is_refused(house: House, uri: str) -> None:
    assert refused(register(house, invitation(house), redirect_uris=[uri]), "invalid_redirect_uri")


def test_n07_a_sector_document_without_the_redirect_uri_is_refused(make_house: Callable[..., House]) -> None:
    documents = Documents()
    house = make_house(documents=documents, policy=SANDBOX)
    token = invitation(house)
    for document in (b'["https://rp.example/other"]', b"[]", b"{}", b"[1]", b"not JSON", b"[" * 999):
        documents.published[SECTOR_URI] = document
        assert refused(register(house, token, sector_identifier_uri=SECTOR_URI), "invalid_client_metadata")
    for uri in ("https://nobody.example/", "http://group.example/sector", "https://group.example/#a"):
        assert refused(register(house, token, sector_identifier_uri=uri), "invalid_client_metadata")
    assert stored(house) == ["bank", "clinic"]


def test_n08_a_start_of_login_by_plain_http_is_refused(house: House) -> None:
    answer = register(house, invitation(house), initiate_login_uri="http://rp.example/start")
    assert refused(answer, "invalid_client_metadata")
    assert registered(house, initiate_login_uri="https://rp.example/start")["initiate_login_uri"].startswith("https")


def test_in_production_web_clients_are_not_on_loopback(make_house: Callable[..., House]) -> None:
    house = make_house()
    assert refused(register(house, invitation(house)), "invalid_redirect_uri")
    out = register(
        house, invitation(house), redirect_uris=["https://rp.example/cb"], post_logout_redirect_uris=[REDIRECT_URI]
    )
    assert refused(out, "invalid_client_metadata")


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"", "application/json", 400),
        (b"{", "application/json", 400),
        (b"[]", "application/json", 400),
        (b'{"a":1,"a":2}', "application/json", 400),
        (b'{"client_name":"\\ud800"}', "application/json", 400),
        (b"\xff", "application/json", 400),
        (b'{"a":' * 999, "application/json", 400),
        (b" " * (MAX_BODY + 1), "application/json", 413),
        (b"client_name=x", "application/x-www-form-urlencoded", 415),
        (b"{}", "", 415),
    ],
)
def test_a_body_that_is_no_json_object_is_refused(house: House, body: bytes, content_type: str, status: int) -> None:
    answer = send(house, "POST", "/register", invitation(house), data=body, content_type=content_type)
    assert answer.status_code == status
    if status == 400:
        assert refused(answer, "invalid_client_metadata")


def test_a_new_client_has_no_id_yet_and_other_methods_are_not_served(house: House) -> None:
    token = invitation(house)
    assert refused(send(house, "POST", "/register?client_id=bank", token, GOOD), "invalid_request")
    patched = send(house, "PATCH", "/register?client_id=bank", token, GOOD)
    assert patched.status_code == 405
    assert {"POST", "GET", "PUT", "DELETE"} <= set(patched.headers["Allow"].replace(" ", "").split(","))


@pytest.mark.parametrize(
    ("language", "words"), [("ja", ("利用規約", "個人情報")), ("en", ("terms of use", "personal data"))]
)
def test_the_pages_lead_to_the_terms_of_a_client_and_never_load_its_logo(
    house: House, language: str, words: tuple[str, str]
) -> None:
    documents = {"tos_uri": "https://rp.example/terms?a=1&b=2", "policy_uri": "https://rp.example/privacy"}
    told = registered(house, **documents, logo_uri="https://rp.example/logo.png")
    browser = house.browser()
    asked = {"client_id": told["client_id"], "ui_locales": language}
    for page in (house.login_page(browser, **asked), house.consent_page(house.browser(), **asked)):
        found = Page(page.text)
        assert found.links["client-terms"] == documents["tos_uri"]
        assert found.links["client-privacy"] == documents["policy_uri"]
        assert all(word in found.texts["client-documents"] for word in words)
        assert "logo.png" not in page.text
        assert page.text.count('rel="noopener noreferrer"') == 2
    assert "client-documents" not in house.login_page(house.browser()).text


# --- managing --------------------------------------------------------------------------------------------------------


def test_a_client_reads_its_registration(house: House) -> None:
    told = registered(house)
    read = manage(house, "GET", told)
    assert (read.status_code, read.get_json()) == (200, told)


def test_an_update_replaces_everything_and_the_token_with_it(house: House) -> None:
    told = registered(house, tos_uri="https://rp.example/terms")
    changed = own_members(told) | {"client_name": "新しい名前", "policy_uri": "https://rp.example/policy"}
    del changed["tos_uri"]
    answer = manage(house, "PUT", told, changed)
    assert answer.status_code == 200
    now = answer.get_json()
    assert own_members(now) == changed
    assert now["registration_access_token"] != told["registration_access_token"]
    assert now["client_id_issued_at"] == told["client_id_issued_at"]
    assert refused(manage(house, "GET", told), "invalid_token", 401)
    assert refused(manage(house, "PUT", told, changed), "invalid_token", 401)
    assert manage(house, "GET", now).get_json() == now
    assert audited(house, "client_changed") == [(told["client_id"], None)]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"client_id": "bank"}, "invalid_client_metadata"),
        ({"client_id": None}, "invalid_client_metadata"),
        ({"client_id_issued_at": 1}, "invalid_client_metadata"),
        ({"registration_access_token": "mine"}, "invalid_client_metadata"),
        ({"client_secret": "mine"}, "invalid_client_metadata"),
        ({"response_types": ["token"]}, "invalid_client_metadata"),
        ({"redirect_uris": ["https://rp.example/#"]}, "invalid_redirect_uri"),
        ({"sector_identifier_uri": SECTOR_URI}, "invalid_client_metadata"),
        ({"resources": ["https://api.example/"]}, "invalid_client_metadata"),
    ],
    ids=str,
)
def test_a_refused_update_changes_nothing(house: House, change: dict[str, Any], error: str) -> None:
    told = registered(house)
    assert refused(manage(house, "PUT", told, own_members(told) | change), error)
    assert manage(house, "GET", told).get_json() == told


def test_a_client_that_moves_or_renames_itself_is_no_longer_vetted(house: House) -> None:
    token, _ = invite(profile=SecurityProfile.OIDC, vetted=True, uses=1, lifetime=timedelta(days=1), ports=house.ports)
    told = register(house, token).get_json()

    def vetted() -> bool:
        with house.ports.store.transaction() as tx:
            client = tx.clients.get(ClientID(told["client_id"]))
            assert client is not None
            return client.vetted

    assert vetted()
    told = manage(house, "PUT", told, own_members(told) | {"contacts": ["ops@rp.example"]}).get_json()
    assert vetted()
    told = manage(house, "PUT", told, own_members(told) | {"client_name": "さくら銀行"}).get_json()
    assert not vetted()


def test_a_removed_client_is_gone_with_its_tokens(house: House) -> None:
    told = registered(house)
    client_id = told["client_id"]
    house.keys[client_id] = KEY
    browser = house.browser()
    code = house.login(browser, client_id=client_id)["code"]
    access_token = house.token(code, client=client_id).get_json()["access_token"]
    userinfo = {"headers": {"Authorization": f"Bearer {access_token}"}}
    assert house.get(house.browser(), "/userinfo", **userinfo).status_code == 200
    gone = manage(house, "DELETE", told)
    assert (gone.status_code, gone.data) == (204, b"")
    assert "Content-Length" not in gone.headers
    assert refused(manage(house, "GET", told), "invalid_token", 401)
    assert refused(manage(house, "DELETE", told), "invalid_token", 401)
    assert house.get(house.browser(), "/userinfo", **userinfo).status_code == 401
    assert house.authorize(house.browser(), client_id=client_id).status_code == 400
    assert house.token(code, client=client_id).status_code == 401
    assert audited(house, "client_removed") == [(client_id, None)]


def test_nobody_manages_another_client(house: House) -> None:
    one, other = registered(house), registered(house)
    mixed = one | {"registration_access_token": other["registration_access_token"]}
    operators = one | {"registration_client_uri": f"{house.issuer}/register?client_id=bank"}
    nameless = one | {"registration_client_uri": f"{house.issuer}/register"}
    for told in (mixed, operators, nameless, one | {"registration_access_token": ""}):
        for method, body in (("GET", None), ("PUT", own_members(one)), ("DELETE", None)):
            assert refused(manage(house, method, told, body), "invalid_token", 401)
    twice = one | {"registration_client_uri": f"{house.issuer}/register?client_id=bank&client_id=bank"}
    assert refused(manage(house, "GET", twice), "invalid_request")
    assert manage(house, "GET", one).status_code == 200


# --- sectors ---------------------------------------------------------------------------------------------------------


def test_clients_of_an_approved_sector_see_the_same_person_and_others_do_not(make_house: Callable[..., House]) -> None:
    documents = Documents()
    documents.published[SECTOR_URI] = json.dumps([REDIRECT_URI]).encode()
    house = make_house(documents=documents, policy=SANDBOX)
    shared = [registered(house, sector_identifier_uri=SECTOR_URI)["client_id"] for _ in range(2)]
    alone = registered(house)["client_id"]
    with house.ports.store.transaction() as tx:
        sectors = [getattr(tx.clients.get(name), "sector", None) for name in (*shared, alone)]
    assert sectors[0] == sectors[1] is not None
    assert sectors[2] not in {None, sectors[0]}


def test_in_production_a_sector_waits_for_an_administrator(make_house: Callable[..., House]) -> None:
    documents = Documents()
    documents.published[SECTOR_URI] = b'["https://rp.example/cb"]'
    house = make_house(documents=documents)
    token = invitation(house, uses=1)
    asked: dict[str, Any] = {"sector_identifier_uri": SECTOR_URI, "redirect_uris": ["https://rp.example/cb"]}
    waiting = register(house, token, **asked)
    assert refused(waiting, "invalid_client_metadata")
    assert "approval" in waiting.get_json()["error_description"]
    sector = approve_sector(SECTOR_URI, ports=house.ports)
    told = register(house, token, **asked).get_json()
    with house.ports.store.transaction() as tx:
        client = tx.clients.get(ClientID(told["client_id"]))
        assert client is not None
        assert client.sector == sector


def test_a_client_never_leaves_its_sector_and_takes_no_address_there_that_is_not_vouched_for(
    make_house: Callable[..., House],
) -> None:
    documents = Documents()
    documents.published[SECTOR_URI] = json.dumps([REDIRECT_URI]).encode()
    house = make_house(documents=documents, policy=SANDBOX)
    told = registered(house, sector_identifier_uri=SECTOR_URI)
    members = own_members(told)
    moved = {name: value for name, value in members.items() if name != "sector_identifier_uri"}
    assert refused(manage(house, "PUT", told, moved), "invalid_client_metadata")
    elsewhere = members | {"redirect_uris": [REDIRECT_URI, "https://rp.example/new"]}
    assert refused(manage(house, "PUT", told, elsewhere), "invalid_client_metadata")
    documents.published[SECTOR_URI] = json.dumps([REDIRECT_URI, "https://rp.example/new"]).encode()
    assert manage(house, "PUT", told, elsewhere).status_code == 200


def test_a_native_client_never_shares(make_house: Callable[..., House]) -> None:
    documents = Documents()
    documents.published[SECTOR_URI] = json.dumps([REDIRECT_URI]).encode()
    house = make_house(documents=documents, policy=SANDBOX)
    answer = register(house, invitation(house), application_type="native", sector_identifier_uri=SECTOR_URI)
    assert refused(answer, "invalid_client_metadata")


# --- published keys --------------------------------------------------------------------------------------------------


def test_n19_a_client_that_rotates_the_keys_at_its_jwks_uri_goes_on(make_house: Callable[..., House]) -> None:
    documents = Documents()
    documents.published[JWKS_URI] = json.dumps(jwks(KEY, "one")).encode()
    house = make_house(documents=documents, policy=SANDBOX)
    client_id = registered(house, jwks=None, jwks_uri=JWKS_URI)["client_id"]

    def redeem(key: ec.EllipticCurvePrivateKey, kid: str) -> int:
        house.keys[client_id] = key
        code = house.login(house.browser(), client_id=client_id)["code"]
        claims = jwt.decode(house.assertion(client_id), options={"verify_signature": False})
        signed = jwt.encode(claims, key, algorithm="ES256", headers={"kid": kid})
        return house.token(code, client=client_id, client_assertion=signed).status_code

    assert redeem(KEY, "one") == 200
    documents.published[JWKS_URI] = json.dumps(jwks(NEXT_KEY, "two")).encode()
    house.clock.step(seconds=60)
    assert redeem(NEXT_KEY, "two") == 200
    assert redeem(KEY, "one") == 401
    assert documents.asked == [JWKS_URI, JWKS_URI]


# --- anything at all -------------------------------------------------------------------------------------------------

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12) | st.sampled_from(["https://rp.example/", "none"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=2),
    max_leaves=5,
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(members=st.dictionaries(st.sampled_from(sorted(MEMBERS)), VALUES, max_size=5), whole=st.booleans())
def test_no_metadata_bring_the_house_down(house: House, members: dict[str, Any], whole: bool) -> None:
    answer = send(house, "POST", "/register", invitation(house), GOOD | members if whole else members)
    assert answer.status_code in {201, 400}
    if answer.status_code == 400:
        assert answer.get_json()["error"] in {"invalid_client_metadata", "invalid_redirect_uri"}
    told = registered(house)
    changed = manage(house, "PUT", told, own_members(told) | members)
    assert changed.status_code in {200, 400}


def test_addresses_of_the_registration_are_where_it_says(house: House) -> None:
    parts = urlsplit(registered(house, post_logout_redirect_uris=[OUT])["registration_client_uri"])
    assert f"{parts.scheme}://{parts.netloc}{parts.path}" == f"{house.issuer}/register"
