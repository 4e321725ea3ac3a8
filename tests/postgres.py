"""A private PostgreSQL cluster: made in a temporary folder, reached over a UNIX socket only, gone at the end."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import pytest

_VERSIONS = Path("/usr/lib/postgresql")


def missing() -> str | None:
    """What stands in the way of a cluster here, for a skip; None when nothing does."""
    if _binaries() is None:
        return "missing: postgresql"
    if importlib.util.find_spec("psycopg") is None:
        return "missing: psycopg"
    if os.getuid() == 0 and shutil.which("setpriv") is None:
        return "missing: setpriv"
    return None


def _binaries() -> Path | None:
    found = sorted(_VERSIONS.glob("*/bin/initdb"), key=lambda path: int(path.parent.parent.name))
    return found[-1].parent if found else None


@dataclass
class Cluster:
    """A running server. Each database it hands out is empty and its own."""

    socket_directory: Path
    _count: int = field(default=0)

    def database(self) -> str:
        """The URL of a new, empty database."""
        self._count += 1
        name = f"test_{self._count}"
        import psycopg

        with psycopg.connect(self._conninfo("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return f"postgresql://postgres@/{name}?host={quote(str(self.socket_directory))}"

    def _conninfo(self, name: str) -> str:
        return f"host={self.socket_directory} user=postgres dbname={name}"


@contextmanager
def cluster() -> Iterator[Cluster]:
    """Start a cluster as an ordinary user (as `postgres` when we are root: the server refuses root)."""
    binaries = _binaries()
    assert binaries is not None
    root = Path(tempfile.mkdtemp(prefix="jb-pg-", dir="/tmp"))  # a socket's path has at most 107 characters
    as_user: list[str] = []
    if os.getuid() == 0:
        as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--"]
        shutil.chown(root, "postgres", "postgres")
    data, log = root / "data", root / "log"

    def run(*command: str) -> None:
        subprocess.run(
            [*as_user, *command], check=True, cwd=root, timeout=60, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT
        )

    try:
        run(
            f"{binaries}/initdb", "-D", str(data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N"
        )  # -A trust: the folder, and so the socket, is the owner's alone
        options = f"-c listen_addresses='' -c unix_socket_directories='{root}' -c fsync=off -c max_connections=80"
        run(f"{binaries}/pg_ctl", "-D", str(data), "-l", str(log), "-w", "-o", options, "start")
        try:
            yield Cluster(socket_directory=root)
        finally:
            run(f"{binaries}/pg_ctl", "-D", str(data), "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(root, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_database() -> Iterator[Callable[[], str]]:
    """Makes new PostgreSQL databases; skips, naming what is missing, where it cannot."""
    reason = missing()
    if reason is not None:
        pytest.skip(reason)
    with cluster() as running:
        yield running.database
