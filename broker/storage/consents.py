"""What residents allowed clients to receive (people_ports.ConsentStore)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Integer, bindparam, delete, insert, select, update

from broker.flows.people_ports import ConsentRecord, HeldConsent
from broker.ids import AccountID, ClientID
from broker.oidc.consent import Consent
from broker.storage.schema import consent_history, consents
from broker.storage.work import Work, per_engine

_pair = (consents.c.account == bindparam("b_account")) & (consents.c.client_id == bindparam("b_client_id"))
_GET = select(consents).where(_pair, consents.c.withdrawn_at.is_(None))
_GIVE = per_engine(
    lambda insert_into: (new := insert_into(consents)).on_conflict_do_update(
        index_elements=["account", "client_id"],
        set_={
            "scope": new.excluded.scope,
            "declined": new.excluded.declined,
            "terms": new.excluded.terms,
            "granted_at": new.excluded.granted_at,
            "withdrawn_at": None,
        },
    )
)
_WITHDRAW = (
    update(consents)
    .where(_pair, consents.c.withdrawn_at.is_(None))
    .values(withdrawn_at=bindparam("b_now"))
    .returning(consents)
)
_RESTORE = (
    update(consents)
    .where(_pair, consents.c.withdrawn_at == bindparam("b_withdrawn_at"))
    .values(withdrawn_at=None)
    .returning(consents)
)
_OF = select(consents).where(consents.c.account == bindparam("b_account")).order_by(consents.c.client_id)
_REMEMBER = insert(consent_history)
_HISTORY = (
    select(consent_history)
    .where(consent_history.c.account == bindparam("b_account"))
    .order_by(consent_history.c.id.desc())
    .limit(bindparam("b_limit", type_=Integer))
)
_FORGET = tuple(delete(table).where(table.c.account == bindparam("b_account")) for table in (consents, consent_history))


class SQLConsents:
    """Fulfils people_ports.ConsentStore."""

    __slots__ = ("_work",)

    def __init__(self, work: Work) -> None:
        self._work = work

    def get(self, account: AccountID, client_id: ClientID) -> Consent | None:
        row = self._work.read(_GET, b_account=account, b_client_id=client_id).one_or_none()
        return None if row is None else _consent(row)

    def give(self, account: AccountID, consent: Consent, *, uses: str = "") -> None:
        given = {
            "account": account,
            "client_id": consent.client_id,
            "scope": _joined(consent.scope),
            "declined": _joined(consent.declined),
            "granted_at": consent.granted_at,
        }
        self._work.write(_GIVE, **given, terms=consent.terms)
        self._work.write(_REMEMBER, **given, event="given", uses=uses)

    def withdraw(self, account: AccountID, client_id: ClientID, *, now: datetime) -> Consent | None:
        row = self._work.write(_WITHDRAW, b_account=account, b_client_id=client_id, b_now=now).one_or_none()
        return None if row is None else self._remembered(row, "withdrawn", now)

    def restore(self, account: AccountID, client_id: ClientID, *, withdrawn_at: datetime, now: datetime) -> bool:
        row = self._work.write(
            _RESTORE, b_account=account, b_client_id=client_id, b_withdrawn_at=withdrawn_at
        ).one_or_none()
        return row is not None and self._remembered(row, "restored", now) is not None

    def of(self, account: AccountID) -> tuple[HeldConsent, ...]:
        return tuple(
            HeldConsent(account=AccountID(row.account), consent=_consent(row), withdrawn_at=row.withdrawn_at)
            for row in self._work.read(_OF, b_account=account).all()
        )

    def history(self, account: AccountID, *, limit: int) -> tuple[ConsentRecord, ...]:
        return tuple(
            ConsentRecord(
                account=AccountID(row.account),
                client_id=ClientID(row.client_id),
                event=row.event,
                scope=frozenset(row.scope.split()),
                declined=frozenset(row.declined.split()),
                uses=row.uses,
                at=row.granted_at,
            )
            for row in self._work.read(_HISTORY, b_account=account, b_limit=limit).all()
        )

    def forget(self, account: AccountID) -> None:
        for statement in _FORGET:
            self._work.write(statement, b_account=account)

    def _remembered(self, row: Any, event: str, now: datetime) -> Consent:
        self._work.write(
            _REMEMBER,
            account=row.account,
            client_id=row.client_id,
            scope=row.scope,
            declined=row.declined,
            granted_at=now,
            event=event,
            uses="",
        )
        return _consent(row)


def _joined(words: frozenset[str]) -> str:
    return " ".join(sorted(words))


def _consent(row: Any) -> Consent:
    return Consent(
        client_id=ClientID(row.client_id),
        scope=frozenset(row.scope.split()),
        granted_at=row.granted_at,
        declined=frozenset(row.declined.split()),
        terms=row.terms,
    )
