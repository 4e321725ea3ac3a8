"""The story of a token: an authenticated client turns what it was granted into tokens."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from broker.errors import UnauthorizedClient, UnsupportedGrantType
from broker.flows import links
from broker.flows.approval_redemption import redeem_backchannel, redeem_device_code
from broker.flows.call import Call
from broker.flows.client_authentication import authenticate
from broker.flows.client_credentials import own_token
from broker.flows.code_redemption import redeem_code
from broker.flows.envelope import check_envelope, signed_for
from broker.flows.mandate_claims import told_authority
from broker.flows.own_token import sign_access_token
from broker.flows.ports import KeyUse, Ports
from broker.flows.refresh import refresh
from broker.flows.sender import bind
from broker.flows.token_exchange import swap
from broker.flows.token_request import Issued, TokenRequest
from broker.oidc.authorization import single_values
from broker.oidc.claims import id_token_claims
from broker.oidc.client import Client, GrantType
from broker.oidc.narrowing import REPEATABLE
from broker.oidc.token_exchange import ACCESS_TOKEN
from broker.oidc.tokens import access_token_claims

GRANTS: Final[Mapping[str, Callable[[TokenRequest, Ports], Issued]]] = MappingProxyType(
    {
        GrantType.AUTHORIZATION_CODE: redeem_code,
        GrantType.REFRESH_TOKEN: refresh,
        GrantType.CLIENT_CREDENTIALS: own_token,
        GrantType.DEVICE_CODE: redeem_device_code,
        GrantType.CIBA: redeem_backchannel,
        GrantType.TOKEN_EXCHANGE: swap,
    }
)
"""Every grant that is served, and who judges it. Each issues in one unit of work (`token_request.atomically`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenResponse:
    """RFC 6749 §5.1 with the ID token of OIDC Core §3.1.3.3."""

    access_token: str = field(repr=False)
    token_type: str
    expires_in: int
    scope: str
    id_token: str | None = field(default=None, repr=False)
    refresh_token: str | None = field(default=None, repr=False)
    authorization_details: str = ""
    issued_token_type: str | None = None

    def members(self) -> dict[str, Any]:
        """As sent; what there is none of is left out."""
        told: dict[str, Any] = {
            "access_token": self.access_token,
            "token_type": self.token_type,
            "expires_in": self.expires_in,
            "scope": self.scope or None,
            "id_token": self.id_token,
            "refresh_token": self.refresh_token,
            "authorization_details": json.loads(self.authorization_details) if self.authorization_details else None,
            "issued_token_type": self.issued_token_type,
        }
        return {name: value for name, value in told.items() if value is not None}


def exchange(call: Call, *, ports: Ports) -> TokenResponse:
    """Answer a token request (RFC 6749 §3.2). Raises ProtocolError, StoreUnavailable, ClockBehind, RevocationUnknown.

    Proof, assertion and what is redeemed are used up, and the token and audit rows written, in one unit of work; what
    is signed afterwards is already accounted for (R16).
    """
    parameters = single_values(call.pairs, repeatable=REPEATABLE)
    who = authenticate(call, parameters, ports=ports)
    sender = bind(call, who, ports=ports)
    request = TokenRequest(who=who, sender=sender, parameters=parameters, now=ports.clock())
    grant_type = request.required("grant_type")
    if grant_type not in GRANTS:
        raise UnsupportedGrantType("no such grant is served")
    if grant_type not in who.client.grant_types:
        raise UnauthorizedClient("the client is not registered for this grant")
    check_envelope(who.client, alg=who.client.id_token_alg, encryption=who.client.id_token_encryption, ports=ports)
    issued = GRANTS[grant_type](request, ports)
    return _response(issued, who.client, exchanged=grant_type == GrantType.TOKEN_EXCHANGE, ports=ports)


def _response(issued: Issued, client: Client, *, exchanged: bool, ports: Ports) -> TokenResponse:
    token, grant = issued.token, issued.grant
    issuer = ports.policy.issuer
    id_token = None
    if grant is not None and "openid" in token.scope:
        id_token = signed_for(
            client,
            id_token_claims(
                grant,
                issuer=issuer,
                now=token.issued_at,
                scope=token.scope,
                proof=issued.proof,
                stated=issued.stated,
                linked=links.told_of(grant, token.scope, ports=ports),
                refreshed=issued.refreshed,
                authority=told_authority(issued.authority, issuer=issuer, now=token.issued_at),
            ),
            alg=client.id_token_alg,
            encryption=client.id_token_encryption,
            typ="JWT",
            ports=ports,
        )
    return TokenResponse(
        access_token=sign_access_token(
            access_token_claims(token, issuer=issuer, grant=grant), signer=ports.keys.signer(KeyUse.ACCESS_TOKEN)
        ),
        token_type=token.type,
        expires_in=int((token.expires_at - token.issued_at).total_seconds()),
        scope=" ".join(sorted(token.scope)),
        id_token=id_token,
        refresh_token=issued.refresh_token,
        authorization_details=token.authorization_details,
        issued_token_type=ACCESS_TOKEN if exchanged else None,
    )
