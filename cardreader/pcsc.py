"""The real readers, through PC/SC (SCard) as pyscard's raw binding offers it.

Exclusive share mode, because in shared mode another program signs with a PIN that this one had verified; power-down
at the end, because a verified PIN outlives disconnection and reset. PC/SC knows no deadline, so each session's calls
run in a thread of their own (cardreader.deadline). Every connection makes a context of its own, which is why a
restarted service or a reader plugged in again needs nothing but the next connection.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from cardreader.apdu import CommandAPDU, Conversation, ResponseAPDU, converse
from cardreader.deadline import DeadlineThread
from cardreader.errors import (
    CardAbsent,
    CardError,
    CardRemoved,
    CardTimeout,
    CardUnresponsive,
    NoReader,
    NotJPKICard,
    ReaderBusy,
    ServiceNotRunning,
    SeveralCards,
    TransportFault,
)
from cardreader.jpki_ap import select_jpki_ap
from cardreader.pinpad import PINPad, pin_pad
from cardreader.readers import Look, ReaderEvent, ReaderState, changes, readers_with_card

_MAX_HANGING = 4  # calls given up that have not come back; beyond them a new one would only hang as well
_NOTICED = 0.6  # seconds; by then the service, which looks every 0.4 s, knows that a card is gone
_LOOK = 1.0  # seconds; the longest a watch waits before it looks for itself, whatever the service noticed
_PLUG_AND_PLAY = "\\\\?PnP?\\Notification"  # the name under which the service tells of readers that come and go

_SERVICE_ERRORS: dict[str, type[CardError]] = {
    "SCARD_E_NO_SERVICE": ServiceNotRunning,
    "SCARD_E_SERVICE_STOPPED": ServiceNotRunning,
    "SCARD_E_NO_ACCESS": ServiceNotRunning,
    "SCARD_W_SECURITY_VIOLATION": ServiceNotRunning,  # the service's own policy (polkit) refuses this user
    "SCARD_E_INVALID_HANDLE": ServiceNotRunning,  # a context of a service that has ended since
    "SCARD_F_COMM_ERROR": ServiceNotRunning,
}
_CONNECT_ERRORS: dict[str, type[CardError]] = {
    **_SERVICE_ERRORS,
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
}
_TRANSMIT_ERRORS: dict[str, type[CardError]] = {
    **_SERVICE_ERRORS,
    "SCARD_W_REMOVED_CARD": CardRemoved,
    "SCARD_E_NO_SMARTCARD": CardRemoved,
    "SCARD_E_READER_UNAVAILABLE": CardRemoved,
    "SCARD_W_RESET_CARD": TransportFault,
}


class PCSCReaders:
    """The readers that the machine's smart-card service knows; fulfils transport.Readers.

    `deadline` is for each exchange with the card, in seconds. `card_wait` is how long `connect` waits for a card to be
    noticed: the service looks every 0.4 s, so a card just placed would otherwise be reported as absent. `reader` is
    (part of) the name of the only reader to use. `select` tells the cards in several readers apart: the one card that
    has this application is meant.
    """

    def __init__(
        self,
        *,
        deadline: float = 10.0,
        card_wait: float = 1.0,
        reader: str | None = None,
        select: Callable[[], Conversation[None]] = select_jpki_ap,
    ) -> None:
        self._deadline = deadline
        self._card_wait = card_wait
        self._reader = reader
        self._select = select
        self._threads: list[DeadlineThread] = []
        self._threads_lock = threading.Lock()

    @contextlib.contextmanager
    def connect(self) -> Iterator[PCSCConnection]:
        """Hold the one card there is; see transport.Readers.

        Where several readers hold a card, the only one with the wanted application is held. Raises SeveralCards where
        more than one has it, or none; a card that another program holds may be the one meant, so it raises ReaderBusy.
        """
        worker = self._thread()
        session = _Session()
        try:
            try:
                worker.run(lambda: session.open(self._reader, self._card_wait, self._select), extra=self._card_wait)
            except ReaderBusy:
                if self._hanging():
                    raise CardTimeout("the reader still works on a call that was given up") from None
                raise
            yield PCSCConnection(worker, session)
        finally:
            worker.finish(session.close)

    def look(self) -> tuple[ReaderState, ...]:
        """All readers as they are now; never opens a card. Raises ServiceNotRunning, CardTimeout, TransportFault."""
        worker = self._thread()
        session = _Session()
        try:
            worker.run(session.establish)
            return worker.run(session.look)
        finally:
            worker.finish(session.close)

    @contextlib.contextmanager
    def watch(self) -> Iterator[PCSCWatch]:
        """Follow readers and cards until the context ends. Never raises for a service that comes and goes."""
        watch = PCSCWatch(self._thread)
        try:
            yield watch
        finally:
            watch.close()

    def _thread(self) -> DeadlineThread:
        if self._hanging() >= _MAX_HANGING:
            raise CardTimeout("earlier calls to the reader have not come back")
        worker = DeadlineThread(self._deadline)
        with self._threads_lock:
            self._threads.append(worker)
        return worker

    def _hanging(self) -> int:
        with self._threads_lock:
            self._threads = [thread for thread in self._threads if not thread.is_finished]
            return sum(thread.is_hanging for thread in self._threads)


class PCSCConnection:
    """One card held exclusively; fulfils transport.CardConnection."""

    reader_kind = "pcsc"

    def __init__(self, worker: DeadlineThread, session: _Session) -> None:
        self._worker = worker
        self._session = session

    def transmit(self, command: CommandAPDU) -> ResponseAPDU:
        """See transport.CardConnection; also raises ServiceNotRunning where the service ended."""
        raw = command.encode()
        longest = 2 + max(256, command.le or 0)
        return ResponseAPDU.decode(self._worker.run(lambda: self._session.transmit(raw, longest)))

    def check_present(self) -> None:
        """See transport.CardConnection. Drivers that can look do so now; others know what was true 0.4 s ago."""
        self._worker.run(self._session.check_present)

    def pin_pad(self) -> PINPad | None:
        """What the reader's own keys can do (PC/SC part 10); None where it has none. Raises as `transmit` does."""
        return pin_pad(lambda code, request: self._worker.run(lambda: self._session.control(code, request)))

    def verify_on_pin_pad(self, control_code: int, structure: bytes, *, seconds: float) -> ResponseAPDU:
        """Let the holder type the PIN on the reader, at most `seconds` beside the deadline; the card's answer.

        A status 64xx is the reader's own: nothing reached the card (cardreader.pinpad judges it). Raises as `transmit`;
        a CardTimeout leaves open whether a try was used.
        """
        return ResponseAPDU.decode(
            self._worker.run(lambda: self._session.control(control_code, structure), extra=seconds)
        )


class PCSCWatch:
    """Insertions, removals and readers that come and go. One thread waits; any other may cancel."""

    def __init__(self, thread: Callable[[], DeadlineThread]) -> None:
        self._new_thread = thread
        self._worker: DeadlineThread | None = None
        self._session = _Session()
        self._cancelled = threading.Event()
        self._look: Look | None = self._take_look()

    @property
    def readers(self) -> tuple[ReaderState, ...] | None:
        """What the last look saw; None while no service answers."""
        return None if self._look is None else tuple(self._look.values())

    def wait(self, seconds: float) -> tuple[ReaderEvent, ...]:
        """What happened since the last call; empty after `seconds` without an event, and after `cancel`."""
        until = time.monotonic() + seconds
        while not self._cancelled.is_set():
            before, self._look = self._look, self._take_look()
            happened = changes(before, self._look)
            left = until - time.monotonic()
            if happened or left <= 0:
                return happened
            self._sleep(min(left, _LOOK))
        return ()

    def cancel(self) -> None:
        """Make a `wait` under way, and every later one, return at once; from any thread."""
        self._cancelled.set()
        self._session.cancel()

    def close(self) -> None:
        """End it."""
        self._cancelled.set()
        self._forget()

    def _take_look(self) -> Look | None:
        try:
            if self._worker is None:
                self._worker = self._new_thread()
                self._worker.run(self._session.establish)
            states = self._worker.run(self._session.look)
        except CardError:
            self._forget()
            return None
        return {state.name: state for state in states}

    def _sleep(self, seconds: float) -> None:
        if self._worker is None:
            self._cancelled.wait(seconds)
            return
        with contextlib.suppress(CardError):  # the look that follows finds out what it was
            self._worker.run(lambda: self._session.await_change(seconds), extra=seconds)

    def _forget(self) -> None:
        if self._worker is not None:
            self._worker.finish(self._session.close)
        self._worker, self._session = None, _Session()


class _Session:
    """One context and one card handle; every method but `cancel` runs in the worker's thread."""

    def __init__(self) -> None:
        self._scard: Any = None
        self._context: Any = None
        self._card: Any = None
        self._reader = ""
        self._protocol = 0
        self._known: list[tuple[str, int]] = []

    def establish(self) -> None:
        try:
            from smartcard import scard  # noqa: PLC0415 - only who uses a real reader needs pyscard and the PC/SC library
        except ImportError as error:
            raise ServiceNotRunning("pyscard is not installed (extra [reader])") from error
        self._scard = scard
        code, context = scard.SCardEstablishContext(scard.SCARD_SCOPE_USER)
        if code != scard.SCARD_S_SUCCESS:
            raise ServiceNotRunning(f"no smart-card service: {scard.SCardGetErrorMessage(code)}")
        self._context = context

    def open(self, wanted: str | None, card_wait: float, select: Callable[[], Conversation[None]]) -> None:
        """Hold the card that is meant; see PCSCReaders.connect."""
        self.establish()
        holding = self._await_card(wanted, card_wait)
        if len(holding) == 1:
            self._connect(holding[0].name)
            return
        meant = [state.name for state in holding if self._has_application(state.name, select)]
        if len(meant) != 1:
            raise SeveralCards(f"{len(holding)} readers hold a card, {len(meant)} of them the wanted application")
        self._connect(meant[0])

    def look(self) -> tuple[ReaderState, ...]:
        """Every reader as the service sees it now."""
        scard = self._scard
        code, names = scard.SCardListReaders(self._context, [])
        if code == getattr(scard, "SCARD_E_NO_READERS_AVAILABLE", None):
            names = []
        else:
            self._check(code, _SERVICE_ERRORS)
        if not names:
            self._known = []
            return ()
        code, states = scard.SCardGetStatusChange(
            self._context, 0, [(name, scard.SCARD_STATE_UNAWARE) for name in names]
        )
        if code in (scard.SCARD_E_UNKNOWN_READER, scard.SCARD_E_READER_UNAVAILABLE):
            self._known = []  # one was unplugged between the two calls: the next look sees the rest
            return ()
        self._check(code, _SERVICE_ERRORS)
        self._known = [(name, state & ~scard.SCARD_STATE_CHANGED) for name, state, _ in states]
        return tuple(self._state(name, state, atr) for name, state, atr in states)

    def await_change(self, seconds: float) -> None:
        """Return when a reader or card changed since `look`, after `seconds`, or when cancelled."""
        scard = self._scard
        known = [*self._known, (_PLUG_AND_PLAY, scard.SCARD_STATE_UNAWARE)]
        code, _ = scard.SCardGetStatusChange(self._context, int(seconds * 1000), known)
        expected = (scard.SCARD_E_TIMEOUT, scard.SCARD_E_CANCELLED, scard.SCARD_E_UNKNOWN_READER)
        if code not in expected:
            self._check(code, _SERVICE_ERRORS)

    def cancel(self) -> None:
        """End `await_change`; the one method for another thread."""
        if self._context is not None:
            self._scard.SCardCancel(self._context)

    def transmit(self, command: bytes, longest: int) -> bytes:
        scard = self._scard
        header = scard.SCARD_PCI_T1 if self._protocol == scard.SCARD_PROTOCOL_T1 else scard.SCARD_PCI_T0
        code, reply = scard.SCardTransmit(self._card, header, list(command))
        is_broken_off = code == scard.SCARD_E_NOT_TRANSACTED or (code == scard.SCARD_S_SUCCESS and not reply)
        if is_broken_off and self._is_soon_gone():
            raise CardRemoved("taken away while it worked")
        self._check(code, _TRANSMIT_ERRORS)
        if not 2 <= len(reply) <= longest:
            raise TransportFault(f"a reply of {len(reply)} bytes")
        return bytes(reply)

    def control(self, code: int, request: bytes) -> bytes:
        """One SCardControl to the reader; empty where it does not know the code."""
        scard = self._scard
        result, reply = scard.SCardControl(self._card, code, list(request))
        unknown = ("SCARD_E_UNSUPPORTED_FEATURE", "SCARD_E_INVALID_PARAMETER", "SCARD_E_NOT_TRANSACTED")
        if result in [getattr(scard, name, None) for name in unknown]:
            return b""
        self._check(result, _TRANSMIT_ERRORS)
        return bytes(reply)

    def check_present(self) -> None:
        scard = self._scard
        code = scard.SCardStatus(self._card)[0]  # the service knows of a removal or a reset, and says so by an error
        self._check(code, _TRANSMIT_ERRORS)
        code, presence = scard.SCardGetAttrib(self._card, scard.SCARD_ATTR_ICC_PRESENCE)
        if code == scard.SCARD_S_SUCCESS and presence and presence[0] == 0:
            raise CardRemoved("the reader sees no card any more")

    def close(self) -> None:
        scard = self._scard
        self._disconnect()
        if self._context is not None:
            scard.SCardReleaseContext(self._context)
            self._context = None

    def _await_card(self, wanted: str | None, card_wait: float) -> tuple[ReaderState, ...]:
        until = time.monotonic() + card_wait
        while True:
            try:
                return readers_with_card(self.look(), wanted=wanted)
            except CardAbsent:
                left = until - time.monotonic()
                if left <= 0:
                    raise
            self.await_change(left)

    def _connect(self, reader: str) -> None:
        scard = self._scard
        code, card, self._protocol = scard.SCardConnect(
            self._context, reader, scard.SCARD_SHARE_EXCLUSIVE, scard.SCARD_PROTOCOL_T0 | scard.SCARD_PROTOCOL_T1
        )
        self._check(code, _CONNECT_ERRORS)
        self._card, self._reader = card, reader

    def _is_soon_gone(self) -> bool:
        """Whether the service notices a removal by its next look: a card that dies in a command is an empty success."""
        scard = self._scard
        until = time.monotonic() + _NOTICED
        known = scard.SCARD_STATE_UNAWARE
        while (left := until - time.monotonic()) > 0:
            code, states = scard.SCardGetStatusChange(self._context, int(left * 1000), [(self._reader, known)])
            if code != scard.SCARD_S_SUCCESS:
                return False
            known = states[0][1] & ~scard.SCARD_STATE_CHANGED
            if not known & scard.SCARD_STATE_PRESENT:
                return True
        return False

    def _disconnect(self) -> None:
        if self._card is not None:
            self._scard.SCardDisconnect(self._card, self._scard.SCARD_UNPOWER_CARD)
            self._card = None

    def _has_application(self, reader: str, select: Callable[[], Conversation[None]]) -> bool:
        """Whether the card there takes `select`; a card that is mute or gone by now is not the one meant."""
        try:
            self._connect(reader)
            converse(select(), self._exchange)
        except (CardUnresponsive, CardAbsent, CardRemoved, NotJPKICard):
            return False
        finally:
            self._disconnect()
        return True

    def _exchange(self, command: CommandAPDU) -> ResponseAPDU:
        return ResponseAPDU.decode(self.transmit(command.encode(), 2 + max(256, command.le or 0)))

    def _state(self, name: str, state: int, atr: Sequence[int]) -> ReaderState:
        scard = self._scard
        return ReaderState(
            name=str(name),
            has_card=bool(state & scard.SCARD_STATE_PRESENT),
            is_mute=bool(state & scard.SCARD_STATE_MUTE),
            in_use=bool(state & (scard.SCARD_STATE_INUSE | scard.SCARD_STATE_EXCLUSIVE)),
            atr=bytes(atr),
            events=(state >> 16) & 0xFFFF,
        )

    def _check(self, code: int, errors: Mapping[str, type[CardError]]) -> None:
        scard = self._scard
        if code == scard.SCARD_S_SUCCESS:
            return
        for name, error in errors.items():
            if code == getattr(scard, name, None):
                raise error(name)
        raise TransportFault(f"PC/SC: {scard.SCardGetErrorMessage(code)}")
