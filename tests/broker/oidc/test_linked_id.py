"""The shape that a client registers for its numbers: small, bounded, and never that of a 個人番号."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import InvalidClientMetadata, LinkedIDRefused
from broker.ids import ClientID, SectorID
from broker.oidc.client import AuthMethod, Client, SecurityProfile
from broker.oidc.linked_id import IDPattern, LinkedID, check_label, check_value
from broker.oidc.registration import metadata, parse

JWKS = {"keys": [{"kty": "EC", "crv": "P-256", "x": "eA", "y": "eQ"}]}


@pytest.mark.parametrize(
    ("pattern", "good", "bad"),
    [
        (r"\d{7}", "0012345", "001234"),
        (r"[0-9]{7}", "0012345", "A012345"),
        (r"[A-Z]{2}-[0-9]{6,8}", "AB-1234567", "AB-12345"),
        (r"T[0-9a-f]{32}", "T" + "0a" * 16, "t" + "0a" * 16),
        (r"\d{16}", "4" * 16, "4" * 12),
        (r"[a-z]{1,10}\.[0-9]{4}", "staff.0001", "staffx0001"),
    ],
)
def test_a_pattern_admits_its_shape_and_no_other(pattern: str, good: str, bad: str) -> None:
    shape = IDPattern(text=pattern)
    check_value(good, shape)
    with pytest.raises(LinkedIDRefused, match="shape"):
        check_value(bad, shape)


@pytest.mark.parametrize(
    "pattern", [r"\d{12}", r"[0-9]{4}-[0-9]{4}-[0-9]{4}", r"\d{8,16}", r"[0-9A-F]{12}", r"-?\d{12}"]
)
def test_the_shape_of_a_my_number_is_no_pattern(pattern: str) -> None:
    with pytest.raises(InvalidClientMetadata):
        IDPattern(text=pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "(a+)+",
        "a*",
        "a|b",
        ".*",
        r"\d+",
        "[^0-9]{3}",
        "[9-0]{3}",
        "a{3,1}",
        r"\d{65}",
        "x{0}",
        "^a$",
        r"\w{3}",
        "[A-Z]{1,5}[a-z]{1,5}[0-9]{1,5}",
        "あ{3}",
        "a" * 300,
    ],
)
def test_what_could_run_away_or_says_nothing_is_refused(pattern: str) -> None:
    with pytest.raises(InvalidClientMetadata, match="linked_id_pattern"):
        IDPattern(text=pattern)


@given(st.text(max_size=80))
def test_any_text_is_a_pattern_or_is_refused(text: str) -> None:
    try:
        shape = IDPattern(text=text)
    except InvalidClientMetadata:
        return
    assert not shape.admits("")
    assert not shape.admits("1234 5678 9018")


@pytest.mark.parametrize("value", ["", "a" * 65, "a b", "a\n", "０１２３", "a\u200b"])
def test_a_number_is_visible_ascii(value: str) -> None:
    with pytest.raises(LinkedIDRefused):
        check_value(value, IDPattern(text="[a-z]{1,10}"))


@pytest.mark.parametrize("label", ["口座\u202e番号", "a" * 41, "\x00", " 口座", "口座\n番号", "a\u200bb"])
def test_a_label_can_be_seen_as_it_is(label: str) -> None:
    with pytest.raises(LinkedIDRefused, match="label"):
        check_label(label)
    check_label("普通預金の口座番号")


def test_a_client_of_linked_ids_proves_itself_by_its_key() -> None:
    members: dict[str, Any] = {"name": "銀行", "vetted": True, "profile": SecurityProfile.OIDC, "sector": SectorID("s")}
    members |= {"redirect_uris": ("https://bank.example/cb",), "client_id": ClientID("bank")}
    linked: dict[str, Any] = {"scope": frozenset({"openid", "linked_id"}), "linked_id_pattern": r"\d{7}"}
    client = Client(jwks=JWKS, **linked, **members)
    assert client.links
    for method in (AuthMethod.CLIENT_SECRET_BASIC, AuthMethod.CLIENT_SECRET_POST):
        with pytest.raises(InvalidClientMetadata, match="private_key_jwt"):
            Client(auth_method=method, secret_digest=b"x" * 32, **linked, **members)
    with pytest.raises(InvalidClientMetadata, match="nothing to read"):
        Client(jwks=JWKS, linked_id_readers=("clinic",), **members)


def test_what_is_registered_about_numbers_is_told_back() -> None:
    given_ = {
        "client_id": "ticket",
        "client_name": "催し",
        "redirect_uris": ["https://ticket.example/cb"],
        "jwks": JWKS,
        "scope": "openid linked_id",
        "linked_id_pattern": r"E\d{8}",
        "linked_id_transferable": False,
        "linked_id_unique_person": True,
        "linked_id_readers": ["gate"],
    }
    settled: dict[str, Any] = {
        "client_id": ClientID("ticket"),
        "profile": SecurityProfile.OIDC,
        "sector": SectorID("s"),
    }
    client = parse(given_, **settled)
    assert parse(metadata(client), **settled) == client
    assert not client.linked_id_transferable
    with pytest.raises(InvalidClientMetadata):
        parse(given_ | {"linked_id_pattern": "(a+)+"}, **settled)


def test_a_number_is_told_as_its_client_gave_it_and_another_clients_with_its_issuer() -> None:
    assert LinkedID(value="0012345").claims() == {"linked_id": "0012345"}
    assert LinkedID(value="7", issuer="library", unique_person=True).claims() == {
        "linked_id": {"issuer": "library", "value": "7"},
        "unique_person": True,
    }
