"""The sample e-bidding service in a real browser: the employee's card, the company's power, and nothing beyond it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from broker.delegation import entity
from broker.delegation.rendering import FONTS
from broker.flows import mandate_issue, register
from sandbox import bidding
from sandbox.bidding import BiddingSettings, create_bidding
from sandbox.bidding.books import TENDERS_FILE, AnswerUnfit, Books, Offer
from sandbox.party.visits import Visit
from tests.broker.web.house import House
from tests.broker.web.mandatehouse import Person, equip
from tests.broker.web.servicehouse import answer, log_in, looker, serving, wall
from tests.broker.web.test_web_me_browser import LOCALES
from tests.browser import assert_accessible, follow

NOW = datetime(2026, 12, 1, 3, tzinfo=UTC)


@pytest.fixture
def service(served: House, tmp_path: Path) -> Iterator[str]:
    """The service on a port of its own; answers its address."""
    with serving(
        served, bidding, tmp_path / "bidding", host="127.0.0.6", settings=BiddingSettings, create=create_bidding
    ) as address:
        yield address


def empower(house: House, principal: Person, agent: Person, **form: str) -> str:
    """A mandate that holds, by the clock on the wall: the service keeps its own time."""
    path, invitation = principal.draft(**form)
    assert principal.sign(path, "sign").status_code == 200
    assert agent.take(invitation) == path
    assert agent.sign(path, "accept").status_code == 200
    mandate_issue.issue(house.ports)
    register.witness_all(house.ports)
    mandate_issue.issue(house.ports)
    assert principal.state(path) == "有効"
    wall(house)
    return path


def bid(page: Page, house: House, tender: str, amount: str, *, resident: str = "shain", excluded: bool = False) -> None:
    """From the list to what became of it, with the card and the consent in between."""
    wall(house)
    follow(page.locator(f"#tender-{tender}"))
    page.locator("#amount").fill(amount)
    if excluded:
        page.locator("input[name=tax][value=excluded]").check()
    follow(page.locator("#bid"))
    answer(page, house, resident, consent="#principals", then="#decision")


@pytest.mark.timeout(400)
@pytest.mark.parametrize("language", ["ja", "en"])
def test_an_employee_bids_within_the_companys_power_and_not_beyond_it_nor_after_its_end(
    served: House, service: str, new_page: Callable[..., Page], tmp_path: Path, language: str
) -> None:
    if not all(font.exists() for font in FONTS):
        pytest.skip("missing: fonts-ipaexfont-gothic, fonts-ipamj-mincho")
    equip(served, tmp_path)
    principal = Person.at(served, "hanako")
    path = empower(served, principal, Person.at(served, "shain"), entities="100001", category_2="yes")
    page = new_page(locale=LOCALES[language])

    look = looker(page, language)
    page.goto(service)
    look("bidding-welcome")
    log_in(page, served, "shain", then="#tenders")
    follow(page.locator("#tender-R8-0012"))
    look("bidding-tender")
    page.locator("#amount").fill("たくさん")
    follow(page.locator("#bid"))
    page.locator("#amount-error").wait_for()
    assert_accessible(page)
    follow(page.locator("#back"))

    bid(page, served, "R8-0012", "4,200,000")
    assert page.locator("#accepted").count() == 1
    assert "山田花子" in page.locator("#bidder").inner_text()
    look("bidding-accepted")
    follow(page.locator("#back"))
    for tender, amount, excluded in (
        ("R8-0012", "5000001", False),  # above the limit
        ("R8-0012", "4200000", True),  # nobody can tell what the tax will be
        ("R8-0013", "1000", False),  # another category
        ("R8-0108", "1000", False),  # another office
    ):
        bid(page, served, tender, amount, excluded=excluded)
        assert page.locator("#refused").count() == 1, (tender, amount)
        assert page.locator("#bidder").count() == 0
        follow(page.locator("#back"))

    assert principal.press(path, "revoke-form").status_code == 303
    bid(page, served, "R8-0012", "4200000")
    assert page.locator("#refused").count() == 1, "the very bid that was good a minute ago"
    look("bidding-refused")

    page.goto(f"{service}/office")
    assert page.locator("dl.bid").count() == 1
    assert path.rpartition("/")[2] in (page.locator("a.verify").get_attribute("href") or "")
    look("bidding-office")
    follow(page.locator("a.verify"))
    page.wait_for_url("**/verify?number=*")


def answered(**changed: Any) -> Visit:
    """A login with an answer to a bid of 100 yen."""
    offer = Offer(tender="R8-0012", amount=100, tax_included=True)
    books_question = {
        "type": "urn:jpki-broker:details:mandate",
        "actions": ["bid"],
        "locations": ["100001"],
        "case_no": offer.tender,
        "category": "工事",
        "amount": 100,
        "tax_included": True,
    }
    answer = {
        "decision": "allow",
        "decision_id": "d-1",
        "decided_at": "2026-12-01T03:00:00+00:00",
        "holds_until": "2026-12-01T03:01:00+00:00",
        "mandate": "m" * 24,
    }
    authority = [{"applies_to": {"organization_name": "株式会社架空製作所"}}]
    return Visit(
        claims={"iss": "i", "sub": "s", "verified_claims": {"claims": {"authority": authority}}},
        id_token="",
        granted=[books_question | answer | changed],
    )


OFFER = Offer(tender="R8-0012", amount=100, tax_included=True)


def test_an_answer_serves_one_bid_and_only_the_one_that_was_asked_about(tmp_path: Path) -> None:
    books = Books(tmp_path / "bidding.db")
    assert books.decide(answered(), OFFER, subject="s", now=NOW).accepted
    with pytest.raises(AnswerUnfit, match="used before"):
        books.decide(answered(), OFFER, subject="s", now=NOW)
    for changed, words in (
        ({"amount": 99}, "no answer"),
        ({"locations": ["100002"]}, "no answer"),
        ({"decision": "perhaps"}, "no answer"),
    ):
        with pytest.raises(AnswerUnfit, match=words):
            books.decide(answered(decision_id="d-2", **changed), OFFER, subject="s", now=NOW)
    with pytest.raises(AnswerUnfit, match="another person"):
        books.decide(answered(decision_id="d-2"), OFFER, subject="t", now=NOW)
    with pytest.raises(AnswerUnfit, match="no longer"):
        books.decide(answered(decision_id="d-2"), OFFER, subject="s", now=NOW + timedelta(minutes=1))
    refused = books.decide(answered(decision_id="d-2", decision="deny"), OFFER, subject="s", now=NOW)
    assert (refused.accepted, refused.bidder, refused.mandate) == (False, "", "")
    assert [each.decision for each in books.received()] == ["d-1"]


def test_every_tender_belongs_to_an_office_that_the_sandbox_knows(tmp_path: Path) -> None:
    known = entity.read(TENDERS_FILE.parents[1].joinpath("procuring-entities.toml").read_bytes())
    tenders = Books(tmp_path / "bidding.db").tenders
    assert {each.office for each in tenders.values()} <= known.keys()
