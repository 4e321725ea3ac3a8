"""Joint transactions on every engine: each step is taken by one, in its turn, for its own client."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from broker.flows.joint_ports import JointTransaction
from broker.flows.ports import Transaction
from broker.ids import AccountID, ClientID, GrantID, JointID, Subject
from broker.oidc.joint import State
from broker.storage.store import SQLStore
from tests.contracts import records
from tests.contracts.records import NOW
from tests.contracts.test_races import CALLERS, race

LATER = NOW + timedelta(minutes=10)


@pytest.fixture
def ordered(store: SQLStore) -> JointTransaction:
    client = records.client()
    joint = JointTransaction(
        joint_id=JointID(records.name()),
        client_id=client.client_id,
        state=State.ORDERED,
        order_sealed=b"\x01order",
        created_at=NOW,
        expires_at=LATER,
    )
    with store.transaction() as tx:
        tx.clients.add(client, now=NOW)
        tx.joints.open(joint)
    return joint


def begin(tx: Transaction, joint: JointTransaction, **changes: Any) -> bool:
    values: dict[str, Any] = {
        "account": AccountID("doctor"),
        "subject": Subject("doctor-here"),
        "grant_id": GrantID(records.name()),
        "licence_sealed": b"\x01licence",
        "now": NOW,
        "expires_at": LATER + timedelta(minutes=1),
    }
    name, client = changes.pop("joint_id", joint.joint_id), changes.pop("client_id", joint.client_id)
    return tx.joints.begin(name, client, **(values | changes))


def complete(tx: Transaction, joint: JointTransaction, **changes: Any) -> bool:
    values: dict[str, Any] = {
        "account": AccountID("patient"),
        "subject": Subject("patient-here"),
        "grant_id": GrantID(records.name()),
        "now": NOW,
    }
    name, client = changes.pop("joint_id", joint.joint_id), changes.pop("client_id", joint.client_id)
    return tx.joints.complete(name, client, **(values | changes))


def test_it_goes_from_order_to_doctor_to_patient_and_is_found_by_both_grants(
    store: SQLStore, ordered: JointTransaction
) -> None:
    doctor, patient = GrantID(records.name()), GrantID(records.name())
    with store.transaction() as tx:
        assert tx.joints.get(ordered.joint_id) == ordered
        assert tx.joints.get(JointID("\x00")) is None
        assert tx.joints.of_grant(doctor) is None
        assert not complete(tx, ordered)
        assert begin(tx, ordered, grant_id=doctor)
        assert not begin(tx, ordered)
        assert complete(tx, ordered, grant_id=patient)
        assert not complete(tx, ordered)
        assert not tx.joints.end(ordered.joint_id, ordered.client_id)
        found = tx.joints.get(ordered.joint_id)
        assert found == tx.joints.of_grant(doctor) == tx.joints.of_grant(patient)
        assert found == replace(
            ordered,
            state=State.COMPLETE,
            expires_at=LATER + timedelta(minutes=1),
            professional_account=AccountID("doctor"),
            professional_subject=Subject("doctor-here"),
            professional_grant=doctor,
            licence_sealed=b"\x01licence",
            patient_subject=Subject("patient-here"),
            patient_grant=patient,
            completed_at=NOW,
        )


def test_nobody_joins_late_twice_with_one_account_or_at_another_client(
    store: SQLStore, ordered: JointTransaction
) -> None:
    with store.transaction() as tx:
        assert not begin(tx, ordered, now=LATER)
        assert not begin(tx, ordered, client_id=ClientID("another"))
        assert begin(tx, ordered)
        assert not complete(tx, ordered, account=AccountID("doctor"))
        assert not complete(tx, ordered, now=LATER + timedelta(minutes=1))
        assert not complete(tx, ordered, client_id=ClientID("another"))
        assert not tx.joints.end(ordered.joint_id, ClientID("another"))
        assert tx.joints.end(ordered.joint_id, ordered.client_id)
        assert not tx.joints.end(ordered.joint_id, ordered.client_id)
        assert not complete(tx, ordered)


def test_it_begins_with_nobody_in_it(store: SQLStore, ordered: JointTransaction) -> None:
    with pytest.raises(ValueError, match="nobody"), store.transaction() as tx:
        tx.joints.open(replace(ordered, joint_id=JointID(records.name()), state=State.BEGUN))


def test_of_eight_doctors_and_of_eight_patients_at_once_one_each_is_in_it(
    store: SQLStore, ordered: JointTransaction
) -> None:
    def grant(number: int) -> GrantID:
        return GrantID(f"{number}-{records.name()}")

    for begun in (
        race(store, lambda tx, number: begin(tx, ordered, grant_id=grant(number))),
        race(store, lambda tx, number: complete(tx, ordered, grant_id=grant(number))),
    ):
        assert sorted(begun) == [False] * (CALLERS - 1) + [True]
