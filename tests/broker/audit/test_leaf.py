"""What the register says: one spelling, nothing of a person, and a commitment that only its salt opens."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.audit.leaf import Happening, Leaf, commitment, read_leaf
from broker.errors import BrokerError, CheckpointInvalid

AT = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)


def test_a_leaf_is_the_json_of_the_specification() -> None:
    leaf = Leaf(event=Happening.ISSUE, commit=bytes(range(32)), at=AT)
    assert leaf.to_bytes() == (
        b'{"v":1,"event":"issue","commit":"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",'
        b'"prev":null,"t":1795251600}'
    )
    assert [each.value for each in Happening] == [
        "issue",
        "accept",
        "revoke",
        "suspend",
        "resume",
        "supersede",
        "status-epoch",
    ]


@given(
    st.sampled_from(Happening),
    st.binary(min_size=32, max_size=32),
    st.one_of(st.none(), st.integers(0, 2**63 - 1)),
    st.datetimes(datetime(1970, 1, 2), datetime(2999, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 -- the zone is given beside
)
def test_a_leaf_comes_back_as_it_was(event: Happening, commit: bytes, prev: int | None, at: datetime) -> None:
    leaf = Leaf(event=event, commit=commit, prev=prev, at=at.replace(microsecond=0))
    assert read_leaf(leaf.to_bytes()) == leaf
    assert len(leaf.to_bytes()) < 200


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'"v":1', b'"v":2'),
        (b'"v":1', b'"v": 1'),
        (b"issue", b"grant"),
        (b"issue", b"ISSUE"),
        (b'"prev":null', b'"prev":-1'),
        (b'"prev":null', b'"prev":00'),
        (b'"prev":null', b'"prev":9223372036854775808'),
        (b'"prev":null,', b""),
        (b'"t":1795251600', b'"t":0'),
        (b'"t":1795251600', b'"t":999999999999'),
        (b'"t":1795251600', b'"t":1795251600.0'),
        (b"}", b',"name":"x"}'),
        (b"}", b"}\n"),
        (b"aa", b"AA"),
    ],
)
def test_a_leaf_has_one_spelling(before: bytes, after: bytes) -> None:
    entry = Leaf(event=Happening.ISSUE, commit=b"\xaa" * 32, at=AT).to_bytes()
    assert before in entry
    with pytest.raises(CheckpointInvalid):
        read_leaf(entry.replace(before, after, 1))


@given(st.binary(max_size=200))
def test_what_is_no_leaf_raises_nothing_but_our_errors(data: bytes) -> None:
    with pytest.raises(BrokerError):
        read_leaf(data)


@pytest.mark.parametrize(
    "fault", [{"commit": b"x"}, {"prev": -1}, {"prev": 2**63}, {"at": datetime(1969, 1, 1, tzinfo=UTC)}]
)
def test_a_leaf_cannot_be_built_wrong(fault: dict[str, Any]) -> None:
    good: dict[str, Any] = {"event": Happening.REVOKE, "commit": b"\x00" * 32, "at": AT}
    with pytest.raises(CheckpointInvalid):
        Leaf(**{**good, **fault})


def test_a_commitment_binds_every_document_and_its_place() -> None:
    salt, record, pdf = b"s" * 32, b"record", b"pdf"
    hashes = [hashlib.sha256(each).digest() for each in (record, pdf)]
    assert commitment(salt, record, pdf) == hashlib.sha256(salt + hashes[0] + hashes[1]).digest()
    others = [commitment(salt, pdf, record), commitment(salt, record + pdf), commitment(b"t" * 32, record, pdf)]
    assert len({commitment(salt, record, pdf), *others}) == 4
    for salt_, documents in ((b"short", [record]), (salt, [])):
        with pytest.raises(ValueError, match="salt of 32"):
            commitment(salt_, *documents)
