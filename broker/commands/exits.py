"""How a command ends: 0 done, 1 refused, 2 wrong usage, 3 settings, 4 storage unavailable.

What checks a document that somebody hands in tells its verdicts apart from 10 on.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from typing import Final, NoReturn, ParamSpec, TypeVar

import click

from broker.errors import BrokerError, SettingsError, StoreUnavailable

NOT_COVERED: Final = 12
"""Genuine, and about something else."""
FORGED: Final = 13
CANNOT_TELL: Final = 14

P = ParamSpec("P")
R = TypeVar("R")


def fail(message: str, status: int) -> NoReturn:
    """End with one line on stderr."""
    click.echo(f"broker: {message}", err=True)
    sys.exit(status)


def answering(command: Callable[P, R]) -> Callable[P, R]:
    """Turn refusals into one line and an exit status."""

    @wraps(command)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except SettingsError as wrong:
            fail(str(wrong), 3)
        except StoreUnavailable as unavailable:
            fail(f"storage unavailable: {unavailable}", 4)
        except BrokerError as refused:
            fail(str(refused), 1)

    return guarded
