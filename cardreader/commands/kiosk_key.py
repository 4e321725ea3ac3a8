"""`cardreader kiosk-key`: what the operator of a broker enrols of a terminal that everybody uses."""

from __future__ import annotations

import json
from pathlib import Path

import click
import platformdirs

from cardreader.agent.device import device_key
from cardreader.agent.kiosk import KioskRefused


@click.command("kiosk-key")
@click.option(
    "--state",
    "state_folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=lambda: platformdirs.user_state_path("cardreader"),
    show_default="your state folder",
    envvar="CARDREADER_AGENT_STATE",
    help="Where the agent of this terminal keeps what it must remember.",
)
def kiosk_key(state_folder: Path) -> None:
    """Print this terminal's public key (JWK), made at the first use, for `broker kiosk enrol --key FILE`."""
    try:
        click.echo(json.dumps(device_key(state_folder).public, sort_keys=True))
    except KioskRefused as refused:
        raise click.ClickException(str(refused)) from None
