"""Backchannel authentication requests: a client asks, and the resident approves elsewhere (CIBA Core)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from broker.errors import InvalidBindingMessage, InvalidRequest, InvalidRequestObject, RequestNotSupported
from broker.ids import Subject
from broker.oidc.approval import UNSEEN, granted_scope
from broker.oidc.authorization import AuthorizationRequest
from broker.oidc.client import Client, SecurityProfile
from broker.oidc.request_object import CIBA_MEMBERS, MAX_LIFETIME, check_claims, parameters, verify

LIFETIME: Final = timedelta(seconds=300)
LONGEST: Final = timedelta(seconds=600)
"""What `requested_expiry` may stretch it to."""
DELIVERY_MODES: Final = ("poll", "ping")
_HINTS: Final = ("login_hint", "id_token_hint", "login_hint_token")
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]{1,1024}=*")  # RFC 6750 §2.1; CIBA Core §7.1: at most 1024 characters
_LONGEST_MESSAGE: Final = 64
_OF_THE_CLIENT: Final = frozenset(
    {"client_id", "client_secret", "client_assertion", "client_assertion_type", "request"}
)
"""What stands beside a signed request (CIBA Core §7.1.1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackchannelRequest:
    """A judged request, but for whom it is about."""

    request: AuthorizationRequest
    lifetime: timedelta
    hint: Subject | None = field(repr=False)
    """The client's own `sub` (login_hint); None where an ID token says it."""
    id_token_hint: str | None = field(repr=False)
    notification_token: str | None = field(repr=False)
    """How the client knows our notification; with `ping` alone."""


def must_be_signed(client: Client) -> bool:
    """FAPI-CIBA §5.2.2, and whoever registered an algorithm for it (CIBA Core §4)."""
    return client.profile is SecurityProfile.FAPI2 or client.ciba_request_alg is not None


def settle(
    outside: Mapping[str, str], client: Client, *, jwks: Mapping[str, Any], issuer: str, now: datetime
) -> Mapping[str, str]:
    """The parameters to judge: those beside the signed request, or those in it and no others (CIBA Core §7.1.1).

    Raises InvalidRequest, which is the only word that CIBA Core §13 has for a bad object.
    """
    token = outside.get("request")
    if token is None:
        if must_be_signed(client):
            raise InvalidRequest("requests of this client are signed")
        return outside
    if not outside.keys() <= _OF_THE_CLIENT:
        raise InvalidRequest("parameters stand beside the signed request (CIBA Core §7.1.1)")
    strict = client.profile is SecurityProfile.FAPI2
    try:
        claims = verify(token, jwks=jwks, fapi=strict, registered_alg=client.ciba_request_alg)
        check_claims(claims, client_id=client.client_id, issuer=issuer, now=now, fapi=False, required=CIBA_MEMBERS)
        if claims["exp"] - claims["nbf"] > MAX_LIFETIME.total_seconds():
            raise InvalidRequestObject("exp is more than 60 minutes after nbf")
        return parameters(claims)
    except (InvalidRequestObject, RequestNotSupported) as refused:
        raise InvalidRequest(f"request object: {refused}") from refused


def judge(asked: Mapping[str, str], client: Client) -> BackchannelRequest:
    """CIBA Core §7.1. Raises InvalidRequest, InvalidScope, InvalidBindingMessage. `user_code` is not supported."""
    hints = [name for name in _HINTS if name in asked]
    if len(hints) != 1:
        raise InvalidRequest("exactly one hint says whom it is about")
    if hints == ["login_hint_token"]:
        raise InvalidRequest("login_hint_token is not served; login_hint takes the sub that this client knows")
    request = AuthorizationRequest(
        client_id=client.client_id,
        redirect_uri="",
        code_challenge="",
        scope=granted_scope(asked, client),
        prompt=frozenset({"consent"}),
        ui_locales=asked.get("ui_locales"),
        acr_values=tuple(asked.get("acr_values", "").split()),
        binding_message=_binding_message(asked.get("binding_message")),
    )
    return BackchannelRequest(
        request=request,
        lifetime=_lifetime(asked.get("requested_expiry")),
        hint=Subject(asked["login_hint"]) if "login_hint" in asked else None,
        id_token_hint=asked.get("id_token_hint"),
        notification_token=_notification_token(asked.get("client_notification_token"), client),
    )


def _binding_message(text: str | None) -> str | None:
    if text is not None and (len(text) > _LONGEST_MESSAGE or UNSEEN.search(text)):
        raise InvalidBindingMessage(f"at most {_LONGEST_MESSAGE} characters that can be seen")
    return text


def _lifetime(text: str | None) -> timedelta:
    if text is None:
        return LIFETIME
    if not re.fullmatch(r"[1-9][0-9]{0,8}", text):
        raise InvalidRequest("requested_expiry is a positive number of seconds")
    return min(timedelta(seconds=int(text)), LONGEST)


def _notification_token(text: str | None, client: Client) -> str | None:
    if client.ciba_delivery_mode != "ping":
        return None
    if text is None or not _TOKEN.fullmatch(text):
        raise InvalidRequest("client_notification_token is required with ping: 1 to 1024 characters of a bearer token")
    return text
