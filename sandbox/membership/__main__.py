"""`python -m sandbox.membership`: serve the three sample services by waitress."""

from __future__ import annotations

import logging
from pathlib import Path

import click
import waitress

from sandbox.membership import HOST, PORT, MembershipSettings, create_membership
from sandbox.party.serving import place_options


@click.command()
@place_options(HOST, PORT)
def main(*, root: Path, host: str, port: int, issuer: str, issuer_ca: Path | None) -> None:
    """The sample library, event and staff pass. Their state is ROOT/membership."""
    logging.basicConfig()
    settings = MembershipSettings(
        state=root / "membership", base_url=f"http://{host}:{port}", issuer=issuer, issuer_ca=issuer_ca
    )
    waitress.serve(create_membership(settings), host=host, port=port, threads=4, ident=None)


if __name__ == "__main__":
    main()
