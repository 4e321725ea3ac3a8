"""The negatives at ours and at npm oidc-provider: the same error and status, or a difference with its reason."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from bench.servers import Servers
from broker.flows.client_administration import invite
from broker.oidc.client import SecurityProfile
from broker.settings import read
from sandbox.broker import open_ports
from sandbox.node import NodeMissing
from tests.interop.differences import DIFFERENCES
from tests.interop.negatives import CASES, CODE, FAPI, FAPI2, OTHER
from tests.interop.resident import Resident
from tests.interop.sides import Side, known, ours, theirs


@pytest.fixture(scope="module")
def sides(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Side, Side]]:
    clients = {name: known(name, fapi=name in {FAPI, FAPI2}) for name in (CODE, OTHER, FAPI, FAPI2)}
    ports = open_ports(read(servers.house.environment()))
    invitation, _ = invite(
        profile=SecurityProfile.OIDC, vetted=False, uses=20, lifetime=timedelta(hours=1), ports=ports
    )
    residents: dict[str, Resident] = {}
    try:
        with theirs(tmp_path_factory.mktemp("peer"), clients) as peer:
            yield ours(servers, clients, invitation=invitation, residents=residents), peer
    except NodeMissing as reason:
        pytest.skip(f"missing: {reason}")
    finally:
        for resident in residents.values():
            resident.browser.close()


@pytest.mark.parametrize("case", CASES)
def test_both_answer_alike_or_the_difference_is_declared(sides: tuple[Side, Side], case: str) -> None:
    own, peer = (str(CASES[case](side)) for side in sides)
    declared = DIFFERENCES.get(case)
    if declared is None:
        assert own == peer
    else:
        assert (own, peer) == (declared.ours, declared.theirs), declared.reason
        assert own != peer, "no difference any more: take its row away"


def test_every_declared_difference_is_of_a_case() -> None:
    assert DIFFERENCES.keys() <= CASES.keys()
    assert all(len(difference.reason) > 20 for difference in DIFFERENCES.values())
