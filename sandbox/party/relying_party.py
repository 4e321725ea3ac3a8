"""A service's side of OpenID Connect: Authlib, with what docs/integrators.md asks a client to check beyond it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit

import requests
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.flask_client import OAuth
from authlib.integrations.flask_client.apps import FlaskOAuth2App
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc7523 import PrivateKeyJWT, private_key_jwt_sign
from flask import Flask, redirect, session
from joserfc.errors import JoseError
from joserfc.jwk import ECKey
from werkzeug.wrappers import Response

from sandbox.party.settings import PartyPlace
from sandbox.party.visits import Visit

TIMEOUT: Final = 10.0  # seconds for one call to the broker
CLOCK_LEEWAY: Final = 10  # seconds
MAX_OPEN_LOGINS: Final = 3
"""Each login begun leaves its state in the cookie; more would outgrow the 4 kB that browsers keep."""
CARD_ACR: Final = "aal3"
"""A fresh signature by the card with its PIN; these services accept nothing less."""


class BrokerUnavailable(Exception):
    """The broker cannot be reached, or its metadata are not its own."""


class LoginRefused(Exception):
    """The broker's answer was not accepted. `code` is an OAuth error or a word of ours; the message holds no secret."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class CallRefused(Exception):
    """The broker refused what its API was asked; the message is its OAuth error."""


class _ClientAssertion(PrivateKeyJWT):  # type: ignore[misc]  # Authlib ships no types
    """`private_key_jwt` that lives one minute: Authlib's hour is the longest that the broker accepts."""

    def sign(self, auth: Any, token_endpoint: str) -> str:  # Authlib's own signature
        return str(
            private_key_jwt_sign(
                auth.client_secret,
                client_id=auth.client_id,
                token_endpoint=token_endpoint,
                header=dict(self.headers),
                alg="ES256",
                expires_in=60,
            )
        )


class _DirectSession(OAuth2Session):  # type: ignore[misc]  # Authlib ships no types
    """No proxy and no .netrc: both come from the environment, and a proxy would receive the client assertions."""

    def __init__(self, *arguments: Any, **options: Any) -> None:  # Authlib's own signature
        super().__init__(*arguments, **options)
        self.trust_env = False


class _BrokerApp(FlaskOAuth2App):  # type: ignore[misc]  # Authlib ships no types
    client_cls = _DirectSession


class RelyingParty:
    """One registration at one broker: code flow, PKCE S256, state, nonce, `iss` (RFC 9207), `private_key_jwt`."""

    def __init__(
        self,
        app: Flask,
        settings: PartyPlace,
        key: ECKey,
        *,
        name: str = "broker",
        callback: str = "/callback",
        acr: str = CARD_ACR,
    ) -> None:
        """Where one service logs in for several purposes, each has a name and an address to come back to: an answer
        to the one is none to the other. `acr` is what is asked for, and nothing less is taken.
        """
        self._settings = settings
        self._acr = acr
        self._states = f"_state_{name}_"
        self._redirect_uri = f"{settings.base_url}{callback}"
        self._client: Any = OAuth(app).register(
            name,
            client_cls=_BrokerApp,
            client_id=settings.client_id,
            client_secret=key,
            server_metadata_url=f"{settings.issuer}/.well-known/openid-configuration",
            client_auth_methods=[_ClientAssertion(headers={"kid": key.kid})],
            client_kwargs={
                "scope": "openid",
                "code_challenge_method": "S256",
                "token_endpoint_auth_method": "private_key_jwt",
                "default_timeout": TIMEOUT,
                "verify": True if settings.issuer_ca is None else str(settings.issuer_ca),
            },
        )

    def start(
        self,
        *,
        ui_locales: str,
        scope: Sequence[str] = ("openid",),
        claims: Mapping[str, Any] | None = None,
        authorization_details: Sequence[Mapping[str, Any]] = (),
        link_request: str = "",
        joint_transaction_id: str = "",
    ) -> Response:
        """Send the browser to the broker; with `link_request` to bind what that names, with `joint_transaction_id` as
        one half of that. Raises BrokerUnavailable.

        What says more of somebody than a pseudonym travels past the browser: the request is pushed (RFC 9126).
        """
        self._check_metadata()
        mine = [name for name in session if name.startswith(self._states)]
        for name in mine[: max(0, len(mine) - MAX_OPEN_LOGINS + 1)]:
            session.pop(name)
        asked = {"ui_locales": ui_locales, "acr_values": self._acr, "scope": " ".join(scope)}
        if claims:
            asked["claims"] = json.dumps(claims)
        if authorization_details:
            asked["authorization_details"] = json.dumps(authorization_details)
        if link_request:
            asked["link_request"] = link_request
        if joint_transaction_id:
            asked["joint_transaction_id"] = joint_transaction_id
        if claims or authorization_details or set(scope) - {"openid"}:
            return self._push(asked)
        response: Response = self._client.authorize_redirect(self._redirect_uri, **asked)
        response.status_code = 303
        return response

    def _push(self, asked: Mapping[str, str]) -> Response:
        """What Authlib would put into the address, to the endpoint for pushed requests; a name of it comes back."""
        begun = self._client.create_authorization_url(self._redirect_uri, **asked)
        metadata = self._client.load_server_metadata()
        with self._client._get_oauth_client(**metadata) as caller:
            try:
                answer = caller.post(
                    metadata["pushed_authorization_request_endpoint"],
                    data=dict(parse_qsl(urlsplit(begun["url"]).query)),
                    auth=caller.client_auth("private_key_jwt"),
                    withhold_token=True,
                    timeout=TIMEOUT,
                )
                answer.raise_for_status()
                request_uri = answer.json()["request_uri"]
            except (requests.RequestException, ValueError, KeyError) as refused:
                raise BrokerUnavailable("the request could not be pushed") from refused
        self._client.save_authorize_data(redirect_uri=self._redirect_uri, **begun)
        query = urlencode({"client_id": self._settings.client_id, "request_uri": request_uri})
        return redirect(f"{metadata['authorization_endpoint']}?{query}", 303)

    def finish(self, parameters: Mapping[str, str]) -> Visit:
        """Judge what the browser brought back and exchange the code. Raises LoginRefused, BrokerUnavailable.

        State first (is it this browser's login?), then `iss` (is it this broker's answer?), and only then the rest.
        """
        state = parameters.get("state", "")
        if self._client.framework.get_state_data(session, state) is None:
            raise LoginRefused("login_not_started", "state is not one this browser was given")
        if parameters.get("iss") != self._settings.issuer:
            self._client.framework.clear_state_data(session, state)
            raise LoginRefused("wrong_issuer", "iss is not the broker's (RFC 9207 §2.4)")
        if "error" in parameters:
            self._client.framework.clear_state_data(session, state)
            raise LoginRefused(_error_code(parameters["error"]), "the broker answered with an error")
        self._check_metadata()
        try:
            token = self._client.authorize_access_token(claims_options=self._expected(), leeway=CLOCK_LEEWAY)
        except requests.RequestException as unreachable:
            raise BrokerUnavailable("the token endpoint or the keys did not answer") from unreachable
        except (AuthlibBaseError, JoseError) as refusal:
            raise LoginRefused(_error_code(refusal.error), type(refusal).__name__) from refusal
        except (ValueError, KeyError) as malformed:  # what came back was not the JSON or the key it should be
            raise LoginRefused("malformed_answer", type(malformed).__name__) from malformed
        if "userinfo" not in token:
            raise LoginRefused("no_id_token", "the token answer holds no ID token")
        claims = dict(token["userinfo"])
        return Visit(
            claims=claims,
            id_token=token["id_token"],
            proved=self._proved(token, claims),
            access_token=token["access_token"],
            granted=tuple(token.get("authorization_details", ())),
        )

    def call(self, path: str, parameters: Mapping[str, str]) -> dict[str, Any]:
        """What the broker answers to this service at `path`, by its own key. Raises CallRefused, BrokerUnavailable."""
        return self._call(
            path, lambda caller: {"data": dict(parameters), "auth": caller.client_auth("private_key_jwt")}
        )

    def call_with_token(
        self, path: str, *, scope: str, method: str = "GET", body: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """The same with a token of the service's own (RFC 6749 §4.4), and a body of JSON. Raises as `call`."""
        token = self.call("/token", {"grant_type": "client_credentials", "scope": scope})["access_token"]
        headers = {"Authorization": f"Bearer {token}"}
        return self._call(path, lambda _: {"json": body, "headers": headers}, method=method)

    def _call(
        self, path: str, options: Callable[[OAuth2Session], Mapping[str, Any]], *, method: str = "POST"
    ) -> dict[str, Any]:
        self._check_metadata()
        metadata = self._client.load_server_metadata()
        with self._client._get_oauth_client(**metadata) as caller:
            try:
                answer = caller.request(
                    method,
                    f"{self._settings.issuer}{path}",
                    withhold_token=True,
                    timeout=TIMEOUT,
                    **options(caller),
                )
                told = answer.json() if answer.content else {}
            except (requests.RequestException, ValueError) as unreachable:
                raise BrokerUnavailable(f"{path} did not answer") from unreachable
        if answer.status_code >= 500:
            raise BrokerUnavailable(f"{path} failed")
        if not answer.ok:
            raise CallRefused(_error_code(told.get("error")))
        return dict(told)

    def _proved(self, token: dict[str, Any], claims: Mapping[str, Any]) -> dict[str, Any]:
        """What userinfo tells beyond the pseudonym, where more was granted (OIDC Core §5.3.2: of the same `sub`)."""
        if set(str(token.get("scope", "")).split()) <= {"openid"}:
            return {}
        try:
            told = dict(self._client.userinfo(token=token))
        except (requests.RequestException, AuthlibBaseError, ValueError) as unreachable:
            raise BrokerUnavailable("userinfo did not answer") from unreachable
        if told.pop("sub", None) != claims["sub"]:
            raise LoginRefused("wrong_subject", "userinfo is about somebody else")
        return told

    def log_out(self, visit: Visit, *, ui_locales: str) -> Response:
        """Send the browser to end its session at the broker too (RP-Initiated Logout). Raises BrokerUnavailable."""
        self._check_metadata()
        response: Response = self._client.logout_redirect(
            post_logout_redirect_uri=f"{self._settings.base_url}/signed-out",
            id_token_hint=visit.id_token,
            client_id=self._settings.client_id,
            ui_locales=ui_locales,
        )
        response.status_code = 303
        return response

    def finish_log_out(self, parameters: Mapping[str, str]) -> None:
        """Forget the state of this logout, and of nothing else: another site may send a browser here too."""
        self._client.framework.clear_state_data(session, parameters.get("state", ""))

    def _check_metadata(self) -> None:
        try:
            metadata = self._client.load_server_metadata()
        except (requests.RequestException, ValueError) as unreachable:
            raise BrokerUnavailable("the broker's metadata cannot be read") from unreachable
        if metadata.get("issuer") != self._settings.issuer:
            raise BrokerUnavailable("the metadata are another issuer's (OIDC Discovery §4.3)")

    def _expected(self) -> dict[str, dict[str, Any]]:
        """Signature, exp, iat and nonce are Authlib's to check; these are the values only we can know."""
        return {
            "iss": {"essential": True, "values": [self._settings.issuer]},
            "aud": {"essential": True, "values": [self._settings.client_id]},
            "sub": {"essential": True},
            "exp": {"essential": True},
            "iat": {"essential": True},
            "nonce": {"essential": True},
            "auth_time": {"essential": True},
            "acr": {"essential": True, "values": [self._acr]},
        }


def _error_code(text: object) -> str:
    """An OAuth error code as RFC 6749 spells them; anything else that came is not repeated on a page."""
    code = str(text)
    return code if len(code) <= 64 and code.isascii() and code.replace("_", "").isalnum() else "unknown_error"
