"""The story of a device without a keyboard: its code is typed where the resident has a card reader (RFC 8628).

begin    the device's program gets a device code and a user code
look     somebody typed a user code: which client asks?
approve  they said that it is their device: a login begins, whose end is the approval (flows.elsewhere)
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

from broker.errors import (
    AccessDenied,
    FormTokenInvalid,
    StoreUnavailable,
    TooManyRequests,
    UnknownClient,
    UserCodeUnknown,
)
from broker.flows import elsewhere
from broker.flows.authorization import Begun
from broker.flows.call import Call
from broker.flows.client_authentication import authenticate
from broker.flows.code import RefusedToClient
from broker.flows.login_ports import Interaction
from broker.flows.ports import Ports, Transaction
from broker.flows.rate import Rate, check_rate, window_start
from broker.flows.secret import digest, mint
from broker.ids import InteractionID, Secret
from broker.jose import b64url
from broker.oidc.approval import Approval
from broker.oidc.authorization import single_values
from broker.oidc.client import Client
from broker.oidc.device import LIFETIME, judge, mint_user_code, read_user_code, shown

STARTS: Final = Rate(limit=600, window=timedelta(minutes=1))
"""How many device codes one client may be given."""
WRONG_CODES: Final = Rate(limit=600, window=timedelta(minutes=10))
"""How many user codes that do not exist may be tried by everybody together: it bounds guessing (oidc.device.LENGTH)."""
WRONG_IN_ONE_BROWSER: Final = Rate(limit=5, window=timedelta(minutes=10))
"""And by one browser, as long as it keeps its cookie: who mistypes that often needs help, not another try."""
_TRIES_TO_MINT: Final = 5
_EVERYBODY: Final = "user-code"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceAuthorization:
    """RFC 8628 §3.2."""

    device_code: Secret = field(repr=False)
    user_code: str = field(repr=False)
    verification_uri: str
    interval: int

    def members(self) -> dict[str, Any]:
        """As sent."""
        return {
            "device_code": self.device_code,
            "user_code": self.user_code,
            "verification_uri": self.verification_uri,
            "verification_uri_complete": f"{self.verification_uri}?user_code={self.user_code}",
            "expires_in": int(LIFETIME.total_seconds()),
            "interval": self.interval,
        }


def begin(call: Call, *, ports: Ports) -> DeviceAuthorization:
    """Answer a device authorization request (RFC 8628 §3.1).

    Raises ProtocolError, TooManyRequests, StoreUnavailable.
    """
    parameters = single_values(call.pairs)
    who = authenticate(call, parameters, ports=ports)
    client = who.client
    request = judge(parameters, client)
    now = ports.clock()
    device_code = mint(ports.entropy)
    approval = Approval(
        digest=digest(device_code), client_id=client.client_id, request=request, expires_at=now + LIFETIME
    )
    with ports.store.transaction() as tx:
        check_rate(tx.attempts, f"device:{client.client_id}", STARTS, now=now)
        refusal = who.use_up(tx)
        user_code = None if refusal else _open(tx, approval, ports)
    if refusal is not None:
        raise refusal
    if user_code is None:
        raise StoreUnavailable("no free user code was found")
    return DeviceAuthorization(
        device_code=device_code,
        user_code=shown(user_code),
        verification_uri=f"{ports.policy.issuer}/device",
        interval=approval.interval,
    )


def _open(tx: Transaction, approval: Approval, ports: Ports) -> str | None:
    for _ in range(_TRIES_TO_MINT):
        user_code = mint_user_code(ports.entropy)
        if tx.device_codes.open(approval, user_code_digest=digest(user_code)):
            return user_code
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Which client a user code is from, and since when it asks."""

    user_code: str = field(repr=False)
    """As it is shown."""
    client: Client
    request_began_at: datetime
    ui_locales: str | None


def look(typed: str, *, browser: str, ports: Ports) -> Asked:
    """Whom a typed user code is from. `browser` is the secret this browser keeps for the page.

    Raises UserCodeUnknown (each time counted, unless it cannot be a code), TooManyRequests.
    """
    with ports.store.transaction() as tx:
        found = _found(tx, typed, browser=browser, now=ports.clock())
    if isinstance(found, UserCodeUnknown):
        raise found
    approval, client, user_code = found
    return Asked(
        user_code=user_code,
        client=client,
        request_began_at=approval.expires_at - LIFETIME,
        ui_locales=approval.request.ui_locales,
    )


def approve(typed: str, *, browser: str, ports: Ports) -> Begun:
    """They say that it is their own device: the login begins, and its consent page asks them again.

    Raises as `look`.
    """
    now = ports.clock()
    browser_secret = mint(ports.entropy)
    interaction_id = InteractionID(b64url(ports.entropy(24)))
    with ports.store.transaction() as tx:
        found = _found(tx, typed, browser=browser, now=now)
        if not isinstance(found, UserCodeUnknown):
            approval, _, _ = found
            tx.interactions.open(
                Interaction(
                    interaction_id=interaction_id,
                    request=replace(approval.request, device=approval.digest.hex()),
                    browser_digest=digest(browser_secret),
                    expires_at=approval.expires_at,
                )
            )
    if isinstance(found, UserCodeUnknown):
        raise found
    return Begun(interaction_id=interaction_id, browser_secret=browser_secret)


def deny(typed: str, *, browser: str, ports: Ports) -> RefusedToClient | elsewhere.AnsweredElsewhere:
    """They say that it is not: the device is told so. Raises as `look`."""
    now = ports.clock()
    with ports.store.transaction() as tx:
        found = _found(tx, typed, browser=browser, now=now)
        if not isinstance(found, UserCodeUnknown):
            approval, client, _ = found
            answered = elsewhere.decline(
                tx,
                replace(approval.request, device=approval.digest.hex()),
                client,
                AccessDenied("not the resident's device"),
                reference=None,
                now=now,
            )
    if isinstance(found, UserCodeUnknown):
        raise found
    return answered


def _found(
    tx: Transaction, typed: str, *, browser: str, now: datetime
) -> tuple[Approval, Client, str] | UserCodeUnknown:
    """What waits under a typed code. A wrong one is answered, not raised, so that its count commits.

    Once too many were wrong a right one is refused as well, else guessing would go on. Raises TooManyRequests.
    """
    own = f"{_EVERYBODY}:{digest(browser).hex()}"
    for name, rate in ((_EVERYBODY, WRONG_CODES), (own, WRONG_IN_ONE_BROWSER)):
        if tx.attempts.tried(name, window=rate.window, now=now) >= rate.limit:
            ends = window_start(now, rate.window) + rate.window
            raise TooManyRequests("too many wrong user codes", retry_after=ends - now)
    user_code = read_user_code(typed)
    if user_code is None:
        return UserCodeUnknown("not of the form of a user code")
    approval = tx.device_codes.pending(digest(user_code), now=now)
    if approval is None:
        for name, rate in ((_EVERYBODY, WRONG_CODES), (own, WRONG_IN_ONE_BROWSER)):
            tx.attempts.count_up(name, window=rate.window, now=now)
        return UserCodeUnknown("unknown, answered or run out")
    client = tx.clients.get(approval.client_id)
    if client is None:
        raise UnknownClient("client was removed")
    return approval, client, shown(user_code)


def form_token(browser: str) -> str:
    """Only a page shown to this browser can carry it (R5)."""
    return hmac.new(browser.encode(), b"device", hashlib.sha256).hexdigest()


def check_form(browser: str, given: str) -> None:
    """Raises FormTokenInvalid where the form is not the one this browser was shown."""
    if not hmac.compare_digest(form_token(browser).encode(), given.encode()):
        raise FormTokenInvalid("not the form of this browser")
