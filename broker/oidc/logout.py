"""What logout means to a relying party: RP-Initiated, Back-Channel and Front-Channel Logout 1.0, without a network.

The session-management iframe is left out: browsers keep third-party cookies from it, so it would answer wrongly.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from broker.errors import InvalidClientMetadata
from broker.ids import ClientID, SessionID, Subject
from broker.oidc.client import Client

LOGOUT_TOKEN_TYPE: Final = "logout+jwt"  # noqa: S105 -- Back-Channel §2.4, a media type and no secret
LOGOUT_TOKEN_LIFETIME: Final = timedelta(minutes=2)
"""What Back-Channel §4 recommends at most; each delivery is signed anew."""
LOGOUT_EVENT: Final = "http://schemas.openid.net/event/backchannel-logout"

DELIVERY_LIFETIME: Final = timedelta(hours=12)
"""How long a client that does not answer is told again: as long as a session of ours could have lived."""
_FIRST_WAIT: Final = timedelta(seconds=30)
_LONGEST_WAIT: Final = timedelta(hours=1)


def logout_token_claims(
    *, issuer: str, client_id: ClientID, subject: Subject, session_id: SessionID, jti: str, now: datetime
) -> dict[str, Any]:
    """Back-Channel §2.4. Both `sub` and `sid`, so that a client finds its session by whichever it kept; no `nonce`.

    Without `session_id` the person's every session there is meant.
    """
    told = {"sid": session_id} if session_id else {}
    return {
        "iss": issuer,
        "aud": client_id,
        "iat": int(now.timestamp()),
        "exp": int((now + LOGOUT_TOKEN_LIFETIME).timestamp()),
        "jti": jti,
        "sub": subject,
        **told,
        "events": {LOGOUT_EVENT: {}},
    }


def next_try(attempts: int, *, now: datetime, expires_at: datetime) -> datetime | None:
    """When a delivery that failed `attempts` times is tried again: the wait doubles up to an hour. None: given up."""
    wait = min(_FIRST_WAIT * 2 ** min(attempts - 1, 16), _LONGEST_WAIT)
    return now + wait if now + wait < expires_at else None


def return_address(registered: str, state: str | None) -> str:
    """A registered address with `state`, and nothing else, added (RP-Initiated §3)."""
    if state is None:
        return registered
    return f"{registered}{'&' if '?' in registered else '?'}{urlencode({'state': state})}"


def frame_address(client: Client, *, issuer: str, session_id: SessionID) -> str | None:
    """What the browser loads in a frame to end the client's own session (Front-Channel §2); None where it asked not."""
    uri = client.frontchannel_logout_uri
    if uri is None or not client.frontchannel_logout_session_required:
        return uri
    return f"{uri}{'&' if '?' in uri else '?'}{urlencode({'iss': issuer, 'sid': session_id})}"


def check_front_channel(client: Client, *, served: bool) -> None:
    """Refuse a frontchannel_logout_uri where the operator has not switched frames on, or of an origin that no redirect
    URI of the client has (Front-Channel §2). Raises InvalidClientMetadata.
    """
    if client.frontchannel_logout_uri is None:
        return
    if not served:
        raise InvalidClientMetadata("frontchannel_logout_uri: not served here; backchannel_logout_uri is")
    if origin(client.frontchannel_logout_uri) not in {origin(uri) for uri in client.redirect_uris}:
        raise InvalidClientMetadata("frontchannel_logout_uri: scheme, host and port of one of the redirect_uris")


def origin(uri: str) -> str:
    """Scheme, host and port (RFC 6454 §4), as the address spells them."""
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc}"
