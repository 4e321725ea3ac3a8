"""The authorization request, rule by rule: RFC 6749 §4.1.1, OIDC Core §3.1.2.1, RFC 9207."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import (
    InvalidClientMetadata,
    InvalidRedirectURI,
    InvalidRequest,
    InvalidScope,
    ProtocolError,
    UnknownClient,
)
from broker.ids import ClientID, SectorID
from broker.oidc import responses
from broker.oidc.authorization import check, locate, single_values
from broker.oidc.client import MAX_REDIRECT_URIS, Client, SecurityProfile, check_redirect_uri
from broker.oidc.responses import ResponseMode

CALLBACK = "https://bank.example/callback"
WITH_QUERY = "https://bank.example/callback?tenant=1"
CLIENT = Client(
    client_id=ClientID("bank"),
    name="Bank",
    vetted=True,
    profile=SecurityProfile.OIDC,
    redirect_uris=(CALLBACK, WITH_QUERY),
    jwks={"keys": [{}]},
    sector=SectorID("bank"),
)
GOOD = {
    "client_id": "bank",
    "redirect_uri": CALLBACK,
    "response_type": "code",
    "scope": "openid",
    "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
    "code_challenge_method": "S256",
}


def without(name: str) -> dict[str, str]:
    return {key: value for key, value in GOOD.items() if key != name}


def test_the_smallest_good_request_is_understood() -> None:
    request = check(GOOD, CLIENT)
    assert (request.client_id, request.redirect_uri, request.scope) == ("bank", CALLBACK, frozenset({"openid"}))
    assert (request.state, request.nonce, request.prompt, request.max_age) == (None, None, frozenset(), None)


def test_a_redirect_uri_is_compared_byte_for_byte() -> None:
    assert locate(GOOD, CLIENT) == CALLBACK
    assert locate({**GOOD, "redirect_uri": WITH_QUERY}, CLIENT) == WITH_QUERY
    for other in (CALLBACK + "/", CALLBACK + "?", CALLBACK.upper(), "https://bank.example", ""):
        with pytest.raises(UnknownClient):
            locate({**GOOD, "redirect_uri": other}, CLIENT)


@given(
    uri=st.text(max_size=80) | st.sampled_from([CALLBACK, WITH_QUERY]).flatmap(lambda uri: st.text().map(uri.__add__))
)
def test_nothing_but_a_registered_address_is_ever_located(uri: str) -> None:
    try:
        located = locate({**GOOD, "redirect_uri": uri}, CLIENT)
    except UnknownClient:
        assert uri not in CLIENT.redirect_uris
    else:
        assert located == uri in CLIENT.redirect_uris


def test_without_client_or_address_nobody_is_redirected() -> None:
    for parameters, client in ((GOOD, None), (without("redirect_uri"), CLIENT), ({**GOOD, "client_id": "x"}, CLIENT)):
        with pytest.raises(UnknownClient):
            locate(parameters, client)


@pytest.mark.parametrize("name", ["response_type", "code_challenge", "code_challenge_method"])
def test_a_required_parameter_is_missed(name: str) -> None:
    with pytest.raises(InvalidRequest):
        check(without(name), CLIENT)


@pytest.mark.parametrize(
    "scope", ["", "profile", "openid\tx", " openid", "openid ", "openid  x", 'openid "', "openid\\"]
)
def test_a_scope_keeps_to_rfc6749_section_3_3_and_contains_openid(scope: str) -> None:
    with pytest.raises(InvalidScope):
        check({**GOOD, "scope": scope}, CLIENT)


def test_unknown_scopes_and_parameters_are_ignored() -> None:
    assert check({**GOOD, "scope": "openid made_up", "extra": "foobar"}, CLIENT).scope == {"openid"}


@pytest.mark.parametrize("value", ["-1", "1.5", "x", "1e3", "٣", "1" * 10, "+1"])
def test_max_age_is_a_number_of_seconds(value: str) -> None:
    with pytest.raises(InvalidRequest):
        check({**GOOD, "max_age": value}, CLIENT)
    assert check({**GOOD, "max_age": "0"}, CLIENT).max_age == 0


def test_prompt_none_stands_alone() -> None:
    assert check({**GOOD, "prompt": "login consent"}, CLIENT).prompt == {"login", "consent"}
    for value in ("none login", "unknown", "login unknown"):
        with pytest.raises(InvalidRequest):
            check({**GOOD, "prompt": value}, CLIENT)


def test_an_empty_value_counts_as_absent_and_a_second_value_is_refused() -> None:
    assert single_values([("a", ""), ("b", "1")]) == {"b": "1"}
    for pairs in ([("a", "1"), ("a", "1")], [("a", ""), ("a", "1")], [(f"p{i}", "1") for i in range(101)]):
        with pytest.raises(InvalidRequest):
            single_values(pairs)
    for pair in (("a", "x" * 2049), ("n" * 129, "x")):
        with pytest.raises(InvalidRequest):
            single_values([pair])


@given(
    parameters=st.dictionaries(
        st.sampled_from([*GOOD, "state", "nonce", "prompt", "max_age", "response_mode", "request", "ui_locales"]),
        st.text(max_size=40) | st.sampled_from(list(GOOD.values())),
    )
)
def test_whatever_is_asked_ends_in_a_request_or_a_protocol_error(parameters: Mapping[str, str]) -> None:
    try:
        request = check({**GOOD, **parameters}, CLIENT)
    except ProtocolError:
        assert parameters  # the unchanged request is good
    else:
        assert "openid" in request.scope
        assert len(request.code_challenge) == 43
        assert all(value is None or value.isprintable() for value in (request.state, request.nonce))


@given(state=st.text(alphabet=st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1))
def test_state_comes_back_unchanged_beside_code_and_issuer(state: str) -> None:
    request = check({**GOOD, "redirect_uri": WITH_QUERY, "state": state}, CLIENT)
    answer = responses.success(code="c", state=request.state)
    url = responses.plain(ResponseMode.QUERY, request.redirect_uri, answer, issuer="https://op.example").location
    assert url.startswith(WITH_QUERY + "&")
    assert url.isascii()
    assert url.isprintable()
    assert parse_qs(urlsplit(url).query) == {
        "tenant": ["1"],
        "code": ["c"],
        "state": [state],
        "iss": ["https://op.example"],
    }


@given(description=st.text(max_size=60), state=st.none() | st.text(min_size=1, max_size=60))
def test_no_text_breaks_out_of_an_error_redirect(description: str, state: str | None) -> None:
    if any(0xD800 <= ord(character) <= 0xDFFF for character in description + (state or "")):
        return
    answer = responses.refusal(error="access_denied", description=description, state=state)
    url = responses.plain(ResponseMode.QUERY, CALLBACK, answer, issuer="https://op.example").location
    assert url.startswith(CALLBACK + "?")
    assert url.isascii()
    assert url.isprintable()
    assert " " not in url
    told = parse_qs(urlsplit(url).query, keep_blank_values=True)
    assert told["error"] == ["access_denied"]
    assert told.get("state") == (None if state is None else [state])


# --- registration ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "uri",
    [
        "https://bank.example/cb#fragment", "https://bank.example/cb#", "https://user@bank.example/cb",
        "https://u:p@bank.example/cb", "https://@bank.example/cb", "http://bank.example/cb", "http://localhost.evil.example/",
        "http://127.evil.example@x/", "ftp://bank.example/", "javascript:alert(1)", "myapp:/cb", "https:///cb", "https://",
        "https://bank.example:99999/", "https://bank.example/\r\nX: y", "https://bank.example/ x", "https://bank.example/é",
        "https://bank.example/" + "x" * 500, "", "//bank.example/", "https://[::1/",
    ],
)  # fmt: skip
def test_an_address_that_must_not_be_registered_is_refused(uri: str) -> None:
    with pytest.raises(InvalidRedirectURI):
        check_redirect_uri(uri)


@pytest.mark.parametrize("uri", [CALLBACK, WITH_QUERY, "http://127.0.0.2:8001/cb", "http://localhost:1/cb"])
def test_https_and_loopback_addresses_may_be_registered(uri: str) -> None:
    check_redirect_uri(uri)
    assert uri


def test_plain_http_to_a_host_that_only_looks_like_loopback_is_refused() -> None:
    with pytest.raises(InvalidRedirectURI):
        check_redirect_uri("http://127.evil.example/cb")


def client(**changes: object) -> Client:
    fields: dict[str, object] = {name: getattr(CLIENT, name) for name in Client.__slots__} | changes
    return Client(**fields)  # type: ignore[arg-type]  # the very point is to pass what does not fit


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": ""}, {"client_id": "a b"}, {"client_id": "x" * 65}, {"name": " "}, {"name": "x" * 81},
        {"name": "Bank\u202e"}, {"name": "Bank\n"}, {"redirect_uris": ()}, {"jwks": {}}, {"jwks": {"keys": []}},
        {"redirect_uris": tuple(f"{CALLBACK}{i}" for i in range(MAX_REDIRECT_URIS + 1))},
        {"post_logout_redirect_uris": ("http://bank.example/",)},
    ],
)  # fmt: skip
def test_a_client_cannot_be_built_wrong(changes: dict[str, object]) -> None:
    with pytest.raises((InvalidClientMetadata, InvalidRedirectURI)):
        client(**changes)
    assert client().host == "bank.example"
