"""npm openid-client as a relying party."""

from __future__ import annotations

import pytest

from bench.servers import Servers
from sandbox.node import NodeMissing, command
from tests.interop.clients import CLIENTS, LEFT
from tests.interop.resident import Arrival, Resident
from tests.interop.story import PROGRAMS, tell


@pytest.fixture(scope="module", autouse=True)
def _node() -> None:
    try:
        command(PROGRAMS)
    except NodeMissing as reason:
        pytest.skip(f"missing: {reason}")


def _leave(resident: Resident, url: str) -> Arrival:
    page = resident.go(url)
    assert isinstance(page, Arrival), page.status
    return page


def test_a_login_from_discovery_to_logout(servers: Servers, resident: Resident) -> None:
    outcome = tell(
        "openid_client_code",
        CLIENTS["code"].settings(servers.broker),
        answers={
            "visit": lambda said: resident.visit(said["url"]),
            "leave": lambda said: _leave(resident, said["url"]),
        },
    )
    claims = outcome["claims"]
    assert claims["iss"] == servers.broker
    assert claims["acr"] == "aal3"
    assert outcome["userinfo"]["sub"] == claims["sub"]
    assert outcome["token_type"] == "bearer"
    assert outcome["replay"] == {"error": "invalid_grant", "status": 400, "code": "OAUTH_RESPONSE_BODY_ERROR"}
    assert outcome["userinfo_after_replay"]["status"] == 401
    assert outcome["silent"]["sub"] == claims["sub"]
    assert outcome["silent"]["auth_time"] == claims["auth_time"]
    assert "acr" not in outcome["silent"]
    assert outcome["left"]["url"] == f"{LEFT}?state={outcome['left']['state']}"
    assert outcome["silent_after_logout"]["error"] == "login_required"
