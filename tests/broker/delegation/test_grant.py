"""The grant, its rules, and what may come from it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.delegation import corporate_number, narrowing, record
from broker.delegation import grant_document as grants
from broker.delegation.acts import ALLOWED, EN, JA, PROCUREMENT, Act, Kind
from broker.delegation.grant import (
    Approval,
    Grant,
    Joint,
    JointVenture,
    Limit,
    Method,
    Party,
    PartyKind,
    Power,
    Scope,
    ScopeKind,
)
from broker.delegation.members import JST, canonical
from broker.delegation.rules import WORDS, Rule
from broker.errors import PowerRefused

COMPANY, OTHER = "1180301018771", "7000012050002"  # トヨタ自動車, 国税庁, as the National Tax Agency publishes them
NOW = datetime(2026, 11, 21, 9, 0, tzinfo=JST)
PRINCIPAL = Party(
    kind=PartyKind.CORPORATION,
    id="p" * 22,
    name="株式会社見本",
    corporate_number=COMPANY,
    address="愛知県豊田市",
    representative="見本 太郎",
    representative_title="代表取締役",
)
AGENT = Party(kind=PartyKind.PERSON, id="a" * 22, name="𠮷田 花子", title="営業部長", corporate_number=COMPANY)
POWER = Power(
    acts=frozenset({Act.BID, Act.CONTRACT, Act.INVOICE, Act.APPOINT_SUBAGENT}),
    scope=Scope(kind=ScopeKind.TERM, entities=frozenset({"mlit-01", "mlit-02"})),
    limit=Limit(amount=10_000_000, tax_included=True, total=False),
)
GRANT = Grant(
    kind=Kind.BUSINESS,
    number="n" * 22,
    issuer="https://broker.example",
    nonce="x" * 43,
    method=Method.OPERATOR_FILE,
    principal=PRINCIPAL,
    agent=AGENT,
    powers=(POWER,),
    begins=NOW,
    ends=NOW + timedelta(days=300),
    sub_delegation=1,
)
CHILD = replace(
    GRANT,
    number="c" * 22,
    parent=GRANT.number,
    agent=replace(AGENT, id="b" * 22, name="佐藤 次郎"),
    powers=(replace(POWER, acts=frozenset({Act.BID})),),
    sub_delegation=0,
)
FAMILY = replace(
    GRANT,
    kind=Kind.GUARDIAN,
    principal=Party(kind=PartyKind.PERSON, id="k" * 22, name="山田 小太郎"),
    agent=Party(kind=PartyKind.PERSON, id="m" * 22, name="山田 花子"),
    powers=(Power(acts=frozenset({Act.VIEW_RECORD}), scope=Scope(kind=ScopeKind.SERVICE, service="clinic")),),
    sub_delegation=0,
)


def refused(grant: Grant) -> tuple[str, str]:
    with pytest.raises(PowerRefused) as refusal:
        grants.write(grant)
    return refusal.value.rule, refusal.value.where


def changed(**members: Any) -> bytes:
    """GRANT's document with members changed; None takes one out."""
    document = json.loads(grants.write(GRANT)) | members
    return canonical({name: value for name, value in document.items() if value is not None})


def read_refused(data: bytes) -> tuple[str, str]:
    with pytest.raises(PowerRefused) as refusal:
        grants.read(data)
    return refusal.value.rule, refusal.value.where


# --- the corporate number --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [COMPANY, OTHER])
def test_a_published_corporate_number_holds_and_no_digit_of_it_can_be_another(number: str) -> None:
    corporate_number.check(number)
    for place in range(13):
        for digit in set("0123456789") - {number[place]}:
            wrong = number[:place] + digit + number[place + 1 :]
            if corporate_number.check_digit(wrong[1:]) == int(wrong[0]):
                assert {digit, number[place]} == {"0", "9"}  # the one mistake that a sum modulo nine cannot see
                continue
            with pytest.raises(PowerRefused):
                corporate_number.check(wrong)


@pytest.mark.parametrize(
    "number", ["", COMPANY[1:], COMPANY + "1", "１１８０３０１０１８７７１", COMPANY[:12] + "x", "-180301018771"]
)
def test_what_is_not_thirteen_digits_is_no_corporate_number(number: str) -> None:
    with pytest.raises(PowerRefused):
        corporate_number.check(number)


# --- reading and writing ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("grant", [GRANT, CHILD, FAMILY], ids=["business", "sub-agent", "guardian"])
def test_a_grant_is_read_as_it_was_written_and_has_one_spelling(grant: Grant) -> None:
    data = grants.write(grant)
    assert grants.read(data) == grant
    assert grants.write(grants.read(data)) == data
    assert list(json.loads(data)) == sorted(json.loads(data))


def test_every_member_that_nobody_knows_is_refused_with_its_place() -> None:
    assert read_refused(changed(extra=1)) == (Rule.FORM, "extra")
    principal = json.loads(grants.write(GRANT))["principal"]
    assert read_refused(changed(principal=principal | {"my_number": "x"})) == (Rule.FORM, "principal.my_number")


@pytest.mark.parametrize(
    ("member", "value", "rule"),
    [
        ("v", 2, Rule.VERSION),
        ("type", "poa.anything", Rule.FORM),
        ("number", "short", Rule.FORM),
        ("begins", "2026-11-21T00:00:00Z", Rule.FORM),
        ("begins", "2026-02-30T00:00:00+09:00", Rule.FORM),
        ("powers", [], Rule.FORM),
        ("powers", [{}] * 17, Rule.FORM),
        ("sub_delegation", 3, Rule.FORM),
        ("sub_delegation", True, Rule.FORM),
        ("issuer", " padded", Rule.FORM),
        ("issuer", "x\u0000", Rule.FORM),
        ("issuer", "x" * 301, Rule.FORM),
        ("agent", [], Rule.FORM),
    ],
)
def test_a_member_out_of_its_bounds_is_refused_with_its_rule(member: str, value: Any, rule: Rule) -> None:
    assert read_refused(changed(**{member: value}))[0] == rule


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"\xff", b'{"v":1,"v":1}', b"[" * 5000, b" " * 40_000])
def test_what_is_no_grant_at_all_is_refused(data: bytes) -> None:
    assert read_refused(data)[0] == Rule.FORM


@settings(max_examples=300)
@given(st.data())
def test_no_single_changed_octet_is_read_as_the_same_grant(data: st.DataObject) -> None:
    whole = grants.write(GRANT)
    at = data.draw(st.integers(0, len(whole) - 1))
    octet = data.draw(st.integers(0, 255).filter(lambda value: value != whole[at]))
    try:
        read = grants.read(whole[:at] + bytes([octet]) + whole[at + 1 :])
    except PowerRefused:
        return
    assert read != GRANT


# --- the rules of one grant ------------------------------------------------------------------------------------------


def case(entity: str, number: str = "", name: str = "") -> Power:
    scope = Scope(kind=ScopeKind.CASE, entities=frozenset({entity}), case_number=number, case_name=name)
    return replace(POWER, scope=scope)


def venture(*members: str) -> JointVenture:
    return JointVenture(name="共同企業体", lead=True, members=members)


MIXED = replace(POWER, scope=replace(POWER.scope, entities=frozenset({"*", "a"})))
EVERYBODY = replace(POWER, acts=frozenset({Act.BID}), scope=Scope(kind=ScopeKind.TERM, entities=frozenset({"*"})))
NO_YEN = replace(POWER, limit=Limit(amount=0, tax_included=True, total=False))
FEW = Approval(kind=Joint.AT_LEAST, count=2, approvers=("q" * 22,))


@pytest.mark.parametrize(
    ("grant", "rule"),
    [
        (replace(GRANT, principal=replace(PRINCIPAL, corporate_number="1180301018772")), Rule.CORPORATE_NUMBER),
        (replace(GRANT, principal=replace(PRINCIPAL, corporate_number="")), Rule.CORPORATE_NUMBER),
        (replace(GRANT, principal=AGENT, agent=replace(AGENT, id="z" * 22)), Rule.KIND_OF_PRINCIPAL),
        (replace(FAMILY, principal=PRINCIPAL), Rule.KIND_OF_PRINCIPAL),
        (replace(FAMILY, agent=PRINCIPAL), Rule.KIND_OF_PRINCIPAL),
        (replace(FAMILY, parent="q" * 22), Rule.KIND_OF_PRINCIPAL),
        (replace(GRANT, agent=replace(AGENT, id=PRINCIPAL.id)), Rule.SAME_PARTY),
        (replace(GRANT, ends=GRANT.begins), Rule.TERM),
        (replace(FAMILY, ends=NOW + timedelta(days=367)), Rule.TERM_TOO_LONG),
        (replace(GRANT, qualified_until=GRANT.ends - timedelta(seconds=1)), Rule.QUALIFICATION),
        (replace(GRANT, powers=(replace(POWER, acts=POWER.acts | {Act.VIEW_RECORD}),)), Rule.ACTS),
        (replace(FAMILY, powers=(replace(FAMILY.powers[0], acts=frozenset({Act.BID})),)), Rule.ACTS),
        (replace(GRANT, powers=(replace(POWER, scope=FAMILY.powers[0].scope),)), Rule.SCOPE),
        (replace(FAMILY, powers=(replace(FAMILY.powers[0], scope=POWER.scope),)), Rule.SCOPE),
        (replace(GRANT, powers=(NO_YEN,)), Rule.AMOUNT),
        (replace(GRANT, powers=(case("a"),)), Rule.CASE),
        (replace(GRANT, powers=(case("*", "1", "道路"),)), Rule.CASE),
        (replace(GRANT, powers=(MIXED,)), Rule.ENTITY),
        (replace(GRANT, sub_delegation=0), Rule.SUB_DELEGATION),
        (replace(GRANT, powers=(replace(POWER, acts=frozenset({Act.BID})),)), Rule.SUB_DELEGATION),
        (replace(GRANT, joint_venture=venture(COMPANY)), Rule.JOINT_VENTURE),
        (replace(GRANT, joint_venture=venture(OTHER, "5010401067252")), Rule.JOINT_VENTURE),
        (replace(GRANT, joint_venture=venture(OTHER, "5010401067253")), Rule.CORPORATE_NUMBER),
        (replace(GRANT, approval=FEW), Rule.APPROVAL),
        (replace(GRANT, approval=Approval(kind=Joint.ALL)), Rule.APPROVAL),
    ],
)
def test_a_power_that_nobody_may_grant_is_refused_with_the_rule(grant: Grant, rule: Rule) -> None:
    assert refused(grant)[0] == rule


def test_how_many_approvals_are_needed() -> None:
    three = ("q" * 22, "r" * 22, "s" * 22)
    assert Approval().needed == 0
    assert Approval(kind=Joint.ALL, approvers=three).needed == 3
    assert Approval(kind=Joint.ONE_OF, approvers=three).needed == 1
    assert Approval(kind=Joint.AT_LEAST, count=2, approvers=three).needed == 2
    assert Approval(kind=Joint.MAJORITY, approvers=three).needed == 2
    assert Approval(kind=Joint.MAJORITY, approvers=(*three, "t" * 22)).needed == 3


def test_every_rule_and_every_act_has_its_words_in_both_languages() -> None:
    assert set(WORDS) == set(Rule)
    assert all(words.ja and words.en and words.source for words in WORDS.values())
    assert set(JA) == set(EN) == set(Act)
    assert set(ALLOWED) == set(Kind)
    assert frozenset().union(*ALLOWED.values()) == set(Act)


# --- one power from another ------------------------------------------------------------------------------------------


def chain_refused(*chain: Grant) -> str:
    with pytest.raises(PowerRefused) as refusal:
        narrowing.check_chain(chain)
    return refusal.value.rule


def test_a_narrower_power_of_the_same_corporation_may_come_from_another() -> None:
    narrowing.check_chain([GRANT, CHILD])
    narrowing.check_chain([GRANT])


@pytest.mark.parametrize(
    ("child", "rule"),
    [
        (replace(CHILD, parent=None), Rule.CHILD_PARENT),
        (replace(CHILD, parent="o" * 22), Rule.CHILD_PARENT),
        (replace(CHILD, issuer="https://elsewhere.example"), Rule.CHILD_PARENT),
        (replace(CHILD, sub_delegation=1, powers=(POWER,)), Rule.CHILD_DEPTH),
        (replace(CHILD, principal=replace(PRINCIPAL, corporate_number=OTHER)), Rule.CHILD_ENTITY),
        (replace(CHILD, agent=replace(CHILD.agent, corporate_number=OTHER)), Rule.CHILD_ENTITY),
        (replace(CHILD, begins=GRANT.begins - timedelta(seconds=1)), Rule.CHILD_TERM),
        (replace(CHILD, ends=GRANT.ends + timedelta(seconds=1)), Rule.CHILD_TERM),
        (replace(CHILD, powers=(replace(POWER, acts=frozenset({Act.RECEIVE})),)), Rule.CHILD_WIDER),
        (replace(CHILD, powers=(replace(CHILD.powers[0], limit=None),)), Rule.CHILD_WIDER),
        (
            replace(CHILD, powers=(replace(CHILD.powers[0], limit=Limit(amount=9, tax_included=False, total=False)),)),
            Rule.CHILD_WIDER,
        ),
        (replace(CHILD, powers=(EVERYBODY,)), Rule.CHILD_WIDER),
    ],
)
def test_a_power_wider_than_the_one_it_comes_from_is_refused(child: Grant, rule: Rule) -> None:
    assert chain_refused(GRANT, child) == rule


def test_a_power_that_may_not_be_handed_on_is_not() -> None:
    closed = replace(GRANT, sub_delegation=0, powers=(replace(POWER, acts=POWER.acts - {Act.APPOINT_SUBAGENT}),))
    assert chain_refused(closed, CHILD) == Rule.CHILD_NOT_ALLOWED


def test_the_whole_chain_counts_for_its_length() -> None:
    first = replace(GRANT, sub_delegation=1)
    second = replace(CHILD, sub_delegation=1, powers=(POWER,))
    third = replace(CHILD, number="d" * 22, parent=second.number)
    assert chain_refused(first, second, third) == Rule.CHILD_DEPTH
    narrowing.check_chain([replace(GRANT, sub_delegation=2), second, third])


ACTS = st.frozensets(st.sampled_from(sorted(PROCUREMENT)), min_size=1)
LIMITS = st.none() | st.builds(
    Limit, amount=st.sampled_from([1, 50, 100]), tax_included=st.booleans(), total=st.booleans()
)
SCOPES = st.builds(
    Scope,
    kind=st.just(ScopeKind.TERM),
    entities=st.frozensets(st.sampled_from("abc"), min_size=1) | st.just(frozenset({"*"})),
    categories=st.frozensets(st.sampled_from(["物品", "役務"])),
)
POWERS = st.builds(Power, acts=ACTS, scope=SCOPES, limit=LIMITS)


def allows(power: Power, act: Act, entity: str, category: str, amount: int, *, tax: bool) -> bool:
    """What a power is good for, said anew: the oracle of the test below."""
    return (
        act in power.acts
        and ("*" in power.scope.entities or entity in power.scope.entities)
        and (not power.scope.categories or category in power.scope.categories)
        and (power.limit is None or (power.limit.tax_included == tax and amount <= power.limit.amount))
    )


@settings(max_examples=500)
@given(part=POWERS, whole=POWERS)
def test_whatever_a_power_within_another_allows_the_other_allows_too(part: Power, whole: Power) -> None:
    if not narrowing.within(part, whole):
        return
    for act in PROCUREMENT:
        for entity in "abcd":
            for category in ("物品", "役務", "工事"):
                for amount in (1, 50, 100, 101):
                    for tax in (True, False):
                        if allows(part, act, entity, category, amount, tax=tax):
                            assert allows(whole, act, entity, category, amount, tax=tax)


@settings(max_examples=200)
@given(st.lists(POWERS, min_size=3, max_size=3))
def test_within_is_handed_down_a_chain(powers: list[Power]) -> None:
    first, second, third = powers
    if narrowing.within(second, first) and narrowing.within(third, second):
        assert narrowing.within(third, first)
    assert narrowing.within(first, first)


# --- the record ------------------------------------------------------------------------------------------------------

EVIDENCE = record.Evidence(shows=record.Proof.PRINCIPAL_SIGNATURE, sha256="0" * 64, at=NOW)
RECORD = record.Record(
    grant_bytes=grants.write(GRANT),
    grant=GRANT,
    issued_at=NOW,
    evidence=(EVIDENCE,),
    status_list="https://broker.example/status/1",
    status_index=77,
    log_origin="broker.example/register-log/2026",
    template="record:" + "0" * 64,
)


def test_a_record_carries_the_grant_as_it_was_signed_and_is_read_as_it_was_written() -> None:
    data = record.write(RECORD)
    assert record.read(data) == RECORD
    assert json.loads(data)["grant"].encode() == RECORD.grant_bytes


@settings(max_examples=300)
@given(st.data())
def test_a_record_with_a_changed_octet_is_never_the_same_record(data: st.DataObject) -> None:
    whole = record.write(RECORD)
    at = data.draw(st.integers(0, len(whole) - 1))
    octet = data.draw(st.integers(0, 255).filter(lambda value: value != whole[at]))
    try:
        read = record.read(whole[:at] + bytes([octet]) + whole[at + 1 :])
    except PowerRefused:
        return
    assert read != RECORD
