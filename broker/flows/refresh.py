"""The story of a refresh token: the login that it repeats is judged again, as far as that goes without the card.

Account, consent and certificate must still be good (design 4.8): what cannot be known now is asked again later and
costs nothing; a revoked certificate ends the grant, a superseded one only stops it until the resident comes back (R19).
"""

from __future__ import annotations

from broker.accounts.account import State
from broker.accounts.activity import Activity, How, Kind, daily
from broker.accounts.credential import CredentialKey
from broker.audit.entry import Event
from broker.errors import CertificateError, CertificateRevoked, InvalidGrant, ProtocolError, RevocationUnknown
from broker.flows import family_mandates, mandate_answers, proofing
from broker.flows.evidence import prove_unrevoked
from broker.flows.issuance import end_replayed, issue_of_grant, issue_refresh_token, refusal_entry
from broker.flows.ports import Ports, Transaction
from broker.flows.secret import digest
from broker.flows.token_request import Issued, TokenRequest, atomically
from broker.ids import GrantID
from broker.jpki.certificate import parse
from broker.jpki.clock import certain
from broker.jpki.path import validate_path
from broker.jpki.profile import profile_for
from broker.oidc.grants import Grant
from broker.oidc.narrowing import Narrowed, of_grant
from broker.oidc.refresh import RefreshToken, judge, offline, rotates


def refresh(request: TokenRequest, ports: Ports) -> Issued:
    """New tokens with the acr and auth_time of old.

    Raises InvalidRequest, InvalidGrant, InvalidScope, InvalidTarget, InvalidAuthorizationDetails; RevocationUnknown,
    ClockBehind and StoreUnavailable, which leave everything as it was.
    """
    token_digest = digest(request.required("refresh_token"))
    with ports.store.transaction() as tx:
        found = tx.refresh_tokens.get(token_digest)
        grant = None if found is None else tx.grants.get(found.grant_id)
        sealed = None if grant is None else tx.grants.certificate(grant.grant_id)
    token, grant = judge(
        found,
        grant,
        client_id=request.client.client_id,
        jkt=request.sender.jkt,
        x5t=request.sender.x5t,
        now=request.now,
    )
    part = of_grant(grant, request.client, request.parameters, issuer=ports.policy.issuer, refresh=True)
    fault = None if token.used_at is not None else _certificate_fault(grant.grant_id, sealed, request, ports)

    if fault is None:
        family_mandates.ask(mandate_answers.pins(grant.authorization_details), ports=ports)

    def issue(tx: Transaction) -> Issued | ProtocolError:
        return _refresh(tx, token, part, request, ports) if fault is None else _stopped(tx, grant, fault, request)

    return atomically(request, issue, ports=ports)


def _certificate_fault(
    grant_id: GrantID, sealed: bytes | None, request: TokenRequest, ports: Ports
) -> CertificateError | None:
    """Why the certificate that the grant began with is good no longer. Raises RevocationUnknown, StoreUnavailable."""
    if sealed is None:
        return CertificateError("nothing is kept to judge the certificate by")
    der = ports.keys.unseal(sealed, context=grant_id.encode())
    try:
        profile = profile_for(parse(der), ports.policy.profiles)
        trusted = validate_path(der, anchors=ports.policy.anchors, at=request.now, profile=profile)
        key = CredentialKey(
            issuer_key_hash=trusted.issuer_key_hash,
            serial_fingerprint=ports.keys.serial_fingerprint(trusted.issuer_key_hash, trusted.serial),
        )
        this_update = prove_unrevoked(trusted, key, now=request.now, ports=ports).this_update
    except RevocationUnknown:
        raise
    except CertificateError as fault:
        return fault
    if this_update is not None:
        with ports.store.transaction() as tx:
            mark = tx.clock.mark()
            known = certain(request.now, witness=this_update)
            if mark is None or known > mark:
                tx.clock.raise_to(known)
    return None


def _refresh(
    tx: Transaction, token: RefreshToken, part: Narrowed, request: TokenRequest, ports: Ports
) -> Issued | ProtocolError:
    """Everything that may have changed since it was read is read again, in the unit that issues."""
    grant = tx.grants.get(token.grant_id)
    if grant is None:
        return InvalidGrant("unknown or ended refresh token")
    if tx.standings.state(grant.account) is not State.OPEN:
        return InvalidGrant("the account is not open")
    consent = tx.consents.get(grant.account, grant.client_id)
    if consent is None or not grant.scope <= consent.scope or not offline(grant, request.client):
        tx.grants.end(grant.grant_id, now=request.now)
        tx.audit.append(refusal_entry(request, grant, Event.GRANT_ENDED, "consent"))
        return InvalidGrant("what was agreed to holds no longer")
    refresh_token = None
    if rotates(request.client):
        if not tx.refresh_tokens.consume(token.digest, now=request.now):
            end_replayed(tx, grant.grant_id, request, Event.REFRESH_REPLAYED)
            return InvalidGrant("used refresh token")
        refresh_token = issue_refresh_token(tx, grant, request, ports=ports)
    tx.activities.note(
        Activity(
            account=grant.account,
            client_id=grant.client_id,
            kind=Kind.REFRESH,
            how=How.SERVICE,
            items=tuple(sorted(part.scope)),
            at=request.now,
            session_id=grant.session_id,
            grant_id=grant.grant_id,
            repeats=daily(Kind.REFRESH, grant.grant_id, request.now),
        )
    )
    issued, authority = issue_of_grant(tx, grant, part, request, ports=ports)
    return Issued(
        token=issued,
        grant=grant,
        proof=proofing.told(tx, grant, ports=ports),
        refresh_token=refresh_token,
        refreshed=True,
        authority=authority,
    )


def _stopped(tx: Transaction, grant: Grant, fault: CertificateError, request: TokenRequest) -> InvalidGrant:
    """Revoked: the family is dead. Anything else (renewed, run out): it waits. The client is told neither (R13)."""
    dead = isinstance(fault, CertificateRevoked)
    if dead:
        tx.grants.end(grant.grant_id, now=request.now)
    event = Event.GRANT_ENDED if dead else Event.GRANT_PAUSED
    tx.audit.append(refusal_entry(request, grant, event, type(fault).__name__))
    return InvalidGrant("the resident has to log in again")
