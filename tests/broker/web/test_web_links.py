"""Links over HTTP, with the real agent core and cards: R1 to R7 for binding a service's number to a person.

Each rule has its test here; the decisions themselves are in tests/broker/accounts/test_link.py.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from broker.accounts.lifecycle import CertificateName
from broker.accounts.link import Ending, LinkState
from broker.errors import CorrespondenceUnknown
from broker.flows import link_reconciliation, links
from broker.ids import AccountID, LinkID
from broker.oidc.client import GrantType
from cardreader.errors import LinkCardChanged
from tests.broker.web.house import House, Page
from tests.broker.web.linkhouse import Service, card_request, id_claims, service
from tests.broker.web.program import register

_REFRESHING = frozenset({GrantType.AUTHORIZATION_CODE, GrantType.REFRESH_TOKEN})


def rows(house: House, statement: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(house.database)) as connection:
        return connection.execute(statement).fetchall()


def returned_error(page: Any) -> str:
    query = dict(parse_qsl(urlsplit(Page(page.text).links["continue-link"]).query))
    return query["error"]


def account_of(house: House, claims: dict[str, Any]) -> AccountID:
    [(account,)] = rows(house, f"SELECT account FROM subjects WHERE subject = '{claims['sub']}'")  # noqa: S608 -- ours
    return AccountID(account)


@pytest.fixture
def bank(house: House) -> Service:
    return service(house, "bank")


# --- a link and what it tells ----------------------------------------------------------------------------------------


def test_a_number_bound_by_two_readings_is_told_from_then_on_in_both_places(bank: Service) -> None:
    claims = bank.bind("0012345")
    assert claims["linked_id"] == "0012345"
    assert claims["acr"] == "aal3"
    assert bank.state(claims["link_id"]) == {"link_id": claims["link_id"], "state": "active"}
    visit = bank.visit()
    token = bank.token(visit.code(visit.read(visit.open(None))))
    assert id_claims(token)["linked_id"] == "0012345"
    assert id_claims(token)["sub"] == claims["sub"]
    assert bank.program.userinfo(token["access_token"]).get_json() == {"sub": claims["sub"], "linked_id": "0012345"}


def test_the_page_names_the_service_and_the_masked_number_and_asks_in_both_languages(bank: Service) -> None:
    asked = bank.ask("0012345", label="普通預金の口座")
    visit = bank.visit()
    page = visit.read(visit.open(asked["link_request"]))
    shown = Page(page.text)
    assert shown.texts["link-shown"] == "•••••45"
    assert shown.texts["link-label"] == "普通預金の口座"
    assert "見本銀行" in page.text
    assert "0012345" not in page.text
    assert "link-conflict" not in shown.texts
    english = bank.house.get(visit.browser, f"{page.request.path}?ui_locales=en")
    assert "Is this your own number?" in english.text
    assert Page(english.text).lang == "en"


def test_what_the_card_signs_names_action_service_and_what_was_shown(bank: Service) -> None:
    asked = bank.ask("0012345", label="口座")
    visit = bank.visit()
    first = visit.open(asked["link_request"])
    start = card_request(first)
    assert (start["tag"], start["previous"]) == ("JPKI-FED-LINK-START/1", "")
    action = json.loads(start["action"])
    assert (action["kind"], action["label"], action["shown"]) == ("link", "口座", "•••••45")
    assert action["release"] == ["linked_id"]
    assert "0012345" not in start["action"]
    commit = card_request(visit.read(first))
    assert commit["tag"] == "JPKI-FED-LINK-COMMIT/1"
    assert commit["action"] == start["action"]
    assert len(commit["previous"]) > 300


def test_a_number_goes_to_no_other_client_and_no_other_person(bank: Service) -> None:
    house, clinic = bank.house, service(bank.house, "clinic")
    bank.bind("0012345", "hanako")
    assert "linked_id" not in clinic.visit("hanako").log_in()
    assert "linked_id" not in bank.visit("taro").log_in()
    plain = register(house, "plain")
    assert "linked_id" not in id_claims(plain.token(plain.grant()).get_json())


def test_without_the_scope_nothing_is_told(bank: Service) -> None:
    bank.bind("0012345")
    house = bank.house
    browser = house.browser()
    page = house.consent_page(browser, client_id=bank.client_id, scope="openid")
    token = bank.token(dict(parse_qsl(urlsplit(Page(page.text).links["continue-link"]).query))["code"])
    assert "linked_id" not in id_claims(token)
    assert "linked_id" not in bank.program.userinfo(token["access_token"]).get_json()


def test_a_number_at_rest_is_sealed_and_the_audit_rows_carry_none(bank: Service) -> None:
    bank.bind("0012345", label="普通預金の口座")
    with closing(sqlite3.connect(bank.house.database)) as connection:
        dump = "\n".join(connection.iterdump())
    assert "0012345" not in dump
    assert b"0012345".hex() not in dump.lower()
    events = [event for (event,) in rows(bank.house, "SELECT event FROM audit ORDER BY rowid")]
    story = ("link_asked", "link_started", "login", "link_made", "consent_given", "code_issued", "token_issued")
    assert [event for event in events if event in story] == list(story)


def test_no_audit_row_no_link(bank: Service) -> None:
    asked, visit = bank.ask(), bank.visit()
    page = visit.read(visit.open(asked["link_request"]))
    with closing(sqlite3.connect(bank.house.database)) as connection:
        connection.execute(
            "CREATE TRIGGER no_audit BEFORE INSERT ON audit WHEN NEW.event = 'link_made' "
            "BEGIN SELECT RAISE(ABORT, 'audit is full'); END"
        )
        connection.commit()
    assert visit.read(page).status_code >= 500
    assert rows(bank.house, "SELECT count(*) FROM links") == [(0,)]


# --- R1, R3: cards in the middle -------------------------------------------------------------------------------------


def test_r3_a_card_swapped_before_the_commit_binds_nobody_and_alarms(
    bank: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, visit = bank.ask(), bank.visit("hanako")
    page = visit.read(visit.open(asked["link_request"]))
    with pytest.raises(LinkCardChanged):  # the installed agent refuses by itself
        visit.read(page, "taro")
    monkeypatch.setattr("cardreader.agent.signing.check_same_card", lambda *_: None)  # one that does not
    refused = visit.read(page, "taro")
    assert "AUTH-060" in refused.text
    assert rows(bank.house, "SELECT count(*) FROM links") == [(0,)]
    assert rows(bank.house, "SELECT kind FROM link_alarms") == [("card_changed",)]
    assert rows(bank.house, "SELECT count(*) FROM sessions WHERE ended_at IS NULL") == [(0,)]
    assert bank.state(asked["link_id"])["state"] == "ended"
    assert rows(bank.house, "SELECT name, times FROM link_counts ORDER BY name") == [
        ("alarm.card_changed", 1),
        ("refused.LinkCardChanged", 1),
    ]


def test_r3_one_reading_binds_nothing(bank: Service) -> None:
    asked, visit = bank.ask(), bank.visit()
    visit.read(visit.open(asked["link_request"]))
    assert rows(bank.house, "SELECT count(*) FROM links") == [(0,)]
    assert bank.state(asked["link_id"])["state"] == "started"
    assert rows(bank.house, "SELECT count(*) FROM codes") == [(0,)]


def test_r3_an_answer_for_the_start_is_none_for_the_commit(bank: Service) -> None:
    """The page between is shown twice; the answer of a start is posted where a commit is waited for."""
    asked, visit = bank.ask(), bank.visit()
    house = bank.house
    first = visit.open(asked["link_request"])
    start = Page(first.text).forms["card-form"]["fields"]["request"]
    second = visit.read(first)
    commit = card_request(second)
    replayed = house.post_answer(commit["jti"], {"answer": house.sign(start)})
    assert replayed.status_code >= 400
    assert rows(house, "SELECT count(*) FROM links") == [(0,)]


def test_r1_a_terminal_left_open_binds_nobody_elses_card(bank: Service) -> None:
    """The first person walks away between the readings; the next one's card finishes nothing and begins nothing."""
    asked, left_open = bank.ask(), bank.visit("hanako")
    left_open.read(left_open.open(asked["link_request"]))
    next_one = bank.visit("taro", left_open.browser)
    stopped = next_one.read(next_one.open(asked["link_request"]))
    assert "AUTH-060" in stopped.text
    assert rows(bank.house, "SELECT count(*) FROM links") == [(0,)]
    assert rows(bank.house, "SELECT kind FROM link_alarms") == [("card_changed",)]
    assert bank.state(asked["link_id"])["state"] == "ended"


def test_two_tabs_bind_once_and_the_older_one_is_told(bank: Service) -> None:
    asked, visit = bank.ask(), bank.visit()
    one = visit.read(visit.open(asked["link_request"]))
    two = visit.read(visit.open(asked["link_request"]))
    assert returned_error(visit.read(one)) == "invalid_request"
    assert rows(bank.house, "SELECT count(*) FROM links") == [(0,)]
    assert bank.claims(visit.code(visit.read(two)))["linked_id"] == "0012345"
    assert rows(bank.house, "SELECT state FROM links") == [("active",)]


def test_a_replayed_link_request_is_nothing(bank: Service) -> None:
    asked, visit = bank.ask(), bank.visit()
    visit.code(visit.link(asked["link_request"]))
    again = bank.house.authorize(
        bank.house.browser(), client_id=bank.client_id, scope="openid linked_id", link_request=asked["link_request"]
    )
    assert returned_error(again) == "invalid_request"
    assert rows(bank.house, "SELECT count(*) FROM links") == [(1,)]


def test_another_clients_handle_is_nothing(bank: Service) -> None:
    library = service(bank.house, "library")
    asked = bank.ask()
    answer = bank.house.authorize(
        bank.house.browser(), client_id=library.client_id, scope="openid linked_id", link_request=asked["link_request"]
    )
    assert returned_error(answer) == "invalid_request"
    assert bank.state(asked["link_id"])["state"] == "started"


# --- R2, R7: what is asked, and what is never matched ----------------------------------------------------------------


def test_r2_the_card_alone_widens(bank: Service) -> None:
    """A session of the client answers nothing that makes a link; a change needs the card as well."""
    claims = bank.bind("0012345")
    visit = bank.visit()
    visit.read(visit.open(None))
    silent = bank.house.authorize(
        visit.browser,
        client_id=bank.client_id,
        scope="openid linked_id",
        link_request=bank.ask("0012346", replaces="0012345")["link_request"],
        prompt="none",
    )
    assert returned_error_in(silent.headers["Location"]) == "interaction_required"
    assert bank.visit().log_in()["linked_id"] == "0012345"
    changed = bank.bind("0012346", replaces="0012345", sub=claims["sub"])
    assert changed["linked_id"] == "0012346"
    assert bank.state(claims["link_id"]) == {"link_id": claims["link_id"], "state": "ended", "ended_because": "changed"}
    assert rows(bank.house, "SELECT count(*) FROM link_alarms") == [(0,)]


def returned_error_in(location: str) -> str:
    return dict(parse_qsl(urlsplit(location).query))["error"]


def test_r2_a_link_is_asked_for_by_itself(bank: Service) -> None:
    handle = bank.ask()["link_request"]
    for scope in ("openid", "openid linked_id profile address"):
        answer = bank.house.authorize(bank.house.browser(), client_id=bank.client_id, scope=scope, link_request=handle)
        if scope == "openid":
            assert returned_error(answer) == "invalid_scope"
        else:  # what the client may not ask for is passed over, and nothing of it is released
            assert "/login/" in answer.headers["Location"]
    malformed = bank.house.authorize(
        bank.house.browser(), client_id=bank.client_id, scope="openid linked_id", link_request="x"
    )
    assert returned_error(malformed) == "invalid_request"


def test_ending_needs_no_card_and_takes_effect_on_the_next_answer(bank: Service) -> None:
    claims = bank.bind("0012345")
    visit = bank.visit()
    token = bank.token(visit.code(visit.read(visit.open(None))))
    assert bank.program.userinfo(token["access_token"]).get_json()["linked_id"] == "0012345"
    assert bank.program.post("/api/links/end", sub=claims["sub"]).status_code == 200
    assert "linked_id" not in bank.program.userinfo(token["access_token"]).get_json()
    assert "linked_id" not in bank.visit().log_in()
    assert bank.state(claims["link_id"])["ended_because"] == "client"
    assert bank.program.post("/api/links/end", link_id=claims["link_id"]).status_code == 200


def test_a_resident_ends_their_own_link_and_no_other(bank: Service) -> None:
    hanako, taro = bank.bind("0012345", "hanako"), bank.bind("0012346", "taro")
    ports = bank.house.ports
    me = account_of(bank.house, hanako)
    [seen] = links.links_of(me, ports=ports)
    assert (seen.shown, seen.state) == ("•••••45", LinkState.ACTIVE)
    assert seen.client is not None
    assert seen.client.client_id == bank.client_id
    assert not links.end(LinkID(taro["link_id"]), me, ports=ports)
    assert links.end(LinkID(hanako["link_id"]), me, ports=ports)
    assert not links.end(LinkID(hanako["link_id"]), me, ports=ports)
    assert "linked_id" not in bank.visit("hanako").log_in()
    assert bank.visit("taro").log_in()["linked_id"] == "0012346"


def test_r7_people_of_one_name_and_birth_date_stay_two(bank: Service) -> None:
    """Nothing but the card's key finds an account; two cards are two people, whatever is written in them."""
    hanako, taro = bank.bind("0012345", "hanako"), bank.bind("0012346", "taro")
    assert hanako["sub"] != taro["sub"]
    assert account_of(bank.house, hanako) != account_of(bank.house, taro)
    columns = {
        row[1] for table in ("links", "link_requests") for row in rows(bank.house, f"PRAGMA table_info({table})")
    }
    assert not columns & {"name", "birthdate", "address", "gender"}


def test_the_named_person_alone_may_answer(bank: Service) -> None:
    hanako = bank.bind("0012345", "hanako")
    asked = bank.ask("0012399", replaces="0012345", sub=hanako["sub"])
    visit = bank.visit("taro")
    assert returned_error(visit.read(visit.open(asked["link_request"]))) == "login_required"
    assert rows(bank.house, "SELECT count(*) FROM links WHERE state = 'active'") == [(1,)]
    unknown = bank.program.post("/api/links", linked_id="0012399", sub="nobody")
    assert unknown.get_json()["error"] == "invalid_request"


# --- R6: two numbers, two cards --------------------------------------------------------------------------------------


def test_r6_a_service_that_claims_anothers_number_is_alarmed_and_nobody_is_told(bank: Service) -> None:
    first = bank.bind("0012345", "hanako")
    asked, visit = bank.ask("0012345"), bank.visit("taro")
    page = visit.read(visit.open(asked["link_request"]))
    assert "別のカード" in Page(page.text).texts["link-conflict"]
    claims = bank.claims(visit.code(visit.read(page)))
    assert "linked_id" not in claims
    assert bank.state(asked["link_id"]) == {
        "link_id": asked["link_id"],
        "state": "held",
        "alarms": ["one_id_two_cards"],
    }
    assert bank.visit("hanako").log_in()["linked_id"] == "0012345"
    assert rows(bank.house, "SELECT link_id, other FROM link_alarms") == [(asked["link_id"], first["link_id"])]
    assert ("link_alarm",) in rows(bank.house, "SELECT event FROM audit")


def test_r6_the_second_confirmation_gives_the_number_to_one_card_alone(bank: Service) -> None:
    first = bank.bind("0012345", "hanako")
    second = bank.bind("0012345", "taro")
    confirmed = bank.program.post("/api/links/confirm", link_id=second["link_id"])
    assert confirmed.status_code == 200
    assert bank.visit("taro").log_in()["linked_id"] == "0012345"
    assert "linked_id" not in bank.visit("hanako").log_in()
    assert bank.state(first["link_id"])["ended_because"] == "changed"
    assert rows(bank.house, "SELECT closed_by, decision FROM link_alarms") == [(bank.client_id, "confirmed")]
    again = bank.program.post("/api/links/confirm", link_id=second["link_id"])
    assert again.status_code == 409


def test_r6_one_card_with_two_numbers_waits_too(bank: Service) -> None:
    bank.bind("0012345")
    second = bank.bind("0012346")
    assert second["linked_id"] == "0012345"
    assert bank.state(second["link_id"])["alarms"] == ["one_card_two_ids"]
    other = service(bank.house, "library")
    assert other.program.post("/api/links/confirm", link_id=second["link_id"]).status_code == 409
    assert bank.state(second["link_id"])["state"] == "held"
    links.refuse_by_operator(LinkID(second["link_id"]), operator="tanaka", ports=bank.house.ports)
    assert bank.state(second["link_id"])["ended_because"] == "operator"
    assert rows(bank.house, "SELECT closed_by, decision FROM link_alarms") == [("tanaka", "refused")]


def test_r6_a_number_that_others_read_is_confirmed_by_the_desk(bank: Service) -> None:
    clinic = service(bank.house, "clinic")
    clinic.bind("P00000001", "hanako")
    second = clinic.bind("P00000001", "taro")
    assert clinic.program.post("/api/links/confirm", link_id=second["link_id"]).get_json()["error"] == (
        "unauthorized_client"
    )
    links.confirm_by_operator(LinkID(second["link_id"]), operator="tanaka", ports=bank.house.ports)
    assert clinic.visit("taro").log_in()["linked_id"] == "P00000001"


def test_r6_what_is_never_confirmed_ends_by_itself(bank: Service) -> None:
    bank.bind("0012345", "hanako")
    second = bank.bind("0012345", "taro")
    bank.house.clock.step(days=7, seconds=1)
    assert bank.program.post("/api/links/confirm", link_id=second["link_id"]).status_code == 409
    counts = link_reconciliation.reconcile(bank.house.ports)
    assert counts["unconfirmed"] == 1
    assert bank.state(second["link_id"])["ended_because"] == "unconfirmed"
    assert link_reconciliation.reconcile(bank.house.ports)["alarms_open"] == 0


# --- the seeds' services ---------------------------------------------------------------------------------------------


def test_a_patient_number_is_read_by_the_pharmacy_after_the_patients_own_link(bank: Service) -> None:
    house = bank.house
    clinic, pharmacy = service(house, "clinic"), service(house, "pharmacy")
    with house.ports.store.transaction() as tx:
        changed = tx.clients.get(clinic.program.client.client_id)
        assert changed is not None
        tx.clients.change(replace(changed, linked_id_readers=(pharmacy.client_id,)), now=house.clock())
    clinic.bind("P00000001")
    assert "linked_id" not in pharmacy.visit().log_in()
    shared = pharmacy.bind(None, source=clinic.client_id)
    assert shared["linked_id"] == {"issuer": clinic.client_id, "value": "P00000001"}
    assert shared["sub"] != clinic.visit().log_in()["sub"]
    stranger = service(house, "library")
    refused = stranger.program.post("/api/links", source=clinic.client_id)
    assert refused.get_json()["error"] == "unauthorized_client"
    clinic.program.post("/api/links/end", sub=clinic.visit().log_in()["sub"])
    assert "linked_id" not in pharmacy.visit().log_in()


def test_a_library_card_and_a_staff_number_stand_beside_each_other(bank: Service) -> None:
    library, employer = service(bank.house, "library"), service(bank.house, "employer")
    assert library.bind("MK-7F3A0012")["linked_id"] == "MK-7F3A0012"
    assert employer.bind("JP-0042")["linked_id"] == "JP-0042"
    seen = links.links_of(account_of(bank.house, library.visit().log_in()), ports=bank.house.ports)
    assert {view.shown for view in seen} == {"••••••••012", "•••••42"}


class Mapping:
    """J-LIS's mapping as the test says: certificates without a predecessor, or no clear word."""

    def __init__(self) -> None:
        self.clear = True

    def predecessor(self, certificate: CertificateName) -> CertificateName | None:
        if not self.clear:
            raise CorrespondenceUnknown("silence")
        return None

    def correspond(self, one: CertificateName, other: CertificateName) -> bool:
        return False


def test_a_ticket_is_one_for_each_person_and_for_good(make_house: Callable[..., House]) -> None:
    house = make_house(correspondence=Mapping())
    ticket = service(house, "ticket")
    mine = ticket.bind("E000042", "hanako")
    assert (mine["linked_id"], mine["unique_person"]) == ("E000042", True)
    for number, resident in (("E000042", "taro"), ("E000043", "hanako")):
        visit = ticket.visit(resident)
        assert returned_error(visit.link(ticket.ask(number)["link_request"])) == "access_denied"
    ticket.program.post("/api/links/end", link_id=mine["link_id"])
    visit = ticket.visit("taro")
    assert returned_error(visit.link(ticket.ask("E000042")["link_request"])) == "access_denied"
    assert ticket.bind("E000042", "hanako")["linked_id"] == "E000042"
    with house.ports.store.transaction() as tx:
        links.forget(tx, account_of(house, mine), now=house.clock())
    visit = ticket.visit("taro")
    assert returned_error(visit.link(ticket.ask("E000042")["link_request"])) == "access_denied"
    assert ticket.bind("E000042", "hanako")["sub"] == mine["sub"]


def test_one_person_is_never_said_without_the_mapping(make_house: Callable[..., House]) -> None:
    for mapping in (None, Mapping()):
        house = make_house(correspondence=mapping)
        ticket, bank = service(house, "ticket"), service(house, "bank")
        bank.bind("0012345")
        if mapping is not None:
            mapping.clear = False
        visit = ticket.visit()
        assert returned_error(visit.link(ticket.ask("E000042")["link_request"])) == "access_denied"
        assert "unique_person" not in bank.visit().log_in()
        assert rows(house, "SELECT state FROM links") == [("active",)]


# --- what services send ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"linked_id": "123456789018"}, "OAUTH-072"),
        ({"linked_id": "1234-5678-9012"}, "OAUTH-072"),
        ({"linked_id": "0012345", "label": "番号は１２３４５６７８９０１８"}, "OAUTH-072"),
        ({"linked_id": "0012345", "replaces": "123456789012"}, "OAUTH-072"),
        ({"linked_id": "00123"}, "OAUTH-071"),
        ({"linked_id": None}, "OAUTH-071"),
        ({"linked_id": "0012345", "label": "口座\u202e"}, "OAUTH-071"),
        ({"linked_id": "0012345", "label": "あ" * 41}, "OAUTH-071"),
    ],
)
def test_what_could_be_a_my_number_is_quarantined_and_other_shapes_refused(
    bank: Service, fields: dict[str, str | None], error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = bank.program.post("/api/links", **fields)
    assert answer.status_code == 400
    assert rows(bank.house, "SELECT count(*) FROM link_requests") == [(0,)]
    assert f'"error_code": "{error}"' in capsys.readouterr().out
    quarantined = rows(bank.house, "SELECT detail FROM audit WHERE event = 'number_quarantined'")
    assert len(quarantined) == (error == "OAUTH-072")
    with closing(sqlite3.connect(bank.house.database)) as connection:
        assert "123456789018" not in "\n".join(connection.iterdump())


def test_only_a_registered_service_that_proves_itself_by_its_key_asks(house: House) -> None:
    plain = register(house, "plain")
    assert plain.post("/api/links", linked_id="0012345").get_json()["error"] == "unauthorized_client"
    for path in ("/api/links", "/api/links/state", "/api/links/end", "/api/links/confirm"):
        assert plain.post(path, authenticated=False, linked_id="0012345").status_code == 401
    pharmacy = service(house, "pharmacy")
    refused = pharmacy.program.post("/api/links", linked_id="0012345")
    assert refused.get_json()["error"] == "invalid_request"


def test_an_assertion_serves_once(bank: Service) -> None:
    assertion = bank.program.assertion()
    statuses = [
        bank.program.post("/api/links", linked_id="0012345", client_assertion=assertion).status_code for _ in range(2)
    ]
    assert statuses == [201, 401]
    assert rows(bank.house, "SELECT count(*) FROM link_requests") == [(1,)]


def test_others_links_are_told_to_nobody(bank: Service) -> None:
    claims = bank.bind()
    library = service(bank.house, "library")
    assert library.program.post("/api/links/state", link_id=claims["link_id"]).status_code == 409
    assert library.program.post("/api/links/end", link_id=claims["link_id"]).status_code == 200
    assert bank.state(claims["link_id"])["state"] == "active"
    assert library.state("no-such-link")["state"] == "ended"


def test_going_back_ends_the_request_and_the_session(bank: Service) -> None:
    asked, visit = bank.ask(), bank.visit()
    page = visit.read(visit.open(asked["link_request"]))
    cancelled = bank.house.submit(visit.browser, page, "cancel-form")
    assert returned_error(cancelled) == "access_denied"
    assert bank.state(asked["link_id"])["state"] == "ended"
    assert rows(bank.house, "SELECT count(*) FROM sessions WHERE ended_at IS NULL") == [(0,)]


def test_a_request_that_has_run_out_ends_in_words(bank: Service) -> None:
    asked, visit = bank.ask(), bank.visit()
    page = visit.read(visit.open(asked["link_request"]))
    bank.house.clock.step(minutes=11)
    late = bank.house.get(visit.browser, page.request.path)
    assert late.status_code == 410
    assert rows(bank.house, "SELECT count(*) FROM links") == [(0,)]


# --- R8, R9 ----------------------------------------------------------------------------------------------------------


def test_r8_the_nightly_reconciliation_publishes_its_counts_zeros_included(bank: Service) -> None:
    bank.bind()
    counts = link_reconciliation.reconcile(bank.house.ports)
    assert counts["active"] == 1
    assert link_reconciliation.impossible(counts) == 0
    assert {counts[name] for name in link_reconciliation.IMPOSSIBLE} == {0}
    [(detail,)] = rows(bank.house, "SELECT detail FROM audit WHERE event = 'links_reconciled'")
    assert json.loads(detail)["one_number_two_cards"] == 0


def test_r8_a_link_that_was_moved_to_another_person_is_found_and_told_to_nobody(bank: Service) -> None:
    hanako = bank.bind("0012345", "hanako")
    taro = bank.visit("taro").log_in()
    with closing(sqlite3.connect(bank.house.database)) as connection:
        connection.execute("UPDATE links SET account = ?", (account_of(bank.house, taro),))
        connection.commit()
    counts = link_reconciliation.reconcile(bank.house.ports)
    assert counts["unreadable"] == 1
    visit = bank.visit("taro")
    refused = bank.program.token(visit.code(visit.read(visit.open(None))))
    assert refused.status_code == 503  # R5: the seal is the subject tag, and it does not open
    assert "0012345" not in refused.text
    assert hanako["linked_id"] == "0012345"


def test_r9_a_reading_that_fails_and_is_repeated_is_counted(bank: Service) -> None:
    asked, visit = bank.ask(), bank.visit()
    page = visit.read(visit.open(asked["link_request"]))
    bank.house.lists.available = False
    assert "AUTH-015" in visit.read(page).text
    bank.house.lists.available = True
    bank.house.clock.step(seconds=1)
    page = bank.house.get(visit.browser, page.request.path)
    assert bank.claims(visit.code(visit.read(page)))["linked_id"] == "0012345"
    bank.house.clock.step(days=1)
    counts = link_reconciliation.reconcile(bank.house.ports)
    assert (counts["refused.RevocationUnknown"], counts["cured"]) == (1, 1)
    assert counts["quarantined"] == 0


# --- lives of accounts -----------------------------------------------------------------------------------------------


def test_a_withdrawn_consent_and_a_deleted_account_end_every_link(bank: Service) -> None:
    claims = bank.bind()
    library = service(bank.house, "library")
    library.bind("MK-7F3A0012")
    house, me = bank.house, account_of(bank.house, claims)
    with house.ports.store.transaction() as tx:
        ended = links.end_all(
            tx, me, client_id=bank.program.client.client_id, because=Ending.CONSENT_WITHDRAWN, now=house.clock()
        )
    assert ended == 1
    assert "linked_id" not in bank.visit().log_in()
    assert library.visit().log_in()["linked_id"] == "MK-7F3A0012"
    with house.ports.store.transaction() as tx:
        assert links.forget(tx, me, now=house.clock()) == 1
    assert rows(house, "SELECT DISTINCT value_sealed FROM links") == [(b"",)]


def test_r2_a_link_gives_nothing_that_its_two_frames_do_not_name(bank: Service) -> None:
    refreshing = service(bank.house, "refreshing", linked_id_pattern=r"\d{7}", grant_types=_REFRESHING)
    asked, visit = refreshing.ask(), refreshing.visit()
    page = visit.read(visit.read(visit.open(asked["link_request"], scope="openid linked_id offline_access")))
    token = refreshing.token(visit.code(page))
    assert (token["scope"], "refresh_token" in token) == ("linked_id openid", False)
    assert rows(bank.house, "SELECT scope FROM consents WHERE client_id = 'refreshing-link'") == [("linked_id openid",)]


def test_a_refreshed_token_tells_the_number_only_while_it_is_bound(bank: Service) -> None:
    refreshing = service(bank.house, "refreshing", linked_id_pattern=r"\d{7}", grant_types=_REFRESHING)
    asked, visit = refreshing.ask(), refreshing.visit()
    page = visit.read(visit.open(None, scope="openid linked_id offline_access"))
    refreshing.house.submit(visit.browser, page, "consent-form", decision="approve")
    page = visit.read(visit.read(visit.open(asked["link_request"], scope="openid linked_id offline_access")))
    token = refreshing.token(visit.code(page))
    assert id_claims(token)["linked_id"] == "0012345"
    again = refreshing.program.post("/token", grant_type="refresh_token", refresh_token=token["refresh_token"])
    assert id_claims(again.get_json())["linked_id"] == "0012345"
    refreshing.program.post("/api/links/end", link_id=asked["link_id"])
    last = refreshing.program.post("/token", grant_type="refresh_token", refresh_token=token["refresh_token"])
    assert "linked_id" not in id_claims(last.get_json())
