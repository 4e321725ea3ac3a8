"""The `broker` command; exit statuses as in `commands.exits`."""

from __future__ import annotations

import json
import os
import sys

import click
import structlog

from broker.commands.account import account, operator
from broker.commands.certificate import certificate
from broker.commands.client import client
from broker.commands.config import config
from broker.commands.crl import crl
from broker.commands.db import db
from broker.commands.delegation import delegation
from broker.commands.doctor import doctor
from broker.commands.exits import answering
from broker.commands.house import configured
from broker.commands.jobs import jobs
from broker.commands.keys import keys
from broker.commands.kiosk import kiosk
from broker.commands.link import link
from broker.commands.mandate import mandate
from broker.commands.ocsp import ocsp
from broker.commands.purge import purge
from broker.commands.receipts import evidence
from broker.commands.register import register
from broker.commands.session import session
from broker.commands.witness import witness
from broker.settings import read


@click.group()
def main() -> None:
    """The MyNumber card (JPKI) OpenID Provider."""
    # stdout is the answer; what is logged on the way goes to stderr, as it is at that moment
    structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))


for _group in (
    account,
    certificate,
    client,
    config,
    crl,
    db,
    delegation,
    doctor,
    evidence,
    jobs,
    keys,
    kiosk,
    link,
    mandate,
    ocsp,
    operator,
    purge,
    register,
    session,
    witness,
):
    main.add_command(_group)


@main.command()
@answering
def serve() -> None:
    """Serve the issuer with granian until stopped."""
    settings = read(os.environ)
    from granian.constants import Interfaces  # noqa: PLC0415 -- the other commands start without a web server
    from granian.server import Server  # noqa: PLC0415 -- as above

    Server(
        "broker.wsgi:app",
        address=settings.host,
        port=settings.port,
        interface=Interfaces.WSGI,
        workers=settings.workers,
        blocking_threads=4,
        websockets=False,
    ).serve()


@main.command("card-agent")
@answering
def card_agent() -> None:
    """Print what a reader agent must trust (agent-root and issuer keys), for its trust file."""
    from broker.web.card import card_agent_document  # noqa: PLC0415 -- one document, made where it is served

    click.echo(json.dumps(card_agent_document(configured())))


if __name__ == "__main__":
    main(prog_name="broker")
