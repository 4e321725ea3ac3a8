"""Two residents do everything in the same millisecond, pair after pair: no answer of one ever reaches the other (R5).

The clock of these tests stands still, and both threads wait for each other before every step. Each response is searched
for the other's canaries: the label and number that only they were given, and their pseudonym. `LINK_PAIRS=10000` runs
the full campaign (about two hours on two cores).
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

from broker.flows import link_reconciliation
from tests.broker.web.house import House
from tests.broker.web.linkhouse import Service, Visit, id_claims, service

PAIRS = int(os.environ.get("LINK_PAIRS", "8"))
RESIDENTS = ("hanako", "taro")


class Story:
    """One resident's whole link, step by step; everything that came back is kept."""

    def __init__(self, bank: Service, resident: str, number: str, together: Barrier) -> None:
        self.bank, self.number, self.label = bank, number, f"{resident}の口座{number}"
        self.visit: Visit = bank.visit(resident)
        self.together = together
        self.seen: list[str] = []

    def run(self) -> dict[str, Any]:
        """The claims of the ID token and of userinfo."""
        asked = self.step(lambda: self.bank.ask(self.number, label=self.label))
        page = self.step(lambda: self.visit.open(asked["link_request"]))
        self.seen.append(page.text)
        for _ in range(2):
            page = self.step(lambda page=page: self.visit.read(page))
            self.seen.append(page.text)
        token = self.step(lambda: self.bank.token(self.visit.code(page)))
        info = self.step(lambda: self.bank.program.userinfo(token["access_token"]).get_json())
        self.step(lambda: self.bank.program.post("/api/links/end", link_id=asked["link_id"]))
        self.seen.append(str(id_claims(token)) + str(info))
        return {**id_claims(token), "userinfo": info}

    def step(self, act: Any) -> Any:
        """Wait for the other, then act in the same moment."""
        self.together.wait(timeout=60)
        return act()


def test_pairs_in_the_same_millisecond_never_cross(house: House) -> None:
    bank = service(house, "bank")
    subjects: dict[str, set[str]] = {resident: set() for resident in RESIDENTS}
    for pair in range(PAIRS):
        house.clock.step(seconds=10)  # link requests of one client are counted by the minute
        together = Barrier(2)
        stories = [Story(bank, resident, f"{2 * pair + at:07}", together) for at, resident in enumerate(RESIDENTS)]
        with ThreadPoolExecutor(2) as pool:
            told = list(pool.map(Story.run, stories))
        for at, (story, claims) in enumerate(zip(stories, told, strict=True)):
            other, theirs = stories[1 - at], told[1 - at]
            subjects[RESIDENTS[at]].add(claims["sub"])
            assert claims["linked_id"] == story.number
            assert claims["userinfo"] == {"sub": claims["sub"], "linked_id": story.number}
            for canary in (other.label, other.number, theirs["sub"]):
                assert not any(canary in text for text in story.seen), f"pair {pair}: {canary} crossed"
    assert {resident: len(found) for resident, found in subjects.items()} == dict.fromkeys(RESIDENTS, 1)
    assert not set.intersection(*subjects.values())
    counts = link_reconciliation.reconcile(house.ports)
    assert link_reconciliation.impossible(counts) == 0
    assert counts["ended"] == 2 * PAIRS
