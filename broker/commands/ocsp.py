"""`broker ocsp`."""

from __future__ import annotations

import json
import sys
from datetime import datetime, timedelta
from typing import BinaryIO

import click

from broker.commands.evidence import MAX_FILE, at_option, read_certificate
from broker.commands.exits import answering
from broker.jpki.revocation import RevocationStatus, check_ocsp


@click.group()
def ocsp() -> None:
    """OCSP responses (RFC 6960)."""


@ocsp.command("check")
@click.argument("response", type=click.File("rb"))
@click.option("--certificate", type=click.File("rb"), required=True, help="Whose state is asked (DER or PEM).")
@click.option("--issuer", type=click.File("rb"), required=True, help="The CA that issued it (DER or PEM).")
@click.option("--nonce", help="The nonce that was sent, in hexadecimal.")
@click.option("--max-age", type=click.IntRange(1), default=600, show_default=True, help="Of thisUpdate, in seconds.")
@at_option
@click.option("--json", "as_json", is_flag=True)
@answering
def ocsp_check(
    *,
    response: BinaryIO,
    certificate: BinaryIO,
    issuer: BinaryIO,
    nonce: str | None,
    max_age: int,
    at: datetime,
    as_json: bool,
) -> None:
    """Judge the answer in RESPONSE (DER). Exit status 0 where it proves the certificate good, else 1."""
    try:
        sent = None if nonce is None else bytes.fromhex(nonce)
    except ValueError:
        raise click.BadParameter("not hexadecimal", param_hint="--nonce") from None
    verdict = check_ocsp(
        response.read(MAX_FILE),
        certificate=read_certificate(certificate),
        issuer=read_certificate(issuer),
        at=at,
        max_age=timedelta(seconds=max_age),
        nonce=sent,
    )
    times = {"this_update": verdict.this_update, "next_update": verdict.next_update, "revoked_at": verdict.revoked_at}
    if as_json:
        moments = {name: None if time is None else time.isoformat() for name, time in times.items()}
        click.echo(json.dumps({"status": verdict.status.value, "reason": verdict.reason, **moments}))
    else:
        click.echo("\t".join(filter(None, (verdict.status.value, verdict.reason))))
        for name, time in times.items():
            if time is not None:
                click.echo(f"{name}\t{time.isoformat()}")
    sys.exit(0 if verdict.status is RevocationStatus.GOOD else 1)
