"""What a request may say about one value: OIDC Core §5.5.1, and `purpose` and `max_age` of Identity Assurance 1.0.

`null` asks for whatever there is; an object may name the values that will do, an age, and what it is wanted for.
"""

from __future__ import annotations

import json
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from broker.errors import InvalidRequest

MAX_VALUES: Final = 32
MAX_AGE: Final = 10**10
"""Seconds, some 300 years: more says nothing."""
_PURPOSE: Final = range(3, 301)  # characters, Identity Assurance 1.0
_UNSEEN: Final = frozenset({"Cc", "Cf", "Zl", "Zp"})  # what could disguise the words on the consent page


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraint:
    """What was said about one value."""

    essential: bool = False
    """The client's word only: nothing is refused for want of an essential claim (but see `acr`)."""
    values: tuple[str, ...] | None = None
    """The values that will do, each as JSON; None: any."""
    single: bool = False
    """They came as `value`, not `values`."""
    max_age: int | None = None
    """Seconds that may have passed since the date that is asked for."""
    purpose: str | None = None
    """What the client wants it for; shown to the resident, escaped."""

    @property
    def restricts(self) -> bool:
        """Whether some value could fail it."""
        return self.values is not None or self.max_age is not None

    def admits(self, value: Any, *, now: datetime) -> bool:
        """Whether `value` will do."""
        if self.values is not None and _canonical(value) not in self.values:
            return False
        return self.max_age is None or _young(value, timedelta(seconds=self.max_age), now)


ANYTHING: Final = Constraint()
WORDS: Final = frozenset({"essential", "value", "values", "max_age", "purpose"})
"""The members of a constraint that mean something."""


def read(where: str, given: Any) -> Constraint:
    """The constraint that `given`, parsed JSON, makes; members nobody knows are ignored (§5.5.1).

    Raises InvalidRequest.
    """
    if given is None:
        return ANYTHING
    if not isinstance(given, dict):
        raise InvalidRequest(f"{where}: null or an object (OIDC Core §5.5.1)")
    essential = given.get("essential", False)
    if not isinstance(essential, bool):
        raise InvalidRequest(f"{where}: essential is true or false")
    values: tuple[str, ...] | None = None
    if "value" in given:
        if "values" in given:
            raise InvalidRequest(f"{where}: value or values, not both")
        values = (_canonical(given["value"]),)
    elif "values" in given:
        listed = given["values"]
        if not isinstance(listed, list) or not 1 <= len(listed) <= MAX_VALUES:
            raise InvalidRequest(f"{where}: values is an array of 1 to {MAX_VALUES}")
        values = tuple(_canonical(value) for value in listed)
    return Constraint(
        essential=essential,
        values=values,
        single="value" in given,
        max_age=_age(where, given.get("max_age")),
        purpose=_words(where, given.get("purpose")),
    )


def tell(constraint: Constraint) -> dict[str, Any] | None:
    """The JSON that `read` makes the same constraint of."""
    told: dict[str, Any] = {}
    if constraint.essential:
        told["essential"] = True
    if constraint.values is not None:
        values = [json.loads(value) for value in constraint.values]
        told |= {"value": values[0]} if constraint.single else {"values": values}
    if constraint.max_age is not None:
        told["max_age"] = constraint.max_age
    if constraint.purpose is not None:
        told["purpose"] = constraint.purpose
    return told or None


def _canonical(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=True)


def _age(where: str, given: Any) -> int | None:
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 <= given <= MAX_AGE:
        raise InvalidRequest(f"{where}: max_age is a number of seconds")
    return int(given)


def _words(where: str, given: Any) -> str | None:
    if given is None:
        return None
    if not isinstance(given, str) or len(given) not in _PURPOSE:
        raise InvalidRequest(f"{where}: purpose is a text of 3 to 300 characters")
    if any(unicodedata.category(character) in _UNSEEN for character in given):
        raise InvalidRequest(f"{where}: purpose holds control or direction marks")
    return given


def _young(value: Any, limit: timedelta, now: datetime) -> bool:
    """A date counts from its last second on (Identity Assurance 1.0); what is no date is never young enough."""
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return False
    if len(value) == len("2026-04-01"):
        moment = moment.replace(hour=23, minute=59, second=59)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return now - moment <= limit
