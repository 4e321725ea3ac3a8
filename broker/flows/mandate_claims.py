"""The claim `authority`: what was confirmed of a power of attorney, as the draft for OpenID Connect writes it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from broker.delegation.answering import Authority
from broker.delegation.members import stamp
from broker.oidc.verified_claims import AUTHORITY, VerifiedData, mandate_framework


def told_authority(confirmed: Sequence[Authority], *, issuer: str, now: datetime) -> VerifiedData | None:
    """For `verified_claims`; None where nothing was confirmed."""
    if not confirmed:
        return None
    return VerifiedData(
        trust_frameworks=(mandate_framework(issuer),),
        time=now,
        evidence=(),
        claims={AUTHORITY: [_claim(each, issuer=issuer) for each in confirmed]},
    )


def _claim(confirmed: Authority, *, issuer: str) -> dict[str, Any]:
    principal = {"organization_name": confirmed.organization, "registration_number": confirmed.corporate_number}
    permission: dict[str, Any] = {
        "role": "sub_agent" if confirmed.steps else "agent",
        "function": [confirmed.act],
        "validity": {"not_before": stamp(confirmed.begins), "not_after": stamp(confirmed.ends)},
    }
    if confirmed.entity is not None:
        permission["audience"] = [confirmed.entity]
    if confirmed.amount is not None:
        permission["budget"] = {
            "amount": confirmed.amount,
            "currency": "JPY",
            "tax_included": confirmed.tax_included,
        }
    by: dict[str, Any] = {"method": "delegated"}
    if confirmed.number is not None:
        by |= {"mandate": confirmed.number, "verification": f"{issuer}/verify"}
    return {
        "applies_to": {name: value for name, value in principal.items() if value},
        "permission": [permission],
        "granted_by": by,
    }
