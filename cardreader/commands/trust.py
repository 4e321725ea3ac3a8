"""`cardreader trust`: which brokers may ask for this person's card."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import platformdirs

from cardreader.agent import pairing
from cardreader.agent.display import displayable
from cardreader.agent.trust import MAX_PHRASE, TrustInvalid

_SAME = "same"


@click.command("trust")
@click.argument("url", required=False)
@click.option("--remove", is_flag=True, help="Trust the broker at URL no longer.")
@click.option("--list", "lists", is_flag=True, help="Say who is trusted.")
@click.option("--fingerprint", help="The printed words; the command then asks nothing and refuses any other.")
@click.option("--name", help="What pages call this broker; its host name unless told.")
@click.option(
    "--trust",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    default=lambda: platformdirs.user_config_path("cardreader") / "trust.json",
    show_default="trust.json in your configuration folder",
)
@click.option("--sandbox", is_flag=True, help="Allow a broker on this machine (http, loopback): tests only.")
def trust(
    url: str | None, path: Path, fingerprint: str | None, name: str | None, *, remove: bool, lists: bool, sandbox: bool
) -> None:
    """Trust the broker at URL (https://login.example.jp), after you compared its fingerprint with a printed source.

    Exit status: 0 done; 1 refused or not the same fingerprint; 2 wrong use.
    """
    try:
        if lists:
            _list(path)
        elif url is None:
            raise click.UsageError("name the broker's address, or use --list")
        elif remove:
            left = pairing.remove(path, url)
            click.echo(f"{url} is trusted no longer." + ("" if left else f" It was the only one: {path} is removed."))
            click.echo("Restart the agent if it runs.")
        else:
            _add(url, path, fingerprint=fingerprint, name=name, sandbox=sandbox)
    except (pairing.PairingRefused, TrustInvalid) as refused:
        raise click.ClickException(str(refused)) from None


def _add(url: str, path: Path, *, fingerprint: str | None, name: str | None, sandbox: bool) -> None:
    identity = pairing.identify(url, sandbox=sandbox, fetch=pairing.fetch_document)
    click.echo(f"Host         {identity.host}")
    click.echo(f"Fingerprint  {identity.words}")
    if fingerprint is not None:
        if not pairing.same_words(fingerprint, identity.words):
            raise click.ClickException("this is NOT the fingerprint you gave; nothing was written")
    else:
        click.echo("Compare host and fingerprint with what the operator gave you on paper, not with a web page.")
        typed = click.prompt(f"Type {_SAME!r} if every word is the same", default="", show_default=False)
        if typed.strip().casefold() != _SAME:
            click.echo("Nothing was written.", err=True)
            sys.exit(1)
    phrase = None
    if pairing.is_new(path):
        click.echo("Choose a phrase. Each PIN prompt will show it: a prompt without it is not this program's.")
        phrase = click.prompt("Your phrase", value_proc=_phrase)
    pairing.add(path, identity, name=displayable(name or identity.host), phrase=phrase, sandbox=sandbox)
    click.echo(f"{identity.host} is now trusted ({path}). Restart the agent if it runs.")
    click.echo(f"To undo:  cardreader trust --remove {identity.origin}")


def _list(path: Path) -> None:
    if pairing.is_new(path):
        click.echo(f"Nobody is trusted: there is no {path}.")
        return
    for name, issuer, words in pairing.trusted(path):
        click.echo(f"{displayable(name)}\t{issuer}\t{words}")


def _phrase(text: str) -> str:
    phrase = text.strip()
    if not 4 <= len(phrase) <= MAX_PHRASE or not phrase.isprintable():
        raise click.BadParameter(f"4 to {MAX_PHRASE} characters, please")
    return phrase
