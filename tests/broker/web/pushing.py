"""Requests that a client pushes, and logins that begin with them."""

from __future__ import annotations

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.broker.web.house import ISSUER, REDIRECT_URI, Page
from tests.broker.web.program import JWT_BEARER, Program


def push(program: Program, *, proof: str | None = None, **changes: str | None) -> TestResponse:
    """A good request pushed, changed; None leaves a parameter out."""
    asked = program.house.parameters(client_id=program.client.client_id, redirect_uri=REDIRECT_URI)
    form = {
        **asked,
        "client_assertion_type": JWT_BEARER,
        "client_assertion": program.assertion(),
        **changes,
    }
    return program.house.browser().post(
        "/par",
        data={name: value for name, value in form.items() if value is not None},
        headers={"DPoP": proof} if proof else {},
        base_url=ISSUER,
    )


def pushed(program: Program, **changes: str | None) -> str:
    answer = push(program, **changes)
    assert answer.status_code == 201, answer.text
    return str(answer.get_json()["request_uri"])


def visit(program: Program, request_uri: str, browser: FlaskClient | None = None, **extra: str) -> TestResponse:
    query = {"client_id": program.client.client_id, "request_uri": request_uri, **extra}
    return (browser or program.house.browser()).get("/authorize", query_string=query, base_url=ISSUER)


def error_code(page: TestResponse) -> str:
    assert page.status_code == 400
    assert not {"Location", "Refresh"} & set(page.headers.keys())
    return Page(page.text).texts["error-code"]


def log_in(program: Program, browser: FlaskClient, request_uri: str) -> TestResponse:
    """From the visit to the way back, agreeing where asked."""
    house = program.house
    login = house.get(browser, visit(program, request_uri, browser).headers["Location"])
    page = house.get(browser, house.answer(login).headers["Location"])
    if "consent-form" in Page(page.text).forms:
        page = house.submit(browser, page, "consent-form", decision="approve")
    return page
