"""The two providers that are measured beside each other: ours with all it does, and npm oidc-provider in memory.

Both are asked in the same words; what each serves and where is read from its own metadata document.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import jwt
import psutil
import urllib3
from cryptography.hazmat.primitives.asymmetric import ec
from joserfc.jwk import ECKey

from bench.client import REDIRECT_URI, Attempt, LoginClient, Unexpected, registration
from bench.servers import START_SECONDS, Servers, Tree, free_ports
from cardreader import cardfile
from cardreader.agent.trust import load_trust
from cardreader.emulator import SoftwareCard
from cardreader.tray import SoftwareReaders, Tray
from cardreader.webclient import keep_cookies
from sandbox import node
from sandbox.broker import set_up
from sandbox.programs import Program, stop_all

BASIC: Final = "client_secret_basic"
KEY: Final = "private_key_jwt"
METHODS: Final = (BASIC, KEY)
"""How clients authenticate, the cheaper way first."""

GRANTS: Final = ("authorization_code", "refresh_token", "client_credentials")
PEER_SCRIPT: Final = Path(__file__).parent / "peers" / "oidc_provider.mjs"
OWN_STORE, PLAIN_STORE = STORES = ("own", "plain")
"""Where the peer keeps things: the package's own memory store (a thousand entries), or a map that forgets nothing."""

_ASSERTION: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A client registered at both."""

    client_id: str
    method: str
    key: ec.EllipticCurvePrivateKey = field(repr=False)
    secret: str = field(default="", repr=False)

    def assertion(self, issuer: str) -> str:
        """A fresh one (RFC 7523 §3), good for five minutes."""
        now = int(time.time())
        claims = {"iss": self.client_id, "sub": self.client_id, "aud": issuer, "iat": now, "exp": now + 300}
        return jwt.encode({**claims, "jti": secrets.token_urlsafe(16)}, self.key, algorithm="ES256")

    def proof(self) -> tuple[tuple[str, ...], str]:
        """Headers and form members that prove who asks; the assertion is the row's `{assertion}`."""
        if self.method == BASIC:
            credentials = f"{quote(self.client_id, safe='')}:{quote(self.secret, safe='')}"
            return (f"Authorization: Basic {base64.b64encode(credentials.encode()).decode()}",), ""
        return (), f"&client_assertion_type={quote(_ASSERTION, safe='')}&client_assertion={{assertion}}"


class Visitor(Protocol):
    """Whoever logs in at one of the two, out of measured time."""

    def visit(self, client: Client, *, scope: str) -> tuple[dict[str, str], str, str]:
        """A login from the beginning: cookies of the session, the code, its verifier. Raises Unexpected."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One provider under measurement."""

    name: str
    software: str
    issuer: str
    metadata: Mapping[str, Any]
    tree: Tree
    visitor: Visitor
    clients: Mapping[str, Client]
    """By the method that each authenticates with; only methods that are served."""

    @property
    def origin(self) -> tuple[str, int]:
        parts = urlsplit(self.issuer)
        return parts.hostname or "", parts.port or 80

    def path(self, endpoint: str) -> str:
        """Where an endpoint of the metadata is."""
        return urlsplit(str(self.metadata[endpoint])).path

    def seat(self, client: Client, *, scope: str) -> dict[str, str]:
        """A browser with a session, and the tokens its login gave: what one connection holds. Raises Unexpected."""
        cookies, code, verifier = self.visitor.visit(client, scope=scope)
        headers, members = client.proof()
        body = urlencode(
            {
                "grant_type": "authorization_code",
                "code": code,
                "redirect_uri": REDIRECT_URI,
                "code_verifier": verifier,
            }
        )
        answer = urllib3.request(
            "POST",
            str(self.metadata["token_endpoint"]),
            body=body + members.replace("{assertion}", client.assertion(self.issuer)),
            headers={
                "Content-Type": "application/x-www-form-urlencoded",
                **dict(header.split(": ", 1) for header in headers),
            },
            retries=False,
        )
        if answer.status != 200:
            raise Unexpected(f"{self.name}: token: status {answer.status}")
        tokens = answer.json()
        return {
            "cookie": "; ".join(f"{name}={value}" for name, value in cookies.items()),
            "access_token": str(tokens["access_token"]),
            "refresh_token": str(tokens.get("refresh_token", "-")),
        }


def pkce() -> tuple[str, str]:
    """A verifier and its S256 challenge (RFC 7636 §4.2)."""
    verifier = secrets.token_urlsafe(32)
    return verifier, base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


# --- ours ---------------------------------------------------------------------------------------------------------


class _Resident:
    """A resident with a software card, in the browser and at the agent."""

    def __init__(self, servers: Servers, resident: str) -> None:
        card = cardfile.load(servers.world.card(resident))
        tray = Tray()
        tray.insert_card(SoftwareCard(card))
        self._servers = servers
        self._readers = SoftwareReaders(tray)
        self._pin = card.auth.pin
        self._trust = load_trust(servers.trust, sandbox=True)

    def visit(self, client: Client, *, scope: str) -> tuple[dict[str, str], str, str]:
        """As Visitor."""
        browser = LoginClient(
            broker=self._servers.broker,
            trust=self._trust,
            readers=self._readers,
            pin=self._pin,
            key=client.key,
            client_id=client.client_id,
            scope=scope,
        )
        attempt = Attempt()
        try:
            browser.authorize(attempt, prompt="consent" if "offline_access" in scope else "")
            browser.sign(attempt, browser.login_page(attempt))
            browser.card_answer(attempt)
            browser.continue_(attempt)
        finally:
            browser.close()
        return attempt.cookies, attempt.code, attempt.verifier


def ours(servers: Servers, *, software: str, resident: str) -> Side:
    """The running broker, with one client for each method that it serves. Raises Unexpected, SettingsError."""
    metadata = _metadata(servers.broker)
    clients = {}
    for method in served_methods(metadata):
        key = ec.generate_private_key(ec.SECP256R1())
        client_id = f"bench-{method.replace('_', '-')}"
        members = {**registration(key), "client_id": client_id}
        grants = [grant for grant in GRANTS if grant in metadata["grant_types_supported"]]
        if grants != ["authorization_code"]:
            members["grant_types"] = grants
            members["scope"] = " ".join(s for s in ("openid", "offline_access") if s in metadata["scopes_supported"])
        secret = ""
        if method == BASIC:
            secret = secrets.token_urlsafe(32)
            members |= {"token_endpoint_auth_method": BASIC, "client_secret": secret}
            del members["jwks"]
        set_up(servers.house, [members])
        clients[method] = Client(client_id=client_id, method=method, key=key, secret=secret)
    return Side(
        name="ours",
        software=software,
        issuer=servers.broker,
        metadata=metadata,
        tree=servers.tree,
        visitor=_Resident(servers, resident),
        clients=clients,
    )


# --- the peer -----------------------------------------------------------------------------------------------------


class _Browser:
    """Somebody at the peer, whose login page asks nothing."""

    def __init__(self, metadata: Mapping[str, Any]) -> None:
        self._metadata = metadata

    def visit(self, client: Client, *, scope: str) -> tuple[dict[str, str], str, str]:
        """As Visitor."""
        verifier, challenge = pkce()
        query = {
            "response_type": "code",
            "client_id": client.client_id,
            "redirect_uri": REDIRECT_URI,
            "scope": scope,
            "state": secrets.token_urlsafe(16),
            "nonce": secrets.token_urlsafe(16),
            "code_challenge": challenge,
            "code_challenge_method": "S256",
            **({"prompt": "consent"} if "offline_access" in scope else {}),
        }
        cookies: dict[str, str] = {}
        url = f"{self._metadata['authorization_endpoint']}?{urlencode(query)}"
        for _ in range(5):
            sent = {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())} if cookies else {}
            answer = urllib3.request("GET", url, headers=sent, redirect=False, retries=False)
            keep_cookies(cookies, answer.headers.getlist("Set-Cookie"))
            location = answer.headers.get("Location", "")
            if location.startswith(f"{REDIRECT_URI}?"):
                code = parse_qs(urlsplit(location).query).get("code")
                if not code:
                    break
                return {"_session": cookies["_session"]}, code[0], verifier
            url = location if "://" in location else f"{self._metadata['issuer']}{location}"
        raise Unexpected("the peer did not give a code")


@contextmanager
def peer(root: Path, *, store: str = OWN_STORE) -> Iterator[Side]:
    """npm oidc-provider, started for this and stopped on the way out. Raises node.NodeMissing, ProgramFailed."""
    clients = {
        method: Client(
            client_id=f"bench-{method.replace('_', '-')}",
            method=method,
            key=ec.generate_private_key(ec.SECP256R1()),
            secret=secrets.token_urlsafe(32) if method == BASIC else "",
        )
        for method in METHODS
    }
    settings = {"store": store, "clients": [_peer_registration(client) for client in clients.values()]}
    with peer_program(PEER_SCRIPT, root, settings) as (issuer, process):
        metadata = _metadata(issuer)
        yield Side(
            name="peer",
            software=_peer_software(store),
            issuer=issuer,
            metadata=metadata,
            tree=Tree(process),
            visitor=_Browser(metadata),
            clients=clients,
        )


@contextmanager
def peer_program(script: Path, root: Path, settings: Mapping[str, Any]) -> Iterator[tuple[str, psutil.Process]]:
    """`script`, npm oidc-provider set up by `settings` with an issuer and a key of its own: its issuer and process.

    Stopped on the way out. Raises node.NodeMissing, ProgramFailed.
    """
    command = node.command(script)
    (port,) = free_ports(1)
    issuer = f"http://localhost:{port}"
    signing = ECKey.generate_key("P-256", {"use": "sig", "alg": "ES256", "kid": "1"}, private=True)
    told = {**settings, "port": port, "issuer": issuer, "jwks": {"keys": [signing.as_dict(private=True)]}}
    file = root / "peer.json"
    file.touch(mode=0o600)
    file.write_text(json.dumps(told), encoding="utf-8")
    program = Program(
        name="oidc-provider",
        command=[*command[1:], str(file)],
        interpreter=command[0],
        log=root / "logs" / "oidc-provider.log",
        environment={"NODE_ENV": "production"},
        ready_url=f"{issuer}/.well-known/openid-configuration",
    )
    try:
        program.start()
        program.wait_until_ready(until=time.monotonic() + START_SECONDS)
        if program.process is None:
            raise RuntimeError("the peer was not started")
        yield issuer, psutil.Process(program.process.pid)
    finally:
        stop_all([program])


def _peer_registration(client: Client) -> dict[str, Any]:
    members: dict[str, Any] = {
        "client_id": client.client_id,
        "redirect_uris": [REDIRECT_URI],
        "response_types": ["code"],
        "grant_types": list(GRANTS),
        "token_endpoint_auth_method": client.method,
        "id_token_signed_response_alg": "ES256",
        "scope": "openid offline_access",
    }
    if client.method == BASIC:
        return {**members, "client_secret": client.secret}
    return {**members, "jwks": {"keys": [ECKey.import_key(client.key.public_key()).as_dict(private=False)]}}


def _peer_software(store: str) -> str:
    package = json.loads((node.LINK / "oidc-provider" / "package.json").read_text(encoding="utf-8"))
    return f"npm oidc-provider {package['version']}, {store} memory store, one process of Node {node.version()}"


def served_methods(metadata: Mapping[str, Any]) -> Sequence[str]:
    """Those of METHODS that the token endpoint takes."""
    return [method for method in METHODS if method in metadata["token_endpoint_auth_methods_supported"]]


def _metadata(issuer: str) -> dict[str, Any]:
    answer = urllib3.request("GET", f"{issuer}/.well-known/openid-configuration", retries=False)
    document = answer.json() if answer.status == 200 else None
    if not isinstance(document, dict):
        raise Unexpected(f"{issuer} tells no metadata")
    return document
