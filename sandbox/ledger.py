"""The authorities' books: what was issued, what was revoked, which new certificate follows which old one.

Kept as JSON beside the keys (`ca/ledger.json`). Serials stand here because the authority is the one party that must
know them; they are shown nowhere.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path

from sandbox import atomicfile
from sandbox.ca import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A certificate that was issued. `authority` is its name (`auth-2`); times are aware UTC."""

    resident: str
    kind: Kind
    authority: str
    serial: int
    municipality: str  # code, which names the CRL partition
    not_before: datetime
    not_after: datetime
    current: bool  # on the card today
    card: str  # the card file it was put on; an old card and a phone have files of their own
    revoked_at: datetime | None = None
    reason: str | None = None  # RFC 5280 section 5.3.1 name
    replaces: int | None = None  # index in the ledger of the certificate this one renews

    def __post_init__(self) -> None:
        if (self.revoked_at is None) != (self.reason is None):
            raise ValueError("a revocation has a time and a reason")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """All certificates of all authorities, in order of issue."""

    entries: tuple[Issued, ...]

    def of_partition(self, authority: str, municipality: str) -> tuple[Issued, ...]:
        """What `authority` issued to residents of one municipality."""
        return tuple(e for e in self.entries if e.authority == authority and e.municipality == municipality)

    def find(self, authority: str, serial: int) -> Issued | None:
        """The certificate with that serial under that authority's key, if it was ever issued."""
        return next((e for e in self.entries if e.authority == authority and e.serial == serial), None)

    def on_card(self, card: str, *kinds: Kind) -> Issued | None:
        """The newest certificate of one of these kinds on one card, in force or not."""
        found = [e for e in self.entries if e.card == card and e.kind in kinds]
        return found[-1] if found else None

    def of_resident(self, resident: str, kind: Kind) -> tuple[int, Issued] | None:
        """Like `current`, with its index, by which a successor names it."""
        return next(
            ((i, e) for i, e in enumerate(self.entries) if e.resident == resident and e.kind == kind and e.current),
            None,
        )

    def current(self, resident: str, kind: Kind) -> Issued | None:
        """The certificate of that kind on the resident's card today."""
        return next((e for e in self.entries if e.resident == resident and e.kind == kind and e.current), None)

    def revoke(self, entry: Issued, *, at: datetime, reason: str) -> Ledger:
        """The ledger with `entry` revoked. A revocation stands: the first time and reason are kept."""
        if entry.revoked_at is not None:
            return self
        revoked = replace(entry, revoked_at=at, reason=reason)
        return Ledger(entries=tuple(revoked if e is entry or e == entry else e for e in self.entries))

    def predecessor(self, authority: str, serial: int) -> Issued | None:
        """J-LIS's old-new mapping, backwards: the certificate in whose place this one was issued, if any."""
        entry = self.find(authority, serial)
        return None if entry is None or entry.replaces is None else self.entries[entry.replaces]

    def successor(self, authority: str, serial: int) -> Issued | None:
        """J-LIS's old-new mapping: the certificate that was issued in place of this one, if any."""
        for entry in self.entries:
            if entry.replaces is not None:
                old = self.entries[entry.replaces]
                if (old.authority, old.serial) == (authority, serial):
                    return entry
        return None


def read(path: Path) -> Ledger:
    """Read a ledger. Raises OSError, ValueError or TypeError where the file is not ours."""
    entries = []
    for row in json.loads(path.read_bytes())["entries"]:
        times = {
            key: None if row[key] is None else datetime.fromisoformat(row[key])
            for key in ("not_before", "not_after", "revoked_at")
        }
        entries.append(Issued(**{**row, **times}))
    return Ledger(entries=tuple(entries))


def write(path: Path, ledger: Ledger) -> None:
    """Replace the ledger file in one step. Raises OSError."""
    rows = [asdict(entry) for entry in ledger.entries]
    text = json.dumps({"entries": rows}, default=datetime.isoformat, ensure_ascii=False, indent=1)
    atomicfile.write(path, text.encode())
