"""The real readers, through PC/SC (SCard) as pyscard's raw binding offers it.

Exclusive share mode, because in shared mode another program signs with a PIN that this one had verified; power-down
at the end, because a verified PIN outlives disconnection and reset. PC/SC knows no deadline, so each session's calls
run in a thread of their own, and a call that does not come back in time is left behind with it.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any, TypeVar

from cardreader.apdu import CommandAPDU, ResponseAPDU
from cardreader.errors import (
    CardAbsent,
    CardError,
    CardRemoved,
    CardTimeout,
    CardUnresponsive,
    NoReader,
    ReaderBusy,
    ServiceNotRunning,
    SeveralCards,
    TransportFault,
)
from cardreader.transport import CardConnection

T = TypeVar("T")

_TIMED_OUT = "this connection timed out before"

_CONNECT_ERRORS: dict[str, type[CardError]] = {
    "SCARD_E_SHARING_VIOLATION": ReaderBusy,
    "SCARD_E_NO_SMARTCARD": CardAbsent,
    "SCARD_W_REMOVED_CARD": CardAbsent,
    "SCARD_W_UNRESPONSIVE_CARD": CardUnresponsive,
    "SCARD_W_UNPOWERED_CARD": CardUnresponsive,
    "SCARD_W_UNSUPPORTED_CARD": CardUnresponsive,
    "SCARD_E_PROTO_MISMATCH": CardUnresponsive,
    "SCARD_E_READER_UNAVAILABLE": NoReader,
    "SCARD_E_UNKNOWN_READER": NoReader,
    "SCARD_E_NO_READERS_AVAILABLE": NoReader,
    "SCARD_E_NO_SERVICE": ServiceNotRunning,
    "SCARD_E_SERVICE_STOPPED": ServiceNotRunning,
    "SCARD_E_NO_ACCESS": ServiceNotRunning,
}
_TRANSMIT_ERRORS: dict[str, type[CardError]] = {
    "SCARD_W_REMOVED_CARD": CardRemoved,
    "SCARD_E_NO_SMARTCARD": CardRemoved,
    "SCARD_E_READER_UNAVAILABLE": CardRemoved,
    "SCARD_W_RESET_CARD": TransportFault,
}


class PCSCReaders:
    """The readers that the machine's smart-card service knows; fulfils transport.Readers.

    `deadline` is for each exchange with the card, in seconds. `card_wait` is how long `connect` waits for a card to be
    noticed: the service looks every 0.4 s, so a card just placed would otherwise be reported as absent.
    """

    def __init__(self, *, deadline: float = 10.0, card_wait: float = 1.0) -> None:
        self._deadline = deadline
        self._card_wait = card_wait

    @contextlib.contextmanager
    def connect(self) -> Iterator[CardConnection]:
        """Hold the one card there is; see transport.Readers."""
        worker = _Worker(self._deadline)
        session = _Session()
        try:
            worker.run(lambda: session.open(self._card_wait), extra=self._card_wait)
            yield _PCSCConnection(worker, session)
        finally:
            worker.finish(session.close)


class _PCSCConnection:
    reader_kind = "pcsc"

    def __init__(self, worker: _Worker, session: _Session) -> None:
        self._worker = worker
        self._session = session

    def transmit(self, command: CommandAPDU) -> ResponseAPDU:
        raw = command.encode()
        return ResponseAPDU.decode(self._worker.run(lambda: self._session.transmit(raw)))

    def check_present(self) -> None:
        self._worker.run(self._session.check_present)


class _Session:
    """One context and one card handle; every method runs in the worker's thread."""

    def __init__(self) -> None:
        self._scard: Any = None
        self._context: Any = None
        self._card: Any = None
        self._protocol = 0

    def open(self, card_wait: float) -> None:
        try:
            from smartcard import scard  # noqa: PLC0415 - only who uses a real reader needs pyscard and the PC/SC library
        except ImportError as error:
            raise ServiceNotRunning("pyscard is not installed (extra [reader])") from error
        self._scard = scard
        code, self._context = scard.SCardEstablishContext(scard.SCARD_SCOPE_USER)
        if code != scard.SCARD_S_SUCCESS:
            self._context = None
            raise ServiceNotRunning(f"no smart-card service: {scard.SCardGetErrorMessage(code)}")
        reader = self._reader_with_card(card_wait)
        code, card, self._protocol = scard.SCardConnect(
            self._context, reader, scard.SCARD_SHARE_EXCLUSIVE, scard.SCARD_PROTOCOL_T0 | scard.SCARD_PROTOCOL_T1
        )
        self._check(code, _CONNECT_ERRORS)
        self._card = card

    def transmit(self, command: bytes) -> bytes:
        scard = self._scard
        header = scard.SCARD_PCI_T1 if self._protocol == scard.SCARD_PROTOCOL_T1 else scard.SCARD_PCI_T0
        code, reply = scard.SCardTransmit(self._card, header, list(command))
        self._check(code, _TRANSMIT_ERRORS)
        if len(reply) < 2:
            raise TransportFault(f"a reply of {len(reply)} bytes")
        return bytes(reply)

    def check_present(self) -> None:
        """SCardStatus: the service's own knowledge of the card, at most one of its polls (0.4 s) old."""
        code, _, _, _, _ = self._scard.SCardStatus(self._card)
        self._check(code, _TRANSMIT_ERRORS)

    def close(self) -> None:
        scard = self._scard
        if self._card is not None:
            scard.SCardDisconnect(self._card, scard.SCARD_UNPOWER_CARD)
            self._card = None
        if self._context is not None:
            scard.SCardReleaseContext(self._context)
            self._context = None

    def _reader_with_card(self, card_wait: float) -> str:
        scard = self._scard
        until = time.monotonic() + card_wait
        code, readers = scard.SCardListReaders(self._context, [])
        if not readers and code == scard.SCARD_S_SUCCESS:
            raise NoReader("the service lists no reader")
        self._check(code, _CONNECT_ERRORS)
        known = [(reader, scard.SCARD_STATE_UNAWARE) for reader in readers]
        while True:
            left = int(max(0.0, until - time.monotonic()) * 1000)
            code, states = scard.SCardGetStatusChange(self._context, left, known)
            if code == scard.SCARD_E_TIMEOUT:
                raise CardAbsent("no reader holds a card")
            self._check(code, _CONNECT_ERRORS)
            holding = [name for name, state, _ in states if state & scard.SCARD_STATE_PRESENT]
            if len(holding) > 1:
                raise SeveralCards(f"{len(holding)} readers hold a card")
            if holding:
                return str(holding[0])
            known = [(name, state & ~scard.SCARD_STATE_CHANGED) for name, state, _ in states]

    def _check(self, code: int, errors: dict[str, type[CardError]]) -> None:
        scard = self._scard
        if code == scard.SCARD_S_SUCCESS:
            return
        for name, error in errors.items():
            if code == getattr(scard, name, None):
                raise error(name)
        raise TransportFault(f"PC/SC: {scard.SCardGetErrorMessage(code)}")


class _Worker:
    """A thread that runs one call after another; the caller waits for each no longer than the deadline."""

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline
        self._jobs: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = queue.SimpleQueue()
        self._broken: str | None = None
        threading.Thread(target=self._work, name="pcsc", daemon=True).start()

    def run(self, call: Callable[[], T], *, extra: float = 0.0) -> T:
        """The call's result. Raises what it raises, or CardTimeout past the deadline; no call works after that."""
        if self._broken is not None:
            raise TransportFault(self._broken)
        future: Future[T] = Future()
        self._jobs.put((call, future))
        try:
            return future.result(self._deadline + extra)
        except TimeoutError:
            self._broken = _TIMED_OUT
            raise CardTimeout(f"no answer within {self._deadline:g} s") from None
        except CardError:
            self._broken = "this connection failed before"
            raise

    def finish(self, close: Callable[[], None]) -> None:
        """Close and end the thread; where a call hangs, that happens when it comes back, and nobody waits for it."""
        hangs = self._broken == _TIMED_OUT
        self._broken = "this connection is closed"
        future: Future[None] = Future()
        self._jobs.put((close, future))
        self._jobs.put(None)
        if not hangs:
            with contextlib.suppress(TimeoutError):
                future.result(self._deadline)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            call, future = job
            try:
                future.set_result(call())
            except BaseException as error:  # handed to the caller, whatever it is
                future.set_exception(error)
