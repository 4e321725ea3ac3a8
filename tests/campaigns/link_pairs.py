"""Two residents do everything in the same moment, pair after pair: no answer of one ever reaches the other (R5).

Each pair is two residents of the sandbox with a browser, a card and a number of their own: they log in by card, agree,
read their data, bind the number by two readings of the card, read it, and the service ends the link. A request of one
goes into the application when the other's has come to its door, under a clock that stands still. Every answer, its
headers and what its tokens carry is searched for all that only the other was given.

`python -m tests.campaigns.link_pairs` is the full form: 10 000 pairs in houses with a database each, four at once in as
many processes, on SQLite and as many on a PostgreSQL of their own. It exits with 1 where anything crossed;
tests/broker/web/test_web_link_pairs.py runs a few. What it takes is the processor's time, some 0.17 s a pair; TMPDIR on
a file system in memory spares the disk a hundred commits a second.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import random
import re
import shutil
import sys
import tempfile
import threading
import time
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor, as_completed, wait
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from multiprocessing import get_context
from pathlib import Path
from threading import Barrier
from typing import TYPE_CHECKING, Any, Final

from broker.flows import link_reconciliation
from broker.keys.live import open_keys
from broker.keys.rotation import create
from broker.storage import migrations
from broker.web import logging
from sandbox.generate import World, generate
from tests import postgres
from tests.broker.web.conftest import houses
from tests.broker.web.house import ISSUER, PASSPHRASE, House
from tests.broker.web.linkhouse import Service, Visit, id_claims, service
from tests.catalogues import compile_stale

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

RESIDENTS: Final = (
    "alex",
    "daihyo",
    "hanako",
    "hanbun",
    "hikkoshi",
    "kaigai",
    "koshin",
    "mirai",
    "nagai",
    "sakura",
    "shain",
    "taro",
    "yoshiko",
)
"""Whoever of the sandbox can log in by a card."""
_JWS: Final = re.compile(r"eyJ[\w-]+\.([\w-]+)\.[\w-]+")
_LOST: Final = 300
"""Seconds after which the other is not coming any more, however busy the machine."""
_TURNS: Final = 0.0002
"""Seconds for which one thread may keep the interpreter: a request of several milliseconds gives it up many times."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer as it left the application, and when (seconds of the machine's monotonic clock) it was made."""

    path: str
    status: int
    text: str
    """Headers and body, and what the signed tokens among them carry: in base64 nothing would be found."""
    began: float
    ended: float


class Meeting:
    """In front of an application: whoever attends goes in together with the other, and all their answers are kept."""

    def __init__(self, application: WSGIApplication) -> None:
        self._application = application
        self._thread = threading.local()

    @contextmanager
    def attended(self, together: Barrier, answers: list[Answer]) -> Iterator[None]:
        """By this thread; nobody waits for one who has failed."""
        self._thread.seat = together, answers
        try:
            yield
        except BaseException:
            together.abort()
            raise
        finally:
            del self._thread.seat

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        seat: tuple[Barrier, list[Answer]] | None = getattr(self._thread, "seat", None)
        if seat is None:
            return self._application(environ, start_response)
        together, answers = seat
        heads: list[tuple[str, list[tuple[str, str]]]] = []

        def begun(status: str, headers: list[tuple[str, str]], *failed: Any) -> Any:
            heads.append((status, headers))
            return start_response(status, headers, *failed)

        together.wait(timeout=_LOST)
        began = time.monotonic()
        parts = self._application(environ, begun)
        try:
            body = b"".join(parts)
        finally:
            getattr(parts, "close", list)()  # PEP 3333: where there is one
        ended = time.monotonic()
        status, headers = heads[-1]
        text = "\n".join([*(f"{name}: {value}" for name, value in headers), body.decode()])
        answers.append(
            Answer(path=environ["PATH_INFO"], status=int(status[:3]), text=_legible(text), began=began, ended=ended)
        )
        return [body]


def _legible(text: str) -> str:
    payloads = (base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)) for payload in _JWS.findall(text))
    return "\n".join([text, *(payload.decode("utf-8", "replace") for payload in payloads)])


@dataclass(slots=True, kw_only=True)
class Story:
    """One resident's way from the first login to the end of a link."""

    bank: Service
    resident: str
    number: str
    mark: str
    """Stands in the label of the number. Nothing but letters and digits, so that no form of writing hides it."""
    answers: list[Answer] = field(default_factory=list)
    canaries: dict[str, str] = field(init=False)
    """What only this resident was given, by what it is."""
    wrong: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.canaries = {"number": self.number, "label": self.mark}

    def run(self, meeting: Meeting, together: Barrier) -> None:
        with meeting.attended(together, self.answers):
            visit = self.bank.visit(self.resident)
            self._log_in(visit)
            self._link(visit)

    def _log_in(self, visit: Visit) -> None:
        page = visit.read(visit.open(None, prompt="consent"))
        page = self.bank.house.submit(visit.browser, page, "consent-form", decision="approve")
        self._redeem("login", visit.code(page), linked_id=None)

    def _link(self, visit: Visit) -> None:
        asked = self.bank.ask(self.number, label=f"{self.resident}の口座 {self.mark}")
        self.canaries |= {"link_id": asked["link_id"], "link_request": asked["link_request"]}
        page = visit.link(asked["link_request"])
        self._redeem("link", visit.code(page), linked_id=self.number)
        ended = self.bank.program.post("/api/links/end", link_id=asked["link_id"])
        assert ended.status_code == 200, ended.text

    def _redeem(self, step: str, code: str, *, linked_id: str | None) -> None:
        """The code becomes tokens, and the tokens tell of this resident alone."""
        self.canaries[f"code of the {step}"] = code
        token = self.bank.token(code)
        claims = id_claims(token)
        self.canaries |= {f"access token of the {step}": token["access_token"], f"sid of the {step}": claims["sid"]}
        subject = self.canaries.setdefault("sub", claims["sub"])
        told = self.bank.program.userinfo(token["access_token"]).get_json()
        expected = {"sub": subject} | ({} if linked_id is None else {"linked_id": linked_id})
        if (claims["sub"], claims.get("linked_id")) != (subject, linked_id) or told != expected:
            self.wrong.append(f"the {step} of {self.resident}: {claims} and {told} instead of {expected}")

    def crossed(self, other: Story) -> list[str]:
        """In which answers something stood that only the other was given."""
        return [
            f"{self.resident} saw at {answer.path} the {what} of {other.resident}: {canary}"
            for answer in self.answers
            for what, canary in other.canaries.items()
            if canary in answer.text
        ]

    def unseen(self) -> list[str]:
        """Own canaries that stood nowhere: the search for the other's would have missed them as well."""
        text = "\n".join(answer.text for answer in self.answers)
        return [what for what, canary in self.canaries.items() if canary not in text]

    def tidy(self) -> None:
        """The link of one whose way was cut short ends too: another of this resident may begin."""
        if "link_id" in self.canaries:
            ended = self.bank.program.post("/api/links/end", link_id=self.canaries["link_id"])
            assert ended.status_code == 200, ended.text


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What became of the pairs of one house."""

    process: int
    pairs: int
    crossings: tuple[str, ...]
    refused: int
    """Pairs besides which met a 503 (the store busy for 2 s): searched, too, but not gone to the end."""
    together: int
    """Answers that were being made while the other's was."""
    impossible: int
    """By the reconciliation in the end (R8)."""
    subjects: dict[str, str]
    spans: tuple[tuple[float, float], ...] = field(repr=False)
    """When each answer was being made."""


def run(house: House, *, pairs: int, seed: int) -> Found:
    """So many pairs through one house, drawn by the seed. Raises AssertionError where one does not get to its end."""
    bank = service(house, "bank", linked_id_pattern=r"K[0-9A-F]{10}")
    house.app.wsgi_app = meeting = Meeting(house.app.wsgi_app)  # type: ignore[method-assign]  # Flask's way to wrap it
    chance = random.Random(seed)
    crossings: list[str] = []
    subjects: dict[str, str] = {}
    spans: list[tuple[float, float]] = []
    done = refused = together = 0
    with _fine_turns(), ThreadPoolExecutor(2) as pool:
        while done < pairs:
            house.clock.step(seconds=10)  # link requests of one client are counted by the minute
            stories = [
                Story(bank=bank, resident=resident, number=_mark("K", chance), mark=_mark("L", chance))
                for resident in chance.sample(RESIDENTS, 2)
            ]
            finished = _side_by_side(stories, meeting, pool)
            one, other = stories
            found = one.crossed(other) + other.crossed(one) + one.wrong + other.wrong
            crossings += [f"pair {done}: {crossing}" for crossing in found]
            for mine, theirs in zip(one.answers, other.answers, strict=finished):
                together += 2 * (max(mine.began, theirs.began) < min(mine.ended, theirs.ended))
            for story in stories:
                spans += [(answer.began, answer.ended) for answer in story.answers]
            if not finished:
                refused += 1
                refusals = [answer.path for story in stories for answer in story.answers if answer.status == 503]
                sys.stderr.write(f"seed {seed}, after pair {done}: not to be had at {', '.join(refusals)}\n")
                continue
            done += 1
            for story in stories:
                assert story.unseen() == [], f"pair {done}: the search is blind for {story.unseen()}"
                subject = subjects.setdefault(story.resident, story.canaries["sub"])
                assert subject == story.canaries["sub"] or found, f"{story.resident} has two pseudonyms"
    assert len(set(subjects.values())) == len(subjects) or crossings, "two residents have one pseudonym"
    counts = link_reconciliation.reconcile(house.ports)
    assert 2 * pairs <= counts["ended"] <= 2 * (pairs + refused), counts
    assert counts["active"] == counts["held"] == counts["alarms_open"] == 0, counts
    return Found(
        process=os.getpid(),
        pairs=done,
        crossings=tuple(crossings),
        refused=refused,
        together=together,
        impossible=link_reconciliation.impossible(counts),
        subjects=subjects,
        spans=tuple(spans),
    )


@contextmanager
def _fine_turns() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(_TURNS)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def _mark(kind: str, chance: random.Random) -> str:
    """Ten digits and letters: twelve digits could be a 個人番号, which no service may bind."""
    return f"{kind}{chance.getrandbits(40):010X}"


def _side_by_side(stories: list[Story], meeting: Meeting, pool: ThreadPoolExecutor) -> bool:
    """Whether both came to their end; False where one was told to come later. Raises what else went wrong."""
    together = Barrier(len(stories))
    ways: list[Future[None]] = [pool.submit(story.run, meeting, together) for story in stories]
    wait(ways)
    faults = [fault for way in ways if (fault := way.exception()) is not None]
    if not faults:
        return True
    if not any(answer.status == 503 for story in stories for answer in story.answers):
        raise next((fault for fault in faults if not isinstance(fault, threading.BrokenBarrierError)), faults[0])
    for story in stories:
        story.tidy()
    return False


def settle(root: Path) -> World:
    """What all houses of a campaign begin with: the outside world, the broker's keys, an empty database."""
    compile_stale(Path(sys.modules["broker.web"].__file__ or "").with_name("translations"))
    now = datetime.now(UTC)
    create(
        root / "keys",
        PASSPHRASE,
        issuer=ISSUER,
        now=now - timedelta(days=3),
        agent_root_out=root / "root" / "root.json",
    )
    migrations.upgrade(f"sqlite:///{root / 'empty.db'}")
    return generate(root / "world", now)


def _house(root: Path, number: int, url: str | None, pairs: int, seed: int) -> Found:
    """One house in a process of its own."""
    folder = root / f"{number}-{'sqlite' if url is None else 'postgresql'}"
    folder.mkdir()
    # The clocks of houses go apart, and a list that one of them has just published would be of another's future.
    shutil.copytree(root / "world", folder / "world")
    world, keys = generate(folder / "world", datetime.now(UTC)), open_keys(root / "keys", PASSPHRASE)
    with (folder / "log").open("w") as log, houses(world, keys, root / "empty.db", folder) as make:
        logging.configure(log)
        return run(make(database_url=url), pairs=pairs, seed=seed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What became of all pairs on one engine."""

    engine: str
    houses: int
    processes: int
    seed: int
    pairs: int
    answers: int
    together: int
    beside: int
    """Answers that were being made while another house was making one."""
    crossings: int
    refused: int
    impossible: int
    seconds: float


def beside(spans: list[tuple[tuple[float, float], ...]]) -> int:
    """How many spans of each house overlap one of another house."""
    count = 0
    for at, mine in enumerate(spans):
        others = sorted(span for number, theirs in enumerate(spans) if number != at for span in theirs)
        starts = [began for began, _ in others]
        latest = list(accumulate((ended for _, ended in others), max))
        for began, ended in mine:
            before = bisect_left(starts, ended)  # so many began before this one had ended
            count += before > 0 and latest[before - 1] > began
    return count


def campaign(root: Path, engine: str, urls: list[str | None], *, pairs: int, processes: int, seed: int) -> Row:
    """The pairs, shared among a house for each of the databases; None is one in SQLite."""
    began, found = time.monotonic(), list[Found]()
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        shares = [pairs // len(urls) + (at < pairs % len(urls)) for at in range(len(urls))]
        asked = [
            pool.submit(_house, root, at, url, share, seed + at)
            for at, (url, share) in enumerate(zip(urls, shares, strict=True))
        ]
        try:
            for future in as_completed(asked):
                found.append(future.result())
                done, crossed = sum(house.pairs for house in found), sum(len(house.crossings) for house in found)
                sys.stderr.writelines(f"{crossing}\n" for crossing in found[-1].crossings)
                sys.stderr.write(f"{done} of {pairs} in {time.monotonic() - began:.0f} s: {crossed} crossings\n")
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    spans: dict[int, tuple[tuple[float, float], ...]] = {}
    for house in found:
        spans[house.process] = spans.get(house.process, ()) + house.spans
    return Row(
        engine=engine,
        houses=len(found),
        processes=len(spans),
        seed=seed,
        pairs=sum(house.pairs for house in found),
        answers=sum(len(house.spans) for house in found),
        together=sum(house.together for house in found),
        beside=beside(list(spans.values())),
        crossings=sum(len(house.crossings) for house in found),
        refused=sum(house.refused for house in found),
        impossible=sum(house.impossible for house in found),
        seconds=round(time.monotonic() - began, 1),
    )


def main() -> int:
    """Print one JSON row for each engine; exit status 1 where something crossed."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--pairs", type=int, default=10_000, help="On each engine.")
    options.add_argument("--processes", type=int, default=4, help="At once, with a house each.")
    options.add_argument("--share", type=int, default=250, help="Pairs of one house; who has done his takes the next.")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--engine", choices=("sqlite", "postgresql"), action="append")
    chosen = options.parse_args()
    engines = chosen.engine or ["sqlite", "postgresql"]
    if "postgresql" in engines and (reason := postgres.missing()) is not None:
        sys.exit(reason)
    faults = 0
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="link-pairs-")))
        settle(root)
        for engine in engines:
            urls: list[str | None] = [None] * max(chosen.processes, -(-chosen.pairs // chosen.share))
            if engine == "postgresql":
                cluster = stack.enter_context(postgres.cluster())
                urls = [cluster.database() for _ in urls]
            for url in filter(None, urls):
                migrations.upgrade(url)
            row = campaign(root, engine, urls, pairs=chosen.pairs, processes=chosen.processes, seed=chosen.seed)
            print(json.dumps(asdict(row)), flush=True)  # noqa: T201 -- the campaign's answer
            faults += row.crossings + row.impossible
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
