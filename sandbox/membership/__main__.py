"""`python -m sandbox.membership`: serve the three sample services by waitress."""

from __future__ import annotations

import logging
from pathlib import Path

import click
import waitress

from sandbox.membership import HOST, PORT, MembershipSettings, create_membership
from sandbox.membership.services import ISSUER


@click.command()
@click.option("--root", type=click.Path(path_type=Path), default=Path(".sandbox"), show_default=True)
@click.option("--host", default=HOST, show_default=True)
@click.option("--port", type=click.IntRange(1, 65535), default=PORT, show_default=True)
@click.option("--issuer", default=ISSUER, show_default=True, help="The broker's issuer URL.")
@click.option(
    "--issuer-ca",
    type=click.Path(path_type=Path),
    help="PEM file of whom to trust for the broker's certificate.  [default: the system's]",
)
def main(*, root: Path, host: str, port: int, issuer: str, issuer_ca: Path | None) -> None:
    """The sample library, event and staff pass. Their state is ROOT/membership."""
    logging.basicConfig()
    settings = MembershipSettings(
        state=root / "membership", root_url=f"http://{host}:{port}", issuer=issuer, issuer_ca=issuer_ca
    )
    waitress.serve(create_membership(settings), host=host, port=port, threads=4, ident=None)


if __name__ == "__main__":
    main()
