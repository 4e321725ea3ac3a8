"""A terminal that everybody uses, at the broker: whose key signed, how long a session lasts, and what is left (R4)."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from flask.testing import FlaskClient
from joserfc import jwe
from joserfc.jwk import ECKey
from sqlalchemy import text
from werkzeug.test import TestResponse

from broker.accounts.kiosk import Kiosk, SiteAct
from broker.errors import KioskUnfit
from broker.flows import kiosks
from broker.flows.backchannel_logout import deliver_due
from broker.ids import TransactionID
from broker.jwe import decrypt_compact
from broker.oidc.client import AuthMethod, GrantType
from broker.storage.engine import open_engine
from cardreader.agent.device import DeviceKey, device_key
from tests.broker.web.house import House, Page, Receivers, returned, transaction_of
from tests.broker.web.linkhouse import service
from tests.broker.web.my_page import add_service, code_of
from tests.broker.web.program import register
from tests.broker.web.pushing import pushed, visit
from tests.broker.web.test_web_device import begun, confirm
from tests.broker.web.test_web_mandate_answers import ASKED, bidding
from tests.broker.web.test_web_proofing import agree, shop

START = "http://127.0.0.3:8002/welcome"


@dataclass
class Booth:
    """An enrolled kiosk, its key, and its browser of the moment."""

    house: House
    kiosk: Kiosk
    device: DeviceKey
    browser: FlaskClient

    def begin(self, site: str | None = "none") -> TestResponse:
        headers = {} if site is None else {"Sec-Fetch-Site": site}
        return self.house.get(self.browser, f"/kiosk/{self.kiosk.kiosk_id}", headers=headers)

    def put_card(self, resident: str = "hanako", *, device: DeviceKey | None = None, **changes: str | None) -> Login:
        """Up to the page after the card."""
        return self.read(self.house.login_page(self.browser, **changes), resident, device=device or self.device)

    def read(self, page: TestResponse, resident: str = "hanako", *, device: DeviceKey | None) -> Login:
        request = Page(page.text).forms["card-form"]["fields"]["request"]
        answer = self.house.sign(request, resident, device=device)
        answered = self.house.post_answer(transaction_of(request), {"answer": answer})
        if answered.status_code != 303:
            return Login(house=self.house, request=request, page=answered)
        return Login(house=self.house, request=request, page=self.house.get(self.browser, answered.headers["Location"]))

    def log_in(self, resident: str = "hanako", **changes: str | None) -> Login:
        """Up to the way back to the service, with consent."""
        done = self.read(self.house.login_page(self.browser, **changes), resident, device=self.device)
        if "consent-form" in Page(done.page.text).forms:
            done.page = self.house.submit(self.browser, done.page, "consent-form", decision="approve")
        return done

    def open_my_page(self) -> Login:
        begun = self.browser.post(
            "/me/login", data={"place": "overview"}, headers={"Origin": self.house.issuer}, base_url=self.house.issuer
        )
        return self.read(self.house.get(self.browser, begun.headers["Location"]), device=self.device)


@dataclass
class Login:
    """One login at a kiosk."""

    house: House
    request: str
    page: TestResponse

    @property
    def end_handle(self) -> str:
        return str(jwt.decode(self.request, options={"verify_signature": False})["end_handle"])

    def take_card_out(self) -> int:
        """What the agent does."""
        return self.house.browser().post(self.end_handle, base_url=self.house.issuer).status_code


@pytest.fixture
def device(tmp_path: Path) -> DeviceKey:
    return device_key(tmp_path / "kiosk")


def enrolled(house: House, device: DeviceKey, *allows: SiteAct) -> Booth:
    kiosk = kiosks.enrol("駅前出張所", device.public, start_url=START, allows=frozenset(allows), ports=house.ports)
    booth = Booth(house=house, kiosk=kiosk, device=device, browser=house.browser())
    assert booth.begin().status_code == 303
    return booth


@pytest.fixture
def booth(house: House, device: DeviceKey) -> Booth:
    return enrolled(house, device)


def rows(house: House, statement: str) -> list[Any]:
    engine = open_engine(f"sqlite:///{house.database}")
    with engine.connect() as connection:
        found = list(connection.execute(text(statement)).all())
    engine.dispose()
    return found


def set_cookies(response: TestResponse) -> list[str]:
    return [header.partition(";")[0] for header in response.headers.getlist("Set-Cookie")]


def test_a_kiosk_begins_with_nothing_of_anybody_and_goes_to_its_service(booth: Booth) -> None:
    booth.open_my_page()
    assert booth.house.get(booth.browser, "/me").status_code == 200
    response = booth.begin()
    assert response.headers["Location"] == START
    assert response.headers["Clear-Site-Data"] == '"cache", "storage"'
    assert "jpki-broker-session=" in set_cookies(response)
    assert "me-login" in Page(booth.house.get(booth.browser, "/me").text).forms
    assert rows(booth.house, "SELECT count(*) FROM sessions WHERE ended_at IS NULL") == [(0,)]


def test_no_other_site_makes_a_browser_a_kiosks(booth: Booth) -> None:
    stranger = booth.house.browser()
    response = booth.house.get(stranger, f"/kiosk/{booth.kiosk.kiosk_id}", headers={"Sec-Fetch-Site": "cross-site"})
    assert response.status_code == 403
    assert set_cookies(response) == []


def test_a_login_at_a_kiosk_leaves_no_login_in_the_browser(booth: Booth) -> None:
    done = booth.log_in()
    assert returned(done.page)["state"] == "a-state"
    assert booth.browser.get_cookie("jpki-broker-session", domain="localhost") is None
    silent = booth.house.authorize(booth.browser, prompt="none")
    assert "error=login_required" in silent.headers["Location"]
    [(kiosk_id,)] = rows(booth.house, "SELECT kiosk_id FROM sessions")
    assert kiosk_id == booth.kiosk.kiosk_id


def test_my_pages_login_at_a_kiosk_serves_no_silent_login(booth: Booth) -> None:
    booth.open_my_page()
    assert booth.browser.get_cookie("jpki-broker-session", domain="localhost") is not None
    silent = booth.house.authorize(booth.browser, prompt="none")
    assert "error=login_required" in silent.headers["Location"]


def test_what_is_open_at_a_kiosk_ends_after_sixty_seconds_without_use(booth: Booth) -> None:
    booth.open_my_page()
    booth.house.clock.step(seconds=59)
    assert "me-login" not in Page(booth.house.get(booth.browser, "/me").text).forms  # and this was a use
    booth.house.clock.step(seconds=59)
    assert "me-login" not in Page(booth.house.get(booth.browser, "/me").text).forms
    booth.house.clock.step(seconds=60)
    assert "me-login" in Page(booth.house.get(booth.browser, "/me").text).forms


def test_what_is_open_at_a_kiosk_ends_after_five_minutes_however_much_it_is_used(booth: Booth) -> None:
    booth.open_my_page()
    for _ in range(5):
        booth.house.clock.step(seconds=50)
        assert "me-login" not in Page(booth.house.get(booth.browser, "/me").text).forms
    booth.house.clock.step(seconds=50)
    assert "me-login" in Page(booth.house.get(booth.browser, "/me").text).forms


def test_a_question_left_open_is_not_answered_by_the_next_person(booth: Booth) -> None:
    page = booth.put_card().page
    booth.house.clock.step(seconds=61)
    answered = booth.house.submit(booth.browser, page, "consent-form", decision="approve")
    assert answered.status_code >= 400
    assert rows(booth.house, "SELECT count(*) FROM codes") == [(0,)]


def test_every_page_asks_after_forty_seconds_and_goes_on_at_a_touch(booth: Booth) -> None:
    booth.open_my_page()
    page = booth.house.get(booth.browser, "/me/history")
    seconds, _, url = page.headers["Refresh"].partition("; url=")
    assert seconds == "40"
    booth.house.clock.step(seconds=40)
    asked = booth.house.get(booth.browser, url)
    assert asked.headers["Refresh"] == "20; url=/kiosk/end"
    booth.house.clock.step(seconds=19)
    assert Page(asked.text).links["go-on"] == "/me/history"
    assert "me-login" not in Page(booth.house.get(booth.browser, "/me/history").text).forms


def test_the_asking_itself_is_no_use(booth: Booth) -> None:
    booth.open_my_page()
    booth.house.clock.step(seconds=40)
    booth.house.get(booth.browser, "/kiosk/still-there?to=/me")
    booth.house.clock.step(seconds=20)
    assert "me-login" in Page(booth.house.get(booth.browser, "/me").text).forms


@pytest.mark.parametrize("to", ["//evil.example/x", "https://evil.example/", "/me?x=1", "javascript:1", "", "/a//b"])
def test_the_asking_leads_nowhere_else(booth: Booth, to: str) -> None:
    asked = booth.browser.get("/kiosk/still-there", query_string={"to": to}, base_url=booth.house.issuer)
    assert Page(asked.text).links["go-on"] == "/me"


def test_the_end_ends_it_and_makes_room(booth: Booth) -> None:
    booth.open_my_page()
    ended = booth.house.get(booth.browser, "/kiosk/end")
    assert "kiosk-ended" in Page(ended.text).texts
    assert ended.headers["Clear-Site-Data"] == '"cache", "storage"'
    assert ended.headers["Refresh"] == f"10; url=/kiosk/{booth.kiosk.kiosk_id}"
    assert "jpki-broker-session=" in set_cookies(ended)
    assert rows(booth.house, "SELECT count(*) FROM sessions WHERE ended_at IS NULL") == [(0,)]


def test_the_end_touches_no_session_of_a_persons_own_browser(house: House) -> None:
    browser = house.browser()
    house.login(browser)
    house.get(browser, "/kiosk/end")
    assert rows(house, "SELECT count(*) FROM sessions WHERE ended_at IS NULL") == [(1,)]


def test_the_card_taken_out_ends_session_code_and_tokens_and_the_service_is_told(
    make_house: Callable[..., House], device: DeviceKey
) -> None:
    receivers = Receivers()
    house = make_house(receivers=receivers)
    add_service(house)
    booth = enrolled(house, device)
    done = booth.log_in(client_id="curious")
    token = house.token(returned(done.page)["code"], client="curious").get_json()["access_token"]
    bearer = {"Authorization": f"Bearer {token}"}
    assert house.get(house.browser(), "/userinfo", headers=bearer).status_code == 200
    assert done.take_card_out() == 204
    assert house.get(house.browser(), "/userinfo", headers=bearer).status_code == 401
    assert [url for url, _ in receivers.got] == ["http://127.0.0.2:8001/backchannel"]
    assert done.take_card_out() == 404  # once


def test_what_no_kiosk_ended_in_time_is_ended_for_it_and_the_service_is_told(
    make_house: Callable[..., House], device: DeviceKey
) -> None:
    receivers = Receivers()
    house = make_house(receivers=receivers)
    add_service(house)
    booth = enrolled(house, device)
    booth.log_in(client_id="curious")
    house.login(house.browser(), "taro")  # at home: it goes on
    house.clock.step(seconds=299)
    assert kiosks.end_left(house.ports) == {"ended": 0}
    house.clock.step(seconds=1)
    assert kiosks.end_left(house.ports) == {"ended": 1}
    assert kiosks.end_left(house.ports) == {"ended": 0}
    deliver_due(house.ports)
    assert [url for url, _ in receivers.got] == ["http://127.0.0.2:8001/backchannel"]
    assert rows(house, "SELECT kiosk_id FROM sessions WHERE ended_at IS NULL") == [(None,)]


def test_the_card_taken_out_before_the_code_is_fetched_leaves_none(booth: Booth) -> None:
    done = booth.log_in()
    assert done.take_card_out() == 204
    assert booth.house.token(returned(done.page)["code"]).status_code == 400


def test_the_card_taken_out_before_the_browser_came_back_lets_nobody_in(booth: Booth) -> None:
    page = booth.house.login_page(booth.browser)
    request = Page(page.text).forms["card-form"]["fields"]["request"]
    answered = booth.house.post_answer(
        transaction_of(request), {"answer": booth.house.sign(request, device=booth.device)}
    )
    assert Login(house=booth.house, request=request, page=page).take_card_out() == 204
    assert booth.house.get(booth.browser, answered.headers["Location"]).status_code >= 400
    assert rows(booth.house, "SELECT count(*) FROM sessions") == [(0,)]


def test_another_handle_ends_nothing(booth: Booth) -> None:
    done = booth.log_in()
    path, _, handle = done.end_handle.rpartition("/")
    for wrong in (f"{path}/{handle[:-1]}{'A' if handle[-1] != 'A' else 'B'}", f"/agent/end/{'x' * 32}/{handle}"):
        assert booth.house.browser().post(wrong, base_url=booth.house.issuer).status_code == 404
    assert rows(booth.house, "SELECT count(*) FROM sessions WHERE ended_at IS NULL") == [(1,)]


def test_no_token_of_a_kiosk_lives_longer_than_its_session(booth: Booth) -> None:
    done = booth.log_in()
    booth.house.clock.step(seconds=30)
    told = booth.house.token(returned(done.page)["code"]).get_json()
    assert told["expires_in"] == 270


def test_no_refresh_token_comes_of_a_kiosk(house: House, device: DeviceKey) -> None:
    add_service(house)
    booth = enrolled(house, device)
    done = booth.log_in(client_id="curious", scope="openid offline_access", prompt="consent")
    told = house.token(returned(done.page)["code"], client="curious").get_json()
    assert "refresh_token" not in told


def test_an_answer_that_no_kiosk_signed_is_refused_in_a_kiosks_browser(booth: Booth) -> None:
    done = booth.read(booth.house.login_page(booth.browser), device=None)
    assert (done.page.status_code, code_of(done.page)) == (403, "AUTH-070")


def test_a_key_that_nobody_enrolled_signs_nothing(booth: Booth, tmp_path: Path) -> None:
    done = booth.put_card(device=device_key(tmp_path / "other"))
    assert code_of(done.page) == "AUTH-070"


def test_a_kiosks_answer_counts_as_a_kiosks_in_any_browser(booth: Booth) -> None:
    booth.browser = booth.house.browser()  # it never was at the kiosk's address
    booth.log_in()
    assert rows(booth.house, "SELECT kiosk_id FROM sessions") == [(booth.kiosk.kiosk_id,)]


def test_a_kiosk_does_not_answer_for_another(booth: Booth, tmp_path: Path) -> None:
    second = device_key(tmp_path / "second")
    kiosks.enrol("市民ホール", second.public, start_url=START, allows=frozenset(), ports=booth.house.ports)
    assert code_of(booth.put_card(device=second).page) == "AUTH-070"


def test_a_stopped_kiosk_is_over_with_all_that_is_open_there(booth: Booth) -> None:
    booth.open_my_page()
    assert kiosks.stop(booth.kiosk.kiosk_id, ports=booth.house.ports) == 1
    assert kiosks.stop(booth.kiosk.kiosk_id, ports=booth.house.ports) is None
    assert booth.house.login_page(booth.browser).status_code == 403
    booth.browser = booth.house.browser()
    assert code_of(booth.put_card().page) == "AUTH-070"
    assert booth.begin().status_code == 403
    assert rows(booth.house, "SELECT count(*) FROM sessions WHERE ended_at IS NULL") == [(0,)]


def test_a_kiosk_stopped_between_answer_and_browser_lets_nobody_in(booth: Booth) -> None:
    page = booth.house.login_page(booth.browser)
    request = Page(page.text).forms["card-form"]["fields"]["request"]
    answered = booth.house.post_answer(
        transaction_of(request), {"answer": booth.house.sign(request, device=booth.device)}
    )
    kiosks.stop(booth.kiosk.kiosk_id, ports=booth.house.ports)
    assert booth.house.get(booth.browser, answered.headers["Location"]).status_code == 403
    assert rows(booth.house, "SELECT count(*) FROM sessions") == [(0,)]


@pytest.mark.parametrize(
    "change",
    [
        lambda envelope: envelope.update(pin_entry="pinpad"),
        lambda envelope: envelope.update(more="x"),
        lambda envelope: envelope.pop("app_version"),
        lambda envelope: envelope.update(device=envelope["device"][:-4] + "AAAA"),
        lambda envelope: envelope.update(device="x" * 3000),
        lambda envelope: envelope.update(device="a.b.c"),
        lambda envelope: envelope.update(device=1),
        lambda envelope: envelope.update(device=None),
        lambda envelope: envelope.pop("device"),
    ],
)
def test_an_answer_changed_on_its_way_is_refused(booth: Booth, change: Callable[[dict[str, Any]], None]) -> None:
    """Whoever sits between agent and broker may seal an envelope, and cannot sign it."""
    request = Page(booth.house.login_page(booth.browser).text).forms["card-form"]["fields"]["request"]
    envelope = opened(booth, request)
    change(envelope)
    claims = jwt.decode(request, options={"verify_signature": False})
    sealed = jwe.encrypt_compact(
        {"alg": "ECDH-ES", "enc": "A256GCM"}, json.dumps(envelope).encode(), ECKey.import_key(claims["answer_key"])
    )
    refused = booth.house.post_answer(transaction_of(request), {"answer": sealed})
    assert code_of(refused) == "AUTH-070"


def test_the_signature_of_another_transaction_is_refused(booth: Booth) -> None:
    first, second = (
        Page(booth.house.login_page(booth.browser).text).forms["card-form"]["fields"]["request"] for _ in range(2)
    )
    envelope = opened(booth, second)
    envelope["device"] = opened(booth, first)["device"]
    claims = jwt.decode(second, options={"verify_signature": False})
    sealed = jwe.encrypt_compact(
        {"alg": "ECDH-ES", "enc": "A256GCM"}, json.dumps(envelope).encode(), ECKey.import_key(claims["answer_key"])
    )
    assert code_of(booth.house.post_answer(transaction_of(second), {"answer": sealed})) == "AUTH-070"


def opened(booth: Booth, request: str) -> dict[str, Any]:
    """The members of a good answer, opened with the broker's own one-time key."""
    transaction = TransactionID(transaction_of(request))
    with booth.house.ports.store.transaction() as tx:
        kept = tx.cards.get(transaction)
    assert kept is not None
    scalar = int.from_bytes(booth.house.ports.keys.unseal(kept.answer_key, context=transaction.encode()), "big")
    sealed = booth.house.sign(request, device=booth.device)
    members: dict[str, Any] = json.loads(decrypt_compact(sealed, key=ec.derive_private_key(scalar, ec.SECP256R1())))
    return members


def test_approving_another_device_is_off(house: House, device: DeviceKey) -> None:
    """What is approved there would outlive the session; no site may allow it."""
    television = register(
        house,
        "television",
        name="見本テレビ",
        application_type="native",
        auth_method=AuthMethod.NONE,
        redirect_uris=(),
        client_uri="https://tv.example/",
        grant_types=frozenset({GrantType.DEVICE_CODE}),
    )
    booth = enrolled(house, device, *SiteAct)
    for at_the_kiosk in (True, False):  # in a browser that does not say what it is the kiosk's signature decides
        code = begun(television)["user_code"]
        browser = booth.browser if at_the_kiosk else house.browser()
        page = confirm(house, browser, code)
        if not at_the_kiosk:
            booth.browser = browser
            page = booth.read(page, device=device).page
        assert (page.status_code, code_of(page)) == (403, "AUTH-071")
    assert rows(house, "SELECT count(*) FROM sessions") == [(0,)]


def test_linking_is_off_unless_the_site_allows_it(house: House, device: DeviceKey) -> None:
    booth = enrolled(house, device)
    clinic = service(house, "clinic")
    handle = clinic.ask("P00000001")["link_request"]
    page = clinic.visit(browser=booth.browser).open(handle)
    assert (page.status_code, code_of(page)) == (403, "AUTH-071")
    elsewhere = house.browser()
    begun_there = clinic.visit(browser=elsewhere).open(handle)
    booth.browser = elsewhere
    assert code_of(booth.read(begun_there, device=device).page) == "AUTH-071"


def test_a_number_is_bound_where_the_site_allows_it(house: House, device: DeviceKey) -> None:
    booth = enrolled(house, device, SiteAct.LINK)
    clinic = service(house, "clinic")
    asked = clinic.ask("P00000001")
    first = booth.read(clinic.visit(browser=booth.browser).open(asked["link_request"]), device=device).page
    second = booth.read(house.get(booth.browser, first.headers["Location"]), device=device).page
    assert clinic.claims(returned(second)["code"])["linked_id"] == "P00000001"


def test_a_link_left_half_way_is_not_finished_by_the_next_person(house: House, device: DeviceKey) -> None:
    booth = enrolled(house, device, SiteAct.LINK)
    clinic = service(house, "clinic")
    asked = clinic.ask("P00000001")
    first = booth.read(clinic.visit(browser=booth.browser).open(asked["link_request"]), device=device).page
    page = house.get(booth.browser, first.headers["Location"])
    house.clock.step(seconds=61)
    assert booth.read(page, device=device).page.status_code >= 400
    assert clinic.state(asked["link_id"])["state"] != "active"


def test_proofing_is_off_unless_the_site_allows_it(house: House, device: DeviceKey) -> None:
    booth = enrolled(house, device)
    page = agree(shop(house), booth.browser, scope="openid name birthdate")
    assert (page.status_code, code_of(page)) == (403, "AUTH-071")


def test_a_question_about_a_mandate_is_off_unless_the_site_allows_it(house: House, device: DeviceKey) -> None:
    program = bidding(house)

    def asked() -> str:
        request = pushed(program, authorization_details=json.dumps([ASKED]))
        return visit(program, request, booth.browser).headers["Location"]

    booth = enrolled(house, device)
    page = house.get(booth.browser, asked())
    assert (page.status_code, code_of(page)) == (403, "AUTH-071")
    booth.browser = house.browser()  # one that does not say what it is: the kiosk's signature decides
    assert code_of(booth.read(house.get(booth.browser, asked()), device=device).page) == "AUTH-071"
    assert rows(house, "SELECT count(*) FROM sessions") == [(0,)]


def test_no_file_is_saved_at_a_kiosk(booth: Booth) -> None:
    booth.open_my_page()
    for path in ("/me/export/everything.json", "/me/export/uses.csv", "/me/export/consents.csv"):
        assert code_of(booth.house.get(booth.browser, path)) == "AUTH-071"


def test_pages_are_large_and_keep_the_way_out_in_sight(booth: Booth) -> None:
    page = booth.house.login_page(booth.browser).text
    assert '<html lang="ja" class="kiosk">' in page
    assert Page(page).links["kiosk-end"] == "/kiosk/end"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"start_url": "ftp://127.0.0.3/"}, "address"),
        ({"start_url": "https:///x"}, "address"),
        ({"key": {"kty": "EC"}}, "not a public key"),
        ({"key": {"kty": "oct", "k": "AAAA"}}, "private"),
        ({"key": {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}}, "ES256"),
    ],
)
def test_a_kiosk_that_is_not_in_order_is_not_enrolled(
    house: House, device: DeviceKey, changes: dict[str, Any], reason: str
) -> None:
    asked = {"name": "駅前", "key": device.public, "start_url": START, "allows": frozenset(), **changes}
    with pytest.raises(KioskUnfit, match=reason):
        kiosks.enrol(asked.pop("name"), asked.pop("key"), ports=house.ports, **asked)


def test_a_key_is_enrolled_once_and_never_again(booth: Booth) -> None:
    kiosks.stop(booth.kiosk.kiosk_id, ports=booth.house.ports)
    with pytest.raises(KioskUnfit, match="another kiosk"):
        kiosks.enrol("駅前", booth.device.public, start_url=START, allows=frozenset(), ports=booth.house.ports)
