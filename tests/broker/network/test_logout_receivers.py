"""How a logout token reaches a client's server."""

from __future__ import annotations

from urllib.parse import parse_qsl

import pytest

from broker.errors import OutboundFailed, OutboundRefused
from broker.network.logout import GuardedLogouts
from broker.network.outbound import OutboundGuard
from tests.broker.network.receiver import serving

SANDBOX = OutboundGuard(allow_loopback_http=True)


@pytest.mark.parametrize("status", [200, 204])
def test_a_logout_token_is_the_only_field_of_a_form(status: int) -> None:
    with serving() as (address, seen):
        GuardedLogouts(SANDBOX).post(f"{address}/{status}", "a.b-c.d_e")
    [(headers, body)] = seen
    assert headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert parse_qsl(body.decode()) == [("logout_token", "a.b-c.d_e")]


@pytest.mark.parametrize("status", [201, 302, 400, 500])
def test_any_other_status_has_not_taken_it(status: int) -> None:
    with serving() as (address, _), pytest.raises(OutboundFailed):
        GuardedLogouts(SANDBOX).post(f"{address}/{status}", "a.b.c")


def test_no_address_of_this_machine_is_called_in_production() -> None:
    with serving() as (address, seen):
        for url in (f"{address}/200", "https://127.0.0.1/200"):
            with pytest.raises(OutboundRefused):
                GuardedLogouts(OutboundGuard()).post(url, "a.b.c")
    assert seen == []
