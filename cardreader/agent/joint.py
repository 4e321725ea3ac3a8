"""A doctor's login by HPKI card, and the matter that a doctor's card and a patient's join in (design 4.14).

Two requests, one card each. The patient's says who the doctor is by the doctor's certificate, so that a person sees
with whom and what for before any PIN.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from cardreader.agent.display import displayable
from cardreader.errors import ActionUnknown, RequestMalformed

PROFESSION_TAG: Final = "JPKI-FED-PROFESSION/1"
"""Signed by an HPKI card's key for authentication, and by no MyNumber card."""
JOINT_TAG: Final = "JPKI-FED-JOINT/1"
"""Signed by the patient's MyNumber card."""
JOINT_TAGS: Final = (PROFESSION_TAG, JOINT_TAG)
MAX_PURPOSE: Final = 100  # characters
_MAX_NAME: Final = 80  # characters
_MAX_ROLES: Final = 8
_MAX_ROLE: Final = 64  # characters
_ID = re.compile(r"[A-Za-z0-9_-]{22,64}\Z")
_DOCTOR: Final = frozenset({"name", "organization", "roles"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Joint:
    """What two people's cards join in. `name`, `organization` and `roles` are the doctor's, as certified.

    They are empty in the doctor's own request: the card there shows who it is.
    """

    joint_id: str
    purpose: str
    name: str = ""
    organization: str = ""
    roles: tuple[str, ...] = ()

    @property
    def display_purpose(self) -> str:
        """Safe to show."""
        return displayable(self.purpose, at_most=MAX_PURPOSE)

    @property
    def display_name(self) -> str:
        """Safe to show."""
        return displayable(self.name, at_most=_MAX_NAME)

    @property
    def display_organization(self) -> str:
        """Safe to show."""
        return displayable(self.organization, at_most=_MAX_NAME)

    @property
    def display_roles(self) -> tuple[str, ...]:
        """Safe to show."""
        return tuple(displayable(role, at_most=_MAX_ROLE) for role in self.roles)


def parse_joint(tag: str, action: Mapping[str, Any]) -> Joint | None:
    """Read the action of either request; None for a doctor's plain login. Raises ActionUnknown, RequestMalformed."""
    if tag == PROFESSION_TAG and not action:
        return None
    wanted = {"joint", "purpose"} | ({"doctor"} if tag == JOINT_TAG else set())
    if action.keys() != wanted:
        raise ActionUnknown("a joint matter has members without a template, or lacks some")
    joint_id = action["joint"]
    if not isinstance(joint_id, str) or not _ID.match(joint_id):
        raise RequestMalformed("joint is no id")
    purpose = _text(action["purpose"], "purpose", MAX_PURPOSE)
    if tag == PROFESSION_TAG:
        return Joint(joint_id=joint_id, purpose=purpose)
    doctor = action["doctor"]
    if not isinstance(doctor, dict) or doctor.keys() != _DOCTOR:
        raise ActionUnknown("who the doctor is has members without a template, or lacks some")
    roles = doctor["roles"]
    if not isinstance(roles, list) or not 1 <= len(roles) <= _MAX_ROLES:
        raise RequestMalformed(f"roles has not 1 to {_MAX_ROLES} entries")
    return Joint(
        joint_id=joint_id,
        purpose=purpose,
        name=_text(doctor["name"], "name", _MAX_NAME),
        organization=_text(doctor["organization"], "organization", _MAX_NAME),
        roles=tuple(_text(role, "a role", _MAX_ROLE) for role in roles),
    )


def _text(value: object, what: str, longest: int) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= longest or not displayable(value):
        raise RequestMalformed(f"{what} is not 1 to {longest} characters that can be seen")
    return value
