"""Others judge the register: the code that Go checks its module log with, and openssl, over an exported copy."""

from __future__ import annotations

import base64
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from broker.audit.checkpoint import open_checkpoint
from broker.audit.note import NoteKey, read_note
from broker.audit.tiles import tiles_of
from broker.flows.register import append, log_key, proof, witness
from broker.flows.register_files import checkpoint_file, log_file
from broker.keys.live import open_keys
from broker.keys.rotation import create
from broker.storage import migrations
from broker.storage.engine import open_engine
from broker.storage.store import SQLStore
from tests.gohouse import built
from tests.registerhouse import Neighbours, leaf, register_of, witness_service

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
ORIGIN = "op.example/register-log/2026"
OLD, SIZE, INDEX = 700, 66_000, 65_777
PROGRAM = Path(__file__).parents[1] / "interop" / "programs" / "register.go"


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A log that was published twice, and its newest state as files."""
    folder = tmp_path_factory.mktemp("log")
    create(folder / "keys", "word", issuer="https://op.example", now=NOW, agent_root_out=folder / "root.json")
    keys = open_keys(folder / "keys", "word")
    url = f"sqlite:///{folder / 'broker.db'}"
    migrations.upgrade(url)
    engine = open_engine(url)
    store = SQLStore(engine)
    key, _signer = log_key(keys, ORIGIN)
    seen_by = Neighbours({"https://w.example": witness_service(folder, "w.example", key, clock=lambda: NOW)})
    register = register_of(seen_by)
    ports = SimpleNamespace(store=store, keys=keys, clock=lambda: NOW, register=register)
    old_root = b""
    for first, count in ((0, OLD), (OLD, SIZE - OLD)):
        with store.transaction() as tx:
            append(tx, keys, origin=ORIGIN, leaves=[leaf(number) for number in range(first, first + count)])
        assert witness(ports, register, origin=ORIGIN)["published"] == 1  # type: ignore[arg-type]  # all it looks at
        with store.transaction() as tx:
            note = checkpoint_file(tx, ORIGIN)
            assert note is not None
            old_root = old_root or open_checkpoint(note, keys=[key]).checkpoint.root
    static = folder / "static"
    with store.transaction() as tx:
        for tile in tiles_of(SIZE):
            data = log_file(tx, ORIGIN, tile)
            assert data is not None
            (static / tile.path).parent.mkdir(parents=True, exist_ok=True)
            (static / tile.path).write_bytes(data)
        hashes = proof(tx, origin=ORIGIN, index=INDEX).hashes
    (static / "checkpoint").write_bytes(note)
    engine.dispose()
    return SimpleNamespace(folder=static, key=key, note=note, old_root=old_root, hashes=hashes)


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Go program over an exported copy."""
    return built(PROGRAM, tmp_path_factory.mktemp("go"))


def judged(judge: Path, log: SimpleNamespace, **changes: object) -> subprocess.CompletedProcess[str]:
    told = SimpleNamespace(**{**vars(log), "old": OLD, "index": INDEX, **changes})
    words = [told.folder, told.key.to_text(), told.old, b64(told.old_root), told.index, *map(b64, told.hashes)]
    return subprocess.run([judge, *map(str, words)], capture_output=True, text=True, check=False, timeout=100)


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.mark.timeout(400)
def test_gos_own_log_code_finds_nothing_wrong(judge: Path, log: SimpleNamespace) -> None:
    done = judged(judge, log)
    assert (done.returncode, done.stdout) == (0, f"ok {SIZE}\n"), done.stderr


@pytest.mark.timeout(400)
def test_gos_own_log_code_sees_what_was_changed(judge: Path, log: SimpleNamespace, tmp_path: Path) -> None:
    hashes = (bytes(32), *log.hashes[1:])
    other = NoteKey(name=log.key.name, type=log.key.type, key=bytes(31) + b"\x01")
    for change in (
        {"old_root": bytes(32)},
        {"old": OLD + 1},
        {"index": INDEX - 1},
        {"hashes": hashes},
        {"hashes": log.hashes[:-1]},
        {"key": other},
    ):
        assert judged(judge, log, **change).returncode == 1
    for path, place in (("tile/entries/120", 4000), ("tile/0/200", 7), ("tile/1/000", 99), ("checkpoint", 40)):
        shutil.copytree(log.folder, tmp_path / "log", dirs_exist_ok=True)
        data = bytearray((log.folder / path).read_bytes())
        data[place] ^= 4
        (tmp_path / "log" / path).write_bytes(data)
        assert judged(judge, log, folder=tmp_path / "log").returncode == 1, path


def test_openssl_confirms_the_logs_signature(log: SimpleNamespace, tmp_path: Path) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("missing: openssl")
    note = read_note(log.note)
    line = note.by(log.key)
    assert line is not None
    spki = bytes.fromhex("302a300506032b6570032100") + log.key.key  # RFC 8410 §4
    (tmp_path / "key.der").write_bytes(spki)
    (tmp_path / "signature").write_bytes(line.signature)

    def verify(text: str) -> int:
        (tmp_path / "text").write_bytes(text.encode())
        words = ["pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", str(tmp_path / "key.der"), "-rawin"]
        words += ["-in", str(tmp_path / "text"), "-sigfile", str(tmp_path / "signature")]
        return subprocess.run([openssl, *words], capture_output=True, check=False, timeout=60).returncode

    assert verify(note.text) == 0
    assert verify(note.text.replace(str(SIZE), str(SIZE + 1))) != 0
