"""Fixtures of the web room's tests; what they make is in house.py."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from flask import Flask
from sqlalchemy import Engine
from werkzeug.serving import make_server

import broker.web
from broker.flows.approval_ports import ClientPings
from broker.flows.documents import ClientDocuments
from broker.flows.licence_ports import Healthcare
from broker.flows.logout_ports import LogoutReceivers
from broker.flows.notice import RevocationNotices
from broker.flows.ports import Policy, Ports
from broker.flows.revocation_ports import CorrespondenceSource
from broker.ids import ClientID, SectorID
from broker.jose import public_jwk
from broker.jpki.profile import USER_AUTHENTICATION, Profile
from broker.keys.live import LiveKeys, open_keys
from broker.keys.rotation import create
from broker.network.client_keys import PublishedKeys
from broker.oidc.client import Client, SecurityProfile
from broker.storage import migrations
from broker.storage.engine import open_engine
from broker.storage.store import SQLStore
from broker.web.settings import WebSettings
from cardreader.agent.trust import parse_trust
from sandbox.generate import World, generate
from tests.broker.web import doctors
from tests.broker.web.house import (
    AGENT,
    BANK,
    ISSUER,
    LOGGED_OUT_URI,
    PASSPHRASE,
    REDIRECT_URI,
    Clock,
    Documents,
    House,
    Lists,
    Pings,
    Receivers,
    spki_hash,
)
from tests.catalogues import compile_stale


@pytest.fixture(scope="session", autouse=True)
def _translations() -> None:
    """`register` refuses to start without them."""
    compile_stale(Path(broker.web.__file__).with_name("translations"))


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return generate(tmp_path_factory.mktemp("world"), datetime.now(UTC))


@pytest.fixture(scope="session")
def software_keys(tmp_path_factory: pytest.TempPathFactory) -> LiveKeys:
    folder = tmp_path_factory.mktemp("keys")
    made = datetime.now(UTC) - timedelta(days=3)  # so that a test may begin the day before yesterday
    create(folder / "keys", PASSPHRASE, issuer=ISSUER, now=made, agent_root_out=folder / "root" / "root.json")
    return open_keys(folder / "keys", PASSPHRASE)


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database at the newest revision, to be copied."""
    path = tmp_path_factory.mktemp("db") / "empty.db"
    migrations.upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture
def make_house(world: World, software_keys: LiveKeys, migrated: Path, tmp_path: Path) -> Iterator[Callable[..., House]]:
    structlog.reset_defaults()
    with houses(world, software_keys, migrated, tmp_path) as make:
        yield make


@contextmanager
def houses(
    world: World, software_keys: LiveKeys, migrated: Path, tmp_path: Path
) -> Generator[Callable[..., House], None, None]:
    """What makes houses with databases of their own in a folder, and closes them in the end.

    `database_url` names a migrated database elsewhere, on PostgreSQL, in place of the file.
    """
    engines: list[Engine] = []

    def make(
        *,
        secure: bool = False,
        help_url: str | None = "https://help.example/card",
        issuer: str = ISSUER,
        keys_of: LiveKeys = software_keys,
        correspondence: CorrespondenceSource | None = None,
        profiles: tuple[Profile, ...] = (USER_AUTHENTICATION,),
        notices: RevocationNotices | None = None,
        documents: ClientDocuments | None = None,
        client_certificate_header: str = "",
        policy: Mapping[str, Any] | None = None,
        pings: ClientPings | None = None,
        receivers: LogoutReceivers | None = None,
        healthcare: Healthcare | None = None,
        database_url: str | None = None,
    ) -> House:
        database = tmp_path / f"{len(engines)}.db"
        if database_url is None:
            shutil.copy(migrated, database)
        engine = open_engine(database_url or f"sqlite:///{database}")
        engines.append(engine)
        anchors = tuple(
            certificate.public_bytes(Encoding.DER)
            for certificate in x509.load_pem_x509_certificates(
                world.anchors.read_bytes() + world.phone_anchors.read_bytes()
            )
        )
        signing = tuple(
            certificate.public_bytes(Encoding.DER)
            for certificate in x509.load_pem_x509_certificates(world.sign_anchors.read_bytes())
        )
        clock = Clock()
        lists = Lists(world, clock)
        published = documents or Documents()
        ports = Ports(
            policy=Policy(
                issuer=issuer,
                anchors=anchors,
                accepted_issuers=tuple(spki_hash(anchor) for anchor in anchors),
                sign_anchors=signing,
                sign_issuers=tuple(spki_hash(anchor) for anchor in signing),
                agent_origins=(AGENT, "http://[::1]:24780"),
                crl_max_age=timedelta(days=2),
                profiles=profiles,
                client_certificates=bool(client_certificate_header),
                **(policy or {}),
            ),
            store=SQLStore(engine),
            keys=keys_of,
            revocation=lists,
            clock=clock,
            entropy=os.urandom,
            documents=published,
            logout_receivers=receivers or Receivers(),
            client_pings=pings or Pings(),
            client_keys=PublishedKeys(published, clock),
            correspondence=correspondence,
            notices=notices,
            healthcare=healthcare,
        )
        app = Flask("broker")
        web = WebSettings(secure=secure, help_url=help_url, client_certificate_header=client_certificate_header)
        broker.web.register(app, ports, web=web)
        keys = {name: ec.generate_private_key(ec.SECP256R1()) for name in ("bank", "clinic", "stranger")}
        with ports.store.transaction() as tx:
            for name, title, vetted in (("bank", "さくら銀行（見本）", True), ("clinic", "見本クリニック", False)):
                tx.clients.add(
                    Client(
                        client_id=ClientID(name),
                        name=title,
                        vetted=vetted,
                        profile=SecurityProfile.OIDC,
                        redirect_uris=(REDIRECT_URI, f"{BANK}/other?x=1"),
                        post_logout_redirect_uris=(LOGGED_OUT_URI,),
                        jwks={"keys": [public_jwk(keys[name])]},
                        sector=SectorID(name),
                    ),
                    now=clock(),
                )
        document = app.test_client().get("/.well-known/card-agent", base_url=issuer).get_json()
        trust = parse_trust(
            json.dumps(
                {
                    "version": 1,
                    "phrase": "青い朝顔",
                    "brokers": [
                        {name: value for name, value in document.items() if name != "statement"}
                        | {"name": "test", "sandbox": True}
                    ],
                }
            ),
            sandbox=True,
        )
        return House(
            app=app, ports=ports, clock=clock, lists=lists, world=world, trust=trust, keys=keys, database=database
        )

    try:
        yield make
    finally:
        for engine in engines:
            engine.dispose()


@pytest.fixture
def house(make_house: Callable[..., House]) -> House:
    return make_house()


@pytest.fixture
def served(make_house: Callable[..., House], world: World, tmp_path: Path) -> Iterator[House]:
    """The broker on a port of its own, under the issuer it is reached by."""
    holder: dict[str, House] = {}

    def application(environ: object, start_response: object) -> object:
        """Whole answers: werkzeug forgets to close a file where the browser hangs up meanwhile."""
        parts: Any = holder["house"].app.wsgi_app(environ, start_response)  # type: ignore[arg-type]  # passed on as given
        try:
            return list(parts)
        finally:
            getattr(parts, "close", list)()  # PEP 3333: where there is one

    server = make_server("127.0.0.1", 0, application, threaded=True)  # type: ignore[arg-type]  # a WSGI callable
    issuer = f"http://localhost:{server.server_port}"
    create(
        tmp_path / "keys", PASSPHRASE, issuer=issuer, now=datetime.now(UTC), agent_root_out=tmp_path / "root" / "r.json"
    )
    lists = doctors.Lists(world, lambda: holder["house"].clock())  # noqa: PLW0108 -- the house is made with it
    holder["house"] = make_house(
        issuer=issuer, keys_of=open_keys(tmp_path / "keys", PASSPHRASE), healthcare=doctors.healthcare(world, lists)
    )
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield holder["house"]
    server.shutdown()
    thread.join()
    server.server_close()
