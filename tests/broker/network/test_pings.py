"""How a client is told that its request has an answer (CIBA Core §10.2)."""

from __future__ import annotations

import json

import pytest

from broker.errors import OutboundFailed, OutboundRefused
from broker.network.outbound import OutboundGuard
from broker.network.pings import GuardedPings
from tests.broker.network.receiver import serving

SANDBOX = OutboundGuard(allow_loopback_http=True)


@pytest.mark.parametrize("status", [200, 204])
def test_a_client_gets_the_id_with_its_own_token(status: int) -> None:
    with serving() as (address, seen):
        GuardedPings(SANDBOX).ping(f"{address}/{status}", auth_req_id="an-id", token="a-token")
    [(headers, body)] = seen
    assert (headers["Authorization"], headers["Content-Type"]) == ("Bearer a-token", "application/json")
    assert json.loads(body) == {"auth_req_id": "an-id"}


@pytest.mark.parametrize("status", [201, 302, 307, 400, 401, 500])
def test_any_other_answer_is_none(status: int) -> None:
    with serving() as (address, seen), pytest.raises(OutboundFailed):
        GuardedPings(SANDBOX).ping(f"{address}/{status}", auth_req_id="an-id", token="a-token")
    assert len(seen) == 1


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "https://127.0.0.1:1/", "https://169.254.169.254/", "ftp://x/"])
def test_nobody_is_called_who_is_not_public(url: str) -> None:
    with pytest.raises(OutboundRefused):
        GuardedPings(OutboundGuard()).ping(url, auth_req_id="an-id", token="a-token")
