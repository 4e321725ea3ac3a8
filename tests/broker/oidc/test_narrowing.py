"""One access token is for a part of what was granted, and never for more (RFC 6749 §6, RFC 8707 §2.2)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import InvalidAuthorizationDetails, InvalidScope, InvalidTarget, ProtocolError
from broker.ids import AccountID, ClientID, CredentialID, GrantID, SectorID, Subject
from broker.oidc.client import Client, SecurityProfile
from broker.oidc.grants import Authentication, Grant
from broker.oidc.narrowing import Narrowed, of_client, of_grant

ISSUER = "https://op.example"
APIS = ("https://api.example/", "urn:x:y", "https://other.example/a")
NOW = datetime(2026, 11, 21, tzinfo=UTC)
WORDS = ("openid", "offline_access", "name", "accounts", "payments")


def client(*, scope: frozenset[str] = frozenset(WORDS), resources: tuple[str, ...] = APIS) -> Client:
    return Client(
        client_id=ClientID("bank"),
        name="bank",
        vetted=True,
        profile=SecurityProfile.OIDC,
        sector=SectorID("s"),
        redirect_uris=("https://bank.example/cb",),
        jwks_uri="https://bank.example/jwks",
        scope=scope,
        resources=resources,
    )


def grant(*, scope: frozenset[str] = frozenset(WORDS), resources: tuple[str, ...] = ()) -> Grant:
    return Grant(
        grant_id=GrantID("g"),
        client_id=ClientID("bank"),
        account=AccountID("a"),
        credential=CredentialID("c"),
        subject=Subject("s"),
        scope=scope,
        authentication=Authentication(time=NOW),
        resources=resources,
        created_at=NOW,
        expires_at=NOW + timedelta(minutes=1),
    )


def test_without_a_wish_a_token_is_for_all_that_was_granted() -> None:
    assert of_grant(grant(), client(), {}, issuer=ISSUER, refresh=False) == Narrowed(
        scope=frozenset(WORDS), audience=(ISSUER,)
    )
    assert of_grant(grant(resources=APIS), client(), {}, issuer=ISSUER, refresh=True).audience == APIS


def test_a_scope_is_narrowed_at_a_refresh_alone() -> None:
    asked = {"scope": "accounts"}
    assert of_grant(grant(), client(), asked, issuer=ISSUER, refresh=True).scope == {"accounts"}
    assert of_grant(grant(), client(), asked, issuer=ISSUER, refresh=False).scope == frozenset(WORDS)


def test_details_that_were_not_granted_are_refused() -> None:
    with pytest.raises(InvalidAuthorizationDetails):
        of_grant(grant(), client(), {"authorization_details": '[{"type":"x"}]'}, issuer=ISSUER, refresh=True)


@given(
    granted=st.frozensets(st.sampled_from(WORDS), min_size=1),
    resources=st.lists(st.sampled_from(APIS), unique=True),
    scope=st.none() | st.lists(st.sampled_from([*WORDS, "other", ""]), max_size=4).map(" ".join),
    resource=st.none() | st.lists(st.sampled_from([*APIS, ISSUER, "urn:unknown", "x#y", ""]), max_size=3).map(" ".join),
)
def test_a_part_is_never_more_than_the_whole(
    granted: frozenset[str], resources: list[str], scope: str | None, resource: str | None
) -> None:
    whole = grant(scope=granted, resources=tuple(resources))
    asked = {name: value for name, value in (("scope", scope), ("resource", resource)) if value is not None}
    try:
        part = of_grant(whole, client(), asked, issuer=ISSUER, refresh=True)
    except (InvalidScope, InvalidTarget):
        return
    assert part.scope <= granted
    assert part.audience
    assert set(part.audience) <= {*resources, ISSUER}
    assert resource or part.audience == (tuple(resources) or (ISSUER,))


@given(
    registered=st.frozensets(st.sampled_from([*WORDS, "address", "birthdate", "gender", "profile", "sign"])),
    scope=st.none() | st.text(max_size=20) | st.lists(st.sampled_from(WORDS), min_size=1).map(" ".join),
    resource=st.none() | st.sampled_from([*APIS, ISSUER, "urn:unknown"]),
)
def test_a_client_on_its_own_has_nothing_personal(
    registered: frozenset[str], scope: str | None, resource: str | None
) -> None:
    asked = {name: value for name, value in (("scope", scope), ("resource", resource)) if value}
    try:
        part = of_client(client(scope=registered), asked, issuer=ISSUER)
    except ProtocolError:
        return
    assert part.scope <= registered & {"accounts", "payments", "sign"}
    assert part.audience == ((resource,) if resource else (ISSUER,))
