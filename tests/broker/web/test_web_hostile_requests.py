"""Whatever is asked of /authorize and /par, it is refused in words: never a 500, never a stranger's address."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from tests.broker.web.house import BANK, ISSUER, REDIRECT_URI, House, Page
from tests.broker.web.program import JWT_BEARER, Program, register
from tests.broker.web.pushing import push

NAMES = (
    "client_id", "redirect_uri", "response_type", "response_mode", "scope", "state", "nonce", "code_challenge",
    "code_challenge_method", "prompt", "max_age", "ui_locales", "acr_values", "login_hint", "id_token_hint", "claims",
    "authorization_details", "resource", "dpop_jkt", "request", "request_uri", "display", "registration",
)  # fmt: skip


def b64(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


BOMBS: dict[str, dict[str, str]] = {
    "deep claims": {"claims": '{"id_token":' + "[" * 4000 + "]" * 4000 + "}"},
    "deep objects": {"claims": '{"a":' * 1500 + "1" + "}" * 1500},
    "many claims": {"claims": json.dumps({"id_token": {f"c{number}": None for number in range(900)}})},
    "long number": {"claims": '{"id_token":{"acr":{"value":' + "9" * 5000 + "}}}"},
    "huge exponent": {"claims": '{"id_token":{"acr":{"value":1e999999999}}}'},
    "lone surrogate": {"claims": '{"id_token":{"sub":{"value":"\\ud800"}}}'},
    "deep details": {"authorization_details": "[" * 4000 + "]" * 4000},
    "many details": {"authorization_details": json.dumps([{"type": "x"}] * 600)},
    "deep object header": {"request": f"{base64.urlsafe_b64encode(b'[' * 9000).decode().rstrip('=')}.e30.AA"},
    "twice in the header": {"request": base64.urlsafe_b64encode(b'{"alg":"ES256","alg":"none"}').decode() + ".e30.AA"},
    "long object": {"request": "a" * 32_000},
    "too long object": {"request": "a" * 33_000},
    "dots": {"request": "." * 30_000},
    "jwe of dots": {"request": f"{b64({'alg': 'RSA-OAEP-256', 'enc': 'A128CBC-HS256'})}...."},
    "zipped": {"request": f"{b64({'alg': 'ECDH-ES', 'enc': 'A128CBC-HS256', 'zip': 'DEF'})}..AA.AA.AA"},
    "many iterations": {"request": f"{b64({'alg': 'PBES2-HS256+A128KW', 'enc': 'A128GCM', 'p2c': 10**9})}.AA.AA.AA.AA"},
    "hint of dots": {"id_token_hint": "." * 30_000},
    "resources": {"resource": " ".join(f"https://api{number}.example" for number in range(80))},
    "scopes": {"scope": "openid " + " ".join(f"s{number}" for number in range(350))},
    "locales": {"ui_locales": "x " * 1000},
}


def check(answer: TestResponse) -> None:
    """In words, without a code, and at most at the client's own address."""
    assert answer.status_code in {200, 201, 303, 400, 401, 413, 429}, answer.text
    if answer.is_json:
        assert answer.headers["Cache-Control"] == "no-store"
        return
    if answer.status_code == 200:
        page = Page(answer.text)
        target = page.links.get("continue-link") or page.forms["return-form"]["action"]
        parts = urlsplit(target)
        assert f"{parts.scheme}://{parts.netloc}{parts.path}" in {REDIRECT_URI, f"{BANK}/other"}
        assert "code=" not in parts.query
    elif answer.status_code == 303:
        assert answer.headers["Location"].startswith((f"{ISSUER}/login/", f"{REDIRECT_URI}?", f"{BANK}/other?"))


@pytest.fixture
def program(house: House) -> Program:
    return register(house, "asking-bank")


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_in_words_at_both_doors(house: House, program: Program, name: str) -> None:
    form = house.parameters(client_id="asking-bank", **BOMBS[name])
    check(house.browser().post("/authorize", data=form, base_url=ISSUER))
    check(push(program, **BOMBS[name]))


WORDS = ("id_token", "userinfo", "acr", "sub", "value", "values", "essential", "type")
leaves = st.none() | st.integers() | st.text(max_size=9)
trees = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=3),
)
values = (
    st.text(max_size=60)
    | st.sampled_from([REDIRECT_URI, "openid", "code", "none", "form_post", "jwt", "query.jwt", "bank", "S256", "0"])
    | trees.map(json.dumps)
)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.dictionaries(st.sampled_from(NAMES), values, max_size=5), twice=st.none() | st.sampled_from(NAMES))
def test_nothing_that_is_asked_ends_in_a_fault(
    house: House, program: Program, changes: dict[str, str], twice: str | None
) -> None:
    given_: dict[str, Any] = {**house.parameters(), **changes}
    pairs = [*given_.items(), *([(twice, "second")] if twice else [])]
    check(house.browser().get("/authorize", query_string=pairs, base_url=ISSUER))
    form = [
        *pairs,
        ("client_assertion_type", JWT_BEARER),
        ("client_assertion", house.assertion(str(given_["client_id"]), key="bank")),
    ]
    check(house.browser().post("/par", data=dict(form), base_url=ISSUER))
