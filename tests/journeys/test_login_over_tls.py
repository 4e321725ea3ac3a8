"""`make run TLS=1`: the same journeys with the broker behind nginx, under an https issuer."""

from __future__ import annotations

import json
import ssl
import urllib.request

import pytest

from sandbox.launcher import Running
from sandbox.login import login
from tests.journeys.person import Person

pytestmark = pytest.mark.timeout(180)


def document(running: Running) -> dict[str, object]:
    trust = ssl.create_default_context(cafile=running.authorities)
    address = f"{running.addresses.broker}/.well-known/openid-configuration"
    with urllib.request.urlopen(address, timeout=10, context=trust) as answer:
        found: dict[str, object] = json.load(answer)
    return found


def test_a_resident_logs_in_under_https_with_the_agent_beside_the_browser(visitor: Person) -> None:
    assert "greeting" in visitor.log_in().elements.texts


def test_the_program_that_logs_in_finds_the_https_issuer_and_trusts_it(secure: Running) -> None:
    result = login(
        broker=secure.addresses.broker,
        bank=secure.addresses.bank,
        resident_card=secure.world.card("taro"),
        trust=secure.root / "agent" / "trust.json",
        authorities=secure.authorities,
    )
    assert result.claims["iss"] == secure.addresses.broker
    told = json.loads((secure.root / "run" / "addresses.json").read_bytes())
    assert told["authorities"] == secure.authorities


def test_the_metadata_name_https_addresses_alone_and_where_certificates_are_asked_for(secure: Running) -> None:
    found = document(secure)
    addresses = {name: value for name, value in found.items() if name.endswith(("_endpoint", "_uri"))}
    assert addresses
    assert all(str(value).startswith(f"{secure.addresses.broker}/") for value in addresses.values())
    aliases = found["mtls_endpoint_aliases"]
    assert isinstance(aliases, dict)
    assert aliases["token_endpoint"] == f"{secure.addresses.mtls}/token"


def test_cookies_are_secure_and_tied_to_the_host(visitor: Person) -> None:
    page = visitor.press(visitor.web.get(f"{visitor.addresses.bank}/"), "login-form", follow=False)
    begun = visitor.web.get(page.headers["location"], follow=False)
    cookie = begun.headers["set-cookie"]
    assert cookie.startswith("__Host-")
    assert "Secure" in cookie
