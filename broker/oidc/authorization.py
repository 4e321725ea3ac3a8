"""The authorization request: RFC 6749 §4.1.1, OIDC Core §3.1.2, RFC 7636, RFC 9207.

Two stages, because only a proved client and redirect URI may be told about an error by redirect
(RFC 6749 §4.1.2.1): `locate` finds them or ends in a page, `check` judges all the rest. Where the parameters came
from (the query, a request object, a pushed request) has been settled before.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any
from urllib.parse import urlencode, urlsplit

from broker.errors import (
    InvalidRequest,
    InvalidScope,
    RequestNotSupported,
    RequestURINotSupported,
    UnauthorizedClient,
    UnknownClient,
    UnsupportedResponseType,
)
from broker.ids import ClientID, Secret, Subject
from broker.oidc.client import Client, GrantType, is_loopback
from broker.oidc.pkce import check_challenge

MAX_PARAMETERS = 100
MAX_VALUE_LENGTH = 2048
MAX_OBJECT_LENGTH = 32 * 1024
"""Characters of a parameter that holds a JWT or JSON."""
_LONG = frozenset(
    {"request", "claims", "authorization_details", "id_token_hint", "client_assertion", "login_hint_token"}
)
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
    response_mode: str = "query"
    prompt: frozenset[str] = frozenset()
    max_age: int | None = None
    """Seconds since the card signature (OIDC Core §3.1.2.1)."""
    ui_locales: str | None = None
    acr_values: tuple[str, ...] = ()
    login_hint: str | None = field(default=None, repr=False)
    subject: Subject | None = field(default=None, repr=False)
    """The only one who may answer: of id_token_hint, or `sub` in the claims request (OIDC Core §3.1.2.1, §5.5.1)."""
    claims: str = ""
    """The `claims` parameter (OIDC Core §5.5) as checked JSON; empty for none."""
    authorization_details: str = ""
    """RFC 9396 §2 as checked JSON; empty for none."""
    resources: tuple[str, ...] = ()
    """RFC 8707 §2."""
    dpop_jkt: str | None = None
    """RFC 9449 §10: the code may be redeemed with this key alone."""
    pushed: str | None = field(default=None, repr=False)
    """SHA-256 (hex) of the request_uri it came by; used up when the login completes (RFC 9126 §7.3)."""


def to_json(request: AuthorizationRequest) -> str:
    """For storage; defaults are left out."""
    values: dict[str, Any] = {}
    for entry in fields(request):
        value = getattr(request, entry.name)
        if value != entry.default:
            values[entry.name] = sorted(value) if isinstance(value, frozenset) else value
    return json.dumps(values, ensure_ascii=False, separators=(",", ":"))


def from_json(text: str) -> AuthorizationRequest:
    """What `to_json` wrote."""
    values = json.loads(text)
    for name in ("scope", "prompt"):
        values[name] = frozenset(values.get(name, ()))
    for name in ("acr_values", "resources"):
        values[name] = tuple(values.get(name, ()))
    return AuthorizationRequest(**values)


def single_values(pairs: Iterable[tuple[str, str]], *, repeatable: frozenset[str] = frozenset()) -> dict[str, str]:
    """One value a name; an empty one counts as absent (RFC 6749 §3.1). Raises InvalidRequest.

    Names in `repeatable` (`resource`, RFC 8707 §2) may stand several times; their values come joined by spaces.
    """
    values: dict[str, str] = {}
    for count, (name, value) in enumerate(pairs, start=1):
        longest = MAX_OBJECT_LENGTH if name in _LONG else MAX_VALUE_LENGTH
        if count > MAX_PARAMETERS or len(value) > longest or len(name) > 128:
            raise InvalidRequest("too many or too long parameters")
        if name in values and name not in repeatable:
            raise InvalidRequest("a parameter stands twice")
        values[name] = f"{values[name]} {value}" if name in values else value
    return {name: value for name, value in values.items() if value}


def locate(parameters: Mapping[str, str], client: Client | None) -> str:
    """The redirect URI to answer to, compared byte for byte (RFC 9700 §2.1). Raises UnknownClient.

    A native client's loopback address may have any port (RFC 8252 §7.3).
    """
    if client is None or parameters.get("client_id") != client.client_id:
        raise UnknownClient("no such client")
    uri = parameters.get("redirect_uri")
    if uri is None or not any(
        _same_address(uri, registered, native=client.native) for registered in client.redirect_uris
    ):
        raise UnknownClient("redirect_uri is not registered")
    return uri


def _same_address(uri: str, registered: str, *, native: bool) -> bool:
    if uri == registered:
        return True
    if not native:
        return False
    known = urlsplit(registered)
    host = known.hostname or ""
    if known.scheme != "http" or not is_loopback(host) or host == "localhost":  # RFC 8252 §8.3: a literal address
        return False
    start, rest = registered[: len("http://") + len(known.netloc)], registered[len("http://") + len(known.netloc) :]
    bare = start.removesuffix(f":{known.port}") if known.port is not None else start
    return re.fullmatch(f"{re.escape(bare)}:[0-9]{{1,5}}{re.escape(rest)}", uri) is not None


def check(parameters: Mapping[str, str], client: Client) -> AuthorizationRequest:
    """Judge a request whose client and redirect URI `locate` has proved. Raises ProtocolError.

    Unknown parameters are ignored (RFC 6749 §3.1); known ones that are not served are refused by name.
    """
    if GrantType.AUTHORIZATION_CODE not in client.grant_types:
        raise UnauthorizedClient("this client has no authorization_code grant")
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
        scope=asked & SCOPES & client.scope,  # unknown scopes are ignored (OIDC Core §3.1.2.1)
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
