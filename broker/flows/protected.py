"""The story of an access token that comes back, at the broker's own resources (RFC 6750, RFC 9449 §7, RFC 8705 §3)."""

from __future__ import annotations

from broker.errors import InvalidAccessToken, InvalidClient, InvalidDPoPProof, InvalidRequest, InvalidToken
from broker.flows.call import Call
from broker.flows.own_token import read_access_token
from broker.flows.ports import Ports, Transaction
from broker.flows.sender import judge_proof
from broker.oidc.mtls import from_escaped_pem, is_bound_to
from broker.oidc.tokens import AccessToken, check_access_token

MAX_CREDENTIALS = 16 * 1024 + 16


def present(tx: Transaction, call: Call, *, ports: Ports) -> AccessToken:
    """The token of this call, alive, for us, and shown by who it is bound to; a proof is used up in the caller's unit.

    In the Authorization header only (FAPI 2.0 §5.3.4). Raises InvalidAccessToken, InvalidRequest, InvalidDPoPProof,
    UseDPoPNonce.
    """
    if any(name == "access_token" for name, _ in call.pairs):
        if call.authorization:
            raise InvalidRequest("one way to send an access token")
        raise InvalidAccessToken("an access token is taken in the Authorization header only")
    scheme, credentials = _credentials(call)
    stored = _stored(tx, credentials, ports=ports)
    if stored.actor:
        raise InvalidAccessToken("made for acting for somebody else, and not at our own endpoints")
    if stored.jkt is not None:
        if scheme != "dpop":
            raise InvalidAccessToken("this token is bound to a DPoP key: Authorization is of the scheme DPoP")
        proof = judge_proof(call, access_token=credentials, ports=ports)
        if proof is None:
            raise InvalidDPoPProof("exactly one DPoP proof is required")
        if proof.jkt != stored.jkt:  # the proof is good, the token is not its (RFC 9449 §7.1: invalid_token)
            raise InvalidAccessToken("this token is bound to another DPoP key")
        if not tx.proofs.use(proof):
            raise InvalidDPoPProof("the proof was used before")
    elif scheme == "dpop":
        raise InvalidAccessToken("this token is not bound to a DPoP key")
    if stored.x5t is not None and not is_bound_to(_certificate(call), stored.x5t):
        raise InvalidAccessToken("this token is bound to another client certificate")
    return stored


def _credentials(call: Call) -> tuple[str, str]:
    if len(call.authorization) != 1 or len(call.authorization[0]) > MAX_CREDENTIALS:
        raise InvalidAccessToken("no access token")
    scheme, _, credentials = call.authorization[0].partition(" ")
    if scheme.lower() not in {"bearer", "dpop"} or not credentials.strip(" "):
        raise InvalidAccessToken("no access token")
    return scheme.lower(), credentials.strip(" ")


def _stored(tx: Transaction, token: str, *, ports: Ports) -> AccessToken:
    now = ports.clock()
    try:
        claims = read_access_token(token, ports=ports)
    except InvalidToken as invalid:
        raise InvalidAccessToken("not a token of ours") from invalid
    stored = tx.tokens.get(check_access_token(claims, issuer=ports.policy.issuer, now=now), now=now)
    if stored is None:
        raise InvalidAccessToken("ended or unknown")
    return stored


def _certificate(call: Call) -> bytes | None:
    try:
        return from_escaped_pem(call.certificate)
    except InvalidClient as broken:
        raise InvalidAccessToken("the client certificate cannot be read") from broken
