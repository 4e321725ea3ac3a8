"""Which deed leads where, and whose it may be."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from broker.delegation import life
from broker.delegation.life import ENDED, STEPS, Deed, Role, State
from broker.delegation.statement import StatementKind
from broker.errors import DelegationStateRefused

WAY = (
    (Deed.SIGN, Role.PRINCIPAL),
    (Deed.APPROVE, Role.APPROVER),
    (Deed.ACCEPT, Role.AGENT),
    (Deed.VERIFY, Role.OPERATOR),
    (Deed.LOG, Role.OPERATOR),
    (Deed.WITNESS, Role.OPERATOR),
    (Deed.SEAL, Role.OPERATOR),
)


def test_the_way_from_a_draft_to_a_power_that_holds_leaves_out_no_step() -> None:
    state = State.DRAFT
    for deed, role in WAY:
        for skipped, other in WAY:
            if skipped is not deed:
                with pytest.raises(DelegationStateRefused):
                    life.after(state, skipped, role=other, card=True)
        state = life.after(state, deed, role=role, card=True, approvals_missing=int(deed is Deed.SIGN))
    assert life.holds(state)


def test_without_approvers_the_principals_signature_approves() -> None:
    assert life.after(State.DRAFT, Deed.SIGN, role=Role.PRINCIPAL, card=True) is State.APPROVED


def test_one_of_two_approvals_is_not_enough() -> None:
    waiting = life.after(State.SIGNED, Deed.APPROVE, role=Role.APPROVER, card=True, approvals_missing=1)
    assert waiting is State.SIGNED
    assert life.after(waiting, Deed.APPROVE, role=Role.APPROVER, card=True) is State.APPROVED


@pytest.mark.parametrize("deed", list(Deed))
def test_what_widens_needs_a_card_and_what_narrows_does_not(deed: Deed) -> None:
    step = STEPS[deed]
    assert step.card is (deed in {Deed.SIGN, Deed.APPROVE, Deed.ACCEPT, Deed.RESUME})
    state, role = min(step.begins), min(step.roles)
    if step.card:
        with pytest.raises(DelegationStateRefused):
            life.after(state, deed, role=role, card=False)
    else:
        assert life.after(state, deed, role=role, card=False) is step.leads


@pytest.mark.parametrize("deed", list(Deed))
def test_a_deed_is_for_its_roles_and_states_alone(deed: Deed) -> None:
    step = STEPS[deed]
    for role in set(Role) - step.roles:
        with pytest.raises(DelegationStateRefused):
            life.after(min(step.begins), deed, role=role, card=True)
    for state in set(State) - step.begins:
        with pytest.raises(DelegationStateRefused):
            life.after(state, deed, role=min(step.roles), card=True)


def test_a_statement_is_signed_and_taken_back_by_who_made_it_or_by_the_desk_and_never_rests() -> None:
    held = {deed: life.roles(deed, StatementKind.EMPLOYMENT) for deed in Deed}
    assert {deed for deed, roles in held.items() if not roles} == {Deed.APPROVE, Deed.ACCEPT, Deed.SUSPEND, Deed.RESUME}
    assert held[Deed.SIGN] == {Role.PRINCIPAL}
    assert held[Deed.REVOKE] == {Role.PRINCIPAL, Role.OPERATOR}
    assert not set().union(*held.values()) & {Role.AGENT, Role.APPROVER}


def test_whatever_has_not_ended_can_be_ended() -> None:
    """Who deletes an account ends all its mandates one by one, until none is left that could be."""
    assert set(State) - ENDED == STEPS[Deed.REVOKE].begins | STEPS[Deed.ABANDON].begins


@settings(max_examples=200, stateful_step_count=30)
class Life(RuleBasedStateMachine):
    """Anybody tries anything."""

    def __init__(self) -> None:
        super().__init__()
        self.state = State.DRAFT
        self.done: list[Deed] = []

    @rule(deed=st.sampled_from(Deed), role=st.sampled_from(Role), card=st.booleans(), missing=st.integers(0, 2))
    def try_it(self, deed: Deed, role: Role, missing: int, *, card: bool) -> None:
        try:
            self.state = life.after(self.state, deed, role=role, card=card, approvals_missing=missing)
        except DelegationStateRefused:
            return
        self.done.append(deed)

    @invariant()
    def a_power_holds_only_after_every_step_to_it(self) -> None:
        if life.holds(self.state):
            kept = [deed for deed in self.done if deed in {step for step, _ in WAY}]
            assert [deed for deed in kept if deed is not Deed.APPROVE] == [
                Deed.SIGN,
                Deed.ACCEPT,
                Deed.VERIFY,
                Deed.LOG,
                Deed.WITNESS,
                Deed.SEAL,
            ]

    @invariant()
    def nothing_comes_after_an_end(self) -> None:
        ends = [n for n, deed in enumerate(self.done) if STEPS[deed].leads in ENDED]
        assert not ends or ends == [len(self.done) - 1]


TestLife = Life.TestCase
