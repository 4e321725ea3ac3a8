"""Binding a service's number to the holder of a card (官民ID連携): the card is read twice, for one and the same thing.

The second request names what the card signed at the first. We hold it against the request and against the card here
too: another service, another number or another card in the middle is refused before any PIN.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from cardreader.agent.display import displayable
from cardreader.agent.jose import decode_base64url
from cardreader.errors import ActionUnknown, LinkCardChanged, RequestMalformed

LINK_START_TAG: Final = "JPKI-FED-LINK-START/1"
LINK_COMMIT_TAG: Final = "JPKI-FED-LINK-COMMIT/1"
LINK_TAGS: Final = (LINK_START_TAG, LINK_COMMIT_TAG)
_OWN: Final = frozenset({"commitment", "kind", "label", "release", "shown"})
_LONGEST: Final[Mapping[str, int]] = {"label": 40, "shown": 64, "replaces": 64, "source": 80}  # characters
_HASHES: Final = 8
_FRAME: Final = len(LINK_START_TAG) + 1 + _HASHES * 32 + 8 + 32  # bytes
_AT: Final = {"iss": 0, "origin": 1, "client_id": 4, "action": 6}
"""Which of a frame's hashes is of which part of the request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """What is bound. `shown` is the number as far as it may be seen; "" where the service reads that of `source`."""

    step: Literal["start", "commit"]
    label: str
    shown: str
    replaces: str
    """The number it takes the place of, as far as that may be seen; "" for none."""
    source: str
    """The service whose number is read; "" where it is the asking service's own."""

    @property
    def number(self) -> str:
        """The number with what the service calls it, safe to show."""
        return displayable(f"{self.label} {self.shown}".strip(), at_most=110)

    @property
    def display_source(self) -> str:
        """Safe to show."""
        return displayable(self.source, at_most=80)

    @property
    def display_replaces(self) -> str:
        """Safe to show."""
        return displayable(self.replaces, at_most=64)


def parse_link(tag: str, action: Mapping[str, Any]) -> Link:
    """Read the action of a link's request. Raises ActionUnknown, RequestMalformed."""
    if action.get("kind") != "link" or action.get("release") != ["linked_id"]:
        raise ActionUnknown("a link's action is of kind link and releases linked_id alone")
    others = action.keys() - _OWN
    if action.keys() != _OWN | others or others not in (set(), {"replaces"}, {"source"}):
        raise ActionUnknown("a link's action has members without a template, or lacks some")
    texts = {name: _text(name, action.get(name, "")) for name in _LONGEST}
    own = bool(displayable(texts["shown"]))
    if own is bool(displayable(texts["source"])) or ("source" in action and (texts["label"] or texts["shown"])):
        raise ActionUnknown("a link is to a number of the service, or to another service's: to one of the two")
    if "replaces" in action and not displayable(texts["replaces"]):
        raise RequestMalformed("replaces cannot be seen")
    commitment = action["commitment"]
    if not isinstance(commitment, str) or len(decode_base64url(commitment[:64], what="commitment")) != 32:
        raise RequestMalformed("commitment is not 32 bytes")
    return Link(step="start" if tag == LINK_START_TAG else "commit", **texts)


def check_previous(previous: bytes, claims: Mapping[str, Any], *, origin: str) -> None:
    """The first reading names nothing before it; the second the first one's frame, of this very service and number.

    Raises RequestMalformed.
    """
    if claims["tag"] == LINK_START_TAG:
        if previous:
            raise RequestMalformed("a link's start follows nothing")
        return
    head = LINK_START_TAG.encode() + b"\0"
    if len(previous) != _FRAME or not previous.startswith(head):
        raise RequestMalformed("a link's commit follows a start")
    hashes = [previous[at : at + 32] for at in range(len(head), len(head) + _HASHES * 32, 32)]
    for name, place in _AT.items():
        text = origin if name == "origin" else str(claims[name])
        if hashes[place] != hashlib.sha256(text.encode()).digest():
            raise RequestMalformed(f"a link's commit and its start differ in {name}")


def check_same_card(previous: bytes, certificate: bytes) -> None:
    """Raise LinkCardChanged where `certificate` (DER) is not the one that `previous`, a frame, ends with."""
    if previous[-32:] != hashlib.sha256(certificate).digest():
        raise LinkCardChanged("another card than at the first reading")


def _text(name: str, value: object) -> str:
    if not isinstance(value, str) or len(value) > _LONGEST[name]:
        raise RequestMalformed(f"{name} is no text of at most {_LONGEST[name]} characters")
    return value
