"""Every page in a real browser, in both languages: what a person sees, and what axe says of it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from urllib.parse import parse_qsl, urlencode

import pytest
from playwright.sync_api import Page, Route, expect

from broker.oidc.client import AuthMethod, GrantType
from broker.oidc.data_use import DataUse
from tests.broker.web import prover
from tests.broker.web.house import AGENT, BANK, House, transaction_of
from tests.broker.web.linkhouse import service
from tests.broker.web.program import register
from tests.broker.web.pushing import pushed
from tests.broker.web.signing import fingerprint, notary, pdf, signed_by_card, text
from tests.broker.web.test_web_proofing import card, shop
from tests.browser import PHONE, assert_accessible, follow, screen, screenshot


def _open_login(page: Page, house: House, **changes: str | None) -> None:
    page.context.route(f"{BANK}/**", lambda route: route.fulfill(status=204))  # stay on the page before the bank
    page.goto(f"{house.issuer}/authorize?{urlencode(house.parameters(**changes))}")


def _read_card(page: Page, house: House, resident: str = "hanako") -> str:
    """What the agent does while the browser is at its page; answers where it sends the browser."""
    request = page.locator("#card-form input[name=request]").get_attribute("value")
    assert request is not None
    answered = house.post_answer(transaction_of(request), {"answer": house.sign(request, resident)})
    return answered.headers["Location"]


@pytest.mark.parametrize("language", ["ja", "en"])
def test_every_page_of_a_login_is_accessible(
    served: House,
    new_page: Callable[..., Page],
    language: str,
) -> None:
    page = new_page(locale={"ja": "ja-JP", "en": "en-GB"}[language])
    _open_login(page, served)
    assert page.locator("html").get_attribute("lang") == language
    assert page.locator("#card-submit").is_visible()
    assert_accessible(page)
    screen(page, "login", language)
    page.goto(_read_card(page, served))
    assert page.locator("html").get_attribute("lang") == language
    approve, deny = (page.locator(f"#{name}").bounding_box() for name in ("approve", "deny"))
    assert approve is not None
    assert deny is not None
    assert (approve["width"], approve["height"]) == (deny["width"], deny["height"])
    assert_accessible(page)
    screen(page, "consent-first", language)
    follow(page.locator("#approve"))
    page.locator("#continue-link").wait_for()
    assert_accessible(page)
    screen(page, "return", language)
    page.goto(f"{served.issuer}/logout")
    assert_accessible(page)
    screen(page, "logout", language)
    follow(page.locator("#logout"))
    page.locator("#logged-out").wait_for()
    assert_accessible(page)
    screen(page, "logged-out", language)
    page.goto(f"{served.issuer}/logout")
    page.locator("#no-session").wait_for()
    assert_accessible(page)
    screen(page, "no-session", language)


@pytest.mark.parametrize("language", ["ja", "en"])
def test_every_page_of_a_proof_is_accessible(served: House, new_page: Callable[..., Page], language: str) -> None:
    program = shop(
        served,
        data_use=(
            DataUse(item="address", purpose="口座開設の届け出のため", retention="口座を解約してから7年", optional=True),
            DataUse(item="birthdate", purpose="年齢の確認", retention="1年", purpose_en="Age check", optional=True),
        ),
    )
    claims = json.dumps({"userinfo": {"name": {"essential": True, "purpose": "口座の名義"}, "age_over_20": None}})
    request_uri = pushed(program, scope="openid name address birthdate gender", claims=claims)
    page = new_page(locale={"ja": "ja-JP", "en": "en-GB"}[language])
    page.context.route(f"{BANK}/**", lambda route: route.fulfill(status=204))
    query = urlencode({"client_id": program.client.client_id, "request_uri": request_uri})
    page.goto(f"{served.issuer}/authorize?{query}")
    assert page.locator("html").get_attribute("lang") == language
    boxes = [page.locator(f"#item-{name}") for name in ("address", "birthdate", "gender")]
    assert not any(box.is_checked() for box in boxes)
    assert_accessible(page)
    screen(page, "release", language)
    for box in boxes[:2]:
        box.check()
    follow(page.locator("#agree"))
    page.locator("#application summary").click()
    assert_accessible(page)
    screen(page, "application", language)
    request = page.locator("#card-form input[name=request]").get_attribute("value")
    assert request is not None
    sealed = prover.answer(request, card(served, "hikkoshi"))
    refused = served.post_answer(transaction_of(request), {"answer": sealed}, language=language)
    page.set_content(refused.text)
    assert page.locator("#error-code").inner_text() == "AUTH-042"
    sealed = prover.answer(request, card(served, "hanako"))
    page.goto(served.post_answer(transaction_of(request), {"answer": sealed}).headers["Location"])
    page.locator("#continue-link").wait_for()
    assert_accessible(page)


@pytest.mark.parametrize("language", ["ja", "en"])
def test_every_page_of_a_signature_is_accessible(
    served: House,
    new_page: Callable[..., Page],
    language: str,
) -> None:
    office = notary(served)
    name = office.ordered(pdf("賃貸借契約書.pdf"), text("重要事項の説明への同意"), fingerprint("図面"))
    page = new_page(locale={"ja": "ja-JP", "en": "en-GB"}[language])
    _open_login(page, served, client_id="notary", scope="openid sign", sign_transaction_id=name)
    assert page.locator("html").get_attribute("lang") == language
    assert page.locator("#text-1").is_visible()
    assert page.locator("#unseen-2").is_visible()
    assert_accessible(page)
    screen(page, "sign", language)
    of_document = re.compile(re.escape(f"{served.issuer}/login/") + r"[^/]+/documents/0\?")
    with (
        page.context.expect_page() as opened,
        page.context.expect_event("response", lambda answer: of_document.match(answer.url)) as shown,
    ):
        page.locator("#open-0").click()
    assert shown.value.headers["content-type"] == "application/pdf"
    opened.value.close()
    answered = signed_by_card(served, page.locator("#card-form input[name=request]").get_attribute("value") or "")
    page.goto(answered.headers["Location"])
    follow(page.locator("#approve"))
    page.locator("#copies").wait_for()
    assert_accessible(page)
    screen(page, "signed", language)
    with page.context.expect_page() as tab:
        page.locator("#copies-link").click()
    copies = tab.value
    copies.locator("#copy-0").wait_for()
    assert_accessible(copies)
    screen(copies, "copies", language)
    with copies.expect_download() as kept:
        copies.locator("#copy-0").click()
    assert kept.value.suggested_filename == "賃貸借契約書.pdf"


@pytest.mark.parametrize("language", ["ja", "en"])
def test_every_page_of_an_approval_for_another_device_is_accessible(
    served: House,
    new_page: Callable[..., Page],
    language: str,
) -> None:
    television = register(
        served,
        "television",
        application_type="native",
        auth_method=AuthMethod.NONE,
        redirect_uris=(),
        client_uri="https://tv.example/",
        vetted=False,
        grant_types=frozenset({GrantType.DEVICE_CODE}),
    )
    begun = television.post(
        "/device_authorization", authenticated=False, client_id="television", scope="openid"
    ).get_json()
    page = new_page(locale={"ja": "ja-JP", "en": "en-GB"}[language])
    page.goto(f"{served.issuer}/device")
    assert page.locator("html").get_attribute("lang") == language
    field = page.locator("#user-code")
    field.fill("bbbb bbbb")
    follow(field, key="Enter")
    page.locator("#error").wait_for()
    assert_accessible(page)
    screen(page, "device-wrong", language)
    page.goto(begun["verification_uri_complete"])
    assert_accessible(page)
    screen(page, "device", language)
    follow(page.locator("#device-submit"), key="Enter")
    page.locator("#shown-code").wait_for()
    assert page.locator("html").get_attribute("lang") == language
    go_on, deny = (page.locator(f"#device-{name}").bounding_box() for name in ("continue", "deny"))
    assert go_on is not None
    assert deny is not None
    assert (go_on["width"], go_on["height"]) == (deny["width"], deny["height"])
    assert_accessible(page)
    screen(page, "device-confirm", language)
    page.locator("#number").fill(begun["user_code"][-2:])
    follow(page.locator("#number"), key="Enter")
    page.locator("#card-submit").wait_for()
    page.goto(_read_card(page, served))
    page.locator("#elsewhere").wait_for()
    assert_accessible(page)
    follow(page.locator("#approve"), key="Enter")
    page.locator("#elsewhere-title").wait_for()
    assert_accessible(page)
    screen(page, "device-done", language)


@pytest.mark.parametrize("language", ["ja", "en"])
def test_every_page_of_a_login_that_goes_elsewhere_is_accessible(
    served: House, new_page: Callable[..., Page], language: str
) -> None:
    register(served, "shop", grant_types=frozenset({GrantType.AUTHORIZATION_CODE, GrantType.DEVICE_CODE}))
    page = new_page(locale={"ja": "ja-JP", "en": "en-GB"}[language])
    _open_login(page, served, client_id="shop")
    assert_accessible(page)
    follow(page.locator("#choose"), key="Enter")
    page.locator("#elsewhere").wait_for()
    here, there = (page.locator(f"#{name}").bounding_box() for name in ("here", "elsewhere"))
    assert here is not None
    assert there is not None
    assert (here["width"], here["height"]) == (there["width"], there["height"])
    assert page.locator("html").get_attribute("lang") == language
    assert_accessible(page)
    screen(page, "choose", language)
    follow(page.locator("#elsewhere"), key="Enter")
    page.locator("#handover-code").wait_for()
    assert page.locator("html").get_attribute("lang") == language
    assert_accessible(page)
    screen(page, "handover", language)
    follow(page.locator("#here"), key="Enter")
    page.locator("#card-submit").wait_for()


@pytest.mark.parametrize("language", ["ja", "en"])
def test_every_kind_of_error_page_is_accessible(
    served: House,
    new_page: Callable[..., Page],
    language: str,
) -> None:
    page = new_page(locale={"ja": "ja-JP", "en": "en-GB"}[language])
    _open_login(page, served, client_id="clinic")
    assert page.locator("#unvetted").is_visible()
    assert_accessible(page)
    screen(page, "login-unvetted", language)
    request = page.locator("#card-form input[name=request]").get_attribute("value") or ""
    page.goto(
        served.post_answer(transaction_of(request), {"error": "CARD-003"}).headers["Location"], wait_until="commit"
    )
    assert page.locator("#agent-code").inner_text() == "CARD-003"
    assert_accessible(page)
    screen(page, "error-withheld", language)
    follow(page.locator("#retry"))
    page.locator("#card-submit").wait_for()
    page.goto(f"{served.issuer}/authorize?client_id=nobody")
    assert page.locator("#error-code").inner_text() == "OAUTH-003"
    assert_accessible(page)
    screen(page, "error-unknown-client", language)


@pytest.mark.parametrize("language", ["ja", "en"])
def test_a_revoked_card_is_told_on_a_page_with_a_way_back(
    served: House,
    new_page: Callable[..., Page],
    language: str,
) -> None:
    """The agent's own page posts the answer, as it does in life; its origin is the agent's."""
    page = new_page(locale={"ja": "ja-JP", "en": "en-GB"}[language])
    _open_login(page, served)
    request = page.locator("#card-form input[name=request]").get_attribute("value") or ""
    form = (
        f'<form method="post" action="{served.issuer}/agent/cb/{transaction_of(request)}">'
        f'<input type="hidden" name="answer" value="{served.sign(request, "shikko")}">'
        '<button id="go">go</button></form>'
    )
    page.context.route(f"{AGENT}/**", lambda route: route.fulfill(body=form, content_type="text/html"))
    follow(page.locator("#card-submit"))
    follow(page.locator("#go"))
    page.locator("#error-code").wait_for()
    assert page.locator("#error-code").inner_text() == "AUTH-014"
    assert page.locator("#pin-try").is_visible()
    assert_accessible(page)
    screen(page, "error-revoked", language)
    follow(page.locator("#back-to-service"))
    page.locator("#continue-link").wait_for()
    assert "error=access_denied" in (page.locator("#continue-link").get_attribute("href") or "")
    assert_accessible(page)
    screen(page, "return-refused", language)


def test_a_login_works_without_scripts_and_by_keyboard_alone(
    served: House,
    new_page: Callable[..., Page],
) -> None:
    page = new_page(java_script_enabled=False)
    _open_login(page, served)
    page.goto(_read_card(page, served))
    page.locator("#approve").focus()
    page.keyboard.press("Enter")
    page.locator("#continue-link").wait_for()
    assert f"{BANK}/callback?code=" in (page.locator("#continue-link").get_attribute("href") or "")


@pytest.mark.parametrize("scripts", ["on", "off", "lost"])
def test_an_answer_is_posted_by_script_or_by_its_button(
    served: House, new_page: Callable[..., Page], scripts: str
) -> None:
    """The page's policy must let the form go to the client, and the client must be told its true origin."""
    page = new_page(java_script_enabled=scripts != "off")
    posted: list[tuple[str, str | None, dict[str, str]]] = []

    def bank(route: Route) -> None:
        request = route.request
        fields = dict(parse_qsl(request.post_data or ""))
        posted.append((request.url, request.all_headers().get("origin"), fields))
        route.fulfill(status=204)  # stay on the page

    _open_login(page, served, response_mode="form_post")
    page.context.unroute(f"{BANK}/**")
    page.context.route(f"{BANK}/**", bank)
    if scripts == "lost":
        page.context.route("**/return.js", lambda route: route.abort())
    page.goto(_read_card(page, served))
    with page.expect_request(f"{BANK}/callback"):
        page.locator("#approve").click()
        expect(page.locator("#continue")).to_be_visible()
        if scripts == "lost":
            assert_accessible(page)
            screenshot(page, "broker-return-posted-ja")
        if scripts != "on":
            page.locator("#continue").click()
    expect(page.locator("#continue")).to_be_visible()
    ((url, origin, fields),) = posted
    assert (url, origin) == (f"{BANK}/callback", served.issuer)
    assert fields.keys() == {"code", "state", "iss"}


def test_the_browser_tells_the_agent_the_true_origin_of_the_login_page(
    served: House,
    browser_page: Page,
) -> None:
    """Referrer-Policy decides it: with no-referrer the agent would be told `Origin: null` and refuse."""
    origins: list[str | None] = []

    def agent(route: object) -> None:
        origins.append(route.request.all_headers().get("origin"))  # type: ignore[attr-defined]  # Playwright's Route
        route.fulfill(body="agent")  # type: ignore[attr-defined]  # Playwright's Route

    _open_login(browser_page, served)
    browser_page.context.route(f"{AGENT}/**", agent)
    follow(browser_page.locator("#card-submit"))
    browser_page.wait_for_url(f"{AGENT}/v1/sign")
    assert origins == [served.issuer]


@pytest.mark.parametrize("forced", ["none", "active"])
def test_the_login_page_serves_small_windows_and_forced_colours(
    served: House,
    new_page: Callable[..., Page],
    forced: str,
) -> None:
    page = new_page(viewport=PHONE, forced_colors=forced)
    _open_login(page, served)
    page.locator("#nothing-opened summary").click()
    for name in ("card-submit", "cancel", "language"):
        box = page.locator(f"#{name}").bounding_box()
        assert box is not None
        assert box["height"] >= 48, name
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= PHONE["width"], name
    size, line = page.evaluate(
        "(() => { const s = getComputedStyle(document.querySelector('main p:not(.steps)'));"
        " return [parseFloat(s.fontSize), parseFloat(s.lineHeight)] })()"
    )
    assert size >= 17
    assert line / size >= 1.69
    screenshot(page, f"broker-login-phone-{forced}")


@pytest.mark.parametrize("language", ["ja", "en"])
def test_page_of_a_link_is_accessible_with_and_without_a_conflict(
    served: House, new_page: Callable[..., Page], language: str
) -> None:
    bank = service(served, "bank")
    page = new_page(locale={"ja": "ja-JP", "en": "en-GB"}[language])
    for resident, conflict in (("hanako", False), ("taro", True)):
        asked = bank.ask("0012345", label="普通預金の口座")
        changes = {"client_id": bank.client_id, "scope": "openid linked_id", "link_request": asked["link_request"]}
        _open_login(page, served, **changes)
        page.goto(_read_card(page, served, resident))
        page.locator("#link-shown").wait_for()
        assert page.locator("html").get_attribute("lang") == language
        assert page.locator("#link-conflict").is_visible() is conflict
        assert_accessible(page)
        screen(page, "link-conflict" if conflict else "link", language)
        page.goto(_read_card(page, served, resident))
        page.locator("#continue-link").wait_for()


@pytest.mark.parametrize("language", ["ja", "en"])
@pytest.mark.parametrize("name", ["help", "accessibility", "reading"])
def test_pages_of_help_are_accessible_with_readings_too(
    served: House, new_page: Callable[..., Page], name: str, language: str
) -> None:
    page = new_page(locale={"ja": "ja-JP", "en": "en-GB"}[language])
    page.goto(f"{served.issuer}/{name}")
    assert page.locator("html").get_attribute("lang") == language
    assert_accessible(page)
    screen(page, name, language)
    if language == "ja":
        follow(page.locator("#furigana"))
        page.wait_for_url("**/*furigana=on")
        assert_accessible(page)
        if name == "help":
            screen(page, "help-furigana", language)


@pytest.mark.parametrize("language", ["ja", "en"])
def test_pages_are_printed_without_what_only_a_screen_can_do(
    served: House, new_page: Callable[..., Page], language: str
) -> None:
    page = new_page(locale={"ja": "ja-JP", "en": "en-GB"}[language])
    page.goto(f"{served.issuer}/help")
    page.emulate_media(media="print")
    assert not page.locator("#language").is_visible()
    assert page.locator("#readers").is_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    paper = page.pdf(format="A4")
    assert paper.startswith(b"%PDF-")
    assert len(paper) > 10_000


def test_nothing_is_loaded_from_anybody_else(served: House, new_page: Callable[..., Page]) -> None:
    page = new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for path in ("/help", "/accessibility", "/device", "/me", "/lost-card", "/logout", "/nothing"):
        page.goto(f"{served.issuer}{path}")
    assert len(asked) > 7
    assert [url for url in asked if not url.startswith(f"{served.issuer}/")] == []
