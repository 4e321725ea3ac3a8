"""Device authorization: a short code that a person types on a second device (RFC 8628)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Final

from broker import letters
from broker.errors import InvalidRequest, UnauthorizedClient
from broker.oidc.approval import UNSEEN, DeviceKind, granted_scope
from broker.oidc.authorization import AuthorizationRequest
from broker.oidc.client import Client, GrantType

LIFETIME: Final = timedelta(seconds=300)
LENGTH: Final = 8
"""20^8 codes, 34 bits. With at most 600 wrong tries in ten minutes for everybody together (flows.device), and a
thousand codes open at once, a stranger meets one of them in such a window with a chance of 1 in 40 000."""
LONGEST_PLACE: Final = 40
"""Characters of what a device says of where it stands."""
_DECLARED: Final = frozenset(DeviceKind) - {DeviceKind.BROWSER}
_NUMBERED: Final = re.compile(r"(?P<letters>.*[^0-9])(?P<number>[0-9]{2})")


def mint_user_code(entropy: Callable[[int], bytes]) -> str:
    """A code as it is compared, without the hyphen."""
    return letters.mint(entropy, length=LENGTH)


def mint_number(entropy: Callable[[int], bytes]) -> str:
    """The two digits behind a code, 10 to 99."""
    return str(10 + int.from_bytes(entropy(8), "big") % 90)


def shown(user_code: str, number: str | None = None) -> str:
    """As it is shown, XXXX-XXXX, with its number XXXX-XXXX-99 (as the device's screen has it)."""
    return "-".join(filter(None, (letters.shown(user_code, group=LENGTH // 2), number)))


def read_user_code(text: str) -> tuple[str, str | None] | None:
    """What a person meant (`letters.read`), and the number if they typed it too; None where it cannot be a code."""
    wide = unicodedata.normalize("NFKC", text[:64]).strip()
    numbered = _NUMBERED.fullmatch(wide)
    code = letters.read(numbered["letters"] if numbered else text, length=LENGTH)
    return None if code is None else (code, numbered["number"] if numbered else None)


def read_number(text: str) -> str | None:
    """The two digits that a person typed, full-width ones too; None where they are not two digits."""
    wide = unicodedata.normalize("NFKC", text[:16]).strip()
    return wide if re.fullmatch(r"[0-9]{2}", wide) else None


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


def described(parameters: Mapping[str, str]) -> tuple[DeviceKind | None, str | None]:
    """What a device says of itself: `device_kind` and `device_place`, both optional and of our own making.

    Raises InvalidRequest for a kind that we have no word for, and for a place that is too long or cannot be seen.
    """
    kind, place = parameters.get("device_kind"), parameters.get("device_place")
    if kind is not None and kind not in _DECLARED:
        raise InvalidRequest(f"device_kind is one of {', '.join(sorted(_DECLARED))}")
    if place is not None and (not place.strip() or len(place) > LONGEST_PLACE or UNSEEN.search(place)):
        raise InvalidRequest(f"device_place: 1 to {LONGEST_PLACE} characters that can be seen")
    return (None if kind is None else DeviceKind(kind)), place
