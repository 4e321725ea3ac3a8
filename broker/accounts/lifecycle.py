"""What a person's life does to their certificates, and what that does to their account (design 4.13, R7, R19).

Certificates end and follow one another; the account stays, and with it every pseudonym. Only J-LIS's word that one
certificate follows another (新旧対応, 公的個人認証法 art. 18-4, 18-5) carries an account over, never a name, a birth
date or two signatures alone. Without it a new certificate begins a new account, and two accounts never become one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

from broker.errors import CorrespondenceUnknown, JoiningRefused
from broker.ids import AccountID

MAX_SUCCESSION: Final = 16
"""Certificates of one line that are asked through: about eighty years at five years each."""


# --- events of a life ------------------------------------------------------------------------------------------------


class Standing(StrEnum):
    """What may go on between logins (refresh, reading of consented data) in the name of an account."""

    IN_FORCE = "in_force"
    PAUSED = "paused"
    """Until the certificate's successor logs in (R19); nothing is lost meanwhile."""
    ENDED = "ended"
    """What was issued dies. The account stays: a later certificate may follow by J-LIS's mapping."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LifeEvent:
    """One row of the table below. A reason is the CRLReason's RFC 5280 §5.3.1 name; None where the kind lives on."""

    name: str
    auth_reason: str | None
    """Why the 利用者証明用 certificate ends."""
    sign_reason: str | None
    """Why the 署名用 certificate ends."""
    successor: bool
    """Whether a new certificate follows that J-LIS maps to the old one."""
    source: str


LIFE_EVENTS: Final = (
    LifeEvent(
        name="renewal",
        auth_reason="superseded",
        sign_reason="superseded",
        successor=True,
        source="更新, art. 18-4, 18-5",
    ),
    LifeEvent(
        name="loss",
        auth_reason="keyCompromise",
        sign_reason="keyCompromise",
        successor=False,
        source="loss report, art. 30",
    ),
    LifeEvent(
        name="reissue",
        auth_reason="keyCompromise",
        sign_reason="keyCompromise",
        successor=True,
        source="再交付, art. 18-4",
    ),
    LifeEvent(
        name="move",
        auth_reason=None,
        sign_reason="affiliationChanged",
        successor=False,
        source="change of name, address, birth date or sex, art. 12",
    ),
    LifeEvent(
        name="death",
        auth_reason="cessationOfOperation",
        sign_reason="cessationOfOperation",
        successor=False,
        source="death or de-registration, art. 12, 31",
    ),
    LifeEvent(
        name="hold",
        auth_reason="certificateHold",
        sign_reason="certificateHold",
        successor=False,
        source="suspended; never released in practice, so it counts as revoked",
    ),
)


def standing(*, revoked_for: str | None, not_after: datetime, at: datetime) -> Standing:
    """What the state of its newest certificate means for an account between logins.

    The state is known: an unknown one was refused before (R11). `revoked_for` is the CRLReason's name, "unspecified"
    where the authority gave none, None where the certificate is not revoked. A hold is no pause: nobody saw one lifted.
    """
    if revoked_for is not None:
        return Standing.PAUSED if revoked_for == "superseded" else Standing.ENDED
    return Standing.IN_FORCE if at <= not_after else Standing.PAUSED


# --- one certificate after another -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateName:
    """By what J-LIS is asked about a certificate: the CA's key and the serial. Never stored, never logged."""

    issuer_key_hash: bytes = field(repr=False)
    """SHA-256 of the CA's SubjectPublicKeyInfo."""
    serial: int = field(repr=False)


def followed(line: Sequence[CertificateName], earlier: CertificateName) -> tuple[CertificateName, ...]:
    """The line of certificates, newest first, with one more that the last follows.

    Raises CorrespondenceUnknown where it turns in a circle or has no end: such a word proves nothing.
    """
    if earlier in line:
        raise CorrespondenceUnknown("the old-new mapping turns in a circle")
    if len(line) >= MAX_SUCCESSION:
        raise CorrespondenceUnknown("the old-new mapping has no end")
    return (*line, earlier)


def join_beside(
    *, held_by: AccountID, found_on: AccountID | None, both_signed_one_transaction: bool, corresponds: bool
) -> AccountID:
    """The account that a second certificate (the phone beside the card) joins: `held_by`. Raises JoiningRefused.

    `found_on` is the account that has the certificate already, None for a certificate never seen. Both keys must have
    signed in one transaction, and J-LIS must have said that both are one person's: two live keys prove possession,
    not sameness. A certificate with an account of its own stays there: accounts never merge.
    """
    if found_on is not None and found_on != held_by:
        raise JoiningRefused("it has an account of its own, and accounts never merge")
    if not both_signed_one_transaction:
        raise JoiningRefused("both certificates must sign")
    if not corresponds:
        raise JoiningRefused("nothing proves that both are one person's")
    return held_by
