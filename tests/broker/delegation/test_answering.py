"""An answer is never yes where the verdict is not, nor for a question that leaves out what the power restricts."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from broker.delegation.acts import ALLOWED, PROCUREMENT, Act, Kind
from broker.delegation.answering import Standing, allowing, allows, authority, best, breadth
from broker.delegation.grant import Grant, Limit, Method, Party, PartyKind, Power, Scope, ScopeKind
from broker.delegation.life import State
from broker.delegation.members import JST
from broker.delegation.narrowing import check_chain, within
from broker.delegation.verdict import Link, Outcome, Question, Status, judge
from broker.errors import PowerRefused
from broker.oidc.mandate_question import BUSINESS_ACTS, FAMILY_ACTS

NOW = datetime(2026, 12, 1, 12, tzinfo=JST)
ACTS = (Act.BID, Act.CONTRACT, Act.INVOICE)
ENTITIES = ("100001", "100002", "100003")
CATEGORIES = ("物品", "工事")

limits = st.none() | st.builds(Limit, amount=st.integers(1, 10), tax_included=st.booleans(), total=st.booleans())
scopes = st.one_of(
    st.builds(
        Scope,
        kind=st.just(ScopeKind.TERM),
        entities=st.frozensets(st.sampled_from(ENTITIES), min_size=1) | st.just(frozenset({"*"})),
        categories=st.frozensets(st.sampled_from(CATEGORIES)),
    ),
    st.builds(
        Scope,
        kind=st.just(ScopeKind.CASE),
        entities=st.frozensets(st.sampled_from(ENTITIES), min_size=1),
        categories=st.frozensets(st.sampled_from(CATEGORIES)),
        case_number=st.sampled_from(("A-1", "A-2")),
        case_name=st.just("工事"),
    ),
)
powers = st.builds(Power, acts=st.frozensets(st.sampled_from(ACTS), min_size=1), scope=scopes, limit=limits)
complete = st.builds(
    Question,
    as_of=st.just(NOW),
    act=st.sampled_from(ACTS),
    entity=st.sampled_from(ENTITIES),
    category=st.sampled_from(CATEGORIES),
    case_number=st.sampled_from(("A-1", "A-2")),
    amount=st.integers(1, 4),
    tax_included=st.booleans(),
)
questions = complete | st.builds(
    Question,
    as_of=st.just(NOW),
    act=st.none() | st.sampled_from(ACTS),
    entity=st.none() | st.sampled_from((*ENTITIES, "999999")),
    category=st.none() | st.sampled_from((*CATEGORIES, "業務")),
    case_number=st.none() | st.sampled_from(("A-1", "A-2", "A-3")),
    amount=st.none() | st.integers(1, 12),
    tax_included=st.booleans(),
    service=st.none() | st.just("clinic"),
)


def grant(*of: Power, number: str = "A" * 24, parent: str | None = None, sub: int = 0) -> Grant:
    company = Party(
        kind=PartyKind.CORPORATION,
        id="p" * 16,
        name="株式会社架空製作所",
        corporate_number="8490101999999",
        representative="山田花子",
    )
    return Grant(
        kind=Kind.BUSINESS,
        number=number,
        issuer="https://broker.example",
        nonce="n" * 32,
        method=Method.OPERATOR_FILE,
        principal=company,
        agent=Party(kind=PartyKind.PERSON, id="a" * 16, name="社員働助"),
        powers=of,
        begins=NOW - timedelta(days=30),
        ends=NOW + timedelta(days=30),
        sub_delegation=sub,
        parent=parent,
    )


def standing(*chain: Grant, states: tuple[State, ...] = ()) -> Standing:
    return Standing(chain=chain, states=states or (State.ACTIVE,) * len(chain))


@given(st.lists(powers, min_size=1, max_size=3), questions, st.sampled_from(State), st.integers(-40, 40))
def test_yes_is_never_said_where_the_verdict_is_not_valid(
    of: list[Power], asked: Question, state: State, days: int
) -> None:
    one = grant(*of)
    asked = replace(asked, as_of=NOW + timedelta(days=days))
    link = Link(grant=one, logged=True, witnessed=True, status=Status(state=state, listed_at=asked.as_of))
    if allows(standing(one, states=(state,)), asked):
        assert judge([link], asked).outcome is Outcome.VALID
        assert asked.act is not None
        assert asked.entity is not None


@given(st.lists(powers, min_size=1, max_size=3), questions)
def test_yes_names_one_power_that_covers_every_part_of_the_question(of: list[Power], asked: Question) -> None:
    power = allowing(standing(grant(*of)), asked)
    if power is None:
        return
    assert asked.act in power.acts
    assert asked.entity in power.scope.entities or "*" in power.scope.entities
    assert not power.scope.categories or asked.category in power.scope.categories
    assert power.scope.kind is ScopeKind.TERM or asked.case_number == power.scope.case_number
    if power.limit is not None:
        assert asked.amount is not None
        assert asked.amount <= power.limit.amount
        assert asked.tax_included == power.limit.tax_included


@given(powers, powers, questions, st.sampled_from(State))
def test_a_child_is_never_good_for_more_than_its_parent(
    whole: Power, part: Power, asked: Question, state: State
) -> None:
    parent = grant(whole, sub=1)
    child = grant(part, number="B" * 24, parent=parent.number)
    try:
        check_chain([parent, child])
    except PowerRefused:
        assert not allows(standing(parent, child), asked), "a child that is wider answers nothing"
        return
    if allows(standing(parent, child, states=(state, State.ACTIVE)), asked):
        assert state is State.ACTIVE
        assert allows(standing(parent), asked)


@given(st.lists(powers, min_size=1, max_size=4), questions)
def test_of_those_that_allow_it_none_is_narrower_than_the_one_that_answers(of: list[Power], asked: Question) -> None:
    all_of = [standing(grant(each, number=chr(65 + n) * 24)) for n, each in enumerate(of)]
    chosen = best(all_of, asked)
    assert chosen is not None
    allowed = [each for each in all_of if allows(each, asked)]
    assert allows(chosen, asked) == bool(allowed)
    if allowed:
        assert breadth(chosen.last) == min(breadth(each.last) for each in allowed)
        strictly = [each for each in allowed if within(each.last.powers[0], chosen.last.powers[0])]
        assert all(within(chosen.last.powers[0], each.last.powers[0]) for each in strictly)


def test_a_family_is_never_asked_about_towards_an_office_nor_a_business_at_a_service() -> None:
    child = Party(kind=PartyKind.PERSON, id="p" * 16, name="山田翔太")
    family = replace(
        grant(Power(acts=frozenset({Act.VIEW_RECORD}), scope=Scope(kind=ScopeKind.SERVICE, service="clinic"))),
        kind=Kind.GUARDIAN,
        principal=child,
    )
    asked = Question(as_of=NOW, act=Act.VIEW_RECORD, service="clinic")
    assert allows(standing(family), asked)
    assert not allows(standing(family), replace(asked, service="bank"))
    assert not allows(standing(family), replace(asked, service=None, entity="100001"))
    told = authority(standing(family), asked)
    assert (told.organization, told.number) == ("", None), "a service is not told a child's name or number"
    business = grant(Power(acts=frozenset({Act.SUBMIT}), scope=Scope(kind=ScopeKind.TERM, entities=frozenset({"*"}))))
    assert not allows(standing(business), Question(as_of=NOW, act=Act.SUBMIT, service="clinic"))


def test_questions_name_the_very_acts_that_can_be_granted() -> None:
    assert {act.value for act in PROCUREMENT} == BUSINESS_ACTS
    assert {act.value for act in ALLOWED[Kind.GUARDIAN] | ALLOWED[Kind.PERSON]} == FAMILY_ACTS
