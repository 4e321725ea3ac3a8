"""The witness that others run: what it answers, what is on its disk before it answers, and its commands."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from broker.__main__ import main
from broker.audit.cosignature import cosigned_at
from broker.audit.note import COSIGNATURE, Note, NoteKey, read_key, read_lines
from broker.audit.witness import Seen, Submission
from broker.commands.witness import open_witness
from broker.errors import SettingsError, StoreUnavailable
from broker.network.outbound import OutboundGuard
from broker.network.witness import GuardedWitnesses
from broker.witness.service import WitnessService
from broker.witness.state import WitnessState
from tests.broker.audit.loghouse import Log, log_of
from tests.registerhouse import NOW, ask, witness_service


def handed(log: Log, old: int, new: int | None = None) -> bytes:
    return Submission(
        old_size=old, proof=log.consistency(old, new), note=log.note(new), checkpoint=log.checkpoint(new)
    ).to_bytes()


def line_holds(log: Log, size: int, answer: bytes, key: NoteKey) -> bool:
    return cosigned_at(Note(text=log.note(size).text, lines=read_lines(answer.decode())), key=key) == NOW


def test_a_growing_log_is_cosigned_and_a_stale_one_told_the_size(tmp_path: Path) -> None:
    log = log_of(9)
    service = witness_service(tmp_path, "w.example", log.key)
    for old, new in ((0, 4), (4, 4), (4, 9)):
        status, headers, answer = ask(service, "POST", "/add-checkpoint", handed(log, old, new))
        assert (status, headers["Content-Type"]) == (200, "text/plain; charset=utf-8")
        assert line_holds(log, new, answer, service.key)
        assert service.state.seen(log.name) == Seen(size=new, root=log.checkpoint(new).root)
    status, headers, answer = ask(service, "POST", "/add-checkpoint", handed(log, 0, 5))
    assert (status, headers["Content-Type"], answer) == (409, "text/x.tlog.size", b"9\n")
    again = WitnessState(tmp_path / "w.example.db")
    assert again.seen(log.name).size == 9
    assert again.logs() == {log.name: (9, int(NOW.timestamp()))}


def test_refusals_have_the_statuses_of_the_protocol_and_change_nothing(tmp_path: Path) -> None:
    log, stranger = log_of(9), log_of(9, name="other.example/log")
    service = witness_service(tmp_path, "w.example", log.key)
    ask(service, "POST", "/add-checkpoint", handed(log, 0, 5))
    fork = log_of(9)
    fork.signer, fork.entries[1] = log.signer, b"rewritten"
    for body, status in (
        (b"", 400),
        (handed(log, 5)[:-1], 400),
        (handed(stranger, 0), 404),
        (handed(log_of(9), 5), 403),
        (handed(log, 3), 409),
        (handed(fork, 5), 422),
        (b"x" * 100_000, 413),
    ):
        assert ask(service, "POST", "/add-checkpoint", body)[0] == status
    assert service.state.seen(log.name) == Seen(size=5, root=log.checkpoint(5).root)
    assert ask(service, "GET", "/add-checkpoint")[0] == 405
    assert ask(service, "POST", "/other")[0] == 404
    status, _headers, answer = ask(service, "GET", "/")
    assert (status, read_key(answer.decode().strip(), type=COSIGNATURE)) == (200, service.key)


def test_of_many_that_hand_in_different_trees_at_once_the_state_only_grows(tmp_path: Path) -> None:
    log = log_of(40)
    service = witness_service(tmp_path, "w.example", log.key)
    ask(service, "POST", "/add-checkpoint", handed(log, 0, 10))

    def run(new: int) -> tuple[int, int]:
        return new, ask(service, "POST", "/add-checkpoint", handed(log, 10, new))[0]

    with ThreadPoolExecutor(8) as pool:
        answers = dict(pool.map(run, range(11, 41)))
    cosigned = [new for new, status in answers.items() if status == 200]
    assert len(cosigned) == 1
    assert service.state.seen(log.name).size == cosigned[0]
    assert set(answers.values()) == {200, 409}


def test_a_state_moves_from_what_was_seen_alone(tmp_path: Path) -> None:
    state = WitnessState(tmp_path / "seen.db")
    first, second = Seen(size=3, root=b"a" * 32), Seen(size=5, root=b"b" * 32)
    values: dict[str, Any] = {"note": b"", "at": 1}
    assert not state.advance("log", before=first, after=second, **values)
    assert state.advance("log", before=Seen(), after=first, **values)
    assert not state.advance("log", before=Seen(), after=second, **values)
    other = Seen(size=3, root=b"c" * 32)
    assert not state.advance("log", before=other, after=second, **values)
    assert state.advance("log", before=first, after=second, **values)
    assert state.seen("log") == second


def test_a_witness_whose_disk_fails_cosigns_nothing(tmp_path: Path) -> None:
    log = log_of(3)
    service = witness_service(tmp_path, "w.example", log.key)
    service.state.close()
    (tmp_path / "w.example.db").write_bytes(b"no database")
    assert ask(service, "POST", "/add-checkpoint", handed(log, 0))[0] == 503
    with pytest.raises(StoreUnavailable):
        WitnessState(tmp_path / "nowhere" / "seen.db")


# --- as a program ----------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "word").write_text("a passphrase\n")
    return tmp_path


def command(*words: object) -> str:
    done = CliRunner().invoke(main, ["witness", *map(str, words)])
    assert done.exit_code == 0, done.output
    return done.output


def opened(folder: Path) -> WitnessService:
    return open_witness(folder / "w", "a passphrase")


def test_a_witness_is_made_once_and_trusts_the_logs_it_is_told(folder: Path) -> None:
    log = log_of(3)
    line = command("init", folder / "w", "--name", "w1.example", "--passphrase-file", folder / "word")
    word, name, vkey = line.split()
    assert (word, name) == ("witness", "w1.example")
    assert opened(folder).key == read_key(vkey, type=COSIGNATURE)
    again = CliRunner().invoke(
        main, ["witness", "init", str(folder / "w"), "--name", "x", "--passphrase-file", str(folder / "word")]
    )
    assert again.exit_code == 3
    assert ask(opened(folder), "POST", "/add-checkpoint", handed(log, 0))[0] == 404
    assert "from the next start" in command("trust", folder / "w", log.key.to_text())
    assert "already" in command("trust", folder / "w", log.key.to_text())
    assert ask(opened(folder), "POST", "/add-checkpoint", handed(log, 0))[0] == 200
    assert CliRunner().invoke(main, ["witness", "trust", str(folder / "w"), vkey]).exit_code == 1
    with pytest.raises(SettingsError):
        open_witness(folder / "w", "another passphrase")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_a_served_witness_keeps_its_word_over_a_kill(folder: Path) -> None:
    log, port = log_of(30), free_port()
    command("init", folder / "w", "--name", "w1.example", "--passphrase-file", folder / "word")
    command("trust", folder / "w", log.key.to_text())
    words = ["-m", "broker", "witness", "serve", str(folder / "w"), "--passphrase-file", str(folder / "word")]
    client = GuardedWitnesses(guard=OutboundGuard(allow_loopback_http=True))
    url, seen = f"http://127.0.0.1:{port}", 0
    for new in (10, 20):
        program = subprocess.Popen(
            [sys.executable, *words, "--port", str(port)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        )
        try:
            wait_for(url)
            if seen:
                assert client.add_checkpoint(url, handed(log, 0, new)) == seen
            answer = client.add_checkpoint(url, handed(log, seen, new))
            assert isinstance(answer, str)
            assert read_lines(answer)[0].name == "w1.example"
            seen = new
        finally:
            os.killpg(program.pid, signal.SIGKILL)
            program.wait()
    assert opened(folder).state.seen(log.name).size == 20


def wait_for(url: str) -> None:
    until = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except (urllib.error.URLError, OSError):
            assert time.monotonic() < until, "the witness did not start"
            time.sleep(0.1)
