"""Whoever reads a copy of the database finds no serial, code, cookie or assertion in it."""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, select

from broker.accounts.credential import CredentialKey
from broker.flows.ports import KeyUse
from broker.jose import sign_jws
from broker.keys.live import LiveKeys, open_keys
from broker.keys.rotation import create
from broker.oidc.client_authentication import Assertion
from broker.oidc.tokens import access_token_claims
from broker.storage.schema import metadata
from broker.storage.store import SQLStore
from tests.contracts import records
from tests.contracts.records import NOW


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> LiveKeys:
    folder = tmp_path_factory.mktemp("keys")
    create(folder / "keys", "word", issuer="https://op.example", now=NOW, agent_root_out=folder / "root.json")
    return open_keys(folder / "keys", "word")


def everything(engine: Engine) -> Iterator[bytes]:
    """Each stored value as bytes, and for SQLite the very files, where deleted rows and old pages are too."""
    with engine.connect() as connection:
        for table in metadata.sorted_tables:
            for row in connection.execute(select(table)):
                for value in row:
                    yield value if isinstance(value, bytes) else str(value).encode()
    if engine.dialect.name == "sqlite":
        for file in Path(engine.url.database or "").parent.iterdir():
            yield file.read_bytes()


def spellings(secret: bytes) -> list[bytes]:
    return [secret, secret.hex().encode(), base64.b64encode(secret).rstrip(b"="), base64.urlsafe_b64encode(secret)[:-2]]


def test_a_copy_of_the_database_holds_no_serial_code_cookie_or_token(
    own_store: SQLStore, own_engine: Engine, keys: LiveKeys
) -> None:
    login = records.log_in(own_store)
    serial = int.from_bytes(b"\x01" + secrets.token_bytes(15), "big")
    code, cookie, return_code, jti = (secrets.token_urlsafe(24) for _ in range(4))
    key = CredentialKey(issuer_key_hash=records.digest(), serial_fingerprint=b"")
    key = replace(key, serial_fingerprint=keys.serial_fingerprint(key.issuer_key_hash, serial))
    sealed = keys.seal(serial.to_bytes(20, "big"), context=key.serial_fingerprint)
    interaction = records.interaction(login.client.client_id, browser=hashlib.sha256(cookie.encode()).digest())
    transaction = records.card_transaction(interaction)
    issued = replace(login.code(), digest=hashlib.sha256(code.encode()).digest())
    token = login.token(issued.grant.grant_id)
    access_token = sign_jws(
        access_token_claims(token, issuer="https://op.example"), signer=keys.signer(KeyUse.ACCESS_TOKEN), typ="at+jwt"
    )
    with own_store.transaction() as tx:
        tx.interactions.open(interaction)
        tx.cards.begin(transaction)
        tx.cards.answer(
            transaction.transaction_id,
            replace(records.card_answer(key), serial_sealed=sealed),
            return_digest=hashlib.sha256(return_code.encode()).digest(),
        )
        tx.accounts.enrol(replace(records.credential(key), serial_sealed=sealed))
        tx.codes.issue(issued)
        tx.assertions.use(Assertion(client_id=login.client.client_id, jti=jti, expires_at=NOW + timedelta(minutes=1)))
        tx.tokens.issue(token)
    short = serial.to_bytes(16, "big")
    forbidden = [
        *spellings(short),
        str(serial).encode(),
        *(word.encode() for word in (code, cookie, return_code, jti, access_token)),
    ]
    values = list(everything(own_engine))
    assert any(issued.digest in value for value in values), "the search must be able to find something"
    assert not [word for word in forbidden if any(word in value for value in values)]
    assert keys.unseal(sealed, context=key.serial_fingerprint) == serial.to_bytes(20, "big")
