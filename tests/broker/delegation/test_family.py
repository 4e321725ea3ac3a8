"""The days of a family's powers, counted as the law counts them and as our own ages are."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.delegation import grant_document as grants
from broker.delegation.acts import Kind
from broker.delegation.drafting import Names, grant_of
from broker.delegation.family import GUARDED_UNTIL, of_age, year_after
from broker.delegation.life import Deed, Role, State, after, roles
from broker.delegation.members import JST
from broker.delegation.rules import Rule
from broker.errors import DelegationStateRefused, PowerRefused
from broker.jpki.attributes import BirthDate, Era
from tests.broker.delegation.test_grant import FAMILY

NAMES = Names(number="n" * 24, nonce="x" * 43, issuer="https://b.example", principal="p" * 16, agent="a" * 16)
FORM = {
    "kind": "poa.guardian",
    "service": "clinic",
    "principal_name": "例示みらい",
    "child_born": "2020-06-15",
    "agent_name": "山田花子",
    "act_view_record": "yes",
    "begins": "2026-11-21",
}
SERVICES = {"clinic": "見本クリニック"}
DAYS = st.dates(date(2000, 1, 1), date(2150, 12, 31))


def midnight(year: int, month: int, day: int) -> datetime:
    return datetime(year, month, day, tzinfo=JST)


@pytest.mark.parametrize(
    ("begins", "over"),
    [
        (midnight(2026, 11, 21), midnight(2027, 11, 21)),
        (midnight(2027, 3, 1), midnight(2028, 3, 1)),  # a leap day within it counts as a day of the year
        (midnight(2028, 2, 29), midnight(2029, 3, 1)),  # no such day: the month's last one is the last
        (midnight(2027, 2, 28), midnight(2028, 2, 28)),
    ],
)
def test_a_year_is_over_with_the_day_before_the_same_day(begins: datetime, over: datetime) -> None:
    assert year_after(begins) == over


@pytest.mark.parametrize(
    ("born", "reached"),
    [
        (date(2017, 5, 5), midnight(2032, 5, 5)),
        (date(2012, 2, 29), midnight(2027, 3, 1)),
        (date(2013, 2, 28), midnight(2028, 2, 28)),
        (date(2013, 1, 1), midnight(2028, 1, 1)),
    ],
)
def test_childhood_ends_as_the_fifteenth_birthday_begins_in_japan(born: date, reached: datetime) -> None:
    assert of_age(born) == reached
    assert of_age(born).astimezone(UTC).hour == 15, "in the afternoon before, elsewhere"


@given(DAYS)
def test_it_ends_on_the_first_day_on_which_the_card_proves_the_age(born: date) -> None:
    era = Era.REIWA if born >= date(2019, 5, 1) else Era.HEISEI
    person = BirthDate(era=era, year=born.year, month=born.month, day=born.day)
    if person.exact is None:
        return  # the card would call that year by another era
    day = of_age(born).date()
    assert person.has_reached(GUARDED_UNTIL, on=day)
    assert not person.has_reached(GUARDED_UNTIL, on=day - timedelta(days=1))


@given(DAYS, DAYS)
def test_a_term_left_open_is_the_longest_that_the_rules_allow(begins: date, born: date) -> None:
    form = FORM | {"begins": begins.isoformat(), "child_born": born.isoformat()}
    starts = midnight(begins.year, begins.month, begins.day)
    if of_age(born) <= starts:
        with pytest.raises(PowerRefused) as too_old:
            grant_of(form, names=NAMES, services=SERVICES)
        assert too_old.value.rule == Rule.OF_AGE
        return
    grant = grant_of(form, names=NAMES, services=SERVICES)
    assert grant.ends == min(year_after(starts), of_age(born))
    longer = form | {"ends": grant.ends.date().isoformat()}  # the last day is the day before
    with pytest.raises(PowerRefused) as refusal:
        grant_of(longer, names=NAMES, services=SERVICES)
    assert refusal.value.rule in {Rule.OF_AGE, Rule.TERM_TOO_LONG}
    last = (grant.ends - timedelta(days=1)).date().isoformat()
    assert grant_of(form | {"ends": last}, names=NAMES, services=SERVICES) == grant


def test_what_was_written_elsewhere_holds_no_longer_than_a_year_either() -> None:
    begins = midnight(2027, 3, 1)
    grants.write(replace(FAMILY, begins=begins, ends=midnight(2028, 3, 1)))
    with pytest.raises(PowerRefused) as refusal:
        grants.write(replace(FAMILY, begins=begins, ends=midnight(2028, 3, 1) + timedelta(seconds=1)))
    assert refusal.value.rule == Rule.TERM_TOO_LONG


@pytest.mark.parametrize("kind", [Kind.PERSON, Kind.GUARDIAN])
def test_a_familys_power_never_rests_and_waits_for_no_approver(kind: Kind) -> None:
    for deed in (Deed.SUSPEND, Deed.RESUME, Deed.APPROVE):
        assert not roles(deed, kind)
    with pytest.raises(DelegationStateRefused):
        after(State.ACTIVE, Deed.SUSPEND, role=Role.PRINCIPAL, card=False, kind=kind)
    assert roles(Deed.REVOKE, kind) == {Role.PRINCIPAL, Role.AGENT, Role.OPERATOR}


def test_for_a_child_the_guardian_signs_and_the_childs_card_joins() -> None:
    assert roles(Deed.SIGN, Kind.GUARDIAN) == {Role.AGENT}
    assert roles(Deed.ACCEPT, Kind.GUARDIAN) == {Role.PRINCIPAL}
    assert roles(Deed.SIGN, Kind.PERSON) == {Role.PRINCIPAL}
    with pytest.raises(DelegationStateRefused):
        after(State.DRAFT, Deed.SIGN, role=Role.PRINCIPAL, card=True, kind=Kind.GUARDIAN)


def test_a_service_that_takes_none_is_refused() -> None:
    with pytest.raises(PowerRefused) as refusal:
        grant_of(FORM, names=NAMES, services={"bank": "みほん銀行"})
    assert (refusal.value.rule, refusal.value.where) == (Rule.SERVICE, "service")
