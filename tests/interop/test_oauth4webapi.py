"""npm oauth4webapi, which judges each answer by the letter: PAR, several DPoP algorithms, every answer mode."""

from __future__ import annotations

import pytest

from bench.servers import Servers
from sandbox.node import NodeMissing, command
from tests.interop.clients import CLIENTS
from tests.interop.resident import Resident
from tests.interop.story import PROGRAMS, tell


@pytest.fixture(scope="module", autouse=True)
def _node() -> None:
    try:
        command(PROGRAMS)
    except NodeMissing as reason:
        pytest.skip(f"missing: {reason}")


@pytest.mark.parametrize(
    ("mode", "dpop", "algorithm"),
    [
        ("query", "ES256", "oidc"),
        ("form_post", "PS256", "oauth2"),
        ("jwt", "Ed25519", "oidc"),
        ("form_post.jwt", "ES256", "oauth2"),
    ],
)
def test_every_answer_is_as_its_standard_says(
    servers: Servers, resident: Resident, mode: str, dpop: str, algorithm: str
) -> None:
    settings = CLIENTS["fapi2"].settings(servers.broker, response_mode=mode)
    outcome = tell(
        "oauth4webapi_code",
        {**settings, "dpop_alg": dpop, "algorithm": algorithm},
        answers={"visit": lambda said: resident.visit(said["url"])},
    )
    assert outcome["posted"] is mode.startswith("form_post")
    assert set(outcome["answered"]) == ({"response"} if mode.endswith("jwt") else {"code", "state", "iss"})
    assert 5 <= outcome["pushed"]["expires_in"] < 600
    assert outcome["token_type"] == "dpop"
    assert outcome["userinfo"]["sub"] == outcome["claims"]["sub"]
    assert outcome["introspected"]["active"] is True
