"""The register on both engines: one appender at a time, all of an entry or nothing, and rows that stay."""

from __future__ import annotations

import itertools
import secrets
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Engine, delete, update
from sqlalchemy.exc import DatabaseError

from broker.audit.checkpoint import open_checkpoint
from broker.audit.merkle import consistency_proof, grow, hash_leaf, root_of, verify_consistency
from broker.audit.tiles import Tile, read_bundle
from broker.errors import StoreUnavailable, WitnessMissing
from broker.flows.ports import Ports
from broker.flows.register import append, log_key, nodes, origin_at, proof, submission, witness, witness_all
from broker.flows.register_files import checkpoint_file, log_file
from broker.flows.register_ports import Register
from broker.keys.live import LiveKeys, open_keys
from broker.keys.rotation import create
from broker.storage.schema import metadata
from broker.storage.store import SQLStore
from tests.registerhouse import NOW, Neighbours, leaf, officers_policy, register_of, witness_service


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> LiveKeys:
    folder = tmp_path_factory.mktemp("keys")
    create(folder / "keys", "word", issuer="https://op.example", now=NOW, agent_root_out=folder / "root.json")
    return open_keys(folder / "keys", "word")


@pytest.fixture
def origin() -> str:
    """A log of its own for each test; they share a database."""
    return f"op.example/register-log/{secrets.token_hex(8)}"


def ports_of(store: SQLStore, keys: LiveKeys, register: Register | None = None) -> Ports:
    """What the register's flows look at."""
    return SimpleNamespace(store=store, keys=keys, clock=lambda: NOW, register=register)  # type: ignore[return-value]  # all that they look at


def add(store: SQLStore, keys: LiveKeys, origin: str, first: int, count: int = 1) -> None:
    with store.transaction() as tx:
        append(tx, keys, origin=origin, leaves=[leaf(number) for number in range(first, first + count)])


def test_a_log_is_named_by_its_issuer_and_its_year() -> None:
    assert origin_at("https://op.example", NOW) == "op.example/register-log/2026"
    assert origin_at("http://localhost:8000", NOW) == "localhost:8000/register-log/2026"


def test_a_log_grows_entry_by_entry_and_its_head_is_signed(store: SQLStore, keys: LiveKeys, origin: str) -> None:
    key, _signer = log_key(keys, origin)
    heads = []
    for first, count in ((0, 1), (1, 3), (4, 252), (256, 1), (257, 300)):
        with store.transaction() as tx:
            logged = append(tx, keys, origin=origin, leaves=[leaf(number) for number in range(first, first + count)])
        assert [each.index for each in logged] == list(range(first, first + count))
        with store.transaction() as tx:
            head = tx.register_tree.head(origin)
            assert head is not None
            signed = open_checkpoint(head.note, keys=[key]).checkpoint
            assert (head.size, signed.size) == (first + count, first + count)
            assert signed.root == root_of(head.size, nodes(tx, origin, head.size))
            heads.append(signed)
    whole = grow(0, (), [hash_leaf(leaf(number).to_bytes()) for number in range(557)])
    assert heads[-1].root == whole.root
    with store.transaction() as tx:
        assert tx.register_tree.entries(origin, 250, 10) == tuple(leaf(n).to_bytes() for n in range(250, 260))
        assert len(tx.register_tree.hashes(origin, 1, 0, 256)) == 2
        for old, new in itertools.pairwise(heads):
            hashes = consistency_proof(old.size, new.size, nodes(tx, origin, new.size))
            verify_consistency(size1=old.size, root1=old.root, size2=new.size, root2=new.root, proof=hashes)


def test_of_a_unit_that_fails_nothing_is_left(store: SQLStore, keys: LiveKeys, origin: str) -> None:
    add(store, keys, origin, 0, 2)
    with pytest.raises(ZeroDivisionError), store.transaction() as tx:
        assert append(tx, keys, origin=origin, leaves=[leaf(2)])[0].index // 0
    with store.transaction() as tx:
        head = tx.register_tree.head(origin)
        assert head is not None
        assert head.size == 2
        assert len(tx.register_tree.entries(origin, 0, 9)) == 2


def test_an_entry_made_for_another_head_is_refused(store: SQLStore, keys: LiveKeys, origin: str) -> None:
    with store.transaction() as tx:
        stale = tx.register.lock(origin)
    add(store, keys, origin, 0, 1)
    growth = grow(0, (), [hash_leaf(b"other")], keep=8)
    with pytest.raises(StoreUnavailable, match="moved on"), store.transaction() as tx:
        tx.register.extend(stale, [b"other"], growth, b"note")
    with store.transaction() as tx:
        assert tx.register_tree.entries(origin, 0, 9) == (leaf(0).to_bytes(),)


def test_appenders_take_turns_and_none_forks_the_log(store: SQLStore, keys: LiveKeys, origin: str) -> None:
    add(store, keys, origin, 0, 1)

    def run(worker: int) -> list[int]:
        found = []
        for number in range(10):
            with store.transaction() as tx:
                (logged,) = append(tx, keys, origin=origin, leaves=[leaf(1 + worker * 100 + number)])
            found.append(logged.index)
        return found

    with ThreadPoolExecutor(4) as pool:
        indices = [index for found in pool.map(run, range(4)) for index in found]
    assert sorted(indices) == list(range(1, 41))
    with store.transaction() as tx:
        head = tx.register_tree.head(origin)
        assert head is not None
        entries = tx.register_tree.entries(origin, 0, 99)
        assert len(set(entries)) == head.size == 41
        assert (
            grow(0, (), map(hash_leaf, entries)).root
            == open_checkpoint(head.note, keys=[log_key(keys, origin)[0]]).checkpoint.root
        )


@pytest.mark.parametrize("table", ["register_entries", "register_nodes"])
def test_the_database_refuses_to_rewrite_the_register(own_engine: Engine, keys: LiveKeys, table: str) -> None:
    store = SQLStore(own_engine)
    add(store, keys, "op.example/log", 0, 300)
    rows = metadata.tables[table]
    for statement in (delete(rows), update(rows).values(log=2)):
        with own_engine.connect() as connection, pytest.raises(DatabaseError, match="append-only"):
            connection.execute(statement)


# --- witnesses -------------------------------------------------------------------------------------------------------


@pytest.fixture
def neighbours(tmp_path: Path, keys: LiveKeys, origin: str) -> Neighbours:
    key, _signer = log_key(keys, origin)
    return Neighbours(
        {f"https://w{number}.example": witness_service(tmp_path, f"w{number}.example", key) for number in range(2)}
    )


def test_an_entry_is_proved_once_a_quorum_has_seen_it(
    store: SQLStore, keys: LiveKeys, origin: str, neighbours: Neighbours
) -> None:
    register = register_of(neighbours)
    ports = ports_of(store, keys, register)
    policy = officers_policy(log_key(keys, origin)[0], register)
    for first, count in ((0, 1), (1, 2), (3, 300)):
        add(store, keys, origin, first, count)
        with store.transaction() as tx, pytest.raises(WitnessMissing):
            proof(tx, origin=origin, index=first + count - 1)
        assert witness(ports, register, origin=origin) == {"published": 1, "waiting": 0, "contradicted": 0}
        assert sum(witness(ports, register, origin=origin).values()) == 0  # nothing new
        with store.transaction() as tx:
            for index in (0, first, first + count - 1):
                made = proof(tx, origin=origin, index=index)
                seen = made.verify(leaf(index).to_bytes(), policy=policy)
                assert (seen.checkpoint.size, set(seen.cosigned)) == (first + count, {"w0", "w1"})


def test_without_a_quorum_nothing_is_published_and_the_log_goes_on(
    store: SQLStore, keys: LiveKeys, origin: str, neighbours: Neighbours
) -> None:
    register = register_of(neighbours)
    ports = ports_of(store, keys, register)
    add(store, keys, origin, 0, 5)
    neighbours.silent = {"https://w1.example"}
    assert witness(ports, register, origin=origin) == {"published": 0, "waiting": 1, "contradicted": 0}
    with store.transaction() as tx:
        assert checkpoint_file(tx, origin) is None
        assert log_file(tx, origin, Tile(level=None, number=0, width=5)) is None
    add(store, keys, origin, 5, 2)  # w0 is ahead of what is published now, and tells so
    neighbours.silent = set()
    assert witness(ports, register, origin=origin)["published"] == 1
    with store.transaction() as tx:
        assert proof(tx, origin=origin, index=4).index == 4


def test_one_witness_is_enough_where_the_policy_says_so(
    store: SQLStore, keys: LiveKeys, origin: str, neighbours: Neighbours
) -> None:
    register = register_of(neighbours, quorum="any")
    add(store, keys, origin, 0, 1)
    neighbours.silent = {"https://w0.example"}
    assert witness(ports_of(store, keys, register), register, origin=origin)["published"] == 1


def test_a_database_that_is_older_than_what_was_witnessed_is_an_alarm(
    store: SQLStore, keys: LiveKeys, origin: str, neighbours: Neighbours
) -> None:
    """As after a restore: the witnesses have seen more, or another entry at the same place."""
    register, other = register_of(neighbours), f"{origin}x"
    ports = ports_of(store, keys, register)
    add(store, keys, origin, 0, 5)
    for url, service in neighbours.services.items():
        with store.transaction() as tx:
            head = tx.register_tree.head(origin)
        assert head is not None
        assert isinstance(neighbours.add_checkpoint(url, submission(ports, head, old_size=0).to_bytes()), str)
        state = service.state
        seen = state.seen(origin)
        assert state.advance(other, before=state.seen(other), after=seen, note=b"", at=1)
        object.__setattr__(service, "logs", (*service.logs, log_key(keys, other)[0]))
    add(store, keys, other, 100, 3)
    assert witness(ports, register, origin=other) == {"published": 0, "waiting": 1, "contradicted": 2}
    add(store, keys, other, 200, 2)
    assert witness(ports, register, origin=other) == {"published": 0, "waiting": 1, "contradicted": 2}
    add(store, keys, other, 300, 2)  # past it, and still not what they saw: no proof leads there
    assert witness(ports, register, origin=other)["published"] == 0
    with store.transaction() as tx:
        assert tx.register_tree.published(other) is None


def test_a_witness_with_another_clock_or_key_counts_for_nothing(
    store: SQLStore, keys: LiveKeys, origin: str, tmp_path: Path
) -> None:
    key, _signer = log_key(keys, origin)
    late = witness_service(tmp_path, "late", key, clock=lambda: NOW - timedelta(minutes=11))
    register = register_of(Neighbours({"https://late.example": late}))
    add(store, keys, origin, 0, 1)
    assert witness(ports_of(store, keys, register), register, origin=origin)["waiting"] == 1
    impostor = witness_service(tmp_path / "..", f"x{secrets.token_hex(4)}", key)
    swapped = Register(policy=register.policy, witnesses=Neighbours({"https://late.example": impostor}))
    assert witness(ports_of(store, keys, swapped), swapped, origin=origin)["waiting"] == 1


def test_a_policy_without_witnesses_publishes_at_once(store: SQLStore, keys: LiveKeys, origin: str) -> None:
    register = register_of(Neighbours())
    add(store, keys, origin, 0, 3)
    assert witness(ports_of(store, keys, register), register, origin=origin)["published"] == 1
    assert witness_all(ports_of(store, keys)) == {"published": 0, "waiting": 0, "contradicted": 0}


def test_files_are_served_of_published_sizes_alone(store: SQLStore, keys: LiveKeys, origin: str) -> None:
    register = register_of(Neighbours())
    ports = ports_of(store, keys, register)
    for first, count in ((0, 10), (10, 260), (270, 20)):
        add(store, keys, origin, first, count)
        if count != 20:
            witness(ports, register, origin=origin)
    with store.transaction() as tx:
        note = checkpoint_file(tx, origin)
        assert note is not None
        assert open_checkpoint(note, keys=[log_key(keys, origin)[0]]).checkpoint.size == 270
        wanted: list[tuple[Any, int]] = [
            (Tile(level=None, number=0, width=10), 10),
            (Tile(level=0, number=0, width=10), 10),
            (Tile(level=None, number=0), 256),
            (Tile(level=0, number=1, width=14), 14),
            (Tile(level=1, number=0, width=1), 1),
        ]
        for tile, width in wanted:
            data = log_file(tx, origin, tile)
            assert data is not None
            assert len(data) == width * 32 if tile.level is not None else len(read_bundle(data, width=width)) == width
        for tile in (
            Tile(level=None, number=0, width=11),
            Tile(level=None, number=1, width=34),
            Tile(level=0, number=1),
            Tile(level=1, number=0, width=2),
            Tile(level=2, number=0, width=1),
            Tile(level=7, number=2**55, width=9),
        ):
            assert log_file(tx, origin, tile) is None
        assert log_file(tx, "elsewhere", Tile(level=0, number=0, width=10)) is None
        assert checkpoint_file(tx, "elsewhere") is None
