"""`python -m sandbox.television`: serve the sample television by waitress."""

from __future__ import annotations

import logging

import click
import waitress

from sandbox.television import HOST, PORT
from sandbox.television.app import create_television
from sandbox.television.login import Television


@click.command()
@click.option("--host", default=HOST, show_default=True)
@click.option("--port", type=click.IntRange(1, 65535), default=PORT, show_default=True)
@click.option("--issuer", default="http://localhost:8000", show_default=True, help="The broker's issuer URL.")
@click.option(
    "--issuer-ca",
    type=click.Path(),
    help="PEM file of whom to trust for the broker's certificate.  [default: the system's]",
)
def main(*, host: str, port: int, issuer: str, issuer_ca: str | None) -> None:
    """The sample television. It keeps nothing: switched off, it has forgotten who was there."""
    logging.basicConfig()
    app = create_television(Television(issuer, authorities=issuer_ca), base_url=f"http://{host}:{port}")
    waitress.serve(app, host=host, port=port, threads=4, ident=None)


if __name__ == "__main__":
    main()
