"""A relying party, a browser and a card in one process: the client that the server's work is measured with.

One connection, kept alive. Requests go out step by step for a whole batch of logins, so that the CPU of each step can
be read between two steps; what the client itself computes (the card, JOSE) falls outside every measured time.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
import urllib3
from cryptography.hazmat.primitives.asymmetric import ec
from joserfc.jwk import ECKey, KeySet

from bench.servers import AGENT
from cardreader.agent.device import DeviceKey
from cardreader.agent.direct import answer_request
from cardreader.agent.trust import Trust
from cardreader.authentication import APDUCards
from cardreader.transport import Readers
from cardreader.webclient import Elements, Form, keep_cookies

CLIENT_ID: Final = "bench"
REDIRECT_URI: Final = "http://127.0.0.1:9/callback"


class Unexpected(Exception):
    """The broker did not answer as a login goes: no figure is worth printing."""


@dataclass(slots=True, kw_only=True)
class Attempt:
    """One login under way, and how long the server took for each of its steps, in milliseconds."""

    cookies: dict[str, str] = field(default_factory=dict, repr=False)
    milliseconds: dict[str, float] = field(default_factory=dict)
    location: str = field(default="", repr=False)
    answer: str = field(default="", repr=False)
    verifier: str = field(default="", repr=False)
    code: str = field(default="", repr=False)
    access_token: str = field(default="", repr=False)
    refresh_token: str = field(default="", repr=False)


class LoginClient:
    """Steps of a login, each a method over one Attempt. Every method raises Unexpected."""

    def __init__(
        self,
        *,
        broker: str,
        trust: Trust,
        readers: Readers,
        pin: str,
        key: ec.EllipticCurvePrivateKey,
        client_id: str = CLIENT_ID,
        scope: str = "openid",
        device: DeviceKey | None = None,
    ) -> None:
        parts = urlsplit(broker)
        self._broker = broker
        self._pool = urllib3.HTTPConnectionPool(
            parts.hostname or "", parts.port, maxsize=1, retries=False, timeout=urllib3.Timeout(total=30)
        )
        self._trust = trust
        self._readers = readers
        self._pin = pin
        self._key = key
        self._client_id = client_id
        self._scope = scope
        self._device = device

    def close(self) -> None:
        """Let the connection go."""
        self._pool.close()

    def authorize(self, attempt: Attempt, *, prompt: str = "") -> None:
        """GET /authorize with PKCE; with prompt=none the code comes at once."""
        attempt.verifier = secrets.token_urlsafe(32)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(attempt.verifier.encode()).digest()).rstrip(b"=")
        query = {
            "response_type": "code",
            "client_id": self._client_id,
            "redirect_uri": REDIRECT_URI,
            "scope": self._scope,
            "state": secrets.token_urlsafe(16),
            "nonce": secrets.token_urlsafe(16),
            "code_challenge": challenge.decode(),
            "code_challenge_method": "S256",
            **({"prompt": prompt} if prompt else {}),
        }
        status, headers, _ = self._send("authorize", attempt, "GET", f"/authorize?{urlencode(query)}")
        attempt.location = headers.get("location", "")
        if status not in (302, 303):
            raise Unexpected(f"authorize: status {status}")
        if prompt == "none":
            attempt.code = _code(attempt.location)

    def login_page(self, attempt: Attempt) -> str:
        """GET the login page; answers the card request in it."""
        status, _, body = self._send("login page", attempt, "GET", _path(attempt.location))
        form = Elements(body).forms.get("card-form")
        if status != 200 or form is None:
            raise Unexpected(f"login page: status {status}, no card form")
        return form.fields["request"]

    def sign(self, attempt: Attempt, request: str) -> None:
        """The card's part, by the agent's own core. Not measured: it is the resident's machine."""
        attempt.answer = answer_request(
            request,
            origin=self._broker,
            trust=self._trust,
            cards=APDUCards(self._readers),
            pin=lambda _: self._pin,
            now=datetime.now(UTC),
            device=self._device,
        )
        claims = jwt.decode(request, options={"verify_signature": False})  # answer_request has verified it
        attempt.location = str(claims["return_uri"])

    def card_answer(self, attempt: Attempt) -> None:
        """POST the agent's answer, without cookies as it comes cross-site."""
        status, headers, _ = self._send(
            "card answer",
            Attempt(milliseconds=attempt.milliseconds),
            "POST",
            _path(attempt.location),
            fields={"answer": attempt.answer},
            headers={"Origin": AGENT},
        )
        if status != 303:
            raise Unexpected(f"card answer: status {status}")
        attempt.location = headers.get("location", "")

    def continue_(self, attempt: Attempt) -> None:
        """GET /agent/continue; the page leads back to the client. The very first time it asks for consent."""
        status, headers, body = self._send("continue", attempt, "GET", _path(attempt.location))
        if status in (302, 303):
            status, headers, body = self._send("continue", attempt, "GET", _path(headers.get("location", "")))
        form = Elements(body).forms.get("consent-form")
        if form is not None:
            fields = {**form.fields, "decision": "approve"}
            origin = {"Origin": self._broker}
            status, _, body = self._send("consent", attempt, "POST", _path(form.action), fields=fields, headers=origin)
        attempt.code = _code(Elements(body).links.get("continue-link", ""))

    def page(self, attempt: Attempt, path: str) -> Elements:
        """GET a page of the broker's."""
        status, _, body = self._send("page", attempt, "GET", path)
        if status != 200:
            raise Unexpected(f"{path}: status {status}")
        return Elements(body)

    def press(self, attempt: Attempt, form: Form) -> None:
        """Send a form of such a page, as its browser does."""
        headers = {"Origin": self._broker}
        status, _, _ = self._send("form", attempt, "POST", _path(form.action), fields=form.fields, headers=headers)
        if status not in (200, 303):
            raise Unexpected(f"{form.action}: status {status}")

    def token(self, attempt: Attempt) -> None:
        """POST /token with private_key_jwt (ES256)."""
        status, told = self._ask_token(
            attempt,
            {
                "grant_type": "authorization_code",
                "code": attempt.code,
                "redirect_uri": REDIRECT_URI,
                "code_verifier": attempt.verifier,
            },
        )
        if status != 200:
            raise Unexpected(f"token: status {status}")
        attempt.access_token = str(told["access_token"])
        attempt.refresh_token = str(told.get("refresh_token", ""))

    def refresh(self, attempt: Attempt) -> int:
        """POST /token with the refresh token; the status."""
        status, _ = self._ask_token(
            attempt, {"grant_type": "refresh_token", "refresh_token": attempt.refresh_token}, step="refresh"
        )
        return status

    def _ask_token(
        self, attempt: Attempt, members: Mapping[str, str], *, step: str = "token"
    ) -> tuple[int, dict[str, Any]]:
        now = int(time.time())
        assertion = jwt.encode(
            {
                "iss": self._client_id,
                "sub": self._client_id,
                "aud": self._broker,
                "iat": now,
                "exp": now + 60,
                "jti": secrets.token_urlsafe(16),
            },
            self._key,
            algorithm="ES256",
        )
        fields = {
            **members,
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": assertion,
        }
        status, _, body = self._send(step, attempt, "POST", "/token", fields=fields)
        return status, _object(body)

    def userinfo(self, attempt: Attempt) -> None:
        """GET /userinfo."""
        if (status := self.ask_userinfo(attempt)) != 200:
            raise Unexpected(f"userinfo: status {status}")

    def ask_userinfo(self, attempt: Attempt) -> int:
        """The same, where a refusal is an answer too; the status."""
        headers = {"Authorization": f"Bearer {attempt.access_token}"}
        status, _, body = self._send("userinfo", attempt, "GET", "/userinfo", headers=headers)
        if status == 200 and not _object(body).get("sub"):
            raise Unexpected("userinfo: nobody in it")
        return status

    def health(self, attempt: Attempt) -> None:
        """GET /healthz: what a request costs that does nothing."""
        status, _, _ = self._send("healthz", attempt, "GET", "/healthz")
        if status != 200:
            raise Unexpected(f"healthz: status {status}")

    def _send(
        self,
        step: str,
        attempt: Attempt,
        method: str,
        path: str,
        *,
        fields: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, dict[str, str], str]:
        sent = dict(headers or {})
        if attempt.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in attempt.cookies.items())
        body = None
        if fields is not None:
            sent["Content-Type"] = "application/x-www-form-urlencoded"
            body = urlencode(fields)
        begun = time.perf_counter()
        response = self._pool.request(method, path, body=body, headers=sent, redirect=False)
        taken = (time.perf_counter() - begun) * 1000
        attempt.milliseconds[step] = attempt.milliseconds.get(step, 0.0) + taken
        keep_cookies(attempt.cookies, response.headers.getlist("Set-Cookie"))
        answered = {name.lower(): value for name, value in response.headers.items()}
        return response.status, answered, response.data.decode("utf-8", "replace")


def registration(key: ec.EllipticCurvePrivateKey) -> dict[str, Any]:
    """This client as the broker is told of it."""
    public = ECKey.import_key(key.public_key())
    return {
        "client_id": CLIENT_ID,
        "client_name": "bench",
        "redirect_uris": [REDIRECT_URI],
        "jwks": dict(KeySet([public]).as_dict(private=False)),
        "profile": "oidc",
        "vetted": True,
    }


def batch(attempts: list[Attempt], step: Callable[[Attempt], None]) -> None:
    """One step for every login of a batch."""
    for attempt in attempts:
        step(attempt)


def _object(body: str) -> dict[str, Any]:
    """A JSON object. Raises Unexpected."""
    try:
        document = json.loads(body)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise Unexpected("an answer is no JSON object")
    return document


def _path(location: str) -> str:
    parts = urlsplit(location)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


def _code(location: str) -> str:
    values = parse_qs(urlsplit(location).query)
    if "code" not in values:
        raise Unexpected(f"no code came back: {values.get('error', ['no error code either'])[0]}")
    return values["code"][0]
