"""A receipt stands for every login with a card, says what the page showed and the card signed, and holds for years."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import jwt
import pytest
from werkzeug.test import TestResponse

from broker.audit.receipt import verify
from broker.errors import ReceiptForged, ReceiptKeyUnknown, StoreUnavailable
from broker.flows import card_answer
from broker.jose import b64url
from broker.jpki.certificate import parse
from broker.oidc.client import GrantType, SecurityProfile
from broker.storage.receipts import SQLReceipts
from tests.broker.web.house import House
from tests.broker.web.program import Program, certificate_of, register

OWN = frozenset({GrantType.CLIENT_CREDENTIALS})


def reader(house: House, client: str = "archive") -> Program:
    """A client that may log people in, and fetch its receipts with a token of its own."""
    return register(
        house,
        client,
        scope=frozenset({"openid", "receipts"}),
        grant_types=OWN | {GrantType.AUTHORIZATION_CODE},
    )


def receipts_token(program: Program) -> str:
    told = program.post("/token", grant_type="client_credentials").get_json()
    assert "access_token" in told, told
    return str(told["access_token"])


def ask(house: House, path: str, token: str, **query: str) -> TestResponse:
    address = f"/api/receipts{path}" + (f"?{urlencode(query)}" if query else "")
    return house.browser().get(address, headers={"Authorization": f"Bearer {token}"}, base_url=house.issuer)


def log_in(house: House, program: Program, resident: str = "hanako", **changes: str | None) -> dict[str, Any]:
    """A whole login of this client; the claims of its ID token."""
    came = house.login(house.browser(), resident, client_id=program.client.client_id, **changes)
    told = program.token(came["code"]).get_json()
    claims: dict[str, Any] = jwt.decode(told["id_token"], options={"verify_signature": False})
    return claims


def published(house: House) -> dict[str, Any]:
    answer = house.browser().get("/.well-known/receipt-keys", base_url=house.issuer)
    assert answer.status_code == 200
    keys: dict[str, Any] = answer.get_json()
    return keys


def test_a_login_leaves_a_receipt_of_what_was_shown_signed_and_decided(house: House) -> None:
    program = reader(house)
    claims = log_in(house, program)
    answer = ask(house, f"/{claims['receipt']}", receipts_token(program))
    assert (answer.status_code, answer.mimetype) == (200, "application/jwt")
    receipt = verify(answer.get_data(), keys=published(house)).claims
    now = int(house.clock().timestamp())
    assert receipt["iss"] == house.issuer
    assert (receipt["aud"], receipt["sub"], receipt["jti"]) == ("archive", claims["sub"], claims["receipt"])
    assert (receipt["iat"], receipt["toe"], receipt["auth_time"]) == (now, now, claims["auth_time"])
    assert (receipt["kind"], receipt["scope"]) == ("login", "openid")
    assert (receipt["acr"], receipt["amr"]) == ("aal3", ["hwk", "pin", "sc", "mfa"])
    assert receipt["shown"] == {"action": b64url(hashlib.sha256(b"{}").digest())}
    assert receipt["signed"].keys() == {"tag", "transaction", "frame"}
    assert receipt["signed"]["tag"] == "JPKI-FED-AUTH/1"
    (certificate,) = receipt["certificates"]
    assert certificate.pop("revocation").keys() == {"source", "this_update"}
    assert certificate == {"use": "user-authentication", "kind": "plastic", "accepted": True, "checked_at": now}


def test_what_the_card_signed_is_told_by_its_hash(house: House) -> None:
    program = reader(house)
    seen: list[bytes] = []
    original = card_answer.card_challenge.verify_signature

    def listening(spki: bytes, message: bytes, signature: bytes, *, algorithm: str) -> None:
        seen.append(message)
        original(spki, message, signature, algorithm=algorithm)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(card_answer.card_challenge, "verify_signature", listening)
        claims = log_in(house, program)
    told = ask(house, f"/{claims['receipt']}", receipts_token(program)).get_data()
    frame = verify(told, keys=published(house)).claims["signed"]["frame"]
    assert frame == b64url(hashlib.sha256(seen[0]).digest())


def test_neither_the_row_nor_the_receipt_names_the_certificate(house: House) -> None:
    program = reader(house)
    claims = log_in(house, program)
    told = ask(house, f"/{claims['receipt']}", receipts_token(program)).get_data(as_text=True)
    said = json.dumps(verify(told, keys=published(house)).claims, ensure_ascii=False)
    certificate = parse(certificate_of(house, "hanako"))
    database = b"".join(file.read_bytes() for file in house.database.parent.iterdir())  # what waits in the log too
    for form in (str(certificate.serial), f"{certificate.serial:x}", "山田", "JPKI-TEST"):
        assert form not in said
    assert claims["sub"] in said
    assert claims["sub"].encode() in database
    assert b'"toe"' not in database, "what a receipt says is sealed at rest"


def test_only_a_client_that_is_registered_for_receipts_finds_one_in_its_id_token(house: House) -> None:
    came = house.login(house.browser())
    told = house.token(came["code"]).get_json()
    assert "receipt" not in jwt.decode(told["id_token"], options={"verify_signature": False})
    with sqlite3.connect(house.database) as database:
        assert database.execute("SELECT client_id FROM receipts").fetchall() == [("bank",)]  # it is kept all the same


def test_a_session_that_answers_leaves_none_and_each_card_its_own(house: House) -> None:
    program = reader(house)
    browser = house.browser()
    first = house.login(browser, client_id="archive")
    program.token(first["code"])
    silent = house.authorize(browser, client_id="archive", prompt="none")
    assert "code=" in silent.headers["Location"]
    log_in(house, program)
    answer = ask(house, "", receipts_token(program)).get_json()
    ids = [receipt["id"] for receipt in answer["receipts"]]
    assert len(ids) == 2
    assert ids == sorted(ids)
    assert "next" not in answer


def test_the_receipt_and_its_hash_stand_in_the_audit_row_of_the_code(house: House) -> None:
    program = reader(house)
    claims = log_in(house, program)
    with sqlite3.connect(house.database) as database:
        (detail,) = database.execute("SELECT detail FROM audit WHERE event = 'code_issued'").fetchone()
        (sealed,) = database.execute("SELECT sealed FROM receipts").fetchone()
    said = house.ports.keys.unseal(sealed, context=f"receipt\x00archive\x00{claims['receipt']}".encode())
    assert json.loads(detail) == {
        "receipt": claims["receipt"],
        "receipt_sha256": hashlib.sha256(said).hexdigest(),
    }


def test_no_receipt_no_code(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """R16: they commit together, so that one without the other never is."""

    def full(*_: object) -> None:
        raise StoreUnavailable("disk full")

    page = house.consent_page(house.browser(), client_id="bank")
    assert page.status_code == 200
    monkeypatch.setattr(SQLReceipts, "keep", full)
    browser = house.browser()
    page = house.consent_page(browser)
    refused = house.submit(browser, page, "consent-form", decision="approve")
    assert refused.status_code == 503
    with sqlite3.connect(house.database) as database:
        for table in ("codes", "grants", "receipts", "consents"):
            assert database.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,), table  # noqa: S608 -- our own names


# --- who may look ----------------------------------------------------------------------------------------------------


def test_another_clients_receipt_is_as_unknown_as_none(house: House) -> None:
    program, other = reader(house), reader(house, "other")
    claims = log_in(house, program)
    token = receipts_token(other)
    unknown = ask(house, "/0190163d-8694-739b-aea5-966c26f8ad91", token)
    foreign = ask(house, f"/{claims['receipt']}", token)
    assert (foreign.status_code, foreign.get_json()) == (unknown.status_code, unknown.get_json())
    assert (foreign.status_code, foreign.get_json()["error"]) == (404, "invalid_request")
    assert ask(house, "", token).get_json() == {"receipts": []}
    assert ask(house, "", token, sub=claims["sub"]).get_json() == {"receipts": []}


def test_a_residents_token_and_one_without_the_scope_open_nothing(house: House) -> None:
    program = reader(house)
    came = house.login(house.browser(), client_id="archive", scope="openid receipts")
    residents = program.token(came["code"]).get_json()["access_token"]
    for token in (residents, receipts_token(register(house, "plain", grant_types=OWN))):
        refused = ask(house, "", token)
        assert (refused.status_code, refused.get_json()["error"]) == (403, "insufficient_scope")
        assert 'scope="receipts"' in refused.headers["WWW-Authenticate"]
    nobody = house.browser().get("/api/receipts", base_url=house.issuer)
    assert (nobody.status_code, nobody.get_json()["error"]) == (401, "invalid_token")


def test_a_bound_token_needs_its_key_here_too(house: House) -> None:
    program = register(
        house,
        "strict",
        profile=SecurityProfile.FAPI2,
        dpop_bound_tokens=True,
        scope=frozenset({"openid", "receipts"}),
        grant_types=OWN,
    )
    proof = [("DPoP", program.proof())]
    token = str(program.post("/token", headers=proof, grant_type="client_credentials").get_json()["access_token"])
    for path in ("", "/0190163d-8694-739b-aea5-966c26f8ad91"):
        proof_of_key = program.proof(f"/api/receipts{path}", method="GET", access_token=token)
        good = {"Authorization": f"DPoP {token}", "DPoP": proof_of_key}
        served = house.browser().get(f"/api/receipts{path}", headers=good, base_url=house.issuer)
        assert served.status_code == (404 if path else 200)
        again = house.browser().get(f"/api/receipts{path}", headers=good, base_url=house.issuer)
        assert (again.status_code, again.get_json()["error"]) == (401, "invalid_dpop_proof")
        assert ask(house, path, token).status_code == 401


def test_looking_up_is_written_down_and_bounded(house: House) -> None:
    program = reader(house)
    claims = log_in(house, program)
    token = receipts_token(program)
    for _ in range(3):
        assert ask(house, f"/{claims['receipt']}", token).status_code == 200
    with sqlite3.connect(house.database) as database:
        rows = database.execute("SELECT client_id, reference, detail FROM audit WHERE event = 'receipts_read'")
        assert rows.fetchall() == [("archive", claims["receipt"], '{"count":1}')] * 3
        database.execute("UPDATE attempts SET count = 600 WHERE name = 'receipts:archive'")
    refused = ask(house, f"/{claims['receipt']}", token)
    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) <= 60


# --- finding ---------------------------------------------------------------------------------------------------------


def test_receipts_are_found_by_person_and_by_time_a_page_at_a_time(house: House) -> None:
    program = reader(house)
    start = house.clock()
    people = {}
    for hours, resident in enumerate(("hanako", "taro", "hanako")):
        people[resident] = log_in(house, program, resident)["sub"]
        house.clock.step(hours=1)
        assert hours < 3
    token = receipts_token(program)

    def found(**query: str) -> list[tuple[str, int]]:
        told = ask(house, "", token, **query).get_json()["receipts"]
        claims = [jwt.decode(receipt["receipt"], options={"verify_signature": False}) for receipt in told]
        assert [receipt["id"] for receipt in told] == [each["jti"] for each in claims]
        names = {subject: resident for resident, subject in people.items()}
        return [(names[each["sub"]], round((each["toe"] - start.timestamp()) / 3600)) for each in claims]

    everything = [("hanako", 0), ("taro", 1), ("hanako", 2)]
    assert found() == everything
    assert found(sub=people["hanako"]) == [everything[0], everything[2]]
    middle = int((start + timedelta(minutes=30)).timestamp())
    later = int((start + timedelta(minutes=90)).timestamp())
    assert found(**{"from": str(middle)}) == everything[1:]
    assert found(to=str(later)) == everything[:2]
    assert found(**{"from": str(middle), "to": str(later), "sub": people["hanako"]}) == []
    exactly = int((start + timedelta(hours=1)).timestamp())
    assert found(**{"from": str(exactly), "to": str(exactly + 1)}) == [everything[1]]
    first = ask(house, "", token).get_json()["receipts"][0]["id"]
    assert found(after=first) == everything[1:]


def test_a_page_says_where_the_next_begins(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    program = reader(house)
    claims = log_in(house, program)
    with sqlite3.connect(house.database) as database:  # copies of the row, each sealed for its own id
        row = database.execute("SELECT client_id, subject, sealed, expires_at FROM receipts").fetchone()
        ports = house.ports
        said = ports.keys.unseal(row[2], context=f"receipt\x00archive\x00{claims['receipt']}".encode())
        for number in range(60):
            name = f"{claims['receipt'][:-4]}{number:04x}"
            if name == claims["receipt"]:
                continue
            sealed = ports.keys.seal(said, context=f"receipt\x00archive\x00{name}".encode())
            values = (row[0], bytes.fromhex(name.replace("-", "")), row[1], sealed, row[3])
            database.execute("INSERT INTO receipts VALUES (?, ?, ?, ?, ?)", values)
    token = receipts_token(program)
    page = ask(house, "", token).get_json()
    assert len(page["receipts"]) == 50
    assert page["next"] == page["receipts"][-1]["id"]
    rest = ask(house, "", token, after=page["next"]).get_json()
    assert 10 <= len(rest["receipts"]) <= 11
    assert "next" not in rest
    ids = [receipt["id"] for receipt in page["receipts"] + rest["receipts"]]
    assert ids == sorted(set(ids))


@pytest.mark.parametrize(
    "query",
    [
        {"form": "0"},
        {"from": "2026-11-21"},
        {"from": "-1"},
        {"to": "253402300800"},
        {"after": "first"},
        {"sub": ""},
        {"after": "0190163D-8694-739B-AEA5-966C26F8AD91"},
    ],
)
def test_a_question_that_is_not_understood_is_refused(house: House, query: Mapping[str, str]) -> None:
    refused = ask(house, "", receipts_token(reader(house)), **query)
    assert (refused.status_code, refused.get_json()["error"]) == (400, "invalid_request")


@pytest.mark.parametrize("path", ["/x", "/../jwks", "/0190163d-8694-739b-aea5-966c26f8ad91/", "/%00", "/" + "a" * 200])
def test_an_id_that_is_none_is_not_found(house: House, path: str) -> None:
    answer = ask(house, path, receipts_token(reader(house)))
    assert answer.status_code == 404
    assert answer.get_json()["error"] == "invalid_request"


# --- tampering -------------------------------------------------------------------------------------------------------


def test_a_receipt_that_moved_to_another_row_does_not_open(house: House) -> None:
    program = reader(house)
    first, second = log_in(house, program), log_in(house, program, "taro")
    with sqlite3.connect(house.database) as database:
        rows = dict(database.execute("SELECT receipt_id, sealed FROM receipts").fetchall())
        ids = [bytes.fromhex(claims["receipt"].replace("-", "")) for claims in (first, second)]
        database.execute("UPDATE receipts SET sealed = ? WHERE receipt_id = ?", (rows[ids[0]], ids[1]))
    token = receipts_token(program)
    assert ask(house, f"/{second['receipt']}", token).status_code == 503
    assert ask(house, f"/{first['receipt']}", token).status_code == 200


def test_the_keys_are_named_for_nothing_else(house: House) -> None:
    jwks = house.browser().get("/jwks", base_url=house.issuer)
    kids = {jwk["kid"] for jwk in jwks.get_json()["keys"]}
    assert not kids & {jwk["kid"] for jwk in published(house)["keys"]}
    program = reader(house)
    came = house.login(house.browser(), client_id="archive")
    told = program.token(came["code"]).get_json()
    with pytest.raises(ReceiptKeyUnknown):
        verify(told["id_token"], keys=published(house))
    with pytest.raises(ReceiptForged, match="another type"):
        verify(told["id_token"], keys=jwks.get_json())
