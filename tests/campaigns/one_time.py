"""Every thing of the provider that works once: how many are laid out, and what who wins one of them writes.

Who redeems does in one unit of work what the flow does: consume, and where that succeeded issue what it brings with its
audit row. So what stands in the tables afterwards tells how often each was won, whatever the redeemers believe.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

from broker.audit.entry import Entry, Event
from broker.flows.ports import Transaction
from broker.ids import AccountID, ClientID, GrantID, Subject
from broker.oidc.approval import Approval
from broker.oidc.client_authentication import Assertion
from broker.oidc.dpop import Proof
from broker.oidc.refresh import RefreshToken
from broker.oidc.tokens import AccessToken
from broker.storage.store import SQLStore
from tests.contracts import records
from tests.contracts.records import MINUTE, NOW


@dataclass(frozen=True, slots=True, kw_only=True)
class OneTime:
    """One kind. An item is text: what redeemers in other processes know it by."""

    lay_out: Callable[[Transaction, records.LoggedIn], str]
    consume: Callable[[Transaction, str], bool]


def _lay_out_code(tx: Transaction, login: records.LoggedIn) -> str:
    code = login.code()
    tx.codes.issue(code)
    return code.digest.hex()


def _consume_code(tx: Transaction, item: str) -> bool:
    code = tx.codes.consume(bytes.fromhex(item), now=NOW)
    if code is None:
        return False
    grant = code.grant
    tx.tokens.issue(_token(grant.client_id, grant.account, grant.grant_id))
    return True


def _token(client_id: ClientID, account: str, grant_id: str) -> AccessToken:
    return AccessToken(
        jti=records.name(),
        client_id=client_id,
        account=AccountID(account),
        subject=Subject("of a race"),
        scope=frozenset({"openid"}),
        audience=("https://broker.example",),
        grant_id=GrantID(grant_id),
        issued_at=NOW,
        expires_at=NOW + 10 * MINUTE,
    )


def _refresh_token(grant_id: GrantID) -> RefreshToken:
    return RefreshToken(digest=records.digest(), grant_id=grant_id, issued_at=NOW, expires_at=NOW + timedelta(days=90))


def _lay_out_refresh_token(tx: Transaction, login: records.LoggedIn) -> str:
    grant = login.grant()
    tx.grants.open(grant)
    token = _refresh_token(grant.grant_id)
    tx.refresh_tokens.issue(token)
    return token.digest.hex()


def _consume_refresh_token(tx: Transaction, item: str) -> bool:
    """Rotation, as public clients have it: the next token of the family, and an access token."""
    held = tx.refresh_tokens.get(bytes.fromhex(item))
    assert held is not None
    if not tx.refresh_tokens.consume(held.digest, now=NOW):
        return False
    grant = tx.grants.get(held.grant_id)
    assert grant is not None
    tx.refresh_tokens.issue(_refresh_token(grant.grant_id))
    tx.tokens.issue(_token(grant.client_id, grant.account, grant.grant_id))
    return True


def _lay_out_pushed_request(tx: Transaction, login: records.LoggedIn) -> str:
    digest = records.digest()
    tx.pushed_requests.push(digest, records.request(login.client.client_id), expires_at=NOW + 5 * MINUTE)
    return digest.hex()


def _lay_out_device_code(tx: Transaction, login: records.LoggedIn) -> str:
    approval = Approval(
        digest=records.digest(),
        client_id=login.client.client_id,
        request=records.request(login.client.client_id),
        expires_at=NOW + 10 * MINUTE,
    )
    assert tx.device_codes.open(approval, user_code_digest=records.digest())
    assert tx.device_codes.approve(approval.digest, login.grant(), now=NOW)
    return approval.digest.hex()


def _consume_device_code(tx: Transaction, item: str) -> bool:
    """As polling does it: the row is held, what it says is judged, and then it is consumed."""
    digest = bytes.fromhex(item)
    held = tx.device_codes.hold(digest)
    assert held is not None
    grant = None if held.used else tx.device_codes.consume(digest, now=NOW)
    if grant is None:
        return False
    tx.tokens.issue(_token(grant.client_id, grant.account, grant.grant_id))
    return True


def _lay_out_auth_req_id(tx: Transaction, login: records.LoggedIn) -> str:
    approval = Approval(
        digest=records.digest(),
        client_id=login.client.client_id,
        request=records.request(login.client.client_id),
        expires_at=NOW + 10 * MINUTE,
    )
    tx.backchannel_requests.open(approval, account=login.credential.account, notification=None)
    assert tx.backchannel_requests.approve(approval.digest, login.grant(), now=NOW)
    return approval.digest.hex()


def _consume_auth_req_id(tx: Transaction, item: str) -> bool:
    grant = tx.backchannel_requests.consume(bytes.fromhex(item), now=NOW)
    if grant is None:
        return False
    tx.tokens.issue(_token(grant.client_id, grant.account, grant.grant_id))
    return True


def _assertion(item: str) -> Assertion:
    client_id, _, jti = item.partition(" ")
    return Assertion(client_id=ClientID(client_id), jti=jti, expires_at=NOW + MINUTE)


def _proof(item: str) -> Proof:
    return Proof(jkt="0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I", jti=item, iat=NOW, expires_at=NOW + MINUTE)


KINDS = {
    "code": OneTime(lay_out=_lay_out_code, consume=_consume_code),
    "refresh_token": OneTime(lay_out=_lay_out_refresh_token, consume=_consume_refresh_token),
    "request_uri": OneTime(
        lay_out=_lay_out_pushed_request, consume=lambda tx, item: tx.pushed_requests.use(bytes.fromhex(item), now=NOW)
    ),
    "device_code": OneTime(lay_out=_lay_out_device_code, consume=_consume_device_code),
    "auth_req_id": OneTime(lay_out=_lay_out_auth_req_id, consume=_consume_auth_req_id),
    "assertion_jti": OneTime(
        lay_out=lambda _, login: f"{login.client.client_id} {records.name()}",
        consume=lambda tx, item: tx.assertions.use(_assertion(item)),
    ),
    "proof_jti": OneTime(lay_out=lambda *_: records.name(), consume=lambda tx, item: tx.proofs.use(_proof(item))),
}


def _looked_at_first(tx: Transaction, item: str) -> bool:
    """The mistake that the campaign is there to find: a look, and a write that takes the look's word for it."""
    digest = bytes.fromhex(item)
    held = tx.refresh_tokens.get(digest)
    assert held is not None
    if held.used_at is not None:
        return False
    tx.refresh_tokens.consume(digest, now=NOW)
    return True


BROKEN = replace(KINDS["refresh_token"], consume=_looked_at_first)
"""For the test of the campaign itself."""


def redeem(kind: OneTime, store: SQLStore, item: str) -> bool:
    """Try one item, as a flow would; True when it was won. Raises StoreUnavailable."""
    with store.transaction() as tx:
        won = kind.consume(tx, item)
        if won:
            tx.audit.append(Entry(at=NOW, event=Event.TOKEN_ISSUED, reference=item))
    return won
