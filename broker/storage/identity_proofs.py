"""What was proved of a resident, beside its grant (login_ports.IdentityProofStore)."""

from __future__ import annotations

from sqlalchemy import bindparam, insert, select

from broker.ids import GrantID
from broker.storage.schema import grants, identity_proofs
from broker.storage.work import Work

_KEEP = insert(identity_proofs)
_GET = (
    select(identity_proofs.c.sealed)
    .join(grants, grants.c.grant_id == identity_proofs.c.grant_id)
    .where(identity_proofs.c.grant_id == bindparam("b_grant_id"), grants.c.ended_at.is_(None))
)


class SQLIdentityProofs:
    """Fulfils login_ports.IdentityProofStore."""

    __slots__ = ("_work",)

    def __init__(self, work: Work) -> None:
        self._work = work

    def keep(self, grant_id: GrantID, sealed: bytes) -> None:
        self._work.write(_KEEP, grant_id=grant_id, sealed=sealed)

    def get(self, grant_id: GrantID) -> bytes | None:
        found: bytes | None = self._work.read(_GET, b_grant_id=grant_id).scalar_one_or_none()
        return found
