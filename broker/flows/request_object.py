"""Where the parameters of an authorization request stand: beside it, in a signed object, or at the client's address.

OIDC Core §6, RFC 9101. The rules of objects are `broker.oidc.request_object`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urldefrag

from broker.errors import (
    InvalidRequest,
    InvalidRequestObject,
    InvalidRequestURI,
    InvalidToken,
    OutboundFailed,
    OutboundRefused,
    RequestNotSupported,
    RequestURINotSupported,
)
from broker.flows.ports import Ports
from broker.flows.rate import Rate, check_rate
from broker.jose import read_jws
from broker.jwe import is_encrypted
from broker.oidc.authorization import MAX_OBJECT_LENGTH
from broker.oidc.client import Client, SecurityProfile
from broker.oidc.request_object import check_claims, merge, parameters, verify

PUSHED: Final = "urn:ietf:params:oauth:request_uri:"
"""RFC 9126 §2.2."""
FETCHES: Final = Rate(limit=60, window=timedelta(minutes=1))
"""Of one client: anybody can make us ask at a registered address, and each time a thread may wait for seconds."""


def by_reference(outside: Mapping[str, str]) -> bool:
    """Must the request object be fetched from the client first?"""
    return not outside.get("request_uri", PUSHED).startswith(PUSHED)


def fetched(outside: Mapping[str, str], client: Client, *, ports: Ports) -> dict[str, str]:
    """`outside` with the object that its request_uri names, fetched now (OIDC Core §6.2). Outside any unit of work.

    Only an address registered byte for byte is asked, and only of the `oidc` profile: FAPI 2.0 knows pushed requests
    alone. Raises RequestURINotSupported, InvalidRequestURI, TooManyRequests.
    """
    uri = outside["request_uri"]
    if client.profile is SecurityProfile.FAPI2 or not client.request_uris:
        raise RequestURINotSupported("no request_uri is registered for this client")
    if uri not in client.request_uris:
        raise InvalidRequestURI("not one of this client's registered request_uris")
    with ports.store.transaction() as tx:
        check_rate(tx.attempts, f"request_uri:{client.client_id}", FETCHES, now=ports.clock())
    try:
        # The fragment names the content's hash for caches (§6.2); we keep none, so there is nothing to compare.
        document = ports.documents.fetch(urldefrag(uri).url, limit=MAX_OBJECT_LENGTH).strip().decode("ascii")
    except (OutboundRefused, OutboundFailed) as failed:
        raise InvalidRequestURI("the request object could not be fetched") from failed
    except UnicodeDecodeError as binary:
        raise InvalidRequestURI("no request object stands at the request_uri") from binary
    return {**{name: value for name, value in outside.items() if name != "request_uri"}, "request": document}


def settle(
    outside: Mapping[str, str], client: Client, *, object_only: bool, referred: bool = False, ports: Ports
) -> Mapping[str, str]:
    """The parameters to judge. May call the client's server for its keys: never inside a unit of work.

    `object_only`: where there is an object, nothing beside it counts (RFC 9126 §3). `referred` says that the object
    was fetched. Raises InvalidRequest (also for a client whose requests must be signed), InvalidRequestObject,
    RequestNotSupported, RequestURINotSupported.
    """
    token = outside.get("request")
    if token is None:
        if client.requires_signed_requests:
            raise InvalidRequest("requests of this client are signed (RFC 9101 §10.5)")
        return outside
    fapi = client.profile is SecurityProfile.FAPI2
    try:
        opened = ports.keys.decrypt(token).decode("ascii") if is_encrypted(token) else token
    except (InvalidToken, UnicodeDecodeError) as closed:
        raise InvalidRequestObject("cannot be decrypted") from closed
    try:
        claims = verify(opened, jwks=_keys(opened, client, ports), fapi=fapi, registered_alg=client.request_object_alg)
    except RequestNotSupported as unsigned:
        if referred:
            raise RequestURINotSupported(str(unsigned)) from None
        raise
    check_claims(claims, client_id=client.client_id, issuer=ports.policy.issuer, now=ports.clock(), fapi=fapi)
    alone = object_only or fapi or client.requires_signed_requests
    return merge(outside, parameters(claims), client_id=client.client_id, object_only=alone)


def _keys(token: str, client: Client, ports: Ports) -> Mapping[str, Any]:
    """The client's keys; none where it has none, and then the object is refused for what it is."""
    try:
        return ports.client_keys.of(client, kid=read_jws(token).kid)
    except InvalidToken:
        return {"keys": []}
