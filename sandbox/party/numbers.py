"""A service's own number, bound to a login at the broker (官民ID連携): asked for by server, checked on return.

What is under way is kept in this browser's own session, so nobody else's answer is taken for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from flask import session
from werkzeug.wrappers import Response

from sandbox.party.relying_party import RelyingParty
from sandbox.party.visits import Visit

SCOPES: Final = ("openid", "linked_id")
_ASKED: Final = "number_asked"


class Standing(StrEnum):
    """What became of a link, as the broker says."""

    STARTED = "started"
    HELD = "held"
    ACTIVE = "active"
    ENDED = "ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A number on its way through the broker."""

    link_id: str
    number: str
    replaces: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What came of it. `alarms` are the broker's words for what it met (R6)."""

    asked: Asked
    standing: Standing
    alarms: tuple[str, ...] = ()


class Numbers:
    """The links of one service. Its calls raise CallRefused and BrokerUnavailable."""

    def __init__(self, relying_party: RelyingParty) -> None:
        self._relying_party = relying_party

    def begin(self, number: str, *, label: str, ui_locales: str, person: str = "", replaces: str = "") -> Response:
        """Ask for `number` and send the browser off; `person` is the `sub` whose card it must be, where one is here."""
        fields = {"linked_id": number, "label": label, "sub": person, "replaces": replaces}
        told = self._relying_party.call("/api/links", {name: value for name, value in fields.items() if value})
        session[_ASKED] = [told["link_id"], number, replaces]
        return self._relying_party.start(ui_locales=ui_locales, scope=SCOPES, link_request=str(told["link_request"]))

    def under_way(self) -> Asked | None:
        """What this browser was sent off for, once."""
        kept = session.pop(_ASKED, None)
        return None if kept is None else Asked(link_id=kept[0], number=kept[1], replaces=kept[2])

    def told(self, asked: Asked, visit: Visit) -> Told:
        """Bound is what the ID token says; else the broker says why not."""
        if visit.claims.get("linked_id") == asked.number:
            return Told(asked=asked, standing=Standing.ACTIVE)
        state = self._relying_party.call("/api/links/state", {"link_id": asked.link_id})
        standing = Standing(state["state"])
        if standing is Standing.ACTIVE:  # of somebody or something else than this token speaks of
            standing = Standing.ENDED
        return Told(asked=asked, standing=standing, alarms=tuple(state.get("alarms", ())))

    def confirm(self, link_id: str) -> None:
        """We have looked by means of our own, as at a counter: it is right (R6)."""
        self._relying_party.call("/api/links/confirm", {"link_id": link_id})

    def end(self, *, link_id: str = "", person: str = "") -> None:
        """No card is needed for it."""
        fields = {"link_id": link_id, "sub": person}
        self._relying_party.call("/api/links/end", {name: value for name, value in fields.items() if value})
