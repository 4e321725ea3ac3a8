"""Authlib's OAuth 2.0 session as a relying party with a secret: code, refresh, introspection, revocation."""

from __future__ import annotations

from typing import Any

import pytest
import requests
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oidc.core import CodeIDToken, UserInfo
from joserfc import jwt
from joserfc.jwk import KeySet

from bench.servers import Servers
from tests.interop.clients import CALLBACK, CLIENTS
from tests.interop.resident import Resident
from tests.interop.sides import VERIFIER


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
def test_a_login_and_what_becomes_of_its_tokens(servers: Servers, resident: Resident, method: str) -> None:
    metadata: dict[str, Any] = requests.get(f"{servers.broker}/.well-known/openid-configuration", timeout=10).json()
    party = CLIENTS["authlib" if method == "client_secret_basic" else "authlib-post"]
    session = OAuth2Session(
        party.client_id,
        party.secret,
        token_endpoint_auth_method=method,
        revocation_endpoint_auth_method=method,
        introspection_endpoint_auth_method=method,
        scope="openid offline_access",
        redirect_uri=CALLBACK,
        code_challenge_method="S256",
    )
    url, state = session.create_authorization_url(
        metadata["authorization_endpoint"], code_verifier=VERIFIER, nonce="a-nonce", prompt="consent"
    )
    back = resident.visit(url)
    tokens = session.fetch_token(
        metadata["token_endpoint"], authorization_response=back.url, state=state, code_verifier=VERIFIER
    )
    keys = KeySet.import_key_set(requests.get(metadata["jwks_uri"], timeout=10).json())
    signed = jwt.decode(tokens["id_token"], keys, algorithms=["ES256"])
    claims = CodeIDToken(
        signed.claims,
        signed.header,
        {"iss": {"value": metadata["issuer"]}, "aud": {"value": party.client_id}},
        {"nonce": "a-nonce", "client_id": party.client_id, "access_token": tokens["access_token"]},
    )
    claims.validate()
    told = UserInfo(session.get(metadata["userinfo_endpoint"]).json())
    assert told["sub"] == claims["sub"]

    first = tokens["refresh_token"]
    renewed = session.refresh_token(metadata["token_endpoint"], refresh_token=first)
    assert renewed["access_token"] != tokens["access_token"]
    last = renewed.get("refresh_token", first)
    introspected = session.introspect_token(metadata["introspection_endpoint"], token=renewed["access_token"])
    assert introspected.json()["active"] is True
    assert session.revoke_token(metadata["revocation_endpoint"], token=last).status_code == 200
    ended = session.introspect_token(metadata["introspection_endpoint"], token=renewed["access_token"])
    assert ended.json() == {"active": False}
    with pytest.raises(OAuthError, match="invalid_grant"):
        session.refresh_token(metadata["token_endpoint"], refresh_token=last)
