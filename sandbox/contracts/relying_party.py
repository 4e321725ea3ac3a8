"""The service's side of signing: the steps and parameters that デジタル認証アプリ documents, and nothing else.

Which provider it talks to is a matter of `Addresses` and of keys; every request is made alike.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qs, urlencode, urlsplit

import requests
from joserfc import jwe, jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet

TIMEOUT: Final = 30.0
"""Seconds for one call."""
SCOPE: Final = "openid sign"
ACR: Final = "aal3"
LEEWAY: Final = 10
"""Seconds."""


class SigningFailed(Exception):
    """The provider refused, or its answer was not accepted. `code` is an OAuth error or a word of ours."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(f"{code}: {reason}")
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Where a provider answers."""

    issuer: str
    authorization: str
    token: str
    keys: str
    sign_transactions: str

    @classmethod
    def of_this_broker(cls, issuer: str) -> Addresses:
        return cls(
            issuer=issuer,
            authorization=f"{issuer}/authorize",
            token=f"{issuer}/token",
            keys=f"{issuer}/jwks",
            sign_transactions=f"{issuer}/api/sign-transactions",
        )

    @classmethod
    def of_the_digital_agency(cls, base: str) -> Addresses:
        """`base` is `https://auth-and-sign.go.jp/api`, or that of its sandbox. Not tried from here."""
        realm = f"{base}/realms/main"
        return cls(
            issuer=realm,
            authorization=f"{realm}/protocol/openid-connect/auth",
            token=f"{realm}/protocol/openid-connect/token",
            keys=f"{realm}/protocol/openid-connect/certs",
            sign_transactions=f"{base}/sign-transactions",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A resident is sent to `url`; the rest is kept until they are back."""

    url: str
    sign_transaction_id: str
    state: str = field(repr=False)
    nonce: str = field(repr=False)
    verifier: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """`claims` of the ID token, and the decrypted result."""

    claims: Mapping[str, Any] = field(repr=False)
    result: Mapping[str, Any] = field(repr=False)


class Service:
    """One registration at one provider."""

    def __init__(
        self,
        addresses: Addresses,
        *,
        client_id: str,
        redirect_uri: str,
        signing_key: ECKey,
        encryption_key: ECKey,
        authorities: str | None = None,
    ) -> None:
        self._at = addresses
        self._client_id = client_id
        self._redirect_uri = redirect_uri
        self._signing = signing_key
        self._encryption = encryption_key
        self._http = requests.Session()
        self._http.trust_env = False
        self._http.verify = True if authorities is None else authorities

    def begin_with_digest(self, document: bytes, **members: Any) -> Begun:
        """Order a signature over a document that stays here: its SHA-256 goes, in Base64."""
        digest = base64.b64encode(hashlib.sha256(document).digest()).decode()
        return self._begin({"client_id": self._client_id, "digest": digest, **members})

    def begin(self, documents: Sequence[Mapping[str, Any]]) -> Begun:
        """Order signatures under documents, as this broker alone takes them."""
        return self._begin({"documents": list(documents)})

    def _begin(self, body: Mapping[str, Any]) -> Begun:
        token = self._token({"grant_type": "client_credentials", "scope": "sign"})["access_token"]
        made = self._json(
            self._http.post(self._at.sign_transactions, json=body, headers=_bearer(token), timeout=TIMEOUT)
        )
        verifier = secrets.token_urlsafe(32)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        state, nonce = secrets.token_urlsafe(24), secrets.token_urlsafe(24)
        parameters = {
            "response_type": "code",
            "scope": SCOPE,
            "client_id": self._client_id,
            "redirect_uri": self._redirect_uri,
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
            "acr_values": ACR,
            "sign_transaction_id": made["sign_transaction_id"],
        }
        return Begun(
            url=f"{self._at.authorization}?{urlencode(parameters)}",
            sign_transaction_id=made["sign_transaction_id"],
            state=state,
            nonce=nonce,
            verifier=verifier,
        )

    def finish(self, begun: Begun, url: str) -> Signed:
        """What the resident's browser came back with. Raises SigningFailed."""
        back = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        if not secrets.compare_digest(back.get("state", ""), begun.state):
            raise SigningFailed("wrong_state", "not the answer to this request")
        if "error" in back:
            raise SigningFailed(back["error"], back.get("error_description", ""))
        tokens = self._token(
            {
                "grant_type": "authorization_code",
                "code": back.get("code", ""),
                "redirect_uri": self._redirect_uri,
                "code_verifier": begun.verifier,
            }
        )
        claims = self._verified(tokens["id_token"], nonce=begun.nonce)
        return Signed(claims=claims, result=self.result(begun.sign_transaction_id, tokens["access_token"]))

    def result(self, sign_transaction_id: str, access_token: str) -> dict[str, Any]:
        """The result of a transaction, decrypted. Raises SigningFailed."""
        answer = self._http.get(
            f"{self._at.sign_transactions}/{sign_transaction_id}/result",
            headers=_bearer(access_token),
            timeout=TIMEOUT,
        )
        if answer.status_code != requests.codes.ok:
            self._json(answer)
        try:
            opened = jwe.decrypt_compact(answer.text, self._encryption, algorithms=["ECDH-ES", "A256GCM"])
            return dict(json.loads(opened.plaintext or b""))
        except (JoseError, ValueError) as broken:
            raise SigningFailed("result_unreadable", "not encrypted to our key") from broken

    def _token(self, form: Mapping[str, str]) -> dict[str, Any]:
        """As private_key_jwt with the token endpoint for audience, as the agency's pages show it."""
        now = int(time.time())
        assertion = jwt.encode(
            {"alg": "ES256", "kid": self._signing.kid},
            {
                "iss": self._client_id,
                "sub": self._client_id,
                "aud": self._at.token,
                "jti": secrets.token_urlsafe(16),
                "iat": now,
                "exp": now + 60,
            },
            self._signing,
        )
        asserted = {
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": assertion,
        }
        return self._json(self._http.post(self._at.token, data={**form, **asserted}, timeout=TIMEOUT))

    def _verified(self, id_token: str, *, nonce: str) -> dict[str, Any]:
        published: Any = self._json(self._http.get(self._at.keys, timeout=TIMEOUT))
        try:
            claims = jwt.decode(id_token, KeySet.import_key_set(published), algorithms=["ES256"]).claims
        except (JoseError, ValueError) as broken:
            raise SigningFailed("id_token_invalid", "not signed by the provider") from broken
        now = time.time()
        expected = {"iss": self._at.issuer, "aud": self._client_id, "nonce": nonce, "acr": ACR}
        if any(claims.get(name) != value for name, value in expected.items()):
            raise SigningFailed("id_token_invalid", "not for this login")
        if not claims["iat"] - LEEWAY <= now < claims["exp"] + LEEWAY:
            raise SigningFailed("id_token_invalid", "run out, or not yet")
        return dict(claims)

    def _json(self, answer: requests.Response) -> dict[str, Any]:
        try:
            body = dict(answer.json())
        except ValueError:
            body = {}
        if not answer.ok:
            raise SigningFailed(
                str(body.get("error", answer.status_code)), str(body.get("error_description", "no reason given"))
            )
        return body


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}
