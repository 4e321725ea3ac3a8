"""A corporation signs its grant with its own certificate (商業登記電子証明書) and its own tool.

The principal fetches the very bytes, signs them as a detached CMS (CAdES), and hands that in. The registrar has stated
the corporation and its representative in the certificate, so no registry extract is asked for.
"""

from __future__ import annotations

import unicodedata
from datetime import timedelta
from typing import Final

from broker.delegation import grant_document as grants
from broker.delegation.grant import Grant, Method, PartyKind
from broker.delegation.life import Deed, Role, State, after
from broker.delegation.record import Proof
from broker.delegation.rules import Rule
from broker.errors import (
    BrokerError,
    CertificateError,
    DelegationStateRefused,
    DocumentChanged,
    PowerRefused,
    RevocationUnknown,
    SignatureInvalid,
)
from broker.flows.mandate_ports import Mandate, Piece
from broker.flows.mandates import context, grant_bytes, grant_of, known, part_of, sha256, tell
from broker.flows.my_page import Visit
from broker.flows.ports import Ports
from broker.flows.rate import Rate, check_rate
from broker.ids import MandateNumber
from broker.jpki import corporation, detached
from broker.jpki.certificate import UnrevokedCertificate

_UPLOADS: Final = Rate(limit=10, window=timedelta(minutes=10))


def takes_upload(mandate: Mandate, grant: Grant, *, ports: Ports) -> bool:
    """Whether its principal may sign it so: a corporation, whose own signature is to travel with it."""
    return (
        ports.corporations is not None
        and mandate.state is State.DRAFT
        and grant.method is Method.PRINCIPAL_FILE
        and grant.principal.kind is PartyKind.CORPORATION
    )


def to_sign(who: Visit, number: MandateNumber, *, ports: Ports) -> bytes:
    """The very bytes that are signed. Raises DelegationUnknown, DelegationStateRefused, StoreUnavailable."""
    with ports.store.transaction() as tx:
        mandate = known(tx, number)
        part_of(tx, number, who.account, Role.PRINCIPAL)
    if not takes_upload(mandate, grant_of(mandate, ports=ports), ports=ports):
        raise DelegationStateRefused("it is not signed with a file, or was signed already")
    return grant_bytes(mandate, ports=ports)


def upload(who: Visit, number: MandateNumber, cms: bytes, *, ports: Ports) -> None:
    """Take the signature. Raises PowerRefused with the rule it breaks, and nothing is kept then; DelegationUnknown,
    DelegationStateRefused, TooManyRequests, StoreUnavailable.
    """
    with ports.store.transaction() as tx:
        check_rate(tx.attempts, f"mandate-upload:{who.account}", _UPLOADS, now=who.now)
    data = to_sign(who, number, ports=ports)
    judge(cms, data, ports=ports)
    grant = grants.read(data)
    with ports.store.transaction() as tx:
        state = tx.mandates.lock(number)
        mandate = known(tx, number)
        part = part_of(tx, number, who.account, Role.PRINCIPAL)
        if state is not State.DRAFT or grant_bytes(mandate, ports=ports) != data:
            raise DelegationStateRefused("the mandate was changed at the same moment")
        digest = sha256(cms)
        sealed = ports.keys.seal(cms, context=context(number, f"evidence {digest}"))
        tx.mandates.keep(number, Piece(shows=Proof.PRINCIPAL_SIGNATURE, sha256=digest, sealed=sealed, at=who.now))
        leads = after(state, Deed.SIGN, role=Role.PRINCIPAL, card=True, approvals_missing=grant.approval.needed)
        kept = ports.keys.seal(data, context=context(number, "grant"))
        if not tx.mandates.sign(number, kept, leads=leads, now=who.now):
            raise DelegationStateRefused("the mandate was changed at the same moment")
        tx.mandates.did(number, part.part_id, now=who.now)
        tell(tx, mandate, Deed.SIGN, by=who.account, now=who.now)


def judge(cms: bytes, data: bytes, *, ports: Ports) -> UnrevokedCertificate:
    """The signature over the grant in `data`, its chain now, and that it is this corporation's.

    Raises PowerRefused. It is asked again before the power is issued.
    """
    if ports.corporations is None:
        raise PowerRefused(Rule.SIGNER_UNPROVED, "signature")
    grant = grants.read(data)
    try:
        found = detached.verify(cms, data)
        proved = ports.corporations.judge(found.certificate, others=found.others, at=ports.clock())
        registered = corporation.registered(found.certificate)
    except BrokerError as refused:
        raise PowerRefused(_rule(refused), "signature") from refused
    if registered is None or not registered.is_number(grant.principal.corporate_number):
        raise PowerRefused(Rule.SIGNER_CORPORATION, "principal.corporate_number")
    if _folded(registered.representative) != _folded(grant.principal.representative):
        raise PowerRefused(Rule.SIGNER_REPRESENTATIVE, "principal.representative")
    return proved


def _rule(refused: BrokerError) -> Rule:
    """Raises what is nobody's mistake but ours."""
    match refused:
        case DocumentChanged():
            return Rule.SIGNED_OTHER_BYTES
        case SignatureInvalid():
            return Rule.SIGNATURE_FORM
        case RevocationUnknown():
            return Rule.SIGNER_UNPROVED
        case CertificateError():
            return Rule.SIGNER_REFUSED
        case _:
            raise refused


def _folded(name: str) -> str:
    return "".join(unicodedata.normalize("NFKC", name).split())
