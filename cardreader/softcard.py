"""The real PC/SC daemon with a software card in it: private to whoever starts it, without root, closed to the network.

A child process (`python -m cardreader.softcard`) makes namespaces of its own, starts pcscd in them on a socket in its
run directory, and plays the card to pcscd's virtual reader. Programs outside set only PCSCLITE_CSOCK_NAME. The virtual
reader listens on every address of its network, which is why it gets a network with nothing but a loopback. Where
namespaces are forbidden it runs without them, on ports found free (`isolation` then says "shared").

Linux only; importing works anywhere, and `why_not` says what is missing.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from ctypes.util import find_library
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Self

from cardreader import namespaces
from cardreader.emulator import SoftwareCard
from cardreader.tray import Tray, TrayClient, TrayFault, TrayStatus, listen, serve_tray
from cardreader.vpcd import PORT, VPCDSlot

__all__ = ["CannotStart", "PrivatePCSCD", "TrayClient", "TrayFault", "TrayStatus", "serve_tray", "why_not"]

_START_DEADLINE = 15.0  # seconds; 0.15 to 0.4 s are usual, 1.1 s were seen on a cold machine
_STOP_DEADLINE = 5.0
_NOTICED_WITHIN = 3.0  # seconds; pcscd looks every 0.4 s
_SOCKET_PATH_MAX = 107  # bytes of sockaddr_un.sun_path
_DRIVER = "pcsc/drivers/serial/libifdvpcd.so"
_DAEMONS = ("/usr/sbin/pcscd", "/usr/local/sbin/pcscd")


class CannotStart(Exception):
    """The private daemon cannot run here; the message names what is missing."""


def why_not() -> str | None:
    """What is missing for a private pcscd on this machine, in one line; None where it can run."""
    missing = _missing_piece()
    if missing is not None:
        return missing
    probe = subprocess.run(
        [sys.executable, "-m", "cardreader.softcard", "--probe"],
        env=_child_environment(),
        capture_output=True,
        text=True,
        timeout=_START_DEADLINE,
        check=False,
    )
    return None if probe.returncode == 0 else (probe.stdout.strip() or "the probe of namespaces failed")


class PrivatePCSCD:
    """A pcscd of one's own, from entering the context to leaving it, where no process stays behind.

    `run_dir` (short enough for a UNIX socket; made 0700 if absent) gets the sockets and pcscd.log. With `save`,
    counters and PINs are written back to the card's file. Entering raises CannotStart.
    """

    program = "cardreader.softcard"  # the child's module; tests put cards with faults in its place

    def __init__(self, run_dir: Path, *, save: bool) -> None:
        self.run_dir = run_dir
        self.socket_path = run_dir / "pcscd.comm"
        self.control_path = run_dir / "tray"
        self.isolation = ""
        self._save = save
        self._child: subprocess.Popen[str] | None = None
        self._tray = TrayClient(self.control_path)

    def __enter__(self) -> Self:
        missing = _missing_piece()
        if missing is not None:
            raise CannotStart(missing)
        if max(len(os.fsencode(path)) for path in (self.socket_path, self.control_path)) > _SOCKET_PATH_MAX:
            raise CannotStart(f"the run directory's path is too long for a socket: {self.run_dir}")
        self.run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        command = [sys.executable, "-m", self.program, "--run-dir", str(self.run_dir.resolve())]
        self._child = subprocess.Popen(
            command + (["--save"] if self._save else []),
            env=_child_environment(),
            stdin=subprocess.PIPE,  # its end tells the child that we are gone
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # a Ctrl-C is for us; we stop the child in order
        )
        try:
            self.isolation = self._ready(self._child)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    @property
    def environment(self) -> dict[str, str]:
        """This process's environment with the daemon's socket in it, for programs to be started."""
        return {**os.environ, "PCSCLITE_CSOCK_NAME": str(self.socket_path)}

    @property
    def running(self) -> bool:
        """Whether the child lives; it ends when pcscd does."""
        return self._child is not None and self._child.poll() is None

    def insert(self, card: Path) -> TrayStatus:
        """Put the card of this file in; returns once the daemon has noticed it. Raises TrayFault."""
        return self._tray.insert(card)

    def remove(self) -> TrayStatus:
        """Take the card out, in the middle of a command too. Raises TrayFault."""
        return self._tray.remove()

    def status(self) -> TrayStatus:
        """What lies in the reader. Raises TrayFault."""
        return self._tray.status()

    def reset_pin(self) -> TrayStatus:
        """Both counters anew, as the municipal office does. Raises TrayFault."""
        return self._tray.reset_pin()

    @staticmethod
    def _ready(child: subprocess.Popen[str]) -> str:
        if child.stdout is None:
            raise CannotStart("the child has no output")
        readable, _, _ = select.select([child.stdout], [], [], _START_DEADLINE)
        try:
            report = json.loads(child.stdout.readline()) if readable else {}
        except ValueError:
            report = {}
        if "isolation" not in report:
            raise CannotStart(report.get("missing", "the card's process ended or hung at its start"))
        return str(report["isolation"])

    def _stop(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        for stream in (child.stdin, child.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        try:
            child.wait(_STOP_DEADLINE)
        except subprocess.TimeoutExpired:
            child.kill()  # pcscd follows by its parent-death signal
            child.wait()
        for path in (self.socket_path, self.control_path):
            path.unlink(missing_ok=True)


def run_with_card(card: Path, command: list[str], *, run_dir: Path) -> int:
    """Run `command` with a private daemon and this card; its exit status, 128 + n where signal n ended it.

    Call it from the main thread: SIGTERM is handed on to `command`, whose end it waits for. Raises CannotStart,
    TrayFault, OSError where the command cannot be started.
    """
    with PrivatePCSCD(run_dir, save=True) as daemon:
        daemon.insert(card)
        program = subprocess.Popen(command, env=daemon.environment)
        before = signal.signal(signal.SIGTERM, lambda *_: program.terminate())
        try:
            status = _wait(program)
        finally:
            signal.signal(signal.SIGTERM, before)
    return status if status >= 0 else 128 - status


def _wait(program: subprocess.Popen[bytes]) -> int:
    while True:
        try:
            return program.wait()
        except KeyboardInterrupt:
            continue  # the terminal told the command as well; it decides


def _missing_piece() -> str | None:
    if not sys.platform.startswith("linux"):
        return "a private pcscd needs Linux"
    if _daemon() is None:
        return "pcscd is not installed (Debian package pcscd)"
    if _driver() is None:
        return "the virtual reader libifdvpcd.so is not installed (Debian package vsmartcard-vpcd)"
    if find_library("pcsclite") is None:
        return "libpcsclite.so.1 is not installed (Debian package libpcsclite1)"
    if find_spec("smartcard") is None:
        return "pyscard is not installed (extra [reader])"
    return None


def _daemon() -> str | None:
    return shutil.which("pcscd") or next((path for path in _DAEMONS if os.access(path, os.X_OK)), None)


def _driver() -> Path | None:
    folders = [Path("/usr/lib"), Path("/usr/local/lib"), *Path("/usr/lib").glob("*-linux-gnu*")]
    return next((folder / _DRIVER for folder in folders if (folder / _DRIVER).exists()), None)


def _child_environment() -> dict[str, str]:
    """The child finds the same `cardreader` as its parent, whatever its working directory."""
    here = str(Path(__file__).resolve().parents[1])
    inherited = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": here if not inherited else f"{here}{os.pathsep}{inherited}"}


# Below this line runs in the child.


def _isolation() -> str:
    """Isolate this process as far as the system lets it: "private", or "shared". Raises CannotStart."""
    try:
        namespaces.isolate()
    except OSError as error:
        if os.geteuid() == 0 or os.access("/run/pcscd", os.F_OK):
            return "shared"
        raise CannotStart(f"namespaces are forbidden here ({error.strerror}) and there is no /run/pcscd") from error
    return "private"


def _serve(run_dir: Path, *, save: bool) -> None:
    wake_read, wake_write = os.pipe()

    def wake() -> None:
        with contextlib.suppress(OSError):
            os.write(wake_write, b"x")

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: wake())
    # Both sockets are made before the namespaces, where a run directory below /run would disappear.
    control = listen(run_dir / "tray")
    daemon_listener = listen(run_dir / "pcscd.comm")
    log = os.open(run_dir / "pcscd.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    isolation = _isolation()
    port = PORT if isolation == "private" else _free_port()
    configuration = _configuration(run_dir, port)
    daemon = _fork_daemon(configuration, daemon_listener, log)
    daemon_listener.close()  # were it kept, clients of a dead daemon would wait for ever
    try:
        _await_reader(port, daemon)
        threading.Thread(target=_watch, args=(daemon, wake), name="pcscd-watch", daemon=True).start()
        slot = VPCDSlot(lambda: socket.create_connection(("127.0.0.1", port)))
        tray = Tray(save=save, on_change=lambda card: _swap(slot, card))
        with serve_tray(tray, control, on_stop=wake):
            print(json.dumps({"isolation": isolation}), flush=True)  # noqa: T201 - the parent reads this line
            select.select([sys.stdin, wake_read], [], [])
            slot.remove()
    finally:
        _end(daemon)


def _swap(slot: VPCDSlot, card: SoftwareCard | None) -> None:
    if card is None:
        slot.remove()
    else:
        slot.insert(card, noticed_within=_NOTICED_WITHIN)


def _configuration(run_dir: Path, port: int) -> Path:
    """pcscd's reader table, in a folder of its own: one virtual reader and nothing of the machine's."""
    folder = (run_dir / "reader.conf.d").resolve()
    folder.mkdir(mode=0o700, exist_ok=True)
    (run_dir / "no-drivers").mkdir(mode=0o700, exist_ok=True)
    device = f"DEVICENAME /dev/null:0x{port:04X}\nLIBPATH {_driver()}\nCHANNELID 0x{port:04X}\n"
    (folder / "vpcd").write_text(f'FRIENDLYNAME "Software card"\n{device}', encoding="ascii")
    return folder


def _fork_daemon(configuration: Path, listener: socket.socket, log: int) -> int:
    """Start pcscd on `listener` by systemd's socket activation (fd 3, LISTEN_FDS, LISTEN_PID); its process id."""
    daemon = _daemon() or "pcscd"
    no_drivers = str(configuration.parent / "no-drivers")
    environment: Mapping[str, str] = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PCSCLITE_HP_DROPDIR": no_drivers}
    parent = os.getpid()
    child = os.fork()  # no thread runs yet
    if child:
        return child
    try:
        namespaces.die_with_parent(signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)
        null = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((null, 0), (log, 1), (log, 2)):
            os.dup2(source, target)
        os.dup2(listener.fileno(), 3)
        activation = {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid())}
        arguments = [daemon, "--foreground", "--config", str(configuration)]
        os.execve(daemon, arguments, {**environment, **activation})  # noqa: S606 - no shell, on purpose
    finally:
        os._exit(127)


def _await_reader(port: int, daemon: int) -> None:
    """Wait until the virtual reader listens. Raises CannotStart.

    A connection made to find out would be taken for a card, so the kernel's table is read instead.
    """
    until = time.monotonic() + _START_DEADLINE
    while not _listening(port):
        if os.waitid(os.P_PID, daemon, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            raise CannotStart("pcscd ended at its start; its reason is in pcscd.log")
        if time.monotonic() > until:
            raise CannotStart("pcscd never opened its virtual reader; its reason is in pcscd.log")
        time.sleep(0.005)


def _listening(port: int) -> bool:
    rows = Path("/proc/self/net/tcp").read_text(encoding="ascii").splitlines()[1:]
    fields = (row.split() for row in rows)
    return any(field[3] == "0A" and field[1].endswith(f":{port:04X}") for field in fields)


def _free_port() -> int:
    """A port that is free together with the next one: the virtual reader has two slots."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = int(first.getsockname()[1])
            with contextlib.suppress(OSError, OverflowError):
                second.bind(("127.0.0.1", port + 1))
                return port


def _watch(daemon: int, wake: Callable[[], None]) -> None:
    with contextlib.suppress(ChildProcessError):
        os.waitid(os.P_PID, daemon, os.WEXITED | os.WNOWAIT)
    wake()


def _end(daemon: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(daemon, signal.SIGTERM)
    until = time.monotonic() + _STOP_DEADLINE / 2
    while time.monotonic() < until:
        with contextlib.suppress(ChildProcessError):
            if not os.waitpid(daemon, os.WNOHANG)[0]:
                time.sleep(0.005)
                continue
        return
    with contextlib.suppress(ProcessLookupError, ChildProcessError):
        os.kill(daemon, signal.SIGKILL)
        os.waitpid(daemon, 0)


def main() -> int:
    """The child's whole life; see the module's text. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m cardreader.softcard")
    parser.add_argument("--run-dir", type=Path)
    parser.add_argument("--save", action="store_true")
    parser.add_argument("--probe", action="store_true")
    options = parser.parse_args()
    try:
        if options.probe:
            _isolation()
        else:
            os.umask(0o077)
            _serve(options.run_dir, save=options.save)
    except CannotStart as error:
        print(str(error) if options.probe else json.dumps({"missing": str(error)}), flush=True)  # noqa: T201 - for the parent
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
