"""Requests made to cost more than they should: nesting, numbers, counts and lengths, wherever the broker reads them.

One list for the test, which looks at statuses and at what Python allocates, and for `python -m tests.campaigns.bombs`,
which looks at a running worker's memory and time.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

FORM: Final = "application/x-www-form-urlencoded"
JWT_BEARER: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
SMALL_ENOUGH: Final = 30 * 1024
"""Octets of a value that a 64 kB form still carries when it is percent-encoded sparingly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bomb:
    """One request."""

    name: str
    method: str
    path: str
    query: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = field(default=b"", repr=False)


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


# --- what is in them -------------------------------------------------------------------------------------------------

DOCUMENTS: Final[dict[str, bytes]] = {
    "arrays in arrays": b"[" * SMALL_ENOUGH,
    "objects in objects": b'{"a":' * (SMALL_ENOUGH // 5),
    "a deep claim": b'{"iss":"bank","a":' + b"[" * 10_000 + b"]" * 10_000 + b"}",
    "deep behind a string": b'{"a":"\\"[","b":' + b"[" * 10_000 + b"]" * 10_000 + b"}",
    "a number of 30 000 digits": b'{"exp":' + b"9" * SMALL_ENOUGH + b"}",
    "a number too large": b'{"exp":1e999,"iat":-1e999,"nbf":1e308}',
    "times beyond the calendar": b'{"exp":99999999999999,"iat":99999999999999,"nbf":-99999999999999}',
    "no number": b'{"exp":NaN,"iat":Infinity}',
    "thousands of members": json.dumps({f"member{count}": count for count in range(1800)}).encode(),
    "one member thousands of times": b"{" + b",".join([b'"a":1'] * 4000) + b"}",
    "half a surrogate pair": b'{"sub":"\\ud800","jti":"\\udfff"}',
    "NUL": b'{"sub":"\\u0000","jti":"\\u0000"}',
    "not UTF-8": b'{"sub":"\xff\xfe"}',
    "an order mark": b'\xef\xbb\xbf{"sub":"bank"}',
    "thousands of audiences": json.dumps({"aud": ["x"] * 5000}).encode(),
    "all types wrong": b'{"iss":[],"sub":{},"aud":7,"exp":"1","iat":null,"jti":true,"nonce":[[]],"htm":{},"ath":0}',
    "an array": b'["iss"]',
    "nothing": b"",
}
"""JSON documents, most of them none; each fits into a form of 64 kB."""

_POINT: Final = {"kty": "EC", "crv": "P-256", "x": b64(b"\x01" * 32), "y": b64(b"\x02" * 32)}

HEADERS: Final[dict[str, dict[str, Any]]] = {
    "none": {"alg": "none"},
    "a point off the curve": {"alg": "ES256", "typ": "dpop+jwt", "jwk": _POINT},
    "a modulus of 16 384 bits": {
        "alg": "PS256",
        "typ": "dpop+jwt",
        "jwk": {"kty": "RSA", "n": b64(b"\xff" * 2048), "e": "AQAB"},
    },
    "an exponent of 2048 bits": {
        "alg": "PS256",
        "typ": "dpop+jwt",
        "jwk": {"kty": "RSA", "n": b64(b"\xff" * 256), "e": b64(b"\xff" * 256)},
    },
    "a private key": {"alg": "ES256", "typ": "dpop+jwt", "jwk": _POINT | {"d": b64(b"\x03" * 32)}},
    "an unknown curve": {"alg": "ES256", "typ": "dpop+jwt", "jwk": _POINT | {"crv": "P-999"}},
    "keys elsewhere": {"alg": "ES256", "jku": "http://127.0.0.1:1/keys", "x5u": "http://127.0.0.1:1/certificate"},
    "certificates": {"alg": "ES256", "x5c": [b64(b"\x30\x80" * 400)] * 20},
    "critical": {"alg": "ES256", "crit": ["b64", "exp"], "b64": False},
    "a key id of 20 000 characters": {"alg": "ES256", "kid": "k" * 20_000},
    "a million rounds": {"alg": "PBES2-HS256+A128KW", "enc": "A128GCM", "p2c": 10_000_000, "p2s": b64(b"salt" * 4)},
    "compressed": {"alg": "ECDH-ES", "enc": "A128GCM", "zip": "DEF", "epk": _POINT},
    "RSA to who has no such key": {"alg": "RSA-OAEP-256", "enc": "A256GCM", "zip": "DEF"},
}
"""JOSE headers; signatures and keys are missing or wrong."""


def _compressed() -> str:
    return b64(zlib.compress(b" " * 8_000_000)[2:-4])


def tokens(sign: Callable[[bytes], str]) -> Iterator[tuple[str, str]]:
    """Names and compact JWTs; `sign` makes one of any payload with the client's own key."""
    for name, document in DOCUMENTS.items():
        yield f"payload: {name}", sign(document)
        if len(document) < 20_000:
            yield f"header: {name}", f"{b64(document)}.{b64(b'{}')}.{b64(bytes(64))}"
    for name, header in HEADERS.items():
        protected = b64(json.dumps(header).encode())
        if "enc" in header:
            yield f"header: {name}", f"{protected}.{b64(bytes(40))}.{b64(bytes(12))}.{_compressed()}.{b64(bytes(16))}"
        else:
            yield f"header: {name}", f"{protected}.{b64(b'{}')}.{b64(bytes(64))}"
    yield "dots", "." * SMALL_ENOUGH
    yield "one part", "A" * SMALL_ENOUGH
    yield "five empty parts", "...."
    yield "blanks", " " * 4000
    yield "not base64url", "é.=.+/"


FORMS: Final[dict[str, bytes]] = {
    "a parameter too many": b"&".join([b"a=1"] * 101),
    "ten thousand parameters": b"&".join([b"a=1"] * 10_000),
    "nothing but separators": b"&" * 65_000,
    "a name of 60 000 characters": b"n" * 60_000 + b"=1",
    "a value of 60 000 characters": b"client_id=" + b"v" * 60_000,
    "broken percent-encoding": b"client_id=%&state=%zz&nonce=%ff%fe&scope=%",
    "NUL": b"client_id=%00&grant_type=%00",
    "not ASCII": "client_id=日本".encode(),
    "the same name twice": b"client_id=bank&client_id=bank&grant_type=a&grant_type=b&scope=a&scope=b",
    "half a surrogate pair": b"client_id=%ed%a0%80",
    "plus signs": b"+" * 65_000,
    "too large": b"a=" + b"b" * (64 * 1024),
}

LONG: Final[dict[str, str]] = {
    "letters": "a" * 15_000,
    "commas": "," * 15_000,
    "quotes": '"' * 7_500,
    "tokens": ", ".join(["ja;q=0.1"] * 1500),
    "pairs": "; ".join(f"c{count}=v" for count in range(1500)),
    "dots": "." * 15_000,
    "equals": "a=" * 7_500,
    "blanks between": "a" + " " * 15_000 + "b",
    "latin": "\xe9" * 5_000,
}
"""Header values of about 15 kB: what a server in front still lets through."""

PROGRAM_HEADERS: Final = ("Authorization", "DPoP", "If-None-Match", "Content-Type")
PAGE_HEADERS: Final = ("Cookie", "Accept-Language", "Origin", "Sec-Fetch-Dest", "Content-Type", "User-Agent")
"""What the one and the other look at, and some that only the logs might."""


# --- where they go ---------------------------------------------------------------------------------------------------

PAGES: Final = ("/authorize", "/logout", "/agent/continue", "/agent/cb/" + "x" * 22, "/consent/" + "x" * 22, "/nowhere")


def bombs(routes: Iterable[str], *, client_id: str, redirect_uri: str, sign: Callable[[bytes], str]) -> Iterator[Bomb]:
    """All of them, for these endpoints and for the pages. The client exists, has a key and is of profile oidc."""
    paths = (*routes, *PAGES)
    made = list(tokens(sign))
    asked = {
        "client_id": client_id,
        "redirect_uri": redirect_uri,
        "response_type": "code",
        "scope": "openid",
        "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
        "code_challenge_method": "S256",
    }
    form = (("Content-Type", FORM),)
    for path in paths:
        for name, body in FORMS.items():
            yield Bomb(name=f"form: {name}", method="POST", path=path, headers=form, body=body)
            if len(body) < 15_000:
                yield Bomb(name=f"query: {name}", method="GET", path=path, query=body.decode("latin-1"))
        for name, document in DOCUMENTS.items():
            headers = (("Content-Type", "application/json"),)
            yield Bomb(name=f"json: {name}", method="POST", path=path, headers=headers, body=document)
        for header in PAGE_HEADERS if path in PAGES else PROGRAM_HEADERS:
            for name, value in LONG.items():
                yield Bomb(name=f"{header}: {name}", method="POST", path=path, headers=((header, value),))
        for kind in ("multipart/form-data; boundary=x", "multipart/form-data", "text/plain; charset=utf-7"):
            parts = b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\nb\r\n" * 1000
            yield Bomb(name=kind, method="POST", path=path, headers=(("Content-Type", kind),), body=parts)
    for name, token in made:
        for path in routes:
            proof = {"client_assertion_type": JWT_BEARER, "client_assertion": token, "grant_type": "authorization_code"}
            body = urlencode({**proof, "token": token, "code": token, "refresh_token": token}).encode()
            if len(body) > 60_000:
                body = urlencode(proof).encode()
            yield Bomb(name=f"assertion: {name}", method="POST", path=path, headers=form, body=body)
            short = token.encode("ascii", "replace").decode()[:20_000]
            yield Bomb(
                name=f"DPoP: {name}",
                method="POST",
                path=path,
                headers=(*form, ("DPoP", short), ("Authorization", f"DPoP {short}")),
                body=b"grant_type=authorization_code",
            )
        for member in ("request", "id_token_hint", "claims", "authorization_details"):
            body = urlencode({**asked, member: token}).encode()
            yield Bomb(name=f"{member}: {name}", method="POST", path="/authorize", headers=form, body=body)
            query = urlencode({**asked, member: token[:12_000]})
            yield Bomb(name=f"{member}: {name}", method="GET", path="/authorize", query=query)
        body = urlencode({"id_token_hint": token, "client_id": client_id}).encode()
        yield Bomb(name=f"id_token_hint: {name}", method="POST", path="/logout", headers=form, body=body)
        body = urlencode({"answer": token}).encode()
        yield Bomb(name=f"answer: {name}", method="POST", path="/agent/cb/" + "x" * 22, headers=form, body=body)
    for name, document in DOCUMENTS.items():
        text = document.decode("latin-1")
        for member in ("claims", "authorization_details", "request"):
            body = urlencode({**asked, member: text}).encode()
            yield Bomb(name=f"{member}: {name}", method="POST", path="/authorize", headers=form, body=body)
            if len(body) < 15_000:
                yield Bomb(name=f"{member}: {name}", method="GET", path="/authorize", query=body.decode())


def bombs_behind_authentication(
    *, asked: Mapping[str, str], proof: Callable[[], Mapping[str, str]], invitation: str, sign: Callable[[bytes], str]
) -> Iterator[Bomb]:
    """What reaches further because the client, or whoever registers one, has proved who they are.

    `asked` is a good authorization request, `proof` makes the form members of a fresh client assertion, `invitation`
    is an initial access token.
    """
    form = (("Content-Type", FORM),)
    for kind, values in (("token", dict(tokens(sign))), ("document", _texts())):
        for name, value in values.items():
            for member in ("request", "claims", "authorization_details", "id_token_hint", "resource", "dpop_jkt"):
                body = urlencode({**asked, **proof(), member: value}).encode()
                yield Bomb(name=f"{member}: {kind}: {name}", method="POST", path="/par", headers=form, body=body)
            for path in ("/introspect", "/revoke"):
                body = urlencode({**proof(), "token": value}).encode()
                yield Bomb(name=f"token: {kind}: {name}", method="POST", path=path, headers=form, body=body)
            for grant, member in (
                ("authorization_code", "code"),
                ("refresh_token", "refresh_token"),
                ("urn:ietf:params:oauth:grant-type:device_code", "device_code"),
                ("urn:openid:params:grant-type:ciba", "auth_req_id"),
                ("urn:ietf:params:oauth:grant-type:token-exchange", "subject_token"),
            ):
                body = urlencode({**proof(), "grant_type": grant, member: value}).encode()
                yield Bomb(name=f"{member}: {kind}: {name}", method="POST", path="/token", headers=form, body=body)
    invited = (("Content-Type", "application/json"), ("Authorization", f"Bearer {invitation}"))
    for name, document in (*DOCUMENTS.items(), *registrations()):
        yield Bomb(name=f"registration: {name}", method="POST", path="/register", headers=invited, body=document)


def _texts() -> dict[str, str]:
    return {name: document.decode("latin-1") for name, document in DOCUMENTS.items() if len(document) < 25_000}


def registrations() -> Iterator[tuple[str, bytes]]:
    """Client metadata that nobody could mean."""
    uri = "https://rp.example/callback"
    key = _POINT | {"kid": "k"}
    wide = {"kty": "RSA", "n": b64(b"\xff" * 4096), "e": "AQAB", "kid": "k"}
    for name, members in {
        "a thousand redirect URIs": {"redirect_uris": [f"{uri}/{count}" for count in range(1000)]},
        "a redirect URI of 50 000 characters": {"redirect_uris": [f"{uri}/{'a' * 50_000}"]},
        "redirect URIs of every type": {"redirect_uris": [None, 7, {}, [], True, ""]},
        "a thousand keys": {"redirect_uris": [uri], "jwks": {"keys": [key] * 400}},
        "a key of 32 768 bits": {"redirect_uris": [uri], "jwks": {"keys": [wide]}},
        "a point off the curve": {"redirect_uris": [uri], "jwks": {"keys": [key]}},
        "keys within keys": {"redirect_uris": [uri], "jwks": {"keys": [{"keys": [{"keys": []}]}]}},
        "a name of controls": {"redirect_uris": [uri], "client_name": "\u202e\u0007" * 40},
        "a name of 60 000 characters": {"redirect_uris": [uri], "client_name": "n" * 60_000},
        "a seconds field beyond all": {"redirect_uris": [uri], "default_max_age": 10**300},
        "a thousand grants": {"redirect_uris": [uri], "grant_types": ["authorization_code"] * 2000},
        "an address that cannot be parsed": {"redirect_uris": ["https://[::1", "https://a:b:c/", "http://\u0000/"]},
    }.items():
        yield name, json.dumps(members).encode()


def signer(key: ec.EllipticCurvePrivateKey) -> Callable[[bytes], str]:
    """Signs any octets as a JWT of type `JWT` with ES256."""

    def sign(payload: bytes) -> str:
        return jwt.api_jws.encode(payload, key, algorithm="ES256")

    return sign
