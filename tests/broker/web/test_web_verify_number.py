"""By its number and check code an officer is told what was issued; by the number alone, whether it still holds."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from werkzeug.test import TestResponse

from broker.delegation import bundle as bundles
from broker.delegation import lookup
from broker.delegation.asking import question
from broker.delegation.examination import examine
from broker.delegation.rendering import FONTS
from broker.flows.officer import own_trust
from broker.jose import parse_claims, verify_jws
from tests.broker.web.house import House, Page
from tests.broker.web.mandatehouse import Person, equip, work
from tests.broker.web.test_web_mandates import granted
from tests.registerhouse import Neighbours

ASKED = {"act": "bid", "entity": "100001", "amount": "5000000"}


@pytest.fixture
def street(house: House, tmp_path: Path) -> Neighbours:
    if not all(font.exists() for font in FONTS):
        pytest.skip("missing: fonts-ipaexfont-gothic, fonts-ipamj-mincho")
    return equip(house, tmp_path)


def issued(house: House) -> tuple[Person, str, str, str]:
    """The principal, the page of a mandate that holds, its number and its check code."""
    principal, _agent, path = granted(house)
    work(house)
    code = lookup.check_code(principal.get(f"{path}/poa.json").data)
    return principal, path, path.rpartition("/")[2], code


def ask(house: House, number: str, code: str = "", **asked: str) -> TestResponse:
    query = {"number": number, "check": code, **asked}
    return house.browser().get("/verify", query_string=query, base_url=house.issuer)


def api(house: House, body: object, **asked: str) -> TestResponse:
    return house.browser().post("/api/verifications", json=body, query_string=asked, base_url=house.issuer)


def test_number_and_code_lead_to_the_whole_answer(house: House, street: Neighbours) -> None:
    _principal, _path, number, code = issued(house)
    answer = ask(house, number, code, **ASKED)
    assert answer.status_code == 200, answer.text
    for words in ("有効です", "社員働助", "5,000,000", "見比べてください"):
        assert words in answer.text
    spaced = " ".join(code[at : at + 4] for at in range(0, 16, 4)).upper()
    assert "有効です" in ask(house, number, spaced, **ASKED).text
    assert "金額が上限を超えています" in ask(house, number, code, **(ASKED | {"amount": "5000001"})).text
    again = urlsplit(Page(answer.text).links["again"])
    assert parse_qs(again.query) == {
        name: [value] for name, value in (ASKED | {"number": number, "check": code}).items()
    }


def test_the_number_alone_tells_the_state_and_no_name_act_or_amount(house: House, street: Neighbours) -> None:
    principal, path, number, _code = issued(house)
    page = ask(house, number, **ASKED)
    assert (page.status_code, Page(page.text).texts["state"]) == (200, "有効")
    grant = principal.get(path).text
    for secret in ("社員働助", "営業係", "5,000,000", "100001"):
        assert secret in grant
        assert secret not in page.text
    assert api(house, {"number": number}).get_json().keys() == {"number", "state", "at"}


def test_another_code_or_number_finds_nothing(house: House, street: Neighbours) -> None:
    _principal, _path, number, code = issued(house)
    for tried in ((number, "0" * 16), (number, code[:15]), ("A" * 24, code), ("A" * 24, ""), ("\x00", "")):
        page = ask(house, *tried)
        assert page.status_code == 404, tried
        assert "社員働助" not in page.text
    assert house.browser().get(f"/verify/bundle.zip?number={number}&check=00", base_url=house.issuer).status_code == 404


def test_nothing_is_told_of_what_was_never_sealed(house: House, street: Neighbours) -> None:
    principal = Person.at(house, "hanako")
    path, _invitation = principal.draft()
    assert ask(house, path.rpartition("/")[2]).status_code == 404


def test_a_revocation_is_told_at_once_though_no_list_or_witness_has_it_yet(house: House, street: Neighbours) -> None:
    principal, path, number, code = issued(house)
    document = principal.get(f"{path}/poa.pdf").data
    bundle = principal.get(f"{path}/bundle.zip").data
    before = house.clock()
    house.clock.step(minutes=2)
    assert principal.press(path, "revoke-form").status_code == 303
    house.clock.step(seconds=1)
    assert "取り消されています" in ask(house, number, code, **ASKED).text
    assert Page(ask(house, number).text).texts["state"] == "取り消し"
    for submitted in (document, bundle):
        kind = "application/zip" if bundles.is_zip(submitted) else "application/pdf"
        told = house.browser().post(
            "/api/verifications", data=submitted, content_type=kind, query_string=ASKED, base_url=house.issuer
        )
        assert told.get_json()["report"]["verdict"] == "revoked"
    earlier = api(house, {"number": number, "check": code}, **ASKED, as_of=before.isoformat()).get_json()["report"]
    assert (earlier["verdict"], earlier["later"]["state"]) == ("valid", "revoked")


def test_a_suspended_power_holds_again_only_once_its_resumption_does(house: House, street: Neighbours) -> None:
    principal, path, number, code = issued(house)
    principal.press(path, "suspend-form")
    house.clock.step(seconds=1)
    assert "取り消されています" in ask(house, number, code, **ASKED).text
    work(house)
    principal.sign(path, "resume")
    house.clock.step(seconds=1)
    assert "取り消されています" in ask(house, number, code, **ASKED).text
    work(house)
    assert "有効です" in ask(house, number, code, **ASKED).text


def test_what_a_bare_document_lacks_is_taken_from_the_register(house: House, street: Neighbours) -> None:
    principal, path, _number, _code = issued(house)
    document = principal.get(f"{path}/poa.pdf").data

    def judged(pdf: bytes) -> str:
        told = house.browser().post(
            "/api/verifications", data=pdf, content_type="application/pdf", query_string=ASKED, base_url=house.issuer
        )
        return str(told.get_json()["report"]["verdict"])

    assert judged(document) == "valid"
    assert judged(document[:-9] + bytes([document[-9] ^ 1]) + document[-8:]) == "forged"


def test_the_bundle_of_a_party_and_of_an_officer_proves_itself(house: House, street: Neighbours) -> None:
    principal, path, number, code = issued(house)
    query = f"number={number}&check={code}"
    for data in (
        principal.get(f"{path}/bundle.zip").data,
        house.browser().get(f"/verify/bundle.zip?{query}", base_url=house.issuer).data,
    ):
        with house.ports.store.transaction() as tx:
            trust = own_trust(tx, house.ports)
        now = house.clock()
        found = examine(bundles.read(data), question(ASKED, now=now), trust=trust, now=now)
        assert found.verdict.reasons == ()
        assert bundles.read(data).policy.startswith(b"log ")


def test_programs_name_a_document_and_are_handed_the_same_signed_report(house: House, street: Neighbours) -> None:
    _principal, _path, number, code = issued(house)
    told = api(house, {"number": number, "check": code}, **ASKED).get_json()
    keys = {"keys": house.ports.keys.receipt_keys()["keys"]}
    assert told["report"]["exit_status"] == 0
    assert parse_claims(verify_jws(told["signed"], jwks=keys, algorithms=("ES256",), typ="delegation-report+jwt"))
    for wrong in ({}, {"check": code}, {"number": 7}, {"number": number, "colour": "red"}, [number], "x" * 2000):
        assert api(house, wrong).status_code == 400, wrong
    assert api(house, {"number": "A" * 24}).status_code == 404
