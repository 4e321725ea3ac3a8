"""What holds for every page: headers, languages, no foreign address, and no way in for markup."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import jwt
import pytest
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

import broker.web
from broker.errors import SettingsError
from broker.ids import ClientID
from tests.broker.web.house import AGENT, BANK, ISSUER, House, Page, transaction_of

WEB = Path(broker.web.__file__).parent
MARKUP = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onfocus='alert(1)",
    "{{7*7}}",
    "</title><b>",
)


def pages(house: House, browser: FlaskClient, **changes: str | None) -> Iterator[tuple[str, TestResponse]]:
    """Every HTML page the broker has, by name."""
    login = house.login_page(browser, **changes)
    yield "login", login
    request = Page(login.text).forms["card-form"]["fields"]["request"]
    withheld = house.post_answer(transaction_of(request), {"error": "CARD-003"})
    yield "withheld", house.get(browser, withheld.headers["Location"])
    yield "refused", house.post_answer(transaction_of(request), {"answer": "x"})
    yield "consent", house.consent_page(browser, **changes)
    consent = house.consent_page(browser, **changes)
    yield "return", house.submit(browser, consent, "consent-form", decision="approve")
    yield "returned with an error", house.authorize(browser, **{**changes, "scope": None})
    yield "logout", house.get(browser, "/logout")
    yield "logged out", house.submit(browser, house.get(browser, "/logout"), "logout-form")
    yield "no session", house.get(browser, "/logout")
    yield "no client", house.authorize(browser, client_id="nobody")
    yield "not found", house.get(browser, "/nothing/here")
    yield "not this way", house.get(browser, "/consent/" + "x" * 32)
    yield "wrong method", house.get(browser, "/logout/confirm")


def test_every_page_carries_the_headers_that_keep_it_to_itself(house: House) -> None:
    for name, page in pages(house, house.browser()):
        assert page.mimetype == "text/html", name
        assert page.headers["Cache-Control"] == "no-store", name
        assert page.headers["X-Content-Type-Options"] == "nosniff", name
        assert page.headers["Cross-Origin-Opener-Policy"] == "same-origin", name
        policy = dict(part.strip().partition(" ")[::2] for part in page.headers["Content-Security-Policy"].split(";"))
        assert policy["default-src"] == "'none'", name
        assert policy["frame-ancestors"] == "'none'", name
        assert policy["base-uri"] == "'none'", name
        assert "script-src" not in policy, name
        assert "unsafe" not in page.headers["Content-Security-Policy"], name
        assert policy["form-action"] == {"login": f"'self' {AGENT}"}.get(
            name, "'none'" if name.startswith("return") else "'self'"
        ), name
        assert page.headers["Referrer-Policy"] == {"login": "origin"}.get(
            name, "no-referrer" if name.startswith("return") else "same-origin"
        ), name


def test_no_page_reaches_for_a_third_party_or_carries_a_script(house: House) -> None:
    known = re.compile(rf"(?:/|{re.escape(AGENT)}/v1/sign|{re.escape(BANK)}/callback\?|https://help\.example/)")
    for name, page in pages(house, house.browser()):
        for address in Page(page.text).addresses:
            assert known.match(address), (name, address)
        assert "<script" not in page.text, name
        assert not re.search(r"\son[a-z]+=", page.text), name
        assert " style=" not in page.text, name


@pytest.mark.parametrize("language", ["ja", "en"])
def test_every_page_speaks_the_clients_language_throughout(house: House, language: str) -> None:
    with house.ports.store.transaction() as tx:
        client = tx.clients.get(ClientID("bank"))
        assert client is not None
        latin = replace(client, client_id=ClientID("latin"), name="Cherry Bank")
        tx.clients.add(latin, now=house.clock())
    house.keys["latin"] = house.keys["bank"]
    browser = house.browser()
    browser.environ_base["HTTP_ACCEPT_LANGUAGE"] = f"{language},fr;q=0.5"
    for name, page in pages(house, browser, client_id="latin", ui_locales=f"fr {language}"):
        if name == "refused":  # the agent's post comes from a browser of its own in these tests
            continue
        assert Page(page.text).lang == language, name
        assert page.headers["Content-Language"] == language, name
        body = re.sub(r'<a id="language".*?</a>', "", page.text)
        assert (re.search(r"[\u3040-\u30ff\u4e00-\u9fff]", body) is None) is (language == "en"), name


def test_a_person_may_change_the_language_and_it_stays(house: House) -> None:
    browser = house.browser()
    login = house.login_page(browser, ui_locales="ja")
    switch = Page(login.text).links["language"]
    english = house.get(browser, switch)
    assert Page(english.text).lang == "en"
    consent = house.get(browser, house.answer(english).headers["Location"])
    assert Page(consent.text).lang == "en"
    again = house.login_page(browser, ui_locales="ja")
    assert Page(again.text).lang == "en"


def test_the_agent_is_asked_in_the_language_of_the_page(house: House) -> None:
    page = Page(house.login_page(house.browser(), ui_locales="en-GB ja").text)
    request = jwt.decode(page.forms["card-form"]["fields"]["request"], options={"verify_signature": False})
    assert request["ui_locales"] == page.lang == "en"


@pytest.mark.parametrize("markup", MARKUP)
def test_markup_in_whatever_a_client_may_choose_stays_text(house: House, markup: str) -> None:
    with house.ports.store.transaction() as tx:
        client = tx.clients.get(ClientID("bank"))
        assert client is not None
        tx.clients.add(replace(client, client_id=ClientID("hostile"), name=markup), now=house.clock())
    house.keys["hostile"] = house.keys["bank"]
    for name, page in pages(house, house.browser(), client_id="hostile", state=markup, ui_locales=markup):
        assert markup not in page.text or markup == "{{7*7}}", name
        assert ">49<" not in page.text, name
        if name in {"login", "consent", "return"}:
            assert "hostile" not in page.text
            assert "49" not in Page(page.text).texts.get("main", "").replace("{{7*7}}", ""), name


def test_an_unvetted_client_is_shown_by_its_host_and_as_unvetted(house: House) -> None:
    page = house.login_page(house.browser(), client_id="clinic")
    assert "見本クリニック" not in page.text
    assert "127.0.0.2:8001" in Page(page.text).texts["main"]
    assert "未審査" in Page(page.text).texts["main"]
    assert "未審査" not in house.login_page(house.browser()).text


def test_the_login_page_renews_its_request_before_the_agent_would_refuse_it(house: House) -> None:
    browser = house.browser()
    location = house.authorize(browser).headers["Location"]
    first, second = house.get(browser, location), house.get(browser, location)
    assert int(first.headers["Refresh"]) < 300
    requests = [Page(page.text).forms["card-form"]["fields"]["request"] for page in (first, second)]
    assert requests[0] != requests[1]


def test_pages_are_light(house: House) -> None:
    browser = house.browser()
    page = house.login_page(browser)
    weight = len(page.data)
    for url in ("icon.svg", "design-tokens.css", "broker.css"):
        assert f"/assets/{url}" in Page(page.text).addresses
        with browser.get(f"/assets/{url}", base_url=ISSUER) as sheet:
            assert sheet.status_code == 200
            weight += len(sheet.data)
    assert weight < 30_000


def test_an_unforeseen_error_shows_nothing_of_itself(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise RuntimeError("canary-of-an-unforeseen-error")

    house.app.view_functions["logout.ask"] = fail  # type: ignore[assignment]  # a view that only fails
    browser = house.browser()
    page = house.get(browser, "/logout")
    seen = Page(page.text)
    assert (page.status_code, seen.texts["error-code"]) == (500, "BROKER-001")
    assert seen.texts["request-id"] == page.headers["X-Request-ID"]
    assert "canary" not in page.text
    assert "500" not in seen.texts["error"]


def test_start_is_refused_without_compiled_translations(
    house: House, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(broker.web, "_TRANSLATIONS", tmp_path)
    with pytest.raises(SettingsError, match="pybabel compile -d broker/web/translations"):
        broker.web.register(Flask("x"), house.ports, web=broker.web.WebSettings(secure=False))


def test_every_word_of_the_templates_has_its_english() -> None:
    used = {
        message
        for _, _, message, _, _ in extract_from_dir(
            WEB, method_map=[("templates/**.html", "jinja2"), ("**.py", "python")], keywords={"_": None}, options_map={}
        )
        if isinstance(message, str)
    }
    with (WEB / "translations/en/LC_MESSAGES/messages.po").open("rb") as file:
        english = {message.id: message.string for message in read_po(file, locale="en") if message.id}
    assert used == english.keys()
    assert all(english.values())
    for japanese, translated in english.items():
        assert set(re.findall(r"%\(\w+\)s", str(japanese))) == set(re.findall(r"%\(\w+\)s", str(translated))), japanese


def test_transport_security_is_demanded_under_https_only(make_house: Callable[..., House], house: House) -> None:
    assert "Strict-Transport-Security" not in house.get(house.browser(), "/logout").headers
    secure = make_house(secure=True)
    assert "max-age=31536000" in secure.get(secure.browser(), "/logout").headers["Strict-Transport-Security"]
