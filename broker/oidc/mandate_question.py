"""A question about a power of attorney: may the person who logs in do this act for somebody else (RFC 9396 §2)?

It names one act, and either a procuring entity (`locations`: the power of a business) or nobody (the power of a family
at the asking client itself). `identifier` names for whom, by the pseudonym that the client knows, and `mandate` one
power of attorney by its number.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from broker.errors import InvalidAuthorizationDetails

TYPE: Final = "urn:jpki-broker:details:mandate"
MAX_QUESTIONS: Final = 4
"""In one request."""
MAX_AMOUNT: Final = 10**15
PIN: Final = "pin"
"""Internal member of a granted question: the number of the mandate that the resident was shown. No client writes or
reads it."""
BUSINESS_ACTS: Final = frozenset(
    {
        *("bid", "quote", "contract", "amend", "deliver", "invoice", "receive", "bond", "submit"),
        *("attend_opening", "appoint_subagent"),
    }
)
FAMILY_ACTS: Final = frozenset({"view_record", "write_record", "book", "submit"})
"""`delegation.acts` by name: this room knows no mandates."""
_MEMBERS: Final = frozenset(
    {
        *("type", "actions", "locations", "case_no", "category", "amount", "tax_included", "mandate"),
        "identifier",
    }
)
_BUSINESS_MEMBERS: Final = frozenset({"case_no", "category", "amount", "tax_included"})
_CODE: Final = re.compile(r"[A-Za-z0-9._:/-]{1,200}", re.ASCII)
_NUMBER: Final = re.compile(r"[A-Za-z0-9_-]{22,64}", re.ASCII)
_TEXT: Final = re.compile(r"[^\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]{1,300}")


@dataclass(frozen=True, slots=True, kw_only=True)
class MandateQuestion:
    """One question. What is None is not said."""

    act: str
    entity: str | None = None
    """Code of a procuring entity; None: a family's question."""
    case_number: str | None = None
    category: str | None = None
    amount: int | None = None
    """Whole yen."""
    tax_included: bool = True
    mandate: str | None = None
    identifier: str | None = None
    pin: str | None = None


def check(members: Mapping[str, Any]) -> None:
    """Raises InvalidAuthorizationDetails (RFC 9396 §5)."""
    if unknown := members.keys() - _MEMBERS:
        raise InvalidAuthorizationDetails(f"{min(unknown)[:64]} is no member of a question about a mandate")
    actions, locations = members.get("actions", []), members.get("locations")
    if len(actions) != 1:
        raise InvalidAuthorizationDetails("actions: one act a question")
    if locations is None:
        if strange := members.keys() & _BUSINESS_MEMBERS:
            raise InvalidAuthorizationDetails(f"{min(strange)} goes with locations, a procuring entity")
    elif len(locations) != 1 or not _CODE.fullmatch(locations[0]):
        raise InvalidAuthorizationDetails("locations: the code of one procuring entity")
    if actions[0] not in (FAMILY_ACTS if locations is None else BUSINESS_ACTS):
        raise InvalidAuthorizationDetails("actions: no such act")
    for name, form in (("case_no", _TEXT), ("category", _TEXT), ("mandate", _NUMBER), ("identifier", _TEXT)):
        if name in members and not (isinstance(members[name], str) and form.fullmatch(members[name])):
            raise InvalidAuthorizationDetails(f"{name}: not as it is written")
    amount = members.get("amount")
    if amount is not None and (isinstance(amount, bool) or not isinstance(amount, int)):
        raise InvalidAuthorizationDetails("amount: whole yen")
    if "amount" in members and (amount is None or not 1 <= amount <= MAX_AMOUNT):
        raise InvalidAuthorizationDetails(f"amount: 1 to {MAX_AMOUNT} yen")
    if "tax_included" in members and (amount is None or not isinstance(members["tax_included"], bool)):
        raise InvalidAuthorizationDetails("tax_included: true or false, and with an amount")


def read(members: Mapping[str, Any]) -> MandateQuestion:
    """The question in members that `check` let pass, or that have been granted."""
    return MandateQuestion(
        act=members["actions"][0],
        entity=members["locations"][0] if "locations" in members else None,
        case_number=members.get("case_no"),
        category=members.get("category"),
        amount=members.get("amount"),
        tax_included=members.get("tax_included", True),
        mandate=members.get("mandate"),
        identifier=members.get("identifier"),
        pin=members.get(PIN),
    )


def covers(granted: Mapping[str, Any], asked: Mapping[str, Any]) -> bool:
    """Whether the resident who agreed to one question agreed to the other: the same, or about a smaller amount."""
    whole, part = dict(granted), dict(asked)
    whole.pop(PIN, None)
    most, amount = whole.pop("amount", None), part.pop("amount", None)
    return whole == part and (most is None) == (amount is None) and (most is None or amount <= most)
