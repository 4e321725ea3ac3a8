"""What the userinfo endpoint answers (OIDC Core §5.3)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from broker.errors import InvalidAccessToken
from broker.flows.call import Call
from broker.flows.envelope import encrypted_for, signed_for
from broker.flows.ports import Ports
from broker.flows.protected import present
from broker.oidc.claims import userinfo_claims


@dataclass(frozen=True, slots=True, kw_only=True)
class UserInfo:
    """Plain claims, or what was signed or encrypted for the client."""

    claims: dict[str, Any] = field(repr=False)
    token: str | None = field(default=None, repr=False)


def userinfo(call: Call, *, ports: Ports) -> UserInfo:
    """Raises InvalidAccessToken, InsufficientScope, InvalidRequest, InvalidDPoPProof, UseDPoPNonce."""
    now = ports.clock()
    with ports.store.transaction() as tx:
        token = present(tx, call, ports=ports)
        grant = None if token.grant_id is None else tx.grants.get(token.grant_id)
        client = tx.clients.get(token.client_id)
        if client is None:
            raise InvalidAccessToken("the client was removed")
        claims = userinfo_claims(token, grant, issuer=ports.policy.issuer, now=now)
    if client.userinfo_alg is None:
        if client.userinfo_encryption is None:
            return UserInfo(claims=claims)
        return UserInfo(claims=claims, token=encrypted_for(client, claims, client.userinfo_encryption, ports=ports))
    addressed = {"iss": ports.policy.issuer, "aud": client.client_id, **claims}  # OIDC Core §5.3.2
    token_ = signed_for(
        client, addressed, alg=client.userinfo_alg, encryption=client.userinfo_encryption, typ="JWT", ports=ports
    )
    return UserInfo(claims=claims, token=token_)
