"""What one access token of a grant is for: all that was granted, or the part that the token request asks for
(RFC 6749 §6, RFC 8707 §2.2, RFC 9396 §6.1)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from broker.errors import InvalidScope
from broker.oidc import authorization_details, licence, resource
from broker.oidc.authorization import DELEGATIONS
from broker.oidc.claims_request import ATTRIBUTE_SCOPES, IDENTITY
from broker.oidc.client import Client
from broker.oidc.grants import Grant

REPEATABLE: Final = frozenset({"resource", "audience"})
"""Parameters of a token request that may stand several times (RFC 8707 §2, RFC 8693 §2.1)."""
_SCOPE: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+( [\x21\x23-\x5b\x5d-\x7e]+)*")  # RFC 6749 §3.3
RECEIPTS: Final = "receipts"
"""The scope by which a client fetches its receipts; it has it on its own."""
OWN_SCOPES: Final = frozenset({RECEIPTS})
"""What our own endpoints for clients ask for; a resident is never asked about them."""
_PERSONAL: Final = frozenset(
    {"openid", "offline_access", "profile", DELEGATIONS, licence.SCOPE, *IDENTITY, *ATTRIBUTE_SCOPES}
)
"""Scopes that a resident grants; no client has them on its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Narrowed:
    """What one access token is for."""

    scope: frozenset[str]
    audience: tuple[str, ...]
    authorization_details: str = ""


def of_grant(grant: Grant, client: Client, parameters: Mapping[str, str], *, issuer: str, refresh: bool) -> Narrowed:
    """The part of `grant` that a token request asks for.

    Raises InvalidScope, InvalidTarget, InvalidAuthorizationDetails. Without resources the token is for our own
    endpoints; with some it is for those alone, unless the request asks for `issuer` by name. A scope is asked for only
    when refreshing.
    """
    scope = grant.scope
    if refresh and "scope" in parameters:
        scope = _words(parameters["scope"])
        if not scope <= grant.scope:
            raise InvalidScope("more than was granted")
    asked = resource.parse(parameters.get("resource", ""), known={issuer, *client.resources})
    audience = resource.narrow((*grant.resources, issuer), asked) if asked else grant.resources
    details = grant.authorization_details
    if details or "authorization_details" in parameters:
        granted = authorization_details.from_json(details)
        wanted = parameters.get("authorization_details")
        part = authorization_details.parse(wanted, allowed=client.authorization_details_types) if wanted else ()
        details = authorization_details.to_json(authorization_details.narrow(granted, part))
    return Narrowed(scope=scope, audience=audience or (issuer,), authorization_details=details)


def of_client(client: Client, parameters: Mapping[str, str], *, issuer: str) -> Narrowed:
    """What a client may have on its own (RFC 6749 §4.4): nothing that a resident must agree to.

    Raises InvalidScope, InvalidTarget.
    """
    own = client.scope - _PERSONAL
    scope = _words(parameters["scope"]) if "scope" in parameters else own
    if not scope <= own:
        raise InvalidScope("more than this client may have on its own")
    known = {issuer, *client.resources}
    return Narrowed(scope=scope, audience=resource.parse(parameters.get("resource", ""), known=known) or (issuer,))


def _words(text: str) -> frozenset[str]:
    if not _SCOPE.fullmatch(text):
        raise InvalidScope("scope is malformed")
    return frozenset(text.split(" "))
