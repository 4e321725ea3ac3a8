"""Whose key stands behind a request: DPoP proofs (RFC 9449) and client certificates (RFC 8705 §3)."""

from __future__ import annotations

from dataclasses import dataclass, field

from broker.errors import InvalidDPoPProof, InvalidRequest
from broker.flows.call import Call
from broker.flows.client_authentication import AuthenticatedClient
from broker.flows.ports import Ports, Transaction
from broker.oidc.dpop import Proof, check_proof
from broker.oidc.mtls import thumbprint


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """The keys that tokens of this request are bound to; both None: bearer tokens."""

    proof: Proof | None = None
    """A judged DPoP proof; still to be used up."""
    x5t: str | None = field(default=None)
    """`x5t#S256` of the client certificate, where the client's tokens are bound to it."""

    @property
    def jkt(self) -> str | None:
        return None if self.proof is None else self.proof.jkt

    def use_up(self, tx: Transaction) -> InvalidDPoPProof | None:
        """Use up the proof's jti in the caller's unit of work; a refusal where it was used before (RFC 9449 §11.1)."""
        if self.proof is not None and not tx.proofs.use(self.proof):
            return InvalidDPoPProof("the proof was used before")
        return None


def judge_proof(call: Call, *, ports: Ports, access_token: str | None = None) -> Proof | None:
    """The DPoP proof of a request, whatever its key; None where it carries none.

    Raises InvalidDPoPProof, UseDPoPNonce.
    """
    if not call.dpop:
        return None
    return check_proof(
        call.dpop,
        method=call.method,
        url=call.url,
        now=ports.clock(),
        nonces=ports.keys.nonce_keys() if ports.policy.requires_dpop_nonce else None,
        access_token=access_token,
        expected_jkt=None,
    )


def bind(call: Call, who: AuthenticatedClient, *, ports: Ports) -> Sender:
    """What the tokens of this token request are bound to, as the client is registered to have them.

    Raises InvalidDPoPProof, UseDPoPNonce, InvalidRequest (a certificate is missing).
    """
    proof = judge_proof(call, ports=ports)
    if proof is None and who.client.dpop_bound_tokens:
        raise InvalidDPoPProof("this client's tokens are bound by a DPoP proof, which is missing")
    x5t = None
    if who.client.certificate_bound_tokens:
        if who.certificate is None:
            raise InvalidRequest("this client's tokens are bound to its certificate, which is missing")
        x5t = thumbprint(who.certificate)
    return Sender(proof=proof, x5t=x5t)
