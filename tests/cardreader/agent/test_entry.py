"""Where the PIN is typed beside the page: which means is taken, what it shows, and what comes back from it."""

from __future__ import annotations

import contextlib
import os
import pty
import shutil
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardreader.agent import window
from cardreader.agent.action import Action, Document
from cardreader.agent.entry import (
    EntryUnavailable,
    PINAsker,
    PinPrompt,
    Secret,
    choose,
    choose_for_password,
    typed_pin,
    write_prompt,
)
from cardreader.agent.native import NativeWindow, find_window
from cardreader.agent.pinentry import AssuanFault, Pinentry, escape, read_reply
from cardreader.agent.terminal import Terminal
from cardreader.errors import PINRejected

PROMPT = PinPrompt(
    phrase="みどりの自転車",
    client="みほん銀行",
    client_vetted=True,
    origin="https://login.example.jp",
    tries_left=3,
    act=Action(kind="login"),
)
CURSES = shutil.which("pinentry-curses")
SYSTEM_PYTHON = "/usr/bin/python3"

# A program that speaks the protocol as pinentry does; it writes down what it was told, and never what it answers.
FAKE = """#!{python}
import sys, time
told = open({told!r}, "w", encoding="utf-8")
print("OK Pleased to meet you", flush=True)
for line in sys.stdin:
    told.write(line); told.flush()
    word = line.split()[0]
    if word == "GETPIN":
        {getpin}
    elif word == "OPTION" and "lc-ctype" in line:
        print("ERR 83886254 Unknown option <Pinentry>", flush=True)
    else:
        print("# a comment", flush=True)
        print("OK", flush=True)
"""


class Programs:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.told = folder / "told"

    def make(self, getpin: str) -> str:
        path = self.folder / "pinentry"
        path.write_text(FAKE.format(python=sys.executable, told=str(self.told), getpin=getpin), encoding="utf-8")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return str(path)

    def ask(self, getpin: str, *, seconds: float = 20, stop: threading.Event | None = None) -> str | None:
        asker = Pinentry(self.make(getpin), environment={"LC_ALL": "C.UTF-8", "PATH": os.defpath})
        return asker.ask(PROMPT, seconds=seconds, stop=stop or threading.Event())


@pytest.fixture
def programs(tmp_path: Path) -> Programs:
    return Programs(tmp_path)


def test_every_prompt_shows_phrase_service_origin_act_and_tries_in_both_languages() -> None:
    japanese = write_prompt(PROMPT)
    assert "みどりの自転車" in japanese.lines[0]
    assert any("みほん銀行" in line for line in japanese.lines)
    assert any("https://login.example.jp" in line for line in japanese.lines)
    assert "残り3回入力できます。" in japanese.lines
    english = write_prompt(
        PinPrompt(
            phrase="みどりの自転車",
            client=None,
            client_vetted=False,
            origin="https://login.example.jp",
            tries_left=None,
            act=Action(kind="login", released=("name", "address")),
            language="en",
            error=PINRejected(2),
        )
    )
    text = "\n".join(english.lines)
    assert "not reviewed" in text
    assert "Name, Address" in text
    assert english.label.isascii()
    assert english.error.endswith(")")
    assert english.error.isascii()


def test_the_phrase_of_a_terminal_that_everybody_uses_is_called_the_terminals() -> None:
    told = write_prompt(replace(PROMPT, is_shared=True)).lines
    assert told[0] == "この端末の合言葉：みどりの自転車"
    assert "掲示された" in told[1]


def test_blanks_are_dropped_and_full_width_digits_are_left_to_be_refused() -> None:
    assert typed_pin(" 1234 ") == "1234"
    assert typed_pin("１２３４") == "１２３４"
    assert len(typed_pin("9" * 1000)) == 64


class _Asker:
    def __init__(self, name: str) -> None:
        self.name = name


def _choice(wanted: str, *, display: bool, program: str | None, has_tkinter: bool) -> str:
    chosen: PINAsker | None = choose(
        wanted,
        environment={"DISPLAY": ":0"} if display else {},
        find=lambda _: program,
        window=lambda: _Asker("native") if has_tkinter else None,  # type: ignore[arg-type,return-value]  # the name is all
        pinentry=lambda _: _Asker("pinentry"),  # type: ignore[arg-type,return-value]  # that is looked at here
        terminal=lambda: _Asker("terminal"),  # type: ignore[arg-type,return-value]  # as above
    )
    return "page" if chosen is None else chosen.name


@pytest.mark.parametrize(
    ("wanted", "display", "program", "has_tkinter", "chosen"),
    [
        ("auto", True, "/x/pinentry-gtk-2", True, "native"),
        ("auto", True, "/x/pinentry-gtk-2", False, "pinentry"),
        ("auto", True, "/x/pinentry-curses", False, "page"),
        ("auto", True, None, False, "page"),
        ("auto", False, "/x/pinentry-gtk-2", True, "page"),
        ("native", True, None, True, "native"),
        ("pinentry", False, "/x/pinentry-curses", True, "pinentry"),
        ("page", True, "/x/pinentry-gtk-2", True, "page"),
        ("terminal", True, None, True, "terminal"),
    ],
)
def test_window_comes_before_pinentry_before_the_page(
    wanted: str, display: bool, program: str | None, has_tkinter: bool, chosen: str
) -> None:
    assert _choice(wanted, display=display, program=program, has_tkinter=has_tkinter) == chosen


@pytest.mark.parametrize(
    ("wanted", "display", "program", "has_tkinter", "chosen"),
    [
        ("auto", True, "/x/pinentry-gtk-2", True, "native"),
        ("auto", True, "/x/pinentry-gtk-2", False, "pinentry"),
        ("auto", True, "/x/pinentry-curses", False, None),
        ("auto", False, None, True, None),
        ("page", True, None, True, "native"),
        ("page", False, "/x/pinentry-gtk-2", True, None),
        ("terminal", True, "/x/pinentry-gtk-2", False, "pinentry"),
        ("terminal", False, "/x/pinentry-curses", False, None),
        ("pinentry", False, "/x/pinentry-curses", True, "pinentry"),
        ("native", True, "/x/pinentry-gtk-2", True, "native"),
    ],
)
def test_signing_password_is_typed_in_a_window_or_pinentry_or_not_at_all(
    wanted: str, display: bool, program: str | None, has_tkinter: bool, chosen: str | None
) -> None:
    asker: PINAsker | None = choose_for_password(
        wanted,
        environment={"DISPLAY": ":0"} if display else {},
        find=lambda _: program,
        window=lambda: _Asker("native") if has_tkinter else None,  # type: ignore[arg-type,return-value]  # as above
        pinentry=lambda _: _Asker("pinentry"),  # type: ignore[arg-type,return-value]  # as above
    )
    assert (None if asker is None else asker.name) == chosen


def test_prompt_for_the_signing_password_speaks_of_it_alone_and_lists_what_is_signed(programs: Programs) -> None:
    shown = Document(
        name="契約書.pdf", sha256=b"d" * 32, size=1234, media_type="application/pdf", form="pades", to_sign=b""
    )
    bare = Document(name="x" * 200, sha256=b"d" * 32, size=None, media_type=None, form="raw", to_sign=b"d" * 32)
    act = Action(kind="sign", released=("age_over_20",), documents=(shown, bare))
    prompt = replace(PROMPT, act=act, secret=Secret.SIGNING, tries_left=5)
    japanese, english = write_prompt(prompt), write_prompt(replace(prompt, language="en"))
    assert japanese.title == "署名用パスワードを入力してください"
    assert japanese.label == "署名用パスワード（英数字6〜16文字）"
    assert "署名する文書：契約書.pdf (PDF、1,234バイト)" in japanese.lines
    assert any("20歳以上かどうか" in line for line in japanese.lines)
    assert "残り5回入力できます。 4桁の暗証番号とは別に数えます。" in japanese.lines
    assert english.title == "Enter your signing password"
    assert any("PDF, 1,234 bytes" in line for line in english.lines)
    assert any("Neither the authentication service" in line for line in english.lines)
    asker = Pinentry(programs.make("print('D ABC123'); print('OK', flush=True)"), environment={"PATH": os.defpath})
    assert asker.ask(prompt, seconds=20, stop=threading.Event()) == "ABC123"
    told = programs.told.read_text(encoding="utf-8")
    assert "SETPROMPT 署名用パスワード" in told
    assert "契約書.pdf" in told


@pytest.mark.parametrize(("wanted", "display"), [("native", False), ("native", True), ("pinentry", True)])
def test_a_named_means_that_is_not_there_is_never_replaced_silently(wanted: str, display: bool) -> None:
    with pytest.raises(EntryUnavailable):
        _choice(wanted, display=display, program=None, has_tkinter=False)


def test_pinentry_hands_over_what_was_typed_and_was_told_phrase_and_service(programs: Programs) -> None:
    assert programs.ask("print('S PASSWORD_FROM x'); print('D 12%2534'); print('OK', flush=True)") == "12%34"
    told = programs.told.read_text(encoding="utf-8")
    assert "みどりの自転車%0A" in told
    assert "みほん銀行" in told
    assert "SETTIMEOUT 20\n" in told
    assert "external-password-cache" not in told
    assert "SETERROR" not in told
    assert "12" not in told.replace("12%0A", "")


@pytest.mark.parametrize("code", [83886179, 83886142, 83886194])
def test_pinentry_that_was_closed_or_timed_out_is_a_person_who_gave_up(programs: Programs, code: int) -> None:
    assert programs.ask(f"print('ERR {code} gone <Pinentry>', flush=True)") is None


@pytest.mark.parametrize(
    "getpin",
    [
        "sys.exit(1)",
        "print('ERR 83886340 No tty <Pinentry>', flush=True)",
        "print('D ' + 'x' * 3000, flush=True)",
        "print('INQUIRE QUALITY', flush=True)",
        "print('ERR x', flush=True)",
        "[print('S again', flush=True) for _ in range(100)]",
    ],
)
def test_pinentry_that_fails_gives_way_to_the_page(programs: Programs, getpin: str) -> None:
    with pytest.raises(EntryUnavailable):
        programs.ask(getpin)


def test_pinentry_is_ended_when_the_request_is_ended_or_time_is_over(programs: Programs) -> None:
    stop = threading.Event()
    threading.Timer(0.5, stop.set).start()
    began = time.monotonic()
    assert programs.ask("time.sleep(60)", stop=stop) is None
    assert programs.ask("time.sleep(60)", seconds=0.2) is None
    assert time.monotonic() - began < 55


def test_missing_pinentry_gives_way_to_the_page(tmp_path: Path) -> None:
    with pytest.raises(EntryUnavailable):
        Pinentry(str(tmp_path / "none"), environment={}).ask(PROMPT, seconds=1, stop=threading.Event())


@given(st.lists(st.binary(max_size=1200), max_size=80))
def test_replies_of_any_bytes_end_in_a_reply_or_a_fault(lines: list[bytes]) -> None:
    rest = iter([*lines, b"OK"])

    def next_line() -> bytes:
        return next(rest)

    with contextlib.suppress(AssuanFault):
        reply = read_reply(next_line)
        assert len(reply.data) <= 1000


@given(st.text())
def test_no_text_can_begin_a_line_of_its_own(text: str) -> None:
    with contextlib.suppress(UnicodeEncodeError):
        escaped = escape(text).encode()
        assert not set(escaped) & {0, 10, 13}
        assert len(escaped) <= 1000 - 40


@pytest.mark.skipif(CURSES is None, reason="missing: pinentry-curses")
def test_the_real_pinentry_draws_the_prompt_and_returns_the_pin() -> None:
    assert CURSES is not None
    master, slave = pty.openpty()
    seen: list[bytes] = []
    environment = {"TERM": "xterm", "LC_ALL": "C.UTF-8", "PATH": os.defpath}
    asker = Pinentry(CURSES, environment=environment, terminal=os.ttyname(slave))

    def person() -> None:
        typed = False
        with contextlib.suppress(OSError):
            while True:
                seen.append(os.read(master, 4096))
                if not typed and b"login.example.jp" in b"".join(seen):
                    typed = True
                    time.sleep(0.3)
                    os.write(master, b"1234\r")

    reader = threading.Thread(target=person, daemon=True)
    reader.start()
    try:
        assert asker.ask(PROMPT, seconds=15, stop=threading.Event()) == "1234"
    finally:
        os.close(slave)
    drawn = b"".join(seen)
    assert "みどりの自転車".encode() in drawn
    assert b"1234" not in drawn


@pytest.fixture(scope="module")
def display() -> Iterator[str]:
    xvfb = shutil.which("Xvfb")
    if xvfb is None or find_window({}, interpreters=(SYSTEM_PYTHON,)) is None:
        pytest.skip("missing: Xvfb, or a system Python with tkinter")
    reading, writing = os.pipe()
    command = [xvfb, "-displayfd", str(writing), "-screen", "0", "800x600x24", "-nolisten", "tcp"]
    with subprocess.Popen(command, pass_fds=[writing], stderr=subprocess.DEVNULL) as server:
        os.close(writing)
        try:
            yield f":{os.read(reading, 16).decode().strip()}"
        finally:
            os.close(reading)
            server.terminate()


# The window's program with a hand at its keys: what a person does, from inside the same process.
HAND = """
import sys, tkinter
sys.path.insert(0, {folder!r})
import window
class Tk(tkinter.Tk):
    def __init__(self):
        super().__init__()
        self.after(400, self.type)
    def type(self):
        field = next(w for w in self.winfo_children()[0].winfo_children() if isinstance(w, tkinter.Entry))
        field.focus_force(); self.update()
        assert field.cget("show")
        for key in {keys!r}:
            field.event_generate("<Key-%s>" % key)
tkinter.Tk = Tk
sys.exit(window.main())
"""


@pytest.mark.parametrize(("keys", "typed"), [(["1", "2", "3", "4", "Return"], "1234"), (["1", "Escape"], None)])
def test_the_window_returns_what_was_typed_and_nothing_when_closed(
    display: str, tmp_path: Path, keys: list[str], typed: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    hand = tmp_path / "hand.py"
    hand.write_text(HAND.format(folder=str(Path(window.__file__).parent), keys=keys), encoding="utf-8")
    monkeypatch.setattr(window, "__file__", str(hand))
    asker = NativeWindow(SYSTEM_PYTHON, environment={"DISPLAY": display, "LC_ALL": "C.UTF-8"})
    assert asker.ask(PROMPT, seconds=20, stop=threading.Event()) == typed


def test_the_window_ends_by_itself_and_when_its_request_does(display: str) -> None:
    asker = NativeWindow(SYSTEM_PYTHON, environment={"DISPLAY": display, "LC_ALL": "C.UTF-8"})
    assert asker.ask(PROMPT, seconds=0.5, stop=threading.Event()) is None
    stop = threading.Event()
    threading.Timer(1, stop.set).start()
    began = time.monotonic()
    assert asker.ask(PROMPT, seconds=60, stop=stop) is None
    assert time.monotonic() - began < 55


def test_without_a_display_or_an_interpreter_the_window_gives_way() -> None:
    for interpreter in (sys.executable, "/nowhere/python3"):
        with pytest.raises(EntryUnavailable):
            NativeWindow(interpreter, environment={}).ask(PROMPT, seconds=5, stop=threading.Event())
    assert find_window({}, interpreters=("/nowhere/python3",)) is None


def test_the_terminal_asks_without_echo_and_an_empty_line_gives_up() -> None:
    script = (
        "import sys, threading\n"
        "from cardreader.agent.terminal import Terminal\n"
        "from tests.cardreader.agent.test_entry import PROMPT\n"
        "print('GOT', Terminal().ask(PROMPT, seconds=9, stop=threading.Event()) == sys.argv[1], file=sys.stdout)\n"
    )
    child, master = pty.fork()
    if child == 0:
        os.execv(sys.executable, [sys.executable, "-c", script, "1234"])  # noqa: S606  # no shell is wanted
    seen, typed = b"", False
    with contextlib.suppress(OSError):  # a terminal whose last writer is gone answers EIO: everything was read
        while piece := os.read(master, 4096):
            seen += piece
            if "4桁）: ".encode() in seen and not typed:
                typed = True
                time.sleep(0.2)
                os.write(master, b"1234\n")
    os.waitpid(child, 0)
    os.close(master)
    assert b"GOT True" in seen
    assert b"1234" not in seen
    assert "みどりの自転車".encode() in seen


def test_the_terminal_is_no_means_after_the_request_has_ended() -> None:
    stop = threading.Event()
    stop.set()
    assert Terminal().ask(PROMPT, seconds=9, stop=stop) is None
