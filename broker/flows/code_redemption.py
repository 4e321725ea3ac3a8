"""The story of a code that comes back: once, by its client, with its verifier and its key (RFC 6749 §4.1.3)."""

from __future__ import annotations

from broker.audit.entry import Entry, Event
from broker.errors import InvalidGrant, ProtocolError
from broker.flows.issuance import end_replayed, redeem_grant
from broker.flows.ports import Ports, Transaction
from broker.flows.secret import digest
from broker.flows.token_request import Issued, TokenRequest, atomically
from broker.oidc.grants import CodeRequest, redeem


def redeem_code(request: TokenRequest, ports: Ports) -> Issued:
    """Tokens for a code. Raises InvalidRequest, InvalidGrant, InvalidTarget, InvalidAuthorizationDetails."""
    code_digest = digest(request.required("code"))
    return atomically(request, lambda tx: _redeem(tx, code_digest, request, ports), ports=ports)


def _redeem(tx: Transaction, code_digest: bytes, request: TokenRequest, ports: Ports) -> Issued | ProtocolError:
    """Consume the code; a refusal is answered, not raised, so that the consumption commits."""
    code = tx.codes.consume(code_digest, now=request.now)
    if code is None:
        replayed = tx.codes.used(code_digest)
        if replayed is not None:
            end_replayed(tx, replayed, request, Event.CODE_REPLAYED)
        return InvalidGrant("unknown or used code")
    asked = CodeRequest(
        client_id=request.client.client_id,
        redirect_uri=request.parameters.get("redirect_uri"),
        code_verifier=request.parameters.get("code_verifier"),
        jkt=request.sender.jkt,
    )
    try:
        grant = redeem(code, asked, now=request.now)
        # A login that another device approved has no session (flows.handover).
        if grant.session_digest is not None and tx.sessions.get(grant.session_digest) is None:
            raise InvalidGrant("the session has ended")
    except InvalidGrant as refusal:
        tx.audit.append(
            Entry(
                at=request.now,
                event=Event.TOKEN_REFUSED,
                client_id=request.client.client_id,
                account=code.grant.account,
                detail={"reason": str(refusal)},
            )
        )
        return refusal
    return redeem_grant(tx, grant, request, ports=ports)
