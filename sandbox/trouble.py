"""What goes wrong in the outside world, on command: lists, answers and the mapping as no verifier wants them.

Kept in `world/trouble.json`, so that the page, the command line and a test speak to the same running world. The
authorities' books are never touched: when trouble ends, the truth is published again.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Final

from sandbox import atomicfile

NONE: Final = "none"
SLOW_SECONDS: Final = 5.0
"""Longer than the broker waits for anybody."""
CHOICES: Final = {
    "crl": (
        NONE,
        "unavailable",
        "slow",
        "stale",
        "truncated",
        "wrong-key",
        "rolled-back",
        "shrunk",
        "grown",
        "indirect",
    ),
    "ocsp": (NONE, "unavailable", "slow", "try-later", "unknown", "stale", "wrong-key", "wrong-nonce", "no-nonce"),
    "mapping": (NONE, "unavailable", "slow", "contradictory", "other-question"),
}
"""For each service, the troubles it can have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """One trouble for each service, or none."""

    crl: str = NONE
    ocsp: str = NONE
    mapping: str = NONE

    def __post_init__(self) -> None:
        for entry in fields(self):
            if getattr(self, entry.name) not in CHOICES[entry.name]:
                raise ValueError(f"{entry.name}: one of {', '.join(CHOICES[entry.name])}")

    @property
    def any(self) -> bool:
        """Is anything wrong?"""
        return self != Trouble()


def read_trouble(root: Path) -> Trouble:
    """The trouble of the world under `root`; none where nobody made any. Raises ValueError for a damaged file."""
    try:
        return Trouble(**json.loads(_file(root).read_bytes()))
    except FileNotFoundError:
        return Trouble()
    except TypeError as broken:
        raise ValueError("world/trouble.json has unknown members") from broken


def write_trouble(root: Path, trouble: Trouble) -> None:
    """Make this the trouble from now on. Raises OSError.

    The lists published before are thrown away: the next honest one is newer than any that trouble handed out, so that
    a verifier that took one of those is not left believing that the truth rolled back.
    """
    for published in (root / "world" / "crl").glob("**/*.crl"):
        published.unlink(missing_ok=True)
    atomicfile.write(_file(root), json.dumps(asdict(trouble)).encode())


def _file(root: Path) -> Path:
    return root / "world" / "trouble.json"
