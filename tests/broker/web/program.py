"""A client's program as the endpoints see it: its keys, its proofs, and what residents have granted to it.

Codes are put into the store as a login would put them there: what these tests ask is what happens to them afterwards.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import jwt
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from werkzeug.test import TestResponse

from broker.accounts.credential import Credential, CredentialKey
from broker.accounts.session import Session
from broker.flows.secret import digest
from broker.ids import AccountID, ClientID, CredentialID, GrantID, SectorID, SessionID, Subject
from broker.jose import b64url, public_jwk
from broker.jpki.certificate import issuer_key_hash, parse
from broker.oidc.client import Client, SecurityProfile
from broker.oidc.consent import Consent
from broker.oidc.dpop import token_hash
from broker.oidc.grants import CODE_LIFETIME, Authentication, AuthorizationCode, Grant
from broker.oidc.pkce import s256
from cardreader.cardfile import load
from tests.broker.web.house import ISSUER, REDIRECT_URI, VERIFIER, House

HEADER = "X-Client-Certificate"
"""In which the tests' TLS front hands on certificates."""
JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def name() -> str:
    return b64url(os.urandom(12))


@dataclass(kw_only=True)
class Program:
    """One client, and the house it talks to."""

    house: House
    client: Client
    key: ec.EllipticCurvePrivateKey
    """Signs its assertions."""
    dpop_key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def grant(
        self,
        *,
        scope: str = "openid",
        claims: str = "",
        resources: tuple[str, ...] = (),
        resident: str = "hanako",
        jkt: str | None = None,
        nonce: str | None = "a-nonce",
    ) -> str:
        """A code for what `resident` has just agreed to."""
        now = self.house.clock()
        der = certificate_of(self.house, resident)
        serial, issuer = parse(der).serial, issuer_of(self.house, der)
        keys = self.house.ports.keys
        key = CredentialKey(
            issuer_key_hash=issuer_key_hash(issuer),
            serial_fingerprint=keys.serial_fingerprint(issuer_key_hash(issuer), serial),
        )
        session = digest(name())
        code = name()
        with self.house.ports.store.transaction() as tx:
            credential = tx.accounts.enrol(
                Credential(
                    credential_id=CredentialID(name()),
                    account=AccountID(name()),
                    key=key,
                    serial_sealed=b"\x01sealed",
                    kind="plastic",
                    not_after=now + timedelta(days=900),
                    first_seen=now,
                )
            )
            subject = tx.accounts.subject(credential.account, self.client.sector, fresh=Subject(name()))
            granted = frozenset(scope.split())
            tx.consents.give(
                credential.account, Consent(client_id=self.client.client_id, scope=granted, granted_at=now)
            )
            opened = Session(
                digest=session,
                session_id=SessionID(name()),
                account=credential.account,
                credential=credential.credential_id,
                client_id=self.client.client_id,
                subject=subject,
                authenticated_at=now,
                last_used_at=now,
            )
            tx.sessions.open(opened)
            grant = Grant(
                grant_id=GrantID(name()),
                client_id=self.client.client_id,
                account=credential.account,
                credential=credential.credential_id,
                subject=subject,
                scope=granted,
                authentication=Authentication(time=now, acr="aal3", amr=("hwk", "pin", "sc", "mfa")),
                claims=claims,
                resources=resources,
                nonce=nonce,
                session_digest=session,
                session_id=opened.session_id,
                created_at=now,
                expires_at=now + CODE_LIFETIME,
            )
            tx.codes.issue(
                AuthorizationCode(
                    digest=digest(code),
                    grant=grant,
                    redirect_uri=REDIRECT_URI,
                    code_challenge=s256(VERIFIER),
                    jkt=jkt,
                    expires_at=now + CODE_LIFETIME,
                )
            )
            if "offline_access" in granted:
                tx.grants.keep_certificate(grant.grant_id, keys.seal(der, context=grant.grant_id.encode()))
        return code

    def assertion(self, *, key: Any = None, alg: str = "ES256", **changes: Any) -> str:
        """A client assertion; None leaves a claim out."""
        now = int(self.house.clock().timestamp())
        claims: dict[str, Any] = {
            "iss": self.client.client_id,
            "sub": self.client.client_id,
            "aud": self.house.issuer,
            "iat": now,
            "exp": now + 60,
            "jti": name(),
        } | changes
        secret: Any = "" if alg == "none" else key or self.key
        return jwt.encode({name: value for name, value in claims.items() if value is not None}, secret, algorithm=alg)

    def proof(
        self,
        path: str = "/token",
        *,
        method: str = "POST",
        access_token: str | None = None,
        key: Any = None,
        alg: str = "ES256",
        header: Mapping[str, Any] | None = None,
        **changes: Any,
    ) -> str:
        """A DPoP proof; None leaves a member out."""
        signing = key or self.dpop_key
        claims: dict[str, Any] = {
            "htm": method,
            "htu": f"{ISSUER}{path}",
            "iat": int(self.house.clock().timestamp()),
            "jti": name(),
            "ath": None if access_token is None else token_hash(access_token),
        } | changes
        head: dict[str, Any] = {"typ": "dpop+jwt", "jwk": public_jwk(signing)} | dict(header or {})
        return jwt.encode(
            {name: value for name, value in claims.items() if value is not None},
            signing if alg != "none" else "",
            algorithm=alg,
            headers={name: value for name, value in head.items() if value is not None},
        )

    def post(
        self,
        path: str,
        *,
        headers: list[tuple[str, str]] | None = None,
        authenticated: bool = True,
        address: str = "127.0.0.1",
        **form: str | None,
    ) -> TestResponse:
        """A form, with an assertion unless `authenticated` is False; None leaves a parameter out."""
        fields: dict[str, str | None] = dict(form)
        if authenticated:
            fields = {"client_assertion_type": JWT_BEARER, "client_assertion": self.assertion(), **fields}
        return self.house.browser().post(
            path,
            data={name: value for name, value in fields.items() if value is not None},
            headers=headers or [],
            base_url=self.house.issuer,
            environ_base={"REMOTE_ADDR": address},
        )

    def token(
        self, code: str | None, *, dpop: str | None = None, headers: list[tuple[str, str]] | None = None, **form: Any
    ) -> TestResponse:
        """The token request for a code."""
        fields: dict[str, Any] = {"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT_URI}
        fields |= {"code_verifier": VERIFIER} | form
        return self.post("/token", headers=[*(headers or []), *([("DPoP", dpop)] if dpop else [])], **fields)

    def userinfo(
        self, access_token: str, *, dpop: str | None = None, scheme: str = "Bearer", method: str = "GET", **options: Any
    ) -> TestResponse:
        headers = [("Authorization", f"{scheme} {access_token}"), *([("DPoP", dpop)] if dpop else [])]
        return self.house.browser().open(
            "/userinfo", method=method, headers=headers, base_url=self.house.issuer, **options
        )


def certificate_of(house: House, resident: str) -> bytes:
    """The user-authentication certificate of a resident's card."""
    der = load(house.world.card(resident)).auth.certificate
    assert der is not None
    return der


def issuer_of(house: House, leaf: bytes) -> bytes:
    """The CA certificate among the house's anchors that issued `leaf`."""
    certificate = parse(leaf).x509
    for anchor in house.ports.policy.anchors:
        try:
            certificate.verify_directly_issued_by(parse(anchor).x509)
        except (ValueError, TypeError, InvalidSignature):
            continue
        return anchor
    raise AssertionError("no anchor issued this certificate")


def register(
    house: House, client_id: str = "program", *, profile: SecurityProfile = SecurityProfile.OIDC, **members: Any
) -> Program:
    """A new client of the house, with private_key_jwt unless `members` say otherwise."""
    key = ec.generate_private_key(ec.SECP256R1())
    values: dict[str, Any] = {
        "name": client_id,
        "vetted": True,
        "redirect_uris": (REDIRECT_URI,),
        "sector": SectorID(client_id),
    } | members
    if "auth_method" not in members and "jwks_uri" not in members:
        values = {"jwks": {"keys": [public_jwk(key)]}} | values
    client = Client(client_id=ClientID(client_id), profile=profile, **values)
    with house.ports.store.transaction() as tx:
        assert tx.clients.add(client, now=house.clock())
    return Program(house=house, client=client, key=key)
