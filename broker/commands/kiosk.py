"""`broker kiosk`: terminals that everybody uses."""

from __future__ import annotations

import json
from pathlib import Path

import click

from broker.accounts.kiosk import Kiosk, SiteAct
from broker.commands.exits import answering, fail
from broker.commands.house import configured
from broker.errors import InvalidToken, KioskUnfit
from broker.flows import kiosks
from broker.ids import KioskID
from broker.jose import parse_json

_MAX_KEY = 4096


@click.group()
def kiosk() -> None:
    """Terminals that everybody uses: their keys, and what their sites allow."""


@kiosk.command("enrol")
@click.option("--name", required=True, help="Where it stands; for operators.")
@click.option(
    "--key",
    "key_file",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="What `cardreader kiosk-key` printed there.",
)
@click.option("--start-url", required=True, help="The service's page with which each session begins.")
@click.option(
    "--allow",
    "allows",
    multiple=True,
    type=click.Choice([act.value for act in SiteAct]),
    help="An act that is otherwise off at kiosks; may be given more than once.",
)
@answering
def kiosk_enrol(name: str, key_file: Path, start_url: str, allows: tuple[str, ...]) -> None:
    """Take a terminal's public key, and print the address that its agent begins with."""
    with key_file.open("rb") as file:
        text = file.read(_MAX_KEY + 1)
    try:
        key = parse_json(text, limit=_MAX_KEY)
    except InvalidToken as invalid:
        raise KioskUnfit(f"{key_file} is no public key (JWK): {invalid}") from invalid
    ports = configured()
    made = kiosks.enrol(name, key, start_url=start_url, allows=frozenset(SiteAct(act) for act in allows), ports=ports)
    click.echo(json.dumps({**_row(made), "agent_start_url": f"{ports.policy.issuer}/kiosk/{made.kiosk_id}"}))


@kiosk.command("list")
@click.option("--json", "as_json", is_flag=True)
@answering
def kiosk_list(as_json: bool) -> None:
    """Show every terminal, stopped ones too."""
    ports = configured()
    with ports.store.transaction() as tx:
        rows = [_row(each) for each in tx.kiosks.all()]
    if as_json:
        click.echo(json.dumps(rows, ensure_ascii=False))
        return
    for row in rows:
        click.echo("\t".join("-" if value is None else value for value in row.values()))


@kiosk.command("stop")
@click.argument("kiosk_id")
@answering
def kiosk_stop(kiosk_id: str) -> None:
    """Accept nothing from a terminal any more, for ever, and end its open sessions."""
    ended = kiosks.stop(KioskID(kiosk_id), ports=configured())
    if ended is None:
        fail(f"no kiosk {kiosk_id}, or it was stopped before", 1)
    click.echo(f"stopped; {ended} sessions ended")


def _row(each: Kiosk) -> dict[str, str | None]:
    return {
        "kiosk_id": each.kiosk_id,
        "name": each.name,
        "key": each.thumbprint,
        "start_url": each.start_url,
        "allows": " ".join(sorted(each.allows)) or None,
        "enrolled_at": each.enrolled_at.isoformat(timespec="seconds"),
        "stopped_at": None if each.stopped_at is None else each.stopped_at.isoformat(timespec="seconds"),
    }
