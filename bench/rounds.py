"""Rounds of logins, interleaved A B A B, and what they come to: medians of CPU, percentiles of latency."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bench.client import Attempt, LoginClient, batch
from bench.servers import Servers
from sandbox.series import percentile

CARD: Final = "login with a card"
SESSION: Final = "login on a session"
FLOOR: Final = "empty request"


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One batch of one kind of login: CPU in ns per login and step, and every login's times in milliseconds."""

    kind: str
    cpu_ns: Mapping[str, float]
    milliseconds: Sequence[Mapping[str, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table. `spread` is (highest - lowest round) / median of the CPU."""

    kind: str
    step: str
    cpu_us: float
    spread: float
    p50_ms: float
    p99_ms: float


def card_round(servers: Servers, client: LoginClient, count: int) -> tuple[Round, dict[str, str]]:
    """`count` logins with a fresh card signature each; answers the cookies of the last one too."""
    attempts = [Attempt() for _ in range(count)]
    requests: dict[int, str] = {}

    def show(attempt: Attempt) -> None:
        requests[id(attempt)] = client.login_page(attempt)

    meter = _Meter(servers, attempts)
    meter.measure("authorize", client.authorize)
    meter.measure("login page", show)
    batch(attempts, lambda attempt: client.sign(attempt, requests[id(attempt)]))
    meter.measure("card answer", client.card_answer)
    meter.measure("continue", client.continue_)
    meter.measure("token", client.token)
    meter.measure("userinfo", client.userinfo)
    return meter.round(CARD), attempts[-1].cookies


def session_round(servers: Servers, client: LoginClient, count: int, cookies: Mapping[str, str]) -> Round:
    """`count` logins with prompt=none on the session that `cookies` hold."""
    meter = _Meter(servers, [Attempt(cookies=dict(cookies)) for _ in range(count)])
    meter.measure("authorize", lambda attempt: client.authorize(attempt, prompt="none"))
    meter.measure("token", client.token)
    meter.measure("userinfo", client.userinfo)
    return meter.round(SESSION)


def floor_round(servers: Servers, client: LoginClient, count: int) -> Round:
    """`count` requests that do nothing: what server and framework cost by themselves."""
    meter = _Meter(servers, [Attempt() for _ in range(count)])
    meter.measure("healthz", client.health)
    return meter.round(FLOOR)


class _Meter:
    def __init__(self, servers: Servers, attempts: list[Attempt]) -> None:
        self._servers = servers
        self._attempts = attempts
        self._cpu: dict[str, float] = {}

    def measure(self, step: str, act: Callable[[Attempt], None]) -> None:
        before = self._servers.tree.cpu_ns()
        batch(self._attempts, act)
        self._cpu[step] = (self._servers.tree.cpu_ns() - before) / len(self._attempts)

    def round(self, kind: str) -> Round:
        return Round(kind=kind, cpu_ns=self._cpu, milliseconds=[attempt.milliseconds for attempt in self._attempts])


def rows(rounds: Sequence[Round]) -> list[Row]:
    """One row per step and a total per kind, in the order in which they first came."""
    table: list[Row] = []
    for kind in dict.fromkeys(one.kind for one in rounds):
        mine = [one for one in rounds if one.kind == kind]
        steps = list(mine[0].cpu_ns)
        for step in steps:
            cpu = [one.cpu_ns[step] for one in mine]
            table.append(_row(kind, step, cpu, [login[step] for one in mine for login in one.milliseconds]))
        if len(steps) > 1:
            cpu = [sum(one.cpu_ns.values()) for one in mine]
            table.append(_row(kind, "total", cpu, [sum(login.values()) for one in mine for login in one.milliseconds]))
    return table


def _row(kind: str, step: str, cpu_ns: Sequence[float], milliseconds: Sequence[float]) -> Row:
    middle, ordered = statistics.median(cpu_ns), sorted(milliseconds)
    return Row(
        kind=kind,
        step=step,
        cpu_us=middle / 1000,
        spread=(max(cpu_ns) - min(cpu_ns)) / middle if middle else 0.0,
        p50_ms=percentile(ordered, 0.5),
        p99_ms=percentile(ordered, 0.99),
    )
