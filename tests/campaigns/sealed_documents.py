"""A sealed document with one bit of one byte changed: every byte in turn, and none may be accepted.

`python -m tests.campaigns.sealed_documents` changes every byte of a small B-LT document of pyHanko's own hand (about a
quarter of an hour on two cores); `--document sealed` does so to a mandate as the broker seals it (three hours, or a
sample by `--step`). Exit status 1 where a change went unnoticed, or a changed byte under the signature was not called
an alteration. tests/broker/delegation runs a sample of both.
"""

from __future__ import annotations

import json
import random
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass

import click

from broker.delegation.document import look
from broker.delegation.faults import Fault
from broker.delegation.verification import DocumentVerdict, verify_document
from tests.broker.delegation.sealed import sealed_record
from tests.broker.delegation.workshop import AT, Workshop, page_pdf


def documents(name: str) -> tuple[bytes, list[bytes]]:
    """A document that is accepted, and its anchors."""
    if name == "sealed":
        return sealed_record()
    workshop = Workshop()
    return workshop.sign(page_pdf(), stamp=True, evidence=True), workshop.anchors


def changes(pdf: bytes, *, step: int, seed: int) -> Iterator[tuple[int, bytes]]:
    """Every `step`-th place, with a bit of its byte changed."""
    chance = random.Random(seed)
    for place in range(chance.randrange(step), len(pdf), step):
        changed = bytearray(pdf)
        changed[place] ^= 1 << chance.randrange(8)
        yield place, bytes(changed)


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Missed:
    """A change that was not called an alteration; the worst are those that were `accepted`."""

    place: int
    accepted: bool
    faults: tuple[str, ...]


def judged(pdf: bytes, anchors: list[bytes]) -> DocumentVerdict:
    """The verdict; asked for again where a busy machine had no time for it."""
    for _ in range(5):
        verdict = verify_document(pdf, anchors=anchors, at=AT)
        if Fault.UNFINISHED not in verdict.faults:
            break
    return verdict


def campaign(name: str, *, step: int, seed: int) -> tuple[dict[str, int], list[Missed]]:
    """How many changes met which faults, and those that went unnoticed."""
    pdf, anchors = documents(name)
    if not judged(pdf, anchors).accepted:
        raise click.ClickException("the document is not accepted before anything is changed")
    (signature,) = look(pdf).signatures
    begin, end = signature.gap
    told: Counter[str] = Counter()
    missed: list[Missed] = []

    def judge(change: tuple[int, bytes]) -> None:
        place, changed = change
        verdict = judged(changed, anchors)
        told.update(fault.name for fault in verdict.faults)
        told["changes"] += 1
        if verdict.accepted or (not begin <= place < end and not verdict.altered):
            faults = tuple(fault.name for fault in verdict.faults)
            missed.append(Missed(place=place, accepted=verdict.accepted, faults=faults))

    with ThreadPoolExecutor(2) as pool:
        for _ in pool.map(judge, changes(pdf, step=step, seed=seed)):
            pass
    return dict(told), sorted(missed)


@click.command()
@click.option("--document", type=click.Choice(["small", "sealed"]), default="small", show_default=True)
@click.option("--step", default=1, show_default=True, help="Change every so many-th byte.")
@click.option("--seed", default=1, show_default=True)
def main(document: str, step: int, seed: int) -> None:
    """Print the counts as JSON."""
    told, missed = campaign(document, step=step, seed=seed)
    accepted = sum(each.accepted for each in missed)
    found = {"document": document, "told": told, "accepted": accepted, "missed": [asdict(each) for each in missed]}
    click.echo(json.dumps(found, indent=2))
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
