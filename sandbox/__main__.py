"""`python -m sandbox run`, `python -m sandbox login`, `python -m sandbox sign` and `python -m sandbox world`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, TextIO

import click

from sandbox.broker import ServiceRefused, introduce
from sandbox.contracts.command import command as sign
from sandbox.launcher import Addresses, run
from sandbox.logincommand import command as login
from sandbox.plan import SUITE
from sandbox.world.command import world

ROOT = Path(__file__).resolve().parent.parent / ".sandbox"


@click.group()
def main() -> None:
    """A stand-in for the outside world, and everything real in front of it."""


@main.command("run")
@click.option("--root", type=click.Path(path_type=Path), default=ROOT, show_default=".sandbox")
@click.option(
    "--reader",
    type=click.Choice(["auto", "real", "software"]),
    default="auto",
    show_default=True,
    help="auto: a private PC/SC daemon with a software card; real: the reader on this machine.",
)
@click.option("--broker-port", type=click.IntRange(1, 65535), default=8000, show_default=True)
@click.option("--bank-port", type=click.IntRange(1, 65535), default=8001, show_default=True)
@click.option("--bidding-port", type=click.IntRange(1, 65535), default=8006, show_default=True)
@click.option("--clinic-port", type=click.IntRange(1, 65535), default=8005, show_default=True)
@click.option("--television-port", type=click.IntRange(1, 65535), default=8003, show_default=True)
@click.option("--membership-port", type=click.IntRange(1, 65535), default=8007, show_default=True)
@click.option("--world-port", type=click.IntRange(1, 65535), default=8010, show_default=True)
@click.option("--agent-port", type=click.IntRange(1, 65535), default=24780, show_default=True)
@click.option("--witness-port", type=click.IntRange(1, 65535), default=8020, show_default=True)
@click.option("--tls", is_flag=True, help="Reach the broker by https, through nginx, under a test authority.")
@click.option("--tls-port", type=click.IntRange(1, 65535), default=8443, show_default=True)
@click.option("--mtls-port", type=click.IntRange(1, 65535), default=8444, show_default=True)
@click.option(
    "--clients",
    "plans",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    multiple=True,
    help="Register the clients of a test plan (samples/conformance); may be given several times.",
)
@click.option("--suite", default=SUITE, show_default=True, help="Where the test suite serves itself.")
@click.option(
    "--trust",
    "trusted",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    multiple=True,
    help="With --tls: a PEM file under which the broker also calls https addresses of this machine, the suite's.",
)
def run_command(
    *, root: Path, reader: str, plans: tuple[Path, ...], suite: str, trusted: tuple[Path, ...], **places: Any
) -> None:
    """Start the outside world, the card, the agent, the broker and the sample bank; Ctrl-C stops them."""
    addresses = Addresses(**places)
    sys.exit(
        run(
            root,
            addresses=addresses,
            reader=reader,
            plans=plans,
            suite=suite,
            trusted=trusted,
            say=lambda line: print(line, flush=True),
        )
    )


@main.command("client")
@click.argument("file", type=click.File("r", encoding="utf-8"))
@click.option("--root", type=click.Path(path_type=Path), default=ROOT, show_default=".sandbox")
def client_command(*, file: TextIO, root: Path) -> None:
    """Register the service that FILE describes at the sandbox's broker, as its operator would (`broker client add`)."""
    try:
        given = json.load(file)
        added = introduce(root, given)
    except FileNotFoundError:
        raise click.ClickException("no sandbox here yet: `make run` makes one") from None
    except (ValueError, ServiceRefused) as wrong:
        raise click.ClickException(str(wrong)) from None
    click.echo(f"{given['client_id']}: {'registered' if added else 'there already'}")


main.add_command(login, "login")
main.add_command(sign, "sign")
main.add_command(world)

if __name__ == "__main__":
    main(prog_name="python -m sandbox")
