"""A sample service as a program: waitress, and a log of one JSON object per line."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click
import waitress
from flask import Flask

from sandbox.party.key import public_jwks
from sandbox.party.settings import ISSUER, PartyPlace

Settings = TypeVar("Settings", bound=PartyPlace)
Command = TypeVar("Command", bound=Callable[..., None])


class JSONLines(logging.Formatter):
    """One JSON object per line, so that no text of a request can forge a second line."""

    def __init__(self, program: str) -> None:
        super().__init__()
        self._program = program

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname,
            "program": self._program,
            "event": record.getMessage(),
        }
        if record.exc_info is not None:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def serve(program: str, app: Flask, *, host: str, port: int) -> None:
    """Serve until stopped."""
    handler = logging.StreamHandler()
    handler.setFormatter(JSONLines(program))
    logging.basicConfig(handlers=[handler])
    waitress.serve(app, host=host, port=port, threads=4, ident=None)


def place_options(host: str, port: int) -> Callable[[Command], Command]:
    """The options by which a service is told its place, with the address that is its own unless told."""
    options = (
        click.option("--root", type=click.Path(path_type=Path), default=Path(".sandbox"), show_default=True),
        click.option("--host", default=host, show_default=True),
        click.option("--port", type=click.IntRange(1, 65535), default=port, show_default=True),
        click.option("--issuer", default=ISSUER, show_default=True, help="The broker's issuer URL."),
        click.option(
            "--issuer-ca",
            type=click.Path(path_type=Path),
            help="PEM file of whom to trust for the broker's certificate.  [default: the system's]",
        ),
    )

    def add(command: Command) -> Command:
        for option in reversed(options):  # as decorators are applied: the last is the innermost
            command = option(command)
        return command

    return add


def program(
    name: str,
    about: str,
    *,
    host: str,
    port: int,
    settings: Callable[..., Settings],
    create: Callable[[Settings], Flask],
    registration: Callable[[str, Mapping[str, Any]], Mapping[str, Any]],
) -> click.Command:
    """The command of one service: serve it with its state in ROOT/`name`, or print its registration."""

    @click.command(help=about)
    @place_options(host, port)
    @click.option("--registration", "print_registration", is_flag=True, help="Print what the broker is told, and end.")
    def main(
        *, root: Path, host: str, port: int, issuer: str, issuer_ca: Path | None, print_registration: bool
    ) -> None:
        base_url = f"http://{host}:{port}"
        told = settings(state=root / name, base_url=base_url, issuer=issuer, issuer_ca=issuer_ca)
        if print_registration:
            click.echo(json.dumps(registration(base_url, public_jwks(told.state)), ensure_ascii=False, indent=1))
            return
        serve(name, create(told), host=host, port=port)

    return main
