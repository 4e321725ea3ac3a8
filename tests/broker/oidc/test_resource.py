"""Resource indicators: RFC 8707."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import InvalidTarget
from broker.oidc.resource import MAX_RESOURCES, check_indicator, narrow, parse

# RFC 8707 §2.1 and §2.2 use these three.
CAL = "https://cal.example.com/"
CONTACTS = "https://contacts.example.com/"
TENANT = "https://api.example.com/app/"
KNOWN = frozenset({CAL, CONTACTS, TENANT, "urn:example:cooperation"})


def test_the_resources_of_rfc8707_are_understood() -> None:
    assert parse(f"{CAL} {CONTACTS}", known=KNOWN) == (CAL, CONTACTS)
    assert parse(TENANT, known=KNOWN) == (TENANT,)
    assert parse("urn:example:cooperation", known=KNOWN) == ("urn:example:cooperation",)
    assert parse("", known=KNOWN) == ()
    assert parse(f"{CAL} {CONTACTS} {CAL}", known=KNOWN) == (CAL, CONTACTS)


@pytest.mark.parametrize(
    "uri",
    [
        "https://api.example.com",
        "https://api.example.com:8443/app?tenant=1",
        "https://[2001:db8::1]/",
        "urn:example:cooperation",
        "https://api.example.com/%E6%97%A5",
        "api://bank.example/x",
    ],
)
def test_an_absolute_uri_is_an_indicator(uri: str) -> None:
    check_indicator(uri)
    assert parse(uri, known={uri}) == (uri,)


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "api",
        "/app",
        "//api.example.com/app",
        "https:",
        "https://",
        "https:///app",
        "http://?x",
        "https://api.example.com/#",
        "https://api.example.com/#app",
        "https://user@api.example.com/",
        "https://user:secret@api.example.com/",
        "https://api.example.com/a b",
        "https://api.example.com/\n",
        "https://api.example.com/%zz",
        "https://api.example.com/%e",
        "https://api.example.com/日",
        "https://api.example.com/<x>",
        "https://api.example.com/\\",
        "https://api.example.com:port/",
        "https://api.example.com:99999/",
        "https://[::1/",
        "1https://api.example.com/",
        "https://api.example.com/" + "a" * 500,
    ],
)
def test_what_is_none_is_refused_even_where_it_is_known(uri: str) -> None:
    with pytest.raises(InvalidTarget):
        check_indicator(uri)
    with pytest.raises(InvalidTarget):
        parse(f"{CAL} {uri}", known=KNOWN | {uri})


def test_an_indicator_is_compared_byte_for_byte() -> None:
    for other in (CAL.removesuffix("/"), CAL.upper(), f"{CAL}?", f"{CAL}x", "https://cal.example.com:443/"):
        with pytest.raises(InvalidTarget):
            parse(other, known=KNOWN)


def test_their_number_is_bounded() -> None:
    known = [f"https://api{number}.example.com/" for number in range(MAX_RESOURCES + 1)]
    assert len(parse(" ".join(known[1:]), known=known)) == MAX_RESOURCES
    with pytest.raises(InvalidTarget):
        parse(" ".join(known), known=known)


@given(st.text(max_size=60))
def test_any_text_is_known_or_refused_with_our_error(text: str) -> None:
    try:
        parsed = parse(text, known=KNOWN)
    except InvalidTarget:
        return
    assert set(parsed) <= KNOWN


def test_a_token_is_for_less_and_never_for_more() -> None:
    granted = (CAL, CONTACTS)
    assert narrow(granted, ()) == granted
    assert narrow(granted, (CONTACTS,)) == (CONTACTS,)
    assert narrow((), ()) == ()
    for before, asked in ((granted, (TENANT,)), (granted, (CAL, TENANT)), ((), (CAL,))):
        with pytest.raises(InvalidTarget):
            narrow(before, asked)
