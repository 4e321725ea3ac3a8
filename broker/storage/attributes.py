"""What residents have registered, sealed (people_ports.AttributeStore)."""

from __future__ import annotations

from sqlalchemy import bindparam, delete, select

from broker.flows.people_ports import SealedAttribute
from broker.ids import AccountID
from broker.storage.schema import attributes
from broker.storage.work import Work, per_engine

_of_account = attributes.c.account == bindparam("b_account")
_OF = select(attributes).where(_of_account).order_by(attributes.c.name)
_PUT = per_engine(
    lambda insert: (new := insert(attributes)).on_conflict_do_update(
        index_elements=["account", "name"],
        set_={"sealed": new.excluded.sealed, "changed_at": new.excluded.changed_at},
    )
)
_REMOVE = delete(attributes).where(_of_account, attributes.c.name == bindparam("b_name")).returning(attributes.c.name)
_FORGET = delete(attributes).where(_of_account)


class SQLAttributes:
    """Fulfils people_ports.AttributeStore."""

    __slots__ = ("_work",)

    def __init__(self, work: Work) -> None:
        self._work = work

    def of(self, account: AccountID) -> tuple[SealedAttribute, ...]:
        return tuple(
            SealedAttribute(account=AccountID(row.account), name=row.name, sealed=row.sealed, changed_at=row.changed_at)
            for row in self._work.read(_OF, b_account=account).all()
        )

    def put(self, attribute: SealedAttribute) -> None:
        self._work.write(
            _PUT,
            account=attribute.account,
            name=attribute.name,
            sealed=attribute.sealed,
            changed_at=attribute.changed_at,
        )

    def remove(self, account: AccountID, name: str) -> bool:
        return self._work.changes(_REMOVE, b_account=account, b_name=name)

    def forget(self, account: AccountID) -> None:
        self._work.write(_FORGET, b_account=account)
