"""A renewed certificate over the whole broker: the same subject by J-LIS's mapping, and by nothing else (R19)."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta

import jwt
import pytest

from broker.accounts.lifecycle import CertificateName
from broker.errors import CorrespondenceUnknown
from broker.flows.revocation_ports import CorrespondenceSource
from sandbox.world.registry import Registry
from tests.broker.web.house import House, Page
from tests.broker.web.test_web_refresh import offline, refresh


class Mapping:
    """Stands in for the network only: the sandbox's own mapping answers, unless a fault is wanted."""

    def __init__(self, house: House) -> None:
        self._registry = Registry(house.world.root)
        self.fault: str | None = None
        self.asked = 0

    def predecessor(self, certificate: CertificateName) -> CertificateName | None:
        self.asked += 1
        if self.fault == "silent":
            raise CorrespondenceUnknown("silent")
        if self.fault == "late":
            return None
        if self.fault == "circle":
            return certificate
        earlier = self._registry.predecessor(certificate.issuer_key_hash.hex(), certificate.serial)
        if earlier is None:
            return None
        return CertificateName(
            issuer_key_hash=bytes.fromhex(earlier["issuer_key_hash"]), serial=int(earlier["serial"], 16)
        )

    def correspond(self, one: CertificateName, other: CertificateName) -> bool:
        raise CorrespondenceUnknown("not asked for in a login")


@pytest.fixture
def mapped(make_house: Callable[..., House]) -> tuple[House, Mapping]:
    """A house that asks the mapping."""
    house = make_house()
    mapping = Mapping(house)
    source: CorrespondenceSource = mapping
    return make_house(correspondence=source), mapping


def subject(house: House, resident: str) -> str:
    token = house.token(house.login(house.browser(), resident)["code"]).get_json()["id_token"]
    return str(jwt.decode(token, options={"verify_signature": False})["sub"])


def refusal(house: House, resident: str) -> str:
    page = house.answer(house.login_page(house.browser()), resident)
    assert page.status_code == 503
    return Page(page.text).texts["error-code"]


def rows(house: House, statement: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(house.database)) as connection:
        return connection.execute(statement).fetchall()


def before_the_renewal(house: House) -> str:
    """koshin logs in the day before yesterday, when the old certificate was in force."""
    house.clock.step(days=-2)
    old = subject(house, "koshinold")
    house.clock.step(days=2)
    return old


def test_koshin_keeps_the_subject_through_the_renewal(mapped: tuple[House, Mapping]) -> None:
    house, mapping = mapped
    old = before_the_renewal(house)
    assert subject(house, "koshin") == old
    assert rows(house, "SELECT count(*) FROM accounts") == [(1,)]
    renewed = rows(house, "SELECT event FROM audit WHERE event = 'certificate_renewed'")
    assert renewed == [("certificate_renewed",)]
    asked = mapping.asked
    assert subject(house, "koshin") == old
    assert mapping.asked == asked, "a certificate that is known needs no word of J-LIS"


def test_the_old_certificate_does_not_log_in_again(mapped: tuple[House, Mapping]) -> None:
    house, _ = mapped
    before_the_renewal(house)
    subject(house, "koshin")
    assert house.answer(house.login_page(house.browser()), "koshinold").status_code == 403


def test_without_access_to_the_mapping_a_renewed_certificate_begins_a_new_account(house: House) -> None:
    old = before_the_renewal(house)
    assert subject(house, "koshin") != old
    assert rows(house, "SELECT count(*) FROM accounts") == [(2,)]


def test_two_accounts_stay_two_when_the_mapping_comes_later(mapped: tuple[House, Mapping]) -> None:
    house, mapping = mapped
    old = before_the_renewal(house)
    mapping.fault = "late"
    alone = subject(house, "koshin")
    mapping.fault = None
    assert subject(house, "koshin") == alone != old
    assert rows(house, "SELECT count(*) FROM accounts") == [(2,)]


@pytest.mark.parametrize("fault", ["silent", "circle"])
def test_an_unclear_mapping_stops_a_first_login_and_begins_nothing(mapped: tuple[House, Mapping], fault: str) -> None:
    house, mapping = mapped
    old = before_the_renewal(house)
    mapping.fault = fault
    assert refusal(house, "koshin") == "AUTH-030"
    assert rows(house, "SELECT count(*) FROM accounts") == [(1,)]
    mapping.fault = None
    assert subject(house, "koshin") == old


def test_a_silent_mapping_stops_nobody_who_is_known(mapped: tuple[House, Mapping]) -> None:
    house, mapping = mapped
    known = subject(house, "hanako")
    mapping.fault = "silent"
    assert subject(house, "hanako") == known


def test_a_renewed_certificate_whose_old_one_was_never_here_begins_an_account(mapped: tuple[House, Mapping]) -> None:
    house, _ = mapped
    assert subject(house, "koshin")
    assert rows(house, "SELECT count(*) FROM accounts") == [(1,)]
    assert rows(house, "SELECT renews FROM credentials") == [(None,)]


def test_the_account_of_a_line_that_skipped_a_certificate_is_found(mapped: tuple[House, Mapping]) -> None:
    house, _ = mapped
    old = before_the_renewal(house)
    registry = Registry(house.world.root)
    card = house.world.card("koshin")
    kept, books = card.read_bytes(), house.world.ledger.read_bytes()
    try:
        registry.enter("renewal", "koshin", now=house.clock() - timedelta(seconds=1))
        assert subject(house, "koshin") == old
    finally:  # the world is shared by all tests
        card.write_bytes(kept)
        house.world.ledger.write_bytes(books)


def test_what_stood_still_at_a_renewal_goes_on_once_the_mapping_proves_it(mapped: tuple[House, Mapping]) -> None:
    house, _ = mapped
    program = offline(house)
    house.clock.step(days=-2)
    told = house.login(
        house.browser(), "koshinold", client_id="offline", scope="openid offline_access", prompt="consent"
    )
    first = program.token(told["code"]).get_json()
    assert refresh(program, first["refresh_token"]).status_code == 200
    house.clock.step(days=2)
    paused = refresh(program, first["refresh_token"])
    assert (paused.status_code, paused.get_json()["error"]) == (400, "invalid_grant")
    house.login(house.browser(), "koshin")  # at another client: the account is the same
    resumed = refresh(program, first["refresh_token"])
    assert resumed.status_code == 200
    old, new = (
        jwt.decode(each["id_token"], options={"verify_signature": False}) for each in (first, resumed.get_json())
    )
    assert (new["sub"], new["auth_time"], new["acr"]) == (old["sub"], old["auth_time"], old["acr"])
    events = [row[0] for row in rows(house, "SELECT event FROM audit WHERE event LIKE 'grant_%' ORDER BY id")]
    assert events == ["grant_paused", "grant_resumed"]
