"""An officer asks here what a power of attorney is good for; what our own store has of it is looked up beside it.

Everything is examined as on the officer's own desk (`broker delegation verify`), with this operator's trust: its own
seal's anchors, its own logs under its witnesses, its own status keys. The answer is filed as a signed report.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Final

from broker.audit.note import ED25519, NoteKey
from broker.audit.policy import Policy as LogPolicy
from broker.audit.policy import TrustedLog
from broker.delegation.asking import question
from broker.delegation.bundle import Bundle
from broker.delegation.examination import Examination, Trust, examine
from broker.delegation.policy import NONE_GIVEN, Policy
from broker.delegation.report import TYP, claims
from broker.errors import QuestionInvalid
from broker.flows.ports import KeyUse, Ports, Transaction
from broker.jose import b64url_decode, sign_jws

SOFTWARE: Final = f"jpki-broker {version('jpki-broker')}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What was found, and the report that says so under this operator's key."""

    found: Examination
    report: Mapping[str, Any]
    signed: str
    """The report as a JWS of type delegation-report+jwt, by a key of /.well-known/receipt-keys."""


def ask(bundle: Bundle, asked: Mapping[str, str], *, authority: str = "", ports: Ports) -> Answer:
    """Examine what was handed in, for the question in `asked` (`asking.question`), under an authority's policy.

    Raises QuestionInvalid: no such question or authority; StoreUnavailable.
    """
    now = ports.clock()
    put = question(asked, now=now)
    policy = _policy(authority, ports)
    with ports.store.transaction() as tx:
        trust = own_trust(tx, ports)
    found = examine(bundle, put, trust=trust, policy=policy, now=now)
    number = str(uuid.UUID(bytes=ports.entropy(16), version=4))
    report = claims(found, number=number, issuer=ports.policy.issuer, software=SOFTWARE)
    return Answer(
        found=found, report=report, signed=sign_jws(report, signer=ports.keys.signer(KeyUse.RECEIPT), typ=TYP)
    )


def _policy(authority: str, ports: Ports) -> Policy:
    if not authority:
        return NONE_GIVEN
    for policy in ports.authorities:
        if policy.authority == authority:
            return policy
    raise QuestionInvalid("policy: no authority of that name is known here")


def own_trust(tx: Transaction, ports: Ports) -> Trust:
    """What this operator itself relies on. Without a seal or a register nothing is believed."""
    logs = LogPolicy(logs=(), witnesses=())
    if ports.register is not None:
        keys = [b64url_decode(jwk["x"]) for jwk in ports.keys.jwks(KeyUse.REGISTER_LOG)["keys"]]
        logs = LogPolicy(
            logs=tuple(
                TrustedLog(key=NoteKey(name=origin, type=ED25519, key=key))
                for origin in tx.register_tree.origins()
                for key in keys
            ),
            witnesses=ports.register.policy.witnesses,
            groups=ports.register.policy.groups,
            quorum=ports.register.policy.quorum,
        )
    return Trust(
        anchors=() if ports.seal is None else ports.seal.anchors,
        logs=logs,
        status_keys=ports.keys.jwks(KeyUse.MANDATE_STATUS),
    )
