"""Logs can be kept: they say what happened and hold nothing that opens anything."""

from __future__ import annotations

import io
import json

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from broker.flows import authorization
from broker.web import logging
from broker.web.logging import REDACTED, Redacted, redact
from tests.broker.web.house import House, Page, transaction_of

JWS = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl"


@pytest.fixture
def lines() -> io.StringIO:
    stream = io.StringIO()
    logging.configure(stream)
    return stream


def test_a_whole_login_leaves_no_secret_in_the_log(house: House, lines: io.StringIO) -> None:
    browser = house.browser()
    login = house.login_page(browser, state="canary-state", nonce="canary-nonce")
    request = Page(login.text).forms["card-form"]["fields"]["request"]
    answer = house.sign(request)
    location = house.post_answer(transaction_of(request), {"answer": answer}).headers["Location"]
    page = house.get(browser, location)
    csrf = Page(page.text).forms["consent-form"]["fields"]["csrf"]
    back = Page(house.submit(browser, page, "consent-form", decision="approve").text).links["continue-link"]
    code = back.partition("code=")[2].partition("&")[0]
    assertion = house.assertion()
    tokens = house.token(code, client_assertion=assertion).get_json()
    house.browser().get("/userinfo", headers={"Authorization": f"Bearer {tokens['access_token']}"})
    house.token(code)
    cookies = [cookie.value for cookie in (browser._cookies or {}).values()]
    log = lines.getvalue()
    secrets = [
        request,
        answer,
        location.partition("rc=")[2],
        csrf,
        code,
        assertion,
        tokens["access_token"],
        tokens["id_token"],
        "canary-state",
        "canary-nonce",
        *filter(None, cookies),
    ]
    assert len(secrets) >= 11
    for secret in secrets:
        assert len(secret) > 8
        assert secret not in log
        assert secret[:24] not in log
    entries = [json.loads(line) for line in log.splitlines()]
    assert "/agent/cb/<handle:transaction>" in {entry.get("route") for entry in entries}
    assert {transaction_of(request)} == {entry["transaction"] for entry in entries if entry.get("transaction")}


def test_refusals_are_told_by_code_reason_and_request(house: House, lines: io.StringIO) -> None:
    page = house.authorize(house.browser(), client_id="nobody")
    entries = [json.loads(line) for line in lines.getvalue().splitlines()]
    refusal = next(entry for entry in entries if entry["event"] == "refused")
    assert (refusal["error_code"], refusal["reason"]) == ("OAUTH-003", "no such client")
    assert refusal["request_id"] == page.headers["X-Request-ID"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("pin", "1234"),
        ("code", "abc"),
        ("serial", 12345678),
        ("cookie", "a=b"),
        ("note", JWS),
        ("note", "-----BEGIN PRIVATE KEY-----"),
        ("note", "x" * 43),
        ("note", "MIIBIjANBgkqhkiG9w0BAQEFAAOC"),
        ("note", "about 123456789012 of them"),
        ("note", {"pin": "1234"}),
        ("note", ["fine", JWS]),
        ("note", b"1234"),
        ("note", Redacted("1234")),
        ("note", ValueError("1234")),
    ],
)
def test_what_may_be_a_secret_is_not_printed(name: str, value: object) -> None:
    printed = json.dumps(redact(None, "info", {"event": "x", name: value}))
    assert "1234" not in printed
    assert "abc" not in printed
    assert "eyJ" not in printed
    assert "PRIVATE" not in printed
    assert "x" * 40 not in printed
    assert REDACTED in printed or "[bytes]" in printed or "[Redacted]" in printed or "[ValueError]" in printed


def test_a_redacted_value_shows_in_no_representation() -> None:
    assert "1234" not in repr(Redacted("1234"))
    assert "1234" not in f"{Redacted('1234')}"


@given(text=st.text(max_size=200))
def test_no_text_can_break_out_of_its_line(text: str) -> None:
    stream = io.StringIO()
    logging.configure(stream)
    structlog.get_logger().info("event", note=text)
    assert stream.getvalue().count("\n") == 1
    assert stream.getvalue().isascii()
    assert json.loads(stream.getvalue())["event"] == "event"


def test_a_fault_of_ours_in_a_silent_login_is_told_and_logged_like_any_other(
    house: House, lines: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("with a secret in its words")

    monkeypatch.setattr(authorization, "begin", broken)
    answer = house.authorize(house.browser(), prompt="none")
    assert answer.status_code == 500
    failed = [line for line in map(json.loads, lines.getvalue().splitlines()) if line["event"] == "failed"]
    assert [line["exception"] for line in failed] == ["RuntimeError"]
    assert failed[0]["request_id"] == answer.headers["X-Request-ID"]
    assert "secret in its words" not in lines.getvalue()
