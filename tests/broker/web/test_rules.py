"""The numbered rules of the house, one test each, over the whole broker: take the rule out and its test fails."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from urllib.parse import urlsplit

import jwt
import pytest

from broker.accounts.credential import CredentialKey
from broker.errors import InteractionUnknown
from broker.flows import evidence, login
from broker.flows.jobs import JOBS, Job, run_due
from broker.flows.secret import digest
from broker.ids import TransactionID
from tests.broker.web.house import House, Page, transaction_of
from tests.broker.web.my_page import add_service

SESSION_COOKIE = "jpki-broker-session"


def session_digest(house: House, browser: object) -> bytes:
    cookie = browser.get_cookie(SESSION_COOKIE, domain=urlsplit(house.issuer).hostname)  # type: ignore[attr-defined]  # a FlaskClient
    assert cookie is not None
    return digest(cookie.value)


def rows(house: House, statement: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(house.database)) as connection:
        return connection.execute(statement).fetchall()


def subject(house: House, told: dict[str, str]) -> str:
    token = house.token(told["code"]).get_json()["id_token"]
    return str(jwt.decode(token, options={"verify_signature": False})["sub"])


def test_r1_a_second_card_in_a_browser_ends_the_session_of_the_first(house: House) -> None:
    browser = house.browser()
    house.login(browser, "hanako")
    first = session_digest(house, browser)
    house.login(browser, "taro")
    with house.ports.store.transaction() as tx:
        assert tx.sessions.get(first) is None
        second = tx.sessions.get(session_digest(house, browser))
    assert second is not None
    assert second.digest != first


def test_r1_a_code_of_an_ended_session_gives_no_token(house: House) -> None:
    browser = house.browser()
    told = house.login(browser, "hanako")
    house.login(browser, "taro")
    refused = house.token(told["code"])
    assert (refused.status_code, refused.get_json()["error"]) == (400, "invalid_grant")


def test_r1_a_consent_page_left_open_gives_nothing_once_another_card_was_read(house: House) -> None:
    browser = house.browser()
    left_open = house.consent_page(browser, "hanako")
    house.login(browser, "taro")
    refused = house.submit(browser, left_open, "consent-form", decision="approve")
    assert Page(refused.text).texts["error-code"] == "AUTH-001"
    assert rows(house, "SELECT count(*) FROM consents") == [(1,)]  # taro's
    assert rows(house, "SELECT count(*) FROM codes") == [(1,)]


def test_r1_a_consent_page_left_open_gives_nothing_after_a_logout(house: House) -> None:
    browser = house.browser()
    left_open = house.consent_page(browser, "hanako")
    house.submit(browser, house.get(browser, "/logout"), "logout-form")
    refused = house.submit(browser, left_open, "consent-form", decision="approve")
    assert Page(refused.text).texts["error-code"] == "AUTH-001"
    assert rows(house, "SELECT count(*) FROM consents") == [(0,)]


def test_r1_another_card_ends_the_session_though_its_own_login_is_refused(house: House) -> None:
    browser = house.browser()
    told = house.login(browser, "hanako")
    hint = house.token(told["code"]).get_json()["id_token"]
    first = session_digest(house, browser)
    answered = house.answer(house.login_page(browser, id_token_hint=hint), "taro")
    house.get(browser, answered.headers["Location"])
    with house.ports.store.transaction() as tx:
        assert tx.sessions.get(first) is None


def test_r2_no_consent_without_a_card_in_this_very_login(house: House) -> None:
    browser = house.browser()
    location = house.authorize(browser).headers["Location"]
    interaction = location.rsplit("/", 1)[1]
    refused = browser.post(
        f"/consent/{interaction}",
        data={"csrf": "0" * 64, "decision": "approve"},
        headers={"Origin": house.issuer},
        base_url=house.issuer,
    )
    assert refused.status_code >= 400
    assert rows(house, "SELECT count(*) FROM consents") == [(0,)]


def test_r2_what_a_login_gives_beyond_the_pseudonym_is_shown_before_the_card_and_signed_by_it(house: House) -> None:
    add_service(house)
    asked = {"client_id": "curious", "scope": "openid offline_access language dietary_needs"}
    browser = house.browser()
    page = house.login_page(browser, **asked)
    request = jwt.decode(Page(page.text).forms["card-form"]["fields"]["request"], options={"verify_signature": False})
    assert (request["tag"], request["action"]) == (
        "JPKI-FED-AUTH/1",
        '{"release":["dietary_needs","language","offline_access"]}',
    )
    assert all(
        word in Page(page.text).texts["asked"] for word in ("食事の配慮", "使いたい言語", "画面を閉じたあとの利用")
    )
    answered = house.get(browser, house.answer(page).headers["Location"])
    fields = {f"item_{item}": "yes" for item in ("language", "dietary_needs")}
    house.submit(browser, answered, "consent-form", decision="approve", **fields)
    assert rows(house, "SELECT scope FROM consents") == [("dietary_needs language offline_access openid",)]


def test_r2_what_the_card_has_not_signed_for_is_not_given_whatever_was_agreed_before(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_service(house)
    asked = {"client_id": "curious", "scope": "openid offline_access language dietary_needs"}
    house.login(house.browser(), **asked)
    monkeypatch.setattr("broker.oidc.release.by_login", lambda request: ("language",))
    browser = house.browser()
    told = house.login(browser, **asked)
    assert house.token(told["code"], client="curious").get_json()["scope"] == "language openid"


def test_r5_a_consent_form_of_one_person_is_no_form_for_another(house: House) -> None:
    mine, theirs = house.browser(), house.browser()
    my_page = house.consent_page(mine, "hanako")
    their_page = house.consent_page(theirs, "taro")
    stolen = Page(my_page.text).forms["consent-form"]["fields"]["csrf"]
    refused = house.submit(theirs, their_page, "consent-form", csrf=stolen, decision="approve")
    assert refused.status_code == 403
    assert rows(house, "SELECT count(*) FROM codes") == [(0,)]


def test_r7_two_certificates_of_one_serial_under_two_ca_keys_are_two_people(house: House) -> None:
    """taro (generation 2) and shikko (generation 1) share serial, issuer name and municipality on purpose."""
    house.login(house.browser(), "taro")
    refused = house.answer(house.login_page(house.browser()), "shikko")
    assert "AUTH-014" in refused.text
    again = house.login(house.browser(), "taro")
    assert again["code"]
    assert rows(house, "SELECT count(*) FROM accounts") == [(1,)]


def test_r9_a_refusal_that_a_retry_cures_is_still_in_the_record(house: House) -> None:
    browser = house.browser()
    page = house.login_page(browser)
    request = Page(page.text).forms["card-form"]["fields"]["request"]
    house.post_answer(transaction_of(request), {"answer": "not.an.answer.at.all"})
    assert house.login(house.browser(), "hanako")["code"]
    assert rows(house, "SELECT count(*) FROM audit WHERE event = 'login_refused'") == [(1,)]


def test_r11_unknown_revocation_refuses(house: House) -> None:
    house.lists.available = False
    refused = house.answer(house.login_page(house.browser()), "hanako")
    assert refused.status_code == 503
    assert "AUTH-015" in refused.text
    house.lists.available = True
    house.clock.step(seconds=1)
    assert house.login(house.browser(), "hanako")["code"]


def test_r12_revoked_stays_revoked_when_a_later_list_forgets_it(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = house.answer(house.login_page(house.browser()), "shikko")
    assert "AUTH-014" in refused.text
    assert rows(house, "SELECT count(*) FROM accounts") == [(0,)]  # it never had an account, and is remembered still
    monkeypatch.setattr(evidence, "unrevoked", lambda *_: None)  # whatever a list now says
    still = house.answer(house.login_page(house.browser()), "shikko")
    assert "AUTH-014" in still.text


def test_r12_revoked_between_answer_and_release_is_refused(house: House) -> None:
    browser = house.browser()
    answered = house.answer(house.login_page(browser), "hanako")
    key = _answered_key(house)
    with house.ports.store.transaction() as tx:
        tx.revoked.remember(key, not_after=house.clock() + timedelta(days=900), now=house.clock())
    refused = house.get(browser, answered.headers["Location"])
    assert "AUTH-014" in refused.text
    assert rows(house, "SELECT count(*) FROM sessions") == [(0,)]


def _answered_key(house: House) -> CredentialKey:
    [(issuer, serial)] = rows(house, "SELECT issuer_key_hash, serial_fingerprint FROM card_transactions")
    assert isinstance(issuer, bytes)
    assert isinstance(serial, bytes)
    return CredentialKey(issuer_key_hash=issuer, serial_fingerprint=serial)


def test_r13_revocation_data_reaches_no_client(house: House) -> None:
    told = house.login(house.browser(), "hanako")
    token = house.token(told["code"]).get_json()
    claims = jwt.decode(token["id_token"], options={"verify_signature": False})
    about = house.browser().get(
        "/userinfo", headers={"Authorization": f"Bearer {token['access_token']}"}, base_url=house.issuer
    )
    assert set(claims) == {"iss", "sub", "aud", "iat", "exp", "auth_time", "nonce", "acr", "amr", "sid"}
    assert set(about.get_json()) == {"sub"}


def test_r14_the_subject_is_random_and_made_anew_in_every_installation(make_house: Callable[..., House]) -> None:
    first, second = make_house(), make_house()
    one, two = (subject(house, house.login(house.browser(), "hanako")) for house in (first, second))
    assert one != two  # same card, same serial, nothing in common
    assert len(one) == 43  # 256 bits
    assert subject(first, first.login(first.browser(), "hanako")) == one


def test_r16_no_audit_row_no_token(house: House) -> None:
    told = house.login(house.browser(), "hanako")
    with closing(sqlite3.connect(house.database)) as connection:
        connection.execute(
            "CREATE TRIGGER no_audit BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'audit is full'); END"
        )
        connection.commit()
    refused = house.token(told["code"])
    assert refused.status_code >= 500
    assert "id_token" not in refused.text
    assert rows(house, "SELECT count(*) FROM access_tokens") == [(0,)]
    with closing(sqlite3.connect(house.database)) as connection:
        connection.execute("DROP TRIGGER no_audit")
        connection.commit()
    assert house.token(told["code"]).status_code == 200  # nothing was consumed either


def test_r17_no_page_or_endpoint_of_the_broker_takes_a_pin(house: House) -> None:
    page = house.login_page(house.browser())
    assert 'type="password"' not in page.text
    assert {name for form in Page(page.text).forms.values() for name in form["fields"]} <= {"request", "csrf"}


def test_r18_every_login_and_release_stands_in_the_record(house: House) -> None:
    told = house.login(house.browser(), "hanako")
    house.token(told["code"])
    events = [event for (event,) in rows(house, "SELECT event FROM audit ORDER BY rowid")]
    assert events == ["login", "consent_given", "code_issued", "token_issued"]


def test_an_unknown_transaction_is_told_nothing(house: House) -> None:
    answer = house.post_answer("A" * 32, {"answer": "a.b.c.d.e"})
    assert "AUTH-001" in answer.text
    with pytest.raises(InteractionUnknown):
        login.interaction_of(TransactionID("A" * 32), ports=house.ports)


def test_a_job_runs_once_in_its_interval_however_many_ask(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []

    def work(_ports: object) -> dict[str, int]:
        ran.append("ran")
        return {"done": 1}

    monkeypatch.setattr("broker.flows.jobs.JOBS", (Job(name="probe", every=timedelta(minutes=10), run=work),))
    for holder in ("one", "two", "three"):
        run_due(house.ports, holder=holder)
    assert ran == ["ran"]
    house.clock.step(minutes=10)
    run_due(house.ports, holder="four")
    assert ran == ["ran", "ran"]
    assert {job.name for job in JOBS} >= {"refresh-revocation", "purge", "retire-keys"}
