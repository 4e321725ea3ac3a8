"""A whole proof and a whole signature: no answer, page, receipt, log line or row tells a serial or revocation data."""

from __future__ import annotations

import base64
import json
import sqlite3
from contextlib import closing
from typing import Any

import jwt
import pytest
from werkzeug.test import TestResponse

from broker.jpki.certificate import parse
from broker.oidc.client import GrantType, Right
from tests.broker.web.house import House, Page, returned
from tests.broker.web.program import Program
from tests.broker.web.signing import notary, text
from tests.broker.web.test_web_proofing import ALL, agree, card, post, shop, userinfo
from tests.broker.web.test_web_receipts import ask, receipts_token

WORDS = ("affiliationchanged", "superseded", "keycompromise", "next_update", "nextupdate", "crl_number", "crlnumber")
"""What a list says of a certificate beside good or not; our own rows may know it (R12)."""


def spellings(octets: bytes) -> set[str]:
    """As base64, at each place that the octets can have in groups of three."""
    middles = {base64.b64encode(before + octets)[4:-4].decode() for before in (b"", b"\x00", b"\x00\x00")}
    return middles | {each.translate(str.maketrans("+/", "-_")) for each in middles}


def secrets_of(house: House, resident: str) -> set[str]:
    """The serials of both certificates as anybody might write them, and the certificates' beginnings with them."""
    found: set[str] = set()
    for slot in (card(house, resident).auth, card(house, resident).sign):
        assert slot is not None
        assert slot.certificate is not None
        serial = parse(slot.certificate).serial
        assert serial > 10**6, "short numbers would be found by chance"
        found |= {str(serial), f"{serial:x}", *spellings(slot.certificate[:36])}
    return found


def unpacked(token: str) -> str:
    told: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return json.dumps(told, ensure_ascii=False)


def rows(house: House) -> str:
    with closing(sqlite3.connect(house.database)) as connection:
        return "\n".join(connection.iterdump())


def assert_silent(house: House, resident: str, *said: str) -> None:
    for where, heard in enumerate(said):
        lower = heard.lower()
        assert not [word for word in WORDS if word in lower] or heard.startswith("BEGIN TRANSACTION"), where
        for secret in secrets_of(house, resident):
            assert secret not in heard, where
            assert secret.lower() not in lower or not secret.isalnum(), where


def everything(answers: list[TestResponse]) -> list[str]:
    return [f"{answer.headers}\n{answer.get_data(as_text=True)}" for answer in answers]


def receipts_of(house: House, program: Program, ids: list[str]) -> list[TestResponse]:
    token = receipts_token(program)
    return [ask(house, "", token), *(ask(house, f"/{each}", token) for each in ids)]


def test_the_search_finds_a_serial_wherever_it_stands(house: House) -> None:
    slot = card(house, "hanako").sign
    assert slot is not None
    assert slot.certificate is not None
    serial = parse(slot.certificate).serial
    for told in (f"n={serial}", f"n={serial:x}", f"N={serial:X}", base64.b64encode(slot.certificate).decode()):
        with pytest.raises(AssertionError):
            assert_silent(house, "hanako", told)


def test_a_proof_tells_no_serial_and_nothing_of_a_list(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    program = shop(
        house,
        scope=frozenset(f"{ALL} receipts".split()),
        grant_types=frozenset({GrantType.AUTHORIZATION_CODE, GrantType.CLIENT_CREDENTIALS}),
    )
    browser = house.browser()
    page = agree(program, browser, scope=ALL, claims=json.dumps({"id_token": {"verified_claims": VERIFIED}}))
    answered = post(program, page)
    last = house.get(browser, answered.headers["Location"])
    redeemed = program.token(returned(last)["code"])
    tokens = redeemed.get_json()
    receipts = receipts_of(house, program, [json.loads(unpacked(tokens["id_token"]))["receipt"]])
    assert [each.status_code for each in receipts] == [200, 200]
    told = json.dumps(userinfo(program, tokens), ensure_ascii=False)
    unsealed = [unpacked(tokens["id_token"]), unpacked(tokens["access_token"]), unpacked(receipts[1].text)]
    assert "verified_claims" in unsealed[0]
    assert "digital-signature" in unsealed[2]
    assert_silent(
        house,
        "hanako",
        *everything([page, answered, last, redeemed, *receipts]),
        *unsealed,
        told,
        rows(house),
        capsys.readouterr().out,
    )


VERIFIED = {
    "verification": {"trust_framework": None, "time": None, "verification_process": None, "evidence": [
        {"type": {"value": "electronic_record"}}
    ]},
    "claims": {"name": None, "birthdate": None},
}  # fmt: skip


def test_a_signature_for_who_is_no_verifier_tells_none_either(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    office = notary(house, scope=frozenset({"openid", "sign", "receipts"}), rights=frozenset({Right.DIRECT_SIGNING}))
    browser, name = house.browser(), office.ordered(text())
    page = office.page(browser, name)
    last = office.signed(browser, page)
    tokens = office.tokens(last)
    result = office.opened(office.call("GET", f"/{name}/result"))
    state = office.call("GET", f"/{name}")
    answer = office.program.post("/token", grant_type="client_credentials", scope="receipts")
    listed = ask(house, "", answer.get_json()["access_token"])
    [kept] = listed.get_json()["receipts"]
    receipt = ask(house, f"/{kept['id']}", answer.get_json()["access_token"])
    assert receipt.status_code == 200
    assert result["verdict"]["certificate"] == "good"
    assert_silent(
        house,
        "hanako",
        *everything([page, last, state, listed, receipt]),
        unpacked(receipt.text),
        unpacked(tokens["id_token"]),
        json.dumps(result, ensure_ascii=False),
        rows(house),
        capsys.readouterr().out,
    )


@pytest.mark.parametrize("resident", ["hikkoshi", "shikko"])
def test_a_client_is_not_told_why_a_certificate_was_refused(house: House, resident: str) -> None:
    program, browser = shop(house), house.browser()
    refused = post(program, agree(program, browser, scope=ALL), resident)
    assert refused.status_code == 403
    back = returned(house.submit(browser, refused, "cancel-form"))
    assert back["error"] == "access_denied"
    assert not [word for word in (*WORDS, "revoked", "certificate", "失効") if word in json.dumps(back).lower()]
    assert "code" not in back
    assert Page(refused.text).texts["error-code"] in {"AUTH-042", "AUTH-014"}
