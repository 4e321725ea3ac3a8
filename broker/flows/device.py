"""The story of a device without a keyboard: its code is typed where the resident has a card reader (RFC 8628).

begin    the device's program gets a device code and a user code
look     somebody typed a user code: which client asks, on what device, from where?
approve  they said that it is their device and typed the number on its screen: a login begins, whose end is the
         approval (flows.elsewhere)

The code that is scanned or sent as a link carries no number. Who approves has read it off the screen, so a picture of
a code that a stranger sends is not enough (RFC 10027).
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

from broker.accounts.individual_number import holds_one
from broker.errors import (
    AccessDenied,
    DeviceNumberWrong,
    FormTokenInvalid,
    NumberQuarantined,
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
from broker.oidc.approval import Approval, Device, DeviceKind
from broker.oidc.authorization import single_values
from broker.oidc.client import Client
from broker.oidc.device import (
    LIFETIME,
    described,
    judge,
    mint_number,
    mint_user_code,
    read_number,
    read_user_code,
    shown,
)

STARTS: Final = Rate(limit=600, window=timedelta(minutes=1))
"""How many device codes one client may be given."""
STARTS_FROM_ADDRESS: Final = Rate(limit=30, window=timedelta(minutes=1))
"""And one address, of a public client: its devices call by themselves, where others have one server for all."""
WRONG_CODES: Final = Rate(limit=600, window=timedelta(minutes=10))
"""How many user codes that do not exist may be tried by everybody together: it bounds guessing (oidc.device.LENGTH)."""
WRONG_IN_ONE_BROWSER: Final = Rate(limit=5, window=timedelta(minutes=10))
"""And by one browser, as long as it keeps its cookie: who mistypes that often needs help, not another try."""
WRONG_FROM_ADDRESS: Final = Rate(limit=20, window=timedelta(minutes=10))
"""And from one address, where it is known: behind it may stand a household or an office, or who throws cookies away."""
WRONG_NUMBERS: Final = Rate(limit=3, window=timedelta(minutes=10))
"""The third wrong number ends a code: who guesses meets it with a chance of 1 in 30."""
_TRIES_TO_MINT: Final = 5
_EVERYBODY: Final = "user-code"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceAuthorization:
    """RFC 8628 §3.2."""

    device_code: Secret = field(repr=False)
    user_code: str = field(repr=False)
    number: str = field(repr=False)
    verification_uri: str
    interval: int

    def members(self) -> dict[str, Any]:
        """As sent."""
        return {
            "device_code": self.device_code,
            "user_code": shown(self.user_code, self.number),
            "verification_uri": self.verification_uri,
            "verification_uri_complete": f"{self.verification_uri}?user_code={shown(self.user_code)}",
            "expires_in": int(LIFETIME.total_seconds()),
            "interval": self.interval,
        }


def begin(call: Call, *, ports: Ports) -> DeviceAuthorization:
    """Answer a device authorization request (RFC 8628 §3.1).

    Raises ProtocolError, NumberQuarantined, TooManyRequests, StoreUnavailable.
    """
    parameters = single_values(call.pairs)
    who = authenticate(call, parameters, ports=ports)
    client = who.client
    request = judge(parameters, client)
    kind, place = described(parameters)
    if place is not None and holds_one(place):
        raise NumberQuarantined("device_place holds what may be an individual number")
    device = Device(number=mint_number(ports.entropy), kind=kind, place=place, address=named(call.address, ports))
    now = ports.clock()
    device_code = mint(ports.entropy)
    approval = Approval(
        digest=digest(device_code),
        client_id=client.client_id,
        request=request,
        expires_at=now + LIFETIME,
        device=device,
    )
    with ports.store.transaction() as tx:
        check_rate(tx.attempts, f"device:{client.client_id}", STARTS, now=now)
        if device.address is not None and client.public:
            check_rate(tx.attempts, f"device-from:{device.address}", STARTS_FROM_ADDRESS, now=now)
        refusal = who.use_up(tx)
        user_code = None if refusal else _open(tx, approval, ports)
    if refusal is not None:
        raise refusal
    if user_code is None:
        raise StoreUnavailable("no free user code was found")
    return DeviceAuthorization(
        device_code=device_code,
        user_code=user_code,
        number=device.number,
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
    """Which client a user code is from, on what device, and since when it asks."""

    user_code: str = field(repr=False)
    """As it is shown, without its number."""
    number: str | None = field(repr=False)
    """The one on the device's screen where the person typed it; else they are asked for it."""
    client: Client
    kind: DeviceKind | None
    place: str | None
    same_network: bool | None
    """Whether the device and this browser call from one address; None where either is not known."""
    request_began_at: datetime
    ui_locales: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Waiting:
    approval: Approval
    client: Client
    user_code: str = field(repr=False)
    typed_number: str | None = field(repr=False)

    @property
    def number(self) -> str | None:
        """None for a code from before there were numbers: nobody can type it."""
        return None if self.approval.device is None else self.approval.device.number


_Refused = UserCodeUnknown | DeviceNumberWrong


def look(typed: str, *, browser: str, address: str | None = None, ports: Ports) -> Asked:
    """Whom a typed user code is from. `browser` is the secret this browser keeps for the page.

    Raises UserCodeUnknown (each time counted, unless it cannot be a code), DeviceNumberWrong where a number stood
    behind it that is another one (counted, and at the third the code is dead), TooManyRequests.
    """
    now = ports.clock()
    with ports.store.transaction() as tx:
        found: _Waiting | _Refused = _found(tx, typed, browser=browser, address=address, now=now, ports=ports)
        if isinstance(found, _Waiting) and found.typed_number is not None:
            found = _numbered(tx, found, found.typed_number, now=now)
    if isinstance(found, _Refused):
        raise found
    device = found.approval.device
    own = named(address, ports)
    known = device is not None and device.address is not None and own is not None
    return Asked(
        user_code=shown(found.user_code),
        number=found.typed_number,
        client=found.client,
        kind=None if device is None else device.kind,
        place=None if device is None else device.place,
        same_network=device.address == own if known and device is not None else None,
        request_began_at=found.approval.expires_at - LIFETIME,
        ui_locales=found.approval.request.ui_locales,
    )


def approve(typed: str, number: str, *, browser: str, address: str | None = None, ports: Ports) -> Begun:
    """They say that it is their own device, whose screen shows `number`: the login begins, and its consent page asks
    them again.

    Raises as `look`.
    """
    now = ports.clock()
    browser_secret = mint(ports.entropy)
    interaction_id = InteractionID(b64url(ports.entropy(24)))
    with ports.store.transaction() as tx:
        found: _Waiting | _Refused = _found(tx, typed, browser=browser, address=address, now=now, ports=ports)
        if isinstance(found, _Waiting):
            found = _numbered(tx, found, number, now=now)
        if isinstance(found, _Waiting):
            tx.interactions.open(
                Interaction(
                    interaction_id=interaction_id,
                    request=replace(found.approval.request, device=found.approval.digest.hex()),
                    browser_digest=digest(browser_secret),
                    expires_at=found.approval.expires_at,
                )
            )
    if isinstance(found, _Refused):
        raise found
    return Begun(interaction_id=interaction_id, browser_secret=browser_secret)


def deny(
    typed: str, *, browser: str, address: str | None = None, ports: Ports
) -> RefusedToClient | elsewhere.AnsweredElsewhere:
    """They say that it is not: the device is told so. Raises UserCodeUnknown, TooManyRequests."""
    now = ports.clock()
    with ports.store.transaction() as tx:
        found = _found(tx, typed, browser=browser, address=address, now=now, ports=ports)
        if isinstance(found, _Waiting):
            answered = _decline(tx, found, AccessDenied("not the resident's device"), now=now)
    if isinstance(found, UserCodeUnknown):
        raise found
    return answered


def _decline(
    tx: Transaction, found: _Waiting, cause: AccessDenied, *, now: datetime
) -> RefusedToClient | elsewhere.AnsweredElsewhere:
    request = replace(found.approval.request, device=found.approval.digest.hex())
    return elsewhere.decline(tx, request, found.client, cause, reference=None, now=now)


def _numbered(tx: Transaction, found: _Waiting, given: str, *, now: datetime) -> _Waiting | _Refused:
    """`found` where the number is the one on the device's screen. A wrong one is answered, so that its count commits;
    at the third the device is told no, as if somebody had said that it is not theirs."""
    number = read_number(given)
    if number is None:
        return DeviceNumberWrong("not two digits")
    if found.number is not None and hmac.compare_digest(number, found.number):
        return replace(found, typed_number=number)
    name = f"device-number:{found.approval.digest.hex()}"
    if tx.attempts.count_up(name, window=WRONG_NUMBERS.window, now=now) < WRONG_NUMBERS.limit:
        return DeviceNumberWrong("not the number on the device's screen")
    _decline(tx, found, AccessDenied("the number on the device was not known"), now=now)
    return UserCodeUnknown("too many wrong numbers: the device was told no")


def named(address: str | None, ports: Ports) -> str | None:
    """What is kept of an address: only whether two are the same can be told from it."""
    return None if address is None else ports.keys.keyed_digest(address.encode(), label=b"network address").hex()


def _found(
    tx: Transaction, typed: str, *, browser: str, address: str | None, now: datetime, ports: Ports
) -> _Waiting | UserCodeUnknown:
    """What waits under a typed code. A wrong one is answered, not raised, so that its count commits.

    Once too many were wrong a right one is refused as well, else guessing would go on. Raises TooManyRequests.
    """
    bounds = [(_EVERYBODY, WRONG_CODES), (f"{_EVERYBODY}:{digest(browser).hex()}", WRONG_IN_ONE_BROWSER)]
    if address is not None:
        bounds.append((f"{_EVERYBODY}-from:{named(address, ports)}", WRONG_FROM_ADDRESS))
    for name, rate in bounds:
        if tx.attempts.tried(name, window=rate.window, now=now) >= rate.limit:
            ends = window_start(now, rate.window) + rate.window
            raise TooManyRequests("too many wrong user codes", retry_after=ends - now)
    read = read_user_code(typed)
    if read is None:
        return UserCodeUnknown("not of the form of a user code")
    user_code, typed_number = read
    approval = tx.device_codes.pending(digest(user_code), now=now)
    if approval is None:
        for name, rate in bounds:
            tx.attempts.count_up(name, window=rate.window, now=now)
        return UserCodeUnknown("unknown, answered or run out")
    client = tx.clients.get(approval.client_id)
    if client is None:
        raise UnknownClient("client was removed")
    return _Waiting(approval=approval, client=client, user_code=user_code, typed_number=typed_number)


def form_token(browser: str) -> str:
    """Only a page shown to this browser can carry it (R5)."""
    return hmac.new(browser.encode(), b"device", hashlib.sha256).hexdigest()


def check_form(browser: str, given: str) -> None:
    """Raises FormTokenInvalid where the form is not the one this browser was shown."""
    if not hmac.compare_digest(form_token(browser).encode(), given.encode()):
        raise FormTokenInvalid("not the form of this browser")
