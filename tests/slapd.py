"""A private LDAP directory: made in a temporary folder, on a free loopback port, gone at the end."""

from __future__ import annotations

import importlib.util
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

SUFFIX = "c=JP"
MANAGER = f"cn=manager,{SUFFIX}"
PASSWORD = "directory-of-a-test"
_PROGRAM = shutil.which("slapd") or ("/usr/sbin/slapd" if Path("/usr/sbin/slapd").exists() else "")
_SCHEMA = Path("/etc/ldap/schema/core.schema")


def missing() -> str | None:
    """What stands in the way of a directory here, for a skip; None when nothing does."""
    if not _PROGRAM or not _SCHEMA.exists():
        return "missing: slapd"
    if importlib.util.find_spec("ldap") is None:
        return "missing: python-ldap"
    return None


@dataclass(frozen=True)
class Slapd:
    """A running server; entries without a parent get one."""

    url: str

    def manager(self) -> Any:
        import ldap

        connection = ldap.initialize(self.url)
        connection.simple_bind_s(MANAGER, PASSWORD)
        return connection

    def publish(self, entry: str, *lists: bytes) -> None:
        """Put `lists` in force at `entry` (an RFC 4514 name)."""
        import ldap
        from ldap.dn import explode_dn, str2dn

        connection = self.manager()
        parts = explode_dn(entry)
        for depth in range(len(parts) - 1, -1, -1):
            name = ",".join(parts[depth:])
            kind, value, _ = str2dn(name)[0][0]
            objects = {"C": "country", "O": "organization", "OU": "organizationalUnit", "CN": "cRLDistributionPoint"}
            try:
                connection.add_s(name, [("objectClass", [objects[kind.upper()].encode()]), (kind, [value.encode()])])
            except ldap.ALREADY_EXISTS:
                continue
        connection.modify_s(entry, [(ldap.MOD_REPLACE, "certificateRevocationList;binary", list(lists) or None)])
        connection.unbind_s()


@contextmanager
def directory() -> Iterator[Slapd]:
    """Start a directory, empty but for what is published."""
    with tempfile.TemporaryDirectory() as folder, socket.socket() as probe:
        root = Path(folder)
        (root / "data").mkdir()
        (root / "slapd.conf").write_text(
            f"include {_SCHEMA}\nmodulepath /usr/lib/ldap\nmoduleload back_mdb\npidfile {root}/pid\n"
            f"database mdb\nmaxsize 33554432\ndirectory {root}/data\nsuffix {SUFFIX}\n"
            f"rootdn {MANAGER}\nrootpw {PASSWORD}\naccess to * by * read\n"
        )
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        url = f"ldap://127.0.0.1:{port}"
        with subprocess.Popen(
            [_PROGRAM, "-f", str(root / "slapd.conf"), "-h", f"{url}/", "-d", "0"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as server:
            try:
                if not _answers(port, server):
                    pytest.skip("missing: a slapd that may start here")
                yield Slapd(url=url)
            finally:
                server.terminate()
                server.wait(10)


def _answers(port: int, server: subprocess.Popen[bytes]) -> bool:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and server.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return True
    return False


@pytest.fixture(scope="session")
def slapd() -> Iterator[Slapd]:
    """A real slapd; skips, naming what is missing, where there is none."""
    if reason := missing():
        pytest.skip(reason)
    with directory() as running:
        yield running
