"""What a client's JWK Set must be, and when a published one is asked for again."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from broker.errors import InvalidClientMetadata, InvalidToken
from broker.jose import public_jwk
from broker.oidc.client_keys import (
    AGAIN,
    FRESH,
    MAX_CLIENT_KEYS,
    PAUSE,
    STALE,
    Published,
    check_jwks,
    must_fetch,
    read_published,
    still_good,
)

NOW = datetime(2026, 11, 21, tzinfo=UTC)
SECOND = timedelta(seconds=1)
EC = ec.generate_private_key(ec.SECP256R1())
PUBLIC: dict[str, Any] = {**public_jwk(EC), "kid": "one", "use": "sig", "alg": "ES256", "key_ops": ["verify"]}
PRIVATE = {**PUBLIC, "d": "AQ"}
WEAK = public_jwk(rsa.generate_private_key(65537, 1024))  # noqa: S505 -- weak on purpose
OFF_CURVE = {**PUBLIC, "y": PUBLIC["x"]}
FOREIGN = {"kty": "OKP", "crv": "X448", "x": "AA", "kid": "x448"}
HELD = Published(jwks={"keys": [PUBLIC]}, fetched_at=NOW)


def test_public_keys_of_every_served_kind_may_be_registered() -> None:
    keys = [PUBLIC, public_jwk(rsa.generate_private_key(65537, 2048)), public_jwk(ed25519.Ed25519PrivateKey.generate())]
    check_jwks({"keys": keys})
    assert read_published(json.dumps({"keys": keys}).encode()) == {"keys": keys}


@pytest.mark.parametrize(
    "keys",
    [
        None,
        {},
        [],
        ["text"],
        [PRIVATE],
        [{"kty": "oct", "k": "AAAA"}],
        [WEAK],
        [OFF_CURVE],
        [FOREIGN],
        [{"kty": ["EC"]}],
        [PUBLIC, PUBLIC],
        [{**PUBLIC, "kid": 1}],
        [{**PUBLIC, "use": "both"}],
        [{**PUBLIC, "use": ["sig"]}],
        [{**PUBLIC, "alg": {}}],
        [{**PUBLIC, "key_ops": "verify"}],
        [{**PUBLIC, "key_ops": [1]}],
        [{**PUBLIC, "x5c": ["A" * 40_000]}],
        [{**PUBLIC, "kid": str(each)} for each in range(MAX_CLIENT_KEYS + 1)],
    ],
)
def test_what_is_no_set_of_public_keys_within_limits_is_not_registered(keys: Any) -> None:
    with pytest.raises(InvalidClientMetadata):
        check_jwks({"keys": keys})


def test_published_keys_of_unknown_or_weak_kinds_are_left_out() -> None:
    document = json.dumps({"keys": [WEAK, FOREIGN, OFF_CURVE, {**PUBLIC, "use": 7}, PUBLIC]}).encode()
    assert read_published(document) == {"keys": [PUBLIC]}


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[]",
        b"{}",
        b'{"keys":{}}',
        b'{"keys":[1]}',
        b'{"keys":[],"keys":[]}',
        json.dumps({"keys": [PUBLIC, PRIVATE]}).encode(),
        json.dumps({"keys": [PUBLIC] * (MAX_CLIENT_KEYS + 1)}).encode(),
        json.dumps({"keys": [PUBLIC], "pad": "x" * 70_000}).encode(),
    ],
)
def test_a_document_that_is_no_set_of_public_keys_is_refused(document: bytes) -> None:
    with pytest.raises(InvalidToken):
        read_published(document)


@pytest.mark.parametrize(
    ("held", "kid", "tried_at", "now", "asked"),
    [
        (None, None, None, NOW, True),
        (None, None, NOW, NOW + PAUSE - SECOND, False),
        (None, None, NOW, NOW + PAUSE, True),
        (HELD, "one", NOW, NOW + FRESH - SECOND, False),
        (HELD, None, NOW, NOW + FRESH - SECOND, False),
        (HELD, "one", NOW, NOW + FRESH, True),
        (HELD, "two", NOW, NOW + AGAIN - SECOND, False),
        (HELD, "two", NOW, NOW + AGAIN, True),
        (HELD, "one", NOW + FRESH, NOW + FRESH + AGAIN - SECOND, False),
        (HELD, "one", NOW + FRESH, NOW + FRESH + AGAIN, True),
        (HELD, "one", NOW, NOW - SECOND, True),
    ],
    ids=lambda value: str(value)[:30],
)
def test_when_the_address_is_asked(
    held: Published | None, kid: str | None, tried_at: datetime | None, now: datetime, asked: bool
) -> None:
    assert must_fetch(held, kid=kid, tried_at=tried_at, now=now) is asked


def test_an_old_set_serves_for_an_hour_and_no_longer() -> None:
    assert still_good(HELD, now=NOW + STALE - SECOND) == HELD.jwks
    for held in (None, HELD):
        with pytest.raises(InvalidToken):
            still_good(held, now=NOW + STALE)
