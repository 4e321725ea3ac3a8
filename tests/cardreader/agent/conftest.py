"""A broker of the tests' own (keys, statements, requests), cards of its hierarchy, and a person who fills in pages."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import html.parser
import json
import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from flask import Flask
from flask.testing import FlaskClient
from joserfc import jwe
from joserfc.jwk import ECKey
from werkzeug.test import TestResponse

from cardreader.agent.answer import PINEntry
from cardreader.agent.app import create_agent
from cardreader.agent.entry import EntryUnavailable, PinPrompt
from cardreader.agent.request import SignRequest
from cardreader.agent.trust import AgentState, Trust, parse_trust
from cardreader.authentication import APDUCards
from cardreader.emulator import SoftwareCard
from cardreader.transport import CardConnection, CountingConnection
from cardreader.tray import SoftwareReaders, Tray
from tests.cardreader.conftest import CardMaker
from tests.catalogues import compile_stale

NOW = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)
ISSUER = "http://localhost:8000"
AGENT = "http://127.0.0.1:24780"
PHRASE = "みどりの自転車"
TRANSLATIONS = Path(__file__).parents[3] / "cardreader" / "agent" / "translations"


@pytest.fixture(scope="session", autouse=True)
def compiled_pages() -> None:
    """What `make test` does before: a developer who runs one file should not meet a refusal to start."""
    compile_stale(TRANSLATIONS)


def b64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def public_jwk(key: ec.EllipticCurvePrivateKey) -> dict[str, str]:
    numbers = key.public_key().public_numbers()
    return {
        "kty": "EC",
        "crv": "P-256",
        "x": b64url(numbers.x.to_bytes(32, "big")),
        "y": b64url(numbers.y.to_bytes(32, "big")),
    }


def thumbprint(jwk: dict[str, str]) -> str:
    """RFC 7638 section 3, written out here independently of the agent."""
    return b64url(hashlib.sha256(json.dumps(jwk, sort_keys=True, separators=(",", ":")).encode()).digest())


def attributes(digest: bytes, *, iat: int | None) -> bytes:
    """The attributes that a broker asks to be signed, put together by hand: RFC 5652 section 11, in DER.

    A PDF's have no time of signing (`iat` None): ETSI EN 319 142-1 section 6.3.
    """
    kind = bytes.fromhex("301806092a864886f70d010903310b06092a864886f70d010701")
    tail = bytes.fromhex("302f06092a864886f70d01090431220420") + digest
    if iat is None:
        return bytes.fromhex("314b") + kind + tail
    moment = datetime.fromtimestamp(iat, UTC).strftime("%y%m%d%H%M%SZ").encode()
    return bytes.fromhex("3169") + kind + bytes.fromhex("301c06092a864886f70d010905310f170d") + moment + tail


def document(text: str = "申込書", *, iat: int | None = None, **changes: Any) -> dict[str, Any]:
    """A document of an action: text that the broker wrote, unless `changes` say otherwise (None takes a member out)."""
    digest = hashlib.sha256(text.encode()).digest()
    row = {
        "attributes": b64url(attributes(digest, iat=int(NOW.timestamp()) if iat is None else iat)),
        "name": "本人確認の申込書",
        "sha256": b64url(digest),
        "size": len(text.encode()),
        "type": "text/plain",
    }
    return {name: value for name, value in {**row, **changes}.items() if value is not None}


def raw_document(asked: bytes, **changes: Any) -> dict[str, Any]:
    """A document of which a digest alone is known, to be signed as it is."""
    bare = {"name": "指紋だけ", "attributes": None, "size": None, "type": None, "form": "raw"}
    return document(sha256=b64url(asked), **{**bare, "digest": b64url(asked), **changes})


def proof(
    *documents: dict[str, Any], kind: str = "proof", release: Sequence[Any] = ("name", "address")
) -> dict[str, str]:
    """Tag and action of a request that has documents signed."""
    action = {"documents": list(documents or (document(),)), "kind": kind, "release": list(release)}
    canonical = json.dumps(action, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return {"tag": "JPKI-FED-PROOF/1", "action": canonical}


def spki(key: rsa.RSAPublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def sign(claims: dict[str, Any], key: ec.EllipticCurvePrivateKey, *, typ: str, **header: object) -> str:
    return jwt.encode(
        claims, key, algorithm="ES256", headers={"typ": typ, "kid": thumbprint(public_jwk(key)), **header}
    )


@dataclass(kw_only=True)
class Broker:
    """The other side: signs requests and opens answers."""

    issuer: str
    ca_keys: list[bytes]
    root: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    answer_key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def trust_document(self, **changes: Any) -> dict[str, Any]:
        row = {
            "issuer": self.issuer,
            "agent_root": public_jwk(self.root),
            "issuer_keys": [base64.b64encode(key).decode() for key in self.ca_keys],
            "name": "見本の認証",
            "sandbox": True,
        }
        return {"version": 1, "phrase": PHRASE, "brokers": [{**row, **changes}]}

    def trust(self) -> Trust:
        return parse_trust(json.dumps(self.trust_document()), sandbox=True)

    def statement(self, **changes: Any) -> str:
        nbf = int((NOW - timedelta(days=1)).timestamp())
        claims = {"iss": self.issuer, "seq": 3, "nbf": nbf, "exp": nbf + 30 * 86400, "keys": [public_jwk(self.key)]}
        return sign({**claims, **changes}, self.root, typ="card-request-keys+jwt")

    def claims(self, **changes: Any) -> dict[str, Any]:
        iat = int(changes.pop("iat", NOW.timestamp()))
        jti = changes.pop("jti", b64url(secrets.token_bytes(16)))
        claims = {
            "iss": self.issuer,
            "aud": "card-agent",
            "iat": iat,
            "exp": iat + 300,
            "jti": jti,
            "nonce": b64url(secrets.token_bytes(32)),
            "client_id": "bank",
            "client_name": "みほん銀行",
            "client_vetted": True,
            "tag": "JPKI-FED-AUTH/1",
            "action": "{}",
            "previous": "",
            "accepted_issuers": [b64url(hashlib.sha256(key).digest()) for key in self.ca_keys],
            "answer_key": public_jwk(self.answer_key),
            "return_uri": f"{self.issuer}/agent/cb/{jti}",
            "ui_locales": "ja",
            "statement": self.statement(),
        }
        return {**claims, **changes}

    def request(self, **changes: Any) -> str:
        return sign(self.claims(**changes), self.key, typ="card-request+jwt")

    def open(self, answer: str) -> dict[str, Any]:
        """The answer's plaintext; the header must be what the broker expects."""
        header = json.loads(base64.urlsafe_b64decode(answer.partition(".")[0] + "=="))
        assert (header["alg"], header["enc"]) == ("ECDH-ES", "A256GCM")
        assert "kid" not in header
        pem = self.answer_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        plaintext = jwe.decrypt_compact(answer, ECKey.import_key(pem)).plaintext
        assert plaintext is not None
        members: dict[str, Any] = json.loads(plaintext)
        return members


@dataclass(kw_only=True)
class Hierarchy:
    """A CA and the leaf it gives to the card maker's key."""

    key: rsa.RSAPrivateKey
    subject_key: rsa.RSAPublicKey

    @property
    def name(self) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "JPKI-TEST")])

    def certificate(
        self,
        *,
        begins: datetime = NOW - timedelta(days=300),
        ends: datetime = NOW + timedelta(days=900),
        signing: bool = False,
    ) -> bytes:
        usage = x509.KeyUsage(True, signing, False, False, False, False, False, False, False)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "CANARYSUBJECT13101000A")])
        builder = self._builder(subject, self.subject_key, begins, ends).add_extension(usage, critical=True)
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)

    def ca_certificate(self) -> bytes:
        begins, ends = NOW - timedelta(days=900), NOW + timedelta(days=900)
        constraints = x509.BasicConstraints(ca=True, path_length=None)
        builder = self._builder(self.name, self.key.public_key(), begins, ends).add_extension(
            constraints, critical=True
        )
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)

    def _builder(
        self, subject: x509.Name, key: rsa.RSAPublicKey, begins: datetime, ends: datetime
    ) -> x509.CertificateBuilder:
        builder = x509.CertificateBuilder(subject_name=subject, issuer_name=self.name, public_key=key)
        return builder.serial_number(7_770_777_077).not_valid_before(begins).not_valid_after(ends)


@pytest.fixture(scope="session")
def hierarchy(card_maker: CardMaker) -> Hierarchy:
    return Hierarchy(key=rsa.generate_private_key(65537, 2048), subject_key=card_maker.key.public_key())


@pytest.fixture(scope="session")
def foreign(card_maker: CardMaker) -> Hierarchy:
    return Hierarchy(key=rsa.generate_private_key(65537, 2048), subject_key=card_maker.key.public_key())


@pytest.fixture
def broker(hierarchy: Hierarchy) -> Broker:
    return Broker(issuer=ISSUER, ca_keys=[spki(hierarchy.key.public_key())])


class WatchedReaders:
    """Software readers that count every command and say whether a card is held."""

    def __init__(self, tray: Tray) -> None:
        self._readers = SoftwareReaders(tray)
        self.connections: list[CountingConnection] = []
        self.held = 0
        self.before_transmit: Callable[[], None] = lambda: None

    @property
    def apdus(self) -> int:
        return sum(connection.apdus for connection in self.connections)

    @contextlib.contextmanager
    def connect(self) -> Iterator[CardConnection]:
        with self._readers.connect() as inner:
            connection = CountingConnection(_Interrupted(inner, self))
            self.connections.append(connection)
            self.held += 1
            try:
                yield connection
            finally:
                self.held -= 1


class _Interrupted:
    def __init__(self, inner: CardConnection, readers: WatchedReaders) -> None:
        self._inner = inner
        self._readers = readers

    @property
    def reader_kind(self) -> str:
        return self._inner.reader_kind

    def transmit(self, command: Any) -> Any:
        self._readers.before_transmit()
        return self._inner.transmit(command)

    def check_present(self) -> None:
        self._readers.before_transmit()
        self._inner.check_present()


class _Forms(html.parser.HTMLParser):
    """Forms with their fields, and the text of every element that has an id."""

    _VOID = frozenset({"input", "meta", "link"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.forms: list[dict[str, Any]] = []
        self.ids: dict[str, str] = {}
        self._open: list[str | None] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append({"action": values["action"], "id": values.get("id"), "fields": {}, "ids": set()})
        if tag == "input" and values.get("type") == "hidden":
            self.forms[-1]["fields"][values["name"]] = values["value"]
        if "id" in values:
            self.ids[values["id"]] = ""
            if self.forms:
                self.forms[-1]["ids"].add(values["id"])
        if tag not in self._VOID:
            self._open.append(values.get("id"))

    def handle_endtag(self, tag: str) -> None:
        self._open.pop()

    def handle_data(self, data: str) -> None:
        for identifier in filter(None, self._open):
            self.ids[identifier] += data


class Person:
    """Someone at the browser: submits what pages show, as their browser would."""

    def __init__(self, client: FlaskClient) -> None:
        self.client = client
        self.body = ""
        self.page = _Forms("")

    def open_request(self, jws: str, *, origin: str | None = ISSUER, host: str = AGENT, **headers: str) -> TestResponse:
        stated = {} if origin is None else {"Origin": origin}
        return self._got(
            self.client.post("/v1/sign", data={"request": jws}, base_url=host, headers={**stated, **headers})
        )

    def press(self, identifier: str, *, origin: str = AGENT, **fields: str) -> TestResponse:
        """Submit the form that holds the element with this id."""
        form = next(form for form in self.page.forms if identifier in form["ids"] or form["id"] == identifier)
        return self._got(
            self.client.post(
                form["action"], data={**form["fields"], **fields}, base_url=AGENT, headers={"Origin": origin}
            )
        )

    def enter(self, pin: str) -> TestResponse:
        return self.press("pin-submit", pin=pin)

    def field(self, form: str, name: str) -> str:
        return str(next(row for row in self.page.forms if row["id"] == form)["fields"][name])

    def text(self, identifier: str) -> str:
        return " ".join(self.page.ids[identifier].split())

    def sees(self, identifier: str) -> bool:
        return identifier in self.page.ids

    def _got(self, response: TestResponse) -> TestResponse:
        self.body = response.get_data(as_text=True)
        self.page = _Forms(self.body)
        return response


class Window:
    """A window in whose place a test types. Answers in order; None gives up, an event is waited for."""

    name: PINEntry = "native"

    def __init__(self, *answers: str | EntryUnavailable | None) -> None:
        self.answers = list(answers)
        self.prompts: list[PinPrompt] = []
        self.opened = threading.Event()
        self.held_open = False

    def ask(self, prompt: PinPrompt, *, seconds: float, stop: threading.Event) -> str | None:
        self.prompts.append(prompt)
        self.opened.set()
        if self.held_open:
            stop.wait(seconds)
            return None
        answer = self.answers.pop(0)
        if isinstance(answer, EntryUnavailable):
            raise answer
        return answer


class Terminal:
    """A kiosk that only listens."""

    def __init__(self) -> None:
        self.requests = 0
        self.answered: list[SignRequest] = []

    def on_request(self) -> None:
        self.requests += 1

    def on_answer(self, request: SignRequest) -> None:
        self.answered.append(request)


@dataclass(kw_only=True)
class Desk:
    """An agent over a software card, in the hands of a test."""

    app: Flask
    tray: Tray
    readers: WatchedReaders
    broker: Broker
    person: Person

    @property
    def tries(self) -> int | None:
        return self.tray.status().auth_tries


@pytest.fixture
def desk(broker: Broker, hierarchy: Hierarchy, card_maker: CardMaker, tmp_path: Path) -> Iterator[Desk]:
    tray = Tray()
    tray.insert_card(SoftwareCard(card_maker(certificate=hierarchy.certificate())))
    readers = WatchedReaders(tray)
    app = create_agent(
        cards=APDUCards(readers),
        trust=broker.trust(),
        state=AgentState(tmp_path / "state"),
        clock=lambda: NOW,
        hold_seconds=30,
        deadline_seconds=5,
    )
    yield Desk(app=app, tray=tray, readers=readers, broker=broker, person=Person(app.test_client()))
    app.extensions["card-desk"].close()
