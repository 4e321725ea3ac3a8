"""The officer's page and API: no login, no script; the answer is filed as a signed report that anybody can check."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from playwright.sync_api import Page
from werkzeug.datastructures import FileStorage
from werkzeug.serving import make_server
from werkzeug.test import TestResponse, encode_multipart

from broker.delegation import bundle as bundles
from broker.delegation.acts import Act
from broker.delegation.policy import Policy
from broker.delegation.report import TYP
from broker.delegation.status_list import Status
from broker.flows.ports import KeyUse
from broker.flows.register import origin_at
from broker.jose import parse_claims, verify_jws
from broker.keys.live import open_keys
from broker.keys.rotation import create
from broker.web import verify
from broker.web.verify import AT_A_TIME
from tests.broker.delegation.officer import DAY, HELD, Operator
from tests.broker.delegation.test_agent_certificate import POWER, issued
from tests.broker.delegation.test_grant import CHILD
from tests.broker.delegation.workshop import Authority, other_page
from tests.broker.web.house import PASSPHRASE, House
from tests.browser import assert_accessible, follow, screenshot

pytest.importorskip("typst", reason="missing: typst")
OKINAWA = Policy(
    authority="okinawa",
    version=3,
    name="見本総合事務局",
    name_en="Sample General Bureau",
    sub_agents=0,
    together=(frozenset({Act.BID, Act.CONTRACT}),),
)


@dataclass(frozen=True)
class Anchors:
    """What this operator's seal leads to; nothing is sealed here."""

    anchors: tuple[bytes, ...]


@dataclass
class Office:
    """The house, and bundles that came from it."""

    house: House
    operator: Operator
    good: bytes
    pdf: bytes
    child: bytes

    def post(self, data: bytes, name: str = "bundle.zip", **fields: str) -> TestResponse:
        asked = {"as_of": DAY.isoformat(), "act": "bid", "entity": "mlit-01", **fields}
        boundary, body = encode_multipart({**asked, "document": FileStorage(io.BytesIO(data), name)})  # in memory
        return self.house.browser().post(
            "/verify", data=body, content_type=f"multipart/form-data; boundary={boundary}", base_url=self.house.issuer
        )

    def api(self, data: bytes, kind: str = "application/zip", **query: str) -> TestResponse:
        asked = {"as_of": DAY.isoformat(), **query}
        return self.house.browser().post(
            "/api/verifications", data=data, query_string=asked, content_type=kind, base_url=self.house.issuer
        )


def opened(house: House, folder: Path) -> Office:
    """In a thread of its own: a seal runs an event loop, and a browser's may be running in this one."""
    with ThreadPoolExecutor(1) as apart:
        return apart.submit(_opened, house, folder).result()


def _opened(house: House, folder: Path) -> Office:
    house.clock.now = DAY
    operator = Operator(folder, origin=origin_at(house.issuer, DAY), keys=house.ports.keys, store=house.ports.store)
    operator.status_key = house.ports.keys.signer(KeyUse.MANDATE_STATUS)  # type: ignore[assignment]  # it signs
    house.app.extensions["broker"] = replace(
        house.ports,
        register=operator.register,
        seal=Anchors(tuple(operator.workshop.anchors)),  # type: ignore[arg-type]  # all that is asked of it here
        authorities=(OKINAWA,),
    )
    papers = operator.issue()
    child = operator.issue(
        replace(CHILD, number="k" * 22, parent=HELD.number, begins=HELD.begins, ends=HELD.ends), place=2
    )
    listed = operator.epoch(at=DAY - timedelta(minutes=1))
    return Office(
        house=house,
        operator=operator,
        good=bundles.write(operator.bundle(papers, epochs=(listed,))),
        pdf=papers.pdf,
        child=bundles.write(operator.bundle(papers, child, epochs=(listed,))),
    )


@pytest.fixture
def office(make_house: Callable[..., House], tmp_path: Path) -> Office:
    return opened(make_house(), tmp_path)


def test_an_officer_is_told_valid_with_the_scope_beside_it(office: Office) -> None:
    answer = office.post(office.good, amount="10000000")
    assert answer.status_code == 200
    for words in ("有効です", "株式会社見本", "𠮷田 花子", "入札", "10,000,000", "法律上の判断ではありません"):
        assert words in answer.text
    assert "Set-Cookie" not in answer.headers
    assert "<script" not in answer.text
    assert "no-store" in answer.headers["Cache-Control"]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"amount": "10000001"}, "金額が上限を超えています"),
        ({"act": "receive"}, "その行為は委任されていません"),
        ({"entity": "mod-09"}, "その発注機関は対象に含まれていません"),
    ],
)
def test_a_genuine_power_that_does_not_cover_is_out_of_scope(
    office: Office, fields: dict[str, str], words: str
) -> None:
    answer = office.post(office.good, **fields)
    assert "権限の範囲外です" in answer.text
    assert words in answer.text


def test_forged_revoked_and_bare_documents_are_told_apart(office: Office) -> None:
    assert "改ざん・偽造のおそれがあります" in office.post(other_page(office.pdf), "poa.pdf").text
    assert "確認できません" in office.post(office.pdf, "poa.pdf").text
    assert "確認できません" in office.post(b"hello", "poa.pdf").text
    bundle = bundles.read(office.good)
    ended = office.operator.epoch({4711: Status.INVALID}, at=DAY - timedelta(seconds=30))
    revoked = bundles.write(replace(bundle, statuses=(*bundle.statuses, ended)))
    assert "取り消されています" in office.post(revoked).text


def test_an_authoritys_policy_is_chosen_and_asked(office: Office) -> None:
    assert "有効です" in office.post(office.child).text
    answer = office.post(office.child, policy="okinawa")
    assert "この発注機関は、この段数の復代理を受け付けません" in answer.text
    assert "見本総合事務局（v3）" in answer.text
    refused = office.post(office.child, policy="nobody")
    assert (refused.status_code, "確認する内容を読めません" in refused.text) == (400, True)


@pytest.mark.parametrize("fields", [{"as_of": "soon"}, {"amount": "many"}, {"act": "steal"}])
def test_what_cannot_be_read_brings_the_form_back_with_what_was_typed(office: Office, fields: dict[str, str]) -> None:
    answer = office.post(office.good, **fields)
    assert answer.status_code == 400
    assert 'id="error"' in answer.text
    assert 'value="mlit-01"' in answer.text


def test_a_file_is_taken_whatever_its_bytes_are(office: Office) -> None:
    for data in (b"\n" * 3_000_000, b"\r" * 3_000_000, bytes(range(256)) * 12_000):
        assert "確認できません" in office.post(data, "poa.pdf").text


def test_no_file_a_broken_zip_and_too_much_are_refused(office: Office) -> None:
    assert office.post(b"").status_code == 400
    assert office.post(b"PK\x03\x04broken").status_code == 400
    large = {"data": bytes(9_000_000), "content_type": "multipart/form-data; boundary=x"}
    assert office.house.browser().post("/verify", base_url=office.house.issuer, **large).status_code == 413
    assert office.api(bytes(9_000_000)).status_code == 413


def test_the_api_answers_the_same_and_signs_it(office: Office) -> None:
    answer = office.api(office.good, act="bid", amount="10000001")
    assert answer.status_code == 200
    told = answer.get_json()
    assert told["report"]["verdict"] == "out_of_scope"
    assert [each["code"] for each in told["report"]["reasons"]] == ["amount"]
    keys = {"keys": office.house.ports.keys.receipt_keys()["keys"]}
    assert parse_claims(verify_jws(told["signed"], jwks=keys, algorithms=("ES256",), typ=TYP)) == told["report"]
    assert office.api(office.pdf, "application/pdf").get_json()["report"]["exit_status"] == 14
    assert office.api(office.good, "text/plain").status_code == 415
    assert office.api(office.good, amount="x").get_json()["error"] == "invalid_request"
    assert office.api(office.good, colour="red").status_code == 400


def test_more_documents_than_may_be_judged_at_a_time_are_asked_to_come_again(office: Office) -> None:
    for _ in range(AT_A_TIME):
        assert verify._PLACES.acquire(blocking=False)
    try:
        answer = office.api(office.good)
    finally:
        for _ in range(AT_A_TIME):
            verify._PLACES.release()
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "5")
    assert office.api(office.good).status_code == 200


def test_the_api_takes_an_agents_certificate_and_never_calls_it_valid(office: Office) -> None:
    data = issued(Authority.root("Agents CA")).public_bytes(Encoding.DER)
    answer = office.api(data, "application/pkix-cert", act="bid")
    assert answer.status_code == 200, answer.text
    told = answer.get_json()["report"]
    assert (told["verdict"], told["exit_status"]) == ("cannot_tell", 14)
    assert [each["code"] for each in told["reasons"]] == ["certificate_method"]
    (shown,) = [each["certificate"] for each in told["chain"]]
    assert {"name": "2.5.4.12", "value": POWER} in shown["stated"]
    assert office.api(data[:-1], "application/pkix-cert").get_json()["report"]["verdict"] == "cannot_tell"


# --- as people see it ------------------------------------------------------------------------------------------------


@pytest.fixture
def served(make_house: Callable[..., House], tmp_path: Path) -> Iterator[Office]:
    """On a port of its own, under the issuer it is reached by."""
    holder: dict[str, House] = {}

    def application(environ: object, start_response: object) -> object:
        parts: Any = holder["house"].app.wsgi_app(environ, start_response)  # type: ignore[arg-type]  # passed on
        with closing(parts):
            return list(parts)

    server = make_server("127.0.0.1", 0, application, threaded=True)  # type: ignore[arg-type]  # a WSGI callable
    issuer = f"http://localhost:{server.server_port}"
    keys = tmp_path / "house"
    create(keys, PASSPHRASE, issuer=issuer, now=datetime.now(UTC), agent_root_out=tmp_path / "root.json")
    holder["house"] = make_house(issuer=issuer, keys_of=open_keys(keys, PASSPHRASE))
    office = opened(holder["house"], tmp_path)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield office
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


_BROKEN = """[...document.querySelectorAll('#checks th, #checks td:nth-child(2)')].flatMap(cell =>
  [...document.createTreeWalker(cell, NodeFilter.SHOW_TEXT).nextNode().data.matchAll(/[A-Za-z']+/g)].filter(word => {
    const range = document.createRange(), text = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT).nextNode();
    range.setStart(text, word.index); range.setEnd(text, word.index + word[0].length);
    return new Set([...range.getClientRects()].map(r => r.top)).size > 1;
  }).map(word => word[0]))"""


def _assert_words_are_whole(page: Page, name: str) -> None:
    """The table of checks in narrow windows: no word of a check or a result in two lines, and no sideways scroll."""
    before = page.viewport_size
    for width in (480, 320):
        page.set_viewport_size({"width": width, "height": 640})
        screenshot(page, f"{name}-{width}")
        assert page.evaluate(_BROKEN) == [], width
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    if before is not None:
        page.set_viewport_size(before)


def _kind(data: bytes) -> str:
    if bundles.is_zip(data):
        return "application/zip"
    return "application/pdf" if data.startswith(b"%PDF") else "application/pkix-cert"


@pytest.mark.parametrize("language", ["ja", "en"])
def test_the_pages_are_accessible_and_need_no_script(
    served: Office, new_page: Callable[..., Page], tmp_path: Path, language: str
) -> None:
    page = new_page(locale={"ja": "ja-JP", "en": "en-GB"}[language], java_script_enabled=True)
    page.goto(f"{served.house.issuer}/verify")
    assert page.locator("html").get_attribute("lang") == language
    assert_accessible(page)
    screenshot(page, f"officer-form-{language}")
    pictures = (
        ("valid", served.good, "10000000", ""),
        ("scope", served.child, "10000001", "okinawa"),
        ("forged", other_page(served.pdf), "", ""),
        ("certificate", issued(Authority.root("Agents CA")).public_bytes(Encoding.DER), "", ""),
        ("cannot-tell", served.pdf, "", ""),
    )
    for name, data, amount, policy in pictures:
        page.goto(f"{served.house.issuer}/verify")
        page.locator("#document").set_input_files([{"name": "poa", "mimeType": _kind(data), "buffer": data}])
        page.locator("#act").select_option("bid")
        page.locator("#amount").fill(amount)
        page.locator("#policy").select_option(policy)
        follow(page.locator("#verify"))
        page.locator("#verdict").wait_for()
        assert_accessible(page)
        screenshot(page, f"officer-{name}-{language}")
        _assert_words_are_whole(page, f"officer-{name}-{language}")
        assert page.locator("#certificate").count() == (name == "certificate")
        if name == "certificate":
            assert POWER in page.locator("#certificate").inner_text()
            assert page.locator("[data-check=document]").get_attribute("data-result") == "unknown"
        if name == "valid":
            sheet = tmp_path / "report.pdf"
            page.pdf(path=sheet, format="A4")
            assert sheet.read_bytes().count(b"/Type /Page\n") == 1
            with page.expect_download() as download:
                page.locator("details summary").click()
                page.locator("#report-jws").click()
            signed = Path(download.value.path()).read_text()
            assert signed.count(".") == 2
    again = urlsplit(page.locator("#again").get_attribute("href") or "")
    assert parse_qs(again.query)["act"] == ["bid"]
    page.goto(again.geturl())
    assert page.locator("#act").input_value() == "bid"
    assert json.dumps(unquote(again.path)) == '"/verify"'
