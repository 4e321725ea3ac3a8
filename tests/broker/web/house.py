"""A whole broker without sockets: real store, keys, cards and agent core; only the fetching of lists is a stub."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import jwt
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from broker.errors import OutboundFailed
from broker.flows.ports import Ports
from broker.flows.revocation_ports import Evidence
from broker.jose import b64url
from broker.jpki.certificate import TrustedCertificate
from broker.jpki.distribution import distribution_point as point_of
from broker.jpki.revocation import RevocationStatus, RevocationVerdict, check_crl
from broker.oidc.pkce import s256
from cardreader.agent.device import DeviceKey
from cardreader.agent.direct import answer_request
from cardreader.agent.trust import Trust
from cardreader.authentication import APDUCards
from cardreader.cardfile import CardFile, load
from cardreader.hpki_emulator import software_card
from cardreader.tray import SoftwareReaders, Tray
from sandbox.ca import Kind, distribution_point
from sandbox.generate import World
from sandbox.world.registry import Registry

ISSUER = "http://localhost:8000"
AGENT = "http://127.0.0.1:24780"
BANK = "http://127.0.0.2:8001"
REDIRECT_URI = f"{BANK}/callback"
LOGGED_OUT_URI = f"{BANK}/logged-out"
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"  # RFC 7636 appendix B
PASSPHRASE = "a passphrase of the tests"


@dataclass
class Clock:
    """Time as the test says."""

    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __call__(self) -> datetime:
        return self.now

    def step(self, **units: float) -> None:
        self.now += timedelta(**units)


class Lists:
    """Stands in for the network only: it hands out what the sandbox's authorities publish."""

    def __init__(self, world: World, clock: Clock) -> None:
        self._clock = clock
        self._registry = Registry(world.root)
        self._points: dict[tuple[str, bytes], tuple[Kind, int, Any]] = {}
        self.available = True
        authorities: tuple[tuple[Kind, int], ...] = (
            ("auth", 1),
            ("auth", 2),
            ("sign", 1),
            ("sign", 2),
            ("phone-auth", 1),
        )
        for kind, generation in authorities:
            der = self._registry.certificate(f"{kind}-{generation}")
            assert der is not None
            key_hash = spki_hash(der)
            for municipality in self._registry.municipalities.values():
                name = distribution_point(kind, municipality).rfc4514_string()
                self._points[name, key_hash] = (kind, generation, municipality)

    def judge(self, certificate: TrustedCertificate, *, at: datetime, max_age: timedelta) -> Evidence:
        point = point_of(certificate.der) or ""
        known = self._points.get((point, certificate.issuer_key_hash))
        if known is None or not self.available:
            nothing = RevocationVerdict(status=RevocationStatus.UNKNOWN, reason="no list", source="crl")
            return Evidence(verdict=nothing, address="")
        kind, generation, municipality = known
        crl = self._registry.crl(kind, generation, municipality, now=self._clock())
        verdict = check_crl(crl, certificate=certificate.der, issuer=certificate.issuer, at=at, max_age=max_age)
        return Evidence(verdict=verdict, address="sandbox")

    def publish_from(self, root: Path) -> None:
        """From now on what the authorities of another folder publish: a copy, in which something has happened."""
        self._registry = Registry(root)

    def refresh_all(self) -> dict[str, bool]:
        return {}


class Documents:
    """Stands in for the network only: what clients publish, by address, and what was asked for."""

    def __init__(self) -> None:
        self.published: dict[str, bytes] = {}
        self.asked: list[str] = []

    def fetch(self, url: str, *, limit: int) -> bytes:
        self.asked.append(url)
        document = self.published.get(url)
        if document is None or len(document) > limit:
            raise OutboundFailed(f"{url}: nothing of at most {limit} octets")
        return document


class Receivers:
    """Stands in for the network only: what was brought to which address, and whether anybody answers there."""

    def __init__(self) -> None:
        self.got: list[tuple[str, str]] = []
        self.answers = True

    def post(self, url: str, logout_token: str) -> None:
        if not self.answers:
            raise OutboundFailed(f"{url}: nobody answers")
        self.got.append((url, logout_token))


class Pings:
    """Stands in for the network only: which client was told of which auth_req_id, and with what token."""

    def __init__(self) -> None:
        self.got: list[tuple[str, str, str]] = []
        self.answers = True
        self.tries = 0

    def ping(self, url: str, *, auth_req_id: str, token: str) -> None:
        self.tries += 1
        if not self.answers:
            raise OutboundFailed(f"{url}: nobody answers")
        self.got.append((url, auth_req_id, token))


def spki_hash(certificate: bytes) -> bytes:
    """By what a CA is named in requests to the agent."""
    key = x509.load_der_x509_certificate(certificate).public_key()
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()


class Page(HTMLParser):
    """What a test asks a page: its forms by id, links by id, texts by id, and its language."""

    _VOID = frozenset({"meta", "link", "input", "br", "img"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.forms: dict[str, dict[str, Any]] = {}
        self.links: dict[str, str] = {}
        self.texts: dict[str, str] = {}
        self.lang = ""
        self.addresses: list[str] = []
        self._form: dict[str, Any] | None = None
        self._open: list[str | None] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        identifier = values.get("id")
        if tag == "html":
            self.lang = values["lang"]
        if tag == "form":
            self._form = {"action": values["action"], "method": values["method"], "fields": {}}
            self.forms[values["id"]] = self._form
        if tag == "input" and self._form is not None:
            self._form["fields"][values["name"]] = values.get("value", "")
        if tag == "a" and identifier:
            self.links[identifier] = values["href"]
        self.addresses += [values[name] for name in ("href", "src", "action", "srcset", "data") if name in values]
        if tag not in self._VOID:
            self._open.append(identifier)

    def handle_endtag(self, tag: str) -> None:
        self._open.pop()
        if tag == "form":
            self._form = None

    def handle_data(self, data: str) -> None:
        for identifier in filter(None, self._open):
            self.texts[identifier] = " ".join(f"{self.texts.get(identifier, '')} {data}".split())


@dataclass
class House:
    """A broker, its clients' keys, its cards."""

    app: Flask
    ports: Ports
    clock: Clock
    lists: Lists
    world: World
    trust: Trust
    keys: dict[str, ec.EllipticCurvePrivateKey]
    database: Path

    @property
    def issuer(self) -> str:
        return self.ports.policy.issuer

    def browser(self) -> FlaskClient:
        """A browser with cookies of its own."""
        return self.app.test_client()

    def parameters(self, **changes: str | None) -> dict[str, str]:
        """A good authorization request, changed; None leaves a parameter out."""
        asked: dict[str, str | None] = {
            "client_id": "bank",
            "redirect_uri": REDIRECT_URI,
            "response_type": "code",
            "scope": "openid",
            "state": "a-state",
            "nonce": "a-nonce",
            "code_challenge": s256(VERIFIER),
            "code_challenge_method": "S256",
            **changes,
        }
        return {name: value for name, value in asked.items() if value is not None}

    def authorize(self, browser: FlaskClient, **changes: str | None) -> TestResponse:
        return browser.get(f"/authorize?{urlencode(self.parameters(**changes))}", base_url=self.issuer)

    def login_page(self, browser: FlaskClient, **changes: str | None) -> TestResponse:
        return self.get(browser, self.authorize(browser, **changes).headers["Location"])

    def get(self, browser: FlaskClient, url: str, **options: Any) -> TestResponse:
        return browser.get(url.removeprefix(self.issuer), base_url=self.issuer, **options)

    def sign(self, request: str, resident: str = "hanako", *, device: DeviceKey | None = None) -> str:
        """What the agent answers, through its own core, with this resident's card; a kiosk's `device` signs too."""
        return self.sign_with(load(self.world.card(resident)), request, device=device)

    def sign_with(self, card: CardFile, request: str, *, device: DeviceKey | None = None) -> str:
        """The same with this very card, of whatever kind it is."""
        tray = Tray()
        tray.insert_card(software_card(card))
        return answer_request(
            request,
            origin=self.issuer,
            trust=self.trust,
            cards=APDUCards(SoftwareReaders(tray)),
            pin=lambda _: card.auth.pin,
            now=self.clock(),
            device=device,
        )

    def answer(self, login_page: TestResponse, resident: str = "hanako", *, language: str = "ja") -> TestResponse:
        """Read the card and post its answer back, as the agent's page does: from its origin, without cookies."""
        request = Page(login_page.text).forms["card-form"]["fields"]["request"]
        return self.post_answer(transaction_of(request), {"answer": self.sign(request, resident)}, language=language)

    def post_answer(
        self, transaction: str, fields: dict[str, str], *, origin: str | None = AGENT, language: str = "ja"
    ) -> TestResponse:
        headers = {"Accept-Language": language, "Sec-Fetch-Dest": "document"}
        if origin is not None:
            headers["Origin"] = origin
        return self.browser().post(f"/agent/cb/{transaction}", data=fields, headers=headers, base_url=self.issuer)

    def consent_page(
        self, browser: FlaskClient, resident: str | None = "hanako", **changes: str | None
    ) -> TestResponse:
        """Up to the page after the card: consent the first time, else the way back."""
        answered = self.answer(self.login_page(browser, **changes), resident or "hanako")
        return self.get(browser, answered.headers["Location"])

    def submit(
        self, browser: FlaskClient, page: TestResponse, form: str, *, origin: str | None = None, **fields: str
    ) -> TestResponse:
        found = Page(page.text).forms[form]
        return browser.post(
            found["action"],
            data={**found["fields"], **fields},
            headers={"Origin": origin or self.issuer},
            base_url=self.issuer,
        )

    def login(self, browser: FlaskClient, resident: str = "hanako", **changes: str | None) -> dict[str, str]:
        """A whole login; answers the parameters the client gets."""
        page = self.consent_page(browser, resident, **changes)
        if "consent-form" in Page(page.text).forms:
            page = self.submit(browser, page, "consent-form", decision="approve")
        return returned(page)

    def assertion(self, client: str = "bank", *, key: str | None = None, alg: str = "ES256", **changes: Any) -> str:
        """A client assertion (RFC 7523 §3), changed; None leaves a claim out."""
        now = int(self.clock().timestamp())
        claims: dict[str, Any] = {
            "iss": client,
            "sub": client,
            "aud": self.issuer,
            "iat": now,
            "exp": now + 60,
            "jti": b64url(os.urandom(16)),
        } | changes
        secret: Any = "" if alg == "none" else self.keys[key or client]
        return jwt.encode({name: value for name, value in claims.items() if value is not None}, secret, algorithm=alg)

    def token(self, code: str | None, *, client: str | None = "bank", **changes: str | None) -> TestResponse:
        form: dict[str, str | None] = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": REDIRECT_URI,
            "code_verifier": VERIFIER,
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": self.assertion(client or "bank"),
        } | changes
        return self.browser().post(
            "/token", data={name: value for name, value in form.items() if value is not None}, base_url=self.issuer
        )


def transaction_of(request: str) -> str:
    return str(jwt.decode(request, options={"verify_signature": False})["jti"])


def returned(page: TestResponse) -> dict[str, str]:
    """What the return page brings the client; the page, its link and its Refresh agree."""
    url = Page(page.text).links["continue-link"]
    assert page.status_code == 200
    assert page.headers["Refresh"] == f"0; url={url}"
    parts = urlsplit(url)
    assert f"{parts.scheme}://{parts.netloc}{parts.path}" == REDIRECT_URI
    return dict(parse_qsl(parts.query, strict_parsing=True))
