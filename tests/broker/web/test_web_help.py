"""Help, the accessibility statement, who runs the service, readings above words, and how much goes over the wire."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.web import furigana
from broker.web.settings import Operator, WebSettings
from tests.broker.web.house import AGENT, BANK, House, Page
from tests.broker.web.test_web_pages import pages

MOST = 30_000
"""Octets of a page with its style sheets and pictures, as they go over the wire the first time."""
OPERATOR = Operator(
    name="<b>さくら電子認証</b>",
    name_en="Sakura Authentication",
    phone="0120-000-000",
    mail="help@broker.example",
    hours="平日9時から17時",
    hours_en="Weekdays 9 to 17",
    procedures_url="https://procedures.example/",
)


def tell(house: House, **members: object) -> None:
    """What the operator set."""
    values = {"secure": False, **members}
    house.app.extensions["broker.web"] = WebSettings(**values)  # type: ignore[arg-type]  # as each test gives them


@pytest.mark.parametrize("language", ["ja", "en"])
@pytest.mark.parametrize("path", ["/help", "/accessibility", "/reading"])
def test_help_speaks_both_languages_and_leads_nowhere_else(house: House, path: str, language: str) -> None:
    page = house.get(house.browser(), f"{path}?ui_locales={language}")
    told = Page(page.text)
    assert page.status_code == 200
    assert told.lang == language
    body = re.sub(r'<a id="language".*?</a>', "", page.text)
    assert (re.search(r"[\u3040-\u30ff\u4e00-\u9fff]", body) is None) is (language == "en")
    assert {"help", "accessibility", "language"} <= told.links.keys()


def test_every_page_leads_to_help_in_the_same_place_and_to_the_other_language(house: House) -> None:
    for name, page in pages(house, house.browser()):
        told = Page(page.text)
        assert told.links["help"] == "/help", name
        assert told.links["accessibility"] == "/accessibility", name
        assert re.fullmatch(r"/[a-zA-Z0-9/_-]*\?ui_locales=en", told.links["language"]), name
        assert re.fullmatch(r"/[a-zA-Z0-9/_-]*\?furigana=on", told.links["furigana"]), name


def test_the_operator_is_named_and_can_be_reached_in_the_language_of_the_page(house: House) -> None:
    tell(house, operator=OPERATOR, help_url="https://help.example/")
    told = Page(house.get(house.browser(), "/help").text)
    assert told.texts["operator"] == "<b>さくら電子認証</b>"
    assert told.texts["contact-hours"] == "平日9時から17時"
    assert told.links["contact-phone"] == "tel:0120-000-000"
    assert told.links["contact-mail"] == "mailto:help@broker.example"
    assert told.links["procedures"] == "https://procedures.example/"
    assert told.links["more-help"] == "https://help.example/"
    english = Page(house.get(house.browser(), "/accessibility?ui_locales=en").text)
    assert english.texts["operator"] == "Sakura Authentication"
    assert english.texts["contact-hours"] == "Weekdays 9 to 17"
    assert "Sakura" in english.texts["run-by"]


def test_without_a_help_desk_the_page_says_so(house: House) -> None:
    tell(house)
    told = Page(house.get(house.browser(), "/help").text)
    assert "no-contact" in told.texts
    assert "run-by" not in told.texts


def test_readings_are_chosen_by_a_link_and_stay_until_taken_away(house: House) -> None:
    browser = house.browser()
    plain = house.get(browser, "/help")
    assert "<ruby>" not in plain.text
    ruby = house.get(browser, Page(plain.text).links["furigana"])
    assert "<ruby>暗証番号<rp>（</rp><rt>あんしょうばんごう</rt><rp>）</rp></ruby>" in ruby.text
    assert "<ruby>" in house.login_page(browser).text
    assert "<ruby>" not in house.get(browser, "/help?ui_locales=en").text
    off = house.get(browser, "/help?ui_locales=ja&furigana=off")
    assert "<ruby>" not in off.text
    assert "<ruby>" not in house.get(browser, "/help").text


def test_readings_touch_neither_markup_nor_what_cannot_hold_them(house: House) -> None:
    browser = house.browser()
    house.get(browser, "/help?furigana=on")
    for name, page in pages(house, browser):
        assert not re.search(r"<[^>]*<", page.text), name
        assert not re.search(r"<title>[^<]*<ruby", page.text), name
        told = re.sub(r"<rp>.*?</rp>|<rt>.*?</rt>|</?ruby>", "", page.text)
        assert "<r" not in told, name
    untouched = '<title>窓口</title><pre>同意</pre><option>失効</option><img alt="暗証番号"><p>'
    assert furigana.add(f"{untouched}窓口</p>").startswith(untouched)


@given(st.text(alphabet="暗証番号利用者証明用窓口a<>/p "))
def test_readings_add_words_and_lose_none(text: str) -> None:
    escaped = text.replace("<", "&lt;").replace(">", "&gt;")
    added = furigana.add(f"<p>{escaped}</p>")
    assert re.sub(r"<rp>.*?</rp>|<rt>.*?</rt>|</?ruby>", "", added) == f"<p>{escaped}</p>"


def test_a_page_with_all_it_loads_is_light(house: House) -> None:
    browser = house.browser()
    browser.environ_base["HTTP_ACCEPT_ENCODING"] = "gzip, deflate, br"
    weights = {}
    extra = ((path, house.get(browser, path)) for path in ("/help", "/accessibility", "/reading", "/device", "/me"))
    for name, page in [*pages(house, browser), *extra]:
        weight = len(page.get_data())
        for address in re.findall(r'(?:<link[^>]* href|<img[^>]* src|<script[^>]* src)="([^"]+)"', page.text):
            assert address.startswith("/assets/"), (name, address)
            weight += len(house.get(browser, address).get_data())
        weights[name] = weight
    assert {name: weight for name, weight in weights.items() if weight > MOST} == {}
    assert min(weights.values()) > 2_000


def test_style_sheets_are_compressed_where_the_browser_takes_it_and_the_same_then(house: House) -> None:
    browser = house.browser()
    plain = browser.get("/assets/broker.css", base_url=house.issuer, buffered=True)
    assert "Content-Encoding" not in plain.headers
    packed = browser.get(
        "/assets/broker.css", base_url=house.issuer, headers={"Accept-Encoding": "gzip"}, buffered=True
    )
    assert packed.headers["Content-Encoding"] == "gzip"
    assert packed.headers["Vary"] == "Accept-Encoding"
    assert len(packed.get_data()) < len(plain.get_data()) / 2
    tag = packed.headers["ETag"]
    known = {"Accept-Encoding": "gzip", "If-None-Match": tag}
    again = browser.get("/assets/broker.css", base_url=house.issuer, headers=known, buffered=True)
    assert again.status_code == 304
    assert not again.get_data()


def test_known_addresses_are_the_only_ones(house: House) -> None:
    """Nothing on the pages of help is loaded from, or sent to, anybody else."""
    for path in ("/help", "/accessibility", "/reading"):
        for address in Page(house.get(house.browser(), path).text).addresses:
            assert address.startswith(("/", "#", "https://help.example/")), address
            assert not address.startswith((AGENT, BANK))
