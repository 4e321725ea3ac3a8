"""The sample bank against a provider that makes one mistake at a time."""

from __future__ import annotations

import re
import stat
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from playwright.sync_api import Page
from werkzeug.serving import make_server

from sandbox.bank import BankSettings, create_bank, public_jwks, registration
from sandbox.bank.accounts import Accounts, NumberRefused, normalize_number
from sandbox.party.visits import VISIT_LIFETIME, Visit
from tests.browser import assert_accessible, follow, screenshot
from tests.sandbox.provider import Provider, running

HANAKO = "1000117"
TARO = "1000224"
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture
def provider() -> Iterator[Provider]:
    with running() as started:
        yield started


class Customer:
    """A browser at the bank."""

    def __init__(self, settings: BankSettings, provider: Provider) -> None:
        self.client: FlaskClient = create_bank(settings).test_client()
        self.base = settings.base_url
        self.provider = provider
        self.last = ""

    def get(self, path: str) -> tuple[int, str]:
        response = self.client.get(path, base_url=self.base, follow_redirects=True)
        self.last = response.text
        return response.status_code, response.text

    def post(self, path: str, *, follow: bool = True, **fields: str) -> tuple[int, str]:
        token = re.search(r'name="form_token" value="([^"]+)"', self.last)
        fields.setdefault("form_token", token[1] if token else "")
        response = self.client.post(path, base_url=self.base, data=fields, follow_redirects=follow)
        self.last = response.text or self.last
        return response.status_code, response.headers.get("Location", response.text)

    def start(self) -> dict[str, str]:
        self.get("/")
        status, location = self.post("/login", follow=False)
        assert status == 303
        return dict(parse_qsl(urlsplit(location).query))

    def log_in(self) -> tuple[int, str]:
        return self.get(f"/callback?{self.provider.answer(self.start())}")

    def me(self) -> tuple[int, dict[str, object]]:
        response = self.client.get("/api/me", base_url=self.base)
        return response.status_code, response.get_json()


@pytest.fixture
def settings(tmp_path: Path, provider: Provider) -> BankSettings:
    made = BankSettings(state=tmp_path / "bank", issuer=provider.issuer)
    provider.client_jwks = public_jwks(made.state)
    return made


@pytest.fixture
def customer(settings: BankSettings, provider: Provider) -> Customer:
    return Customer(settings, provider)


def link(customer: Customer, number: str) -> tuple[int, str]:
    status, text = customer.post("/link", customer_number=number)
    if 'id="confirm-form"' in text:
        return customer.post("/link/confirm", customer_number=number)
    return status, text


def test_first_login_asks_for_the_customer_number_and_the_second_greets_by_it(
    customer: Customer, settings: BankSettings, provider: Provider
) -> None:
    _, text = customer.log_in()
    assert 'id="link-form"' in text
    assert customer.me()[1]["subject_known"] is False
    _, text = link(customer, HANAKO)
    assert "山田花子さま（お客さま番号 1000117）" in text
    again = Customer(settings, provider)
    _, text = again.log_in()
    assert 'id="greeting"' in text
    assert "1000117" in text
    status, document = again.me()
    assert status == 200
    assert document["subject_known"] is True
    assert document["customer_number"] == HANAKO
    claims = document["claims"]
    assert isinstance(claims, dict)
    assert (claims["sub"], claims["acr"], claims["aud"]) == (provider.subject, "aal3", "bank")


def test_the_authorization_request_carries_pkce_state_nonce_and_its_own_redirect_uri(customer: Customer) -> None:
    first, second = customer.start(), customer.start()
    assert first["code_challenge_method"] == "S256"
    assert first["redirect_uri"] == f"{customer.base}/callback"
    assert first["scope"] == "openid"
    for name in ("state", "nonce", "code_challenge"):
        assert len(first[name]) >= 20
        assert first[name] != second[name]


def test_each_client_assertion_is_new_short_lived_and_names_the_token_endpoint(
    customer: Customer, provider: Provider
) -> None:
    customer.log_in()
    customer.log_in()
    first, second = provider.seen_assertions
    assert first["jti"] != second["jti"]
    assert first["aud"] == f"{provider.issuer}/token"
    assert first["exp"] - first["iat"] <= 60


@pytest.mark.parametrize(
    "wrong",
    [
        {"iss": "http://127.0.0.1:1"},
        {"aud": "clinic"},
        {"aud": ["clinic", "shop"]},
        {"sub": None},
        {"nonce": "another"},
        {"nonce": None},
        {"acr": "aal2"},
        {"acr": None},
        {"auth_time": None},
        {"exp": 1_000_000_000},
        {"exp": None},
    ],
    ids=str,
)
def test_an_id_token_with_one_wrong_claim_logs_nobody_in(
    customer: Customer, provider: Provider, wrong: dict[str, object]
) -> None:
    provider.claims = wrong
    status, text = customer.log_in()
    assert status == 403
    assert 'id="error-code"' in text
    assert customer.me() == (401, {"error": "not_logged_in"})


def test_an_id_token_of_another_key_logs_nobody_in(customer: Customer, provider: Provider) -> None:
    provider.foreign_key = True
    assert customer.log_in()[0] == 403
    assert customer.me()[0] == 401


def test_a_refused_code_logs_nobody_in_and_shows_the_oauth_code(customer: Customer, provider: Provider) -> None:
    provider.token_status = 400
    status, text = customer.log_in()
    assert status == 403
    assert '<code id="error-code">invalid_grant</code>' in text


@pytest.mark.parametrize("redirect", [{"iss": "http://127.0.0.1:1"}, {"iss": ""}], ids=["another", "none"])
def test_an_answer_without_the_brokers_iss_is_refused_before_the_code_is_sent(
    customer: Customer, provider: Provider, redirect: dict[str, str]
) -> None:
    provider.redirect = redirect
    status, text = customer.log_in()
    assert status == 403
    assert "wrong_issuer" in text
    assert provider.seen_assertions == []


def test_an_answer_in_a_browser_that_did_not_start_the_login_is_refused(
    customer: Customer, settings: BankSettings, provider: Provider
) -> None:
    query = provider.answer(customer.start())
    stranger = Customer(settings, provider)
    status, text = stranger.get(f"/callback?{query}")
    assert status == 403
    assert "login_not_started" in text
    assert provider.seen_assertions == []


def test_an_answer_works_once(customer: Customer, provider: Provider) -> None:
    query = provider.answer(customer.start())
    assert 'id="link-form"' in customer.get(f"/callback?{query}")[1]
    assert customer.get(f"/callback?{query}")[0] == 403


def test_metadata_of_another_issuer_are_refused(customer: Customer, provider: Provider) -> None:
    provider.metadata = {"issuer": "http://127.0.0.1:1"}
    customer.get("/")
    status, text = customer.post("/login")
    assert status == 503
    assert "broker_unavailable" in text


def test_a_cancelled_login_says_so_and_offers_another(customer: Customer, provider: Provider) -> None:
    provider.redirect = {"code": "", "error": "access_denied"}
    status, text = customer.log_in()
    assert status == 403
    assert "ログインしませんでした" in text
    assert "取りやめられました" in text
    assert 'id="login"' in text
    assert '<code id="error-code">access_denied</code>' in text


def test_markup_in_an_error_code_reaches_no_page(customer: Customer, provider: Provider) -> None:
    provider.redirect = {"code": "", "error": "<script>alert(1)</script>"}
    _, text = customer.log_in()
    assert "<script" not in text
    assert "unknown_error" in text


@pytest.fixture
def other(customer: Customer, settings: BankSettings, provider: Provider) -> Customer:
    """A second person, logged in after hanako has taken her number."""
    customer.log_in()
    link(customer, HANAKO)
    provider.subject = "subject-of-taro"
    second = Customer(settings, provider)
    second.log_in()
    return second


def test_a_customer_number_is_bound_once_and_a_login_to_one_number(other: Customer) -> None:
    status, text = link(other, HANAKO)
    assert status == 400
    assert "使えません" in text
    assert other.me()[1]["subject_known"] is False
    link(other, TARO)
    assert other.me()[1]["customer_number"] == TARO
    other.get("/")
    other.post("/link/confirm", customer_number="1000331")
    assert other.me()[1]["customer_number"] == TARO


def test_an_unknown_number_and_a_taken_one_get_the_same_answer(other: Customer) -> None:
    (status, taken), (_, unknown) = link(other, HANAKO), link(other, "9999999")
    assert status == 400
    assert taken.replace(HANAKO, "") == unknown.replace("9999999", "")


def test_a_mistyped_number_comes_back_to_be_mended_and_cannot_carry_markup(customer: Customer) -> None:
    customer.log_in()
    assert 'value="12345"' in link(customer, "12345")[1]
    assert "<script" not in link(customer, '"><script>x')[1]


@pytest.mark.parametrize("path", ["/login", "/link", "/link/confirm", "/logout"])
def test_a_form_without_this_sessions_token_is_refused(customer: Customer, path: str) -> None:
    customer.get("/")
    assert customer.post(path, form_token="")[0] == 403
    assert customer.post(path, form_token="x" * 32)[0] == 403
    assert customer.post(path, form_token="ｘ")[0] == 403


def test_logout_ends_the_visit_and_hands_the_id_token_to_the_broker(customer: Customer, provider: Provider) -> None:
    customer.log_in()
    link(customer, HANAKO)
    status, location = customer.post("/logout", follow=False)
    query = dict(parse_qsl(urlsplit(location).query))
    assert status == 303
    assert location.startswith(f"{provider.issuer}/logout?")
    assert query["post_logout_redirect_uri"] == f"{customer.base}/signed-out"
    assert query["id_token_hint"].count(".") == 2
    assert customer.me()[0] == 401
    assert 'id="signed-out"' in customer.get(f"/signed-out?state={query['state']}")[1]


def test_a_stray_visit_to_the_logout_page_ends_no_login_under_way(customer: Customer, provider: Provider) -> None:
    query = provider.answer(customer.start())
    customer.get("/signed-out?state=x")
    assert 'id="link-form"' in customer.get(f"/callback?{query}")[1]


def test_a_new_login_takes_nothing_over_from_the_one_before(customer: Customer, provider: Provider) -> None:
    customer.log_in()
    link(customer, HANAKO)
    provider.subject = "subject-of-taro"
    _, text = customer.log_in()
    assert 'id="link-form"' in text
    assert customer.me()[1]["subject_known"] is False


def test_many_abandoned_logins_do_not_outgrow_the_cookie(customer: Customer) -> None:
    for _ in range(12):
        customer.start()
    cookie = customer.client.get_cookie("sample-bank-session", domain="127.0.0.2")
    assert cookie is not None
    assert len(cookie.value) < 4000


def test_pages_stand_in_both_languages_and_follow_the_switch(customer: Customer) -> None:
    assert "みほん銀行へようこそ" in customer.get("/")[1]
    assert "Welcome to Mihon Bank" in customer.get("/?lang=en")[1]
    text = customer.get("/")[1]
    assert '<html lang="en">' in text
    assert "Log in with MyNumber card" in text


def test_every_japanese_text_has_its_english(settings: BankSettings) -> None:
    from babel.messages.extract import extract_from_dir
    from babel.messages.pofile import read_po

    folder = Path(__file__).parents[2] / "sandbox" / "bank"
    used = {
        row[2]
        for row in extract_from_dir(folder, [("**.py", "python"), ("**/templates/**.html", "jinja2")])
        if isinstance(row[2], str)
    }
    with (folder / "translations/en/LC_MESSAGES/messages.po").open("rb") as file:
        translated = {message.id for message in read_po(file) if message.id and message.string}
    assert used == translated


def test_no_page_may_be_framed_scripted_or_kept(customer: Customer, provider: Provider) -> None:
    for path in ("/", "/signed-out", "/callback", "/nowhere"):
        response = customer.client.get(path, base_url=customer.base)
        policy = response.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert f"form-action 'self' {provider.issuer}" in policy
        assert response.headers["Cache-Control"] == "no-store"


def test_a_foreign_host_name_is_refused(customer: Customer) -> None:
    assert customer.client.get("/", base_url="http://evil.example").status_code == 400


def test_keys_and_books_are_private_files_and_survive_a_restart(settings: BankSettings) -> None:
    create_bank(settings)
    before = public_jwks(settings.state)
    create_bank(settings)
    assert public_jwks(settings.state) == before
    assert "d" not in before["keys"][0]
    for name in ("client-key.pem", "cookie-key"):
        assert stat.S_IMODE((settings.state / name).stat().st_mode) == 0o600
    assert stat.S_IMODE(settings.state.stat().st_mode) == 0o700


def test_the_registration_is_what_the_broker_asks_for(settings: BankSettings) -> None:
    document = registration(settings.base_url, public_jwks(settings.state))
    assert document["redirect_uris"] == ["http://127.0.0.2:8001/callback"]
    assert document["post_logout_redirect_uris"] == ["http://127.0.0.2:8001/signed-out"]
    assert document["jwks"]["keys"][0]["crv"] == "P-256"
    assert (document["client_id"], document["profile"], document["vetted"]) == ("bank", "oidc", True)


def test_a_visit_ends_by_itself(tmp_path: Path) -> None:
    accounts = Accounts(tmp_path / "bank.db")
    key = accounts.open_visit(Visit(claims={"iss": "i", "sub": "s"}, id_token="t"), now=NOW)
    assert accounts.visit(key, now=NOW + VISIT_LIFETIME - timedelta(seconds=1)) is not None
    assert accounts.visit(key, now=NOW + VISIT_LIFETIME) is None
    assert key.encode() not in (tmp_path / "bank.db").read_bytes()


def test_of_two_people_who_claim_one_number_at_once_exactly_one_gets_it(tmp_path: Path) -> None:
    accounts = Accounts(tmp_path / "bank.db")
    start, outcomes = threading.Barrier(8), []

    def claim(number: int) -> None:
        start.wait()
        try:
            accounts.bind(("issuer", f"subject-{number}"), HANAKO, now=NOW)
            outcomes.append(number)
        except NumberRefused:
            pass

    threads = [threading.Thread(target=claim, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 1
    found = accounts.customer_of(("issuer", f"subject-{outcomes[0]}"))
    assert found is not None
    assert found.number == HANAKO


@pytest.mark.parametrize(
    ("typed", "number"),
    [
        ("1000117", "1000117"),
        (" １０００１１７ ", "1000117"),
        ("100-0117", "1000117"),
        ("100011", None),
        ("10001170", None),
        ("abcdefg", None),
        ("¹²³4567", "1234567"),
        ("", None),
    ],
)
def test_a_number_is_read_as_people_type_it(typed: str, number: str | None) -> None:
    assert normalize_number(typed) == number


@given(st.text(max_size=200))
def test_any_text_gives_seven_digits_or_nothing(typed: str) -> None:
    number = normalize_number(typed)
    assert number is None or re.fullmatch(r"[0-9]{7}", number)


def test_every_page_is_accessible_in_both_languages(
    settings: BankSettings, provider: Provider, new_page: Callable[..., Page]
) -> None:
    server = make_server("127.0.0.2", 0, Flask("not yet"), threaded=True)
    base = f"http://127.0.0.2:{server.port}"
    server.app = create_bank(BankSettings(state=settings.state, issuer=provider.issuer, base_url=base))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        for tongue in ("ja", "en"):
            provider.subject = f"subject-of-{tongue}"
            _look_at_every_page(new_page(), base, tongue)
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()


def _look_at_every_page(page: Page, base: str, tongue: str) -> None:
    def look(name: str) -> None:
        assert page.locator("html").get_attribute("lang") == tongue
        assert_accessible(page)
        screenshot(page, f"bank-{name}-{tongue}")

    page.goto(f"{base}/?lang={tongue}")
    look("welcome")
    follow(page.locator("#login"))
    page.wait_for_selector("#link-form")
    look("link")
    page.fill("#customer-number", "0000000")
    follow(page.locator("#link"))
    page.wait_for_selector("#link-error")
    look("link-refused")
    page.fill("#customer-number", {"ja": HANAKO, "en": "1000448"}[tongue])
    follow(page.locator("#link"))
    page.wait_for_selector("#confirm-form")
    look("confirm")
    follow(page.locator("#confirm"))
    page.wait_for_selector("#greeting")
    look("greeting")
    page.goto(f"{base}/callback?state=none")
    page.wait_for_selector("#error-code")
    look("error")
    page.goto(f"{base}/signed-out")
    look("signed-out")
