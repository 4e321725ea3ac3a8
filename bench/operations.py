"""What is measured at both providers, and what was promised of it (`python -m bench.provider`)."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlencode

from bench.client import REDIRECT_URI
from bench.load import Step
from bench.sides import BASIC, KEY, Client, Side, pkce

Row = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One line of the table. The promises are ratios of CPU: the peer's over ours."""

    name: str
    steps: Callable[[Side, Client], Sequence[Step]]
    methods: tuple[str, ...] = (BASIC, KEY)
    """How the client may authenticate; the first that both serve is taken."""
    grant: str = "authorization_code"
    endpoint: str = "token_endpoint"
    scope: str = "openid"
    authenticates: bool = True
    floor: float | None = None
    stretch: float | None = None

    def unserved(self, metadata: Mapping[str, Any]) -> str:
        """What this provider's own metadata does not offer for it; empty where all is there."""
        if self.endpoint not in metadata:
            return self.endpoint
        if self.grant not in metadata.get("grant_types_supported", ()):
            return f"grant {self.grant}"
        if not self.served_methods(metadata):
            return " or ".join(self.methods)
        missing = [scope for scope in self.scope.split() if scope not in metadata.get("scopes_supported", ())]
        return f"scope {missing[0]}" if missing else ""

    def served_methods(self, metadata: Mapping[str, Any]) -> list[str]:
        offered = metadata.get("token_endpoint_auth_methods_supported", ())
        return [method for method in self.methods if method in offered]

    def rows(self, side: Side, client: Client, count: int) -> list[Row]:
        """One-time values for `count` operations: what a real client makes itself is made before the clock runs."""
        made: list[Row] = []
        for number in range(count):
            verifier, challenge = pkce()
            row = {
                "number": str(number),
                "verifier": verifier,
                "challenge": challenge,
                "state": secrets.token_urlsafe(16),
                "nonce": secrets.token_urlsafe(16),
            }
            if client.method == KEY and self.authenticates:
                row["assertion"] = client.assertion(side.issuer)
            made.append(row)
        return made


def _authorize(side: Side, client: Client) -> Step:
    fixed = {
        "response_type": "code",
        "client_id": client.client_id,
        "redirect_uri": REDIRECT_URI,
        "scope": "openid",
        "code_challenge_method": "S256",
        "prompt": "none",
    }
    return Step(
        name="authorize",
        path=f"{side.path('authorization_endpoint')}?{urlencode(fixed)}"
        "&state={state}&nonce={nonce}&code_challenge={challenge}",
        headers=("Cookie: {cookie}",),
        statuses=(302, 303),
        takes=(("code", "location", "code"),),
        wants=(("location", "state", "{state}"), ("location", "iss", "")),
    )


def _posted(
    side: Side, client: Client, name: str, fields: str, *, endpoint: str = "token_endpoint", **judged: Any
) -> Step:
    headers, members = client.proof()
    return Step(name=name, path=side.path(endpoint), body=fields + members, headers=headers, **judged)


def _token(side: Side, client: Client) -> Step:
    fields = f"grant_type=authorization_code&redirect_uri={quote(REDIRECT_URI, safe='')}"
    return _posted(
        side,
        client,
        "token",
        fields + "&code={code}&code_verifier={verifier}",
        takes=(("access_token", "json", "access_token"),),
        wants=(("json", "id_token", ""), ("json", "token_type", ""), ("json", "expires_in", "")),
    )


def _userinfo(side: Side, _: Client) -> Step:
    return Step(
        name="userinfo",
        path=side.path("userinfo_endpoint"),
        headers=("Authorization: Bearer {access_token}",),
        wants=(("json", "sub", ""),),
    )


def _client_credentials(side: Side, client: Client) -> Step:
    return _posted(
        side,
        client,
        "client_credentials",
        "grant_type=client_credentials",
        wants=(("json", "access_token", ""), ("json", "token_type", ""), ("json", "expires_in", "")),
    )


def _refresh(side: Side, client: Client) -> Step:
    return _posted(
        side,
        client,
        "refresh",
        "grant_type=refresh_token&refresh_token={refresh_token}",
        keeps=(("refresh_token", "json", "refresh_token"),),
        wants=(("json", "access_token", ""), ("json", "token_type", ""), ("json", "expires_in", "")),
    )


def _introspection(side: Side, client: Client) -> Step:
    return _posted(
        side,
        client,
        "introspection",
        "token={access_token}",
        endpoint="introspection_endpoint",
        wants=(("json", "active", "true"), ("json", "client_id", client.client_id), ("json", "exp", "")),
    )


def _login(side: Side, client: Client) -> list[Step]:
    return [_authorize(side, client), _token(side, client), _userinfo(side, client)]


OPERATIONS: Final = (
    Operation(name=f"login on a session, {BASIC}", steps=_login, methods=(BASIC,), floor=1.4, stretch=3.5),
    Operation(name=f"login on a session, {KEY}", steps=_login, methods=(KEY,), floor=1.3, stretch=3.0),
    Operation(
        name="authorize on a session",
        steps=lambda side, client: [_authorize(side, client)],
        endpoint="authorization_endpoint",
        authenticates=False,
    ),
    Operation(
        name="client_credentials",
        steps=lambda side, client: [_client_credentials(side, client)],
        grant="client_credentials",
        floor=1.0,
        stretch=2.0,
    ),
    Operation(
        name="refresh",
        steps=lambda side, client: [_refresh(side, client)],
        grant="refresh_token",
        scope="openid offline_access",
        floor=1.1,
        stretch=2.2,
    ),
    Operation(
        name="introspection",
        steps=lambda side, client: [_introspection(side, client)],
        endpoint="introspection_endpoint",
        floor=1.0,
        stretch=2.8,
    ),
    Operation(
        name="userinfo",
        steps=lambda side, client: [_userinfo(side, client)],
        endpoint="userinfo_endpoint",
        authenticates=False,
        floor=1.0,
        stretch=2.8,
    ),
)
"""In the order of the table. Floors and stretches are those the project set itself before it measured."""

LOGIN: Final = OPERATIONS[1]
"""What memory, latency and flatness are judged by: every provider here serves it."""
