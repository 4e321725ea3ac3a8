"""The story of a client that proves who it is, at every endpoint that programs call (RFC 6749 §2.3).

Nothing is used up here: the `jti` of an assertion goes in the same unit of work as what the client came for, and only
after everything that could refuse the request without it (design 4.8). `AuthenticatedClient.use_up` does it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from broker.errors import InvalidClient, InvalidToken
from broker.flows.call import Call
from broker.flows.ports import Ports, Transaction
from broker.ids import ClientID
from broker.jose import parse_claims, read_jws, verify_jws
from broker.oidc.client import AuthMethod, Client
from broker.oidc.client_authentication import (
    Assertion,
    AssertionPresented,
    CertificatePresented,
    SecretPresented,
    assertion_rules,
    check_assertion,
    check_method,
    check_secret,
    claimed_client,
    present,
)
from broker.oidc.mtls import check_issued, from_escaped_pem, key_is_registered


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthenticatedClient:
    """A client that has proved who it is; a public one has only said so (`client.public`)."""

    client: Client
    certificate: bytes | None = field(default=None, repr=False)
    """DER of the connection's client certificate, where there is one: by it tokens may be bound (RFC 8705 §3)."""
    assertion: Assertion | None = None
    """Still to be used up."""

    def use_up(self, tx: Transaction) -> InvalidClient | None:
        """Use up the assertion's jti in the caller's unit of work; a refusal where it was used before.

        The refusal is answered, not raised: what the caller has consumed so far commits with it.
        """
        if self.assertion is not None and not tx.assertions.use(self.assertion):
            return InvalidClient("the assertion was used before")
        return None


def authenticate(call: Call, parameters: Mapping[str, str], *, ports: Ports) -> AuthenticatedClient:
    """The client of a form's `parameters`, by the one way it is registered for. Raises InvalidClient, StoreUnavailable.

    private_key_jwt, client_secret_basic and _post, tls_client_auth, self_signed_tls_client_auth, and none for public
    native clients.
    """
    if len(call.authorization) > 1:
        raise InvalidClient("two ways to authenticate in one request")
    certificate = from_escaped_pem(call.certificate)
    presented = present(parameters, call.authorization[0] if call.authorization else None, certificate)
    now = ports.clock()
    if isinstance(presented, AssertionPresented):
        return _by_assertion(presented, call, certificate, now=now, ports=ports)
    client = _registered(presented.client_id, ports)
    if isinstance(presented, SecretPresented):
        _check_secret(presented, client)
    if client is None:
        raise InvalidClient("no such client")
    check_method(presented, client.auth_method)
    if isinstance(presented, CertificatePresented):
        _check_certificate(presented.certificate, client, now=now, ports=ports)
    return AuthenticatedClient(client=client, certificate=certificate)


def _registered(client_id: ClientID, ports: Ports) -> Client | None:
    with ports.store.transaction() as tx:
        return tx.clients.get(client_id)


def _check_secret(presented: SecretPresented, client: Client | None) -> None:
    """An unknown client, or one without a secret, takes as long to refuse as a wrong secret."""
    digest = None if client is None or client.auth_method != presented.method else client.secret_digest
    check_secret(presented, [] if digest is None else [digest])


def _by_assertion(
    presented: AssertionPresented, call: Call, certificate: bytes | None, *, now: datetime, ports: Ports
) -> AuthenticatedClient:
    """`private_key_jwt` (RFC 7523 §3)."""
    try:
        token = read_jws(presented.assertion)
        claims = parse_claims(token.payload)
        client_id = claimed_client(claims, presented.client_id)
        client = _registered(client_id, ports)
        if client is None:
            raise InvalidClient("no such client")
        check_method(presented, client.auth_method)
        rules = assertion_rules(client.profile, issuer=ports.policy.issuer, endpoint=call.url)
        algorithms = tuple(name for name in rules.algorithms if client.auth_signing_alg in {None, name})
        verify_jws(token, jwks=ports.client_keys.of(client, kid=token.kid), algorithms=algorithms)  # now they count
    except InvalidToken as invalid:
        raise InvalidClient("the assertion does not hold") from invalid
    assertion = check_assertion(
        claims, client_id, audiences=rules.audiences, audience_array=rules.audience_array, now=now
    )
    return AuthenticatedClient(client=client, certificate=certificate, assertion=assertion)


def _check_certificate(certificate: bytes, client: Client, *, now: datetime, ports: Ports) -> None:
    """RFC 8705 §2.1 and §2.2; a public client's certificate only binds its tokens (§4). The method has been checked."""
    if client.auth_method is AuthMethod.TLS_CLIENT_AUTH and client.tls_subject is not None:
        check_issued(certificate, client.tls_subject, anchors=ports.policy.client_anchors, now=now)
    elif client.auth_method is AuthMethod.SELF_SIGNED_TLS_CLIENT_AUTH:
        try:
            jwks = ports.client_keys.of(client)
        except InvalidToken as unknown:
            raise InvalidClient("no keys of this client are known") from unknown
        if not key_is_registered(certificate, jwks, now):
            raise InvalidClient("certificate is not over a registered key")
