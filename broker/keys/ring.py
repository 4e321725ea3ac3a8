"""Which key signs, which are published and which have run out: the timetable of a rotation, as a pure function of time.

A line is the keys of one use and one algorithm. A key begins at its own time and is followed by the next of its line;
no end is written anywhere. Every process that has read the same file therefore changes over at the same moment.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from broker.accounts.session import LIFETIME as SESSION_LIFETIME
from broker.flows.card_prompt import TRANSACTION_LIFETIME
from broker.flows.ports import JWKS_MAX_AGE, KeyUse
from broker.jose import Signer
from broker.oidc.tokens import ACCESS_TOKEN_LIFETIME, ID_TOKEN_LIFETIME

NOTICE: Final = timedelta(seconds=2)
"""Until every process of this machine has seen a new key file; they look once a second."""

PUBLISHED_BEFORE: Final = JWKS_MAX_AGE + NOTICE
"""From a key's publication to its first signature: by then nobody may still hold a JWK Set without it."""

_SKEW: Final = timedelta(minutes=5)
"""For clocks that differ, and for what was being signed at the change."""

OVERLAP: Final[Mapping[KeyUse, timedelta]] = {
    KeyUse.ID_TOKEN: max(ID_TOKEN_LIFETIME, SESSION_LIFETIME) + _SKEW,  # a logout hint is good as long as its session
    KeyUse.ACCESS_TOKEN: ACCESS_TOKEN_LIFETIME + _SKEW,
    KeyUse.CARD_REQUEST: TRANSACTION_LIFETIME + _SKEW,
    KeyUse.REQUEST_ENCRYPTION: timedelta(hours=1) + JWKS_MAX_AGE,  # the longest-lived request object we accept
    KeyUse.REGISTER_LOG: _SKEW,  # as of a receipt key; a verifier's own policy names it as well
    KeyUse.MANDATE_SEAL: _SKEW,  # what it sealed is checked with its certificate, which stands in the document
    KeyUse.MANDATE_STATUS: _SKEW,  # as of a receipt key: lists of ten years are judged by the history
    KeyUse.RECEIPT: _SKEW,  # it only has to finish signing: its public half goes to the history, and stays
}
"""How long a key is kept after the next one began."""

HISTORIC: Final = frozenset({KeyUse.RECEIPT, KeyUse.REGISTER_LOG, KeyUse.MANDATE_STATUS})
"""What was signed is shown again years later: of these the public halves stay."""

MAX_IN_LINE: Final = 12
"""Keys of one use and algorithm at a time: rotating faster than they run out is refused, not piled up."""


class State(StrEnum):
    """Where in its life a key stands."""

    WAITING = "waiting"
    CURRENT = "current"
    OVERLAPPING = "overlapping"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class Former:
    """The public half of a key that was destroyed: what it signed is checked for years."""

    use: KeyUse
    alg: str
    kid: str
    jwk: Mapping[str, str]
    begins: int
    ends: int
    """Unix time after which it has signed nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """One key that the installation holds. It has a `signer` or a `decryption` key, by its use."""

    use: KeyUse
    alg: str
    kid: str
    jwk: Mapping[str, str]
    """Its public members alone."""
    begins: int
    """Unix time of its first use; 0 for the keys of the first day."""
    place: str
    """`file` or `token`."""
    signer: Signer | None = field(default=None, repr=False)
    decryption: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | None = field(default=None, repr=False)


class Ring:
    """All keys of an installation; never changes."""

    def __init__(self, keys: Iterable[Held], former: Iterable[Former] = ()) -> None:
        lines: dict[tuple[KeyUse, str], list[Held]] = {}
        self.keys = tuple(keys)
        self.former = tuple(former)
        for key in self.keys:
            lines.setdefault((key.use, key.alg), []).append(key)
        self._lines = {
            name: tuple(sorted(line, key=lambda key: key.begins)) for name, line in lines.items()
        }  # a stable sort: of two keys that begin together the later made one signs

    def current(self, use: KeyUse, alg: str, *, now: float) -> Held | None:
        """The key in use at `now` (Unix time); None before the first of its line begins."""
        for key in reversed(self._lines.get((use, alg), ())):
            if key.begins <= now:
                return key
        return None

    def algorithms(self, use: KeyUse, *, now: float) -> tuple[str, ...]:
        """The algorithms that have a key in use."""
        return tuple(alg for of, alg in self._lines if of is use and self.current(use, alg, now=now) is not None)

    def line(self, use: KeyUse, alg: str) -> tuple[Held, ...]:
        """The keys of one use and algorithm, first to begin first."""
        return self._lines.get((use, alg), ())

    def lines(self, use: KeyUse) -> tuple[str, ...]:
        """The algorithms of every key of a use, begun or not."""
        return tuple(alg for of, alg in self._lines if of is use)

    def ends(self, key: Held) -> int | None:
        """Unix time at which everything `key` was used for has run out; None while no other follows it."""
        line = self._lines[key.use, key.alg]
        following = line[line.index(key) + 1 :]
        return following[0].begins + int(OVERLAP[key.use].total_seconds()) if following else None

    def state(self, key: Held, *, now: float) -> State:
        """Where `key` stands at `now` (Unix time)."""
        if key.begins > now:
            return State.WAITING
        if self.current(key.use, key.alg, now=now) is key:
            return State.CURRENT
        ends = self.ends(key)
        return State.EXPIRED if ends is not None and ends <= now else State.OVERLAPPING

    def jwks(self, uses: Iterable[KeyUse], *, now: float) -> dict[str, Any]:
        """What verifiers and senders may know at `now` (RFC 7517 §5).

        An encryption key is published while it is in use only: whoever encrypted to one that is about to go would be
        left with something that nobody can read.
        """
        return {
            "keys": [
                {
                    **key.jwk,
                    "kid": key.kid,
                    "use": "enc" if use is KeyUse.REQUEST_ENCRYPTION else "sig",
                    "alg": key.alg,
                }
                for use in uses
                for alg in self.lines(use)
                for key in self._lines[use, alg]
                if self._is_public(key, now=now)
            ]
        }

    def _is_public(self, key: Held, *, now: float) -> bool:
        state = self.state(key, now=now)
        return state is State.CURRENT or (
            key.use is not KeyUse.REQUEST_ENCRYPTION and state in {State.WAITING, State.OVERLAPPING}
        )

    def history(self, use: KeyUse) -> list[dict[str, Any]]:
        """Every key of a use of HISTORIC there ever was, oldest first, as OpenID Federation 1.0 §8.7 shows them."""
        told = [_shown(key.jwk, key.kid, key.alg, key.begins, key.ends) for key in self.former if key.use is use]
        for alg in self.lines(use):
            for key in self.line(use, alg):
                told.append(_shown(key.jwk, key.kid, key.alg, key.begins, self.ends(key)))
        return told

    def expired(self, *, now: float) -> tuple[Held, ...]:
        """The keys that nothing alive depends on any more."""
        return tuple(key for key in self.keys if self.state(key, now=now) is State.EXPIRED)


def _shown(jwk: Mapping[str, str], kid: str, alg: str, begins: int, ends: int | None) -> dict[str, Any]:
    told: dict[str, Any] = {**jwk, "kid": kid, "use": "sig", "alg": alg}
    if begins:  # 0 is the first day, which has no moment
        told["nbf"] = begins
    if ends is not None:
        told["exp"] = ends
    return told
