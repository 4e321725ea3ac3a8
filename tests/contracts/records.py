"""Valid records with fresh names, and a store seeded as a login leaves it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from broker.accounts.activity import Activity, How, Kind
from broker.accounts.credential import Credential, CredentialKey
from broker.accounts.session import Session
from broker.audit.receipt import new_id
from broker.flows.login_ports import Authenticated, CardAnswer, CardTransaction, Interaction
from broker.flows.ports import Store
from broker.flows.receipt_ports import StoredReceipt
from broker.ids import (
    AccountID,
    ClientID,
    CredentialID,
    GrantID,
    InteractionID,
    ReceiptID,
    SectorID,
    SessionID,
    Subject,
    TransactionID,
)
from broker.oidc.authorization import AuthorizationRequest
from broker.oidc.client import Client, SecurityProfile
from broker.oidc.grants import Authentication, AuthorizationCode, Grant
from broker.oidc.tokens import AccessToken

NOW = datetime(2026, 11, 20, 3, 4, 5, 678901, tzinfo=UTC)
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)


def name() -> str:
    return secrets.token_urlsafe(12)


def digest() -> bytes:
    return secrets.token_bytes(32)


def client() -> Client:
    return Client(
        client_id=ClientID(f"bank-{name()}"),
        name="見本銀行",
        vetted=True,
        profile=SecurityProfile.OIDC,
        redirect_uris=("http://127.0.0.2:8001/cb", "https://bank.example/cb"),
        post_logout_redirect_uris=("http://127.0.0.2:8001/",),
        jwks={"keys": [{"kty": "EC", "crv": "P-256", "x": "eA", "y": "eQ"}]},
        sector=SectorID("sector-1"),
    )


def credential(key: CredentialKey | None = None) -> Credential:
    return Credential(
        credential_id=CredentialID(name()),
        account=AccountID(name()),
        key=key or CredentialKey(issuer_key_hash=digest(), serial_fingerprint=b"\x01" + digest()),
        serial_sealed=b"\x01sealed",
        kind="plastic",
        not_after=NOW + timedelta(days=900),
        first_seen=NOW,
    )


def request(client_id: ClientID) -> AuthorizationRequest:
    return AuthorizationRequest(
        client_id=client_id,
        redirect_uri="http://127.0.0.2:8001/cb",
        code_challenge="E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
        scope=frozenset({"openid"}),
        state="状態 'quoted'",
        nonce=None,
        prompt=frozenset({"login", "consent"}),
        max_age=0,
        ui_locales="ja en",
        acr_values=("aal3", "crl"),
    )


def interaction(client_id: ClientID, *, browser: bytes | None = None) -> Interaction:
    return Interaction(
        interaction_id=InteractionID(name()),
        request=request(client_id),
        browser_digest=browser or digest(),
        expires_at=NOW + 10 * MINUTE,
    )


def card_transaction(of: Interaction) -> CardTransaction:
    return CardTransaction(
        transaction_id=TransactionID(name()),
        interaction_id=of.interaction_id,
        client_id=of.request.client_id,
        nonce=digest(),
        tag="JPKI-FED-AUTH/1",
        action="{}",
        previous=b"",
        request_key_thumbprint="thumb",
        answer_key=b"\x01sealed key",
        issued_at=NOW,
        expires_at=NOW + 5 * MINUTE,
    )


def card_answer(key: CredentialKey | None = None) -> CardAnswer:
    return CardAnswer(
        key=key or CredentialKey(issuer_key_hash=digest(), serial_fingerprint=b"\x01" + digest()),
        serial_sealed=b"\x01sealed",
        kind="plastic",
        not_after=NOW + timedelta(days=900),
        answered_at=NOW + SECOND,
        pin_entry="page",
        reader_kind="software",
        revocation_source="http://127.0.0.1:8010/crl",
        revocation_this_update=NOW - MINUTE,
        evidence='{"kind":"login"}',
    )


def receipt(
    login: LoggedIn, *, at: datetime = NOW, kept_for: timedelta = timedelta(days=400), subject: Subject | None = None
) -> StoredReceipt:
    return StoredReceipt(
        receipt_id=new_id(at, secrets.token_bytes(10)),
        client_id=login.client.client_id,
        subject=subject or login.session.subject,
        sealed=b"\x01sealed facts",
        expires_at=at + kept_for,
    )


def activity(login: LoggedIn) -> Activity:
    return Activity(
        account=login.credential.account,
        client_id=login.client.client_id,
        kind=Kind.LOGIN,
        how=How.CARD,
        items=("offline_access", "openid"),
        at=NOW,
        session_id=login.session.session_id,
    )


@dataclass(frozen=True, kw_only=True)
class LoggedIn:
    """Who is logged in to which client."""

    client: Client
    credential: Credential
    session: Session

    def who(self) -> Authenticated:
        return Authenticated(
            account=self.credential.account,
            credential=self.credential.credential_id,
            subject=self.session.subject,
            authentication=Authentication(time=NOW, acr="aal3", amr=("hwk", "pin", "sc", "mfa")),
            session_digest=self.session.digest,
            session_id=self.session.session_id,
        )

    def grant(self) -> Grant:
        return Grant(
            grant_id=GrantID(name()),
            client_id=self.client.client_id,
            account=self.credential.account,
            credential=self.credential.credential_id,
            subject=self.session.subject,
            scope=frozenset({"openid", "name"}),
            claims='{"id_token":{"acr":{"essential":true}}}',
            authorization_details="[]",
            resources=("https://api.example/", "urn:x:y"),
            nonce="n-0S6_WzA2Mj",
            receipt_id=ReceiptID("0190163d-8694-739b-aea5-966c26f8ad91"),
            authentication=self.who().authentication,
            session_digest=self.session.digest,
            session_id=self.session.session_id,
            created_at=NOW,
            expires_at=NOW + MINUTE,
        )

    def code(self) -> AuthorizationCode:
        return AuthorizationCode(
            digest=digest(),
            grant=self.grant(),
            redirect_uri="http://127.0.0.2:8001/cb",
            code_challenge="E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
            jkt="0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I",
            expires_at=NOW + MINUTE,
        )

    def token(self, grant_id: GrantID | None) -> AccessToken:
        return AccessToken(
            jti=name(),
            client_id=self.client.client_id,
            account=self.credential.account,
            subject=self.session.subject,
            scope=frozenset({"openid"}),
            audience=("https://broker.example", "https://api.example/"),
            grant_id=grant_id,
            jkt="0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I",
            issued_at=NOW,
            expires_at=NOW + 10 * MINUTE,
        )


def log_in(store: Store) -> LoggedIn:
    """A client, an account with a certificate, and a session of the two."""
    rp, certificate = client(), credential()
    session = Session(
        digest=digest(),
        session_id=SessionID(name()),
        account=certificate.account,
        credential=certificate.credential_id,
        client_id=rp.client_id,
        subject=Subject(name()),
        authenticated_at=NOW,
        last_used_at=NOW,
    )
    with store.transaction() as tx:
        assert tx.clients.add(rp, now=NOW)
        assert tx.accounts.enrol(certificate) == certificate
        tx.sessions.open(session)
    return LoggedIn(client=rp, credential=certificate, session=session)
