"""The sandbox's door to the broker: the only place where loopback http is allowed, and where the broker is set up.

It is no part of the distribution, and refuses to open beside any anchor that is not JPKI-TEST.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from flask import Blueprint, Flask

from broker.app import for_trial_only, join, mount, now
from broker.audit.entry import Entry, Event
from broker.commands.client import clients_of, registration
from broker.errors import BrokerError, SettingsError
from broker.flows import client_administration
from broker.flows.ports import KeyUse, Ports
from broker.jose import load_public_key
from broker.jpki.profile import PLASTIC
from broker.keys.live import open_keys
from broker.keys.rotation import create, renew_statement, rotate
from broker.network.outbound import OutboundGuard
from broker.oidc.client import Client
from broker.oidc.discovery import metadata
from broker.serving import serve
from broker.settings import PREFIX, Settings, loopback, read
from broker.storage.migrations import upgrade
from broker.web.card import card_agent_document
from sandbox import approver, atomicfile, door, seals, witness
from sandbox.ca import PHONE_POLICIES
from sandbox.generate import World
from sandbox.registrar import ANCHORS
from sandbox.tls import TLSFiles
from sandbox.tlsfront import HEADER

REFRESH_AFTER = timedelta(seconds=3)
"""What is entered at the office takes effect while somebody watches; a production broker asks each hour."""
RENEW_BEFORE = timedelta(days=30)
"""A statement of request keys this close to its end is renewed at the start."""


OUTBOUND_CA = "SANDBOX_OUTBOUND_CA"
"""Names a PEM file: under its authorities https addresses of this machine are called. No setting of the broker."""


DOOR_CARDS = "SANDBOX_DOOR_CARDS"
"""Names the folder of the card files that the test door reads; without it there is no door."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BehindTLS:
    """The front that the broker stands behind."""

    files: TLSFiles
    mtls_origin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerHouse:
    """Where the sandbox's broker keeps its things, all under `root`/broker."""

    root: Path
    issuer: str
    agent_origins: tuple[str, ...]
    port: int
    workers: int = 2
    database_url: str = ""
    mapping: str = ""
    """Where the outside world answers for J-LIS's old-new mapping; empty for none."""
    witness: str = ""
    """Where the sandbox's witness takes checkpoints; empty: no register is kept."""
    world: str = ""
    """Where the outside world answers for lists of seals and of corporations, and for time stamps; empty: no document
    is sealed, and no corporation signs with its own certificate."""
    front: BehindTLS | None = None
    door: bool = False
    """Whether a test resident may log in by a form on the login page (`sandbox.door`)."""

    @property
    def folder(self) -> Path:
        return self.root / "broker"

    @property
    def agent_root(self) -> Path:
        """What a real operator keeps off the machine."""
        return self.folder / "agent-root.offline"

    @property
    def anchors(self) -> Path:
        """The authorities of cards and of phones, as `set_up` found them."""
        return self.folder / "anchors.pem"

    @property
    def sign_anchors(self) -> Path:
        """The authorities of 署名用 certificates, as `set_up` found them."""
        return self.folder / "sign-anchors.pem"

    @property
    def seal(self) -> Path:
        """The file of the seal on documents."""
        return self.folder / "seal.toml"

    def environment(self) -> dict[str, str]:
        """The settings as the broker's own environment."""
        return {
            "BROKER_ISSUER": self.issuer,
            "BROKER_DATABASE_URL": self.database_url or f"sqlite:///{self.folder / 'broker.db'}",
            "BROKER_KEY_DIRECTORY": str(self.folder / "keys"),
            "BROKER_KEY_PASSPHRASE_FILE": str(self.folder / "passphrase"),
            "BROKER_ANCHORS": str(self.anchors),
            "BROKER_SIGN_ANCHORS": str(self.sign_anchors),
            "BROKER_ACCEPTED_KINDS": ",".join((PLASTIC, *PHONE_POLICIES)),
            "BROKER_PHONE_POLICIES": ",".join(f"{kind}={oid.dotted_string}" for kind, oid in PHONE_POLICIES.items()),
            "BROKER_CRL_SOURCES": str(self.root / "ca" / "crl-sources.json"),
            "BROKER_HPKI_ANCHORS": str(self.root / "ca" / "hpki-anchors.pem"),
            "BROKER_HPKI_AUTHORITIES": str(self.root / "ca" / "hpki-authorities.pem"),
            "BROKER_HPKI_CRL_SOURCES": str(self.root / "ca" / "hpki-crl-sources.json"),
            "BROKER_CORRESPONDENCE_URL": self.mapping,
            "BROKER_SEAL": str(self.seal) if self.world else "",
            "BROKER_COMMERCIAL_REGISTRATION_ANCHORS": str(self.root / "ca" / ANCHORS) if self.world else "",
            "BROKER_COMMERCIAL_REGISTRATION_LISTS": f"{self.world}/crl/registrar.crl" if self.world else "",
            "BROKER_PROCURING_ENTITIES": str(Path(__file__).with_name("procuring-entities.toml")),
            "BROKER_AGENT_ORIGINS": ",".join(self.agent_origins),
            "BROKER_HOST": urlsplit(self.issuer).hostname or "localhost",
            "BROKER_PORT": str(self.port),
            "BROKER_WORKERS": str(self.workers),
            **({DOOR_CARDS: str(self.root / "cards")} if self.door else {}),
            **({"BROKER_REGISTER_POLICY": str(witness.policy_file(self.root))} if self.witness else {}),
            "BROKER_APPROVE_SECTORS": "true",
            "BROKER_OPEN_REGISTRATION": "oidc",
            **self._behind_tls(),
        }

    def _behind_tls(self) -> dict[str, str]:
        if self.front is None:
            return {}
        return {
            "BROKER_CLIENT_CERTIFICATE_HEADER": HEADER,
            "BROKER_CLIENT_CA": str(self.front.files.client_authority),
            "BROKER_MTLS_ORIGIN": self.front.mtls_origin,
            OUTBOUND_CA: str(self.front.files.outbound),
        }


def mtls_paths(issuer: str) -> tuple[str, ...]:
    """The paths that the metadata name as addresses for certificates (RFC 8705 §5)."""
    told = metadata(issuer, signing=(), decryption=(), mtls_origin=issuer, backchannel=True)
    aliases: dict[str, str] = told["mtls_endpoint_aliases"]
    return tuple(address.removeprefix(issuer) for address in aliases.values())


def open_ports(settings: Settings, *, outbound_ca: str = "", approves: bool = False) -> Ports:
    """Everything a flow is given, with http to this machine allowed, and https under the authorities of `outbound_ca`.

    `approves` says that the approver channel is mounted, and so switches CIBA on. Raises SettingsError.
    """
    if not loopback(settings.host) or not loopback(urlsplit(settings.issuer).hostname or ""):
        raise SettingsError("the sandbox's broker serves this machine alone")
    guard = OutboundGuard(allow_loopback_http=True, loopback_ca=outbound_ca)
    ports = join(settings, guard=guard, refresh_after=REFRESH_AFTER)
    if not for_trial_only(ports.policy.anchors):
        raise SettingsError("the sandbox's door stays shut beside anchors that are not JPKI-TEST")
    channel = approver.CHANNEL if approves else ""
    return replace(ports, policy=replace(ports.policy, approver_channel=channel))


def app() -> Flask:
    """The WSGI application (granian's factory target); reads the environment once, then takes it out of sight."""
    settings = read(os.environ)
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        del os.environ[name]
    cards = os.environ.pop(DOOR_CARDS, "")
    ports = open_ports(settings, outbound_ca=os.environ.pop(OUTBOUND_CA, ""), approves=bool(cards))
    return mount(settings, ports, trial_door=trial_door(Path(cards)) if cards else None)


def trial_door(cards: Path) -> Blueprint:
    """The test door and the approver channel, for the residents whose card files are in `cards`."""
    opened = door.blueprint(cards)
    opened.register_blueprint(approver.blueprint(cards))
    return opened


def set_up(
    house: BrokerHouse, registrations: Iterable[Mapping[str, Any]], *, plans: Iterable[Mapping[str, Any]] = ()
) -> dict[str, Any]:
    """Make keys and schema where they are missing, register the clients, and answer the card-agent document.

    A client may bring a `client_secret` of its own here; elsewhere the broker makes it (RFC 7591 §3.2.1). `plans` are
    files as `broker client load` takes them: their clients are added, or changed to what stands there.

    Keys belong to one issuer: when the issuer moved (another port, https), they are made anew, and so is our own
    database, which only those keys could read.
    """
    house.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    world = World(root=house.root, made_because=None)
    atomicfile.write(house.anchors, world.anchors.read_bytes() + world.phone_anchors.read_bytes())
    atomicfile.write(house.sign_anchors, world.sign_anchors.read_bytes())
    passphrase, issuer_file = house.folder / "passphrase", house.folder / "issuer"
    moved = not issuer_file.exists() or issuer_file.read_text(encoding="utf-8") != house.issuer
    if moved:
        for stale in (*(house.folder / "keys").glob("*"), *house.folder.glob("broker.db*"), house.agent_root):
            stale.unlink(missing_ok=True)
        witness.forget(house.root)
        atomicfile.write(passphrase, secrets.token_urlsafe(24).encode())
    if house.witness:
        witness.write_policy(house.root, house.witness)
    settings = read(house.environment())
    if moved:
        create(
            settings.key_directory,
            settings.key_passphrase,
            issuer=settings.issuer,
            now=now(),
            agent_root_out=house.agent_root,
        )
        atomicfile.write(issuer_file, house.issuer.encode())
    upgrade(settings.database_url)
    keys = open_keys(settings.key_directory, settings.key_passphrase)
    if not keys.receipt_keys()["keys"]:  # made by a version that knew no receipts
        rotate(settings.key_directory, settings.key_passphrase, now=now(), uses=(KeyUse.RECEIPT,), at_once=True)
    if keys.statement_expires_at() < now() + RENEW_BEFORE:
        renew_statement(
            settings.key_directory,
            agent_root=house.agent_root,
            agent_root_passphrase=settings.key_passphrase,
            now=now(),
        )
    if house.world:
        _issue_seal(house, settings)
    ports = open_ports(settings, approves=house.door)
    if house.witness:
        witness.trust(house.root, ports.keys, house.issuer)
    for given in registrations:
        _introduce(_described(given), ports)
    for plan in plans:
        client_administration.load(clients_of(plan), ports=ports)
    document: dict[str, Any] = json.loads(json.dumps(card_agent_document(ports)))
    return document


def _issue_seal(house: BrokerHouse, settings: Settings) -> None:
    """A certificate for the key of seals, as an operator would have it from an authority."""
    keys = open_keys(settings.key_directory, settings.key_passphrase)
    (jwk,) = keys.jwks(KeyUse.MANDATE_SEAL)["keys"][-1:]
    pki = seals.load(house.root / "ca")
    key = load_public_key(jwk)
    if not isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey):
        raise SettingsError("a seal is made by ES256 or RS256")
    chain = (pki.seal(key, today=now().date()), pki.issuer, pki.stamp.certificate)
    atomicfile.write(house.folder / "seal.pem", b"".join(each.public_bytes(Encoding.PEM) for each in chain))
    lists = ", ".join(f'"{house.world}/seal/{name}.crl"' for name in seals.LISTERS)
    lines = (
        'certificates = "seal.pem"',
        f'anchors = "{World(root=house.root, made_because=None).seal_anchors}"',
        f"lists = [{lists}]",
        f'time_stamp_authority = "{house.world}/tsa"',
    )
    atomicfile.write(house.seal, "\n".join((*lines, "")).encode())


def _described(given: Mapping[str, Any]) -> Client:
    members = dict(given)
    secret = members.pop("client_secret", None)
    digest = None if secret is None else hashlib.sha256(secret.encode()).digest()
    return registration(members, secret_digest=digest)


def _introduce(client: Client, ports: Ports) -> bool:
    with ports.store.transaction() as tx:
        if tx.clients.get(client.client_id) is not None or not tx.clients.add(client, now=now()):
            return False
        tx.audit.append(Entry(at=now(), event=Event.CLIENT_ADDED, client_id=client.client_id))
    return True


class ServiceRefused(Exception):
    """A description that is no client's, in the broker's own words, or is another client's than the one of its name."""


def introduce(root: Path, given: Mapping[str, Any]) -> bool:
    """Register a client at the broker whose things are under `root`, as its operator would; False: it is there already.

    Raises OSError where there is none, ServiceRefused.
    """
    issuer = (root / "broker" / "issuer").read_text(encoding="utf-8")
    house = BrokerHouse(root=root, issuer=issuer, agent_origins=("http://127.0.0.1:24780",), port=8000)
    try:
        client, ports = _described(given), open_ports(read(house.environment()))
        if _introduce(client, ports):
            return True
        with ports.store.transaction() as tx:
            there = tx.clients.get(client.client_id)
    except BrokerError as wrong:
        raise ServiceRefused(str(wrong)) from wrong
    if there is None or (there.jwks, there.redirect_uris) != (client.jwks, client.redirect_uris):
        raise ServiceRefused(f"{client.client_id} is there already, with other keys or addresses: take another name")
    return False


def main() -> None:
    """Serve the sandbox's broker until stopped."""
    serve("sandbox.broker:app", read(os.environ), factory=True)


if __name__ == "__main__":
    main()
