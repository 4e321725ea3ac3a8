"""The authorization request: RFC 6749 §4.1.1, OIDC Core §3.1.2, RFC 7636, RFC 9207.

Two stages, because only a proved client and redirect URI may be told about an error by redirect
(RFC 6749 §4.1.2.1): `locate` finds them or ends in a page, `check` judges all the rest.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from broker.errors import (
    InvalidRequest,
    InvalidScope,
    RequestNotSupported,
    RequestURINotSupported,
    UnknownClient,
    UnsupportedResponseType,
)
from broker.ids import ClientID, Secret
from broker.oidc.client import Client
from broker.oidc.pkce import check_challenge

MAX_PARAMETERS = 100
MAX_VALUE_LENGTH = 2048
SCOPES = frozenset({"openid"})
PROMPTS = frozenset({"none", "login", "consent", "select_account"})
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+( [\x21\x23-\x5b\x5d-\x7e]+)*")  # RFC 6749 §3.3
_VSCHAR = re.compile(r"[\x20-\x7e]*")  # RFC 6749 appendix A.5


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizationRequest:
    """What an RP asked for, every rule checked."""

    client_id: ClientID
    redirect_uri: str
    code_challenge: str
    scope: frozenset[str]
    state: str | None = None
    nonce: str | None = None
    prompt: frozenset[str] = frozenset()
    max_age: int | None = None
    """Seconds since the card signature (OIDC Core §3.1.2.1)."""
    ui_locales: str | None = None
    acr_values: tuple[str, ...] = ()


def single_values(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """One value a name; an empty one counts as absent (RFC 6749 §3.1). Raises InvalidRequest."""
    values: dict[str, str] = {}
    for count, (name, value) in enumerate(pairs, start=1):
        if count > MAX_PARAMETERS or len(value) > MAX_VALUE_LENGTH or len(name) > 128:
            raise InvalidRequest("too many or too long parameters")
        if name in values:
            raise InvalidRequest("a parameter stands twice")
        values[name] = value
    return {name: value for name, value in values.items() if value}


def locate(parameters: Mapping[str, str], client: Client | None) -> str:
    """The redirect URI to answer to, compared byte for byte (RFC 9700 §2.1). Raises UnknownClient."""
    if client is None or parameters.get("client_id") != client.client_id:
        raise UnknownClient("no such client")
    uri = parameters.get("redirect_uri")
    if uri is None or uri not in client.redirect_uris:
        raise UnknownClient("redirect_uri is not registered")
    return uri


def check(parameters: Mapping[str, str], client: Client) -> AuthorizationRequest:
    """Judge a request whose client and redirect URI `locate` has proved. Raises ProtocolError.

    Unknown parameters are ignored (RFC 6749 §3.1); known ones that are not served are refused by name.
    """
    if "request" in parameters:
        raise RequestNotSupported("request objects are not served")
    if "request_uri" in parameters:
        raise RequestURINotSupported("request_uri is not served")
    if "response_type" not in parameters:
        raise InvalidRequest("response_type is required")
    if parameters["response_type"] != "code":
        raise UnsupportedResponseType("only response_type=code is served")
    if parameters.get("response_mode", "query") != "query":
        raise InvalidRequest("only response_mode=query is served")
    challenge = check_challenge(parameters.get("code_challenge"), parameters.get("code_challenge_method"))
    scope_text = parameters.get("scope", "")
    if not _SCOPE.fullmatch(scope_text):
        raise InvalidScope("scope is missing or malformed")
    asked = frozenset(scope_text.split(" "))
    if "openid" not in asked:
        raise InvalidScope("scope must contain openid")
    for name in ("state", "nonce"):
        if not _VSCHAR.fullmatch(parameters.get(name, "")):
            raise InvalidRequest(f"{name} must be printable ASCII")
    return AuthorizationRequest(
        client_id=client.client_id,
        redirect_uri=parameters["redirect_uri"],
        code_challenge=challenge,
        scope=asked & SCOPES,  # unknown scopes are ignored (OIDC Core §3.1.2.1)
        state=parameters.get("state"),
        nonce=parameters.get("nonce"),
        prompt=_prompt(parameters.get("prompt")),
        max_age=_max_age(parameters.get("max_age")),
        ui_locales=parameters.get("ui_locales"),
        acr_values=tuple(parameters.get("acr_values", "").split()),
    )


def _prompt(value: str | None) -> frozenset[str]:
    asked = frozenset((value or "").split())
    if not asked <= PROMPTS:
        raise InvalidRequest("unknown prompt")
    if "none" in asked and len(asked) > 1:
        raise InvalidRequest("prompt=none stands alone (OIDC Core §3.1.2.1)")
    return asked


def _max_age(value: str | None) -> int | None:
    if value is None:
        return None
    if not re.fullmatch(r"[0-9]{1,9}", value):
        raise InvalidRequest("max_age must be a number of seconds")
    return int(value)


def success_redirect(request: AuthorizationRequest, code: Secret, *, issuer: str) -> str:
    """Where the browser goes with its code (RFC 6749 §4.1.2; `iss` by RFC 9207)."""
    return _redirect(request.redirect_uri, {"code": code, "state": request.state, "iss": issuer})


def error_redirect(redirect_uri: str, *, error: str, description: str, state: str | None, issuer: str) -> str:
    """Where the browser goes with a refusal (RFC 6749 §4.1.2.1)."""
    return _redirect(redirect_uri, {"error": error, "error_description": description, "state": state, "iss": issuer})


def _redirect(uri: str, parameters: Mapping[str, str | None]) -> str:
    query = urlencode({name: value for name, value in parameters.items() if value is not None})
    return f"{uri}{'&' if '?' in uri else '?'}{query}"
