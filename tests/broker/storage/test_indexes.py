"""Old or new, always whole: an index is swapped under its readers, and killed at any moment."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from bench.crl import NOW, Maker, entries
from broker.errors import SettingsError
from broker.jpki.index import ListRefused
from broker.jpki.scan import Octets
from broker.storage.indexes import FileSource, IndexFolder

POINT = "CN=Chiyoda,O=JPKI-TEST,C=JP"
KEY = b"k" * 32
ROOT = Path(__file__).parents[3]
CA = Maker.fresh()
FULL_CAMPAIGN = int(os.environ.get("INDEX_KILLS", "10"))
"""How many writers are killed; `INDEX_KILLS=500 pytest tests/broker/storage/test_indexes.py` is the whole campaign."""


def serials(number: int, count: int = 3000) -> list[int]:
    """The list of that number holds these and no others: number, number + 1000, …"""
    return [number + 1000 * place for place in range(1, count + 1)]


def crl(number: int, *, base: int | None = None, count: int = 3000) -> bytes:
    listed = np.array(serials(number, count), np.uint64)
    return CA.crl(entries(listed, np.random.default_rng(number)), number=number, base=base)


def put(folder: IndexFolder, data: bytes) -> None:
    folder.put(POINT, KEY, Octets(data), issuer=CA.certificate, now=NOW)


def number_in_force(folder: IndexFolder) -> int:
    """Of a list that is whole: the number it says, all its entries, and nobody else's."""
    held = folder.get(POINT, KEY)
    assert held is not None
    number = held.index.heading.number
    assert number is not None
    assert len(held.index) == 3000
    assert all(held.index.holds(serial) for serial in serials(number)[::97])
    assert not any(held.index.holds(serial + 1) for serial in serials(number)[::97])
    return number


def test_a_list_put_in_one_place_is_found_there_alone_with_the_time_it_came(tmp_path: Path) -> None:
    folder = IndexFolder(tmp_path / "new" / "folder")
    assert folder.get(POINT, KEY) is None
    put(folder, crl(1))
    held = IndexFolder(tmp_path / "new" / "folder").get(POINT, KEY)
    assert held is not None
    assert (held.fetched_at, held.delta, len(held.index)) == (NOW, None, 3000)
    assert folder.get(POINT, b"another key") is None
    assert folder.get("CN=Elsewhere", KEY) is None


def test_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    put(IndexFolder(tmp_path / "folder"), crl(1))
    assert (tmp_path / "folder").stat().st_mode & 0o077 == 0
    assert all(file.stat().st_mode & 0o077 == 0 for file in (tmp_path / "folder").glob("*.index"))


def test_a_refused_list_leaves_the_old_one_and_no_rest(tmp_path: Path) -> None:
    folder = IndexFolder(tmp_path)
    put(folder, crl(7))
    for worse in (crl(6), crl(8)[:-1], Maker.fresh().crl(b"", number=9)):
        with pytest.raises(ListRefused):
            put(folder, worse)
    assert number_in_force(folder) == 7
    assert not list(tmp_path.glob("*.new"))


def test_an_operator_may_accept_a_size_that_is_refused(tmp_path: Path) -> None:
    folder = IndexFolder(tmp_path)
    put(folder, crl(7, count=30_000))
    with pytest.raises(ListRefused, match="entries went from 30000 to 3000"):
        put(folder, crl(8))
    folder.put(POINT, KEY, Octets(crl(8)), issuer=CA.certificate, now=NOW, any_size=True)
    assert number_in_force(folder) == 8


def test_a_damaged_file_is_no_list_and_a_process_that_has_the_old_one_keeps_it(tmp_path: Path) -> None:
    folder = IndexFolder(tmp_path)
    put(folder, crl(7))
    assert number_in_force(folder) == 7
    (file,) = tmp_path.glob("*.index")
    broken = bytearray(file.read_bytes())
    broken[100] ^= 1
    beside = tmp_path / "beside"
    beside.write_bytes(broken)
    beside.rename(file)
    assert number_in_force(folder) == 7
    assert IndexFolder(tmp_path).get(POINT, KEY) is None


def test_a_delta_list_goes_with_its_base_until_a_complete_one_overtakes_it(tmp_path: Path) -> None:
    folder, other = IndexFolder(tmp_path), IndexFolder(tmp_path)
    with pytest.raises(ListRefused, match="numbered list to build on"):
        put(folder, crl(8, base=7, count=5))
    put(folder, crl(7))
    put(folder, crl(9, base=7, count=5))
    held = other.get(POINT, KEY)
    assert held is not None
    assert held.delta is not None
    assert (held.index.heading.number, held.delta.heading.number, held.delta.heading.base) == (7, 9, 7)
    with pytest.raises(ListRefused, match="number went back"):
        put(folder, crl(8, base=7, count=5))
    put(folder, crl(10))
    held = other.get(POINT, KEY)
    assert held is not None
    assert (held.index.heading.number, held.delta) == (10, None)


def test_a_delta_of_ten_thousand_is_visible_to_another_process_within_a_second(tmp_path: Path) -> None:
    put(IndexFolder(tmp_path), crl(1, count=100_000))
    watch = """
import sys, time
from pathlib import Path
from broker.storage.indexes import IndexFolder
folder = IndexFolder(Path(sys.argv[1]))
print("ready", flush=True)
while (held := folder.get(sys.argv[2], b"k" * 32)) is None or held.delta is None:
    time.sleep(0.002)
print(time.time(), held.delta.holds(10_000_002), flush=True)
"""
    delta = crl(2, base=1, count=10_000)
    folder = IndexFolder(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", watch, str(tmp_path), POINT],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    ) as watcher:
        assert watcher.stdout is not None
        assert watcher.stdout.readline() == "ready\n"
        time.sleep(0.05)
        began = time.time()
        put(folder, delta)
        seen, held = watcher.stdout.readline().split()
    assert held == "True"
    assert float(seen) - began < 1.0, "the bench holds it to 0.25 s; here other tests share the processor"


def test_lookups_go_on_while_lists_are_swapped(tmp_path: Path) -> None:
    folder = IndexFolder(tmp_path)
    put(folder, crl(1))
    done, failures, looked = threading.Event(), [], [0]

    def look() -> None:
        while not done.is_set():
            try:
                number_in_force(folder)
                looked[0] += 1
            except Exception as failure:  # any failure is what the test is about
                failures.append(failure)
                return

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(2, 40):
        put(IndexFolder(tmp_path), crl(number))
    done.set()
    for thread in threads:
        thread.join()
    assert failures == []
    assert looked[0] > 38
    assert number_in_force(folder) == 39


WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from broker.storage.indexes import FileSource, IndexFolder
from bench.crl import NOW
folder = IndexFolder(Path(sys.argv[1]))
issuer = Path(sys.argv[2], "ca").read_bytes()
print("ready", flush=True)
number = int(sys.argv[4])
for each in (number, number + 1):
    with Path(sys.argv[2], f"{each % 10}").open("rb") as file:
        folder.put("CN=Chiyoda,O=JPKI-TEST,C=JP", b"k" * 32, FileSource(file), issuer=issuer, now=NOW)
"""


@pytest.mark.timeout(120 + 3 * FULL_CAMPAIGN)
def test_a_writer_killed_at_any_moment_leaves_the_old_list_or_the_new_one_whole(tmp_path: Path) -> None:
    lists, folder = tmp_path / "lists", tmp_path / "folder"
    lists.mkdir()
    (lists / "ca").write_bytes(CA.certificate)
    put(IndexFolder(folder), crl(1))
    generator, last, swapped = random.Random(1), 1, 0
    for round_ in range(FULL_CAMPAIGN):
        for number in (last + 1, last + 2):
            (lists / f"{number % 10}").write_bytes(crl(number))
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(folder), str(lists), str(ROOT), str(last + 1)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"ready\n", round_
            time.sleep(generator.random() * 0.02)
            writer.kill()
        now = number_in_force(IndexFolder(folder))
        assert last <= now <= last + 2
        swapped += now > last
        last = now
    put(IndexFolder(folder), crl(last + 1))
    assert not list(folder.glob("*.new")), "the next writer takes away what killed ones left"
    assert FULL_CAMPAIGN < 100 or 0 < swapped < FULL_CAMPAIGN


def test_a_long_list_is_read_from_a_file_without_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("broker.storage.indexes._SPOOL", 10_000)
    folder, data = IndexFolder(tmp_path), crl(3)
    with folder.spool(data[at : at + 999] for at in range(0, len(data), 999)) as source:
        assert isinstance(source, FileSource)
        folder.put(POINT, KEY, source, issuer=CA.certificate, now=NOW)
    assert number_in_force(folder) == 3
    assert sorted(file.suffix for file in tmp_path.iterdir()) == [".index"]


def test_a_folder_that_cannot_be_made_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="revocation_directory"):
        IndexFolder(tmp_path / "file" / "folder")


def test_a_list_from_the_future_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ListRefused, match="future"):
        put(IndexFolder(tmp_path), CA.crl(b"", this_update=NOW + timedelta(minutes=6)))
