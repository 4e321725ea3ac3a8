"""What we depend on: do the lock files hold what setup.cfg asks for, and may all of it be used?

    python .ci/dependencies.py          the check; names every fault, then ends with status 1
    python .ci/dependencies.py --list   the libraries of a running broker and reader, with their licences

Offline: it reads setup.cfg, the lock files and the metadata of what is installed beside it.
"""

# ruff: noqa: T201  # a command: what it prints is its result

from __future__ import annotations

import configparser
import json
import re
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ROOT = Path(__file__).resolve().parent.parent

RUN_TIME_EXTRAS = frozenset({"reader", "postgres", "hsm", "pades", "sandbox"})
"""The extras that come to run beside our code. Test tools and documentation tools may be under any free licence."""

RUN_LOCK_EXTRAS = frozenset({"reader", "pades", "sandbox"})
"""The extras that locks/run.lock serves; locks/all.lock serves every one."""


def declared(setup_cfg: str) -> dict[str, tuple[Requirement, ...]]:
    """The requirements of setup.cfg: under "" the distribution's own, under each extra's name that extra's."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(setup_cfg)
    lists = {"": parser["options"]["install_requires"], **dict(parser["options.extras_require"])}
    return {
        extra: tuple(Requirement(line) for line in text.split("\n") if line.strip()) for extra, text in lists.items()
    }


def pinned(lock: str) -> dict[str, str]:
    """Distribution (canonical name) to version, as a lock file pins them."""
    found = re.findall(r"^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?==([^\s;\\]+)", lock, re.MULTILINE)
    return {canonicalize_name(name): version for name, version in found}


def unhashed(lock: str) -> list[str]:
    """The pins of a lock file that carry no hash: pip would refuse them, later and less clearly."""
    entries = re.findall(r"^([A-Za-z0-9][^\n]*\n(?:[ \t]+[^\n]*\n?)*)", lock, re.MULTILINE)
    return [entry.split()[0] for entry in entries if "--hash=sha256:" not in entry]


def unsatisfied(requirements: Iterable[Requirement], pins: Mapping[str, str]) -> list[str]:
    """The requirements that these pins do not meet, each with what is pinned instead."""
    faults = []
    for requirement in requirements:
        version = pins.get(canonicalize_name(requirement.name))
        if version is None:
            faults.append(f"{requirement} is not locked")
        elif not requirement.specifier.contains(version, prereleases=True):
            faults.append(f"{requirement} is locked at {version}")
    return faults


def is_copyleft(licence: str) -> bool:
    """Whether a licence would bind our own code or our users' when the library is loaded: GPL and AGPL, not LGPL.

    A choice ("MIT OR GPL-2.0") is judged by its mildest branch.
    """
    strong = re.compile(r"(?<![A-Za-z])A?GPL|(?<!Lesser )(?<!Library )General Public License|Affero", re.IGNORECASE)
    branches = re.split(r"\s+OR\s+", licence)
    return all(strong.search(branch) is not None for branch in branches)


def npm_faults(lock: str) -> list[str]:
    """What is wrong with a lock of npm packages (`package-lock.json`, version 3): each is told in a line.

    A package must have an exact version, a SHA-512 hash and a licence of its own naming, and must not run a script when
    installed. The lock names no address, so that any registry may serve it: the hash says whether it served the truth.
    They only judge us in tests, so any licence will do that is declared.
    """
    faults = []
    for place, package in json.loads(lock)["packages"].items():
        if place == "":
            loose = {name: wanted for name, wanted in package["dependencies"].items() if not wanted[:1].isdigit()}
            faults += [f"{name} is not wanted in an exact version: {wanted}" for name, wanted in loose.items()]
            continue
        name = f"{place.rpartition('node_modules/')[2]} {package.get('version', 'without a version')}"
        if not package.get("integrity", "").startswith("sha512-"):
            faults.append(f"{name} has no hash")
        if "resolved" in package:
            faults.append(f"{name} is bound to one registry")
        if package.get("hasInstallScript"):
            faults.append(f"{name} runs a script when installed")
        if not package.get("license"):
            faults.append(f"{name} declares no licence")
    return faults


def licence(distribution: metadata.Distribution) -> str:
    """The licence a distribution declares: its SPDX expression, else its classifiers, else its free text."""
    about = distribution.metadata
    if "License-Expression" in about:
        return about["License-Expression"]
    prefix = "License :: "
    classifiers = [text.rpartition(" :: ")[2] for text in about.get_all("Classifier") or [] if text.startswith(prefix)]
    named = [text for text in classifiers if text != "OSI Approved"]
    free_text = about["License"].strip().partition("\n")[0] if "License" in about else ""
    return " AND ".join(named) or free_text or "not declared"


def closure(roots: Iterable[Requirement]) -> dict[str, metadata.Distribution | None]:
    """Everything these requirements bring in here, by canonical name; None for what is not installed."""
    found: dict[str, metadata.Distribution | None] = {}
    waiting = [(root, extra) for root in roots for extra in (*root.extras, "")]
    seen = set()
    while waiting:
        requirement, extra = waiting.pop()
        name = canonicalize_name(requirement.name)
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            found[name] = None
            continue
        found[name] = distribution
        for text in distribution.requires or []:
            child = Requirement(text)
            if child.marker is None or child.marker.evaluate({"extra": extra}):
                waiting += [(child, wanted) for wanted in (*child.extras, "")]
    return found


def main(arguments: list[str]) -> int:
    """Check, or list. Returns 1 when something must be mended."""
    wanted = declared((ROOT / "setup.cfg").read_text(encoding="utf-8"))
    run_time = closure(item for extra in ("", *RUN_TIME_EXTRAS) for item in wanted[extra])
    if arguments == ["--list"]:
        for name, distribution in sorted(run_time.items()):
            shown = "not installed" if distribution is None else f"{distribution.version:12} {licence(distribution)}"
            print(f"{name:28} {shown}")
        return 0
    locks = {
        name: (ROOT / "locks" / name).read_text(encoding="utf-8") for name in ("run.lock", "all.lock", "build.lock")
    }
    faults = [f"locks/{name}: {pin} has no hash" for name, lock in locks.items() for pin in unhashed(lock)]
    for extra, requirements in wanted.items():
        for name in ("run.lock", "all.lock") if extra in {"", *RUN_LOCK_EXTRAS} else ("all.lock",):
            faults += [f"locks/{name}: {fault}" for fault in unsatisfied(requirements, pinned(locks[name]))]
    npm = ROOT / "tests" / "peers" / "package-lock.json"
    faults += [f"tests/peers/package-lock.json: {fault}" for fault in npm_faults(npm.read_text(encoding="utf-8"))]
    everything = pinned(locks["all.lock"])
    for name, version in pinned(locks["run.lock"]).items():
        if everything.get(name) != version:
            faults.append(f"locks/run.lock: {name} {version} is tested as {everything.get(name, 'nothing at all')}")
    for name, distribution in sorted(run_time.items()):
        if distribution is None:
            faults.append(f"{name} is not installed, so its licence is not known")
        elif is_copyleft(licence(distribution)):
            faults.append(f"{name} may not be loaded at run time: {licence(distribution)}")
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
