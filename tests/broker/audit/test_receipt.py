"""What a receipt says, and that nothing of it can be changed afterwards, however late it is looked at."""

from __future__ import annotations

import hashlib
import json
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.audit.receipt import (
    FIRST,
    LAST,
    CardEvidence,
    Decision,
    Happened,
    Kind,
    SignedDocument,
    bound,
    facts,
    is_id,
    new_id,
    sign,
    verify,
)
from broker.errors import BrokerError, ReceiptForged, ReceiptKeyUnknown
from broker.ids import ClientID, InteractionID, ReceiptID, Subject, TransactionID
from broker.jose import b64url, b64url_decode, sign_jws
from broker.keys.algorithms import SoftwareSigner, generate, signer

AT = datetime(2026, 11, 21, 1, 2, 3, 456_789, tzinfo=UTC)
KEY, OTHER = (signer(generate("ES256"), "ES256") for _ in range(2))
CONTRACT = "口座開設の申込書".encode()


def sha(data: bytes) -> str:
    return b64url(hashlib.sha256(data).digest())


def decision(use: str = "user-authentication", *, hours: int = 2) -> Decision:
    return Decision(
        use=use,
        kind="plastic",
        source="crl",
        this_update=AT - timedelta(hours=hours),
        checked_at=AT - timedelta(seconds=4),
    )


EVIDENCE = CardEvidence(
    kind=Kind.SIGN,
    transaction_id=TransactionID("card-transaction"),
    tag="JPKI-FED-PROOF/1",
    action='{"kind":"sign"}',
    frame=b"the frame",
    decisions=(decision(), decision("digital-signature", hours=5)),
    documents=(
        SignedDocument(
            sha256=hashlib.sha256(CONTRACT).digest(), form="cades", signature=hashlib.sha256(b"cms").digest()
        ),
    ),
)
HAPPENED = Happened(
    receipt_id=new_id(AT, b"0123456789"),
    issuer="https://op.example",
    client_id=ClientID("bank"),
    subject=Subject("pairwise"),
    interaction_id=InteractionID("interaction"),
    at=AT,
    auth_time=AT - timedelta(seconds=3),
    acr="aal3",
    amr=("hwk", "pin"),
    scope=frozenset({"sign", "openid"}),
    evidence=json.loads(EVIDENCE.to_json()),
)


def keys(*held: SoftwareSigner, **members: Any) -> dict[str, Any]:
    listed = [{**key.jwk, "kid": key.kid, "use": "sig", "alg": "ES256", **members} for key in held]
    return {"issuer": "https://op.example", "keys": listed}


def receipt(**changes: Any) -> str:
    """A good receipt, or one of which some claims are others; None leaves one out."""
    told = json.loads(facts(HAPPENED)) | {"iat": int(AT.timestamp())} | changes
    return sign_jws({name: value for name, value in told.items() if value is not None}, signer=KEY, typ="receipt+jwt")


def test_a_receipt_says_all_of_this_and_no_more() -> None:
    token = sign(facts(HAPPENED), signer=KEY, now=AT + timedelta(days=900))
    assert json.loads(b64url_decode(token.partition(".")[0])) == {"alg": "ES256", "kid": KEY.kid, "typ": "receipt+jwt"}
    checked_at, at = int(AT.timestamp()) - 4, int(AT.timestamp())
    assert verify(token, keys=keys(KEY)).claims == {
        "iat": at + 900 * 86_400,
        "iss": "https://op.example",
        "aud": "bank",
        "sub": "pairwise",
        "jti": HAPPENED.receipt_id,
        "txn": "interaction",
        "toe": at,
        "auth_time": at - 3,
        "scope": "openid sign",
        "acr": "aal3",
        "amr": ["hwk", "pin"],
        "kind": "sign",
        "shown": {"action": sha(b'{"kind":"sign"}')},
        "signed": {
            "tag": "JPKI-FED-PROOF/1",
            "transaction": "card-transaction",
            "frame": sha(b"the frame"),
            "documents": [{"sha256": sha(CONTRACT), "form": "cades", "signature": sha(b"cms")}],
        },
        "certificates": [
            {
                "use": use,
                "kind": "plastic",
                "accepted": True,
                "checked_at": checked_at,
                "revocation": {"source": "crl", "this_update": int((AT - timedelta(hours=hours)).timestamp())},
            }
            for use, hours in (("user-authentication", 2), ("digital-signature", 5))
        ],
    }


def test_what_there_is_none_of_is_absent_and_never_null() -> None:
    plain = replace(EVIDENCE, kind=Kind.LOGIN, documents=(), decisions=(replace(decision(), this_update=None),))
    told = json.loads(
        facts(replace(HAPPENED, acr=None, amr=(), scope=frozenset({"openid"}), evidence=json.loads(plain.to_json())))
    )
    assert "null" not in json.dumps(told)
    assert not {"acr", "amr"} & told.keys()
    assert "documents" not in told["signed"]
    assert told["certificates"][0]["revocation"] == {"source": "crl"}


def test_the_facts_are_the_same_octets_every_time() -> None:
    assert facts(HAPPENED) == facts(replace(HAPPENED, scope=frozenset(["openid", "sign"])))


def test_a_receipt_covers_the_document_that_was_signed_and_no_other() -> None:
    read = verify(receipt(), keys=keys(KEY))
    assert read.covers(CONTRACT)
    assert not read.covers(CONTRACT + b"\n")
    assert not verify(receipt(signed={"frame": sha(b"x")}), keys=keys(KEY)).covers(CONTRACT)


# --- tampering -------------------------------------------------------------------------------------------------------


def paths(value: Any, so_far: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, dict):
        return [path for name, inner in value.items() for path in paths(inner, (*so_far, name))]
    if isinstance(value, list):
        return [path for place, inner in enumerate(value) for path in paths(inner, (*so_far, place))]
    return [so_far]


EVERY_VALUE = paths(json.loads(facts(HAPPENED)) | {"iat": 0})


@pytest.mark.parametrize("path", EVERY_VALUE, ids=lambda path: ".".join(map(str, path)))
def test_a_change_of_any_value_is_refused(path: tuple[Any, ...]) -> None:
    head, body, signature = receipt().split(".")
    claims = json.loads(b64url_decode(body))
    at = claims
    for step in path[:-1]:
        at = at[step]
    old = at[path[-1]]
    at[path[-1]] = {str: f"{old}x", int: 1, bool: False}[type(old)]
    altered = b64url(json.dumps(claims, separators=(",", ":"), ensure_ascii=False).encode())
    with pytest.raises(ReceiptForged, match="signature does not hold"):
        verify(f"{head}.{altered}.{signature}", keys=keys(KEY))
    verify(f"{head}.{body}.{signature}", keys=keys(KEY))


@given(place=st.integers(0, 10_000), letter=st.sampled_from("AZaz09-_.="))
def test_a_change_of_any_letter_is_refused(place: int, letter: str) -> None:
    token = GOOD
    place %= len(token)
    altered = token[:place] + letter + token[place + 1 :]
    if altered == token:
        return
    with pytest.raises((ReceiptForged, ReceiptKeyUnknown)):
        verify(altered, keys=keys(KEY))


GOOD = receipt()


@given(st.binary(max_size=200) | st.text(max_size=200))
def test_anything_else_is_no_receipt(token: bytes | str) -> None:
    with pytest.raises(ReceiptForged):
        verify(token, keys=keys(KEY))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    )
)
def test_keys_that_are_none_tell_nothing_and_break_nothing(given_keys: Any) -> None:
    for held in ({"keys": given_keys}, {"keys": [given_keys]}, {"keys": [{"kid": KEY.kid, "kty": given_keys}]}):
        with pytest.raises(BrokerError):
            verify(GOOD, keys=held)


def test_a_key_that_is_not_at_hand_means_that_nothing_can_be_told() -> None:
    for held in (keys(), keys(OTHER), {}, {"keys": "none"}):
        with pytest.raises(ReceiptKeyUnknown):
            verify(receipt(), keys=held)


def test_another_key_under_the_same_name_is_refused() -> None:
    impostor = {"issuer": "https://op.example", "keys": [{**OTHER.jwk, "kid": KEY.kid}]}
    with pytest.raises(ReceiptForged, match="does not hold"):
        verify(receipt(), keys=impostor)


def test_a_token_of_another_kind_by_the_same_key_is_no_receipt() -> None:
    claims = jwt.decode(receipt(), options={"verify_signature": False})
    for typ in ("JWT", "at+jwt", None):
        with pytest.raises(ReceiptForged, match="another type"):
            verify(sign_jws(claims, signer=KEY, typ=typ), keys=keys(KEY))


def test_an_unsigned_token_and_one_without_a_key_name_are_refused() -> None:
    claims = jwt.decode(receipt(), options={"verify_signature": False})
    for token in (
        jwt.encode(claims, "", algorithm="none", headers={"typ": "receipt+jwt", "kid": KEY.kid}),
        jwt.encode(claims, "s" * 32, algorithm="HS256", headers={"typ": "receipt+jwt", "kid": KEY.kid}),
        jwt.encode(claims, KEY.key, algorithm="ES256", headers={"typ": "receipt+jwt"}),  # type: ignore[arg-type]  # an EC key is one of its kinds
    ):
        with pytest.raises(ReceiptForged):
            verify(token, keys=keys(KEY))


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://other.example"},
        {"iss": None},
        {"sub": 7},
        {"iat": None},
        {"toe": int(AT.timestamp()) + 1},
        {"toe": "now"},
        {"shown": None},
        {"shown": {}},
        {"signed": []},
        {"signed": {"frame": "AAAA"}},
        {"signed": {"frame": sha(b""), "documents": [{"sha256": "?"}]}},
        {"signed": {"frame": sha(b""), "documents": ["x"]}},
        {"signed": {"frame": sha(b""), "documents": [{"sha256": sha(b"")}] * 11}},
        {"certificates": None},
        {"kind": ["login"]},
    ],
    ids=str,
)
def test_a_signed_text_that_is_no_receipt_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ReceiptForged):
        verify(receipt(**changes), keys=keys(KEY))


def test_what_a_later_version_adds_does_no_harm() -> None:
    assert verify(receipt(mood="good"), keys=keys(KEY)).claims["mood"] == "good"


# --- time ------------------------------------------------------------------------------------------------------------


def test_a_key_that_signed_before_or_after_its_time_is_not_believed() -> None:
    at = int(AT.timestamp())
    assert verify(receipt(), keys=keys(KEY, nbf=at, exp=at)).kid == KEY.kid
    for period in ({"nbf": at + 1}, {"exp": at - 1}):
        with pytest.raises(ReceiptForged, match="did not sign"):
            verify(receipt(), keys=keys(KEY, **period))


def test_a_receipt_of_long_ago_holds_as_on_the_first_day() -> None:
    """No clock is asked: there is none in the signature of `verify`."""
    old = replace(HAPPENED, at=datetime(2026, 1, 1, tzinfo=UTC), auth_time=datetime(2026, 1, 1, tzinfo=UTC))
    token = sign(facts(old), signer=KEY, now=datetime(2071, 1, 1, tzinfo=UTC))
    assert verify(token, keys=keys(KEY, nbf=1, exp=4_000_000_000)).claims["toe"] == 1_767_225_600


# --- ids -------------------------------------------------------------------------------------------------------------


def test_an_id_is_the_one_of_rfc9562_appendix_a_6() -> None:
    """Time 0x017F22E279B0 ms, rand_a CC3, rand_b 18C4DC0C0C07398F."""
    at = datetime(2022, 2, 22, 19, 22, 22, tzinfo=UTC)
    randomness = bytes.fromhex("0CC318C4DC0C0C07398F")
    assert new_id(at, randomness) == "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"
    assert uuid.UUID(new_id(at, randomness)).variant == uuid.RFC_4122


@given(
    at=st.datetimes(datetime(1970, 1, 2), datetime(9999, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 -- the zone is given beside it
    randomness=st.binary(min_size=10, max_size=10),
)
def test_the_order_of_ids_is_that_of_time(at: datetime, randomness: bytes) -> None:
    made = new_id(at, randomness)
    assert is_id(made)
    milliseconds = at.replace(microsecond=at.microsecond // 1000 * 1000)
    assert bound(None, otherwise=FIRST) < bound(milliseconds, otherwise=FIRST) < made < bound(None, otherwise=LAST)
    assert made < bound(milliseconds + timedelta(milliseconds=1), otherwise=LAST)
    assert made > bound(at, otherwise=FIRST)


@pytest.mark.parametrize(
    "text", ["", "x", "017F22E2-79B0-7CC3-98C4-DC0C0C07398F", "017f22e2-79b0-4cc3-98c4-dc0c0c07398f\n"]
)
def test_no_other_spelling_is_an_id(text: str) -> None:
    assert not is_id(text)
    assert not is_id(ReceiptID(text))
