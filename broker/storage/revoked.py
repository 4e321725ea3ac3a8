"""Certificates once seen as revoked (ports.RevokedStore)."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import bindparam, select

from broker.accounts.credential import CredentialKey
from broker.storage.schema import revoked_certificates
from broker.storage.work import Work, per_engine

_REMEMBER = per_engine(
    lambda insert_into: insert_into(revoked_certificates).on_conflict_do_nothing(
        index_elements=["issuer_key_hash", "serial_fingerprint"]
    )
)
_SINCE = select(revoked_certificates.c.seen_at).where(
    revoked_certificates.c.issuer_key_hash == bindparam("b_issuer_key_hash"),
    revoked_certificates.c.serial_fingerprint == bindparam("b_serial_fingerprint"),
)


class SQLRevoked:
    """Fulfils ports.RevokedStore."""

    __slots__ = ("_work",)

    def __init__(self, work: Work) -> None:
        self._work = work

    def remember(self, key: CredentialKey, *, not_after: datetime, now: datetime) -> None:
        self._work.write(
            _REMEMBER,
            issuer_key_hash=key.issuer_key_hash,
            serial_fingerprint=key.serial_fingerprint,
            seen_at=now,
            not_after=not_after,
        )

    def since(self, key: CredentialKey) -> datetime | None:
        seen: datetime | None = self._work.read(
            _SINCE, b_issuer_key_hash=key.issuer_key_hash, b_serial_fingerprint=key.serial_fingerprint
        ).scalar_one_or_none()
        return seen
