"""Starts granian in front of a WSGI application (design 4.16)."""

from __future__ import annotations

from broker.settings import Settings

BLOCKING_THREADS = 4
"""A worker's threads: one slow outbound call must not stop the rest."""

STOP_SECONDS = 5
"""A worker asked to stop gets this long to finish what it is answering; nothing is lost by the end that then comes."""


def serve(target: str, settings: Settings, *, factory: bool = False) -> None:
    """Serve `target` (module:name; a factory where said so) at the settings' address until stopped."""
    serve_at(target, host=settings.host, port=settings.port, workers=settings.workers, factory=factory)


def serve_at(target: str, *, host: str, port: int, workers: int, factory: bool = False) -> None:
    """The same at any address."""
    from granian.constants import Interfaces  # noqa: PLC0415 -- whoever only imports this needs no web server
    from granian.server import Server  # noqa: PLC0415 -- as above

    Server(
        target,
        factory=factory,
        address="127.0.0.1" if host == "localhost" else host,
        port=port,
        interface=Interfaces.WSGI,
        workers=workers,
        blocking_threads=BLOCKING_THREADS,
        workers_kill_timeout=STOP_SECONDS,
        websockets=False,
    ).serve()
