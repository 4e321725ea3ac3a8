"""The register of mandates (flows.register_ports): entries, tiles and head, written in one unit of work."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Row, bindparam, insert, select, update

from broker.audit.merkle import HASH_SIZE, MAX_SIZE, Growth
from broker.audit.tiles import HEIGHT
from broker.errors import StoreUnavailable
from broker.flows.register_ports import LogHead, Published
from broker.storage.schema import register_checkpoints, register_entries, register_logs, register_nodes
from broker.storage.work import Work, per_engine

_OPEN = per_engine(lambda insert_into: insert_into(register_logs).on_conflict_do_nothing(index_elements=["origin"]))
_HEAD = select(register_logs).where(register_logs.c.origin == bindparam("b_origin"))
_LOCK = (  # a write, so that it locks on both engines
    update(register_logs)
    .where(register_logs.c.origin == bindparam("b_origin"))
    .values(size=register_logs.c.size)
    .returning(register_logs)
)
_ORIGINS = select(register_logs.c.origin).order_by(register_logs.c.id)
_ADD_ENTRY = insert(register_entries)
_ADD_NODE = insert(register_nodes)
_MOVE = (
    update(register_logs)
    .where(register_logs.c.id == bindparam("b_id"), register_logs.c.size == bindparam("b_before"))
    .values(size=bindparam("b_size"), peaks=bindparam("b_peaks"), note=bindparam("b_note"))
)
_LOG = select(register_logs.c.id).where(register_logs.c.origin == bindparam("b_origin")).scalar_subquery()
_ENTRIES = (
    select(register_entries.c.entry)
    .where(
        register_entries.c.log == _LOG,
        register_entries.c.position >= bindparam("b_first"),
        register_entries.c.position < bindparam("b_end"),
    )
    .order_by(register_entries.c.position)
)
_LEAVES = (
    select(register_entries.c.leaf_hash)
    .where(
        register_entries.c.log == _LOG,
        register_entries.c.position >= bindparam("b_first"),
        register_entries.c.position < bindparam("b_end"),
    )
    .order_by(register_entries.c.position)
)
_NODES = (
    select(register_nodes.c.hash)
    .where(
        register_nodes.c.log == _LOG,
        register_nodes.c.level == bindparam("b_level"),
        register_nodes.c.position >= bindparam("b_first"),
        register_nodes.c.position < bindparam("b_end"),
    )
    .order_by(register_nodes.c.position)
)
_PUBLISH = per_engine(
    lambda insert_into: (new := insert_into(register_checkpoints)).on_conflict_do_update(
        index_elements=["log", "size"], set_={"note": new.excluded.note}
    )
)
_PUBLISHED = (
    select(register_checkpoints)
    .where(
        register_checkpoints.c.log == _LOG,
        register_checkpoints.c.size >= bindparam("b_least"),
        register_checkpoints.c.size <= bindparam("b_most"),
    )
    .order_by(register_checkpoints.c.size.desc())
    .limit(1)
)
_ANY = range(MAX_SIZE + 1)


def _head(row: Row[tuple[int, str, int, bytes, bytes]]) -> LogHead:
    peaks = bytes(row.peaks)
    return LogHead(
        id=row.id,
        origin=row.origin,
        size=row.size,
        peaks=tuple(peaks[start : start + HASH_SIZE] for start in range(0, len(peaks), HASH_SIZE)),
        note=bytes(row.note),
    )


class SQLRegister:
    """Fulfils flows.register_ports.RegisterStore."""

    __slots__ = ("_work",)

    def __init__(self, work: Work) -> None:
        self._work = work

    def lock(self, origin: str) -> LogHead:
        row = self._work.write(_LOCK, b_origin=origin).one_or_none()
        if row is None:
            self._work.write(_OPEN, origin=origin, size=0, peaks=b"", note=b"")
            row = self._work.write(_LOCK, b_origin=origin).one()
        return _head(row)

    def extend(self, head: LogHead, entries: Sequence[bytes], growth: Growth, note: bytes) -> None:
        moved = self._work.write(
            _MOVE,
            b_id=head.id,
            b_before=head.size,
            b_size=growth.size,
            b_peaks=b"".join(growth.peaks),
            b_note=note,
        )
        if moved.rowcount != 1:
            raise StoreUnavailable("the register moved on while an entry was added")
        leaves = [found for level, _place, found in growth.made if level == 0]
        for position, (entry, found) in enumerate(zip(entries, leaves, strict=True), start=head.size):
            self._work.write(_ADD_ENTRY, log=head.id, position=position, entry=entry, leaf_hash=found)
        for level, place, found in growth.made:
            if level:
                self._work.write(_ADD_NODE, log=head.id, level=level // HEIGHT, position=place, hash=found)

    def publish(self, origin: str, size: int, note: bytes, *, now: datetime) -> None:
        log = self._work.read(_HEAD, b_origin=origin).one().id
        self._work.write(_PUBLISH, log=log, size=size, note=note, published_at=now)


class SQLRegisterTree:
    """Fulfils flows.register_ports.RegisterTree."""

    __slots__ = ("_work",)

    def __init__(self, work: Work) -> None:
        self._work = work

    def head(self, origin: str) -> LogHead | None:
        row = self._work.read(_HEAD, b_origin=origin).one_or_none()
        return None if row is None else _head(row)

    def entries(self, origin: str, first: int, count: int) -> tuple[bytes, ...]:
        rows = self._work.read(_ENTRIES, b_origin=origin, b_first=first, b_end=first + count)
        return tuple(bytes(row.entry) for row in rows)

    def hashes(self, origin: str, level: int, first: int, count: int) -> tuple[bytes, ...]:
        if level == 0:
            found = self._work.read(_LEAVES, b_origin=origin, b_first=first, b_end=first + count)
        else:
            found = self._work.read(_NODES, b_origin=origin, b_level=level, b_first=first, b_end=first + count)
        return tuple(bytes(row[0]) for row in found)

    def published(self, origin: str, sizes: range | None = None) -> Published | None:
        if sizes is None:
            sizes = _ANY
        if sizes.start >= sizes.stop or sizes.start > MAX_SIZE:
            return None
        most = min(sizes.stop - 1, MAX_SIZE)
        row = self._work.read(_PUBLISHED, b_origin=origin, b_least=sizes.start, b_most=most).one_or_none()
        if row is None:
            return None
        return Published(size=row.size, note=bytes(row.note), published_at=row.published_at)

    def origins(self) -> tuple[str, ...]:
        return tuple(self._work.read(_ORIGINS).scalars())
