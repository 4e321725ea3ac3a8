"""The story of a client that asks until what it waits for is approved (RFC 8628 §3.4, CIBA Core §10.1)."""

from __future__ import annotations

from broker.audit.entry import Event
from broker.errors import InvalidGrant, ProtocolError, UnsupportedGrantType
from broker.flows.approval_ports import ApprovalStore
from broker.flows.issuance import end_replayed, redeem_grant
from broker.flows.ports import Ports, Transaction
from broker.flows.secret import digest
from broker.flows.token_request import Issued, TokenRequest, atomically
from broker.oidc.approval import check, next_interval


def redeem_device_code(request: TokenRequest, ports: Ports) -> Issued:
    """Tokens for a device code. Raises InvalidRequest and what `oidc.approval.check` raises."""
    asked = digest(request.required("device_code"))
    return atomically(request, lambda tx: _redeem(tx, tx.device_codes, asked, request, ports), ports=ports)


def redeem_backchannel(request: TokenRequest, ports: Ports) -> Issued:
    """Tokens for an auth_req_id (CIBA Core §10.1). Raises as `redeem_device_code`, and UnsupportedGrantType."""
    if not ports.policy.approver_channel:
        raise UnsupportedGrantType("no approver channel: CIBA is off")
    asked = digest(request.required("auth_req_id"))
    return atomically(request, lambda tx: _redeem(tx, tx.backchannel_requests, asked, request, ports), ports=ports)


def _redeem(
    tx: Transaction, store: ApprovalStore, asked: bytes, request: TokenRequest, ports: Ports
) -> Issued | ProtocolError:
    """The grant, once, or why not (yet). A refusal is answered, not raised: how long to wait commits with it."""
    approval = store.hold(asked)
    if approval is None:
        return InvalidGrant("unknown code")
    client = request.client
    try:
        check(approval, client_id=client.client_id, now=request.now)
    except ProtocolError as refusal:
        if approval.client_id != client.client_id:
            return refusal
        if not approval.used:
            store.polled(asked, interval=next_interval(approval, now=request.now), now=request.now)
        elif client.public and (brought := store.used(asked)) is not None:
            # In strange hands, perhaps. A client that proves who it is has only repeated itself.
            end_replayed(tx, brought, request, Event.CODE_REPLAYED)
        return refusal
    grant = store.consume(asked, now=request.now)
    if grant is None:
        return InvalidGrant("what was approved has ended")
    return redeem_grant(tx, grant, request, ports=ports)
