"""Proof of identity over the whole broker: what is on the card arrives at the client, item by item as agreed to."""

from __future__ import annotations

import base64
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import jwt
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from broker.accounts.lifecycle import CertificateName
from broker.oidc.client import AuthMethod, Right
from broker.oidc.data_use import DataUse
from cardreader.cardfile import CardFile, load
from sandbox.residents import RESIDENTS_FILE, Resident, load_residents
from tests.broker.web import prover
from tests.broker.web.house import AGENT, House, Page, returned, transaction_of
from tests.broker.web.program import Program, register
from tests.broker.web.pushing import push, pushed, visit

ALL = "openid name address birthdate gender"
PEOPLE = {resident.name: resident for resident in load_residents(RESIDENTS_FILE.read_bytes()).residents}
"""Who can prove who they are, and what stands in their certificate."""
ABLE = [
    "hanako", "taro", "nagai", "sakura", "alex", "yoshiko", "koshin", "kaigai", "daihyo", "shain", "nokori", "hanbun",
]  # fmt: skip


@dataclass
class Correspondence:
    """Stands in for the network only: J-LIS's word on whether two certificates are one person's."""

    answer: bool = True
    asked: list[tuple[CertificateName, CertificateName]] = field(default_factory=list)

    def predecessor(self, certificate: CertificateName) -> CertificateName | None:
        return None

    def correspond(self, one: CertificateName, other: CertificateName) -> bool:
        self.asked.append((one, other))
        return self.answer


def shop(house: House, **changes: Any) -> Program:
    """A client that may ask who somebody is."""
    members: dict[str, Any] = {
        "name": "みほん証券",
        "vetted": True,
        "rights": frozenset({Right.IDENTITY_PROOFING}),
        "requires_pushed_requests": True,
        "scope": frozenset(f"{ALL} profile age_over_15 age_over_18 age_over_20 age_over_65".split()),
    }
    return register(house, "securities", **members | changes)


@pytest.fixture
def program(house: House) -> Program:
    return shop(house)


def choose(house: House, browser: FlaskClient, path: str, *items: str, origin: str | None = None) -> TestResponse:
    """What a browser posts for these boxes, ticked; a form without any has its type all the same."""
    return browser.post(
        path,
        data=urlencode([(f"item_{item}", "yes") for item in items]),
        headers={"Origin": origin or house.issuer},
        content_type="application/x-www-form-urlencoded",
        base_url=house.issuer,
    )


def card(house: House, resident: str) -> CardFile:
    return load(house.world.card(resident))


def agree(
    program: Program, browser: FlaskClient, *, leave_out: tuple[str, ...] = (), **asked: str | None
) -> TestResponse:
    """From the pushed request to the page with the card form."""
    house = program.house
    page = house.get(browser, visit(program, pushed(program, **asked), browser).headers["Location"])
    found = Page(page.text).forms.get("release-form")
    if found is None:
        return page
    items = [name for name in PageItems(page.text).items if name not in leave_out]
    chosen = choose(house, browser, found["action"], *items)
    assert chosen.status_code == 303, chosen.text
    return house.get(browser, chosen.headers["Location"])


class PageItems(Page):
    """A release page: the items it offers, and which of them cannot be left out."""

    def __init__(self, html: str) -> None:
        self.items: list[str] = []
        self.required: list[str] = []
        super().__init__(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "input" and str(values.get("name")).startswith("item_"):
            self.items.append(str(values["name"]).removeprefix("item_"))
            if values["type"] == "hidden":
                self.required.append(self.items[-1])
        super().handle_starttag(tag, attrs)


def request_of(page: TestResponse) -> str:
    return str(Page(page.text).forms["card-form"]["fields"]["request"])


def post(program: Program, page: TestResponse, resident: str = "hanako", **options: Any) -> TestResponse:
    request = request_of(page)
    sealed = prover.answer(request, card(program.house, resident), **options)
    return program.house.post_answer(transaction_of(request), {"answer": sealed})


def prove(program: Program, resident: str = "hanako", **asked: Any) -> dict[str, Any]:
    """A whole proof; the token answer."""
    browser = program.house.browser()
    page = agree(program, browser, **asked)
    answered = post(program, page, resident)
    assert answered.status_code == 303, answered.text
    back = returned(program.house.get(browser, answered.headers["Location"]))
    assert "code" in back, back
    answer = program.token(code=back["code"])
    assert answer.status_code == 200, answer.text
    return dict(answer.get_json())


def id_token(tokens: dict[str, Any]) -> dict[str, Any]:
    return dict(jwt.decode(tokens["id_token"], options={"verify_signature": False}))


def userinfo(program: Program, tokens: dict[str, Any]) -> dict[str, Any]:
    answer = program.house.browser().get(
        "/userinfo", headers={"Authorization": f"Bearer {tokens['access_token']}"}, base_url=program.house.issuer
    )
    assert answer.status_code == 200, answer.text
    return dict(answer.get_json())


def expected(resident: Resident) -> dict[str, Any]:
    """The claims that the resident's own data make, worked out here once more."""
    holder = resident.holder
    told: dict[str, Any] = {
        "name": holder.name,
        "address": {"formatted": holder.address} | ({} if holder.address == "国外転出" else {"country": "JP"}),
        "gender": {1: "male", 2: "female"}[resident.sex],
        "birthdate": "1951" if resident.name == "hanbun" else resident.birth.isoformat(),
    }
    flagged = {
        name: [place for place, flag in enumerate(flags) if flag == "1"]
        for name, flags in (("name", holder.name_flags), ("address", holder.address_flags))
        if "1" in flags
    }
    return told | ({"jpki_substituted": flagged} if flagged else {})


@pytest.mark.parametrize("resident", ABLE)
def test_every_value_on_the_card_arrives_unchanged(program: Program, resident: str) -> None:
    wanted = dict.fromkeys(("name", "address", "birthdate", "gender", "jpki_substituted"))
    tokens = prove(program, resident, scope=ALL, claims=json.dumps({"id_token": wanted}))
    told = userinfo(program, tokens)
    claims = id_token(tokens)
    assert told == {"sub": claims["sub"], **expected(PEOPLE[resident])}
    assert {name: claims[name] for name in wanted if name in claims} == expected(PEOPLE[resident])
    assert "null" not in json.dumps([told, claims])


def test_the_page_before_the_card_says_what_goes_where_and_what_for(house: House) -> None:
    uses = (DataUse(item="address", purpose="口座開設の届け出", retention="口座を解約して7年", optional=True),)
    program = shop(house, data_use=uses)
    asked = {"userinfo": {"name": {"essential": True, "purpose": "口座の名義 <b>"}}}
    browser = house.browser()
    request_uri = pushed(program, scope=ALL, claims=json.dumps(asked))
    page = house.get(browser, visit(program, request_uri, browser).headers["Location"])
    found = PageItems(page.text)
    assert found.items == ["name", "address", "birthdate", "gender"]
    assert found.required == ["name"]
    assert "card-form" not in found.forms
    for words in ("みほん証券", "口座の名義 &lt;b&gt;", "口座開設の届け出", "口座を解約して7年", "必須", "任意"):
        assert words in page.text, words
    assert "<b>" not in page.text
    assert 'lang="ja">口座' not in page.text
    english = house.get(browser, page.request.path + "?ui_locales=en").text
    for words in ("口座の名義 &lt;b&gt;", "口座開設の届け出", "口座を解約して7年"):
        assert f'<bdi lang="ja">{words}</bdi>' in english, words


def test_what_is_left_out_is_not_told_and_the_signed_action_says_what_is(program: Program, house: House) -> None:
    browser = house.browser()
    asked = json.dumps({"id_token": {"address": None, "name": {"essential": True}}})
    page = agree(program, browser, scope=ALL, claims=asked, leave_out=("address", "gender"))
    request = jwt.decode(request_of(page), options={"verify_signature": False})
    action = json.loads(request["action"])
    assert (request["tag"], action["kind"], action["release"]) == ("JPKI-FED-PROOF/1", "proof", ["birthdate", "name"])
    (document,) = action["documents"]
    text = Page(page.text).texts["application-text"]
    assert "氏名" in text
    assert "住所" not in text
    assert (document["name"], document["type"]) == ("本人確認の申込書", "text/plain")
    back = returned(house.get(browser, post(program, page).headers["Location"]))
    tokens = program.token(code=back["code"]).get_json()
    assert tokens["scope"] == "birthdate name openid"
    assert userinfo(program, tokens).keys() == {"sub", "name", "birthdate"}
    assert "address" not in id_token(tokens)


def test_who_leaves_everything_out_only_logs_in(program: Program, house: House) -> None:
    browser = house.browser()
    page = agree(program, browser, scope="openid name", leave_out=("name",))
    request = jwt.decode(request_of(page), options={"verify_signature": False})
    assert (request["tag"], request["action"]) == ("JPKI-FED-AUTH/1", "{}")
    answered = house.answer(page)  # the agent's own core: nothing but a login
    consent = house.get(browser, answered.headers["Location"])
    back = returned(house.submit(browser, consent, "consent-form", decision="approve"))
    tokens = program.token(code=back["code"]).get_json()
    assert tokens["scope"] == "openid"
    assert userinfo(program, tokens).keys() == {"sub"}


def test_a_choice_can_be_changed_until_the_card_has_answered(program: Program, house: House) -> None:
    browser = house.browser()
    page = agree(program, browser, scope=ALL)
    again = house.get(browser, Page(page.text).links["change-release"])
    assert PageItems(again.text).items == ["name", "address", "birthdate", "gender"]
    path = Page(again.text).forms["release-form"]["action"]
    for items in (["name", "name"], ["linked_id"], ["name", "age_over_20"]):
        assert choose(house, browser, path, *items).status_code == 400
    assert choose(house, browser, path, origin=AGENT).status_code == 403
    assert choose(house, house.browser(), path).status_code == 403
    # What was signed counts, whatever the page was told in the meantime.
    assert choose(house, browser, path, "name").status_code == 303
    back = returned(house.get(browser, post(program, page).headers["Location"]))
    tokens = program.token(code=back["code"]).get_json()
    assert tokens["scope"] == "address birthdate gender name openid"
    assert choose(house, browser, path, "name").status_code == 410


def test_what_is_essential_cannot_be_left_out(program: Program, house: House) -> None:
    asked = json.dumps({"userinfo": {"name": {"essential": True}}})
    browser = house.browser()
    request_uri = pushed(program, scope="openid name gender", claims=asked)
    page = house.get(browser, visit(program, request_uri, browser).headers["Location"])
    path = Page(page.text).forms["release-form"]["action"]
    refused = browser.post(path, data={"item": ["gender"]}, headers={"Origin": house.issuer}, base_url=house.issuer)
    assert refused.status_code == 400
    assert "release-form" in Page(house.get(browser, path.removesuffix("/release")).text).forms


def test_ages_are_told_without_the_birth_date(program: Program, house: House) -> None:
    scope = "openid age_over_15 age_over_18 age_over_20 age_over_65"
    told = userinfo(program, prove(program, "hanako", scope=scope))
    assert told == {
        "sub": told["sub"],
        "age_over_15": True,
        "age_over_18": True,
        "age_over_20": True,
        "age_over_65": False,
    }
    named = prove(program, "taro", claims=json.dumps({"id_token": {"age_over_20": {"essential": True}}}))
    assert id_token(named)["age_over_20"] is True
    assert "birthdate" not in id_token(named)
    partial = userinfo(program, prove(program, "hanbun", scope=scope))
    assert partial.keys() == {"sub"}  # a date that is not exact proves no age


def test_constraints_on_a_value_are_held_to(program: Program) -> None:
    asked = {"userinfo": {"gender": {"value": "male"}, "name": {"values": ["山田花子", "x"]}}}
    told = userinfo(program, prove(program, scope=ALL, claims=json.dumps(asked)))
    assert told["name"] == "山田花子"
    assert "gender" not in told


# --- verified_claims -------------------------------------------------------------------------------------------------

ELEMENT = {
    "verification": {
        "trust_framework": None,
        "time": None,
        "verification_process": None,
        "evidence": [
            {"type": {"value": "electronic_signature"}, "created_at": None, "check_details": [{"check_method": None}]},
            {"type": {"value": "electronic_record"}, "record": {"type": None, "source": {"name": None}}},
        ],
    },
    "claims": {"name": {"essential": True}, "birthdate": None, "nickname": None},
}


def test_verified_claims_tell_how_it_was_proved_in_both_places(program: Program, house: House) -> None:
    asked = {place: {"verified_claims": ELEMENT} for place in ("id_token", "userinfo")}
    tokens = prove(program, claims=json.dumps(asked))
    for told in (id_token(tokens), userinfo(program, tokens)):
        answer = told["verified_claims"]
        assert answer["claims"] == {"name": "山田花子", "birthdate": "1985-04-12"}
        verification = answer["verification"]
        assert verification["trust_framework"] == f"{house.issuer}/trust-framework/jpki"
        assert verification["verification_process"] == "one_transaction"  # nobody could be asked about the two keys
        signature, record = verification["evidence"]
        assert signature["type"] == "electronic_signature"
        assert signature["serial_number"] == "not-disclosed"
        assert {check["check_method"] for check in signature["check_details"]} == {"vcrypt", "token"}
        assert record["record"]["type"] == "population_register"


def test_our_own_application_is_never_the_clients_as_the_law_wants_it(make_house: Callable[..., House]) -> None:
    """犯罪収益移転防止法施行規則 art. 6(1): the signature stands over what the business is about."""
    wanted = {**ELEMENT, "verification": {"trust_framework": {"value": "jp_aml"}}}
    rights = frozenset({Right.IDENTITY_PROOFING, Right.JP_AML})
    claims = json.dumps({"id_token": {"verified_claims": wanted}})
    assert "verified_claims" not in id_token(prove(shop(make_house(), rights=rights), claims=claims))


def test_unconsented_claims_are_absent_from_verified_claims(program: Program, house: House) -> None:
    element = {"verification": {"trust_framework": None}, "claims": {"name": None, "address": None}}
    asked = json.dumps({"userinfo": {"verified_claims": element}})
    tokens = prove(program, claims=asked, leave_out=("address",))
    assert userinfo(program, tokens)["verified_claims"]["claims"] == {"name": "山田花子"}


# --- one person, two certificates ------------------------------------------------------------------------------------


def test_where_jlis_says_that_both_are_one_persons_nothing_is_marked(make_house: Callable[..., House]) -> None:
    correspondence = Correspondence()
    program = shop(make_house(correspondence=correspondence))
    claims = json.dumps({"id_token": {"verified_claims": ELEMENT}})
    assert "verification_process" not in id_token(prove(program, claims=claims))["verified_claims"]["verification"]
    (asked,) = correspondence.asked
    assert asked[0] != asked[1]


def test_the_signature_of_another_person_is_refused_where_it_can_be_told(make_house: Callable[..., House]) -> None:
    house = make_house(correspondence=Correspondence(answer=False))
    program = shop(house)
    page = agree(program, house.browser(), scope=ALL)
    refused = post(program, page, signer=card(house, "taro").sign)
    assert (refused.status_code, Page(refused.text).texts["error-code"]) == (403, "AUTH-045")


# --- who must not get through ----------------------------------------------------------------------------------------


def test_a_moved_resident_cannot_prove_an_address_but_still_logs_in(program: Program, house: House) -> None:
    refused = post(program, agree(program, house.browser(), scope=ALL), "hikkoshi")
    assert (refused.status_code, Page(refused.text).texts["error-code"]) == (403, "AUTH-042")
    again = post(program, agree(program, house.browser(), scope=ALL), "hikkoshi")  # R12, the reason is remembered
    assert Page(again.text).texts["error-code"] == "AUTH-042"
    assert "code" in house.login(house.browser(), "hikkoshi")


def test_each_dead_certificate_has_its_own_refusal(program: Program, house: House) -> None:
    living = card(house, "hanako")
    for dead, code in (("shikko", "AUTH-043"), ("kigen", "AUTH-041"), ("koshinold", "AUTH-044")):
        page = agree(program, house.browser(), scope=ALL)
        request = request_of(page)
        sealed = prover.answer(request, living, signer=card(house, dead).sign)
        refused = house.post_answer(transaction_of(request), {"answer": sealed})
        assert (refused.status_code, Page(refused.text).texts["error-code"]) == (403, code), dead
    foreign = prover.answer(request_of(page), living, signer=card(house, "yoso").sign)
    refused = house.post_answer(transaction_of(request_of(page)), {"answer": foreign})
    assert Page(refused.text).texts["error-code"] == "AUTH-012"


@pytest.mark.parametrize(
    ("agent", "code"),
    [
        ("CARD-023", "AUTH-046"),
        ("CARD-027", "AUTH-047"),
        ("AGENT-022", "AUTH-048"),
        ("AGENT-023", "AUTH-048"),
        ("AGENT-024", "AUTH-048"),
        ("AGENT-026", "AUTH-049"),
        ("AGENT-027", "AUTH-041"),
        ("CARD-026", "AUTH-007"),
    ],
)
def test_what_stopped_at_the_agent_has_its_own_page_here(program: Program, house: House, agent: str, code: str) -> None:
    browser = house.browser()
    given_up = house.post_answer(transaction_of(request_of(agree(program, browser, scope=ALL))), {"error": agent})
    page = Page(house.get(browser, given_up.headers["Location"]).text)
    assert (page.texts["error-code"], page.texts["agent-code"]) == (code, agent)
    assert "サービスに情報は渡していません" in page.texts["error-text"]
    back = house.submit(browser, house.get(browser, given_up.headers["Location"]), "cancel-form")
    assert returned(back)["error"] == "access_denied"


def test_the_auth_key_in_the_place_of_the_signing_key_proves_nothing(program: Program, house: House) -> None:
    page = agree(program, house.browser(), scope=ALL)
    refused = post(program, page, signer=card(house, "hanako").auth)
    assert (refused.status_code, Page(refused.text).texts["error-code"]) == (403, "AUTH-012")


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda envelope: envelope.pop("cms"), "AUTH-005"),
        (lambda envelope: envelope.update(cms=[]), "AUTH-005"),
        (lambda envelope: envelope.update(cms=envelope["cms"] * 2), "AUTH-005"),
        (lambda envelope: envelope.update(cms="x"), "AUTH-005"),
        (lambda envelope: envelope.update(cms=["*"]), "AUTH-005"),
        (lambda envelope: envelope.update(cms=["A" * 40_000]), "AUTH-005"),
        (lambda envelope: envelope.update(raw_signatures=["AAAA"]), "AUTH-005"),
        (lambda envelope: envelope.update(cms=[envelope["cms"][0][:-4]]), "AUTH-006"),
    ],
)
def test_an_envelope_without_exactly_the_signatures_asked_for_is_refused(
    program: Program, house: House, spoil: Callable[[dict[str, Any]], None], code: str
) -> None:
    refused = post(program, agree(program, house.browser(), scope=ALL), change=spoil)
    assert Page(refused.text).texts["error-code"] == code


def test_a_document_exchanged_between_display_and_signature_is_refused(program: Program, house: House) -> None:
    first, second = (agree(program, house.browser(), scope=ALL) for _ in range(2))
    other = json.loads(jwt.decode(request_of(first), options={"verify_signature": False})["action"])
    slot = card(house, "hanako").sign
    assert slot is not None
    made = prover.detached(slot, prover.binary(other["documents"][0]["attributes"]))
    refused = post(program, second, change=lambda envelope: envelope.update(cms=[base64.b64encode(made).decode()]))
    assert (refused.status_code, Page(refused.text).texts["error-code"]) == (403, "AUTH-040")


def test_signatures_that_nobody_asked_for_are_refused(house: House) -> None:
    page = house.login_page(house.browser())
    request = request_of(page)
    sealed = prover.answer(request, card(house, "hanako"), change=lambda envelope: envelope.update(cms=["AAAA"]))
    refused = house.post_answer(transaction_of(request), {"answer": sealed})
    assert Page(refused.text).texts["error-code"] == "AUTH-005"


@pytest.mark.parametrize(
    "changes",
    [
        {"rights": frozenset()},
        {"vetted": False, "rights": frozenset()},
        {"scope": frozenset({"openid"})},
    ],
)
def test_a_client_without_the_right_is_refused(house: House, changes: dict[str, Any]) -> None:
    program = shop(house, **changes)
    for scope in ("openid name", "openid birthdate gender", "openid age_over_20"):
        answer = push(program, scope=scope)
        assert (answer.status_code, answer.get_json()["error"]) == (403, "invalid_scope"), scope
    named = push(program, claims=json.dumps({"userinfo": {"name": {"essential": True}}}))
    assert named.status_code == 201  # OIDC Core §5.5.1: absent, and no error


def test_a_request_that_is_not_pushed_is_refused(house: House) -> None:
    program = shop(house, requires_pushed_requests=False)
    for asked in ({"scope": "openid name"}, {"claims": json.dumps({"id_token": {"name": None}})}):
        told = house.authorize(house.browser(), client_id=program.client.client_id, **asked)
        assert "error=invalid_scope" in Page(told.text).links["continue-link"]
    told = house.authorize(house.browser(), scope="openid name")  # another client, without the right
    assert "error=invalid_scope" in Page(told.text).links["continue-link"]
    assert "code" in house.login(house.browser())


def test_a_client_without_a_key_of_its_own_has_no_right(house: House) -> None:
    secret = {"auth_method": AuthMethod.CLIENT_SECRET_BASIC, "secret_digest": bytes(32)}
    assert not shop(house, **secret).client.proves_identity


def test_a_session_never_answers_for_a_proof(program: Program, house: House) -> None:
    browser = house.browser()
    page = agree(program, browser, scope=ALL)
    house.get(browser, post(program, page).headers["Location"])
    silent = visit(program, pushed(program, scope="openid name", prompt="none"), browser)
    assert "error=interaction_required" in silent.headers["Location"]
    stranger = visit(program, pushed(program, scope="openid name", prompt="none"))
    assert "error=login_required" in stranger.headers["Location"]
    assert "code=" in visit(program, pushed(program, prompt="none"), browser).headers["Location"]


# --- what is kept ----------------------------------------------------------------------------------------------------


def database(house: House) -> bytes:
    with closing(sqlite3.connect(house.database)) as connection:
        return "\n".join(connection.iterdump()).encode()


def test_nothing_that_says_who_somebody_is_stands_unsealed_or_in_the_log(
    program: Program, house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    prove(program, "yoshiko", scope=ALL)
    certificates = [slot.certificate for slot in (card(house, "yoshiko").auth, card(house, "yoshiko").sign) if slot]
    stored, logged = database(house), capsys.readouterr().out.encode()
    resident = PEOPLE["yoshiko"]
    for secret in (resident.label, resident.address, "1958-12-24", "319581224"):
        for place in (stored, logged):
            assert secret.encode() not in place
            assert secret.encode().hex().upper().encode() not in place
            assert json.dumps(secret).strip('"').encode() not in place
    for certificate in certificates:
        assert certificate is not None
        serial = prover.asn1_x509.Certificate.load(certificate).serial_number
        assert str(serial).encode() not in stored + logged
        assert f"{serial:08x}".encode() not in (stored + logged).lower()
        assert certificate.hex().upper().encode() not in stored


def test_what_was_proved_ends_with_the_grant(program: Program, house: House) -> None:
    def kept() -> int:
        with closing(sqlite3.connect(house.database)) as connection:
            return int(connection.execute("SELECT count(*) FROM identity_proofs").fetchone()[0])

    browser = house.browser()
    page = agree(program, browser, scope=ALL)
    house.get(browser, post(program, page).headers["Location"])
    tokens = prove(program, scope=ALL)
    assert kept() == 2
    ended = house.submit(browser, house.get(browser, "/logout"), "logout-form")
    assert ended.status_code == 200
    assert kept() == 1
    house.clock.step(minutes=12)
    house.ports.store.purge(now=house.clock())
    assert kept() == 0
    assert "name" not in tokens


def test_the_audit_says_that_it_was_proved_and_not_what(program: Program, house: House) -> None:
    prove(program, scope=ALL)
    with closing(sqlite3.connect(house.database)) as connection:
        rows = dict(connection.execute("SELECT event, detail FROM audit").fetchall())
    told = json.loads(rows["identity_proved"])
    assert told["release"] == "address birthdate gender name"
    assert told["one_transaction"] == 1
    assert told.keys() == {
        "interaction", "release", "document", "one_transaction", "revocation_source", "revocation_this_update",
    }  # fmt: skip
    assert json.loads(rows["consent_given"]) == {"scope": "address birthdate gender name openid"}
