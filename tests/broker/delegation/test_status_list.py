"""Status lists against the bytes that the standard prints, and against what is hostile."""

from __future__ import annotations

import hashlib
import zlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from broker.delegation.status_list import (
    MAX_BYTES,
    SIZE,
    TYP,
    Status,
    StatusList,
    claims_of,
    epoch_leaf,
    make_list,
    random_place,
    read_claim,
    read_token,
)
from broker.errors import BrokerError, InvalidToken
from broker.jose import b64url, sign_jws
from broker.keys.algorithms import signer

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
URI = "https://op.example/status/1"
OWN = signer(Ed25519PrivateKey.generate(), "EdDSA")
JWKS: dict[str, Any] = {"keys": [{**OWN.jwk, "kid": OWN.kid, "alg": "EdDSA", "use": "sig"}]}


@pytest.mark.parametrize(
    ("bits", "states", "packed", "printed"),
    [
        (1, [1, 0, 0, 1, 1, 1, 0, 1, 1, 1, 0, 0, 0, 1, 0, 1], "b9a3", "eNrbuRgAAhcBXQ"),
        (2, [1, 2, 0, 3, 0, 1, 0, 1, 1, 2, 3, 3], "c944f9", "eNo76fITAAPfAgc"),
    ],
)
def test_the_lists_are_those_that_the_standard_prints(bits: int, states: list[int], packed: str, printed: str) -> None:
    made = make_list(dict(enumerate(states)), size=len(states), bits=bits)
    assert made.packed.hex() == packed
    assert made.to_claim() == {"bits": bits, "lst": printed}
    assert read_claim({"bits": bits, "lst": printed}) == made
    assert [made.at(index) for index in range(len(states))] == states


@given(st.sampled_from([1, 2, 4, 8]), st.data())
def test_a_list_gives_back_its_states(bits: int, data: st.DataObject) -> None:
    states = data.draw(st.dictionaries(st.integers(0, 255), st.integers(0, 2**bits - 1)))
    made = read_claim(make_list(states, size=256, bits=bits).to_claim())
    assert len(made) == 256
    assert all(made.at(index) == states.get(index, 0) for index in range(256))
    for index in (-1, 256):
        with pytest.raises(InvalidToken):
            made.at(index)


def test_a_list_hides_one_mandate_among_131072() -> None:
    made = make_list({77: Status.INVALID, 78: Status.SUSPENDED})
    assert len(made) == SIZE == 131_072
    assert [made.at(index) for index in (76, 77, 78)] == [Status.VALID, Status.INVALID, Status.SUSPENDED]
    assert len(made.to_claim()["lst"]) < 200
    for states in ({SIZE: 1}, {-1: 1}, {0: 4}):
        with pytest.raises(ValueError, match="outside"):
            make_list(states)


def token(**changes: Any) -> str:
    made = make_list({5: Status.INVALID})
    claims = claims_of(made, uri=URI, now=NOW, ttl=timedelta(minutes=10), lifetime=timedelta(hours=24))
    typ = changes.pop("typ", TYP)
    return sign_jws({**claims, **changes}, signer=OWN, typ=typ)


def test_a_signed_list_is_read_and_its_age_is_the_verifiers_to_judge() -> None:
    read = read_token(token(), jwks=JWKS, uri=URI)
    assert (read.issued_at, read.expires_at, read.list.at(5)) == (NOW, NOW + timedelta(hours=24), Status.INVALID)
    day = timedelta(hours=24)
    for later, max_age, fresh in (
        (timedelta(0), day, True),
        (timedelta(hours=23), day, True),
        (timedelta(hours=23), timedelta(hours=1), False),
        (day, 2 * day, False),
        (timedelta(seconds=-1), day, False),
    ):
        assert read.is_fresh(now=NOW + later, max_age=max_age) is fresh


def test_another_list_type_or_key_is_refused() -> None:
    other = signer(Ed25519PrivateKey.generate(), "EdDSA")
    strangers = {"keys": [{**other.jwk, "kid": OWN.kid, "alg": "EdDSA", "use": "sig"}]}
    for bad, jwks, uri in (
        (token(), strangers, URI),
        (token(), JWKS, URI + "2"),
        (token(typ="JWT"), JWKS, URI),
        (token(status_list={}), JWKS, URI),
        (token(iat=None), JWKS, URI),
        (token()[:-2], JWKS, URI),
    ):
        with pytest.raises(InvalidToken):
            read_token(bad, jwks=jwks, uri=uri)


def test_bombs_and_broken_lists_are_refused_within_bounds() -> None:
    bomb = b64url(zlib.compress(bytes(MAX_BYTES * 50), 9))
    good = zlib.compress(b"\x01" * 8)
    for lst in (bomb, b64url(good[:-1]), b64url(good + b"x"), b64url(b"no"), "", "!", b64url(zlib.compress(b""))):
        with pytest.raises(InvalidToken):
            read_claim({"bits": 1, "lst": lst})
    for claim in (None, [], {}, {"bits": 3, "lst": b64url(good)}, {"bits": True, "lst": b64url(good)}, {"bits": 1}):
        with pytest.raises(InvalidToken):
            read_claim(claim)


@given(st.one_of(st.none(), st.text(), st.dictionaries(st.sampled_from(["bits", "lst"]), st.integers() | st.text())))
def test_hostile_claims_raise_nothing_but_our_errors(claim: object) -> None:
    try:
        assert isinstance(read_claim(claim), StatusList)
    except BrokerError:
        return


def test_places_are_drawn_from_the_whole_list() -> None:
    assert random_place(lambda count: b"\xff" * count) == SIZE - 1
    assert random_place(bytes) == 0
    with pytest.raises(ValueError, match="power of two"):
        random_place(bytes, size=1000)


def test_an_epoch_is_logged_by_the_hash_of_its_list() -> None:
    signed = token().encode()
    leaf = epoch_leaf(signed, at=NOW, prev=41)
    assert leaf.commit == hashlib.sha256(signed).digest()
    assert leaf.to_bytes().startswith(b'{"v":1,"event":"status-epoch"')
    assert leaf.to_bytes().endswith(b'"prev":41,"t":1795251600}')
