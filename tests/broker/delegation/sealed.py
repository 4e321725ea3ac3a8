"""A record as the broker seals it, on the workshop's authorities."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from broker.delegation import grant_document as grants
from broker.delegation import record as records
from broker.delegation.acts import Act
from broker.delegation.grant import Approval, Grant, Joint, JointVenture, Limit, Scope, ScopeKind
from broker.delegation.members import JST
from broker.delegation.record import Evidence, Proof, Record
from broker.delegation.rendering import Renderer
from broker.delegation.sealing import SealMaterial, seal
from broker.keys.algorithms import signer
from sandbox.tsa import StampAuthority
from tests.broker.delegation.test_grant import AGENT, COMPANY, GRANT, OTHER, POWER, PRINCIPAL
from tests.broker.delegation.workshop import AT, Holder, Workshop

PRINTED = replace(
    GRANT,
    principal=replace(PRINCIPAL, name="株式会社サンドボックス", representative="𠮷田 太郎"),
    agent=replace(AGENT, name="山田 花子"),
    powers=(replace(POWER, limit=Limit(amount=50_000_000, tax_included=True, total=False)),),
)
VENTURE = replace(
    GRANT,
    principal=replace(PRINCIPAL, representative="辻\U000e0101 太郎"),
    powers=(
        replace(
            POWER,
            acts=frozenset({Act.BID, Act.CONTRACT}),
            scope=Scope(
                kind=ScopeKind.CASE,
                entities=frozenset({"mlit-01"}),
                categories=frozenset({"工事"}),
                case_number="令8-0123",
                case_name="葛\U000e0100飾橋耐震補強工事",
            ),
            limit=Limit(amount=1_234_567_890, tax_included=False, total=True),
        ),
        replace(
            POWER,
            acts=frozenset({Act.SUBMIT}),
            scope=Scope(kind=ScopeKind.TERM, entities=frozenset({"*"})),
            limit=None,
        ),
    ),
    sub_delegation=0,
    supersedes="s" * 22,
    qualified_until=GRANT.ends,
    joint_venture=JointVenture(name="𠮷田・見本共同企業体", lead=True, members=(COMPANY, OTHER)),
    approval=Approval(kind=Joint.AT_LEAST, count=1, approvers=("q" * 22, "r" * 22)),
)
"""A joint venture's, with everything that a grant may say and all that is hard to print."""


def record(grant: Grant = PRINTED, **changed: Any) -> bytes:
    """A record of `grant`; `changed` are members of it as nobody would write them."""
    written = grants.write(grant)
    issued = AT.astimezone(JST)
    data = records.write(
        Record(
            grant_bytes=written,
            grant=grants.read(written),
            issued_at=issued,
            evidence=(
                Evidence(shows=Proof.PRINCIPAL_FRAME, sha256="ab" * 32, at=issued),
                Evidence(shows=Proof.DECISION, sha256="cd" * 32, at=issued),
            ),
            status_list="https://broker.example/status/1",
            status_index=4711,
            log_origin="broker.example/register-log/2026",
            template="record:" + "ef" * 32,
        )
    )
    return json.dumps(json.loads(data) | changed, ensure_ascii=False, separators=(",", ":")).encode()


def seal_workshop() -> Workshop:
    """One whose certificates name a source of revocation, as real ones do."""
    made = Workshop()
    made.tsa = made.root.stamper(key=ec.generate_private_key(ec.SECP256R1()), names_a_source=True)
    made.seal = made.authority.leaf(names_a_source=True)
    return made


def material(workshop: Workshop, **changed: Any) -> SealMaterial:
    """Everything beside the key."""
    usual = SealMaterial(
        certificate=workshop.seal.der,
        others=(workshop.authority.der, workshop.tsa.der),
        crls=(workshop.root.crl(), workshop.authority.crl()),
        anchors=(workshop.root.der,),
    )
    return replace(usual, **changed)


def stamp(workshop: Workshop, *, at: datetime = AT, by: Holder | None = None) -> Callable[[bytes], bytes]:
    """The workshop's time-stamp authority, with its clock at `at`."""
    holder = by or workshop.tsa
    assert isinstance(holder.key, ec.EllipticCurvePrivateKey)
    authority = StampAuthority(certificate=holder.certificate, key=holder.key)
    return lambda request: authority.answer(request, now=at)


def sealed_by(workshop: Workshop, unsigned: bytes, **changed: Any) -> bytes:
    """`unsigned` under the workshop's seal."""
    arguments: dict[str, Any] = {
        "signer": signer(workshop.seal.key, "ES256"),
        "material": material(workshop),
        "stamp": stamp(workshop),
        "at": AT,
    }
    return seal(unsigned, **(arguments | changed))


def sealed_record() -> tuple[bytes, list[bytes]]:
    """A sealed record, and the anchors that it holds under."""
    workshop = seal_workshop()
    return sealed_by(workshop, Renderer().render(record())), workshop.anchors
