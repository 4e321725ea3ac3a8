"""The means of asking for a PIN that this machine has, in the one order (entry): for the agent and for the commands."""

from __future__ import annotations

import os
from collections.abc import Mapping

from cardreader.agent.entry import PINAsker, choose, choose_for_password
from cardreader.agent.native import find_window
from cardreader.agent.pinentry import Pinentry
from cardreader.agent.terminal import Terminal, terminal_name

WITHOUT_PAGE = ("auto", "native", "pinentry", "terminal")
"""What `--pin-entry` takes in a program that has no page; `auto` ends with the terminal there."""


def find_asker(wanted: str, *, environment: Mapping[str, str] = os.environ) -> PINAsker | None:
    """As entry.choose, on this machine; None stands for the agent's page. Raises EntryUnavailable."""
    return choose(
        wanted,
        environment=environment,
        window=lambda: find_window(environment),
        pinentry=lambda program: Pinentry(program, environment=environment, terminal=terminal_name()),
        terminal=Terminal,
    )


def find_password_asker(wanted: str, *, environment: Mapping[str, str] = os.environ) -> PINAsker | None:
    """As entry.choose_for_password, on this machine; None where nobody can ask. Raises EntryUnavailable."""
    return choose_for_password(
        wanted,
        environment=environment,
        window=lambda: find_window(environment),
        pinentry=lambda program: Pinentry(program, environment=environment, terminal=terminal_name()),
    )


def find_asker_without_page(wanted: str, *, environment: Mapping[str, str] = os.environ) -> PINAsker:
    """The same for a program without a page (one of WITHOUT_PAGE): the terminal is in its place."""
    return find_asker(wanted, environment=environment) or Terminal()
