"""`python -m sandbox.world`: the outside world served on loopback."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from waitress.server import create_server

from cardreader.tray import TrayClient
from sandbox.world import create_world


@click.command()
@click.option("--root", type=click.Path(path_type=Path), default=Path(".sandbox"), show_default=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option("--port", type=click.IntRange(1, 65535), default=8010, show_default=True)
@click.option("--tray", type=click.Path(path_type=Path), help="Control socket of the software card reader.")
def main(root: Path, host: str, port: int, tray: Path | None) -> None:
    """Serve the test authority's CRLs and OCSP and the card tray page, from the files under ROOT."""
    if not (root / "ca" / "generation.json").is_file():
        sys.exit(f"{root}: no outside world there yet; `make run` makes one")
    origin = f"http://{host}:{port}"
    app = create_world(root, None if tray is None else TrayClient(tray), origin=origin)
    try:
        server = create_server(app, host=host, port=port, threads=4, ident=None, max_request_body_size=16 * 1024)
    except OSError as fault:
        sys.exit(f"cannot listen at {host}:{port}: {fault.strerror}")
    print(f"outside world: {origin}/", flush=True)
    server.run()


if __name__ == "__main__":
    main()
