"""What becomes of a mandate: approvals, a successor, a sub-agent, the clock, and the fall of all that comes from it.

Everybody stands at a browser of their own with their own card; register, witness and seal are real.
"""

from __future__ import annotations

import gzip
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Route

from broker.delegation import record as records
from broker.delegation import rules
from broker.delegation.rendering import FONTS
from broker.delegation.rules import Rule
from broker.delegation.status_list import Status, read_token
from broker.flows.mandate_ends import DRAFT_KEPT, expire
from broker.flows.ports import KeyUse
from tests.broker.web.house import House, Page
from tests.broker.web.mandatehouse import Person, equip, work
from tests.browser import assert_accessible, compressed, follow, screenshot
from tests.registerhouse import Neighbours

STATUS = "/status-lists/1"
PASSING_ON = {"act_appoint_subagent": "yes", "sub_delegation": "1"}
PART = {"act_contract": "", "limit_amount": "1000000", "entities": "100001", "agent_name": "見本太郎"}


@pytest.fixture
def street(house: House, tmp_path: Path) -> Neighbours:
    if not all(font.exists() for font in FONTS):
        pytest.skip("missing: fonts-ipaexfont-gothic, fonts-ipamj-mincho")
    return equip(house, tmp_path)


def number_of(path: str) -> str:
    return path.rpartition("/")[2]


def accepted(principal: Person, agent: Person, **changed: str) -> str:
    """A mandate that both have signed; its page."""
    path, invitation = principal.draft(**changed)
    assert principal.sign(path, "sign").status_code == 200
    assert agent.take(invitation) == path
    assert agent.sign(path, "accept").status_code == 200
    return path


def active(principal: Person, agent: Person, **changed: str) -> str:
    path = accepted(principal, agent, **changed)
    work(principal.house)
    assert principal.state(path) == "有効"
    return path


def listed(house: House, person: Person, path: str) -> int:
    """What the published list says of a mandate."""
    place = records.read(person.get(f"{path}/poa.json").data).status_index
    token = house.browser().get(STATUS, base_url=house.issuer).text
    return read_token(token, jwks=house.ports.keys.jwks(KeyUse.MANDATE_STATUS), uri=f"{house.issuer}{STATUS}").list.at(
        place
    )


# --- approvals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("condition", "needed"),
    [
        ({"approval_kind": "all"}, 3),
        ({"approval_kind": "one_of"}, 1),
        ({"approval_kind": "at_least", "approval_count": "2"}, 2),
        ({"approval_kind": "majority"}, 2),
    ],
    ids=["all", "one of", "at least two", "majority"],
)
def test_a_grant_waits_for_as_many_approvals_as_it_asks_for(
    house: House, street: Neighbours, condition: dict[str, str], needed: int
) -> None:
    principal = Person.at(house, "hanako")
    path, agents, invitations = principal.draft_for(approvers="3", **condition)
    assert len(invitations) == 3
    assert f"3人のうち{needed}人" in principal.get(path).text
    agent = Person.at(house, "shain")
    agent.take(agents)
    approvers = [Person.at(house, name) for name in ("taro", "daihyo", "yoshiko")]
    for approver, invitation in zip(approvers, invitations, strict=True):
        assert approver.take(invitation) == path
        assert "approve-form" not in Page(approver.get(path).text).forms, "nobody approves a draft"
    principal.sign(path, "sign")
    for approver in approvers[:needed]:
        assert "accept-form" not in Page(agent.get(path).text).forms, "an approval is missing"
        assert approver.sign(path, "approve").status_code == 200
    for approver in approvers[needed:]:
        assert "approve-form" not in Page(approver.get(path).text).forms, "no more are asked for"
    agent.sign(path, "accept")
    work(house)
    assert principal.state(path) == "有効"
    shown = [each.shows.value for each in records.read(agent.get(f"{path}/poa.json").data).evidence]
    assert shown.count("approval") == needed


def test_an_approver_approves_once_and_with_their_own_card(house: House, street: Neighbours) -> None:
    principal = Person.at(house, "hanako")
    path, _agent, invitations = principal.draft_for(approvers="2", approval_kind="all")
    principal.sign(path, "sign")
    first, second = Person.at(house, "taro"), Person.at(house, "daihyo")
    first.take(invitations[0])
    second.take(invitations[1])
    first.sign(path, "approve", card="daihyo")
    assert "approve-form" in Page(Person.at(house, "taro").get(path).text).forms, "another's card approves nothing"
    first = Person.at(house, "taro")
    first.sign(path, "approve")
    assert "approve-form" not in Page(first.get(path).text).forms
    assert principal.state(path) != "有効"
    assert "approve-form" in Page(second.get(path).text).forms


# --- what takes its place ---------------------------------------------------------------------------------------------


def test_a_successor_takes_its_place_when_it_is_sealed_and_not_before(house: House, street: Neighbours) -> None:
    principal, agent = Person.at(house, "hanako"), Person.at(house, "shain")
    first = active(principal, agent)
    second = accepted(principal, agent, supersedes=number_of(first), limit_amount="3000000")
    street.silent.update(street.services)
    work(house)
    assert principal.state(first) == "有効", "its successor is not sealed"
    street.silent.clear()
    work(house)
    assert principal.state(second) == "有効"
    assert principal.state(first) == agent.state(first) == "新しい委任に置き換えられました"
    assert listed(house, agent, first) == Status.INVALID
    assert listed(house, agent, second) == Status.VALID


def test_nobody_supersedes_what_another_granted(house: House, street: Neighbours) -> None:
    principal, agent = Person.at(house, "hanako"), Person.at(house, "shain")
    first = active(principal, agent)
    page = agent.fill(supersedes=number_of(first))
    assert page.status_code == 400
    assert rules.WORDS[Rule.CHILD_PARENT].ja in page.text
    assert principal.state(first) == "有効"


# --- a sub-agent ------------------------------------------------------------------------------------------------------


def test_a_sub_agents_power_is_a_part_of_the_agents_and_falls_with_it(house: House, street: Neighbours) -> None:
    principal, agent, below = (Person.at(house, name) for name in ("hanako", "shain", "taro"))
    parent = active(principal, agent, **PASSING_ON)
    child = active(agent, below, parent=number_of(parent), **PART)
    assert records.read(below.get(f"{child}/poa.json").data).grant.parent == number_of(parent)
    assert number_of(parent) in below.get(child).text
    assert (listed(house, agent, parent), listed(house, below, child)) == (Status.VALID, Status.VALID)

    assert principal.press(parent, "suspend-form").status_code == 303
    work(house)
    assert listed(house, below, child) == Status.SUSPENDED, "no better than what it comes from"
    principal.sign(parent, "resume")
    work(house)
    assert listed(house, below, child) == Status.VALID

    assert principal.press(parent, "revoke-form").status_code == 303
    assert principal.state(parent) == agent.state(parent) == below.state(child) == "取り消し済み"
    assert "取り消し" in Page(below.get("/delegations").text).texts["notes"], "who loses it is told"
    work(house)
    assert listed(house, below, child) == Status.INVALID


def test_what_a_sub_agent_has_not_signed_yet_ends_with_the_power_above(house: House, street: Neighbours) -> None:
    principal, agent = Person.at(house, "hanako"), Person.at(house, "shain")
    parent = active(principal, agent, **PASSING_ON)
    child, _invitation = agent.draft(parent=number_of(parent), **PART)
    principal.press(parent, "revoke-form")
    assert agent.state(child) == "取りやめ"
    page = agent.fill(parent=number_of(parent), **PART)
    assert rules.WORDS[Rule.CHILD_PARENT].ja in page.text


WIDER = {
    "act": ({"act_invoice": "yes"}, Rule.CHILD_WIDER),
    "amount": ({"limit_amount": "5000001"}, Rule.CHILD_WIDER),
    "no limit": ({"limit_amount": ""}, Rule.CHILD_WIDER),
    "tax": ({"limit_tax": "excluded"}, Rule.CHILD_WIDER),
    "entity": ({"entities": "100001 100009"}, Rule.CHILD_WIDER),
    "any entity": ({"entities": "*"}, Rule.CHILD_WIDER),
    "term": ({"ends": "2028-01-01"}, Rule.CHILD_TERM),
    "depth": ({"act_appoint_subagent": "yes", "sub_delegation": "1"}, Rule.CHILD_DEPTH),
    "another's": (
        {
            "principal_kind": "corporation",
            "principal_corporate_number": "8490101999999",
            "principal_representative": "社員働助",
        },
        Rule.CHILD_ENTITY,
    ),
}


def test_a_power_wider_than_the_one_it_comes_from_is_refused_in_both_languages(
    house: House, street: Neighbours
) -> None:
    principal, agent = Person.at(house, "hanako"), Person.at(house, "shain")
    above = number_of(active(principal, agent, **PASSING_ON))
    before = rows(house)
    asked = {name: ({**PART, "parent": above, **wider}, rule) for name, (wider, rule) in WIDER.items()}
    assert refusals(agent, asked) == expected(asked)
    assert rows(house) == before


def refusals(person: Person, asked: Mapping[str, tuple[dict[str, str], Rule]]) -> dict[str, list[tuple[int, str, str]]]:
    """What the page says to each form, in both languages: status, language, rule."""
    told: dict[str, list[tuple[int, str, str]]] = {}
    for name, (changed, _rule) in asked.items():
        for language in ("ja", "en"):
            page = person.fill(language=language, **changed)
            found = Page(page.text)
            told.setdefault(name, []).append((page.status_code, found.lang, found.texts.get("error-rule", "")))
    return told


def expected(asked: Mapping[str, tuple[dict[str, str], Rule]]) -> dict[str, list[tuple[int, str, str]]]:
    words = {name: rules.WORDS[rule] for name, (_changed, rule) in asked.items()}
    return {name: [(400, "ja", told.ja), (400, "en", told.en)] for name, told in words.items()}


def test_a_power_that_may_not_be_passed_on_is_not(house: House, street: Neighbours) -> None:
    principal, agent = Person.at(house, "hanako"), Person.at(house, "shain")
    parent = active(principal, agent)
    page = agent.fill(parent=number_of(parent), **PART)
    assert rules.WORDS[Rule.CHILD_NOT_ALLOWED].ja in page.text
    page = principal.fill(parent=number_of(parent), **PART)
    assert rules.WORDS[Rule.CHILD_PARENT].ja in page.text, "only its agent passes it on"


# --- the clock --------------------------------------------------------------------------------------------------------


def test_the_clock_ends_a_term_and_what_comes_from_it(house: House, street: Neighbours) -> None:
    principal, agent, below = (Person.at(house, name) for name in ("hanako", "shain", "taro"))
    day = house.clock().date()
    term = {"begins": day.isoformat(), "ends": (day + timedelta(days=20)).isoformat()}
    parent = active(principal, agent, **PASSING_ON, **term)
    child = active(agent, below, parent=number_of(parent), **PART, **term)
    house.clock.step(days=19)
    assert expire(house.ports) == {"expired": 0, "abandoned": 0}
    house.clock.step(days=3)
    assert expire(house.ports)["expired"] >= 1
    principal, below = Person.at(house, "hanako"), Person.at(house, "taro")
    assert principal.state(parent) == "期間が終わりました"
    assert below.state(child) in {"期間が終わりました", "取り消し済み"}
    assert "resume-form" not in Page(principal.get(parent).text).forms
    work(house)
    assert listed(house, below, child) == listed(house, principal, parent) == Status.INVALID
    assert expire(house.ports) == {"expired": 0, "abandoned": 0}, "once"


def test_the_clock_ends_what_nobody_finished(house: House, street: Neighbours) -> None:
    principal = Person.at(house, "hanako")
    path, invitation = principal.draft()
    house.clock.step(days=DRAFT_KEPT.days, minutes=1)
    assert expire(house.ports) == {"expired": 0, "abandoned": 1}
    assert Person.at(house, "hanako").state(path) == "取りやめ"
    assert Person.at(house, "shain").get(invitation).status_code == 404


# --- what nobody may grant --------------------------------------------------------------------------------------------

CORPORATION = {
    "principal_kind": "corporation",
    "principal_name": "株式会社架空製作所",
    "principal_representative": "山田花子",
}
BAD = {
    "no act": ({"act_bid": "", "act_contract": ""}, Rule.ACTS),
    "an act of another kind": ({"act_view_record": "yes"}, Rule.ACTS),
    "a service that lets nobody act": ({"kind": "poa.person", "service": "clinic", "act_bid": "yes"}, Rule.SERVICE),
    "a wrong corporate number": ({**CORPORATION, "principal_corporate_number": "1234567890123"}, Rule.CORPORATE_NUMBER),
    "twelve digits": ({**CORPORATION, "principal_corporate_number": "700001205000"}, Rule.CORPORATE_NUMBER),
    "no corporate number": (CORPORATION, Rule.CORPORATE_NUMBER),
    "an unknown entity": ({"entities": "999999"}, Rule.ENTITY),
    "no entity": ({"entities": ""}, Rule.ENTITY),
    "a term past the qualification": ({"qualified_until": "2026-12-01"}, Rule.QUALIFICATION),
    "a term that is over": ({"begins": "2020-01-01", "ends": "2020-02-01"}, Rule.TERM),
    "a term that ends first": ({"begins": "2027-05-01", "ends": "2027-04-01"}, Rule.TERM),
    "no day": ({"ends": "2027-02-30"}, Rule.TERM),
    "a negative amount": ({"limit_amount": "-5"}, Rule.AMOUNT),
    "half a yen": ({"limit_amount": "1.5"}, Rule.AMOUNT),
    "a case without a number": ({"scope_kind": "case"}, Rule.CASE),
    "a venture without its principal": (
        {"jv_name": "架空共同企業体", "jv_members": "8490101999999 8700110005901"},
        Rule.JOINT_VENTURE,
    ),
    "more approvals than approvers": (
        {"approvers": "1", "approval_kind": "at_least", "approval_count": "2"},
        Rule.APPROVAL,
    ),
    "sub-agents that nobody may appoint": ({"sub_delegation": "1"}, Rule.SUB_DELEGATION),
    "an unknown power above": ({"parent": "A" * 24}, Rule.CHILD_PARENT),
    "an unknown power before": ({"supersedes": "A" * 24}, Rule.CHILD_PARENT),
}


def test_what_nobody_may_grant_is_refused_with_its_rule_in_both_languages(house: House, street: Neighbours) -> None:
    policy = replace(house.ports.policy, procuring_entities=frozenset({"100001", "100002"}))
    house.ports = house.app.extensions["broker"] = replace(house.ports, policy=policy)
    principal = Person.at(house, "hanako")
    before = rows(house)
    assert refusals(principal, BAD) == expected(BAD)
    assert rows(house) == before


def rows(house: House) -> dict[str, int]:
    """How much is written of mandates."""
    with sqlite3.connect(house.database) as opened:
        there = {name for (name,) in opened.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        found = {name for name in there if name.startswith("mandate")}
        assert found >= {"mandates", "mandate_parts"}
        counts = {name: f"SELECT count(*) FROM {name}" for name in sorted(found)}  # noqa: S608  # names of ours
        return {name: opened.execute(count).fetchone()[0] for name, count in counts.items()}


# --- as people see it -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["ja", "en"])
def test_the_pages_are_accessible(
    house: House, street: Neighbours, new_page: Callable[..., Any], language: str
) -> None:
    principal, agent = Person.at(house, "hanako"), Person.at(house, "shain")
    venture = {"jv_name": "架空共同企業体", "jv_lead": "yes", "jv_members": "8490101999999 8700110005901"}
    corporation = {**CORPORATION, "principal_corporate_number": "8490101999999", **venture}
    path, invitation, _ = principal.draft_for(approvers="3", approval_kind="majority", **corporation)
    page = new_page(locale={"ja": "ja-JP", "en": "en-GB"}[language])
    shown = {"draft": (principal, path), "list": (principal, "/delegations"), "invitation": (agent, invitation)}
    for name, (person, where) in {**shown, "form": (principal, "/delegations/new")}.items():
        page.unroute_all()
        page.route("**/*", answering(person, language))
        page.goto(f"{house.issuer}{where}")
        assert page.locator("html").get_attribute("lang") == language
        assert_accessible(page)
        screenshot(page, f"mandate-{name}-{language}")
    page.locator("#ends").fill("2020-01-01")
    follow(page.locator("#draft"))
    page.locator("#error").wait_for()
    assert_accessible(page)
    screenshot(page, f"mandate-refused-{language}")


def answering(person: Person, language: str) -> Callable[[Route], None]:
    """Carries what a browser asks to the house, with this person's cookies."""

    def answer(route: Route) -> None:
        asked = route.request
        told = person.browser.open(
            asked.url.removeprefix(person.house.issuer),
            method=asked.method,
            data=asked.post_data,
            content_type=asked.headers.get("content-type"),
            headers={"Accept-Language": language, "Origin": person.house.issuer, "Accept-Encoding": "gzip"},
            base_url=person.house.issuer,
        )
        headers = {name: value for name, value in told.headers.items() if name.lower() != "set-cookie"}
        body = told.data
        if headers.pop("Content-Encoding", "") == "gzip":
            compressed(asked.url, len(body))
            body = gzip.decompress(body)
        route.fulfill(status=told.status_code, headers=headers, body=body)
        told.close()

    return answer
