"""Reads one question (`verification.written`) and writes what it finds, a JSON object per line.

The last line is `{"done": true}`; without it the judging was not finished. Limits come first; no network, no files.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import logging
import sys
from base64 import b64decode, b64encode
from datetime import datetime
from typing import Any, Final

from broker import confined, nursery
from broker.delegation.faults import Fault

CPU_SECONDS: Final = 4
MEMORY: Final = 256 * 1024 * 1024


def main() -> None:
    logging.disable(logging.CRITICAL)
    if importlib.util.find_spec("pyhanko") is None:
        nursery.serve(_not_installed)
        return
    from broker.delegation.judge import archive  # noqa: F401, PLC0415 -- loads pyHanko, which may be absent

    nursery.serve(answer)


def answer(written: bytes) -> None:
    """Judge one document, within its limits."""
    confined.confine(cpu_seconds=CPU_SECONDS, memory=MEMORY)
    from broker.delegation.judge.archive import judge_archived  # noqa: PLC0415 -- as above
    from broker.delegation.judge.case import Case, judge  # noqa: PLC0415 -- as above

    head, _, pdf = written.partition(b"\n")
    question: dict[str, Any] = json.loads(head)
    case = Case(
        pdf=pdf,
        anchors=tuple(b64decode(each) for each in question["anchors"]),
        at=datetime.fromisoformat(question["at"]),
    )
    known: set[Fault] = set()

    def told() -> None:
        for fault in sorted(case.faults - known):
            _tell(fault=fault.name)
            known.add(fault)

    with asyncio.Runner() as runner:
        runner.get_loop()
        confined.forbid()
        try:
            runner.run((judge_archived if question["archived"] else judge)(case, told))
        except (MemoryError, RecursionError):
            _tell(fault="UNFINISHED")
    for name, value in (("record", case.record), ("signer", case.signer)):
        if value is not None:
            _tell(**{name: b64encode(value).decode()})
    for name, moment in (("sealed_at", case.sealed_at), ("proved_until", case.proved_until)):
        if moment is not None:
            _tell(**{name: moment.isoformat()})
    _tell(done=True)


def _not_installed(_written: bytes) -> None:
    _tell(fault="NOT_INSTALLED")
    _tell(done=True)


def _tell(**found: Any) -> None:
    sys.stdout.write(json.dumps(found) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
