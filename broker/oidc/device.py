"""Device authorization: a short code that a person types on a second device (RFC 8628)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Final

from broker import letters
from broker.errors import UnauthorizedClient
from broker.oidc.approval import granted_scope
from broker.oidc.authorization import AuthorizationRequest
from broker.oidc.client import Client, GrantType

LIFETIME: Final = timedelta(seconds=600)
LENGTH: Final = 8
"""20^8 codes, 34 bits. With at most 600 wrong tries in ten minutes for everybody together (flows.device), and a
thousand codes open at once, a stranger meets one of them in such a window with a chance of 1 in 40 000."""


def mint_user_code(entropy: Callable[[int], bytes]) -> str:
    """A code as it is compared, without the hyphen."""
    return letters.mint(entropy, length=LENGTH)


def shown(user_code: str) -> str:
    """As it is shown, XXXX-XXXX."""
    return letters.shown(user_code, group=LENGTH // 2)


def read_user_code(text: str) -> str | None:
    """What a person meant (`letters.read`); None where it cannot be a code."""
    return letters.read(text, length=LENGTH)


def judge(parameters: Mapping[str, str], client: Client) -> AuthorizationRequest:
    """What an authenticated client asks for (RFC 8628 §3.1). Raises UnauthorizedClient, InvalidScope.

    The resident is always asked for their consent, also where they gave it before: the code may have come from a
    stranger (RFC 8628 §5.4). Unknown parameters are ignored.
    """
    if GrantType.DEVICE_CODE not in client.grant_types:
        raise UnauthorizedClient("the client is not registered for device_code")
    return AuthorizationRequest(
        client_id=client.client_id,
        redirect_uri="",
        code_challenge="",
        scope=granted_scope(parameters, client),
        prompt=frozenset({"consent"}),
        ui_locales=parameters.get("ui_locales"),
    )
