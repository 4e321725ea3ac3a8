"""Serving the agent on loopback, to its own user only: 127.0.0.1 and, where IPv6 exists, ::1 on the same port."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from flask import Flask
from waitress.adjustments import Adjustments
from waitress.server import TcpWSGIServer
from waitress.task import ThreadedTaskDispatcher

from cardreader.agent.journal import log
from cardreader.agent.peer import OwnershipUnknown, endpoint, holder_of_port, owner_of_peer, read_rows

THREADS = 4
MAX_CONNECTIONS = 64
IDLE_SECONDS = 60
MAX_REQUEST = 64 * 1024  # bytes; the pages themselves refuse above 16 KiB, with words
_LINGERING = 16  # refused connections kept open unread, so that the refusal arrives before a reset does
_READINGS = 3  # the kernel's table is no snapshot: while other connections end, a reading may pass one over
_REFUSAL_TEXT = b"This card reader agent serves another user only.\n"
_REFUSAL = (
    b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain; charset=utf-8\r\nCache-Control: no-store\r\n"
    b"Connection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(_REFUSAL_TEXT), _REFUSAL_TEXT)
)

OwnerOf = Callable[[socket.socket], int | None]


class StartRefused(Exception):
    """The agent cannot be started here; the message says why and what to do."""


def owner_of_connection(connection: socket.socket) -> int | None:
    """The uid at the other end; None where nobody holds it or this system does not tell."""
    try:
        peer, ours = endpoint(connection.getpeername()), endpoint(connection.getsockname())
        for _ in range(_READINGS):
            owner = owner_of_peer(read_rows(peer[1]), peer=peer, ours=ours)
            if owner is not None:
                return owner
    except (OSError, ValueError, OwnershipUnknown):
        return None
    return None


class OwnUserServer(TcpWSGIServer):
    """Waitress, refusing connections of other users before a byte of them is read."""

    owner_of: OwnerOf = staticmethod(owner_of_connection)

    def __init__(self, *args: Any, **options: Any) -> None:  # what waitress takes; it has no narrower type
        self._own_uid = os.getuid()
        self._refused: deque[socket.socket] = deque()
        super().__init__(*args, **options)

    def accept(self) -> tuple[socket.socket, Any] | None:
        """The next connection of our own user; None (waitress then waits) for a stranger's."""
        accepted: tuple[socket.socket, Any] | None = super().accept()
        if accepted is None:
            return None
        connection, address = accepted
        owner = self.owner_of(connection)
        if owner == self._own_uid:
            return connection, address
        log.warning("refused", status=403, reason="another user's connection", uid=-1 if owner is None else owner)
        self._refuse(connection)
        return None

    def close(self) -> None:
        """Stop listening and drop what was refused."""
        while self._refused:
            self._refused.popleft().close()
        super().close()

    def _refuse(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            connection.setblocking(False)
            connection.send(_REFUSAL)
            connection.shutdown(socket.SHUT_WR)
        self._refused.append(connection)
        while len(self._refused) > _LINGERING:
            self._refused.popleft().close()


class AgentServer:
    """The listening agent. `run` serves until `stop`, KeyboardInterrupt or SystemExit."""

    def __init__(self, app: Flask, sockets: list[socket.socket]) -> None:
        self.addresses = [str(listener.getsockname()[0]) for listener in sockets]
        self.port = int(sockets[0].getsockname()[1])
        self._map: dict[int, Any] = {}
        self._stopping = False
        adjustments = Adjustments(
            sockets=sockets,
            threads=THREADS,
            connection_limit=MAX_CONNECTIONS,
            channel_timeout=IDLE_SECONDS,
            max_request_header_size=16 * 1024,
            max_request_body_size=MAX_REQUEST,
            expose_tracebacks=False,
            ident="",
        )
        self._dispatcher = ThreadedTaskDispatcher()
        self._dispatcher.set_thread_count(THREADS)
        self._servers = [
            OwnUserServer(
                app,
                map=self._map,
                _sock=listener,
                dispatcher=self._dispatcher,
                adj=adjustments,
                sockinfo=(listener.family, listener.type, listener.proto, listener.getsockname()),
                bind_socket=False,
            )
            for listener in sockets
        ]

    def run(self) -> None:
        """Serve. Returns after `stop`; every socket is closed then."""
        try:
            while not self._stopping:
                self._servers[0].asyncore.loop(timeout=0.5, map=self._map, count=1)
        finally:
            self._dispatcher.shutdown(timeout=2)
            for server in self._servers:
                server.close()
            self._servers[0].asyncore.close_all(self._map, ignore_all=True)

    def stop(self) -> None:
        """Ask `run` to return; from any thread."""
        self._stopping = True
        self._servers[0].pull_trigger()


def bind_loopback(port: int) -> list[socket.socket]:
    """Listening sockets on 127.0.0.1 and, where this machine has IPv6, ::1, on one port (0: any free one).

    Raises StartRefused naming the program that holds the port.
    """
    first = _listen(socket.AF_INET, "127.0.0.1", port)
    try:
        if _has_ipv6_loopback():
            return [first, _listen(socket.AF_INET6, "::1", int(first.getsockname()[1]))]
    except BaseException:
        first.close()
        raise
    return [first]


def require_known_ownership(listener: socket.socket) -> None:
    """Raise StartRefused unless this system tells who owns a connection to `listener`: tried on one of our own."""
    with socket.create_connection(listener.getsockname()[:2], timeout=5) as ours:
        listener.settimeout(5)
        peer = None
        while peer != ours.getsockname():  # a stranger may have been quicker
            connection, peer = listener.accept()
            with connection:
                owner = owner_of_connection(connection)
    if owner is None or owner != os.getuid():
        raise StartRefused("this system does not tell whose program connects, so other users could use your card")


@contextlib.contextmanager
def only_agent(folder: Path) -> Iterator[None]:
    """Hold the state folder's lock file. Raises StartRefused where another agent holds it."""
    try:
        import fcntl  # noqa: PLC0415  # not every system has it, and importing this module must work there
    except ImportError:
        raise StartRefused("this system has no file locks of the kind the agent needs") from None
    path = folder / "agent.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.read(descriptor, 32).decode("ascii", "replace").strip() or "unknown"
            raise StartRefused(f"another agent (pid {holder}) already uses {folder}") from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(descriptor)


def _listen(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((host, port))
        listener.listen(64)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            holder = holder_of_port(port) or "another program"
            raise StartRefused(f"port {port} on {host} is held by {holder}; stop it or choose --port") from None
        raise StartRefused(f"{host} port {port} cannot be used: {error.strerror}") from None
    return listener


def _has_ipv6_loopback() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True
