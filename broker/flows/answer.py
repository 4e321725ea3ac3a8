"""The answer to an authorization request, in the mode the client asked for: plain, or signed and perhaps encrypted."""

from __future__ import annotations

from collections.abc import Mapping

from broker.flows.code import RefusedToClient, ReturnToClient
from broker.flows.envelope import signed_for
from broker.flows.ports import Ports
from broker.oidc import responses


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
    jwt = signed_for(
        client,
        responses.jarm_claims(values, issuer=issuer, client_id=client.client_id, now=ports.clock()),
        alg=client.authorization_response_alg,
        encryption=client.authorization_response_encryption,
        typ="JWT",
        ports=ports,
    )
    return responses.signed(mode, uri, jwt)
