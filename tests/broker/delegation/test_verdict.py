"""The six verdicts, what an authority may ask for, and that nothing unproved is ever called valid."""

from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from hypothesis import given
from hypothesis import strategies as st

from broker.delegation import policy as policies
from broker.delegation.acts import Act
from broker.delegation.faults import Fault
from broker.delegation.grant import Limit, Scope, ScopeKind
from broker.delegation.life import State
from broker.delegation.policy import Policy
from broker.delegation.verdict import (
    EXIT_STATUS,
    OUTCOME_OF,
    TAMPERED,
    Link,
    Outcome,
    Question,
    Reason,
    Status,
    Verdict,
    judge,
)
from broker.errors import PolicyInvalid
from broker.jose import public_jwk, sign_jws
from tests.broker.delegation.test_grant import CHILD, FAMILY, GRANT, NOW, POWER

DAY = NOW + timedelta(days=10)
STATUS = Status(state=State.ACTIVE, listed_at=DAY - timedelta(minutes=5))
OLD = replace(STATUS, listed_at=DAY - timedelta(hours=24, seconds=1))
LINK = Link(grant=GRANT, logged=True, witnessed=True, status=STATUS)
ASKED = Question(as_of=DAY, act=Act.BID, entity="mlit-01", category="工事", amount=10_000_000)


def told(link: Link = LINK, question: Question = ASKED, policy: Policy = policies.NONE_GIVEN) -> Verdict:
    return judge([link], question, policy=policy)


def test_what_was_found_to_hold_for_what_is_asked_is_valid() -> None:
    assert told() == Verdict(outcome=Outcome.VALID, reasons=(), policy=policies.NONE_GIVEN)
    assert told().exit_status == 0


@pytest.mark.parametrize(
    ("link", "question", "reason"),
    [
        (replace(LINK, faults=frozenset({Fault.CONTENT_ALTERED})), ASKED, Reason.ALTERED),
        (replace(LINK, faults=frozenset({Fault.NO_SIGNATURE})), ASKED, Reason.ALTERED),
        (replace(LINK, faults=frozenset({Fault.UNTRUSTED})), ASKED, Reason.SEAL_UNKNOWN),
        (replace(LINK, faults=frozenset({Fault.REVOKED})), ASKED, Reason.SEAL_REVOKED),
        (replace(LINK, faults=frozenset({Fault.REVOCATION_UNKNOWN})), ASKED, Reason.SEAL_UNPROVED),
        (replace(LINK, logged=False), ASKED, Reason.NOT_IN_REGISTER),
        (replace(LINK, logged=None), ASKED, Reason.NOT_WITNESSED),
        (replace(LINK, witnessed=False), ASKED, Reason.NOT_WITNESSED),
        (replace(LINK, status=None), ASKED, Reason.STATUS_MISSING),
        (replace(LINK, status=replace(STATUS, state=State.DRAFT)), ASKED, Reason.STATUS_MISSING),
        (
            replace(LINK, status=replace(STATUS, listed_at=DAY - timedelta(hours=24, seconds=1))),
            ASKED,
            Reason.STATUS_OLD,
        ),
        (replace(LINK, status=replace(STATUS, state=State.REVOKED)), ASKED, Reason.REVOKED),
        (replace(LINK, status=replace(STATUS, state=State.SUSPENDED)), ASKED, Reason.SUSPENDED),
        (replace(LINK, status=replace(STATUS, state=State.SUPERSEDED)), ASKED, Reason.SUPERSEDED),
        (replace(LINK, status=replace(STATUS, state=State.EXPIRED)), ASKED, Reason.ENDED),
        (LINK, replace(ASKED, act=Act.RECEIVE), Reason.ACT),
        (LINK, replace(ASKED, entity="mlit-03"), Reason.ENTITY),
        (LINK, replace(ASKED, amount=10_000_001), Reason.AMOUNT),
        (LINK, replace(ASKED, tax_included=False), Reason.AMOUNT_UNKNOWN),
        (LINK, replace(ASKED, service="clinic"), Reason.SERVICE),
    ],
)
def test_each_thing_that_does_not_hold_has_its_reason_and_its_verdict(
    link: Link, question: Question, reason: Reason
) -> None:
    verdict = told(link, question)
    assert verdict.reasons == (reason,)
    assert verdict.outcome is OUTCOME_OF[reason]
    assert verdict.exit_status == EXIT_STATUS[OUTCOME_OF[reason]] != 0


def test_the_term_holds_from_its_first_second_up_to_and_not_at_its_last() -> None:
    def on(day: datetime) -> Outcome:
        return told(replace(LINK, status=replace(STATUS, listed_at=day)), replace(ASKED, as_of=day)).outcome

    second = timedelta(seconds=1)
    assert [on(GRANT.begins - second), on(GRANT.begins)] == [Outcome.EXPIRED, Outcome.VALID]
    assert [on(GRANT.ends - second), on(GRANT.ends)] == [Outcome.VALID, Outcome.EXPIRED]


def test_the_worst_verdict_is_told_and_every_reason_with_it() -> None:
    link = replace(LINK, faults=frozenset({Fault.ALTERED_AFTER}), status=replace(STATUS, state=State.REVOKED))
    verdict = told(link, replace(ASKED, act=Act.RECEIVE))
    assert verdict.outcome is Outcome.FORGED
    assert verdict.reasons == (Reason.ALTERED, Reason.REVOKED, Reason.ACT)


def test_a_later_revocation_is_shown_beside_a_power_that_held_on_the_day() -> None:
    later = replace(STATUS, later=State.REVOKED, later_at=DAY + timedelta(days=3))
    verdict = told(replace(LINK, status=later))
    assert (verdict.outcome, verdict.later, verdict.later_at) == (Outcome.VALID, State.REVOKED, later.later_at)


def test_powers_are_not_added_up() -> None:
    split = replace(
        GRANT,
        powers=(
            replace(POWER, acts=frozenset({Act.BID}), limit=Limit(amount=5, tax_included=True, total=False)),
            replace(POWER, acts=frozenset({Act.CONTRACT, Act.APPOINT_SUBAGENT})),
        ),
    )
    assert told(replace(LINK, grant=split)).reasons == (Reason.AMOUNT,)


def test_one_case_is_not_another() -> None:
    one = Scope(kind=ScopeKind.CASE, entities=frozenset({"mlit-01"}), case_number="R8-17", case_name="橋")
    link = replace(LINK, grant=replace(GRANT, powers=(replace(POWER, scope=one),)))
    assert told(link, replace(ASKED, case_number="R8-17")).outcome is Outcome.VALID
    assert told(link, replace(ASKED, case_number="R8-18")).reasons == (Reason.CASE,)
    assert told(link).reasons == (Reason.CASE,)


def test_a_sub_agents_power_falls_with_the_one_it_comes_from() -> None:
    child = replace(LINK, grant=CHILD)
    assert judge([LINK, child], ASKED).outcome is Outcome.VALID
    revoked = replace(LINK, status=replace(STATUS, state=State.REVOKED))
    assert judge([revoked, child], ASKED).outcome is Outcome.REVOKED
    assert judge([child], ASKED).reasons == (Reason.PARENT_MISSING,)  # not shown is not forged
    assert judge([child, LINK], ASKED).outcome is Outcome.FORGED
    wider = replace(LINK, grant=replace(CHILD, ends=GRANT.ends + timedelta(days=1)))
    assert judge([LINK, wider], ASKED).outcome is Outcome.FORGED
    assert judge([LINK, child], ASKED, policy=Policy(sub_agents=0)).reasons == (Reason.SUB_AGENT,)


def test_a_total_that_nobody_can_check_is_told() -> None:
    total = replace(GRANT, powers=(replace(POWER, limit=Limit(amount=10**8, tax_included=True, total=True)),))
    assert told(replace(LINK, grant=total)).total_unchecked


@pytest.mark.parametrize(
    ("policy", "reason"),
    [
        (Policy(entities=frozenset({"mlit-02"})), Reason.FOREIGN_OFFICE),
        (Policy(together=(frozenset({Act.BID, Act.RECEIVE}),)), Reason.ACTS_TOGETHER),
        (Policy(longest=timedelta(days=100)), Reason.TERM_TOO_LONG),
        (Policy(status_age=timedelta(minutes=1)), Reason.STATUS_OLD),
    ],
)
def test_an_authority_may_ask_for_more(policy: Policy, reason: Reason) -> None:
    assert told(policy=policy).reasons == (reason,)
    assert told(policy=Policy(together=(frozenset({Act.BID, Act.CONTRACT}),))).outcome is Outcome.VALID


def test_an_authority_may_ask_for_a_limit() -> None:
    unlimited = replace(LINK, grant=replace(GRANT, powers=(replace(POWER, limit=None),)))
    assert told(unlimited).outcome is Outcome.VALID
    assert told(unlimited, policy=Policy(limit_needed=True)).reasons == (Reason.NO_LIMIT,)


@given(
    faults=st.frozensets(st.sampled_from(Fault), min_size=1),
    logged=st.sampled_from([True, False, None]),
    state=st.sampled_from(State),
)
def test_no_fault_is_ever_valid_and_only_a_changed_document_is_forged(
    faults: frozenset[Fault], logged: bool | None, state: State
) -> None:
    verdict = told(replace(LINK, faults=faults, logged=logged, status=replace(STATUS, state=state)))
    assert verdict.outcome is not Outcome.VALID
    assert (verdict.outcome is Outcome.FORGED) is (bool(faults & TAMPERED) or logged is False)


def test_a_family_power_is_good_for_its_own_service() -> None:
    link = replace(LINK, grant=FAMILY)
    question = Question(as_of=DAY, act=Act.VIEW_RECORD, service="clinic")
    assert told(link, question).outcome is Outcome.VALID
    assert told(link, replace(question, service="bank")).reasons == (Reason.SERVICE,)


def test_every_reason_belongs_to_a_verdict() -> None:
    assert set(OUTCOME_OF) == set(Reason)
    assert set(EXIT_STATUS) == set(Outcome)


# --- the policy file -------------------------------------------------------------------------------------------------

ROOT = ed25519.Ed25519PrivateKey.generate()
CLAIMS: dict[str, Any] = {
    "iat": int(NOW.timestamp()),
    "authority": "okinawa",
    "version": 3,
    "name": "見本総合事務局",
    "name_en": "Sample General Bureau",
    "together": [["bid", "contract"], ["quote", "contract"]],
    "sub_agents": 0,
    "longest_days": 366,
    "status_seconds": 3600,
    "roots": [b64encode(b"der").decode()],
}


class _Root:
    alg, kid = "EdDSA", "policy-root"

    def sign(self, data: bytes, /) -> bytes:
        return ROOT.sign(data)


def signed(**changes: Any) -> str:
    return sign_jws(CLAIMS | changes, signer=_Root(), typ=policies.TYP)


def read(token: str, held: Policy | None = None) -> Policy:
    return policies.read(token, root={**public_jwk(ROOT), "kid": "policy-root"}, at=DAY, held=held)


def test_a_policy_is_read_when_the_pinned_root_signed_it() -> None:
    policy = read(signed())
    assert (policy.authority, policy.version, policy.sub_agents) == ("okinawa", 3, 0)
    assert policy.together == (frozenset({Act.BID, Act.CONTRACT}), frozenset({Act.QUOTE, Act.CONTRACT}))
    assert (policy.longest, policy.status_age) == (timedelta(days=366), timedelta(hours=1))
    assert policies.from_json(json.dumps(CLAIMS).encode()) == policy


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 0},
        {"version": True},
        {"unknown": 1},
        {"sub_agents": 3},
        {"status_seconds": 90_000},
        {"together": [["bid"]]},
        {"together": [["bid", "view_record"]]},
        {"together": "bid"},
        {"roots": ["*"]},
        {"entities": [1]},
        {"limit_needed": "yes"},
        {"name": ""},
        {"iat": int(DAY.timestamp()) + 1},
    ],
)
def test_a_policy_that_says_what_it_cannot_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(PolicyInvalid):
        read(signed(**changes))


def test_a_changed_foreign_or_older_policy_is_refused() -> None:
    token = signed()
    for wrong in (token[:-4] + "AAAA", token.replace(".", "", 1), ""):
        with pytest.raises(PolicyInvalid):
            read(wrong)
    with pytest.raises(PolicyInvalid):
        read(signed(version=2), held=read(token))
    assert read(signed(version=4), held=read(token)).version == 4
