"""Joint transactions as they are kept, and the port that keeps them (`tests/contracts/` holds every engine to it)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from broker.ids import AccountID, ClientID, GrantID, JointID, Subject
from broker.oidc.joint import State


@dataclass(frozen=True, slots=True, kw_only=True)
class JointTransaction:
    """One matter between a doctor and a patient at one client. The two accounts stay two."""

    joint_id: JointID
    client_id: ClientID
    state: State
    order_sealed: bytes = field(repr=False)
    """What it is for, and which licence is wanted."""
    created_at: datetime
    expires_at: datetime
    """Until when the next card may come; afterwards nothing of it can go on."""
    professional_account: AccountID | None = field(default=None, repr=False)
    professional_subject: Subject | None = field(default=None, repr=False)
    professional_grant: GrantID | None = None
    licence_sealed: bytes | None = field(default=None, repr=False)
    patient_subject: Subject | None = field(default=None, repr=False)
    patient_grant: GrantID | None = None
    completed_at: datetime | None = None


class JointStore(Protocol):
    def open(self, joint: JointTransaction) -> None: ...

    def get(self, joint_id: JointID) -> JointTransaction | None:
        """None when unknown; one that has run out is answered until it is purged."""

    def of_grant(self, grant_id: GrantID) -> JointTransaction | None:
        """The one that this grant is half of."""

    def begin(
        self,
        joint_id: JointID,
        client_id: ClientID,
        *,
        account: AccountID,
        subject: Subject,
        grant_id: GrantID,
        licence_sealed: bytes,
        now: datetime,
        expires_at: datetime,
    ) -> bool:
        """The doctor's card came: of two callers exactly one gets True. False where it is not this client's, is not
        waiting for a doctor, or ran out. One statement decides.
        """

    def complete(
        self,
        joint_id: JointID,
        client_id: ClientID,
        *,
        account: AccountID,
        subject: Subject,
        grant_id: GrantID,
        now: datetime,
    ) -> bool:
        """The patient's card came, as above; False for the doctor's own account as well."""

    def end(self, joint_id: JointID, client_id: ClientID) -> bool:
        """True when it was neither complete nor ended. One statement decides."""
