"""What both samples share: a service that proves itself by its key, sends a person to the broker and takes them back.

Nothing but the standard library, PyJWT and cryptography. A production service takes a library that knows OpenID
Connect; here every step is seen.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import parse_qsl, urlencode, urlsplit
from urllib.request import Request, urlopen

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class Refused(Exception):
    """The broker said no; the message is its own words for programmers."""


def b64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def private_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """The key in this file, made at the first call; keep it as you keep a password."""
    if not path.exists():
        made = ec.generate_private_key(ec.SECP256R1())
        path.touch(mode=0o600)
        path.write_bytes(
            made.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError(f"{path}: not an EC key")
    return key


def public_jwk(key: ec.EllipticCurvePrivateKey, *, use: str, alg: str) -> dict[str, str]:
    """The public half, as it stands in the registration."""
    numbers = key.public_key().public_numbers()
    x, y = (b64url(number.to_bytes(32, "big")) for number in (numbers.x, numbers.y))
    thumbprint = hashlib.sha256(f'{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}'.encode()).digest()  # RFC 7638
    return {"kty": "EC", "crv": "P-256", "x": x, "y": y, "use": use, "alg": alg, "kid": b64url(thumbprint)}


@dataclass
class Pending:
    """One person on their way; kept in their browser session, never shared between two."""

    url: str
    state: str
    nonce: str
    verifier: str


@dataclass
class Service:
    """A client of the broker."""

    issuer: str
    client_id: str
    redirect_uri: str
    key: ec.EllipticCurvePrivateKey = field(repr=False)

    def __post_init__(self) -> None:
        self.metadata = self.get(f"{self.issuer}/.well-known/openid-configuration")
        if self.metadata["issuer"] != self.issuer:
            raise Refused("the metadata are another issuer's")

    # --- sending somebody to the broker ------------------------------------------------------------------------------

    def begin(self, scope: str, **parameters: str) -> Pending:
        """Push the request (RFC 9126); the person's browser goes to `url`."""
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        pushed = self.post(
            self.metadata["pushed_authorization_request_endpoint"],
            {
                "response_type": "code",
                "redirect_uri": self.redirect_uri,
                "scope": scope,
                "state": state,
                "nonce": nonce,
                "code_challenge": b64url(hashlib.sha256(verifier.encode()).digest()),
                "code_challenge_method": "S256",
                **parameters,
            },
        )
        query = urlencode({"client_id": self.client_id, "request_uri": pushed["request_uri"]})
        return Pending(f"{self.metadata['authorization_endpoint']}?{query}", state, nonce, verifier)

    def finish(self, pending: Pending, came_back: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """From the address that the browser came back with to the verified ID token and all tokens. Raises Refused."""
        query = dict(parse_qsl(urlsplit(came_back).query))
        if query.get("state") != pending.state or query.get("iss") != self.issuer:
            raise Refused("not the answer to what this browser was sent for")
        if "error" in query:
            raise Refused(f"{query['error']}: {query.get('error_description', '')}")
        tokens = self.post(
            self.metadata["token_endpoint"],
            {
                "grant_type": "authorization_code",
                "code": query["code"],
                "redirect_uri": self.redirect_uri,
                "code_verifier": pending.verifier,
            },
        )
        keys = jwt.PyJWKSet.from_dict(self.get(self.metadata["jwks_uri"]))
        kid = jwt.get_unverified_header(tokens["id_token"])["kid"]
        claims: dict[str, Any] = jwt.decode(
            tokens["id_token"],
            keys[kid].key,
            algorithms=["ES256"],
            audience=self.client_id,
            issuer=self.issuer,
            options={"require": ["exp", "iat", "sub", "nonce"]},
        )
        if claims["nonce"] != pending.nonce:
            raise Refused("an ID token of another login")
        return claims, tokens

    # --- asking the broker -------------------------------------------------------------------------------------------

    def own_token(self, scope: str) -> str:
        """A token of the service itself, with no resident behind it (RFC 6749 section 4.4)."""
        told = self.post(self.metadata["token_endpoint"], {"grant_type": "client_credentials", "scope": scope})
        return str(told["access_token"])

    def receipt(self, receipt_id: str) -> str:
        """The receipt, to be filed as it is; samples/receipts/verify.py checks it."""
        address = f"{self.metadata['receipts_endpoint']}/{receipt_id}"
        return self.fetch(address, token=self.own_token("receipts")).decode()

    def get(self, address: str, *, token: str | None = None) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.fetch(address, token=token))
        return answer

    def post(self, address: str, form: dict[str, str]) -> dict[str, Any]:
        """A form, with the assertion by which the service proves itself (RFC 7523)."""
        now = int(time.time())
        claims = {"iss": self.client_id, "sub": self.client_id, "aud": self.issuer, "jti": secrets.token_urlsafe(16)}
        assertion = jwt.encode({**claims, "iat": now, "exp": now + 60}, self.key, algorithm="ES256")
        proof = {"client_id": self.client_id, "client_assertion_type": ASSERTION, "client_assertion": assertion}
        body = urlencode({**form, **proof})
        answer: dict[str, Any] = json.loads(self.fetch(address, body=body.encode()))
        return answer

    def fetch(
        self, address: str, *, token: str | None = None, body: bytes | None = None, kind: str | None = None
    ) -> bytes:
        """One request. Raises Refused where the answer is an error."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        if kind is not None:
            headers["Content-Type"] = kind
        try:
            with urlopen(Request(address, data=body, headers=headers), timeout=30) as answer:
                content: bytes = answer.read()
                return content
        except HTTPError as refused:
            raise Refused(f"{address}: {refused.code} {refused.read().decode(errors='replace')}") from None


def wait_for_browser(redirect_uri: str) -> str:
    """The address that the browser comes back with; a web service has a route for it instead.

    Raises Refused where another program has the port: it would get the code.
    """
    came: list[str] = []

    class Callback(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            came.append(self.path)
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; charset=utf-8")
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write("終わりました。この画面は閉じてかまいません。 / Done; you may close this page.\n".encode())

        def log_message(self, format: str, *args: Any) -> None:
            """The address holds the code: it is written nowhere."""

    place = urlsplit(redirect_uri)
    try:
        waiting = HTTPServer((place.hostname or "127.0.0.1", place.port or 80), Callback)
    except OSError as taken:
        raise Refused(f"{redirect_uri}: {taken.strerror}: do not open the address") from None
    with waiting as server:
        while not any(urlsplit(path).path == place.path for path in came):
            server.handle_request()
    return came[-1]
