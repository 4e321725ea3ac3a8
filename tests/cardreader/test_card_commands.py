"""The commands about a card, with a software card in their reader: what they print, write, cost and end in."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import pty
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from cardreader.__main__ import main
from cardreader.apdu import VERIFY, CommandAPDU, ResponseAPDU
from cardreader.authentication import APDUCards
from cardreader.cardfile import CardFile
from cardreader.commands import session
from cardreader.commands.session import CARD, Surroundings
from cardreader.emulator import SoftwareCard
from cardreader.pinpad import PINPad
from cardreader.transport import CardConnection, CountingConnection
from cardreader.tray import SoftwareReaders, Tray
from tests.cardreader.conftest import CardMaker, ThroughPCSCD

Run = Callable[..., Result]


@dataclass
class Desk:
    """A tray, and a person who types what the test says and remembers what was asked."""

    tray: Tray = field(default_factory=Tray)
    typed: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def put(self, card: CardFile) -> None:
        self.tray.insert_card(SoftwareCard(card))

    def ask(self, prompt: str) -> str:
        self.asked.append(prompt)
        return self.typed.pop(0)

    def __call__(self, *arguments: str, typed: tuple[str, ...] = (), answers: str = "") -> Result:
        self.typed = list(typed)
        around = Surroundings(readers=lambda _: SoftwareReaders(self.tray), ask=self.ask)
        return CliRunner().invoke(main, arguments, obj=around, input=answers)


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setenv("LC_ALL", "en_GB.UTF-8")
    return Desk()


def test_info_tells_kind_certificates_and_tries(desk: Desk, card_maker: CardMaker) -> None:
    desk.put(card_maker(tries=2))
    shown = desk("info", "--json")
    assert shown.exit_code == 0
    assert json.loads(shown.output) == {
        "kind": "plastic",
        "reader": "software",
        "certificates": ["auth", "sign"],
        "auth_tries_left": 2,
        "sign_tries_left": 5,
    }
    assert "kind of card: plastic" in desk("info").output


def test_a_child_s_card_without_a_signing_key_is_no_error(desk: Desk, card_maker: CardMaker) -> None:
    desk.put(card_maker(sign=False))
    document = json.loads(desk("info", "--json").output)
    assert (document["certificates"], document["sign_tries_left"]) == (["auth"], None)


def test_a_blocked_signing_password_leaves_the_rest_readable(desk: Desk, card_maker: CardMaker) -> None:
    card = card_maker()
    assert card.sign is not None
    desk.put(replace(card, sign=replace(card.sign, tries=0)))
    assert json.loads(desk("pin", "status", "--json").output) == {"auth_tries_left": 3, "sign_tries_left": 0}
    assert "signing password: locked" in desk("pin", "status").output
    assert desk("certificate").exit_code == 0


def test_the_certificate_is_printed_as_pem_or_der(desk: Desk, card_maker: CardMaker) -> None:
    desk.put(card_maker())
    printed = desk("certificate")
    parsed = x509.load_pem_x509_certificate(printed.output.encode())
    assert parsed.public_bytes(serialization.Encoding.DER) == card_maker.certificate
    assert desk("certificate", "--der").stdout_bytes == card_maker.certificate
    assert desk("certificate", "--ca", "--der").stdout_bytes == card_maker.certificate
    assert desk("certificate", "--ca", "--sign", "--der").stdout_bytes == card_maker.certificate
    assert desk.asked == []


def test_the_signing_certificate_and_a_phone_s_want_the_secret_first(desk: Desk, card_maker: CardMaker) -> None:
    desk.put(card_maker())
    assert desk("certificate", "--sign", "--der", typed=("abc123",)).stdout_bytes == card_maker.certificate
    assert desk.asked == ["signing password (6 to 16 letters and digits), tries left: 5"]
    desk.put(card_maker(kind="iphone"))
    assert desk("certificate", "--der", typed=("1234",)).stdout_bytes == card_maker.certificate
    assert desk.asked[1] == "PIN (four digits), tries left: 3"


@pytest.mark.parametrize("typed", ["12a4", "１２３４", "12345", ""])
def test_what_is_no_pin_is_refused_before_the_card(desk: Desk, card_maker: CardMaker, typed: str) -> None:
    desk.put(card_maker(kind="android"))
    refused = desk("certificate", typed=(typed,))
    assert refused.exit_code == CARD
    assert "CARD-015" in refused.stderr
    assert desk.tray.status().auth_tries == 3


@pytest.mark.parametrize("typed", ["ABC12", "A" * 17, "ＡＢＣ１２３", "ABC-123"])
def test_what_is_no_signing_password_is_refused_before_the_card(
    desk: Desk, card_maker: CardMaker, typed: str, tmp_path: Path
) -> None:
    desk.put(card_maker())
    (tmp_path / "file").write_bytes(b"x")
    refused = desk("sign-file", str(tmp_path / "file"), typed=(typed,))
    assert (refused.exit_code, "CARD-024" in refused.stderr) == (CARD, True)
    assert desk.tray.status().sign_tries == 5


def test_a_wrong_signing_password_costs_its_own_counter_and_says_so(
    desk: Desk, card_maker: CardMaker, tmp_path: Path
) -> None:
    desk.put(card_maker())
    (tmp_path / "file").write_bytes(b"x")
    refused = desk("sign-file", str(tmp_path / "file"), typed=("WRONG1",))
    assert refused.exit_code == CARD
    assert "Tries left: 4." in refused.stderr
    assert "CARD-026" in refused.stderr
    assert "WRONG1" not in refused.output
    assert (desk.tray.status().auth_tries, desk.tray.status().sign_tries) == (3, 4)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def test_the_last_try_is_made_only_when_a_person_says_so(desk: Desk, card_maker: CardMaker) -> None:
    desk.put(card_maker(kind="android", tries=1))
    stopped = desk("certificate", typed=("9999",), answers="n\n")
    assert stopped.exit_code == 1
    assert desk.asked == []
    assert desk.tray.status().auth_tries == 1
    assert desk("certificate", typed=("9999",), answers="y\n").exit_code == CARD
    assert desk.tray.status().auth_tries == 0
    assert "CARD-018" in desk("certificate", typed=("1234",)).stderr
    assert len(desk.asked) == 1


def test_a_pin_is_changed(desk: Desk, card_maker: CardMaker) -> None:
    desk.put(card_maker())
    assert desk("pin", "change", typed=("1234", "9876", "9876")).exit_code == 0
    assert desk("pin", "change", typed=("9876", "1111", "1111")).exit_code == 0
    assert desk("pin", "change", "--sign", typed=("abc123", "newpass1", "newpass1")).exit_code == 0
    card = desk.tray.card
    assert card is not None
    assert card.card.sign is not None
    assert (card.card.auth.pin, card.card.sign.pin) == ("1111", "NEWPASS1")


@pytest.mark.parametrize(
    ("typed", "status"),
    [(("1234", "9876", "9875"), 1), (("1234", "98765", "98765"), CARD), (("12a4", "9876", "9876"), CARD)],
    ids=["differ", "new one is no PIN", "old one is no PIN"],
)
def test_a_change_that_cannot_be_costs_no_try_and_changes_nothing(
    desk: Desk, card_maker: CardMaker, typed: tuple[str, ...], status: int
) -> None:
    desk.put(card_maker(tries=2))
    assert desk("pin", "change", typed=typed).exit_code == status
    card = desk.tray.card
    assert card is not None
    assert (card.card.auth.pin, card.card.auth.tries) == ("1234", 2)


def test_an_empty_reader_is_told_in_the_terminal_s_language(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    told = desk("info", "--json")
    assert told.exit_code == CARD
    assert json.loads(told.output)["error"] == "CARD-003"
    monkeypatch.setenv("LC_ALL", "ja_JP.UTF-8")
    assert "カードが見つかりません。" in desk("info").stderr


class KeyedConnection:
    """A reader with keys: what is typed there, the reader puts into the command itself."""

    def __init__(self, inner: CardConnection, typed: str) -> None:
        self._inner, self._typed = inner, typed

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    def transmit(self, command: CommandAPDU) -> ResponseAPDU:
        return self._inner.transmit(command)

    def pin_pad(self) -> PINPad:
        return PINPad(verify_control_code=7, min_length=4, max_length=8)

    def verify_on_pin_pad(self, control_code: int, structure: bytes, *, seconds: float) -> ResponseAPDU:
        assert (control_code, seconds) == (7, 30)
        return self._inner.transmit(CommandAPDU(ins=VERIFY, p2=structure[22], data=self._typed.encode()))


@dataclass
class KeyedReaders:
    inner: SoftwareReaders
    typed: str

    @contextlib.contextmanager
    def connect(self) -> Iterator[CardConnection]:
        with self.inner.connect() as connection:
            yield KeyedConnection(connection, self.typed)  # type: ignore[misc]  # the rest is the inner one's


@pytest.mark.parametrize(("typed", "status", "tries"), [("1234", 0, 3), ("9999", CARD, 2)])
def test_a_reader_s_own_keys_take_the_pin_and_the_terminal_is_not_asked(
    desk: Desk, card_maker: CardMaker, typed: str, status: int, tries: int
) -> None:
    desk.put(card_maker(kind="android"))
    readers = KeyedReaders(inner=SoftwareReaders(desk.tray), typed=typed)
    around = Surroundings(readers=lambda _: readers, ask=desk.ask)
    done = CliRunner().invoke(main, ["certificate", "--der"], obj=around)
    assert (done.exit_code, desk.asked) == (status, [])
    assert "card reader's own keys" in done.stderr
    assert desk.tray.status().auth_tries == tries


def test_a_password_with_letters_and_a_named_means_leave_the_keys_alone(desk: Desk, card_maker: CardMaker) -> None:
    desk.put(card_maker(kind="android"))
    desk.typed = ["abc123", "1234"]
    readers = KeyedReaders(inner=SoftwareReaders(desk.tray), typed="9999")
    around = Surroundings(readers=lambda _: readers, ask=desk.ask)
    assert CliRunner().invoke(main, ["certificate", "--sign"], obj=around).exit_code == 0
    assert CliRunner().invoke(main, ["certificate"], obj=replace(around, uses_pin_pad=False)).exit_code == 0
    assert len(desk.asked) == 2
    assert desk.tray.status().auth_tries == 3


PINENTRY = """#!{python}
import sys
print("OK here", flush=True)
for line in sys.stdin:
    if line.startswith("GETPIN"):
        print("D {typed}", flush=True)
    if line.startswith("SETPROMPT"):
        open({log!r}, "w").write(line)
    print("OK", flush=True)
"""


def test_the_commands_ask_by_the_same_means_as_the_agent_in_the_same_order(
    desk: Desk, card_maker: CardMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, log = tmp_path / "pinentry", tmp_path / "asked"
    program.write_text(PINENTRY.format(python=sys.executable, typed="abc123", log=str(log)), encoding="ascii")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    desk.put(card_maker())

    def run(means: str) -> Result:
        around = Surroundings(
            readers=lambda _: SoftwareReaders(desk.tray), ask=partial(session.ask_person, pin_entry=means)
        )
        return CliRunner().invoke(main, ["certificate", "--sign", "--der"], obj=around)

    assert run("pinentry").stdout_bytes == card_maker.certificate
    assert "signing password (6 to 16 letters and digits), tries left: 5" in log.read_text()
    log.unlink()
    refused = run("native")  # never replaced silently
    assert (refused.exit_code, "no window" in refused.stderr, log.exists()) == (1, True, False)
    monkeypatch.setenv("DISPLAY", ":77")  # no such display: the window cannot be shown, so pinentry is next
    monkeypatch.setattr("cardreader.agent.means.find_window", lambda _: None)
    assert run("auto").stdout_bytes == card_maker.certificate
    assert log.exists()
    assert desk.tray.status().sign_tries == 5


def test_extended_length_reads_the_same_certificate_in_fewer_commands(desk: Desk, card_maker: CardMaker) -> None:
    desk.put(card_maker())
    counted: list[CountingConnection] = []

    class Counting:
        @contextlib.contextmanager
        def connect(self) -> Iterator[CardConnection]:
            with SoftwareReaders(desk.tray).connect() as connection:
                counted.append(CountingConnection(connection))
                yield counted[-1]

    around = Surroundings(readers=lambda _: Counting(), ask=desk.ask)
    for options in ((), ("--extended-length",)):
        printed = CliRunner().invoke(main, ["certificate", "--der", *options], obj=around)
        assert printed.stdout_bytes == card_maker.certificate
    with APDUCards(Counting(), extended_length=True).connect() as card:
        assert card.present().certificate == card_maker.certificate
    assert [one.apdus for one in counted] == [6, 2, 3]


def openssl(*arguments: str) -> subprocess.CompletedProcess[str]:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl (Debian package openssl)")
    return subprocess.run(["openssl", *arguments], capture_output=True, text=True, timeout=30, check=False)


def verified(signature: Path, file: Path, anchor: Path) -> subprocess.CompletedProcess[str]:
    trust = ["-CAfile", str(anchor), "-purpose", "any", "-partial_chain"]
    content = ["-content", str(file), "-out", os.devnull]
    return openssl("cms", "-verify", "-cades", "-inform", "DER", "-binary", "-in", str(signature), *content, *trust)


@pytest.fixture
def anchor(card_maker: CardMaker, tmp_path: Path) -> Path:
    path = tmp_path / "anchor.pem"
    certificate = x509.load_der_x509_certificate(card_maker.certificate)
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return path


def test_a_signed_file_verifies_with_openssl_and_a_changed_one_does_not(
    desk: Desk, card_maker: CardMaker, tmp_path: Path, anchor: Path
) -> None:
    desk.put(card_maker())
    file = tmp_path / "契約書.txt"
    file.write_bytes("甲は乙に\r\n".encode())
    made = desk("sign-file", str(file), typed=("abc123",))
    assert made.exit_code == 0, made.output
    signature = tmp_path / "契約書.txt.p7s"
    assert signature.stat().st_mode & 0o777 == 0o600
    assert "Verification successful" in verified(signature, file, anchor).stderr
    file.write_bytes("乙は甲に\r\n".encode())
    assert verified(signature, file, anchor).returncode != 0


def test_a_signature_that_is_there_is_kept(desk: Desk, card_maker: CardMaker, tmp_path: Path) -> None:
    desk.put(card_maker())
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "file.p7s").write_bytes(b"mine")
    assert desk("sign-file", str(tmp_path / "file"), typed=("abc123",)).exit_code == 2
    assert (tmp_path / "file.p7s").read_bytes() == b"mine"
    assert desk("sign-file", "--force", str(tmp_path / "file"), typed=("abc123",)).exit_code == 0
    assert (tmp_path / "file.p7s").read_bytes() != b"mine"


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    ours, theirs = pty.openpty()
    yield ours, theirs
    os.close(ours)


def test_the_password_is_typed_on_a_terminal_which_does_not_show_it(
    through_pcscd: ThroughPCSCD,
    card_maker: CardMaker,
    tmp_path: Path,
    anchor: Path,
    terminal: tuple[int, int],
) -> None:
    through_pcscd.insert(card_maker())
    file = tmp_path / "file"
    file.write_bytes(b"content")
    ours, theirs = terminal
    program = subprocess.Popen(
        [sys.executable, "-m", "cardreader", "sign-file", str(file)],
        env={**through_pcscd.environment, "LC_ALL": "C.UTF-8", "PYTHONPATH": str(Path(__file__).parents[2])},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    shown = read_until(ours, b"tries left: 5")
    time.sleep(0.2)  # the terminal stops showing what is typed after its question
    os.write(ours, b"abc123\n")
    shown += read_until(ours, None)
    assert program.wait(20) == 0, shown
    assert b"abc123" not in shown
    assert "Verification successful" in verified(tmp_path / "file.p7s", file, anchor).stderr


def read_until(terminal: int, words: bytes | None) -> bytes:
    """What the terminal shows up to `words`, or to the program's end."""
    shown = b""
    while words is None or words not in shown:
        try:
            chunk = os.read(terminal, 4096)
        except OSError as error:
            if error.errno != errno.EIO:  # EIO: the program has ended
                raise
            chunk = b""
        if not chunk:
            return shown
        shown += chunk
    return shown


def test_a_password_is_not_taken_from_a_pipe(
    through_pcscd: ThroughPCSCD, card_maker: CardMaker, tmp_path: Path
) -> None:
    through_pcscd.insert(card_maker())
    (tmp_path / "file").write_bytes(b"content")
    refused = subprocess.run(
        [sys.executable, "-m", "cardreader", "sign-file", str(tmp_path / "file")],
        env={**through_pcscd.environment, "LC_ALL": "C.UTF-8", "PYTHONPATH": str(Path(__file__).parents[2])},
        input=b"abc123\n",
        capture_output=True,
        timeout=30,
        start_new_session=True,  # no controlling terminal
        check=False,
    )
    assert refused.returncode == 1
    assert b"typed on a terminal" in refused.stderr
    assert through_pcscd.status().sign_tries == 5
