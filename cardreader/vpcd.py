"""The virtual reader's wire protocol (vsmartcard's vpcd): the card connects to the reader over TCP.

Two-byte big-endian length, then the payload. One byte is a control (00 power off, 01 power on, 02 reset, 04 ATR
request, only the last is answered); anything longer is an APDU. A closed connection is a card taken out.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable

from cardreader.emulator import SoftwareCard

_POLL = 0.4  # seconds; pcscd looks at its readers so often
_ABSENCE = _POLL + 0.1  # how long a slot must stay empty to be seen empty: two cards in one interval look like one
_PRESENCE = 3 * _POLL
PORT = 0x8C7B  # slot 00; slot 01 is the next one


class VPCDSlot:
    """One slot of the virtual reader. `connect` opens a TCP connection to it."""

    def __init__(self, connect: Callable[[], socket.socket]) -> None:
        self._connect = connect
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._emptied = -_ABSENCE  # time.monotonic of the last removal

    def insert(self, card: SoftwareCard, *, noticed_within: float) -> bool:
        """Put `card` in, in the place of another; True once the reader has powered it, False if it did not in time.

        Raises OSError where the reader is gone.
        """
        until = time.monotonic() + noticed_within
        with self._lock:
            while True:
                self._take_out()
                time.sleep(max(0.0, self._emptied + _ABSENCE - time.monotonic()))
                noticed = threading.Event()
                self._socket = self._connect()
                threading.Thread(
                    target=serve_vpcd, args=(card, self._socket, noticed), name="vpcd", daemon=True
                ).start()
                if noticed.wait(_PRESENCE):
                    return True
                if time.monotonic() > until:  # else the reader missed the empty slot between two cards: once more
                    return False

    def remove(self) -> None:
        """Take the card out, even in the middle of a command; returns when the reader has had time to notice."""
        with self._lock:
            self._take_out()
            time.sleep(max(0.0, self._emptied + _ABSENCE - time.monotonic()))

    def _take_out(self) -> None:
        if self._socket is None:
            return
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._socket = None
        self._emptied = time.monotonic()


def serve_vpcd(card: SoftwareCard, connection: socket.socket, noticed: threading.Event) -> None:
    """Answer the reader until it closes; `noticed` is set once the reader has powered the card and read its ATR.

    A command to a card that was never powered means that the reader took it for the card before it: the connection is
    closed, so that no session goes on with another person's card.
    """
    powered = False
    with contextlib.suppress(OSError), connection:
        while payload := _receive(connection):
            if len(payload) > 1:
                if not powered:
                    return
                _send(connection, card.process(payload))
                continue
            match payload[0]:
                case 0x00:
                    card.power_off()
                case 0x01:
                    card.power_on()
                    powered = True
                case 0x02:
                    card.reset()
                    powered = True
                case 0x04:
                    _send(connection, card.card.atr)
                    if powered:
                        noticed.set()


def _send(connection: socket.socket, payload: bytes) -> None:
    connection.sendall(len(payload).to_bytes(2, "big") + payload)  # one write: two cost 50 ms (Nagle)


def _receive(connection: socket.socket) -> bytes:
    """One payload; empty where the peer closed."""
    return _receive_exactly(connection, int.from_bytes(_receive_exactly(connection, 2), "big"))


def _receive_exactly(connection: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        quick_ack = getattr(socket, "TCP_QUICKACK", None)
        if quick_ack is not None:  # Linux: the reader sends length and body apart and waits for the first one's ACK
            connection.setsockopt(socket.IPPROTO_TCP, quick_ack, 1)
        chunk = connection.recv(length - len(data))
        if not chunk:
            return b""
        data += chunk
    return data
