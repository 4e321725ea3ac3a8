"""What a service learns when it asks whether somebody may act for another: yes for that act and a minute, or no."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from broker.delegation.entity import ProcuringEntity
from broker.delegation.rendering import FONTS
from broker.flows.account_orders import add_operator
from broker.flows.mandate_issue import judge_extract
from broker.ids import MandateNumber
from broker.oidc.client import AuthMethod, GrantType, Right
from broker.oidc.mandate_question import TYPE
from tests.broker.web.house import House, Page, returned
from tests.broker.web.mandatehouse import Person, equip, work
from tests.broker.web.program import Program, register
from tests.broker.web.pushing import push, pushed, visit
from tests.registerhouse import Neighbours


def rows(house: House, statement: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(house.database)) as connection:
        return connection.execute(statement).fetchall()


ASKED: dict[str, Any] = {"type": TYPE, "actions": ["bid"], "locations": ["100001"], "amount": 4_000_000}
AUTHORITY = json.dumps(
    {
        place: {"verified_claims": {"verification": {"trust_framework": None}, "claims": {"authority": None}}}
        for place in ("id_token", "userinfo")
    }
)
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
DECISION = "urn:jpki-broker:token-type:decision"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"


@pytest.fixture
def street(house: House, tmp_path: Path) -> Neighbours:
    if not all(font.exists() for font in FONTS):
        pytest.skip("missing: fonts-ipaexfont-gothic, fonts-ipamj-mincho")
    return equip(house, tmp_path)


def bidding(house: House, client_id: str = "bidding", **changes: Any) -> Program:
    """A client that may ask about mandates."""
    members: dict[str, Any] = {
        "name": "架空県電子入札",
        "rights": frozenset({Right.MANDATE_QUESTIONS}),
        "requires_pushed_requests": True,
        "authorization_details_types": frozenset({TYPE}),
        "grant_types": frozenset({GrantType.AUTHORIZATION_CODE, GrantType.TOKEN_EXCHANGE}),
    }
    return register(house, client_id, **(members | changes))


def mandate(house: House, principal: Person, agent: Person, **form: str) -> str:
    """One that holds; the path of its page."""
    path, invitation = principal.draft(**form)
    assert principal.sign(path, "sign").status_code == 200
    assert agent.take(invitation) == path
    assert agent.sign(path, "accept").status_code == 200
    work(house)
    assert principal.state(path) == "有効"
    return path


def asking(
    program: Program, *details: dict[str, Any], resident: str = "shain", **changes: str | None
) -> tuple[FlaskClient, TestResponse]:
    """A browser, and in it the consent page after the card of `resident`."""
    house, browser = program.house, program.house.browser()
    asked = json.dumps(details or [ASKED])
    request = pushed(program, authorization_details=asked, claims=changes.pop("claims", AUTHORITY), **changes)
    login = house.get(browser, visit(program, request, browser).headers["Location"])
    assert "mandate-questions" in Page(login.text).texts, "shown before the card"
    return browser, house.get(browser, house.answer(login, resident).headers["Location"])


def tokens(program: Program, *details: dict[str, Any], principal: str = "", **options: Any) -> dict[str, Any]:
    """What the token endpoint says once the resident has agreed."""
    browser, page = asking(program, *details, **options)
    fields = {"principal": principal} if principal else {}
    done = program.house.submit(browser, page, "consent-form", decision="approve", **fields)
    answer = program.token(returned(done)["code"])
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.get_json()
    return told


def decisions(told: dict[str, Any]) -> list[str]:
    return [each["decision"] for each in told["authorization_details"]]


def id_token(told: dict[str, Any]) -> dict[str, Any]:
    return dict(jwt.decode(told["id_token"], options={"verify_signature": False}))


def test_yes_inside_the_power_no_outside_and_no_after_the_principal_has_revoked_it(
    house: House, street: Neighbours
) -> None:
    principal, agent = Person.at(house, "hanako"), Person.at(house, "shain")
    path = mandate(house, principal, agent)
    number = path.rpartition("/")[2]
    program = bidding(house)

    told = tokens(program)
    (detail,) = told["authorization_details"]
    assert detail["decision"] == "allow"
    assert (detail["act"], detail["amount"], detail["mandate"]) == ("bid", 4_000_000, number)
    assert {"decision_id", "decided_at", "holds_until", "principal"} <= detail.keys()
    assert "pin" not in detail

    claims = id_token(told)
    (authority,) = claims["verified_claims"]["claims"]["authority"]
    assert authority["applies_to"] == {"organization_name": "山田花子"}
    assert authority["permission"][0]["function"] == ["bid"]
    assert authority["permission"][0]["budget"]["amount"] == 4_000_000, "what was asked, not the limit"
    assert authority["granted_by"]["mandate"] == number
    assert "5000000" not in json.dumps(told) + json.dumps(claims), "the limit is nobody's business"
    assert claims["sub"] != detail["principal"]

    for outside in (
        {"amount": 5_000_001},
        {"locations": ["999999"]},
        {"actions": ["invoice"]},
        {"tax_included": False},
    ):
        told = tokens(program, ASKED | outside)
        assert decisions(told) == ["deny"], outside
        assert "verified_claims" not in id_token(told)
        assert not {"mandate", "principal"} & told["authorization_details"][0].keys()
    del_amount = {name: value for name, value in ASKED.items() if name != "amount"}
    assert decisions(tokens(program, del_amount)) == ["deny"], "a limit that is not asked about"

    assert principal.press(path, "revoke-form").status_code == 303
    assert decisions(tokens(program)) == ["deny"]
    for party in (principal, agent):
        shown = Page(party.get(path).text).texts["decisions"]
        assert "架空県電子入札 入札 100001 4,000,000円" in shown, "who asked, what, and about how much"
        assert shown.count("認めた") == 1
        assert shown.count("認めなかった") == 6


def test_no_looks_the_same_with_a_mandate_and_without(house: House, street: Neighbours) -> None:
    mandate(house, Person.at(house, "hanako"), Person.at(house, "shain"))
    program = bidding(house)
    outside = tokens(program, ASKED | {"amount": 9_000_000})
    none = tokens(program, ASKED | {"amount": 9_000_000}, resident="taro")
    shapes = [
        {name: type(value) for name, value in told["authorization_details"][0].items()} for told in (outside, none)
    ]
    assert shapes[0] == shapes[1]
    assert id_token(outside).keys() == id_token(none).keys()
    assert outside.keys() == none.keys()
    lengths = [len(told["authorization_details"][0]["decision_id"]) for told in (outside, none)]
    assert lengths[0] == lengths[1]


def test_a_resident_who_could_act_for_two_chooses_and_the_answer_is_about_that_one(
    house: House, street: Neighbours
) -> None:
    agent = Person.at(house, "shain")
    first = mandate(house, Person.at(house, "hanako"), agent)
    second = mandate(house, Person.at(house, "taro"), agent, limit_amount="100")
    program = bidding(house)
    browser, page = asking(program)
    shown = Page(page.text).texts["principals"]
    assert "山田花子" in shown
    assert "範囲に入っていない" in shown, "the resident is told, the service is not"
    refused = house.submit(browser, page, "consent-form", decision="approve", principal="A" * 24)
    assert refused.status_code == 400
    numbers = [path.rpartition("/")[2] for path in (first, second)]
    assert decisions(tokens(program, principal=numbers[0])) == ["allow"]
    assert decisions(tokens(program, principal=numbers[1])) == ["deny"]


def test_of_several_mandates_of_one_principal_the_narrowest_answers(house: House, street: Neighbours) -> None:
    principal, agent = Person.at(house, "hanako"), Person.at(house, "shain")
    mandate(house, principal, agent)
    narrow = mandate(house, principal, agent, entities="100001", limit_amount="4500000")
    (detail,) = tokens(bidding(house))["authorization_details"]
    assert detail["mandate"] == narrow.rpartition("/")[2]


def test_who_may_ask(house: House, street: Neighbours) -> None:
    asked = json.dumps([ASKED])
    plain = bidding(house, "plain", rights=frozenset())
    assert push(plain, authorization_details=asked).get_json()["error"] == "invalid_authorization_details"
    secret = bidding(house, "secret", auth_method=AuthMethod.CLIENT_SECRET_POST, secret_digest=b"\0" * 32, jwks=None)
    assert not secret.client.asks_mandates
    direct = bidding(house, "direct", requires_pushed_requests=False)
    page = house.authorize(house.browser(), client_id="direct", authorization_details=asked)
    assert direct.client.asks_mandates
    assert "invalid_authorization_details" in Page(page.text).links["continue-link"]


def test_an_office_that_is_not_listed_is_refused_and_one_that_is_stands_there_by_name(
    make_house: Callable[..., House],
) -> None:
    known = {"100001": ProcuringEntity(code="100001", name="架空県", name_en="Kakuu Prefecture")}
    program = bidding(make_house(policy={"procuring_entities": known}))
    unknown = push(program, authorization_details=json.dumps([ASKED | {"locations": ["100009"]}]))
    assert unknown.status_code == 400
    assert "procuring entity" in unknown.get_json()["error_description"]
    assert "架空県（100001）" in Page(asking(program)[1].text).texts["mandate-questions"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"actions": ["bid", "contract"]},
        {"actions": ["fly"]},
        {"actions": []},
        {"actions": ["view_record"]},
        {"locations": ["a b"]},
        {"locations": ["1", "2"]},
        {"amount": 0},
        {"amount": True},
        {"amount": "5"},
        {"amount": 1.5},
        {"amount": None},
        {"tax_included": "yes"},
        {"case_no": ""},
        {"case_no": "a\u202eb"},
        {"mandate": "short"},
        {"pin": "A" * 24},
        {"decision": "allow"},
    ],
)
def test_a_question_that_is_not_well_put_is_refused(house: House, wrong: dict[str, Any]) -> None:
    answer = push(bidding(house), authorization_details=json.dumps([ASKED | wrong]))
    assert answer.status_code == 400
    assert answer.get_json()["error"] == "invalid_authorization_details"


def exchange(program: Program, told: dict[str, Any], **changes: str | None) -> TestResponse:
    detail = told["authorization_details"][0]
    form: dict[str, str | None] = {
        "grant_type": EXCHANGE,
        "subject_token": detail["decision_id"],
        "subject_token_type": DECISION,
        "actor_token": told["access_token"],
        "actor_token_type": ACCESS_TOKEN,
    }
    return program.post("/token", **(form | changes))


def test_a_token_for_acting_names_the_principal_and_the_agent_and_ends_with_the_mandate(
    house: House, street: Neighbours
) -> None:
    principal, agent = Person.at(house, "hanako"), Person.at(house, "shain")
    path = mandate(house, principal, agent)
    program = bidding(house)
    told = tokens(program)
    mine = id_token(told)["sub"]
    answer = exchange(program, told)
    assert answer.status_code == 200, answer.text
    acting = answer.get_json()
    claims = jwt.decode(acting["access_token"], options={"verify_signature": False})
    assert claims["sub"] == told["authorization_details"][0]["principal"] != mine
    assert claims["act"] == {"sub": mine}
    assert claims["aud"] == "bidding"
    assert "scope" not in claims
    assert claims["exp"] - claims["iat"] <= 60
    assert "id_token" not in acting
    assert program.userinfo(acting["access_token"]).status_code == 401
    login = jwt.decode(told["access_token"], options={"verify_signature": False})
    assert "act" not in login, "never both shapes in one token"
    assert login["sub"] == mine

    state = program.post("/introspect", token=acting["access_token"]).get_json()
    assert state["active"]
    assert state["act"] == {"sub": mine}
    assert decisions(program.post("/introspect", token=told["access_token"]).get_json()) == ["allow"]
    info = program.userinfo(told["access_token"]).get_json()
    assert info["verified_claims"]["claims"]["authority"][0]["permission"][0]["role"] == "agent"

    assert exchange(program, told, subject_token="A" * 24).status_code == 400
    assert exchange(program, told, actor_token=acting["access_token"]).status_code == 400
    assert exchange(program, told, audience=house.issuer).get_json()["error"] == "invalid_target"
    other = bidding(house, "other")
    assert exchange(other, told).status_code == 400

    assert principal.press(path, "suspend-form").status_code == 303
    assert program.post("/introspect", token=acting["access_token"]).get_json() == {"active": False}
    assert decisions(program.post("/introspect", token=told["access_token"]).get_json()) == ["deny"]
    assert "verified_claims" not in program.userinfo(told["access_token"]).get_json()
    refused = exchange(program, told)
    assert refused.status_code == 400
    assert refused.get_json() == exchange(program, told, subject_token="A" * 24).get_json(), "no reason"


def test_an_answer_holds_a_minute_and_is_in_the_audit_record(house: House, street: Neighbours) -> None:
    mandate(house, Person.at(house, "hanako"), Person.at(house, "shain"))
    program = bidding(house)
    told = tokens(program)
    house.clock.step(seconds=61)
    assert decisions(program.post("/introspect", token=told["access_token"]).get_json()) == ["deny"]
    assert decisions(exchange(program, told).get_json()) == ["allow"], "a new question asks anew"
    found = rows(house, "SELECT detail FROM audit WHERE event = 'mandate_answered' ORDER BY rowid")
    assert [json.loads(str(detail))["decision"] for (detail,) in found] == ["allow", "allow"]


def test_nothing_is_asked_without_the_resident(house: House, street: Neighbours) -> None:
    program = bidding(house)
    browser = house.browser()
    request = pushed(program, authorization_details=json.dumps([ASKED]), prompt="none")
    page = visit(program, request, browser)
    assert "interaction_required" in page.headers["Location"]


def test_a_sub_agent_acts_for_the_principal_and_loses_it_with_the_power_it_came_from(
    house: House, street: Neighbours
) -> None:
    secrets = {name: add_operator(name, ports=house.ports) for name in ("aoki", "baba")}

    def corporate(principal: Person, agent: Person, **form: str) -> str:
        company = {
            "principal_kind": "corporation",
            "principal_name": "株式会社架空製作所",
            "principal_corporate_number": "8490101999999",
            "principal_representative": "山田花子",
        }
        path, invitation = principal.draft(**company, **form)
        assert principal.sign(path, "sign").status_code == 200
        assert agent.take(invitation) == path
        assert agent.sign(path, "accept").status_code == 200
        work(house)
        number = MandateNumber(path.rpartition("/")[2])
        for operator, secret in secrets.items():
            judge_extract(number, b"extract", operator=operator, secret=secret, ports=house.ports)
        work(house)
        assert principal.state(path) == "有効"
        return path

    head, agent, sub = Person.at(house, "hanako"), Person.at(house, "shain"), Person.at(house, "taro")
    whole = corporate(head, agent, act_appoint_subagent="yes", sub_delegation="1")
    corporate(agent, sub, parent=whole.rpartition("/")[2], limit_amount="4200000")
    program = bidding(house)
    told = tokens(program, resident="taro")
    (detail,) = told["authorization_details"]
    assert detail["decision"] == "allow"
    assert detail["principal"] == "urn:jpki-broker:corporation:8490101999999"
    (authority,) = id_token(told)["verified_claims"]["claims"]["authority"]
    assert authority["applies_to"]["registration_number"] == "8490101999999"
    assert authority["permission"][0]["role"] == "sub_agent"
    assert decisions(tokens(program, ASKED | {"amount": 4_200_001}, resident="taro")) == ["deny"]
    agents_own = id_token(tokens(program))["sub"]

    told = tokens(program, resident="taro")
    claims = jwt.decode(exchange(program, told).get_json()["access_token"], options={"verify_signature": False})
    assert claims["sub"] == "urn:jpki-broker:corporation:8490101999999"
    assert claims["act"] == {"sub": id_token(told)["sub"], "act": {"sub": agents_own}}

    assert head.press(whole, "suspend-form").status_code == 303
    assert exchange(program, told).status_code == 400
    assert decisions(tokens(program, resident="taro")) == ["deny"], "the child is active, its parent is not"


def test_a_limit_for_all_acts_together_is_told_as_unchecked(house: House, street: Neighbours) -> None:
    mandate(house, Person.at(house, "hanako"), Person.at(house, "shain"), limit_total="yes")
    (detail,) = tokens(bidding(house))["authorization_details"]
    assert detail["decision"] == "allow"
    assert detail["total_checked"] is False


def test_a_refresh_asks_again_and_may_ask_for_less(house: House, street: Neighbours) -> None:
    principal = Person.at(house, "hanako")
    path = mandate(house, principal, Person.at(house, "shain"))
    program = bidding(
        house,
        grant_types=frozenset({GrantType.AUTHORIZATION_CODE, GrantType.REFRESH_TOKEN}),
        scope=frozenset({"openid", "offline_access"}),
    )
    told = tokens(program, scope="openid offline_access")

    def refreshed(**form: str) -> TestResponse:
        return program.post("/token", grant_type="refresh_token", refresh_token=told["refresh_token"], **form)

    assert decisions(refreshed().get_json()) == ["allow"]
    less = refreshed(authorization_details=json.dumps([ASKED | {"amount": 1}])).get_json()
    assert (decisions(less), less["authorization_details"][0]["amount"]) == (["allow"], 1)
    more = refreshed(authorization_details=json.dumps([ASKED | {"amount": 4_000_001}]))
    assert more.get_json()["error"] == "invalid_authorization_details"
    assert principal.press(path, "revoke-form").status_code == 303
    assert decisions(refreshed().get_json()) == ["deny"]


def test_a_token_for_acting_is_bound_to_the_key_of_the_login_and_no_other_exchanges_it(
    house: House, street: Neighbours
) -> None:
    mandate(house, Person.at(house, "hanako"), Person.at(house, "shain"))
    program = bidding(house, dpop_bound_tokens=True)
    browser, page = asking(program)
    code = returned(house.submit(browser, page, "consent-form", decision="approve"))["code"]
    told = program.token(code, dpop=program.proof()).get_json()
    assert told["token_type"] == "DPoP"

    def swapped(proof: str) -> TestResponse:
        form = {
            "grant_type": EXCHANGE,
            "subject_token": told["authorization_details"][0]["decision_id"],
            "subject_token_type": DECISION,
            "actor_token": told["access_token"],
            "actor_token_type": ACCESS_TOKEN,
        }
        return program.post("/token", headers=[("DPoP", proof)], **form)

    other = ec.generate_private_key(ec.SECP256R1())
    assert swapped(program.proof(key=other)).status_code == 400
    acting = swapped(program.proof()).get_json()
    claims = [
        jwt.decode(token, options={"verify_signature": False})
        for token in (told["access_token"], acting["access_token"])
    ]
    assert claims[0]["cnf"] == claims[1]["cnf"]
