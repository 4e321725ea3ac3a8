"""Every act of a card leaves its line in the resident's history, with the service, the way and the outcome (R18)."""

from __future__ import annotations

import html
import re

from tests.broker.web.house import House, Page
from tests.broker.web.linkhouse import service
from tests.broker.web.my_page import add_service, open_page, press
from tests.broker.web.signing import notary, text
from tests.broker.web.test_web_proofing import prove, shop


def lines(page: str) -> list[tuple[str, str]]:
    """The service and the rest of each row, newest first, as a person reads them."""
    found = []
    for row in re.findall(r'<tr id="use-.*?</tr>', page, re.DOTALL):
        cells = [" ".join(html.unescape(re.sub("<[^>]+>", " ", cell)).split()) for cell in row.split("<td>")[2:]]
        found.append((cells[0], cells[1]))
    return found


def test_a_proof_a_signature_a_link_a_withdrawal_and_refusals_each_leave_their_line(house: House) -> None:
    add_service(house)
    browser = house.browser()
    prove(shop(house), scope="openid name")
    notary(house).whole(text())
    bank = service(house, "bank")
    bank.bind()
    hint = house.token(house.login(house.browser(), "taro")["code"]).get_json()["id_token"]
    refused = house.answer(house.login_page(house.browser(), id_token_hint=hint))
    house.get(house.browser(), refused.headers["Location"])  # another browser: nothing is released, nothing noted
    asking = house.browser()
    refused = house.answer(house.login_page(asking, id_token_hint=hint))
    house.get(asking, refused.headers["Location"])
    asking = house.browser()
    question = house.consent_page(asking, client_id="curious", scope="openid language")
    house.submit(asking, question, "consent-form", decision="deny")
    open_page(house, browser)
    services = house.get(browser, "/me/services").text
    mine = next(form for form in Page(services).forms if form.startswith("withdraw-"))
    press(house, browser, "/me/services", mine)
    found = lines(house.get(browser, "/me/history").text)
    for name, *words in (
        ("みほん証券", "本人情報の確認", "済み", "カードと暗証番号", "氏名"),
        ("みほん契約", "文書への署名", "済み", "カードと暗証番号"),
        ("見本銀行", "番号の登録", "済み", "カードと暗証番号", "サービスでのお客さま番号"),
        ("もてなし旅館", "同意の確認", "同意しませんでした"),
        ("", "ログイン", "できませんでした", "カードと暗証番号"),
        ("", "同意の取り消し", "済み"),
    ):
        fitting = [
            told for who, told in found if name in who and told.startswith(words[0]) and all(w in told for w in words)
        ]
        assert len(fitting) == 1, (name, words, found)
    taro = house.browser()
    open_page(house, taro, "taro")
    theirs = lines(house.get(taro, "/me/history").text)
    assert all("証券" not in row[0] and "取り消し" not in row[1] for row in theirs)
    assert theirs
