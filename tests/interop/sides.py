"""Two providers with the same clients, asked in the same words: ours and npm oidc-provider."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, parse_qsl, urlencode, urljoin, urlsplit

import urllib3
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from bench.servers import Servers
from bench.sides import peer_program
from cardreader.webclient import Page, WebClient, origin_of
from sandbox.broker import set_up
from tests.interop.clients import CALLBACK, LEFT
from tests.interop.resident import Arrival, Resident

PEER: Final = Path(__file__).parent / "programs" / "peer.mjs"
JWT_BEARER: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
VERIFIER: Final = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"  # RFC 7636 appendix B
CHALLENGE: Final = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
SECOND_CALLBACK: Final = f"{CALLBACK}?x=1"
_ES256: Final = {"id_token_signed_response_alg": "ES256", "authorization_signed_response_alg": "ES256"}
"""What a client is taken to want where it says nothing: RS256 at theirs."""
Changes = Mapping[str, Any]


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@dataclass(frozen=True, slots=True)
class FromNow:
    """A claim that is a time: so many seconds after the request is made."""

    seconds: int


def _settled(claims: Changes) -> dict[str, Any]:
    """Claims of None are left out, times become numbers."""
    now = int(time.time())
    return {
        name: now + value.seconds if isinstance(value, FromNow) else value
        for name, value in claims.items()
        if value is not None
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer without its words: what a client's program can tell from it."""

    kind: str
    """`json`, `page`, `redirect` back to the client, or `login` where the person is asked to log in."""
    status: int = 0
    """Of JSON and pages."""
    error: str = ""
    """The OAuth error, "" for none."""

    def __str__(self) -> str:
        return " ".join(str(part) for part in (self.kind, self.status, self.error) if part)


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A client that both know."""

    client_id: str
    key: ECKey
    rsa: RSAKey
    """Registered too, for the algorithms that ES256 clients are refused."""
    dpop: ECKey
    fapi: bool = False

    def sign(self, claims: Changes, *, alg: str = "ES256", key: Any = None, typ: str | None = None) -> str:
        """A JWT of this client's; claims of None are left out."""
        told = _settled(claims)
        header: dict[str, Any] = {"alg": alg, **({"typ": typ} if typ else {})}
        if alg == "none":
            return f"{b64(json.dumps(header).encode())}.{b64(json.dumps(told).encode())}."
        signing = key or (self.key if alg == "ES256" else self.rsa)
        header["kid"] = signing.kid
        return jwt.encode(header, told, signing, algorithms=[alg])

    def proof(self, method: str, url: str, *, token: str | None = None, **changes: Any) -> str:
        """A DPoP proof (RFC 9449 §4.2). `alg`, `typ`, `key` and `jwk` change its header, other names its claims."""
        alg, typ, key = changes.pop("alg", "ES256"), changes.pop("typ", "dpop+jwt"), changes.pop("key", self.dpop)
        header = {"alg": alg, "typ": typ, "jwk": changes.pop("jwk", key.as_dict(private=False))}
        claims: dict[str, Any] = {
            "htm": method,
            "htu": url,
            "iat": int(time.time()),
            "jti": secrets.token_urlsafe(12),
            "ath": None if token is None else b64(hashlib.sha256(token.encode()).digest()),
        } | changes
        told = _settled(claims)
        header = {name: value for name, value in header.items() if value is not None}
        if alg == "none":
            return f"{b64(json.dumps(header).encode())}.{b64(json.dumps(told).encode())}."
        return jwt.encode(header, told, key, algorithms=[alg])


def known(client_id: str, *, fapi: bool = False) -> Known:
    """With fresh keys."""
    return Known(
        client_id=client_id,
        key=ECKey.generate_key("P-256", {"kid": f"{client_id}-ec", "use": "sig"}, private=True),
        rsa=RSAKey.generate_key(2048, {"kid": f"{client_id}-rsa", "use": "sig"}, private=True),
        dpop=ECKey.generate_key("P-256", private=True),
        fapi=fapi,
    )


@dataclass(slots=True, kw_only=True)
class Side:
    """One provider."""

    name: str
    issuer: str
    metadata: Mapping[str, Any]
    clients: Mapping[str, Known]
    invitation: str = field(repr=False)
    visit: Callable[[str, str], Arrival] = field(repr=False)
    """Logs somebody in by an authorization URL of this client, as often as it is called."""

    def endpoint(self, name: str) -> str:
        return str(self.metadata[f"{name}_endpoint"])

    # --- what a client makes -------------------------------------------------------------------------------------

    def parameters(self, client: str, **changes: str | None) -> dict[str, str]:
        """A good authorization request, changed; None leaves a parameter out."""
        asked: dict[str, str | None] = {
            "client_id": client,
            "redirect_uri": CALLBACK,
            "response_type": "code",
            "scope": "openid",
            "state": "a-state",
            "nonce": "a-nonce",
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
            **changes,
        }
        return {name: value for name, value in asked.items() if value is not None}

    def assertion(self, client: str, *, alg: str = "ES256", **changes: Any) -> str:
        """A client assertion (RFC 7523 §3), changed; None leaves a claim out."""
        now = int(time.time())
        claims = {"iss": client, "sub": client, "aud": self.issuer, "iat": now, "exp": now + 60}
        return self.clients[client].sign({**claims, "jti": secrets.token_urlsafe(12), **changes}, alg=alg)

    def request_object(self, client: str, *, alg: str = "ES256", key: Any = None, **changes: Any) -> str:
        """A request object (RFC 9101 §4) of a good request."""
        now = int(time.time())
        claims: dict[str, Any] = {**self.parameters(client), "iss": client, "aud": self.issuer}
        claims |= {"iat": now, "nbf": now, "exp": now + 300, "jti": secrets.token_urlsafe(12)}
        return self.clients[client].sign(claims | changes, alg=alg, key=key, typ="oauth-authz-req+jwt")

    # --- what it asks --------------------------------------------------------------------------------------------

    def authorize(self, parameters: Changes) -> Reply:
        """In a browser that nobody has used."""
        return self.follow(f"{self.endpoint('authorization')}?{urlencode(parameters)}")

    def follow(self, url: str) -> Reply:
        answer = urllib3.request("GET", url, redirect=False, retries=False)
        location = urljoin(url, answer.headers.get("Location", ""))
        if answer.status in (302, 303):
            if origin_of(location) == self.issuer:
                return Reply(kind="login")
            if not location.startswith(CALLBACK):
                raise AssertionError(f"{self.name} redirects to {location}")
            return Reply(kind="redirect", error=_error(location))
        if 'id="continue-link"' in answer.data.decode():  # our page that takes the person back
            page = Page(url=url, status=answer.status, headers={}, body=answer.data)
            return Reply(kind="redirect", error=_error(page.elements.links["continue-link"]))
        return Reply(kind="page", status=answer.status)

    def post(
        self,
        url: str,
        fields: Changes,
        *,
        by: str | None = None,
        assertion: str | None = None,
        headers: Changes | None = None,
        method: str = "POST",
    ) -> tuple[Reply, dict[str, Any]]:
        """A form, authenticated by client `by` or by this assertion."""
        form = dict(fields)
        if by is not None or assertion is not None:
            form["client_assertion_type"] = JWT_BEARER
            form["client_assertion"] = assertion or self.assertion(str(by))
        told = {name: value for name, value in form.items() if value is not None}
        sent = {"Content-Type": "application/x-www-form-urlencoded", **(headers or {})}
        return self._read(urllib3.request(method, url, body=urlencode(told), headers=sent, retries=False))

    def push(self, client: str, parameters: Changes | None = None, **options: Any) -> tuple[Reply, dict[str, Any]]:
        """PAR, with a good request unless `parameters` are given."""
        url = self.endpoint("pushed_authorization_request")
        asked = self.parameters(client) if parameters is None else parameters
        if "assertion" not in options:
            options["by"] = client
        return self.post(url, asked, **options)

    def code(self, client: str, **changes: str | None) -> str:
        """Log somebody in for this client."""
        asked = self.parameters(client, **changes)
        if self.clients[client].fapi:
            reply, told = self.push(client, asked)
            assert reply.status == 201, (self.name, reply, told)
            asked = {"client_id": client, "request_uri": told["request_uri"]}
        back = self.visit(f"{self.endpoint('authorization')}?{urlencode(asked)}", client)
        return parse_qs(urlsplit(back.url).query)["code"][0]

    def token(
        self, client: str, code: str | None, *, dpop: Any = None, headers: Changes | None = None, **changes: Any
    ) -> tuple[Reply, dict[str, Any]]:
        """The token request for a code. `dpop` is a proof, or True for a good one; other names change the form."""
        options = {name: changes.pop(name) for name in ("by", "assertion") if name in changes} or {"by": client}
        if dpop is True:
            dpop = self.clients[client].proof("POST", self.endpoint("token"))
        sent = {**(headers or {}), **({"DPoP": dpop} if dpop else {})}
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK, "code_verifier": VERIFIER}
        return self.post(self.endpoint("token"), form | changes, headers=sent, **options)

    def userinfo(
        self,
        token: str | None,
        *,
        scheme: str = "Bearer",
        dpop: str | None = None,
        query: str = "",
        method: str = "GET",
    ) -> Reply:
        url = self.endpoint("userinfo")
        headers = {**({"Authorization": f"{scheme} {token}"} if token else {}), **({"DPoP": dpop} if dpop else {})}
        return self._read(urllib3.request(method, f"{url}{query}", headers=headers, retries=False))[0]

    def register(self, members: Changes, *, invitation: str | None = None) -> Reply:
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {invitation or self.invitation}"}
        body = json.dumps({"redirect_uris": [CALLBACK], **members})
        return self._read(
            urllib3.request("POST", self.endpoint("registration"), body=body, headers=headers, retries=False)
        )[0]

    def logout(self, parameters: Changes) -> str:
        """Where a browser without a session ends: `page`, or `redirect` to the address that was asked for."""
        url = f"{self.endpoint('end_session')}?{urlencode(parameters)}"
        answer = urllib3.request("GET", url, redirect=False, retries=False)
        location = urljoin(url, answer.headers.get("Location", ""))
        return "redirect" if answer.status in (302, 303) and location.startswith(LEFT) else "page"

    @staticmethod
    def _read(answer: Any) -> tuple[Reply, dict[str, Any]]:
        try:
            document = json.loads(answer.data or b"{}")
        except ValueError:
            document = {}
        return Reply(kind="json", status=answer.status, error=str(document.get("error", ""))), document


def _error(location: str) -> str:
    parts = urlsplit(location)
    told = dict(parse_qsl(parts.query or parts.fragment))
    return "code" if "code" in told else told.get("error", "")


# --- the two ---------------------------------------------------------------------------------------------------------


def _members(client: Known) -> dict[str, Any]:
    members: dict[str, Any] = {
        "client_id": client.client_id,
        "redirect_uris": [CALLBACK, SECOND_CALLBACK],
        "post_logout_redirect_uris": [LEFT],
        "response_types": ["code"],
        "grant_types": ["authorization_code", "refresh_token"],
        "scope": "openid offline_access",
        "token_endpoint_auth_method": "private_key_jwt",
        "jwks": {"keys": [key.as_dict(private=False) for key in (client.key, client.rsa)]},
    }
    if client.fapi:
        members |= {"dpop_bound_access_tokens": True, "require_pushed_authorization_requests": True}
    return members


def ours(servers: Servers, clients: Mapping[str, Known], *, invitation: str, residents: dict[str, Resident]) -> Side:
    """The running broker. `residents` keeps who is logged in, one for each client; close them afterwards."""
    registered = []
    for client in clients.values():
        members = {**_members(client), "client_name": client.client_id, "vetted": True}
        del members["response_types"]
        registered.append({**members, "profile": "fapi2" if client.fapi else "oidc"})
    set_up(servers.house, registered)
    metadata = json.loads(urllib3.request("GET", f"{servers.broker}/.well-known/openid-configuration").data)

    def visit(url: str, client: str) -> Arrival:
        return residents.setdefault(client, Resident(servers)).visit(url)

    return Side(
        name="ours",
        issuer=servers.broker,
        metadata=metadata,
        clients=clients,
        invitation=invitation,
        visit=visit,
    )


@contextmanager
def theirs(root: Path, clients: Mapping[str, Known]) -> Iterator[Side]:
    """npm oidc-provider, started for this and stopped on the way out. Raises node.NodeMissing, ProgramFailed."""
    invitation = secrets.token_urlsafe(24)
    settings = {
        "invitation": invitation,
        "fapi": [client.client_id for client in clients.values() if client.fapi],
        "clients": [{**_members(client), **_ES256} for client in clients.values()],
    }
    with peer_program(PEER, root, settings) as (issuer, _):

        def visit(url: str, _client: str) -> Arrival:
            browser = WebClient(origins=frozenset({issuer}), timeout=30.0)
            try:
                for _ in range(6):
                    page = browser.get(url, follow=False)
                    url = urljoin(url, page.headers.get("location", ""))
                    if page.status in (302, 303) and origin_of(url) != issuer:
                        return Arrival(url=url)
            finally:
                browser.close()
            raise AssertionError(f"the peer ends at {page.status}: {page.body[:500]!r}")

        metadata = json.loads(urllib3.request("GET", f"{issuer}/.well-known/openid-configuration").data)
        yield Side(
            name="theirs",
            issuer=issuer,
            metadata=metadata,
            clients=clients,
            invitation=invitation,
            visit=visit,
        )
