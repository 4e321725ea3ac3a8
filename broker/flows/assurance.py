"""What a fresh signature proves about how somebody logged in, by what holds the key (design 4.10).

`amr` values are RFC 8176's. A plastic card signs only after its PIN was typed, so the signature proves the PIN. A phone
may have been unlocked by a face or a finger instead, and nothing that reaches us tells which: `pin` is not claimed, nor
`aal3`, which is for a card signature with PIN. That a key in its hardware was released by its holder is proved.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from broker.jpki.profile import PHONES, PLASTIC
from broker.oidc import licence
from broker.oidc.grants import Authentication

_PHONE: Final = ("aal2", ("hwk", "mfa"))
_PROVED: Final = {
    PLASTIC: ("aal3", ("hwk", "pin", "sc", "mfa")),
    **dict.fromkeys(PHONES, _PHONE),
    licence.KIND: (licence.ACR, ("hwk", "pin", "sc", "mfa")),  # as strong, and never mistaken for a MyNumber card
}


def reachable(kinds: Iterable[str]) -> frozenset[str]:
    """Every `acr` that a login may come to where certificates of these kinds log in."""
    return frozenset(_PROVED[kind][0] for kind in kinds)


def fresh_signature(kind: str, *, at: datetime) -> Authentication:
    """The `auth_time`, `acr` and `amr` of a signature made `at`, by a key in `kind` (TrustedCertificate.kind).

    Raises KeyError for a kind that no login profile has: that is our own fault.
    """
    acr, amr = _PROVED[kind]
    return Authentication(time=at, acr=acr, amr=amr)
