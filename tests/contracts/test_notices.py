"""What a platform operator told: whose it is, how far it was taken, and which word about a certificate stays."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from broker.flows.notice import Registration
from broker.storage.store import SQLStore
from tests.contracts import records
from tests.contracts.records import MINUTE, NOW


def registration() -> Registration:
    return Registration(name=records.name(), key=records.credential().key, not_after=NOW + timedelta(days=900))


def test_a_registration_is_found_by_its_name_at_its_own_operator(store: SQLStore) -> None:
    made, address = registration(), f"https://{records.name()}.example"
    with store.transaction() as tx:
        assert not tx.notices.registered(address, made.key)
        tx.notices.register(address, made)
    with store.transaction() as tx:
        assert tx.notices.registered(address, made.key)
        assert tx.notices.find(address, made.name) == made
        assert tx.notices.find("https://other.example", made.name) is None
        assert not tx.notices.registered("https://other.example", made.key)


def test_the_first_registration_of_a_name_and_of_a_certificate_stays(store: SQLStore) -> None:
    made, address = registration(), f"https://{records.name()}.example"
    same_name, same_key = replace(registration(), name=made.name), replace(registration(), key=made.key)
    with store.transaction() as tx:
        for each in (made, same_name, same_key):
            tx.notices.register(address, each)
    with store.transaction() as tx:
        assert tx.notices.find(address, made.name) == made
        assert tx.notices.find(address, same_key.name) is None
        assert not tx.notices.registered(address, same_name.key)


def test_of_two_that_took_the_same_notices_one_may_act_on_them(store: SQLStore) -> None:
    address = f"https://{records.name()}.example"
    with store.transaction() as tx:
        assert tx.notices.taken(address) == 0
        assert tx.notices.take(address, after=0, last=5)
        assert not tx.notices.take(address, after=0, last=5)
        assert tx.notices.take(address, after=5, last=6)
        assert not tx.notices.take(address, after=5, last=9)
    with store.transaction() as tx:
        assert tx.notices.taken(address) == 6


@pytest.mark.parametrize(
    ("first", "second", "kept"),
    [
        ("superseded", "keyCompromise", "keyCompromise"),
        ("keyCompromise", "superseded", "keyCompromise"),
        ("superseded", "superseded", "superseded"),
        ("certificateHold", "keyCompromise", "certificateHold"),
    ],
)
def test_why_a_certificate_was_revoked_is_kept_and_a_renewal_is_the_least_of_reasons(
    store: SQLStore, first: str, second: str, kept: str
) -> None:
    key = records.credential().key
    with store.transaction() as tx:
        assert tx.revoked.reason(key) is None
        for reason, now in ((first, NOW), (second, NOW + MINUTE)):
            tx.revoked.remember(key, reason=reason, not_after=NOW + timedelta(days=900), now=now)
    with store.transaction() as tx:
        assert (tx.revoked.reason(key), tx.revoked.since(key)) == (kept, NOW)
