"""What the userinfo endpoint answers (OIDC Core §5.3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from broker.accounts.activity import Activity, How, Kind, daily
from broker.errors import InvalidAccessToken
from broker.flows import joints, links, mandate_answers, proofing
from broker.flows.attributes import released
from broker.flows.call import Call
from broker.flows.envelope import encrypted_for, signed_for
from broker.flows.mandate_claims import told_authority
from broker.flows.ports import Ports, Transaction
from broker.flows.protected import present
from broker.oidc import claims_request
from broker.oidc.claims import userinfo_claims
from broker.oidc.claims_request import Place
from broker.oidc.grants import Grant
from broker.oidc.tokens import AccessToken


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
        proof = None if grant is None else proofing.told(tx, grant, ports=ports)
        linked = None if grant is None else links.told(tx, grant, token.scope, ports=ports)
        still = mandate_answers.standing(tx, token.authorization_details, client=client, now=now, ports=ports)
        stated = None if grant is None else joints.told(tx, grant, token.scope, ports=ports)
        claims = userinfo_claims(
            token,
            grant,
            issuer=ports.policy.issuer,
            now=now,
            proof=proof,
            linked=linked,
            stated=stated,
            authority=told_authority(still.authority, issuer=ports.policy.issuer, now=now),
        )
        claims = _registered(tx, token, grant, now=now, ports=ports) | claims
        _note_reading(tx, token, claims, now=now)
    if client.userinfo_alg is None:
        if client.userinfo_encryption is None:
            return UserInfo(claims=claims)
        return UserInfo(claims=claims, token=encrypted_for(client, claims, client.userinfo_encryption, ports=ports))
    addressed = {"iss": ports.policy.issuer, "aud": client.client_id, **claims}  # OIDC Core §5.3.2
    token_ = signed_for(
        client, addressed, alg=client.userinfo_alg, encryption=client.userinfo_encryption, typ="JWT", ports=ports
    )
    return UserInfo(claims=claims, token=token_)


def _registered(
    tx: Transaction, token: AccessToken, grant: Grant | None, *, now: datetime, ports: Ports
) -> dict[str, Any]:
    """What the person has registered of the attributes that they let this client know."""
    if token.account is None or grant is None or not token.scope & claims_request.ATTRIBUTE_SCOPES:
        return {}
    told = released(tx, token.account, token.scope & grant.scope, ports=ports)
    asked = claims_request.from_json(grant.claims) if grant.claims else claims_request.NOTHING
    return claims_request.select(asked, Place.USERINFO, told, now=now)


def _note_reading(tx: Transaction, token: AccessToken, claims: Mapping[str, Any], *, now: datetime) -> None:
    """The person sees that more than their pseudonym was read: once a token, and one row a day and grant (R18)."""
    items = claims.keys() - {"sub"}
    if not items or token.account is None or token.grant_id is None or not tx.tokens.first_reading(token.jti, now=now):
        return
    tx.activities.note(
        Activity(
            account=token.account,
            client_id=token.client_id,
            kind=Kind.READING,
            how=How.SERVICE,
            items=tuple(sorted(items)),
            at=now,
            grant_id=token.grant_id,
            repeats=daily(Kind.READING, token.grant_id, now),
        )
    )
