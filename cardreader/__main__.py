"""The command `cardreader`."""

from __future__ import annotations

import sys
import tempfile
from importlib import import_module
from pathlib import Path

import click

from cardreader import cardfile, softcard
from cardreader.errors import CardFileInvalid

_LAZY = {  # module of each command whose imports the others need not pay for
    "agent": "cardreader.agent.command",
    "certificate": "cardreader.commands.certificate",
    "info": "cardreader.commands.info",
    "doctor": "cardreader.commands.doctor",
    "kiosk-key": "cardreader.commands.kiosk_key",
    "login": "cardreader.commands.login",
    "pin": "cardreader.commands.pin",
    "sign-file": "cardreader.commands.sign_file",
    "trust": "cardreader.commands.trust",
}


class _Commands(click.Group):
    """A group that imports some of its commands only when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *_LAZY})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _LAZY:
            return super().get_command(ctx, cmd_name)
        command = getattr(import_module(_LAZY[cmd_name]), cmd_name.replace("-", "_"))
        if not isinstance(command, click.Command):
            raise TypeError(f"{_LAZY[cmd_name]}.{cmd_name} is not a click command")
        return command


@click.group(cls=_Commands)
@click.version_option(package_name="jpki-broker")
def main() -> None:
    """The MyNumber card on this machine: the agent that browsers talk to, and a software card to try things with."""


@main.command(name="softcard", context_settings={"ignore_unknown_options": True})
@click.option("--resident", required=True, help="Whose card: the name of a card file, such as hanako.")
@click.option(
    "--cards",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(".sandbox/cards"),
    show_default=True,
    help="Where the card files are.",
)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def softcard_command(resident: str, cards: Path, command: tuple[str, ...]) -> None:
    """Run COMMAND with a private PC/SC service that holds a software card.

    COMMAND finds it by PCSCLITE_CSOCK_NAME; both end together, and COMMAND's exit status is this one's. Counters are
    written back into the card file.
    """
    card = cards / f"{resident}.json"
    if Path(resident).name != resident or not card.is_file():
        known = ", ".join(sorted(_residents(cards))) or "none"
        raise click.BadParameter(f"no card {resident!r} in {cards} (there: {known})", param_hint="--resident")
    try:
        cardfile.load(card)
        with tempfile.TemporaryDirectory(prefix="softcard-") as run_dir:
            status = softcard.run_with_card(card, list(command), run_dir=Path(run_dir))
    except (CardFileInvalid, softcard.CannotStart, softcard.TrayFault) as error:
        raise click.ClickException(str(error)) from None
    except OSError as error:
        raise click.ClickException(f"{command[0]}: {error.strerror}") from None
    sys.exit(status)


def _residents(cards: Path) -> list[str]:
    names = []
    for path in cards.glob("*.json"):
        try:
            cardfile.load(path)
        except CardFileInvalid:
            continue  # an index lies beside the cards
        names.append(path.stem)
    return names


if __name__ == "__main__":
    main()
