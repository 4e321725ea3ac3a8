"""A document against its register, its witness and its status list: what is shown, missing, and contradicted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from broker.delegation import bundle as bundles
from broker.delegation.acts import Act
from broker.delegation.bundle import Bundle
from broker.delegation.examination import Examination, Trust, examine
from broker.delegation.life import State
from broker.delegation.policy import NONE_GIVEN, Policy
from broker.delegation.report import claims, lines, sentence
from broker.delegation.status_list import Status
from broker.delegation.verdict import Outcome, Question, Reason
from tests.broker.delegation.officer import DAY, HELD, TERM, Operator
from tests.broker.delegation.test_grant import CHILD
from tests.broker.delegation.test_statement import EMPLOYED
from tests.broker.delegation.workshop import AT, other_page

pytest.importorskip("typst", reason="missing: typst")
ASKED = Question(as_of=DAY, act=Act.BID, entity="mlit-01", amount=10_000_000)
MINUTE = timedelta(minutes=1)
DAY_LONG = timedelta(days=1)


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    made = Operator(tmp_path_factory.mktemp("operator"))
    yield made
    made.engine.dispose()


@pytest.fixture(scope="module")
def whole(operator: Operator) -> Bundle:
    return operator.bundle(operator.issue(), epochs=(operator.epoch(at=DAY - MINUTE),))


def told(
    operator: Operator,
    bundle: Bundle,
    question: Question = ASKED,
    trust: Trust | None = None,
    policy: Policy = NONE_GIVEN,
) -> Examination:
    return examine(bundle, question, trust=trust or operator.trust, policy=policy, now=DAY)


def reasons(operator: Operator, bundle: Bundle, question: Question = ASKED) -> tuple[Reason, ...]:
    return told(operator, bundle, question).verdict.reasons


def test_a_whole_bundle_is_valid_for_what_it_covers(operator: Operator, whole: Bundle) -> None:
    found = told(operator, whole)
    assert (found.verdict.outcome, found.verdict.reasons) == (Outcome.VALID, ())
    (link,) = found.chain
    assert (link.registered.logged, link.registered.index) == (True, 0)
    assert link.registered.witnessed is not None
    assert set(link.registered.witnessed.cosigned) == {"w0"}
    assert link.status is not None
    assert (link.status.state, link.status.listed_at) == (State.ACTIVE, DAY - MINUTE)
    assert reasons(operator, whole, replace(ASKED, amount=10_000_001)) == (Reason.AMOUNT,)


def test_a_bundle_is_written_and_read_back(operator: Operator, whole: Bundle) -> None:
    packed = bundles.write(whole)
    assert packed == bundles.write(whole)
    assert bundles.read(packed) == whole
    assert told(operator, bundles.submitted(packed)).verdict.outcome is Outcome.VALID


def test_a_document_by_itself_shows_neither_register_nor_state(operator: Operator, whole: Bundle) -> None:
    alone = bundles.submitted(whole.chain[0].pdf)
    found = told(operator, alone)
    assert found.verdict.reasons == (Reason.NOT_WITNESSED, Reason.STATUS_MISSING)
    assert found.verdict.outcome is Outcome.CANNOT_TELL
    assert told(operator, alone.with_evidence(whole)).verdict.outcome is Outcome.VALID


def test_what_is_not_trusted_here_proves_nothing(operator: Operator, whole: Bundle) -> None:
    for trust, expected in (
        (replace(operator.trust, anchors=()), Reason.SEAL_UNKNOWN),
        (replace(operator.trust, logs=Trust().logs), Reason.NOT_WITNESSED),
        (replace(operator.trust, status_keys={"keys": []}), Reason.STATUS_MISSING),
    ):
        found = told(operator, whole, trust=trust)
        assert found.verdict.outcome is Outcome.CANNOT_TELL
        assert expected in found.verdict.reasons


def test_a_policy_brings_what_its_authority_trusts(operator: Operator, whole: Bundle) -> None:
    policy = Policy(
        logs=tuple(operator.policy_lines.decode().splitlines()),
        roots=tuple(operator.workshop.anchors),
        status_keys=(operator.status_jwk,),
    )
    assert told(operator, whole, trust=Trust(), policy=policy).verdict.outcome is Outcome.VALID


def test_another_documents_entry_or_salt_or_copy_is_forgery(operator: Operator, whole: Bundle) -> None:
    (papers,) = whole.chain
    other = operator.issue(replace(HELD, number="o" * 22), place=4712)
    for changed in (
        replace(papers, entry=other.entry, proof=other.proof),
        replace(papers, salt=b"t" * 32),
        replace(papers, proof=other.proof),
    ):
        assert told(operator, replace(whole, chain=(changed,))).verdict.reasons[0] is Reason.NOT_IN_REGISTER
    assert other.record is not None
    copied = replace(papers, record=other.record)
    assert told(operator, replace(whole, chain=(copied,))).verdict.reasons == (Reason.ALTERED,)
    changed = replace(papers, pdf=other_page(papers.pdf))
    assert told(operator, replace(whole, chain=(changed,))).verdict.outcome is Outcome.FORGED


def test_a_seal_that_was_never_logged_is_not_believed(operator: Operator, whole: Bundle) -> None:
    unlogged = operator.issue(replace(HELD, number="u" * 22), place=4711, logged=False)
    assert reasons(operator, replace(whole, chain=(unlogged,))) == (Reason.NOT_WITNESSED,)


def test_the_state_is_that_of_the_day_and_what_came_later_stands_beside_it(operator: Operator) -> None:
    papers = operator.issue(replace(HELD, number="d" * 22), place=90)
    good = operator.epoch(at=DAY - MINUTE)
    revoked = operator.epoch({90: Status.INVALID}, at=DAY + MINUTE)
    bundle = operator.bundle(papers, epochs=(revoked, good))
    found = told(operator, bundle).verdict
    assert (found.outcome, found.later, found.later_at) == (Outcome.VALID, State.REVOKED, DAY + MINUTE)
    day_after = replace(ASKED, as_of=DAY + 2 * MINUTE)
    assert reasons(operator, bundle, day_after) == (Reason.REVOKED,)
    suspended = operator.epoch({90: Status.SUSPENDED}, at=DAY + 3 * MINUTE)
    later = replace(ASKED, as_of=DAY + 4 * MINUTE)
    assert reasons(operator, operator.bundle(papers, epochs=(good, suspended)), later) == (Reason.SUSPENDED,)
    # a list rolled back to where it was: the revocation that was shown holds
    rolled_back = operator.epoch(at=DAY + 5 * MINUTE)
    again = operator.bundle(papers, epochs=(good, revoked, rolled_back))
    assert reasons(operator, again, replace(ASKED, as_of=DAY + 6 * MINUTE)) == (Reason.REVOKED,)


def test_a_list_that_no_register_proves_only_narrows(operator: Operator) -> None:
    papers = operator.issue(replace(HELD, number="w" * 22), place=91)
    unproved = operator.epoch(at=DAY - MINUTE, logged=False)
    assert reasons(operator, operator.bundle(papers, epochs=(unproved,))) == (Reason.STATUS_MISSING,)
    ended = operator.epoch({91: Status.INVALID}, at=DAY - MINUTE, logged=False)
    assert reasons(operator, operator.bundle(papers, epochs=(ended,))) == (Reason.REVOKED,)
    logged = operator.epoch(at=DAY)
    swapped = replace(unproved, entry=logged.entry, proof=logged.proof)
    assert reasons(operator, operator.bundle(papers, epochs=(swapped,))) == (Reason.STATUS_MISSING,)


def test_old_and_run_out_lists_and_the_end_of_the_term(operator: Operator, whole: Bundle) -> None:
    two_days = replace(ASKED, as_of=DAY + timedelta(days=2))
    assert reasons(operator, whole, two_days) == (Reason.STATUS_OLD,)
    after = replace(ASKED, as_of=AT + TERM)
    listed = operator.epoch({4711: Status.INVALID}, at=AT + TERM - MINUTE)
    bundle = replace(whole, statuses=(listed,))
    assert reasons(operator, bundle, after) == (Reason.ENDED,)
    before = reasons(operator, whole, replace(ASKED, as_of=AT - timedelta(days=1)))
    assert Reason.NOT_YET in before
    assert Reason.SEAL_UNPROVED in before


def test_a_sub_agents_chain_is_judged_link_by_link(operator: Operator) -> None:
    root = operator.issue(replace(HELD, number="r" * 22), place=1)
    child = operator.issue(
        replace(CHILD, number="k" * 22, parent="r" * 22, begins=HELD.begins, ends=HELD.ends), place=2
    )
    good = operator.epoch(at=DAY - MINUTE)
    chain = operator.bundle(root, child, epochs=(good,))
    assert bundles.read(bundles.write(chain)) == chain
    assert reasons(operator, chain) == ()
    alone = told(operator, operator.bundle(child, epochs=(good,))).verdict
    assert (alone.outcome, alone.reasons) == (Outcome.CANNOT_TELL, (Reason.PARENT_MISSING,))
    parent_ended = operator.epoch({1: Status.INVALID}, at=DAY - MINUTE)
    assert reasons(operator, operator.bundle(root, child, epochs=(parent_ended,))) == (Reason.REVOKED,)
    assert told(operator, chain, policy=Policy(sub_agents=0)).verdict.reasons == (Reason.SUB_AGENT,)


@pytest.mark.parametrize("junk", [b"", b"%PDF-1.7\n", b"hello", b"PK\x03\x04"])
def test_what_is_no_document_is_never_valid(operator: Operator, junk: bytes) -> None:
    found = told(operator, Bundle(chain=(bundles.Papers(pdf=junk),)))
    assert found.verdict.outcome in {Outcome.CANNOT_TELL, Outcome.FORGED}
    assert found.chain[0].record is None


# --- a statement ------------------------------------------------------------------------------------------------------

NOTHING_ASKED = Question(as_of=DAY)


def test_a_statement_is_judged_by_the_same_proofs_and_has_words_of_its_own(operator: Operator) -> None:
    bundle = operator.bundle(operator.state(EMPLOYED, place=50), epochs=(operator.epoch(at=DAY - MINUTE),))
    found = told(operator, bundle, NOTHING_ASKED)
    assert (found.verdict.outcome, found.verdict.reasons) == (Outcome.VALID, ())
    assert {line.result.value for line in lines(found)} == {"passed"}
    report = claims(found, number="r", issuer="https://broker.example", software="x")
    assert report["chain"][0]["type"] == "statement.employment"
    assert report["words"]["ja"] == "本物で、取り下げられていません"
    assert EMPLOYED.employee.name in sentence(found.chain, "en")
    assert told(operator, bundles.submitted(bundle.chain[0].pdf), NOTHING_ASKED).verdict.reasons == (
        Reason.NOT_WITNESSED,
        Reason.STATUS_MISSING,
    )


def test_a_statement_empowers_nobody_whatever_is_asked(operator: Operator) -> None:
    bundle = operator.bundle(operator.state(EMPLOYED, place=51), epochs=(operator.epoch(at=DAY - MINUTE),))
    for asked in (Question(as_of=DAY, act=Act.BID), Question(as_of=DAY, amount=1), Question(as_of=DAY, service="x")):
        assert reasons(operator, bundle, asked) == (Reason.STATES_ONLY,)


def test_a_withdrawn_statement_and_one_of_another_day_are_told_as_such(operator: Operator) -> None:
    papers, at = operator.state(EMPLOYED, place=52), DAY - MINUTE
    withdrawn = operator.bundle(papers, epochs=(operator.epoch({52: Status.INVALID}, at=at),))
    found = told(operator, withdrawn, NOTHING_ASKED)
    assert found.verdict.reasons == (Reason.REVOKED,)
    report = claims(found, number="r", issuer="https://broker.example", software="x")
    assert report["reasons"][0]["en"] == "Its employer withdrew it."
    holds = operator.bundle(papers, epochs=(operator.epoch(at=at),))
    assert Reason.ENDED in reasons(operator, holds, Question(as_of=DAY + 366 * DAY_LONG))
    assert Reason.NOT_YET in reasons(operator, holds, Question(as_of=DAY - 2 * DAY_LONG))


def test_a_changed_statement_is_forged_and_no_power_comes_from_one(operator: Operator, whole: Bundle) -> None:
    papers = operator.state(EMPLOYED, place=53)
    good = operator.epoch(at=DAY - MINUTE)
    changed = operator.bundle(replace(papers, pdf=other_page(papers.pdf)), epochs=(good,))
    assert told(operator, changed, NOTHING_ASKED).verdict.outcome is Outcome.FORGED
    for chain in ((papers, *whole.chain), (*whole.chain, papers)):
        mixed = operator.bundle(*chain, epochs=(good,))
        assert told(operator, mixed, NOTHING_ASKED).verdict.outcome is Outcome.CANNOT_TELL
