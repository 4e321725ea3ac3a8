"""`python -m sandbox.clinic`: serve the sample clinic, or print its registration."""

from __future__ import annotations

import json
from pathlib import Path

import click

from sandbox.clinic import HOST, ISSUER, PORT, ClinicSettings, create_clinic, public_jwks, registration
from sandbox.party.serving import serve


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
@click.option("--registration", "print_registration", is_flag=True, help="Print what the broker is told, and end.")
def main(*, root: Path, host: str, port: int, issuer: str, issuer_ca: Path | None, print_registration: bool) -> None:
    """The sample clinic. Its state is ROOT/clinic."""
    base_url = f"http://{host}:{port}"
    settings = ClinicSettings(state=root / "clinic", base_url=base_url, issuer=issuer, issuer_ca=issuer_ca)
    if print_registration:
        click.echo(json.dumps(registration(base_url, public_jwks(settings.state)), ensure_ascii=False, indent=1))
        return
    serve("clinic", create_clinic(settings), host=host, port=port)


if __name__ == "__main__":
    main()
