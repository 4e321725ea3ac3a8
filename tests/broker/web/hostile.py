"""Requests as nobody means them, drawn by hypothesis, and what no answer may be."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from flask import Flask
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from broker.web.routes import ROUTES, route
from tests.broker.web.bombs import DOCUMENTS, FORM, JWT_BEARER, LONG, tokens
from tests.broker.web.house import BANK, LOGGED_OUT_URI, REDIRECT_URI, VERIFIER, House, Page

REGISTERED: Final = frozenset({REDIRECT_URI, f"{BANK}/other", LOGGED_OUT_URI})
"""Where the clients of the house may be sent; queries of ours come after."""

NAMES: Final = (
    *("client_id", "redirect_uri", "response_type", "response_mode", "scope", "state", "nonce", "prompt", "max_age"),
    *("acr_values", "ui_locales", "login_hint", "id_token_hint", "claims", "claims_locales", "request", "request_uri"),
    *("authorization_details", "resource", "dpop_jkt", "code_challenge", "code_challenge_method", "display"),
    *("grant_type", "code", "code_verifier", "refresh_token", "device_code", "user_code", "auth_req_id", "token"),
    *("token_type_hint", "client_secret", "client_assertion", "client_assertion_type", "access_token", "audience"),
    *("subject_token", "subject_token_type", "requested_token_type", "binding_message", "requested_expiry"),
    *("client_notification_token", "login_hint_token", "post_logout_redirect_uri", "logout_hint", "csrf", "decision"),
    *("answer", "error", "rc", "tx", "interaction", "registration", "id_token"),
)

_GRANTS: Final = (
    *("authorization_code", "refresh_token", "client_credentials", "password", "implicit"),
    "urn:ietf:params:oauth:grant-type:device_code",
    "urn:openid:params:grant-type:ciba",
    "urn:ietf:params:oauth:grant-type:token-exchange",
)

VALUES: Final = (
    *("bank", "clinic", "nobody", REDIRECT_URI, f"{BANK}/other?x=1", LOGGED_OUT_URI, "https://elsewhere.example/"),
    *("//elsewhere.example", "javascript:alert(1)", f"{REDIRECT_URI}/../x", f"{REDIRECT_URI}?a=b", f"{REDIRECT_URI}#f"),
    *("code", "code id_token", "token", "query", "form_post", "fragment", "jwt", "form_post.jwt", "query.jwt"),
    *("openid", "openid offline_access", "none", "login", "consent", "none login", "0", "-1", "1e9", "9" * 400),
    *("aal3", "aal3 crl", "ja en", "S256", "plain", VERIFIER, JWT_BEARER, *_GRANTS),
    *("urn:ietf:params:oauth:request_uri:x", "http://127.0.0.1:1/object", "https://127.0.0.1/object"),
    *('{"id_token":{"sub":{"value":"x"}}}', '{"id_token":{"acr":{"essential":true,"values":["aal3"]}}}', "{}", "[]"),
    *('[{"type":"payment"}]', "https://localhost/api", "x" * 22, "x" * 43, "", " ", "\x00", "\r\nSet-Cookie: a=b", "%"),
)

_TOKENS: Final = tuple(token for _, token in tokens(lambda _: "e30.e30.c2ln"))

values = (
    st.sampled_from(VALUES)
    | st.sampled_from(_TOKENS)
    | st.sampled_from([document.decode("latin-1") for document in DOCUMENTS.values()])
    | st.text(max_size=40)
)
pairs = st.lists(st.tuples(st.sampled_from(NAMES) | st.text(max_size=12), values), max_size=10)

_HEADER_TEXT: Final = st.text(
    st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=60
)
headers = st.lists(
    st.tuples(
        st.sampled_from(
            [
                *("Authorization", "DPoP", "Cookie", "Accept-Language", "If-None-Match", "Origin", "Sec-Fetch-Dest"),
                *("Sec-Fetch-Site", "X-Forwarded-Host", "X-Forwarded-Proto", "Forwarded", "Host", "Referer", "Accept"),
            ]
        ),
        st.sampled_from(
            [
                *(
                    "Basic YmFuazpi",
                    "Basic !!!",
                    "Basic Og==",
                    "Bearer x",
                    "DPoP x",
                    "Bearer",
                    "Basic",
                    "bearer  y",
                    "null",
                ),
                *(
                    "jpki-broker-session=x",
                    "elsewhere.example",
                    "http://localhost:8000",
                    "ja",
                    "*",
                    'W/"x"',
                    "document",
                ),
            ]
        )
        | st.sampled_from(_TOKENS).map(lambda token: token.encode("ascii", "replace").decode()[:8000])
        | st.sampled_from(list(LONG.values()))
        | _HEADER_TEXT,
    ),
    max_size=4,
)
_json = st.dictionaries(
    st.sampled_from(NAMES), values | st.lists(values, max_size=3) | st.integers() | st.none(), max_size=6
)
_octets = st.tuples(
    st.sampled_from([FORM, f"{FORM}; charset=shift_jis", "text/plain", "multipart/form-data; boundary=x", "", "\xe9"]),
    st.binary(max_size=80),
)
bodies = (
    st.tuples(st.just(FORM), pairs.map(lambda drawn: urlencode(drawn, errors="replace").encode()))
    | st.tuples(st.just("application/json"), _json.map(lambda drawn: json.dumps(drawn).encode()))
    | _octets
)
METHODS: Final = ("GET", "POST", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND")


def paths(app: Flask) -> list[str]:
    """Every address that is served: the endpoints of programs, and the pages with something for each variable."""
    found = {re.sub(r"\{[^}]*\}", "x" * 22, address) for address in ROUTES}
    for rule in app.url_map.iter_rules():
        numbered = re.sub(r"<int[^>]*>", "2026", rule.rule)
        found.add(re.sub(r"<[^>]*>", "x" * 22, numbered))
    return sorted(found)


def targets(response: TestResponse) -> Iterator[str]:
    """Every address that a browser would go to from here by itself or by one press."""
    if response.headers.get("Location"):
        yield response.headers["Location"]
    if response.headers.get("Refresh"):
        yield response.headers["Refresh"].partition("url=")[2]
    if response.mimetype == "text/html" and response.data:
        page = Page(response.text)
        yield from page.links.values()
        yield from (str(form["action"]) for form in page.forms.values())


def leads_elsewhere(response: TestResponse, house: House) -> list[str]:
    """The addresses in an answer that are neither of this house, nor of the agent, nor registered."""
    found = []
    for target in targets(response):
        parts = urlsplit(target)
        if not parts.scheme and not parts.netloc:
            continue
        origin = f"{parts.scheme}://{parts.netloc}"
        if origin in {house.issuer, *house.ports.policy.agent_origins} or target == "https://help.example/card":
            continue
        if f"{origin}{parts.path}" not in REGISTERED:
            found.append(target)
    return found


def faults(response: TestResponse, house: House, *, path: str) -> list[str]:
    """What is wrong with an answer to anything at all."""
    found: list[str] = []
    if response.status_code >= 500:
        found.append(f"status {response.status_code}")
    found += [f"leads to {target}" for target in leads_elsewhere(response, house)]
    for name, value in response.headers:
        if any(character in value for character in "\r\n\x00"):
            found.append(f"control characters in {name}")
    if route(path) is not None and response.status_code >= 400 and response.data:
        document: Any = response.get_json(silent=True)
        if not isinstance(document, dict) or not isinstance(document.get("error"), str):
            found.append("a refusal without an error code")
        elif not all(0x20 <= ord(character) < 0x7F for character in document.get("error_description", "")):
            found.append("error_description is not printable ASCII")
        if response.headers.get("Cache-Control") != "no-store":
            found.append("a refusal that may be stored")
    return found
