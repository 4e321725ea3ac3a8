"""Whatever a client or a person may have chosen stays text on every page of the resident, in files, and on paper."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from broker.ids import ClientID
from broker.oidc.data_use import DataUse
from tests.broker.web.house import House, Page
from tests.broker.web.my_page import add_service, open_page, press
from tests.broker.web.test_web_me import log_in

CORPUS = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onfocus='alert(1)' autofocus='",
    "{{7*7}}{% raw %}",
    "</title></style></textarea><svg onload=alert(1)>",
    "javascript:alert(1)//%0aalert(1)",
    "&lt;b&gt;&#60;b&#62;",
    "%(name)s %s {0} ${7*7}",
    '=HYPERLINK("http://evil.example")',
    "@SUM(1+1)*cmd|' /C calc'!A0",
    "＝１＋１",
    "𠮷野家\U0001f4a9﷽",
)


def pages(house: House, browser: FlaskClient) -> Iterator[tuple[str, TestResponse]]:
    """Every page of the resident, and the ones that a form leads to."""
    for path in (
        "/me",
        "/me/services",
        "/me/consents",
        "/me/history",
        "/me/attributes",
        "/me/export",
        "/me/print",
        "/me/delete",
        "/me/recovery-codes",
        "/recovery",
        "/lost-card",
    ):
        yield path, house.get(browser, path)
    history = house.get(browser, "/me/history?service=hostile")
    yield "history of one", history
    reported = re.search(r"/me/history/[0-9]+/report", history.text)
    assert reported is not None
    yield "report", house.get(browser, reported.group(0))
    yield "reported", press(house, browser, reported.group(0), "report-form")
    yield "withdrawn", press(house, browser, "/me/services", "withdraw-1")
    yield "withdrawn services", house.get(browser, "/me/services")
    yield "consent again", house.consent_page(house.browser(), client_id="hostile", scope="openid called language")


@pytest.mark.parametrize("text", CORPUS)
def test_hostile_text_in_every_stored_field_stays_text(house: House, text: str) -> None:
    use = DataUse(item="called", purpose=text, retention=text, optional=True)
    add_service(
        house,
        "hostile",
        name=text[:80],
        scope=frozenset({"openid", "called", "language"}),
        data_use=(use, replace(use, item="language", optional=False)),
    )
    browser = house.browser()
    open_page(house, browser, place="recovery")
    saved = press(house, browser, "/me/attributes", "form-called", decision="save", called=text[:40])
    assert saved.status_code == 303
    asked = house.consent_page(house.browser(), client_id="hostile", scope="openid called language")
    house.submit(house.browser(), asked, "consent-form", decision="deny")
    other = house.browser()
    consent = house.consent_page(other, client_id="hostile", scope="openid called language")
    house.submit(other, consent, "consent-form", decision="approve")
    seen = 0
    for name, page in (("consent", asked), *pages(house, browser)):
        assert page.status_code == 200, name
        body = page.text
        seen += text[:20] in " ".join(Page(body).texts.values())
        for dangerous in ("<script", "<svg", "<img src=x", "onfocus='", "{% raw", "</title></style>"):
            assert dangerous not in body.replace("{{7*7}}{% raw %}", ""), (name, dangerous)
        assert ">49<" not in body, name
        assert 'href="javascript:' not in body, name
    assert seen >= 1 or "&" in text or "%" in text
    table = house.get(browser, "/me/export/uses.csv").data.decode("utf-8-sig")
    assert not re.search(r'(^|,)"[=+\-@\uff1d\uff0b\uff0d\uff20]', table, re.MULTILINE)


def test_the_names_in_the_log_of_a_person_are_not_taken_for_a_format(house: House) -> None:
    add_service(house, scope=frozenset({"openid"}), data_use=())
    with house.ports.store.transaction() as tx:
        client = tx.clients.get(ClientID("curious"))
        assert client is not None
        tx.clients.change(replace(client, name="%(client)s 100%"), now=house.clock())
    log_in(house, house.browser())
    browser = house.browser()
    open_page(house, browser)
    assert "%(client)s 100%" in house.get(browser, "/me/history").text
