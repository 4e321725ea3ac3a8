"""Accounts, their certificates and their pseudonyms (ports.AccountStore)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sqlalchemy import LargeBinary, Row, Text, bindparam, delete, insert, select

from broker.accounts.credential import Credential, CredentialKey
from broker.ids import AccountID, CredentialID, SectorID, Subject
from broker.storage.schema import UTCDateTime, accounts, credentials, subjects
from broker.storage.work import Work, can_hold, per_engine

_by_key = (credentials.c.issuer_key_hash == bindparam("b_issuer_key_hash")) & (
    credentials.c.serial_fingerprint == bindparam("b_serial_fingerprint")
)
_CREDENTIAL = select(credentials).where(_by_key)
_ADD_ACCOUNT = insert(accounts)
_DROP_ACCOUNT = delete(accounts).where(accounts.c.account == bindparam("b_account"))
_ENROL = per_engine(
    lambda insert_into: (
        insert_into(credentials)
        .on_conflict_do_nothing(index_elements=["issuer_key_hash", "serial_fingerprint"])
        .returning(credentials.c.credential_id)
    )
)
_RENEW = per_engine(  # account and predecessor come out of the row that is followed, in the same statement
    lambda insert_into: (
        insert_into(credentials)
        .from_select(
            [
                "credential_id",
                "account",
                "issuer_key_hash",
                "serial_fingerprint",
                "serial_sealed",
                "kind",
                "not_after",
                "first_seen",
                "renews",
            ],
            select(
                bindparam("n_credential_id", type_=Text),
                credentials.c.account,
                bindparam("n_issuer_key_hash", type_=LargeBinary),
                bindparam("n_serial_fingerprint", type_=LargeBinary),
                bindparam("n_serial_sealed", type_=LargeBinary),
                bindparam("n_kind", type_=Text),
                bindparam("n_not_after", type_=UTCDateTime),
                bindparam("n_first_seen", type_=UTCDateTime),
                credentials.c.credential_id,
            ).where(_by_key),
        )
        .on_conflict_do_nothing()
        .returning(credentials.c.account)
    )
)
_HOLDER = select(subjects.c.account).where(
    subjects.c.sector == bindparam("b_sector"), subjects.c.subject == bindparam("b_subject")
)
_SUBJECT = select(subjects.c.subject).where(
    subjects.c.account == bindparam("b_account"), subjects.c.sector == bindparam("b_sector")
)
_ADD_SUBJECT = per_engine(
    lambda insert_into: (
        insert_into(subjects).on_conflict_do_nothing(index_elements=["account", "sector"]).returning(subjects.c.subject)
    )
)


class SQLAccounts:
    """Fulfils ports.AccountStore."""

    __slots__ = ("_work",)

    def __init__(self, work: Work) -> None:
        self._work = work

    def credential(self, key: CredentialKey) -> Credential | None:
        row = self._work.read(
            _CREDENTIAL, b_issuer_key_hash=key.issuer_key_hash, b_serial_fingerprint=key.serial_fingerprint
        ).one_or_none()
        return None if row is None else _credential(row)

    def enrol(self, credential: Credential) -> Credential:
        known = self.credential(credential.key)  # nearly every login: one indexed read and no write
        if known is not None:
            return known
        self._work.write(_ADD_ACCOUNT, account=credential.account, created_at=credential.first_seen)
        added = self._work.write(
            _ENROL,
            credential_id=credential.credential_id,
            account=credential.account,
            issuer_key_hash=credential.key.issuer_key_hash,
            serial_fingerprint=credential.key.serial_fingerprint,
            serial_sealed=credential.serial_sealed,
            kind=credential.kind,
            not_after=credential.not_after,
            first_seen=credential.first_seen,
        ).one_or_none()
        if added is not None:
            return credential
        self._work.write(_DROP_ACCOUNT, b_account=credential.account)
        first = self.credential(credential.key)
        if first is None:  # credentials are never deleted, and the conflict has committed
            raise LookupError("a credential that was enrolled is gone")
        return first

    def renew(self, predecessor: CredentialKey, credential: Credential) -> Credential | None:
        known = self.credential(credential.key)
        if known is not None:
            return known
        account = self._work.write(
            _RENEW,
            b_issuer_key_hash=predecessor.issuer_key_hash,
            b_serial_fingerprint=predecessor.serial_fingerprint,
            n_credential_id=credential.credential_id,
            n_issuer_key_hash=credential.key.issuer_key_hash,
            n_serial_fingerprint=credential.key.serial_fingerprint,
            n_serial_sealed=credential.serial_sealed,
            n_kind=credential.kind,
            n_not_after=credential.not_after,
            n_first_seen=credential.first_seen,
        ).scalar_one_or_none()
        if account is not None:
            return replace(credential, account=AccountID(account))
        return self.credential(credential.key)  # another login of the same certificate was first, or nothing proves it

    def holder(self, sector: SectorID, subject: Subject) -> AccountID | None:
        if not can_hold(subject):
            return None
        account = self._work.read(_HOLDER, b_sector=sector, b_subject=subject).scalar_one_or_none()
        return None if account is None else AccountID(account)

    def subject(self, account: AccountID, sector: SectorID, *, fresh: Subject) -> Subject:
        known = self._work.read(_SUBJECT, b_account=account, b_sector=sector).scalar_one_or_none()
        if known is None:
            known = self._work.write(_ADD_SUBJECT, account=account, sector=sector, subject=fresh).scalar_one_or_none()
        if known is None:  # another login of this account was first
            known = self._work.read(_SUBJECT, b_account=account, b_sector=sector).scalar_one()
        return Subject(known)


def _credential(row: Row[Any]) -> Credential:
    return Credential(
        credential_id=CredentialID(row.credential_id),
        account=AccountID(row.account),
        key=CredentialKey(issuer_key_hash=row.issuer_key_hash, serial_fingerprint=row.serial_fingerprint),
        serial_sealed=row.serial_sealed,
        kind=row.kind,
        not_after=row.not_after,
        first_seen=row.first_seen,
    )
