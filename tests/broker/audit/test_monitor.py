"""A stranger who looks again and again: growth is taken in, and everything else has its name and its evidence."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from broker.__main__ import main
from broker.audit.leaf import Happening, Leaf
from broker.audit.monitor import Watched, look, read_watched
from broker.audit.policy import read_policy
from broker.audit.tiles import Tile, bundle, tiles_of
from broker.errors import BrokerError, CheckpointInvalid, RegisterForked, WitnessMissing
from tests.broker.audit.loghouse import NOW, Log, Party, log_of, witness


def leaf(number: int, event: Happening = Happening.ISSUE) -> bytes:
    return Leaf(event=event, commit=number.to_bytes(32, "big"), at=NOW + timedelta(seconds=number)).to_bytes()


def leaves(count: int) -> Log:
    made = log_of(0)
    made.append(
        *(leaf(number, Happening.STATUS_EPOCH if number % 10 == 9 else Happening.ISSUE) for number in range(count))
    )
    return made


def files(log: Log, size: int | None = None) -> Callable[[Tile], bytes]:
    size = len(log.entries) if size is None else size

    def read(tile: Tile) -> bytes:
        assert tile in set(tiles_of(size))
        return bundle(log.entries[tile.first : tile.first + tile.width])

    return read


def the_same(data: bytes) -> Callable[[Tile], bytes]:
    """Whatever tile is asked for."""
    return lambda _tile: data


def test_growth_is_taken_in_from_where_the_last_look_ended() -> None:
    log, known = leaves(700), None
    policy = read_policy(f"log {log.key.to_text()}\nquorum none\n".encode())
    before = 0
    for size in (1, 1, 255, 256, 257, 600, 700):
        found = look(known, log.note(size).to_bytes(), policy=policy, read=files(log, size))
        assert (found.added, found.watched.size) == (size - before, size)
        assert found.watched.root == log.checkpoint(size).root
        known = read_watched(found.watched.to_json())
        assert known == found.watched
        assert known.newest == NOW + timedelta(seconds=size - 1)
        before = size
    assert look(None, log.note().to_bytes(), policy=policy, read=files(log)).events == {
        "issue": 630,
        "status-epoch": 70,
    }


def test_a_fork_a_rollback_and_rewritten_entries_are_told_apart() -> None:
    log = leaves(300)
    policy = read_policy(f"log {log.key.to_text()}\nquorum none\n".encode())
    known = look(None, log.note(200).to_bytes(), policy=policy, read=files(log, 200)).watched
    with pytest.raises(RegisterForked) as refused:
        look(known, log.note(150).to_bytes(), policy=policy, read=files(log, 150))
    assert refused.value.rolled_back
    fork = leaves(300)
    fork.signer = log.signer
    fork.entries[7] = leaf(1000)
    for size in (200, 250):
        with pytest.raises(RegisterForked) as refused:
            look(known, fork.note(size).to_bytes(), policy=policy, read=files(fork, size))
        assert not refused.value.rolled_back
    with pytest.raises(RegisterForked):  # the signed tree is right, the files are not its entries
        look(
            known, log.note().to_bytes(), policy=policy, read=lambda tile: files(log)(tile).replace(b'"t":1', b'"t":2')
        )


def test_signatures_and_witnesses_are_judged_at_every_look() -> None:
    log, first = leaves(20), witness("w.example")
    policy = read_policy(f"log {log.key.to_text()}\nwitness w {first.key.to_text()}\nquorum w\n".encode())
    note = log.note()
    with pytest.raises(WitnessMissing):
        look(None, note.to_bytes(), policy=policy, read=files(log))
    cosigned = note.with_lines([first.cosign(note, at=NOW + timedelta(days=1))])
    assert look(None, cosigned.to_bytes(), policy=policy, read=files(log)).watched.newest == NOW + timedelta(days=1)
    impostor = replace(log, signer=Party(name="x").signer)
    for data in (impostor.note().to_bytes(), note.to_bytes()[:-3], b""):
        with pytest.raises(CheckpointInvalid):
            look(None, data, policy=policy, read=files(log))
    other = log_of(3, name="other.example/log")
    both = read_policy(f"log {log.key.to_text()}\nlog {other.key.to_text()}\nquorum none\n".encode())
    known = look(None, note.to_bytes(), policy=both, read=files(log)).watched
    with pytest.raises(CheckpointInvalid, match="was watched"):
        look(known, other.note().to_bytes(), policy=both, read=files(other))


def test_entries_of_no_form_of_ours_are_counted_and_hashed() -> None:
    log = leaves(3)
    log.append(b"something else")
    policy = read_policy(f"log {log.key.to_text()}\nquorum none\n".encode())
    assert look(None, log.note().to_bytes(), policy=policy, read=files(log)).watched.odd == 1
    for data in (b"", b"\x00", bundle(log.entries[:3])):
        with pytest.raises(CheckpointInvalid):
            look(None, log.note().to_bytes(), policy=policy, read=the_same(data))


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"origin": 1}', "x" * 300_000])
def test_somebody_elses_file_is_refused(text: str) -> None:
    with pytest.raises(CheckpointInvalid):
        read_watched(text)
    log = leaves(9)
    policy = read_policy(f"log {log.key.to_text()}\nquorum none\n".encode())
    bent = Watched(origin=log.name, size=4, root=log.checkpoint(4).root)
    with pytest.raises(BrokerError):
        look(bent, log.note().to_bytes(), policy=policy, read=files(log))


# --- as a command ----------------------------------------------------------------------------------------------------


def put(folder: Path, log: Log, size: int) -> None:
    """A static copy of the log."""
    for tile in tiles_of(size):
        if tile.level is None:
            path = folder / tile.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(bundle(log.entries[tile.first : tile.first + tile.width]))
    (folder / "checkpoint").write_bytes(log.note(size).to_bytes())


def monitor(folder: Path, *options: str) -> tuple[int, dict[str, object]]:
    done = CliRunner().invoke(
        main,
        [
            *("register", "monitor", str(folder / "log"), "--policy", str(folder / "policy")),
            *("--state", str(folder / "state"), "--json", *options),
        ],
    )
    return done.exit_code, json.loads(done.output)


def test_the_command_ends_by_what_it_found(tmp_path: Path) -> None:
    log = leaves(300)
    policy = f"log {log.key.to_text()}\nquorum none\n"
    (tmp_path / "policy").write_text(policy)
    age = str(10**9)
    assert monitor(tmp_path, "--max-age", age)[0] == 5
    put(tmp_path / "log", log, 200)
    status, found = monitor(tmp_path, "--max-age", age)
    assert (status, found["size"], found["added"], found["verdict"]) == (0, 200, 200, "ok")
    put(tmp_path / "log", log, 260)
    assert monitor(tmp_path, "--max-age", age)[1]["added"] == 60
    assert monitor(tmp_path, "--max-age", "1")[0] == 14
    state = (tmp_path / "state").read_bytes()
    put(tmp_path / "log", log, 250)
    status, found = monitor(tmp_path, "--max-age", age)
    assert (status, found["verdict"]) == (11, "rollback")
    fork = leaves(300)
    fork.signer, fork.entries[3] = log.signer, leaf(77)
    put(tmp_path / "log", fork, 290)
    status, found = monitor(tmp_path, "--max-age", age)
    assert (status, found["verdict"]) == (10, "fork")
    assert found["evidence"] == [log.note(260).to_bytes().decode(), fork.note(290).to_bytes().decode()]
    assert (tmp_path / "state").read_bytes() == state
    (tmp_path / "log" / "checkpoint").write_bytes(log.note(260).to_bytes().replace(b"260", b"261"))
    assert monitor(tmp_path, "--max-age", age)[0] == 12
    put(tmp_path / "log", log, 260)
    (tmp_path / "policy").write_text(policy.replace("quorum none", f"witness w {witness('w').key.to_text()}\nquorum w"))
    assert monitor(tmp_path, "--max-age", age)[0] == 13
