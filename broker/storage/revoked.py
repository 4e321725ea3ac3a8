"""Certificates once seen as revoked (ports.RevokedStore)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Row, bindparam, select

from broker.accounts.credential import CredentialKey
from broker.storage.schema import revoked_certificates
from broker.storage.work import Work, per_engine

_REMEMBER = per_engine(
    lambda insert_into: (new := insert_into(revoked_certificates)).on_conflict_do_update(
        index_elements=["issuer_key_hash", "serial_fingerprint"],
        set_={"reason": new.excluded.reason},
        where=revoked_certificates.c.reason == "superseded",
    )
)
_KNOWN = select(revoked_certificates.c.seen_at, revoked_certificates.c.reason).where(
    revoked_certificates.c.issuer_key_hash == bindparam("b_issuer_key_hash"),
    revoked_certificates.c.serial_fingerprint == bindparam("b_serial_fingerprint"),
)


class SQLRevoked:
    """Fulfils ports.RevokedStore."""

    __slots__ = ("_work",)

    def __init__(self, work: Work) -> None:
        self._work = work

    def remember(self, key: CredentialKey, *, not_after: datetime, now: datetime, reason: str = "unspecified") -> None:
        self._work.write(
            _REMEMBER,
            issuer_key_hash=key.issuer_key_hash,
            serial_fingerprint=key.serial_fingerprint,
            seen_at=now,
            not_after=not_after,
            reason=reason,
        )

    def since(self, key: CredentialKey) -> datetime | None:
        row = self._row(key)
        return None if row is None else row.seen_at

    def reason(self, key: CredentialKey) -> str | None:
        row = self._row(key)
        return None if row is None else row.reason

    def _row(self, key: CredentialKey) -> Row[Any] | None:
        row: Row[Any] | None = self._work.read(
            _KNOWN, b_issuer_key_hash=key.issuer_key_hash, b_serial_fingerprint=key.serial_fingerprint
        ).one_or_none()
        return row
