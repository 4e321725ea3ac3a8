"""A doctor's login and a patient's, joined by one id (design 4.14): what a client may order, and what it is told."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any, Final

from broker.errors import InvalidRequest

PARAMETER: Final = "joint_transaction_id"
CLAIM: Final = "urn:jpki-broker:claim:joint"
LIFETIME: Final = timedelta(minutes=10)
"""From the order to the doctor's card, and from there to the patient's."""
MAX_ORDER: Final = 4 * 1024
"""Octets."""
MAX_PURPOSE: Final = 100
"""Characters, as the agent shows them."""
MAX_ROLE: Final = 64
_ID: Final = re.compile(r"[A-Za-z0-9_-]{22,64}")


class State(StrEnum):
    """How far a joint transaction is. Each step is taken once."""

    ORDERED = "ordered"
    """It waits for the doctor's card."""
    BEGUN = "begun"
    """It waits for the patient's."""
    COMPLETE = "complete"
    ENDED = "ended"
    """One of the two, or the client, said no."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JointOrder:
    """What a client orders. `role` is the licence that the doctor's certificate must state, as an exact string."""

    purpose: str
    role: str


def read_parameter(value: str | None) -> str | None:
    """The parameter of an authorization request. Raises InvalidRequest."""
    if value is not None and not _ID.fullmatch(value):
        raise InvalidRequest(f"{PARAMETER} is not as we gave it")
    return value


def read_order(given: Mapping[str, Any]) -> JointOrder:
    """The body of an order. Raises InvalidRequest."""
    if given.keys() != {"purpose", "role"}:
        raise InvalidRequest("purpose and role, and nothing else")
    return JointOrder(
        purpose=_text(given["purpose"], "purpose", MAX_PURPOSE), role=_text(given["role"], "role", MAX_ROLE)
    )


def _text(value: object, name: str, longest: int) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= longest or not value.strip():
        raise InvalidRequest(f"{name}: 1 to {longest} characters")
    if any(unicodedata.category(character) in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"} for character in value):
        raise InvalidRequest(f"{name}: without characters that cannot be seen, or change the direction of others")
    return value
