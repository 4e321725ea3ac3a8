"""`cardreader agent`: start the reader agent on this machine, for this user."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import click
import platformdirs

from cardreader.agent.answer import app_version
from cardreader.agent.app import DEFAULT_PORT, create_agent
from cardreader.agent.journal import configure, log
from cardreader.agent.server import AgentServer, StartRefused, bind_loopback, only_agent, require_known_ownership
from cardreader.agent.trust import AgentState, Trust, TrustInvalid, load_trust
from cardreader.transport import Readers

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
def agent(trust_path: Path, state_folder: Path, port: int, *, sandbox: bool) -> None:
    """Serve the card reader on this machine to services you trust, with a PIN page of its own."""
    configure()
    try:
        trust = load_trust(trust_path, sandbox=sandbox)
        serve(trust, state_folder, port=port, sandbox=sandbox, readers=_system_readers())
    except (TrustInvalid, StartRefused) as error:
        raise click.ClickException(str(error)) from None


def serve(
    trust: Trust,
    state_folder: Path,
    *,
    port: int,
    sandbox: bool,
    readers: Readers,
    on_ready: Callable[[AgentServer], None] = lambda _: None,
) -> None:
    """Run the agent until SIGTERM, Ctrl-C or AgentServer.stop. Raises TrustInvalid or StartRefused before it serves."""
    state = AgentState(state_folder)
    state.seen()  # a damaged file stops the start, not the first login
    with only_agent(state_folder):
        app = create_agent(readers=readers, trust=trust, state=state, port=port)
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
            server.run()
        except KeyboardInterrupt:
            pass
        finally:
            app.extensions["card-desk"].close()
            log.info("stopped", pid=os.getpid())


def _stop_on_signal(server: AgentServer) -> None:
    """SIGTERM ends the loop in order, so that a held card loses its power; only possible in the main thread."""
    try:
        signal.signal(signal.SIGTERM, lambda *_: server.stop())
    except ValueError:
        return  # another thread runs us (tests, an embedding program): it calls stop itself


def _system_readers() -> Readers:
    from cardreader.pcsc import PCSCReaders  # noqa: PLC0415  # needs the smart-card library only here

    return PCSCReaders()
