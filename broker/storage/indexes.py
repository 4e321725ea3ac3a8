"""The folder of revocation indexes: a file for each complete list, one beside it for its delta list (IndexStore).

A file is written beside, synced and renamed, so whoever opens one finds the old or the new, whole, also after a kill or
a power cut. Processes map the files and share their pages; each sees a swap at its next question, by the inode. What
they had mapped stays valid until they let it go.
"""

from __future__ import annotations

import fcntl
import hashlib
import mmap
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Final

import structlog

from broker.errors import SettingsError, StoreUnavailable
from broker.flows.revocation_ports import HeldList
from broker.jpki.index import (
    Heading,
    Index,
    IndexDamaged,
    ListRefused,
    check_delta,
    check_octets,
    check_succession,
    write_index,
)
from broker.jpki.scan import Octets, Source

_SPOOL: Final = 8 * 1024 * 1024
"""A list up to this size is kept in memory while it is read, a longer one in a file without a name."""
_BUFFER: Final = 1024 * 1024

_log = structlog.get_logger("broker.storage.indexes")
_Stamp = tuple[int, int, int]


class FileSource:
    """A list in an open file (jpki.scan.Source)."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size = os.fstat(file.fileno()).st_size

    def read_into(self, offset: int, target: memoryview) -> None:
        if os.preadv(self._file.fileno(), [target], offset) != len(target):
            raise EOFError


class IndexFolder:
    """Fulfils IndexStore; threads share it, and processes share the folder."""

    def __init__(self, folder: Path) -> None:
        """Raises SettingsError where the folder cannot be made."""
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as failed:
            raise SettingsError(f"revocation_directory: {folder} cannot be made: {failed.strerror}") from failed
        self._folder = folder
        self._open: dict[Path, tuple[_Stamp, Index]] = {}

    def get(self, distribution_point: str, issuer_key_hash: bytes) -> HeldList | None:
        """What is in force now; None where nothing usable is there."""
        path = self._path(distribution_point, issuer_key_hash)
        index = self._current(path)
        if index is None:
            return None
        stamp, delta = self._open[path][0], self._current(path.with_suffix(".delta"))
        if delta is not None:
            try:
                check_delta(delta.heading, index.heading)
            except ListRefused:  # a complete list has overtaken it
                delta = None
        fetched = stamp[1] if delta is None else max(stamp[1], self._open[path.with_suffix(".delta")][0][1])
        return HeldList(index=index, delta=delta, fetched_at=datetime.fromtimestamp(fetched / 1e9, UTC))

    def put(
        self,
        distribution_point: str,
        issuer_key_hash: bytes,
        source: Source,
        *,
        issuer: bytes,
        now: datetime,
        any_size: bool = False,
    ) -> Heading:
        """Put the list that `source` holds in force, complete or delta. Raises ListRefused, StoreUnavailable."""
        path = self._path(distribution_point, issuer_key_hash)
        try:
            with self._alone() as folder, _beside(path) as (out, beside):
                heading = write_index(source, out, issuer=issuer)
                held = self._current(path)
                if heading.base is not None:
                    check_delta(heading, None if held is None else held.heading)
                    path = path.with_suffix(".delta")
                    held = self._current(path)
                check_succession(heading, None if held is None else held.heading, now=now, any_size=any_size)
                out.flush()
                stamp = int(now.timestamp() * 1e9)
                os.utime(out.fileno(), ns=(stamp, stamp))
                os.fsync(out.fileno())
                os.rename(beside, path)
                os.fsync(folder)
        except OSError as failed:
            raise StoreUnavailable(f"the index cannot be written ({failed.strerror})") from failed
        return heading

    @contextmanager
    def spool(self, chunks: Iterable[bytes]) -> Iterator[Source]:
        """What comes in pieces, as `put` takes it. Raises StoreUnavailable, and what `chunks` raises."""
        held: list[bytes] = []
        pieces = iter(chunks)
        size = 0
        for piece in pieces:
            held.append(piece)
            size += len(piece)
            if size > _SPOOL:
                break
        else:
            yield Octets(b"".join(held))
            return
        try:
            with tempfile.TemporaryFile(dir=self._folder) as file:
                file.writelines(held)
                file.writelines(pieces)
                file.flush()
                yield FileSource(file)
        except OSError as failed:
            raise StoreUnavailable(f"the list cannot be kept ({failed.strerror})") from failed

    def _path(self, distribution_point: str, issuer_key_hash: bytes) -> Path:
        name = hashlib.sha256(issuer_key_hash + distribution_point.encode()).hexdigest()[:40]
        return self._folder / f"{name}.index"

    def _current(self, path: Path) -> Index | None:
        known = self._open.get(path)
        try:
            found = os.stat(path)
        except FileNotFoundError:
            return None
        if known is not None and known[0] == (found.st_ino, found.st_mtime_ns, found.st_size):
            return known[1]
        try:
            with path.open("rb") as file:
                found = os.fstat(file.fileno())
                check_octets(FileSource(file))
                index = Index(memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)))
        except (IndexDamaged, OSError, ValueError) as broken:
            _log.error("revocation_index_damaged", file=path.name, cause=str(broken))
            return None if known is None else known[1]
        self._open[path] = ((found.st_ino, found.st_mtime_ns, found.st_size), index)
        return index

    @contextmanager
    def _alone(self) -> Iterator[int]:
        """One writer in the folder at a time, over all threads and processes; answers its descriptor."""
        descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield descriptor
        finally:
            os.close(descriptor)


@contextmanager
def _beside(path: Path) -> Iterator[tuple[BinaryIO, Path]]:
    """A new file beside `path`, taken away unless it was renamed; one that a killed writer left is written over."""
    beside = path.with_suffix(".new")
    try:
        with open(beside, "wb", buffering=_BUFFER, opener=_for_owner) as out:
            yield out, beside
    finally:
        beside.unlink(missing_ok=True)


def _for_owner(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)
