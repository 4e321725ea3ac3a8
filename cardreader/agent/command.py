"""`cardreader agent`: start the reader agent on this machine, for this user."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click
import platformdirs
from flask import Flask

from cardreader.agent.answer import app_version
from cardreader.agent.app import DEFAULT_PORT, create_agent
from cardreader.agent.desk import HOLD_SECONDS
from cardreader.agent.device import DeviceKey, device_key
from cardreader.agent.entry import CHOICES, EntryUnavailable, PINAsker
from cardreader.agent.journal import configure, log
from cardreader.agent.kiosk import IDLE_SECONDS, Kiosk, KioskRefused, require_read_only
from cardreader.agent.means import find_asker, find_password_asker
from cardreader.agent.server import AgentServer, StartRefused, bind_loopback, only_agent, require_known_ownership
from cardreader.agent.trust import AgentState, Trust, TrustInvalid, load_trust
from cardreader.agent.unit import unit_file
from cardreader.authentication import APDUCards, AuthenticationCards
from cardreader.pkcs11 import PKCS11Cards

if TYPE_CHECKING:
    from cardreader.pcsc import PCSCReaders

_ENVIRONMENT = "CARDREADER"


@click.command("agent", context_settings={"auto_envvar_prefix": f"{_ENVIRONMENT}_AGENT"})
@click.option(
    "--trust",
    "trust_path",
    type=click.Path(dir_okay=False, path_type=Path),
    default=lambda: platformdirs.user_config_path("cardreader") / "trust.json",
    show_default="trust.json in your configuration folder",
    help="The trust file: which brokers may ask, and your phrase.",
)
@click.option(
    "--state",
    "state_folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=lambda: platformdirs.user_state_path("cardreader"),
    show_default="your state folder",
    help="Where the agent keeps what it must remember.",
)
@click.option("--port", type=click.IntRange(1024, 65535), default=DEFAULT_PORT, show_default=True)
@click.option("--sandbox", is_flag=True, help="Accept trust entries on this machine (http, loopback): tests only.")
@click.option(
    "--pin-entry",
    type=click.Choice(CHOICES),
    default="auto",
    show_default=True,
    help="Where the PIN is typed. auto: a window, else a graphical pinentry, else the agent's own page.",
)
@click.option("--kiosk", "is_kiosk", is_flag=True, help="A terminal that everybody uses: sessions end with the card.")
@click.option(
    "--allow-signing",
    is_flag=True,
    help="Kiosk: also take requests that sign documents (identity proofing too) or bind a service's number.",
)
@click.option("--browser", default="chromium", show_default=True, help="Kiosk: the browser to run (Chromium, Firefox).")
@click.option(
    "--pkcs11",
    "module",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A vendor's PKCS #11 module, for a reader that only it drives. Not for kiosks.",
)
@click.option(
    "--extended-length",
    is_flag=True,
    help="Ask for certificates in one piece (extended length, ISO/IEC 7816-4), where your reader passes that on.",
)
@click.option("--print-unit", is_flag=True, help="Print a systemd user unit for this installation, and stop.")
@click.option("--start-url", help="Kiosk: the page each session begins with, as `broker kiosk enrol` printed it.")
def agent(
    trust_path: Path,
    state_folder: Path,
    port: int,
    *,
    pin_entry: str,
    module: Path | None,
    browser: str,
    start_url: str | None,
    sandbox: bool,
    is_kiosk: bool,
    allow_signing: bool,
    extended_length: bool,
    print_unit: bool,
) -> None:
    """Serve the card reader on this machine to services you trust, with a PIN page of its own."""
    if print_unit:
        click.echo(unit_file(), nl=False)
        return
    if is_kiosk and module is not None:
        raise click.UsageError("--kiosk needs the readers themselves, not a PKCS #11 module")
    if extended_length and module is not None:
        raise click.UsageError("--extended-length is for our own driver; a PKCS #11 module decides for itself")
    configure()
    try:
        trust = load_trust(trust_path, sandbox=sandbox)
        asker, pads = find_asker(pin_entry), pin_entry == "auto"
        password_asker = find_password_asker(pin_entry)
        readers = _system_readers()
        cards: AuthenticationCards = APDUCards(readers, extended_length=extended_length)
        if module is not None:
            cards = PKCS11Cards(module)
        if not is_kiosk:
            serve(
                trust,
                state_folder,
                port=port,
                sandbox=sandbox,
                cards=cards,
                asker=asker,
                password_asker=password_asker,
                uses_pin_pad=pads,
            )
            return
        require_read_only(trust_path)
        first_page = _start_page(start_url, sandbox=sandbox)
        device = device_key(state_folder)
        with readers.watch() as watch:
            kiosk = Kiosk(browser=browser, url=first_page, watch=watch)
            serve(
                trust,
                state_folder,
                port=port,
                sandbox=sandbox,
                cards=cards,
                asker=asker,
                password_asker=password_asker,
                uses_pin_pad=pads,
                kiosk=kiosk,
                allows_signing=allow_signing,
                device=device,
            )
    except (TrustInvalid, StartRefused, KioskRefused, EntryUnavailable) as error:
        raise click.ClickException(str(error)) from None


def serve(
    trust: Trust,
    state_folder: Path,
    *,
    port: int,
    sandbox: bool,
    cards: AuthenticationCards,
    asker: PINAsker | None = None,
    password_asker: PINAsker | None = None,
    uses_pin_pad: bool = False,
    kiosk: Kiosk | None = None,
    allows_signing: bool = False,
    device: DeviceKey | None = None,
    on_ready: Callable[[AgentServer], None] = lambda _: None,
) -> None:
    """Run the agent until SIGTERM, Ctrl-C or AgentServer.stop. Raises TrustInvalid or StartRefused before it serves.

    With `kiosk` its browsers run beside the agent and end with it; KioskRefused where none can be started. `device` is
    the key that signs the answers of such a terminal.
    """
    state = AgentState(state_folder)
    state.seen()  # a damaged file stops the start, not the first login
    with only_agent(state_folder):
        hold_seconds = HOLD_SECONDS if kiosk is None else IDLE_SECONDS
        app = create_agent(
            cards=cards,
            trust=trust,
            state=state,
            port=port,
            asker=asker,
            password_asker=password_asker,
            uses_pin_pad=uses_pin_pad,
            kiosk=kiosk,
            allows_signing=allows_signing,
            device=device,
            hold_seconds=hold_seconds,
        )
        sockets = bind_loopback(port)
        try:
            for listener in sockets:
                require_known_ownership(listener)
        except BaseException:
            for listener in sockets:
                listener.close()
            raise
        server = AgentServer(app, sockets)
        log.info(
            "listening",
            addresses=server.addresses,
            port=server.port,
            pid=os.getpid(),
            version=app_version(),
            brokers=len(trust.brokers),
            sandbox=sandbox,
        )
        _stop_on_signal(server)
        on_ready(server)
        try:
            with _beside(kiosk, app, server):
                server.run()
        except KeyboardInterrupt:
            pass
        finally:
            app.extensions["card-desk"].close()
            log.info("stopped", pid=os.getpid())


@contextlib.contextmanager
def _beside(kiosk: Kiosk | None, app: Flask, server: AgentServer) -> Iterator[None]:
    """The kiosk's browsers while the agent serves. Where no browser can run, the agent stops too, and says why."""
    if kiosk is None:
        yield
        return
    failed: list[KioskRefused] = []

    def run() -> None:
        try:
            kiosk.run(on_end=app.extensions["card-desk"].close)
        except KioskRefused as refused:
            failed.append(refused)
            server.stop()

    thread = threading.Thread(target=run, name="kiosk")
    thread.start()
    try:
        yield
    finally:
        kiosk.stop()
        thread.join()
    if failed:
        raise failed[0]


def _stop_on_signal(server: AgentServer) -> None:
    """SIGTERM ends the loop in order, so that a held card loses its power; only possible in the main thread."""
    try:
        signal.signal(signal.SIGTERM, lambda *_: server.stop())
    except ValueError:
        return  # another thread runs us (tests, an embedding program): it calls stop itself


def _start_page(url: str | None, *, sandbox: bool) -> str:
    """Where a kiosk's sessions begin: https, because whoever owns the network owns a page without it."""
    if not url:
        raise KioskRefused("kiosk mode needs --start-url, the page each session begins with")
    if not url.startswith("https://") and not sandbox:
        raise KioskRefused(f"{url} is not https")
    return url


def _system_readers() -> PCSCReaders:
    from cardreader.pcsc import PCSCReaders  # noqa: PLC0415  # needs the smart-card library only here

    return PCSCReaders()
