"""Who is at the other end of a loopback connection: its owner's uid, from the kernel's socket tables (proc(5)).

Loopback is shared by all users of a machine, so an address proves nothing. Linux only; elsewhere nobody can be told.
"""

from __future__ import annotations

import contextlib
import ipaddress
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

_TABLES = ("/proc/net/tcp", "/proc/net/tcp6")
_MAX_TABLE = 64 * 1024 * 1024  # bytes
_LISTEN = 0x0A  # include/net/tcp_states.h
_WORD_HEX = 8

Endpoint = tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, int]


class OwnershipUnknown(Exception):
    """This system does not say who owns a connection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketRow:
    """One line of a socket table. IPv4 mapped into IPv6 stands as IPv4; `inode` is 0 where no program holds it."""

    local: Endpoint
    remote: Endpoint
    state: int
    uid: int
    inode: int


def parse_table(lines: Iterable[str]) -> Iterator[SocketRow]:
    """The rows of /proc/net/tcp or tcp6; the heading and damaged lines are passed over."""
    for line in lines:
        columns = line.split()
        with contextlib.suppress(ValueError, IndexError):
            yield SocketRow(
                local=_parse_endpoint(columns[1]),
                remote=_parse_endpoint(columns[2]),
                state=int(columns[3], 16),
                uid=int(columns[7]),
                inode=int(columns[9]),
            )


def owner_of_peer(rows: Iterable[SocketRow], *, peer: Endpoint, ours: Endpoint) -> int | None:
    """The uid that holds the far end of our connection `ours` to `peer`; None where no program holds it (any more)."""
    wanted = (_plain(peer), _plain(ours))
    uids = {row.uid for row in rows if (row.local, row.remote) == wanted and row.inode}
    return uids.pop() if len(uids) == 1 else None


def read_rows(port: int) -> list[SocketRow]:
    """The rows of both tables of this network namespace that name `port`. Raises OwnershipUnknown without any table."""
    named = f":{port:04X} "
    rows: list[SocketRow] = []
    found = False
    for table in _TABLES:
        try:
            with Path(table).open(encoding="ascii") as file:
                rows.extend(parse_table(line for line in file.read(_MAX_TABLE).splitlines() if named in line))
            found = True
        except OSError:
            continue  # a kernel without IPv6 has no tcp6
    if not found:
        raise OwnershipUnknown("no socket table can be read")
    return rows


def endpoint(address: tuple[object, ...]) -> Endpoint:
    """A socket address (host, port, …) as an Endpoint. Raises ValueError."""
    return _plain((ipaddress.ip_address(str(address[0]).partition("%")[0]), int(str(address[1]))))


def holder_of_port(port: int) -> str | None:
    """The program that listens on `port`, as "name (pid 123)"; None where it cannot be told. Never raises."""
    try:
        inodes = {f"socket:[{row.inode}]" for row in read_rows(port) if row.state == _LISTEN and row.local[1] == port}
        for process in Path("/proc").iterdir():
            if process.name.isdigit() and _holds_any(process, inodes):
                name = (process / "comm").read_text(encoding="utf-8", errors="replace").strip()
                return f"{name} (pid {process.name})"
    except (OSError, OwnershipUnknown):
        return None
    return None


def _holds_any(process: Path, inodes: set[str]) -> bool:
    with contextlib.suppress(OSError):
        for descriptor in (process / "fd").iterdir():
            with contextlib.suppress(OSError):
                if str(descriptor.readlink()) in inodes:
                    return True
    return False


def _parse_endpoint(text: str) -> Endpoint:
    """`0100007F:60CC`: the address as 32-bit words in this machine's byte order, the port in network order."""
    address, _, port = text.partition(":")
    words = [address[i : i + _WORD_HEX] for i in range(0, len(address), _WORD_HEX)]
    raw = b"".join(_host_order(word) for word in words)
    if len(raw) not in (4, 16):
        raise ValueError("no address")
    return _plain((ipaddress.ip_address(raw), int(port, 16)))


def _host_order(word: str) -> bytes:
    return int(word, 16).to_bytes(4, sys.byteorder)


def _plain(given: Endpoint) -> Endpoint:
    address, port = given
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address, port)
