"""The private daemon as a program: it starts, obeys its tray, ends with whoever started it, leaves nothing behind."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from cardreader import cardfile
from cardreader.__main__ import main
from cardreader.emulator import SoftwareCard
from cardreader.softcard import CannotStart, PrivatePCSCD, TrayClient, TrayFault, serve_tray
from cardreader.tray import SoftwareReaders, Tray
from tests.cardreader.conftest import CardMaker
from tests.pcscd import SKIP_PREFIX, for_child, missing_piece


@pytest.fixture
def run_dir() -> Iterator[Path]:
    missing = missing_piece()
    if missing is not None:
        pytest.skip(SKIP_PREFIX + missing)
    with tempfile.TemporaryDirectory(prefix="pcscd-") as folder:
        yield Path(folder)


@pytest.fixture
def cards(tmp_path: Path, card_maker: CardMaker) -> Path:
    cardfile.save(card_maker(), tmp_path / "hanako.json")
    (tmp_path / "index.json").write_text("[]", encoding="ascii")
    return tmp_path


def command(cards: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cardreader", "softcard", "--resident", "hanako", "--cards", str(cards), "--", *words],
        env=for_child(os.environ),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def children_of(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]


def gone(pid: int, *, within: float = 5.0) -> bool:
    until = time.monotonic() + within
    while time.monotonic() < until:
        try:
            if "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text(encoding="utf-8"):
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.02)
    return False


@pytest.mark.usefixtures("run_dir")
def test_command_gets_the_daemons_socket_and_its_exit_status_is_handed_on(cards: Path) -> None:
    shown = command(cards, "sh", "-c", 'test -S "$PCSCLITE_CSOCK_NAME" && echo "$PCSCLITE_CSOCK_NAME"; exit 7')
    assert shown.returncode == 7
    assert shown.stdout.strip().endswith("pcscd.comm")
    assert not Path(shown.stdout.strip()).exists()


@pytest.mark.usefixtures("run_dir")
def test_counters_are_written_back_into_the_card_file(cards: Path) -> None:
    wrong = (
        "from cardreader import jpki_ap\nfrom cardreader.apdu import converse\n"
        "from cardreader.pcsc import PCSCReaders\n"
        "with PCSCReaders().connect() as connection:\n"
        "    converse(jpki_ap.read_card(), connection.transmit)\n"
        "    converse(jpki_ap.verify_auth_pin('0000'), connection.transmit)"
    )
    shown = command(cards, sys.executable, "-c", wrong)
    assert "PINRejected" in shown.stderr
    assert cardfile.load(cards / "hanako.json").auth.tries == 2


@pytest.mark.usefixtures("run_dir")
def test_sigterm_reaches_the_command_and_ends_all(cards: Path) -> None:
    words = ["--resident", "hanako", "--cards", str(cards), "--", "sh", "-c", "echo $$; exec sleep 60"]
    started = subprocess.Popen(
        [sys.executable, "-m", "cardreader", "softcard", *words],
        env=for_child(os.environ),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert started.stdout is not None
    with started.stdout:
        program = int(started.stdout.readline())
    others = children_of(started.pid)
    time.sleep(0.1)  # the handler is set just after the command's start
    started.terminate()
    assert started.wait(10) == 128 + signal.SIGTERM
    assert all(gone(pid) for pid in {program, *others})


def test_unknown_resident_is_named_together_with_those_there_are(cards: Path) -> None:
    shown = CliRunner().invoke(main, ["softcard", "--resident", "taro", "--cards", str(cards), "--", "true"])
    assert shown.exit_code == 2
    assert "taro" in shown.output
    assert "hanako" in shown.output
    assert "index" not in shown.output


def test_a_name_that_leads_out_of_the_folder_is_refused(cards: Path) -> None:
    inner = cards / "inner"
    inner.mkdir()
    shown = CliRunner().invoke(main, ["softcard", "--resident", "../hanako", "--cards", str(inner), "--", "true"])
    assert shown.exit_code == 2


def test_sockets_are_the_owners_alone(run_dir: Path) -> None:
    with PrivatePCSCD(run_dir, save=False) as daemon:
        for path in (daemon.socket_path, daemon.control_path):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_leaving_ends_both_processes_and_removes_the_sockets(run_dir: Path) -> None:
    with PrivatePCSCD(run_dir, save=False) as daemon:
        launcher = next(pid for pid in children_of(os.getpid()) if str(run_dir).encode() in command_line(pid))
        pcscd = children_of(launcher)
        assert len(pcscd) == 1
        assert daemon.status().card is None
    assert not daemon.running
    assert gone(launcher)
    assert gone(pcscd[0])
    assert not daemon.socket_path.exists()
    assert not daemon.control_path.exists()


def command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def test_the_daemon_dies_with_a_parent_that_was_killed(run_dir: Path) -> None:
    script = (
        "import pathlib, sys, time; from cardreader.softcard import PrivatePCSCD\n"
        "with PrivatePCSCD(pathlib.Path(sys.argv[1]), save=False): print('up', flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script, str(run_dir)],
        env=for_child(os.environ),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    with parent.stdout:
        assert parent.stdout.readline() == "up\n"
    (launcher,) = children_of(parent.pid)
    (pcscd,) = children_of(launcher)
    parent.kill()
    parent.wait()
    assert gone(launcher)
    assert gone(pcscd)


def test_a_killed_daemon_ends_its_launcher(run_dir: Path) -> None:
    with PrivatePCSCD(run_dir, save=False) as daemon:
        launcher = next(pid for pid in children_of(os.getpid()) if str(run_dir).encode() in command_line(pid))
        os.kill(children_of(launcher)[0], signal.SIGKILL)
        assert gone(launcher)
        with pytest.raises(TrayFault):
            daemon.status()


def test_a_run_directory_too_long_for_a_socket_is_refused_by_name(run_dir: Path) -> None:
    with pytest.raises(CannotStart, match="too long"), PrivatePCSCD(run_dir / ("x" * 120), save=False):
        pass


def test_tray_answers_over_its_socket(tmp_path: Path, cards: Path, card_maker: CardMaker) -> None:
    cardfile.save(card_maker(tries=1, kind="juki"), cards / "taro.json")
    tray = Tray(save=True)
    with tempfile.TemporaryDirectory(prefix="tray-") as folder, serve_tray(tray, Path(folder) / "tray"):
        client = TrayClient(Path(folder) / "tray")
        assert client.status().card is None
        assert client.status().reader
        with pytest.raises(TrayFault, match="no card"):
            client.reset_pin()
        first = client.insert(cards / "hanako.json")
        assert first.auth_tries == 3
        assert first.sign_tries == 5
        swapped = client.insert(cards / "taro.json")
        assert swapped.card != first.card
        assert swapped.auth_tries == 1
        assert client.reset_pin().auth_tries == 3
        assert cardfile.load(cards / "taro.json").auth.tries == 3
        with pytest.raises(TrayFault, match=r"index\.json"):
            client.insert(cards / "index.json")
        assert client.status().card == swapped.card
        assert client.remove().card is None
    with pytest.raises(TrayFault):
        client.status()


def test_unplugged_software_reader_is_named(card_maker: CardMaker) -> None:
    from cardreader.errors import NoReader

    tray = Tray()
    tray.insert_card(SoftwareCard(card_maker()))
    tray.reader_present = False
    with pytest.raises(NoReader), SoftwareReaders(tray).connect():
        pass


# Runs what follows its name where mount(2) is refused, as containers and AppArmor often refuse it while they allow the
# namespaces: a seccomp filter (linux/seccomp.h, linux/filter.h), which holds for this process and its children alone.
WITHOUT_MOUNTS = """
import ctypes, os, struct, sys
number = {"x86_64": 165, "aarch64": 40}[os.uname().machine]
rows = [(0x20, 0, 0, 0), (0x15, 0, 1, number), (0x06, 0, 0, 0x00050000 | 1), (0x06, 0, 0, 0x7FFF0000)]
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *row) for row in rows))
class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]
program = Program(len(rows), ctypes.cast(code, ctypes.c_void_p))
libc = ctypes.CDLL(None, use_errno=True)
if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.byref(program), 0, 0):
    sys.exit(77)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""
READ_A_CARD = """
import sys, tempfile
from pathlib import Path
from cardreader.softcard import CannotStart, PrivatePCSCD
try:
    with tempfile.TemporaryDirectory(prefix="pcscd-") as folder, PrivatePCSCD(Path(folder), save=False) as daemon:
        print(daemon.isolation, daemon.insert(Path(sys.argv[1])).auth_tries)
except CannotStart as missing:
    print("cannot start:", missing)
"""


def test_where_only_the_mounts_are_forbidden_the_card_is_reached_without_isolation(run_dir: Path, cards: Path) -> None:
    if os.uname().machine not in ("x86_64", "aarch64"):
        pytest.skip("the filter knows two kinds of machine")
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_MOUNTS, "-c", READ_A_CARD, str(cards / "hanako.json")],
        env=for_child(os.environ),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode == 77:
        pytest.skip("this system takes no filter")
    if "and there is no /run/pcscd" in done.stdout:
        assert os.geteuid() != 0  # only root, or a machine whose pcscd is installed, can do without namespaces
        return
    assert done.stdout == "shared 3\n", done.stderr
