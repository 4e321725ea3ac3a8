"""The story of a certificate never seen before: is it somebody we know, with a new certificate? (R19)"""

from __future__ import annotations

from broker.accounts.credential import Credential, CredentialKey
from broker.accounts.lifecycle import CertificateName, followed
from broker.audit.entry import Entry, Event
from broker.errors import CorrespondenceUnknown
from broker.flows.ports import Ports, Transaction
from broker.ids import AccountID


def known_predecessor(certificate: CertificateName, key: CredentialKey, *, ports: Ports) -> CredentialKey | None:
    """The newest certificate known here that this one follows, by J-LIS's old-new mapping, however many lie between.

    None for a certificate that is known itself, for a first one, for somebody new, and where the operator has no
    access to the mapping. Raises CorrespondenceUnknown, StoreUnavailable.
    """
    if ports.correspondence is None or _known(key, ports):
        return None
    line: tuple[CertificateName, ...] = (certificate,)
    while True:
        earlier = ports.correspondence.predecessor(line[-1])
        if earlier is None:
            return None
        line = followed(line, earlier)
        earlier_key = CredentialKey(
            issuer_key_hash=earlier.issuer_key_hash,
            serial_fingerprint=ports.keys.serial_fingerprint(earlier.issuer_key_hash, earlier.serial),
        )
        if _known(earlier_key, ports):
            return earlier_key


def one_of_one_person(certificate: CertificateName, key: CredentialKey, *, ports: Ports) -> bool:
    """Whether J-LIS's mapping shows that the certificate's account is the only one of its person: each certificate that
    this one follows is of the same account, or was never seen here.

    False where nothing can show it: without access to the mapping, and where that gives no clear answer.
    """
    if ports.correspondence is None:
        return False
    account = _account(key, ports)
    line: tuple[CertificateName, ...] = (certificate,)
    try:
        while (earlier := ports.correspondence.predecessor(line[-1])) is not None:
            line = followed(line, earlier)
            fingerprint = ports.keys.serial_fingerprint(earlier.issuer_key_hash, earlier.serial)
            before = _account(
                CredentialKey(issuer_key_hash=earlier.issuer_key_hash, serial_fingerprint=fingerprint), ports
            )
            if before is not None and before != account:
                return False
    except CorrespondenceUnknown:
        return False
    return account is not None


def resume_grants(
    tx: Transaction, predecessor: CredentialKey, credential: Credential, certificate: bytes, *, ports: Ports
) -> None:
    """What stood still because `predecessor` was superseded goes on with the certificate that proved to follow it."""
    earlier = tx.accounts.credential(predecessor)
    if earlier is None:
        return
    for grant_id in tx.grants.offline(earlier.account, earlier.credential_id):
        sealed = ports.keys.seal(certificate, context=grant_id.encode())
        tx.grants.follow(grant_id, credential.credential_id, sealed)
        tx.audit.append(
            Entry(
                at=credential.first_seen,
                event=Event.GRANT_RESUMED,
                account=credential.account,
                reference=grant_id,
            )
        )


def _known(key: CredentialKey, ports: Ports) -> bool:
    return _account(key, ports) is not None


def _account(key: CredentialKey, ports: Ports) -> AccountID | None:
    with ports.store.transaction() as tx:
        found = tx.accounts.credential(key)
    return None if found is None else found.account
