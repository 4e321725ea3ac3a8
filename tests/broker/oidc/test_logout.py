"""Logout tokens, waits between deliveries, and the addresses a browser is sent to."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from broker.errors import InvalidClientMetadata
from broker.ids import ClientID, SectorID, SessionID, Subject
from broker.oidc.client import Client, SecurityProfile
from broker.oidc.logout import (
    DELIVERY_LIFETIME,
    LOGOUT_EVENT,
    check_front_channel,
    frame_address,
    logout_token_claims,
    next_try,
    return_address,
)

NOW = datetime(2026, 11, 21, 3, 4, 5, tzinfo=UTC)
SESSION = SessionID("sid/1 &")
CLIENT = Client(
    client_id=ClientID("bank"),
    name="bank",
    vetted=True,
    profile=SecurityProfile.OIDC,
    sector=SectorID("bank"),
    redirect_uris=("https://bank.example:8443/cb",),
    jwks={"keys": [{"kty": "EC"}]},
)


def test_a_logout_token_has_the_members_of_the_specification_and_no_nonce() -> None:
    claims = logout_token_claims(
        issuer="https://broker.example",
        client_id=CLIENT.client_id,
        subject=Subject("s"),
        session_id=SESSION,
        jti="j",
        now=NOW,
    )
    assert claims == {
        "iss": "https://broker.example",
        "aud": "bank",
        "iat": 1795230245,
        "exp": 1795230365,
        "jti": "j",
        "sub": "s",
        "sid": SESSION,
        "events": {LOGOUT_EVENT: {}},
    }


def test_a_client_that_never_answers_is_told_at_growing_distances_and_given_up_after_half_a_day() -> None:
    now, tries, waits = NOW, 0, []
    while True:
        tries += 1
        at = next_try(tries, now=now, expires_at=NOW + DELIVERY_LIFETIME)
        if at is None:
            break
        waits.append(at - now)
        now = at
    assert waits[:4] == [timedelta(seconds=seconds) for seconds in (30, 60, 120, 240)]
    assert waits == sorted(waits)
    assert max(waits) == timedelta(hours=1)
    assert 10 < tries < 30
    assert next_try(10_000, now=NOW, expires_at=NOW + DELIVERY_LIFETIME) == NOW + timedelta(hours=1)


def test_only_state_is_added_to_a_registered_address() -> None:
    assert return_address("https://bank.example/out", None) == "https://bank.example/out"
    assert return_address("https://bank.example/out", "a&b=\r\n") == "https://bank.example/out?state=a%26b%3D%0D%0A"
    assert return_address("https://bank.example/out?x=1", "") == "https://bank.example/out?x=1&state="


def test_a_frame_names_issuer_and_session_only_to_who_asked_for_them() -> None:
    assert frame_address(CLIENT, issuer="https://broker.example", session_id=SESSION) is None
    plain = replace(CLIENT, frontchannel_logout_uri="https://bank.example:8443/frame?x=1")
    assert frame_address(plain, issuer="https://broker.example", session_id=SESSION) == plain.frontchannel_logout_uri
    asked = replace(plain, frontchannel_logout_session_required=True)
    assert frame_address(asked, issuer="https://broker.example", session_id=SESSION) == (
        "https://bank.example:8443/frame?x=1&iss=https%3A%2F%2Fbroker.example&sid=sid%2F1+%26"
    )


@pytest.mark.parametrize(
    ("uri", "served"),
    [
        ("https://bank.example:8443/frame", False),
        ("https://bank.example/frame", True),
        ("http://bank.example:8443/frame", True),
        ("https://bank.example:8443;script-src/frame", True),
        ("https://evil.example:8443/frame", True),
    ],
)
def test_a_frame_is_refused_where_it_is_not_served_or_of_another_origin(uri: str, served: bool) -> None:
    with pytest.raises(InvalidClientMetadata):
        check_front_channel(replace(CLIENT, frontchannel_logout_uri=uri), served=served)


def test_a_frame_of_the_clients_own_origin_is_taken_where_frames_are_served() -> None:
    assert check_front_channel(CLIENT, served=False) is None
    framed = replace(CLIENT, frontchannel_logout_uri="https://bank.example:8443/frame")
    assert check_front_channel(framed, served=True) is None
