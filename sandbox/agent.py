"""The reader agent over a software card in its own process: for machines where no PC/SC daemon can run."""

from __future__ import annotations

from pathlib import Path

import click

from cardreader.agent.command import serve
from cardreader.agent.journal import configure
from cardreader.agent.means import find_password_asker
from cardreader.agent.server import StartRefused
from cardreader.agent.trust import TrustInvalid, load_trust
from cardreader.authentication import APDUCards
from cardreader.tray import SoftwareReaders, Tray, serve_tray


@click.command()
@click.option("--trust", type=click.Path(path_type=Path), required=True)
@click.option("--state", type=click.Path(path_type=Path), required=True)
@click.option("--port", type=click.IntRange(1, 65535), default=24780, show_default=True)
@click.option("--tray", type=click.Path(path_type=Path), required=True, help="Control socket to listen on.")
def main(trust: Path, state: Path, port: int, tray: Path) -> None:
    """Serve the agent with the card that lies in the tray."""
    configure()
    software = Tray(save=True)
    cards = APDUCards(SoftwareReaders(software))
    try:
        with serve_tray(software, tray):
            serve(
                load_trust(trust, sandbox=True),
                state,
                port=port,
                sandbox=True,
                cards=cards,
                password_asker=find_password_asker("auto"),
            )
    except (TrustInvalid, StartRefused) as refused:
        raise click.ClickException(str(refused)) from None


if __name__ == "__main__":
    main()
