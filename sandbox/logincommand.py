"""The command `python -m sandbox login`: its options, and what it prints."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import click

from cardreader.agent.trust import TrustInvalid
from cardreader.errors import CardError
from sandbox.login import STEPS, LoginFailed, LoginResult, login
from sandbox.running import ROOT, addresses_of, card_of
from sandbox.series import login_series

MAX_COUNT: Final = 100_000
MAX_CONCURRENCY: Final = 64


def _no_pin(_context: click.Context, _parameter: click.Parameter, value: str | None) -> None:
    if value is not None:
        raise click.BadParameter("a PIN never stands on a command line; it is taken from the resident's card file")


@click.command("login", help="Log in to the sample bank with a software card, without a browser.")
@click.option("--client", type=click.Choice(["bank"]), default="bank", show_default=True)
@click.option("--resident", "residents", multiple=True, default=("hanako",), show_default=True, help="May be repeated.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object with the claims the bank verified.")
@click.option("--scope", default="openid", show_default=True, help="What the bank asks for: `openid name address` …")
@click.option("--register-number", is_flag=True, help="Have the broker tell the customer number from then on.")
@click.option("--count", type=click.IntRange(1, MAX_COUNT), default=1, show_default=True, help="Logins per resident.")
@click.option("--concurrency", type=click.IntRange(1, MAX_CONCURRENCY), default=1, show_default=True)
@click.option("--pin", callback=_no_pin, expose_value=False, hidden=True)
@click.option("--root", type=click.Path(path_type=Path), default=ROOT, show_default=".sandbox of this checkout")
@click.option("--broker", show_default="as `make run` started it")
@click.option("--bank", show_default="as `make run` started it")
@click.option("--timeout", type=click.FloatRange(min=0.1), default=30.0, show_default=True, help="Seconds per request.")
def command(
    *,
    client: str,
    residents: tuple[str, ...],
    as_json: bool,
    scope: str,
    count: int,
    concurrency: int,
    root: Path,
    broker: str | None,
    bank: str | None,
    timeout: float,
    register_number: bool,
) -> None:
    """Exit status 0 only if the relying party accepted every login."""
    told = addresses_of(root)
    broker, bank = broker or told["broker"], bank or told["bank"]
    cards = [card_of(root, resident) for resident in residents]
    trust = root / "agent" / "trust.json"

    def attempt(card: Path, before_step: Callable[[str], None] = lambda _: None) -> LoginResult:
        return login(
            broker=broker,
            bank=bank,
            resident_card=card,
            trust=trust,
            timeout=timeout,
            authorities=told.get("authorities"),
            scope=scope,
            register_number=register_number,
            before_step=before_step,
        )

    try:
        if len(cards) == count == 1:
            _print_one(attempt(cards[0], _quiet if as_json else _progress), client=client, as_json=as_json)
            return
        series = login_series(cards, count=count, concurrency=concurrency, attempt=attempt)
    except LoginFailed as failure:
        if as_json:
            click.echo(
                json.dumps({"accepted": False, "step": failure.step, "code": failure.code, "error": str(failure)})
            )
        raise click.ClickException(str(failure)) from None
    except (CardError, TrustInvalid) as broken:
        raise click.ClickException(f"{broken} (is this the folder of a `make run`? --root {root})") from None
    document = series.document()
    click.echo(json.dumps(document, ensure_ascii=False) if as_json else _table(document))
    if not document["accepted"]:
        sys.exit(1)


def _quiet(_step: str) -> None:
    return


def _progress(step: str) -> None:
    click.echo(f"  {step:8}  {STEPS[step]}", err=True)


def _print_one(result: LoginResult, *, client: str, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(result.document(), ensure_ascii=False))
        return
    click.echo(
        f"{client} accepted {result.resident}: customer number {result.customer_number}, {result.total_ms:.0f} ms"
    )
    for name, value in (*sorted(result.claims.items()), *sorted(result.userinfo.items())):
        click.echo(f"  {name}: {value}")


def _table(document: Mapping[str, Any]) -> str:
    lines = [f"{document['logins']} logins in {document['seconds']} s, {len(document['failures'])} failures"]
    lines += [f"  {failure}" for failure in document["failures"][:10]]
    lines += [f"  crossed: {resident}" for resident in document["crossed"]]
    for step, values in (("total", document["total_ms"]), *document["steps_ms"].items()):
        lines.append(f"  {step:9} p50 {values['p50']:8.2f} ms   p99 {values['p99']:8.2f} ms")
    return "\n".join(lines)
