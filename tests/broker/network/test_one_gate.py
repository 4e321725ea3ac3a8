"""Everything that a client can make the broker fetch or send goes through the one guard, and it lets nothing inward."""

from __future__ import annotations

import ast
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

import broker
from broker.errors import InvalidToken, OutboundRefused
from broker.ids import ClientID, SectorID
from broker.network.client_keys import PublishedKeys
from broker.network.documents import GuardedDocuments
from broker.network.logout import GuardedLogouts
from broker.network.outbound import OutboundGuard
from broker.network.pings import GuardedPings
from broker.oidc.client import Client, SecurityProfile
from tests.broker.network.receiver import serving

NETWORK_LIBRARIES = frozenset(
    {"urllib3", "requests", "socket", "http.client", "urllib.request", "ldap", "asyncio", "ftplib", "smtplib", "ssl"}
)
MAY = {
    "jobs.py": "the host's name, for a lease",
    "delegation/seal_writer.py": "an event loop for pyHanko's coroutines, without a socket",
    "delegation/judge/__main__.py": "an event loop in a child that judges one document, without a socket",
    "jpki/foreign_child.py": "an event loop in a child that answers one question, without a socket",
    "network/front.py": "the operator's own front, asked by the doctor",
    "network/ldap.py": "directories that the operator names, judged by the guard",
    "network/outbound.py": "the guard",
}


def _imports(module: Path) -> set[str]:
    found: set[str] = set()
    for part in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(part, ast.Import):
            found |= {alias.name for alias in part.names}
        elif isinstance(part, ast.ImportFrom) and part.module:
            found |= {part.module, *(f"{part.module}.{alias.name}" for alias in part.names)}
    return {library for library in NETWORK_LIBRARIES for name in found if f"{name}.".startswith(f"{library}.")}


def test_no_other_module_can_call_another_machine() -> None:
    root = Path(broker.__file__).parent
    callers = {str(module.relative_to(root)) for module in root.rglob("*.py") if _imports(module)}
    assert callers <= MAY.keys()
    assert "network/outbound.py" in callers


def _documents(guard: OutboundGuard, url: str) -> None:
    GuardedDocuments(guard).fetch(url, limit=1000)


def _keys(guard: OutboundGuard, url: str) -> None:
    client = Client(
        client_id=ClientID("rp"),
        name="rp",
        vetted=True,
        profile=SecurityProfile.OIDC,
        sector=SectorID("rp"),
        redirect_uris=("https://rp.example/callback",),
        jwks_uri=url,
    )
    try:
        PublishedKeys(GuardedDocuments(guard), lambda: datetime.now(UTC)).of(client)
    except InvalidToken as nothing:
        raise OutboundRefused(str(nothing)) from nothing  # the cache tells its reason to the log alone


def _logout(guard: OutboundGuard, url: str) -> None:
    GuardedLogouts(guard).post(url, "a.b.c")


def _ping(guard: OutboundGuard, url: str) -> None:
    GuardedPings(guard).ping(url, auth_req_id="x", token="y")


WAYS: dict[str, Callable[[OutboundGuard, str], None]] = {
    "request_uri and sector_identifier_uri": _documents,
    "jwks_uri": _keys,
    "backchannel_logout_uri": _logout,
    "backchannel_client_notification_endpoint": _ping,
}


@pytest.mark.parametrize("way", WAYS)
def test_in_production_no_way_leads_to_this_machine_or_its_network(way: str) -> None:
    with serving() as (address, seen):
        port = address.rpartition(":")[2]
        for url in (
            f"{address}/200",
            f"https://127.0.0.1:{port}/200",
            f"https://[::1]:{port}/200",
            f"https://[::ffff:127.0.0.1]:{port}/200",
            f"https://localhost:{port}/200",
            f"https://2130706433:{port}/200",
            "https://169.254.169.254/latest/meta-data",
            "https://10.0.0.1/",
            "http://rp.example/",
            "file:///etc/passwd",
            "gopher://127.0.0.1/",
            f"https://user@127.0.0.1:{port}/200",
        ):
            with pytest.raises(OutboundRefused):
                WAYS[way](OutboundGuard(), url)
    assert seen == []


@pytest.mark.parametrize("way", WAYS)
def test_each_way_does_lead_to_this_machine_in_the_sandbox(way: str) -> None:
    """Else the refusals above would prove nothing. (An empty answer is no key set, and said to be none.)"""
    with serving() as (address, seen):
        if way == "jwks_uri":
            with pytest.raises(OutboundRefused):
                WAYS[way](OutboundGuard(allow_loopback_http=True), f"{address}/200")
        else:
            WAYS[way](OutboundGuard(allow_loopback_http=True), f"{address}/200")
    assert len(seen) == 1
