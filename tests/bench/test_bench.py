"""The benchmark's arithmetic, and one quick run of it all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench import storage
from bench.__main__ import main
from bench.card import MAX_APDUS, MAX_BYTES_IN, CardCost, NotMeasured, count_opensc
from bench.rounds import Round, rows
from broker.storage.engine import open_engine


def test_the_median_round_counts_for_cpu_and_every_login_for_latency() -> None:
    rounds = [
        Round(kind="login", cpu_ns={"a": cpu, "b": 1_000}, milliseconds=[{"a": wait, "b": 1.0}])
        for cpu, wait in ((1_000, 1.0), (9_000, 2.0), (2_000, 9.0))
    ]
    first, second, total = rows(rounds)
    assert (first.step, first.cpu_us, first.p50_ms, first.p99_ms) == ("a", 2.0, 2.0, 9.0)
    assert first.spread == pytest.approx(4.0)
    assert second.cpu_us == 1.0
    assert (total.step, total.cpu_us, total.p99_ms) == ("total", 3.0, 10.0)


def test_kinds_stay_apart_and_in_their_order() -> None:
    rounds = [Round(kind=kind, cpu_ns={"x": 1.0}, milliseconds=[{"x": 1.0}]) for kind in "abab"]
    assert [row.kind for row in rows(rounds)] == ["a", "b"]


def test_apdus_are_counted_from_opensc_s_own_log() -> None:
    log = b"x Outgoing APDU (5 bytes):\n00\nIncoming APDU (258 bytes):\n..Outgoing APDU (12 bytes):\n"
    log += b"Incoming APDU (2 bytes):"
    assert count_opensc(log) == CardCost(apdus=2, bytes_out=17, bytes_in=260)
    with pytest.raises(NotMeasured):
        count_opensc(b"nothing of the kind")


def test_fewer_than_three_rounds_are_refused() -> None:
    assert CliRunner().invoke(main, ["--rounds", "2"]).exit_code == 2


def test_one_quick_run_prints_every_figure_and_keeps_the_cards_limits(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--quick", "--json", str(figures)],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(figures.read_text(encoding="utf-8"))
    steps = {(row["kind"], row["step"]) for row in document["rows"]}
    assert {("login with a card", step) for step in ("authorize", "card answer", "token", "total")} <= steps
    assert {("login on a session", step) for step in ("authorize", "token", "userinfo", "total")} <= steps
    assert all(row["cpu_us"] > 0 and 0 < row["p50_ms"] <= row["p99_ms"] for row in document["rows"])
    assert document["card"]["apdus"] <= MAX_APDUS
    assert document["card"]["bytes_in"] <= MAX_BYTES_IN
    assert document["certificate_bytes"] <= 1280
    assert set(document["versions"]) == {"machine", "interpreter", "OpenSSL", "server", "database"}
    lists = {figure["name"]: figure for figure in document["revocation"]["figures"]}
    for name in ("index", "cryptography", "delta of 10000, put and seen"):
        assert lists[name]["seconds"] > 0
    assert lists["index"]["lookup_us"] > 0
    assert "not measured" in lists["OpenSSL"]["missing"] or lists["OpenSSL"]["seconds"] > 0
    withdrawn, pulled = document["ends"]
    assert (withdrawn["missing"], withdrawn["served_after"], len(withdrawn["milliseconds"])) == ("", 0, 1)
    assert withdrawn["asked_after"] >= 2, "a refresh and userinfo at the least"
    assert pulled["missing"] or (pulled["asked_after"], pulled["served_after"]) == (1, 0)
    if document["opensc"] is None:
        assert document["opensc_missing"] in done.stdout
    else:
        assert document["opensc"]["apdus"] > document["opensc_forced"]["apdus"] > document["card"]["apdus"]
    costs = [(cost["apdus"], limit) for cost, limit in document["driver"].values()]
    assert [limit for _, limit in costs] == [9, 13, 3, 19, 29]
    assert all(apdus <= limit for apdus, limit in costs)
    if document["round_trip"] is None:
        assert document["round_trip_missing"] in done.stdout
    else:
        assert 0 < document["round_trip"]["raw"] < document["round_trip"]["ours"]


def test_the_storage_is_measured_three_ways_and_nothing_of_it_is_lost(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'bench.db'}"
    lines = storage.measure(url, rounds=1, units=100)
    assert {line.name for line in lines} == set(storage.UNITS)
    assert all(line.sqlalchemy_us > 0 and line.ours_us > 0 and line.driver_us > 0 for line in lines)
    assert storage.text(lines).count("\n") == len(lines) + 1
    engine = open_engine(url)
    with engine.connect() as connection:
        codes = connection.exec_driver_sql("SELECT count(*) FROM codes").scalar_one()
        rows = connection.exec_driver_sql("SELECT count(*) FROM audit").scalar_one()
    engine.dispose()
    ways, rounds = 3, 2
    assert codes == 1 + ways * rounds * 100
    assert rows == 1 + ways * rounds * 3 * 100, "written alone, in a unit and among others"
