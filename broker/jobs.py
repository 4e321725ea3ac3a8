"""Runs the timetable of `flows.jobs`: as a command, or in one thread of the server (embedded mode)."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Mapping
from uuid import uuid4

import structlog

from broker.errors import BrokerError
from broker.flows.jobs import run_due
from broker.flows.ports import Ports

ROUND = 30.0
"""Seconds between two looks at the timetable."""

_log = structlog.get_logger("broker.jobs")


def run_once(ports: Ports) -> dict[str, Mapping[str, int]]:
    """Run what is due now. Raises BrokerError."""
    holder = f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex}"
    done = run_due(ports, holder=holder)
    for name, counts in done.items():
        _log.info("job_done", job=name, **counts)
    return done


def run_forever(ports: Ports, stop: threading.Event) -> None:
    """Look at the timetable until told to stop. A failed round is logged and counted, never the end (R9)."""
    failures = 0
    while True:
        try:
            run_once(ports)
        except BrokerError as failed:
            failures += 1
            _log.error("job_failed", error=type(failed).__name__, reason=str(failed), failures=failures)
        if stop.wait(ROUND):
            return


def start_embedded(ports: Ports) -> threading.Event:
    """One daemon thread per worker; the lease lets only one of them work. Answers the event that stops it."""
    stop = threading.Event()
    threading.Thread(target=run_forever, args=(ports, stop), name="broker-jobs", daemon=True).start()
    return stop
