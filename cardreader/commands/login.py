"""`cardreader login`: log in from a terminal."""

from __future__ import annotations

import json
import os
import sys
import threading
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import NoReturn

import click
import platformdirs

from cardreader.agent.display import displayable
from cardreader.agent.entry import EntryUnavailable, PINAsker, PinPrompt, typed_pin, write_prompt
from cardreader.agent.means import WITHOUT_PAGE, find_asker_without_page, find_password_asker
from cardreader.agent.server import StartRefused, only_agent
from cardreader.agent.signing import PAD_SECONDS, OnPINPad
from cardreader.agent.trust import AgentState, TrustInvalid, load_trust, origin_of
from cardreader.agent.visit import LoginRefused, Outcome, Person, log_in
from cardreader.authentication import APDUCards, AuthenticationCards
from cardreader.commands.session import on_the_reader, tries_after
from cardreader.errors import CardError, HPKIPINRejected, PINRejected, answer_for
from cardreader.webclient import WebClient, WebFault

REFUSED, WRONG_USE, CARD, GAVE_UP, UNREACHABLE = 1, 2, 3, 4, 5
"""Exit statuses beside 0: the broker or service refuses; wrong use; card, reader, PIN or request; the person went back;
the broker does not answer."""
_PIN_SECONDS = 120.0


@click.command("login")
@click.argument("url")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object; questions go to the error output.")
@click.option("--show-code", is_flag=True, help="Print the whole last address, with the code that logs you in.")
@click.option("--yes", is_flag=True, help="Agree to what the service asks for, without being asked.")
@click.option(
    "--pin-entry",
    type=click.Choice(WITHOUT_PAGE),
    default="auto",
    show_default=True,
    help="Where the PIN is typed. auto: the reader's own keys, a window, a graphical pinentry, else the terminal.",
)
@click.option(
    "--trust",
    "trust_path",
    type=click.Path(dir_okay=False, path_type=Path),
    default=lambda: platformdirs.user_config_path("cardreader") / "trust.json",
    show_default="trust.json in your configuration folder",
)
@click.option(
    "--state",
    "state_folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=lambda: platformdirs.user_state_path("cardreader"),
    show_default="your state folder",
)
@click.option("--timeout", type=click.FloatRange(min=0.1), default=30.0, show_default=True, help="Seconds per page.")
@click.option("--sandbox", is_flag=True, help="Accept trust entries on this machine (http, loopback): tests only.")
def login(
    url: str,
    trust_path: Path,
    state_folder: Path,
    pin_entry: str,
    timeout: float,
    *,
    as_json: bool,
    show_code: bool,
    yes: bool,
    sandbox: bool,
) -> None:
    """Log in at URL, the address a program's login would open in a browser, with the card on this machine.

    Nothing is opened at the end: where the browser would go is printed, without the code unless --show-code is given.

    Exit status: 0 logged in; 1 refused by broker or service; 2 wrong use; 3 card, reader, PIN or request; 4 you went
    back; 5 no answer from the broker.
    """
    try:
        origin = origin_of(url)
    except ValueError as error:
        raise click.BadParameter(f"{error}", param_hint="URL") from None
    browser = WebClient(origins=frozenset({origin}), timeout=timeout, language=_language())
    folder = state_folder / "terminal"  # beside the agent's own, which may be running
    try:
        trust = load_trust(trust_path, sandbox=sandbox)
        asker, password_asker = find_asker_without_page(pin_entry), find_password_asker(pin_entry)
        state = AgentState(folder)
        for issuer, seq in AgentState(state_folder).seen().items():
            state.remember(issuer, seq)
        with only_agent(folder):
            outcome = log_in(
                url,
                browser=browser,
                trust=trust,
                state=state,
                cards=_system_cards(),
                person=_person(asker, password_asker, agrees=yes, uses_pin_pad=pin_entry == "auto"),
                clock=lambda: datetime.now(UTC),
            )
    except CardError as error:
        row = answer_for(error)
        words = row.en if _language() == "en" else row.ja
        told = " ".join(filter(None, (words.title, tries_after(error), words.action)))
        _fail(CARD, told, code=row.code, as_json=as_json)
    except LoginRefused as refused:
        _fail(REFUSED, str(refused), code=refused.code, as_json=as_json)
    except WebFault as fault:
        _fail(UNREACHABLE, str(fault), code="", as_json=as_json)
    except (TrustInvalid, StartRefused, EntryUnavailable) as error:
        raise click.ClickException(str(error)) from None
    finally:
        browser.close()
    _report(outcome, as_json=as_json, show_code=show_code)


def _report(outcome: Outcome, *, as_json: bool, show_code: bool) -> None:
    shown = outcome.url if show_code else outcome.place
    if as_json:
        document = {"service": outcome.service, "redirect": shown, "error": outcome.error}
        click.echo(json.dumps({"logged_in": outcome.error is None, **document}, ensure_ascii=False))
    elif outcome.error is None:
        click.echo(f"{displayable(outcome.service)}: logged in; the browser would go to {shown}")
    else:
        click.echo(f"not logged in ({outcome.error}); the browser would go to {shown}", err=True)
    if outcome.error is not None:
        sys.exit(GAVE_UP if outcome.error == "access_denied" else REFUSED)


def _fail(status: int, words: str, *, code: str, as_json: bool) -> NoReturn:
    if as_json:
        click.echo(json.dumps({"logged_in": False, "code": code, "message": words}, ensure_ascii=False))
    else:
        click.echo(f"{words} {code}".rstrip(), err=True)
    sys.exit(status)


def _ask(asker: PINAsker, prompt: PinPrompt) -> str | None:
    typed = asker.ask(prompt, seconds=_PIN_SECONDS, stop=threading.Event())
    return None if typed is None else typed_pin(typed)


def _person(asker: PINAsker, password_asker: PINAsker | None, *, agrees: bool, uses_pin_pad: bool) -> Person:

    def on_pad(prompt: PinPrompt) -> OnPINPad:
        text = write_prompt(prompt)
        for line in (text.error, *text.lines, on_the_reader()):
            if line:
                click.echo(line, err=True)
        return OnPINPad(language=prompt.language, seconds=PAD_SECONDS)

    def again(rejected: PINRejected | HPKIPINRejected) -> bool:
        left = "an unknown number of" if rejected.tries_left is None else rejected.tries_left
        return click.confirm(f"Wrong PIN; {left} tries left. Type it once more?", default=False, err=True)

    def last_try(tries_left: int | None) -> bool:
        return click.confirm(f"{_few(tries_left)}; a wrong PIN may lock the card. Go on?", default=False, err=True)

    def last_password_try(tries_left: int | None) -> bool:
        question = f"{_few(tries_left)} for the signing password; a wrong one may lock it. Go on?"
        return click.confirm(question, default=False, err=True)

    def consent(text: str) -> bool:
        click.echo(displayable(text, at_most=2000), err=True)
        return agrees or click.confirm("Hand this over?", default=False, err=True)

    return Person(
        pin_entry=asker.name,
        pin=partial(_ask, asker),
        again=again,
        last_try=last_try,
        last_password_try=last_password_try,
        consent=consent,
        password=None if password_asker is None else partial(_ask, password_asker),
        on_pad=on_pad if uses_pin_pad else None,
    )


def _few(tries_left: int | None) -> str:
    return "Only one try is left" if tries_left == 1 else "The card does not tell how many tries are left"


def _language() -> str:
    told = os.environ.get("LC_ALL") or os.environ.get("LC_MESSAGES") or os.environ.get("LANG") or ""
    return "ja" if told.startswith("ja") else "en"


def _system_cards() -> AuthenticationCards:
    from cardreader.pcsc import PCSCReaders  # noqa: PLC0415  # needs the smart-card library only here

    return APDUCards(PCSCReaders())
