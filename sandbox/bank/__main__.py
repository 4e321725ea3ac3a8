"""`python -m sandbox.bank`: serve the sample bank by waitress, or print its registration."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import click
import waitress

from sandbox.bank import HOST, ISSUER, PORT, BankSettings, create_bank, public_jwks, registration


class _JSONLines(logging.Formatter):
    """One JSON object per line, so that no text of a request can forge a second line."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname,
            "program": "bank",
            "event": record.getMessage(),
        }
        if record.exc_info is not None:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


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
    """The sample bank. Its state is ROOT/bank."""
    base_url = f"http://{host}:{port}"
    settings = BankSettings(state=root / "bank", base_url=base_url, issuer=issuer, issuer_ca=issuer_ca)
    if print_registration:
        click.echo(json.dumps(registration(base_url, public_jwks(settings.state)), ensure_ascii=False, indent=1))
        return
    handler = logging.StreamHandler()
    handler.setFormatter(_JSONLines())
    logging.basicConfig(handlers=[handler])
    waitress.serve(create_bank(settings), host=host, port=port, threads=4, ident=None)


if __name__ == "__main__":
    main()
