"""Whom an `id_token_hint` names (OIDC Core §3.1.2.1, RP-Initiated Logout §2, CIBA Core §7.1)."""

from __future__ import annotations

from broker.errors import InvalidToken
from broker.flows.ports import KeyUse, Ports
from broker.ids import ClientID, Subject
from broker.jose import parse_claims, verify_jws
from broker.oidc.client_authentication import ALGORITHMS


def read_hint(hint: str, *, ports: Ports) -> tuple[ClientID, Subject]:
    """The client and the person of an ID token that we signed. An expired one still is a hint. Raises InvalidToken."""
    jwks = ports.keys.jwks(KeyUse.ID_TOKEN)
    claims = parse_claims(verify_jws(hint, jwks=jwks, algorithms=ALGORITHMS))
    audience, subject = claims.get("aud"), claims.get("sub")
    if claims.get("iss") != ports.policy.issuer or not isinstance(audience, str) or not isinstance(subject, str):
        raise InvalidToken("not an ID token of ours")
    return ClientID(audience), Subject(subject)
