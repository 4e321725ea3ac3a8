"""`broker client`: what each command does to the store, prints, and ends with."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.asymmetric import ec

from broker.__main__ import main
from broker.jose import b64url, public_jwk
from sandbox.broker import BrokerHouse, set_up
from sandbox.generate import generate

KEY = ec.generate_private_key(ec.SECP256R1())
PUBLIC = {**public_jwk(KEY), "kid": "one", "use": "sig", "alg": "ES256"}
PRIVATE = {**PUBLIC, "d": b64url(KEY.private_numbers().private_value.to_bytes(32, "big")), "key_ops": ["sign"]}
BANK: dict[str, Any] = {
    "client_name": "見本銀行",
    "redirect_uris": ["https://bank.example/cb"],
    "token_endpoint_auth_method": "private_key_jwt",
    "jwks": {"keys": [PUBLIC]},
    "vetted": True,
    "profile": "fapi2",
}
SHOP: dict[str, Any] = {
    "client_name": "見本商店",
    "redirect_uris": ["https://shop.example/cb"],
    "token_endpoint_auth_method": "client_secret_basic",
}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> BrokerHouse:
    root = tmp_path_factory.mktemp("sandbox")
    generate(root, datetime.now(UTC))
    house = BrokerHouse(root=root, issuer="http://localhost:8000", agent_origins=("http://127.0.0.1:24780",), port=8000)
    set_up(house, [])
    return house


def run(house: BrokerHouse, *words: str, given: Any = None) -> Result:
    described = None if given is None else json.dumps(given)
    return CliRunner().invoke(main, ["client", *words], env=house.environment(), input=described)


def told(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def rows(house: BrokerHouse, statement: str, *values: object) -> list[tuple[Any, ...]]:
    path = Path(house.environment()["BROKER_DATABASE_URL"].removeprefix("sqlite:///"))
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(statement, values).fetchall()


def events(house: BrokerHouse, client_id: str) -> list[str]:
    return [event for (event,) in rows(house, "SELECT event FROM audit WHERE client_id = ? ORDER BY id", client_id)]


def test_a_client_is_added_shown_changed_listed_and_removed(house: BrokerHouse) -> None:
    assert told(run(house, "add", "--file", "-", "--json", given=BANK | {"client_id": "bank"})) == {"client_id": "bank"}
    shown = told(run(house, "show", "bank", "--json"))
    assert {name: shown[name] for name in BANK} == BANK
    change = {"contacts": ["ops@bank.example"], "client_name": "さくら銀行"}
    assert run(house, "update", "bank", "--file", "-", "--not-vetted", given=change).output == "changed bank\n"
    changed = told(run(house, "show", "bank", "--json"))
    assert changed == shown | change | {"vetted": False}
    assert run(house, "update", "bank", "--file", "-", given={"contacts": None}).exit_code == 0
    assert "contacts" not in told(run(house, "show", "bank", "--json"))
    listed = told(run(house, "list", "--json"))
    assert listed == [{"client_id": "bank", "client_name": "さくら銀行", "vetted": False, "profile": "fapi2"}]
    assert run(house, "remove", "bank", "--yes").output == "removed bank\n"
    assert told(run(house, "list", "--json")) == []
    assert events(house, "bank") == ["client_added", "client_changed", "client_changed", "client_removed"]
    taken = run(house, "add", "--file", "-", given=BANK | {"client_id": "bank"})
    assert (taken.exit_code, taken.output) == (1, "broker: client_id bank is taken\n")


def test_shown_without_json_each_line_is_a_member(house: BrokerHouse) -> None:
    run(house, "add", "--file", "-", given=BANK | {"client_id": "lines"})
    lines = dict(line.split("\t", 1) for line in run(house, "show", "lines").output.splitlines())
    assert lines["client_name"] == "見本銀行"
    assert json.loads(lines["redirect_uris"]) == ["https://bank.example/cb"]


def test_a_secret_is_made_here_shown_once_and_kept_as_a_digest(house: BrokerHouse) -> None:
    def digest() -> bytes:
        ((held,),) = rows(house, "SELECT secret_digest FROM clients WHERE client_id = 'shop'")
        return bytes(held)

    secret = told(run(house, "add", "--file", "-", "--json", given=SHOP | {"client_id": "shop"}))["client_secret"]
    assert len(secret) >= 43
    assert digest() == hashlib.sha256(secret.encode()).digest()
    assert run(house, "update", "shop", "--vetted").output == "changed shop\n"
    assert digest() == hashlib.sha256(secret.encode()).digest()
    fresh = told(run(house, "update", "shop", "--new-secret", "--json"))["client_secret"]
    assert digest() == hashlib.sha256(fresh.encode()).digest() != hashlib.sha256(secret.encode()).digest()
    keyed = {"token_endpoint_auth_method": "private_key_jwt", "jwks": {"keys": [PUBLIC]}}
    assert told(run(house, "update", "shop", "--file", "-", "--json", given=keyed)) == {"client_id": "shop"}
    assert rows(house, "SELECT secret_digest FROM clients WHERE client_id = 'shop'") == [(None,)]
    assert run(house, "update", "shop", "--new-secret").exit_code == 1
    back = {"token_endpoint_auth_method": "client_secret_post", "jwks": None}
    assert "client_secret" in told(run(house, "update", "shop", "--file", "-", "--json", given=back))


@pytest.mark.parametrize(
    ("words", "given", "status"),
    [
        (("show", "nobody"), None, 1),
        (("update", "nobody", "--vetted"), None, 1),
        (("remove", "nobody", "--yes"), None, 1),
        (("update", "nobody"), None, 2),
        (("add", "--file", "-"), [], 1),
        (("add", "--file", "-"), BANK, 3),
        (("add", "--file", "-"), BANK | {"client_id": "x", "frontend": 1}, 3),
        (("add", "--file", "-"), BANK | {"client_id": "x", "profile": "loose"}, 3),
        (("add", "--file", "-"), BANK | {"client_id": "x", "profile": ["oidc"]}, 3),
        (("add", "--file", "-"), BANK | {"client_id": "x", "vetted": 1}, 3),
        (("add", "--file", "-"), BANK | {"client_id": "x", "jwks": {"keys": [PRIVATE]}}, 1),
        (("add", "--file", "-"), BANK | {"client_id": "x", "redirect_uris": ["http://x.example"]}, 1),
        (("add", "--file", "-"), BANK | {"client_id": "x", "sector_identifier_uri": "http://x.example"}, 1),
        (("add", "--file", "/nowhere"), None, 2),
        (("add",), None, 2),
        (("invite", "--uses", "0"), None, 2),
        (("invite", "--days", "366"), None, 2),
        (("approve-sector", "http://x.example/"), None, 1),
        (("load", "-"), {}, 3),
        (("load", "-"), {"clients": {}}, 3),
        (("load", "-"), {"clients": [1]}, 3),
        (("load", "-"), {"client": []}, 3),
        (("load", "-"), {"registration": [], "clients": [BANK | {"client_id": "x"}]}, 3),
        (("load", "-"), {"clients": [BANK | {"client_id": "x"}] * 2}, 3),
        (("load", "-"), {"clients": [SHOP | {"client_id": "x", "client_secret": "short"}]}, 3),
        (("load", "-"), {"clients": [BANK | {"client_id": "x", "jwks": {"keys": [{"kty": "oct", "k": "AA"}]}}]}, 3),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_refused_ends_with_its_status_and_changes_nothing(
    house: BrokerHouse, words: tuple[str, ...], given: Any, status: int
) -> None:
    before = rows(house, "SELECT count(*) FROM audit")
    refused = run(house, *words, given=given)
    assert refused.exit_code == status, refused.output
    assert rows(house, "SELECT count(*) FROM audit") == before


def test_a_removal_asks_first(house: BrokerHouse) -> None:
    run(house, "add", "--file", "-", given=BANK | {"client_id": "asked"})
    refused = CliRunner().invoke(main, ["client", "remove", "asked"], env=house.environment(), input="n\n")
    assert refused.exit_code == 1
    assert told(run(house, "show", "asked", "--json"))["client_name"] == "見本銀行"
    removed = CliRunner().invoke(main, ["client", "remove", "asked"], env=house.environment(), input="y\n")
    assert removed.exit_code == 0


def test_an_invitation_is_printed_once_and_kept_as_a_digest(house: BrokerHouse) -> None:
    made = told(run(house, "invite", "--profile", "oidc", "--uses", "3", "--days", "2", "--json"))
    held = hashlib.sha256(made["initial_access_token"].encode()).digest()
    assert made["invitation"] == held[:8].hex()
    assert rows(house, "SELECT profile, uses_left, vetted FROM initial_access_tokens WHERE digest = ?", held) == [
        ("oidc", 3, 0)
    ]
    assert rows(house, "SELECT detail FROM audit WHERE reference = ?", made["invitation"])
    plain = run(house, "invite").output.strip()
    digest = hashlib.sha256(plain.encode()).digest()
    assert rows(house, "SELECT profile, uses_left FROM initial_access_tokens WHERE digest = ?", digest) == [
        ("fapi2", 1)
    ]


def test_a_sector_is_approved_once(house: BrokerHouse) -> None:
    uri = "https://group.example/redirect_uris.json"
    assert run(house, "approve-sector", uri).output == f"approved {uri}\n"
    again = told(run(house, "approve-sector", uri, "--json"))
    assert rows(house, "SELECT uri, sector FROM sectors") == [(uri, again["sector"])]


def test_the_clients_of_a_test_plan_are_loaded_with_the_public_halves_of_their_keys(house: BrokerHouse) -> None:
    plan = {
        "alias": "jpki",
        "server": {"discoveryUrl": "https://op.example/.well-known/openid-configuration"},
        "registration": {
            "profile": "fapi2",
            "redirect_uris": ["https://suite.example/test/a/jpki/callback"],
            "token_endpoint_auth_method": "private_key_jwt",
        },
        "client": {"client_id": "plan-1", "scope": "openid", "jwks": {"keys": [PRIVATE]}, "acr_value": "aal3"},
        "client2": {"client_id": "plan-2", "jwks": {"keys": [PRIVATE]}},
        "clients": [SHOP | {"client_id": "plan-3", "client_secret": "s" * 43, "profile": "oidc"}],
    }
    expected = [{"client_id": f"plan-{each}", "done": "added"} for each in (3, 1, 2)]
    assert told(run(house, "load", "-", "--json", given=plan)) == expected
    assert told(run(house, "show", "plan-1", "--json"))["jwks"] == {"keys": [PUBLIC]}
    assert rows(house, "SELECT secret_digest FROM clients WHERE client_id = 'plan-3'") == [
        (hashlib.sha256(b"s" * 43).digest(),)
    ]
    again = run(house, "load", "-", given=plan)
    assert again.output.splitlines() == ["changed plan-3", "changed plan-1", "changed plan-2"]


def test_of_a_file_with_one_mistake_nothing_is_loaded(house: BrokerHouse) -> None:
    wrong = BANK | {"client_id": "right", "sector_identifier_uri": "https://group.invalid/"}
    refused = run(house, "load", "-", given={"clients": [BANK | {"client_id": "left"}, wrong]})
    assert refused.exit_code == 1
    assert run(house, "show", "left").exit_code == 1


def test_rights_are_granted_to_vetted_clients_withdrawn_and_gone_with_the_vetting(house: BrokerHouse) -> None:
    bank = BANK | {"client_id": "notary", "rights": ["signature_verifier"]}
    assert run(house, "add", "--file", "-", given=bank).exit_code == 0
    assert told(run(house, "show", "notary", "--json"))["rights"] == ["signature_verifier"]
    changed = run(house, "update", "notary", "--grant", "raw_signing", "--withdraw", "signature_verifier")
    assert changed.exit_code == 0, changed.output
    assert told(run(house, "show", "notary", "--json"))["rights"] == ["raw_signing"]
    assert run(house, "update", "notary", "--not-vetted").exit_code == 0
    assert "rights" not in told(run(house, "show", "notary", "--json"))
    refused = run(house, "update", "notary", "--grant", "raw_signing")
    assert (refused.exit_code, "vetted" in refused.output) == (1, True)
    assert run(house, "update", "notary", "--vetted", "--grant", "everything").exit_code == 2
