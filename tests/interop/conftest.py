"""One running broker for all judges, with a client for each of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bench.servers import Servers, running
from tests.interop.clients import CLIENTS
from tests.interop.resident import Resident


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """The broker under its server, and the outside world, as `make run` has them."""
    registrations = [client.registration for client in CLIENTS.values()]
    with running(tmp_path_factory.mktemp("interop"), workers=1, registrations=registrations) as up:
        yield up


@pytest.fixture
def resident(servers: Servers) -> Iterator[Resident]:
    with Resident(servers) as somebody:
        yield somebody
