"""`python -m sandbox world`: what can be done to the outside world by hand, while it runs or not."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from sandbox.ca import KINDS, Kind
from sandbox.generate import roll_over
from sandbox.office import EVENTS, LifeEvent
from sandbox.trouble import CHOICES, Trouble, read_trouble, write_trouble
from sandbox.world.registry import Registry

ROOT = Path(__file__).resolve().parents[2] / ".sandbox"


def _existing(_context: click.Context, _parameter: click.Parameter, root: Path) -> Path:
    if not (root / "ca" / "generation.json").is_file():
        raise click.BadParameter(f"{root}: no outside world there yet; `make run` makes one")
    return root


_root = click.option(
    "--root",
    type=click.Path(path_type=Path),
    default=ROOT,
    show_default=".sandbox of this checkout",
    callback=_existing,
)


@click.group("world")
def world() -> None:
    """The outside world: trouble on purpose, events of life, new CA keys."""


@world.command()
@_root
@click.option("--crl", type=click.Choice(CHOICES["crl"]), help="How revocation lists go wrong.")
@click.option("--ocsp", type=click.Choice(CHOICES["ocsp"]), help="How OCSP answers go wrong.")
@click.option("--mapping", type=click.Choice(CHOICES["mapping"]), help="How the old-new mapping goes wrong.")
def trouble(*, root: Path, crl: str | None, ocsp: str | None, mapping: str | None) -> None:
    """Make things go wrong, or ("none") right again; without an option, say how they are."""
    now = read_trouble(root)
    wanted = Trouble(crl=crl or now.crl, ocsp=ocsp or now.ocsp, mapping=mapping or now.mapping)
    if wanted != now:
        write_trouble(root, wanted)
    click.echo(f"crl: {wanted.crl}\nocsp: {wanted.ocsp}\nmapping: {wanted.mapping}")


@world.command()
@_root
@click.argument("event", type=click.Choice(list(EVENTS)))
@click.argument("resident")
def event(*, root: Path, event: LifeEvent, resident: str) -> None:
    """Enter an event of a resident's life at the municipal office."""
    try:
        card = Registry(root).enter(event, resident, now=datetime.now(UTC))
    except KeyError:
        raise click.BadParameter(f"nobody here is called {resident}") from None
    except ValueError as impossible:
        click.echo(f"sandbox: {impossible}", err=True)
        sys.exit(1)
    click.echo(f"entered: {event} of {resident}" + (f"; new card in {card}" if card else ""))


@world.command("roll-over")
@_root
@click.argument("kind", type=click.Choice(KINDS))
def roll_over_command(*, root: Path, kind: Kind) -> None:
    """Let an authority begin a new key under its old name; restart the broker to let it know."""
    click.echo(f"{kind}-{roll_over(root, kind, datetime.now(UTC))} issues from now on; restart what verifies")
