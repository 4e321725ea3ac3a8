"""The reader agent over a software card in its own process: for machines where no PC/SC daemon can run."""

from __future__ import annotations

from pathlib import Path

import click
from cardreader.agent.command import run_agent

from cardreader.tray import SoftwareReaders, Tray, serve_tray


@click.command()
@click.option("--trust", type=click.Path(path_type=Path), required=True)
@click.option("--state", type=click.Path(path_type=Path), required=True)
@click.option("--port", type=click.IntRange(1, 65535), default=24780, show_default=True)
@click.option("--sandbox", is_flag=True, required=True)
@click.option("--tray", type=click.Path(path_type=Path), required=True, help="Control socket to listen on.")
def main(trust: Path, state: Path, port: int, sandbox: bool, tray: Path) -> None:
    """Serve the agent with the card of the tray."""
    software = Tray(save=True)
    serve_tray(software, tray)
    run_agent(readers=SoftwareReaders(software), trust=trust, state=state, port=port, sandbox=sandbox)


if __name__ == "__main__":
    main()
