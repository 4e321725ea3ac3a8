"""A stranger's OpenID Provider on loopback: real HTTP, real ES256, and one fault at a time on request.

The bank must hold against any provider, the broker's own mistakes included, so it is not tested with the broker alone.
"""

from __future__ import annotations

import base64
import hashlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from flask import Flask, redirect, request
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet
from werkzeug.serving import make_server
from werkzeug.wrappers import Response


@dataclass
class Provider:
    """`claims` are laid over the right ones in the next ID token; a value of None leaves a member out."""

    issuer: str = ""
    claims: dict[str, Any] = field(default_factory=dict)
    redirect: dict[str, str] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    foreign_key: bool = False
    subject: str = "subject-of-hanako"
    token_status: int = 200
    seen_assertions: list[dict[str, Any]] = field(default_factory=list)
    logouts: list[dict[str, str]] = field(default_factory=list)
    client_jwks: Any = field(default_factory=dict)
    key: ECKey = field(default_factory=lambda: ECKey.generate_key("P-256", {"kid": "one"}))
    codes: dict[str, dict[str, str]] = field(default_factory=dict)

    def answer(self, query: dict[str, str]) -> str:
        """What the browser brings back for this authorization request: the query of the redirect URI."""
        code = f"code-{len(self.codes)}"
        self.codes[code] = query
        members = {"code": code, "state": query["state"], "iss": self.issuer, **self.redirect}
        return urlencode({name: value for name, value in members.items() if value})

    def id_token(self, query: dict[str, str]) -> str:
        """The ID token of this login."""
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "sub": self.subject,
            "aud": query["client_id"],
            "iat": now,
            "exp": now + 300,
            "auth_time": now,
            "nonce": query["nonce"],
            "acr": "aal3",
            "amr": ["hwk", "pin", "sc", "mfa"],
            **self.claims,
        }
        key = ECKey.generate_key("P-256") if self.foreign_key else self.key
        return jwt.encode(
            {"alg": "ES256", "kid": "one"},
            {name: value for name, value in claims.items() if value is not None},
            key,
        )

    def exchange(self, form: dict[str, str]) -> tuple[dict[str, Any], int]:
        """RFC 6749 §4.1.3 with RFC 7523 and RFC 7636, judged in earnest."""
        keys = KeySet.import_key_set(self.client_jwks)
        assertion = jwt.decode(form["client_assertion"], keys, algorithms=["ES256"]).claims
        query = self.codes.pop(form["code"], None)
        verifier = hashlib.sha256(form["code_verifier"].encode()).digest()
        right = (
            query is not None
            and query["code_challenge_method"] == "S256"
            and base64.urlsafe_b64encode(verifier).rstrip(b"=").decode() == query["code_challenge"]
            and form["redirect_uri"] == query["redirect_uri"]
            and assertion["sub"] == assertion["iss"] == query["client_id"]
            and assertion["jti"] not in [seen["jti"] for seen in self.seen_assertions]
        )
        self.seen_assertions.append(assertion)
        if query is None or not right or self.token_status != 200:
            return {"error": "invalid_grant"}, max(self.token_status, 400)
        return {"access_token": "opaque", "token_type": "Bearer", "id_token": self.id_token(query)}, 200


@contextmanager
def running() -> Iterator[Provider]:
    """A provider on a free port of 127.0.0.1 while the block runs."""
    provider = Provider()
    app = Flask("provider")

    @app.get("/.well-known/openid-configuration")
    def metadata() -> dict[str, Any]:
        return {
            "issuer": provider.issuer,
            "authorization_endpoint": f"{provider.issuer}/authorize",
            "token_endpoint": f"{provider.issuer}/token",
            "jwks_uri": f"{provider.issuer}/jwks",
            "end_session_endpoint": f"{provider.issuer}/logout",
            "id_token_signing_alg_values_supported": ["ES256"],
            **provider.metadata,
        }

    @app.get("/authorize")
    def authorize() -> Response:
        query = request.args.to_dict()
        return redirect(f"{query['redirect_uri']}?{provider.answer(query)}", 303)

    @app.get("/jwks")
    def jwks() -> dict[str, Any]:
        return dict(KeySet([provider.key]).as_dict(private=False))

    @app.post("/token")
    def token() -> tuple[dict[str, Any], int]:
        return provider.exchange(request.form.to_dict())

    server = make_server("127.0.0.1", 0, app, threaded=True)
    provider.issuer = f"http://127.0.0.1:{server.port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()
