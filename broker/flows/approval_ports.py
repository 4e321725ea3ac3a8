"""The ports of what is approved on another device (RFC 8628, CIBA Core)."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from broker.ids import AccountID, ClientID, GrantID
from broker.oidc.approval import Approval
from broker.oidc.grants import Grant


class ApprovalStore(Protocol):
    """Found by the SHA-256 of the device code or auth_req_id."""

    def hold(self, digest: bytes) -> Approval | None:
        """As it stands, and nobody else may change it before the end of this unit of work; None when unknown."""

    def polled(self, digest: bytes, *, interval: int, now: datetime) -> None:
        """The client asked at `now` and has to wait `interval` seconds from now on."""

    def approve(self, digest: bytes, grant: Grant, *, now: datetime) -> bool:
        """Open the grant, if nobody has answered and it has not run out; one statement decides. False otherwise."""

    def deny(self, digest: bytes, *, now: datetime) -> bool:
        """As `approve`, with the other answer."""

    def consume(self, digest: bytes, *, now: datetime) -> Grant | None:
        """Mark an approved one used and answer its grant, in one statement: of two callers one gets None.

        None too where it is not approved, or the grant has ended.
        """

    def used(self, digest: bytes) -> GrantID | None:
        """The grant of one that has been consumed; None for every other."""


class DeviceCodeStore(ApprovalStore, Protocol):
    def open(self, approval: Approval, *, user_code_digest: bytes) -> bool:
        """False, and nothing changed, when the user code is taken."""

    def pending(self, user_code_digest: bytes, *, now: datetime) -> Approval | None:
        """The one that waits for an answer; None when unknown, run out or answered."""


class BackchannelRequestStore(ApprovalStore, Protocol):
    def open(self, approval: Approval, *, account: AccountID | None, notification: bytes | None) -> None:
        """`account` is None for somebody who is not known here: it waits until it runs out, like one nobody answers.

        `notification` is what the client is to be told with, sealed.
        """

    def pending(self, digest: bytes, *, now: datetime) -> Approval | None:
        """One that waits for the answer of a person who is known; None otherwise."""

    def claim(self, digest: bytes, *, most: int, now: datetime) -> tuple[ClientID, bytes] | None:
        """Count one try of telling the client that there is an answer: whom, and what `open` was given for it.

        One statement. None where there is no answer, nobody to tell, it was told, `most` tries were made, or it ran
        out.
        """

    def told(self, digest: bytes) -> None:
        """The client heard it: forget what it was told with."""

    def untold(self, *, most: int, now: datetime) -> tuple[bytes, ...]:
        """Those that `claim` would answer, some hundreds at most."""


class ClientPings(Protocol):
    def ping(self, url: str, *, auth_req_id: str, token: str) -> None:
        """Tell a client at its registered address, with the token it gave for this (CIBA Core §10.2).

        Raises OutboundRefused: an address that is not called (design 4.20); OutboundFailed: not 200 or 204 in 3 s.
        """
