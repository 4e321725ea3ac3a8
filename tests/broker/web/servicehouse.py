"""A sample service beside the house, on a port of its own, and how people come in there by the browser."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from flask import Flask
from playwright.sync_api import Page
from werkzeug.serving import make_server

from broker.commands.client import registration
from sandbox import clinic
from sandbox.clinic import ClinicSettings, create_clinic
from sandbox.party.key import public_jwks
from sandbox.party.settings import PartyPlace
from tests.broker.web.house import House
from tests.broker.web.test_web_me_browser import read_card
from tests.browser import assert_accessible, follow, screen
from tests.catalogues import compile_stale

CLINIC = "sample-clinic"
"""The house has a client of the clinic's own name."""


@contextmanager
def serving(
    house: House,
    package: ModuleType,
    state: Path,
    *,
    host: str,
    settings: Callable[..., PartyPlace],
    create: Callable[[Any], Flask],
) -> Iterator[str]:
    """The service registered as its operator would; answers its address."""
    compile_stale(Path(str(package.__file__)).with_name("translations"))
    holder: dict[str, Any] = {}

    def application(environ: Any, start_response: Any) -> object:
        with closing(holder["app"].wsgi_app(environ, start_response)) as parts:
            return list(parts)

    server = make_server(host, 0, application, threaded=True)  # type: ignore[arg-type]  # a WSGI callable
    base_url = f"http://{host}:{server.server_port}"
    told = settings(state=state, base_url=base_url, issuer=house.issuer)
    holder["app"] = create(told)
    wanted = package.registration(base_url, public_jwks(told.state)) | {"client_id": told.client_id}
    client = registration(wanted, secret_digest=None)
    with house.ports.store.transaction() as tx:
        assert tx.clients.add(client, now=house.clock())
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield base_url
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def serving_clinic(house: House, state: Path) -> AbstractContextManager[str]:
    settings = partial(ClinicSettings, client_id=CLINIC)
    return serving(house, clinic, state, host="127.0.0.5", settings=settings, create=create_clinic)


def looker(page: Page, language: str) -> Callable[[str], None]:
    """How a page is looked at: in its language, by axe, and as a picture under a name."""

    def look(name: str) -> None:
        assert page.locator("html").get_attribute("lang") == language
        assert_accessible(page)
        screen(page, name, language)

    return look


def log_in(page: Page, house: House, resident: str, *, then: str) -> None:
    """From the service's first page, with the card, until `then` is there."""
    follow(page.locator("#login"))
    page.locator("#card-submit").wait_for()
    read_card(page, house, resident)
    follow(page.locator("#approve"))
    page.locator(then).wait_for()


def answer(page: Page, house: House, resident: str, *, consent: str = "#approve", then: str) -> None:
    """What a service asks about a power: the card, the consent once `consent` is there, and back until `then` is."""
    page.locator("#mandate-questions").wait_for()
    read_card(page, house, resident)
    page.locator(consent).wait_for()
    follow(page.locator("#approve"))
    page.locator(then).wait_for()


def wall(house: House) -> None:
    """The services keep the time of the wall, so the broker has to beside them."""
    house.clock.now = datetime.now(UTC)
