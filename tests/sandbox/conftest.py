"""One outside world for all tests that only read it; a copy for those that change it."""

from __future__ import annotations

import base64
import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509

from sandbox.generate import World, generate
from tests.catalogues import compile_stale

NOW = datetime(2026, 11, 20, 3, 4, 5, tzinfo=UTC)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Read only: generated once, as of NOW."""
    return generate(tmp_path_factory.mktemp("world"), NOW)


@pytest.fixture
def own_world(world: World, tmp_path: Path) -> World:
    """A copy that the test may change."""
    root = tmp_path / "world"
    shutil.copytree(world.root, root)
    return World(root=root, made_because=None)


@pytest.fixture(scope="session")
def catalogues() -> None:
    """The compiled texts, as `make` compiles them."""
    compile_stale(Path(__file__).parents[2] / "sandbox" / "world" / "translations")


def leaf(world: World, resident: str, kind: str = "auth") -> x509.Certificate:
    """The certificate on a resident's card."""
    slot = json.loads(world.card(resident).read_bytes())[kind]
    return x509.load_der_x509_certificate(base64.b64decode(slot["certificate"]))
