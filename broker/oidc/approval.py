"""What is approved on another device: a client asks again and again until it is (RFC 8628 §3.5, CIBA Core §11)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from broker.errors import (
    AccessDenied,
    AuthorizationPending,
    ExpiredToken,
    InvalidGrant,
    InvalidScope,
    ProofElsewhere,
    SlowDown,
    UnmetAuthenticationRequirements,
)
from broker.ids import ClientID
from broker.oidc import authorization
from broker.oidc.authorization import OFFLINE_ACCESS, AuthorizationRequest
from broker.oidc.claims_request import IDENTITY
from broker.oidc.client import Client, GrantType
from broker.oidc.sign_transaction import SCOPE as SIGN

INTERVAL: Final = 5
"""Seconds that a client waits between two questions (RFC 8628 §3.2)."""
SLOWER: Final = 5
"""Seconds by which that grows each time it does not (RFC 8628 §3.5)."""
JITTER: Final = timedelta(milliseconds=500)
"""How much earlier than the interval the network may bring a question that was asked in time."""
SCOPES: Final = authorization.SCOPES & {"openid", OFFLINE_ACCESS}
"""Nothing about the person: who looks at the other device is not proved, and the request was not pushed."""
ACR: Final = "aal2"
"""The card was fresh, but who looks at the other device is not proved (design 4.10)."""


UNSEEN: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")
"""Characters that nobody sees, or that turn the order of others: never in what a client has shown on our pages."""


class ApprovalState(StrEnum):
    """What the resident said."""

    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"


class DeviceKind(StrEnum):
    """What a device says it is (`device_kind`)."""

    TELEVISION = "television"
    SET_TOP_BOX = "set_top_box"
    GAME_CONSOLE = "game_console"
    COMPUTER = "computer"
    PRINTER = "printer"
    TERMINAL = "terminal"
    BROWSER = "browser"
    """One whose login is handed over: our own pages know that, and no client may say it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """The device that shows a user code. What it says of itself is not proved: anybody may begin with its client."""

    number: str = field(repr=False)
    """Two digits that stand on its screen behind the code and in no link: who types them has the screen in sight."""
    kind: DeviceKind | None = None
    place: str | None = None
    address: str | None = field(default=None, repr=False)
    """The keyed name of the network address it called from; None where its own is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """One request as stored; its device code or auth_req_id is kept only as SHA-256."""

    digest: bytes = field(repr=False)
    client_id: ClientID
    request: AuthorizationRequest
    state: ApprovalState = ApprovalState.PENDING
    interval: int = INTERVAL
    polled_at: datetime | None = None
    expires_at: datetime
    used: bool = False
    device: Device | None = None
    """With RFC 8628 alone."""


def granted_scope(parameters: Mapping[str, str], client: Client) -> frozenset[str]:
    """What a client gets that asks for somebody at another device.

    Raises InvalidScope where `openid` is missing, ProofElsewhere for what needs a proof of identity.
    """
    asked = frozenset(parameters.get("scope", "").split(" "))
    if "openid" not in asked:
        raise InvalidScope("scope must contain openid")
    if asked & {authorization.PROFILE, SIGN, *IDENTITY}:
        raise ProofElsewhere("who somebody is can be proved, and documents signed, only where the card is read")
    granted = asked & SCOPES & client.scope
    return granted if GrantType.REFRESH_TOKEN in client.grant_types else granted - {OFFLINE_ACCESS}


def handed_over(request: AuthorizationRequest, client: Client) -> AuthorizationRequest | None:
    """What another device approves of a login that began in a browser; None where it must end in that browser.

    Only for clients that serve devices anyway, and so know what `aal2` is worth; and for nothing that such a device
    could not have asked for, because who looks at the browser is not proved either.
    """
    if GrantType.DEVICE_CODE not in client.grant_types or not request.scope <= SCOPES:
        return None
    if request.elsewhere or request.authorization_details:
        return None
    if request.own is not None or request.link is not None or request.sign_transaction is not None:
        return None
    try:
        authorization.check_strength(request, {ACR})
    except UnmetAuthenticationRequirements:
        return None
    return replace(
        request,
        redirect_uri="",
        code_challenge="",
        state=None,
        response_mode="query",
        prompt=frozenset({"consent"}),
        dpop_jkt=None,
        pushed=None,
    )


def next_interval(approval: Approval, *, now: datetime) -> int:
    """How long the client has to wait from now on, in seconds: longer each time it asks too early."""
    return approval.interval + SLOWER if _too_early(approval, now) else approval.interval


def check(approval: Approval, *, client_id: ClientID, now: datetime) -> None:
    """Has the resident approved? `approval` is as it stood before this question.

    Raises InvalidGrant (another client's, or used), ExpiredToken, AccessDenied, SlowDown, AuthorizationPending.
    """
    if approval.client_id != client_id:
        raise InvalidGrant("issued to another client")
    if approval.used:
        raise InvalidGrant("used before")
    if now >= approval.expires_at:
        raise ExpiredToken("nobody approved in time")
    if approval.state is ApprovalState.DENIED:
        raise AccessDenied("the resident did not agree")
    if approval.state is ApprovalState.PENDING:
        if _too_early(approval, now):
            raise SlowDown(f"wait {next_interval(approval, now=now)} s between two questions")
        raise AuthorizationPending("the resident has not answered yet")


def _too_early(approval: Approval, now: datetime) -> bool:
    if approval.polled_at is None:
        return False
    return now - approval.polled_at < timedelta(seconds=approval.interval) - JITTER
