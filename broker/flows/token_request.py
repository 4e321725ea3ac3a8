"""A request at the token endpoint, once its client and its keys are known, and the one unit of work that answers it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from broker.delegation.answering import Authority
from broker.errors import InvalidRequest, ProtocolError
from broker.flows.client_authentication import AuthenticatedClient
from broker.flows.ports import Ports, Transaction
from broker.flows.sender import Sender
from broker.ids import Secret
from broker.jpki.clock import check_clock
from broker.oidc.client import Client
from broker.oidc.grants import Grant
from broker.oidc.proof import IdentityProof
from broker.oidc.tokens import AccessToken


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRequest:
    """RFC 6749 §4.1.3 and its like."""

    who: AuthenticatedClient
    sender: Sender
    parameters: Mapping[str, str] = field(repr=False)
    now: datetime

    @property
    def client(self) -> Client:
        return self.who.client

    def required(self, name: str) -> str:
        """A parameter that the grant cannot do without. Raises InvalidRequest."""
        if name not in self.parameters:
            raise InvalidRequest(f"{name} is required")
        return self.parameters[name]


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """What was written down together with its audit row (R16), about to be signed."""

    token: AccessToken
    grant: Grant | None = None
    """What a resident agreed to; None for the client's own token."""
    proof: IdentityProof | None = field(default=None, repr=False)
    """What that lets the client know of who they are."""
    stated: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """What a login of another kind proved, as claims (flows.joints)."""
    refresh_token: Secret | None = field(default=None, repr=False)
    refreshed: bool = False
    authority: tuple[Authority, ...] = field(default=(), repr=False)
    """What was confirmed of the powers that it asked about."""


def atomically(request: TokenRequest, step: Callable[[Transaction], Issued | ProtocolError], *, ports: Ports) -> Issued:
    """Use up proof and assertion and do `step`, together. Raises the ProtocolError that `step` answers, ClockBehind.

    A refusal that `step` answers commits what it consumed; one that it raises leaves everything as it was. A host
    whose clock went back issues nothing.
    """
    with ports.store.transaction() as tx:
        check_clock(request.now, mark=tx.clock.mark())
        outcome = request.sender.use_up(tx) or request.who.use_up(tx) or step(tx)
    if isinstance(outcome, ProtocolError):
        raise outcome
    return outcome
