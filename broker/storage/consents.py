"""What residents allowed clients to receive (ports.ConsentStore)."""

from __future__ import annotations

from sqlalchemy import bindparam, insert, select

from broker.ids import AccountID, ClientID
from broker.oidc.consent import Consent
from broker.storage.schema import consent_history, consents
from broker.storage.work import Work, per_engine

_GET = select(consents.c.scope, consents.c.granted_at).where(
    consents.c.account == bindparam("b_account"),
    consents.c.client_id == bindparam("b_client_id"),
    consents.c.withdrawn_at.is_(None),
)
_GIVE = per_engine(
    lambda insert_into: (new := insert_into(consents)).on_conflict_do_update(
        index_elements=["account", "client_id"],
        set_={"scope": new.excluded.scope, "granted_at": new.excluded.granted_at, "withdrawn_at": None},
    )
)
_REMEMBER = insert(consent_history)


class SQLConsents:
    """Fulfils ports.ConsentStore."""

    __slots__ = ("_work",)

    def __init__(self, work: Work) -> None:
        self._work = work

    def get(self, account: AccountID, client_id: ClientID) -> Consent | None:
        row = self._work.read(_GET, b_account=account, b_client_id=client_id).one_or_none()
        if row is None:
            return None
        return Consent(client_id=client_id, scope=frozenset(row.scope.split()), granted_at=row.granted_at)

    def give(self, account: AccountID, consent: Consent) -> None:
        given = {
            "account": account,
            "client_id": consent.client_id,
            "scope": " ".join(sorted(consent.scope)),
            "granted_at": consent.granted_at,
        }
        self._work.write(_GIVE, **given)
        self._work.write(_REMEMBER, **given)
