"""Eight at once with one proof, one release of it, one result of a signature, over HTTP: one is served."""

from __future__ import annotations

import itertools
import json
import sqlite3
from collections import Counter
from contextlib import closing

import jwt
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.broker.web import prover
from tests.broker.web.house import House, Page, returned, transaction_of
from tests.broker.web.signing import notary, text
from tests.broker.web.test_web_proofing import ALL, agree, card, id_token, post, request_of, shop, userinfo
from tests.broker.web.test_web_races import CALLERS, at_once


def twin(house: House, browser: FlaskClient, path: str) -> TestResponse:
    """The same browser's visit from another of its tabs: its cookies, and none of what the other tabs are given."""
    cookies = "; ".join(f"{each.key}={each.value}" for each in (browser._cookies or {}).values())
    return house.app.test_client(use_cookies=False).get(path, headers={"Cookie": cookies}, base_url=house.issuer)


def counted(house: House, table: str) -> int:
    with closing(sqlite3.connect(house.database)) as connection:
        return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608  # a name of ours


def test_of_eight_answers_to_one_application_one_counts(house: House) -> None:
    program, browser = shop(house), house.browser()
    page = agree(program, browser, scope=ALL)
    answers = at_once(lambda: post(program, page))
    assert sorted(answer.status_code for answer in answers) == [303] + [409] * (CALLERS - 1)
    assert {Page(each.text).texts["error-code"] for each in answers if each.status_code == 409} == {"AUTH-003"}
    [won] = [answer for answer in answers if answer.status_code == 303]
    tokens = program.token(returned(house.get(browser, won.headers["Location"]))["code"]).get_json()
    assert userinfo(program, tokens)["name"] == "山田花子"


def test_of_eight_tabs_that_take_one_proof_one_has_the_code(house: House) -> None:
    program, browser = shop(house), house.browser()
    path = post(program, agree(program, browser, scope=ALL)).headers["Location"]
    pages = [Page(answer.text) for answer in at_once(lambda: twin(house, browser, path))]
    assert sum("continue-link" in page.links for page in pages) == 1
    lost = Counter(page.texts.get("error-code") for page in pages if "continue-link" not in page.links)
    assert lost.keys() <= {"AUTH-001", "AUTH-002"}, lost
    assert (counted(house, "identity_proofs"), counted(house, "receipts")) == (1, 1)


def test_a_choice_that_races_with_the_card_changes_nothing_that_was_signed(house: House) -> None:
    program, browser = shop(house), house.browser()
    page = agree(program, browser, leave_out=("gender", "address"), scope=ALL)
    request = request_of(page)
    sealed = prover.answer(request, card(house, "hanako"))
    turns = itertools.count()
    cookies = "; ".join(f"{each.key}={each.value}" for each in (browser._cookies or {}).values())
    login = Page(page.text).links["change-release"]

    def act() -> TestResponse:
        if next(turns) == 3:
            return house.post_answer(transaction_of(request), {"answer": sealed})
        return house.app.test_client(use_cookies=False).post(
            login,
            data={f"item_{name}": "yes" for name in ("name", "address", "birthdate", "gender")},
            headers={"Cookie": cookies, "Origin": house.issuer},
            base_url=house.issuer,
        )

    answers = at_once(act)
    [came] = [each for each in answers if "/agent/continue" in each.headers.get("Location", "")]
    tokens = program.token(returned(house.get(browser, came.headers["Location"]))["code"]).get_json()
    signed = json.loads(jwt.decode(request, options={"verify_signature": False})["action"])["release"]
    assert signed == ["birthdate", "name"]
    assert {"name", "birthdate"} <= userinfo(program, tokens).keys()
    assert not {"gender", "address"} & (userinfo(program, tokens).keys() | id_token(tokens).keys())


def test_of_eight_tokens_that_fetch_one_result_one_has_it(house: House) -> None:
    office, browser = notary(house), house.browser()
    name = office.ordered(text())
    office.signed(browser, office.page(browser, name))
    tokens = [office.own_token() for _ in range(CALLERS)]
    left = iter(tokens)
    answers = at_once(lambda: office.call("GET", f"/{name}/result", token=next(left)))
    assert sorted(answer.status_code for answer in answers) == [200] + [410] * (CALLERS - 1)
    [won] = [answer for answer in answers if answer.status_code == 200]
    assert office.opened(won)["documents"][0]["cms"]
