"""The place where a software card lies: at most one card, taken out and put in while programs use it.

`SoftwareReaders` lets a program in this process use it as a reader; `serve_tray` and `TrayClient` let others change the
card over a UNIX socket, one JSON object per line.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from cardreader import cardfile, faults
from cardreader.apdu import CommandAPDU, ResponseAPDU
from cardreader.cardfile import CardFile
from cardreader.emulator import CardGone, SoftwareCard
from cardreader.errors import CardAbsent, CardError, CardRemoved, NoReader, ReaderBusy
from cardreader.faults import Fault
from cardreader.hpki_emulator import software_card
from cardreader.transport import CardConnection

_MAX_LINE = 4096  # bytes of one request or answer
_CLIENT_DEADLINE = 10.0  # seconds


class TrayFault(Exception):
    """The tray refused, or did not answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrayStatus:
    """What lies in the tray: the card's name and its tries left (`sign_tries` None without a signing key)."""

    reader: bool
    card: str | None
    auth_tries: int | None
    sign_tries: int | None


class Tray:
    """Where the card lies. `save` writes counters back into the card's file; `on_change` is told of each swap."""

    def __init__(self, *, save: bool = False, on_change: Callable[[SoftwareCard | None], None] | None = None) -> None:
        self._lock = threading.RLock()
        self._save = save
        self._on_change = on_change
        self._card: SoftwareCard | None = None
        self._holder: object | None = None
        self._reader_present = True

    @property
    def reader_present(self) -> bool:
        """Whether the reader is plugged in. Unplugged, it gives the card no power, and nobody holds it any more."""
        return self._reader_present

    @reader_present.setter
    def reader_present(self, present: bool) -> None:
        with self._lock:
            self._reader_present = present
            if not present:
                self._holder = None
                if self._card is not None:
                    self._card.power_off()

    @property
    def card(self) -> SoftwareCard | None:
        """The card that lies there now."""
        return self._card

    def insert(self, path: Path) -> TrayStatus:
        """Put the card of this file in, in the place of another. Raises CardFileInvalid; the old card then stays."""
        on_change: Callable[[CardFile], None] = (lambda card: cardfile.save(card, path)) if self._save else _keep
        return self.insert_card(software_card(cardfile.load(path), on_change=on_change))

    def insert_card(self, card: SoftwareCard) -> TrayStatus:
        """Put a card in that has no file."""
        self._place(card)
        return self.status()

    def remove(self) -> TrayStatus:
        """Take the card away, if there is one; whoever holds it notices at the next command."""
        self._place(None)
        return self.status()

    def reset_pin(self) -> TrayStatus:
        """Set both counters of the card anew, as the municipal office does. Raises CardAbsent."""
        with self._lock:
            if self._card is None:
                raise CardAbsent("no card in the tray")
            self._card.reset_pin()
        return self.status()

    def fail(self, fault: Fault | None) -> TrayStatus:
        """Make the card that lies there do this wrong; None makes it well again. Raises CardAbsent."""
        with self._lock:
            if self._card is None:
                raise CardAbsent("no card in the tray")
            self._card.fail(fault, taken_out=self.remove)
        return self.status()

    def status(self) -> TrayStatus:
        """What lies there now."""
        card = None if self._card is None else self._card.card
        return TrayStatus(
            reader=self.reader_present,
            card=None if card is None else card.name,
            auth_tries=None if card is None else card.auth.tries,
            sign_tries=None if card is None or card.sign is None else card.sign.tries,
        )

    def hold(self, holder: object) -> SoftwareCard:
        """Give the card to `holder` alone. Raises NoReader, CardAbsent, ReaderBusy."""
        with self._lock:
            if not self.reader_present:
                raise NoReader("the software reader is unplugged")
            if self._card is None:
                raise CardAbsent("no card in the tray")
            if self._holder is not None:
                raise ReaderBusy("another connection holds the software card")
            self._holder = holder
            return self._card

    def held_by(self, holder: object) -> SoftwareCard | None:
        """The card that `holder` holds; None once it was taken out or the reader unplugged, even if it came back."""
        with self._lock:
            return self._card if self._holder is holder else None

    def release(self, holder: object) -> None:
        """End what `hold` began."""
        with self._lock:
            if self._holder is holder:
                self._holder = None

    def _place(self, card: SoftwareCard | None) -> None:
        with self._lock:
            if self._card is not None:
                self._card.power_off()
            self._card, self._holder = card, None
            if self._on_change is not None:
                self._on_change(card)


class SoftwareReaders:
    """The tray as a reader of this process: fulfils transport.Readers without any smart-card service."""

    def __init__(self, tray: Tray) -> None:
        self._tray = tray

    @contextlib.contextmanager
    def connect(self) -> Iterator[CardConnection]:
        """Hold the tray's card; see transport.Readers."""
        holder = object()
        card = self._tray.hold(holder)
        try:
            card.power_on()
            yield _SoftwareConnection(self._tray, holder)
        finally:
            if self._tray.held_by(holder) is card:
                card.power_off()
            self._tray.release(holder)


class _SoftwareConnection:
    reader_kind = "software"

    def __init__(self, tray: Tray, holder: object) -> None:
        self._tray = tray
        self._holder = holder

    def transmit(self, command: CommandAPDU) -> ResponseAPDU:
        try:
            return ResponseAPDU.decode(self._held().process(command.encode()))
        except CardGone as error:
            raise CardRemoved(str(error)) from None

    def check_present(self) -> None:
        self._held()

    def _held(self) -> SoftwareCard:
        card = self._tray.held_by(self._holder)
        if card is None:
            raise CardRemoved("the software card was taken out, or the connection closed")
        return card


def _keep(_: CardFile) -> None:
    """Counters live as long as the process."""


def listen(control_path: Path) -> socket.socket:
    """A listening control socket (0600), in the place of a stale one. Raises OSError."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        control_path.unlink(missing_ok=True)
        mask = os.umask(0o177)
        try:
            listener.bind(str(control_path))
        finally:
            os.umask(mask)
        listener.listen(8)
    except BaseException:
        listener.close()
        raise
    return listener


@contextlib.contextmanager
def serve_tray(
    tray: Tray, control: Path | socket.socket, *, on_stop: Callable[[], None] | None = None
) -> Iterator[None]:
    """Answer the control protocol at `control`, a path or what `listen` gave, until the context ends. Raises OSError.

    `on_stop` is called when a client asked for the end.
    """
    listener = listen(control) if isinstance(control, Path) else control
    path = Path(listener.getsockname())
    with listener:
        thread = threading.Thread(target=_accept, args=(listener, tray, on_stop), name="card-tray", daemon=True)
        thread.start()
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            thread.join(5)
            path.unlink(missing_ok=True)


def _accept(listener: socket.socket, tray: Tray, on_stop: Callable[[], None] | None) -> None:
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=_converse, args=(client, tray, on_stop), name="card-tray-client", daemon=True).start()


def _converse(client: socket.socket, tray: Tray, on_stop: Callable[[], None] | None) -> None:
    with client, client.makefile("rwb") as stream, contextlib.suppress(OSError):
        while line := stream.readline(_MAX_LINE):
            answer, stop = _obey(line, tray)
            stream.write(json.dumps(answer, ensure_ascii=False).encode() + b"\n")
            stream.flush()
            if stop:
                if on_stop is not None:
                    on_stop()
                return


def _obey(line: bytes, tray: Tray) -> tuple[dict[str, object], bool]:
    """The answer to one request, and whether it was `stop`."""
    try:
        request = json.loads(line)
        match request:
            case {"do": "insert", "card": str(path)}:
                status = tray.insert(Path(path))
            case {"do": "remove"}:
                status = tray.remove()
            case {"do": "reset_pin"}:
                status = tray.reset_pin()
            case {"do": "fault", "fault": None}:
                status = tray.fail(None)
            case {"do": "fault", "fault": dict(fault)}:
                status = tray.fail(faults.parse(fault))
            case {"do": "status" | "stop"}:
                status = tray.status()
            case _:
                return {"ok": False, "error": "unknown request"}, False
    except (ValueError, RecursionError):
        return {"ok": False, "error": "not JSON, or a fault there is not"}, False
    except (CardError, OSError) as error:
        return {"ok": False, "error": str(error)}, False
    answer: dict[str, object] = {
        "ok": True,
        "reader": status.reader,
        "card": status.card,
        "auth_tries": status.auth_tries,
        "sign_tries": status.sign_tries,
    }
    return answer, bool(request["do"] == "stop")


class TrayClient:
    """Another process's hand on the tray. Every call opens the socket anew, so a restarted tray is found again."""

    def __init__(self, control_path: Path) -> None:
        self._control_path = control_path

    def insert(self, path: Path) -> TrayStatus:
        """See Tray.insert; the tray's process reads the file. Raises TrayFault."""
        return self._ask({"do": "insert", "card": str(path.resolve())})

    def remove(self) -> TrayStatus:
        """See Tray.remove. Raises TrayFault."""
        return self._ask({"do": "remove"})

    def reset_pin(self) -> TrayStatus:
        """See Tray.reset_pin. Raises TrayFault."""
        return self._ask({"do": "reset_pin"})

    def fail(self, fault: Fault | None) -> TrayStatus:
        """See Tray.fail. Raises TrayFault."""
        return self._ask({"do": "fault", "fault": None if fault is None else fault.document()})

    def status(self) -> TrayStatus:
        """See Tray.status. Raises TrayFault."""
        return self._ask({"do": "status"})

    def stop(self) -> None:
        """End the tray's process. Raises TrayFault."""
        self._ask({"do": "stop"})

    def _ask(self, request: Mapping[str, object]) -> TrayStatus:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
                client.settimeout(_CLIENT_DEADLINE)
                client.connect(str(self._control_path))
                client.sendall(json.dumps(request, ensure_ascii=False).encode() + b"\n")
                with client.makefile("rb") as stream:
                    line = stream.readline(_MAX_LINE)
            answer = json.loads(line)
        except (OSError, ValueError) as error:
            raise TrayFault(f"the card tray does not answer: {error}") from error
        if not answer["ok"]:
            raise TrayFault(str(answer["error"]))
        return TrayStatus(**{name: answer[name] for name in ("reader", "card", "auth_tries", "sign_tries")})
