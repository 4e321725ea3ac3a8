"""The story of a client that asks for itself, with no resident behind it (RFC 6749 §4.4)."""

from __future__ import annotations

from broker.flows.issuance import issue_access_token
from broker.flows.ports import Ports, Transaction
from broker.flows.token_request import Issued, TokenRequest, atomically
from broker.ids import Subject
from broker.oidc.narrowing import of_client


def own_token(request: TokenRequest, ports: Ports) -> Issued:
    """A token whose subject is the client (RFC 9068 §2.2). Raises InvalidScope, InvalidTarget."""
    part = of_client(request.client, request.parameters, issuer=ports.policy.issuer)

    def issue(tx: Transaction) -> Issued:
        subject = Subject(request.client.client_id)
        return Issued(
            token=issue_access_token(tx, part, request, account=None, subject=subject, grant_id=None, ports=ports)
        )

    return atomically(request, issue, ports=ports)
