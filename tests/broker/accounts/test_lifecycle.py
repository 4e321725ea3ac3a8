"""The pure rules of a certificate's life: what ends, what follows, and what never becomes one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from broker.accounts.lifecycle import (
    LIFE_EVENTS,
    MAX_SUCCESSION,
    CertificateName,
    LifeEvent,
    Standing,
    followed,
    join_beside,
    standing,
)
from broker.errors import CorrespondenceUnknown, JoiningRefused
from broker.ids import AccountID

NOW = datetime(2026, 11, 20, 3, 4, 5, tzinfo=UTC)
DAY = timedelta(days=1)
EVENTS = {event.name: event for event in LIFE_EVENTS}
MINE, THEIRS = AccountID("mine"), AccountID("theirs")


def name(serial: int, issuer: bytes = b"a" * 32) -> CertificateName:
    return CertificateName(issuer_key_hash=issuer, serial=serial)


@pytest.mark.parametrize(
    ("revoked_for", "expected"),
    [
        (None, Standing.IN_FORCE),
        ("superseded", Standing.PAUSED),
        ("keyCompromise", Standing.ENDED),
        ("affiliationChanged", Standing.ENDED),
        ("cessationOfOperation", Standing.ENDED),
        ("certificateHold", Standing.ENDED),
        ("unspecified", Standing.ENDED),
        ("aReasonOfTheFuture", Standing.ENDED),
    ],
)
def test_only_a_renewed_certificate_pauses_and_every_other_revocation_ends(
    revoked_for: str | None, expected: Standing
) -> None:
    assert standing(revoked_for=revoked_for, not_after=NOW + DAY, at=NOW) is expected


def test_a_certificate_that_ran_out_pauses_from_the_second_after() -> None:
    assert standing(revoked_for=None, not_after=NOW, at=NOW) is Standing.IN_FORCE
    assert standing(revoked_for=None, not_after=NOW, at=NOW + timedelta(seconds=1)) is Standing.PAUSED
    assert standing(revoked_for="keyCompromise", not_after=NOW - DAY, at=NOW) is Standing.ENDED


def test_a_move_ends_the_signing_certificate_and_leaves_the_login_alone() -> None:
    move = EVENTS["move"]
    assert move.sign_reason == "affiliationChanged"
    assert standing(revoked_for=move.auth_reason, not_after=NOW + DAY, at=NOW) is Standing.IN_FORCE


@pytest.mark.parametrize("event", [event for event in LIFE_EVENTS if event.auth_reason], ids=lambda event: event.name)
def test_the_signing_certificate_never_outlives_the_other(event: LifeEvent) -> None:
    assert event.sign_reason is not None


def test_only_renewal_and_reissue_have_a_successor() -> None:
    assert {event.name for event in LIFE_EVENTS if event.successor} == {"renewal", "reissue"}


def test_a_line_grows_by_one_and_never_turns_in_a_circle() -> None:
    line = followed((name(3),), name(2))
    assert line == (name(3), name(2))
    assert followed(line, name(3, issuer=b"b" * 32))[-1].issuer_key_hash == b"b" * 32
    with pytest.raises(CorrespondenceUnknown, match="circle"):
        followed(line, name(3))


def test_a_line_without_an_end_proves_nothing() -> None:
    line: tuple[CertificateName, ...] = (name(0),)
    for serial in range(1, MAX_SUCCESSION):
        line = followed(line, name(serial))
    with pytest.raises(CorrespondenceUnknown, match="no end"):
        followed(line, name(MAX_SUCCESSION))


def test_a_phone_joins_by_both_signatures_and_the_mapping() -> None:
    assert join_beside(held_by=MINE, found_on=None, both_signed_one_transaction=True, corresponds=True) == MINE
    assert join_beside(held_by=MINE, found_on=MINE, both_signed_one_transaction=True, corresponds=True) == MINE


@pytest.mark.parametrize(
    ("found_on", "both_signed", "corresponds", "why"),
    [
        (THEIRS, True, True, "never merge"),
        (None, False, True, "must sign"),
        (None, True, False, "nothing proves"),
    ],
)
def test_a_phone_joins_by_nothing_less(
    found_on: AccountID | None, both_signed: bool, corresponds: bool, why: str
) -> None:
    with pytest.raises(JoiningRefused, match=why):
        join_beside(held_by=MINE, found_on=found_on, both_signed_one_transaction=both_signed, corresponds=corresponds)


def test_a_certificates_name_prints_nothing() -> None:
    assert repr(name(4711)) == "CertificateName()"
