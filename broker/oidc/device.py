"""Device authorization: a short code that a person types on a second device (RFC 8628)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Final

from broker.errors import UnauthorizedClient
from broker.oidc.approval import granted_scope
from broker.oidc.authorization import AuthorizationRequest
from broker.oidc.client import Client, GrantType

LIFETIME: Final = timedelta(seconds=600)
ALPHABET: Final = "BCDFGHJKLMNPQRSTVWXZ"
"""RFC 8628 §6.1: no vowels (no words), nothing that looks like a digit, one case."""
LENGTH: Final = 8
"""20^8 codes, 34 bits. With at most 600 wrong tries in ten minutes for everybody together (flows.device), and a
thousand codes open at once, a stranger meets one of them in such a window with a chance of 1 in 40 000."""
_GIVEN: Final = re.compile(rf"[{ALPHABET}]{{{LENGTH}}}")
_LONGEST: Final = 64


def mint_user_code(entropy: Callable[[int], bytes]) -> str:
    """A code as it is compared, without the hyphen; the bias of the remainder is below 2^-90."""
    number = int.from_bytes(entropy(16), "big")
    letters = []
    for _ in range(LENGTH):
        number, letter = divmod(number, len(ALPHABET))
        letters.append(ALPHABET[letter])
    return "".join(letters)


def shown(user_code: str) -> str:
    """As it is shown, XXXX-XXXX."""
    return f"{user_code[: LENGTH // 2]}-{user_code[LENGTH // 2 :]}"


def read_user_code(text: str) -> str | None:
    """What a person meant: full-width and lower-case letters, spaces and any hyphens are forgiven (RFC 8628 §6.1).

    None where it cannot be a code.
    """
    if len(text) > _LONGEST:
        return None
    wide = unicodedata.normalize("NFKC", text).upper()
    # Japanese keyboards write the long-vowel mark and the minus sign where others write a hyphen.
    letters = "".join(
        letter for letter in wide if unicodedata.category(letter) not in {"Pd", "Zs"} and letter not in "\u30fc\u2212"
    )
    return letters if _GIVEN.fullmatch(letters) else None


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
