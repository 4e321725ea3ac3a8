"""Request objects: OIDC Core §6, RFC 9101, and FAPI 2.0 Message Signing §5.3.1 for signed requests.

Two sets of rules: under `fapi` everything comes from the object, which is short-lived and for this issuer alone; else
OIDC Core's, where the object's values win over those beside it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from broker.errors import InvalidRequest, InvalidRequestObject, InvalidToken, RequestNotSupported
from broker.ids import ClientID
from broker.jose import ascii_token, compact_json, parse_claims, protected_header, verify_jws
from broker.oidc.client_authentication import ALGORITHMS, FAPI2_ALGORITHMS, SKEW

TYPE: Final = "oauth-authz-req+jwt"
"""RFC 9101 §4; `JWT` and no type at all pass as well, because clients older than the RFC write them."""
MAX_LIFETIME: Final = timedelta(minutes=60)
"""From nbf to exp, FAPI 2.0 Message Signing §5.3.1."""
CIBA_MEMBERS: Final = frozenset({"iss", "aud", "exp", "nbf", "iat", "jti"})
"""What a signed CIBA request must say beside its parameters (CIBA Core §7.1.1)."""

_TEXTS: Final = frozenset(
    {
        "acr_values",
        "binding_message",
        "client_id",
        "client_notification_token",
        "code_challenge",
        "code_challenge_method",
        "display",
        "dpop_jkt",
        "id_token_hint",
        "login_hint",
        "login_hint_token",
        "nonce",
        "prompt",
        "redirect_uri",
        "response_mode",
        "response_type",
        "scope",
        "sign_transaction_id",
        "state",
        "ui_locales",
        "user_code",
    }
)
_NUMBERS: Final = frozenset({"max_age", "requested_expiry"})
_ABOUT_ITSELF: Final = frozenset({"iss", "sub", "aud", "exp", "nbf", "iat", "jti"})  # RFC 7519 §4.1
_NESTED: Final = ("request", "request_uri")
_LONGEST_NUMBER: Final = 10**9


def verify(token: str, *, jwks: Mapping[str, Any], fapi: bool, registered_alg: str | None = None) -> dict[str, Any]:
    """The claims of a request object signed by a key of the client's `jwks`.

    `registered_alg` is the client's `request_object_signing_alg`, where it has one. Raises InvalidRequestObject; and
    RequestNotSupported for an unsigned one under OIDC Core's rules, which allow to decline it (oidcc test plans).
    """
    accepted = FAPI2_ALGORITHMS if fapi else ALGORITHMS
    algorithms = [alg for alg in accepted if registered_alg in {None, alg}]
    try:
        header = protected_header(ascii_token(token).split(".", 1)[0])
        if header["alg"] == "none" and not fapi:
            raise RequestNotSupported("unsigned request objects are not served")
        if header.get("typ", TYPE).lower().removeprefix("application/") not in {TYPE, "jwt"}:
            raise InvalidRequestObject("a JWT of another type")
        return parse_claims(verify_jws(token, jwks=jwks, algorithms=algorithms))
    except InvalidToken as refused:
        raise InvalidRequestObject(str(refused)) from None


def check_claims(
    claims: Mapping[str, Any],
    *,
    client_id: ClientID,
    issuer: str,
    now: datetime,
    fapi: bool,
    required: Collection[str] = (),
) -> None:
    """Judge what the object says about itself; its signature has been verified. Raises InvalidRequestObject.

    Dates are numbers (`jose.parse_claims`). `required` are members that must stand in it whatever the rules.
    """
    needed = {*required, *({"iss", "aud", "exp", "nbf", "client_id"} if fapi else ())}
    if missing := needed - claims.keys():
        raise InvalidRequestObject(f"{min(missing)} is missing")
    for name in _NESTED:
        if name in claims:
            raise InvalidRequestObject(f"{name} inside a request object (RFC 9101 §4)")
    if claims.get("sub") == client_id:
        raise InvalidRequestObject("sub is the client: it could pass as a client assertion (RFC 9101 §10.8)")
    for name in ("iss", "client_id"):
        if claims.get(name, client_id) != client_id:
            raise InvalidRequestObject(f"{name} is not this client")
    audience = claims.get("aud", issuer)
    if not _names(audience, issuer):
        raise InvalidRequestObject("aud does not name this issuer")
    jti = claims.get("jti", "-")
    if not isinstance(jti, str) or not 1 <= len(jti) <= 256:
        raise InvalidRequestObject("jti is a text of 1 to 256 characters")
    _check_dates(claims, now=now, fapi=fapi)


def _names(audience: object, issuer: str) -> bool:
    if isinstance(audience, list):
        return all(isinstance(entry, str) for entry in audience) and issuer in audience
    return audience == issuer


def _check_dates(claims: Mapping[str, Any], *, now: datetime, fapi: bool) -> None:
    moment = now.timestamp()
    if "exp" in claims and moment >= claims["exp"]:
        raise InvalidRequestObject("expired")
    for name in ("nbf", "iat"):
        if claims.get(name, moment) > moment + SKEW.total_seconds():
            raise InvalidRequestObject(f"{name} lies in the future")
    if fapi and claims["exp"] - claims["nbf"] > MAX_LIFETIME.total_seconds():  # so nbf is not older than that either
        raise InvalidRequestObject("exp is more than 60 minutes after nbf")


def parameters(claims: Mapping[str, Any]) -> dict[str, str]:
    """The request parameters in the object, as they would stand in a query (RFC 9101 §4). Raises InvalidRequestObject.

    JSON values become text: `claims` and `authorization_details` as JSON, numbers as digits, several `resource`
    joined by spaces. What the object says about itself is none; a member nobody knows passes if it is a text.
    """
    values: dict[str, str] = {}
    for name, value in claims.items():
        if name in _ABOUT_ITSELF:
            continue
        text = _text(name, value)
        if text:  # an empty one counts as absent (RFC 6749 §3.1)
            values[name] = text
    return values


def _text(name: str, value: Any) -> str | None:
    match name:
        case "claims":
            if not isinstance(value, dict):
                raise InvalidRequestObject("claims is an object (OIDC Core §5.5)")
            return compact_json(value).decode()
        case "authorization_details":
            if not isinstance(value, list):
                raise InvalidRequestObject("authorization_details is an array (RFC 9396 §2)")
            return compact_json(value).decode()
        case "resource":
            return _resources(value)
        case _ if name in _NUMBERS and not isinstance(value, str):
            if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < _LONGEST_NUMBER:
                raise InvalidRequestObject(f"{name} is a number of seconds")
            return str(value)
        case _ if isinstance(value, str):
            return value
        case _ if name in _TEXTS:
            raise InvalidRequestObject(f"{name} is a text")
        case _:
            return None


def _resources(value: Any) -> str:
    listed = value if isinstance(value, list) else [value]
    if not all(isinstance(entry, str) and " " not in entry for entry in listed):
        raise InvalidRequestObject("resource is a URI or an array of them (RFC 8707 §2)")
    return " ".join(listed)


def merge(
    outside: Mapping[str, str], inside: Mapping[str, str], *, client_id: ClientID, object_only: bool
) -> dict[str, str]:
    """The request to judge: `inside` is `parameters` of a checked object, `outside` what stood beside it.

    `object_only` (the `fapi` profile, RFC 9101 §6.3, and pushed requests, RFC 9126 §3): nothing outside counts.
    Else OIDC Core §6.1: `response_type` and `scope` stand outside as well, the former the same; what is inside wins.
    Raises InvalidRequest.
    """
    if outside.get("client_id", client_id) != client_id:
        raise InvalidRequest("client_id is not the request object's (RFC 9101 §5)")
    if object_only:
        return {**inside, "client_id": client_id}
    for name in ("response_type", "scope"):
        if name not in outside:
            raise InvalidRequest(f"{name} must stand beside the request object too (OIDC Core §6.1)")
    if "openid" not in outside["scope"].split(" "):
        raise InvalidRequest("scope beside the request object must contain openid (OIDC Core §6.1)")
    if inside.get("response_type", outside["response_type"]) != outside["response_type"]:
        raise InvalidRequest("response_type is another one inside the request object (OIDC Core §6.1)")
    beside = {name: value for name, value in outside.items() if name not in _NESTED}
    return {**beside, **inside, "client_id": client_id}
