"""Whom an `id_token_hint` names (OIDC Core §3.1.2.1, RP-Initiated Logout §2, CIBA Core §7.1)."""

from __future__ import annotations

from dataclasses import dataclass, field

from broker.accounts.session import Session
from broker.errors import InvalidToken
from broker.flows.ports import KeyUse, Ports
from broker.ids import ClientID, SessionID, Subject
from broker.jose import parse_claims, verify_jws
from broker.oidc.client_authentication import ALGORITHMS


@dataclass(frozen=True, slots=True, kw_only=True)
class Hint:
    """What an ID token of ours says of whom it was for."""

    client_id: ClientID
    subject: Subject = field(repr=False)
    session_id: SessionID | None
    """None where no browser session stood behind it."""

    def names(self, session: Session) -> bool:
        """Is this a session of the same person at the same client? (Not only the one it was issued in.)"""
        return (session.client_id, session.subject) == (self.client_id, self.subject)


def read_hint(hint: str, *, ports: Ports) -> Hint:
    """The client and the person of an ID token that we signed. An expired one still is a hint. Raises InvalidToken."""
    jwks = ports.keys.jwks(KeyUse.ID_TOKEN)
    claims = parse_claims(verify_jws(hint, jwks=jwks, algorithms=ALGORITHMS))
    audience, subject, session_id = claims.get("aud"), claims.get("sub"), claims.get("sid")
    if claims.get("iss") != ports.policy.issuer or not isinstance(audience, str) or not isinstance(subject, str):
        raise InvalidToken("not an ID token of ours")
    return Hint(
        client_id=ClientID(audience),
        subject=Subject(subject),
        session_id=SessionID(session_id) if isinstance(session_id, str) else None,
    )
