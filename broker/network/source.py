"""A place that configuration names and a revocation list comes from: a file, an https address, or a directory.

A fetcher only brings bytes; what they are worth is judged by jpki. No address is ever taken from a certificate or
from what a fetcher brought (design 4.5).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Protocol

from broker.errors import OutboundFailed
from broker.network.outbound import TOTAL_SECONDS, OutboundGuard

_CHUNK: Final = 1024 * 1024


class Fetcher(Protocol):
    """Brings one list from its place."""

    @property
    def address(self) -> str:
        """What the store and the log call the place; no two sources share one, and it holds no password."""

    @property
    def seconds(self) -> float:
        """The longest a complete `chunks` may take."""

    def chunks(self, *, limit: int) -> Iterator[bytes]:
        """The list as it stands there now, in pieces, at most `limit` bytes together.

        Nothing of it may be used before the iterator came to its end without an error: a broken transfer is known
        at its end only. Raises OutboundRefused, OutboundFailed; whoever stops early must `close()` the iterator.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFetcher:
    """A file that something else puts there, by renaming a complete one into place."""

    path: Path
    seconds: float = field(default=TOTAL_SECONDS)

    @property
    def address(self) -> str:
        return self.path.absolute().as_uri()

    def chunks(self, *, limit: int) -> Iterator[bytes]:
        """As Fetcher's. A pipe or device is refused: reading one may never end."""
        try:
            with open(self.path, "rb", buffering=0, opener=_without_waiting) as file:
                found = os.fstat(file.fileno())
                if not stat.S_ISREG(found.st_mode):
                    raise OutboundFailed(f"{self.path.name} is not a file")
                if found.st_size > limit:
                    raise OutboundFailed(f"{self.path.name}: more than {limit} bytes")
                left = found.st_size
                while left and (chunk := file.read(min(_CHUNK, left))):
                    left -= len(chunk)
                    yield chunk
                if left or os.fstat(file.fileno()).st_size != found.st_size:
                    raise OutboundFailed(f"{self.path.name} changed while it was read")
        except OSError as failed:
            raise OutboundFailed(f"{self.path.name}: {type(failed).__name__}") from failed


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # opening a pipe nobody writes to would wait for ever


@dataclass(frozen=True, slots=True, kw_only=True)
class HTTPFetcher:
    """An https address, through the guard; a large list may be given more time than the guard's own."""

    url: str
    guard: OutboundGuard
    seconds: float = field(default=TOTAL_SECONDS)

    @property
    def address(self) -> str:
        return self.url

    def chunks(self, *, limit: int) -> Iterator[bytes]:
        """As Fetcher's."""
        return replace(self.guard, total_seconds=self.seconds).stream(self.url, limit=limit)
