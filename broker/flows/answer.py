"""The answer to an authorization request, in the mode the client asked for: plain, or signed and perhaps encrypted."""

from __future__ import annotations

from collections.abc import Mapping

from broker.errors import InvalidToken, StoreUnavailable
from broker.flows.client_keys import ClientKeys
from broker.flows.code import RefusedToClient, ReturnToClient
from broker.flows.ports import KeyUse, Ports
from broker.jose import sign_jws
from broker.jwe import encrypt_compact
from broker.oidc import responses
from broker.oidc.client import Client


def accepted(outcome: ReturnToClient, *, ports: Ports) -> responses.Response:
    """A code on its way (RFC 6749 §4.1.2). Raises StoreUnavailable: it cannot be signed or encrypted now."""
    return _respond(outcome, responses.success(code=outcome.code, state=outcome.state), ports)


def declined(outcome: RefusedToClient, *, error: str, description: str, ports: Ports) -> responses.Response:
    """A refusal in the same mode (RFC 6749 §4.1.2.1). Raises StoreUnavailable."""
    return _respond(outcome, responses.refusal(error=error, description=description, state=outcome.state), ports)


def _respond(outcome: ReturnToClient | RefusedToClient, values: Mapping[str, str], ports: Ports) -> responses.Response:
    issuer, mode, uri = ports.policy.issuer, outcome.response_mode, outcome.redirect_uri
    if not mode.signed:
        return responses.plain(mode, uri, values, issuer=issuer)
    client = outcome.client
    jwt = sign_jws(
        responses.jarm_claims(values, issuer=issuer, client_id=client.client_id, now=ports.clock()),
        signer=ports.keys.signer(KeyUse.ID_TOKEN, client.authorization_response_alg),
        typ="JWT",
    )
    return responses.signed(mode, uri, _encrypted(jwt, client, ports.client_keys))


def _encrypted(jwt: str, client: Client, keys: ClientKeys) -> str:
    """JARM §2.2: signed, then encrypted, where the client registered for it. Never sent open instead."""
    wanted = client.authorization_response_encryption
    if wanted is None:
        return jwt
    try:
        return encrypt_compact(jwt.encode("ascii"), jwks=keys.of(client), alg=wanted.alg, enc=wanted.enc, cty="JWT")
    except InvalidToken as unusable:
        raise StoreUnavailable(f"{client.client_id}: no key to encrypt its answer to") from unusable
