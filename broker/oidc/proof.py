"""What the 署名用 key proved of a person to one client, as OIDC Core §5.1 and Identity Assurance 1.0 tell it.

Only what was released is in it: a proof lives sealed beside its grant and ends with it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

from broker.oidc import verified_claims
from broker.oidc.claims_request import CLAIMS_OF_SCOPE, SUBSTITUTED
from broker.oidc.verified_claims import Check, Evidence, EvidenceType, VerifiedData

AUTHORITY: Final = "地方公共団体情報システム機構"
"""J-LIS, which issues the certificates and keeps the register of residents behind them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityProof:
    """One proof. `claims` holds what is told and never null; what the card does not say is absent."""

    claims: Mapping[str, Any] = field(repr=False)
    proved_at: datetime
    one_transaction: bool
    """Nothing but this transaction ties the two certificates together: J-LIS was not asked (design 4.13)."""
    jp_aml: bool = False
    """The client identifies customers under 犯収法 and the resident signed its own application (Right.JP_AML)."""

    def __post_init__(self) -> None:
        if any(value is None for value in self.claims.values()):
            raise ValueError("what is not known is absent, never null")
        object.__setattr__(self, "claims", MappingProxyType(dict(self.claims)))


def to_json(proof: IdentityProof) -> bytes:
    """For sealing."""
    told = {
        "claims": dict(proof.claims),
        "proved_at": proof.proved_at.isoformat(),
        "one_transaction": proof.one_transaction,
        "jp_aml": proof.jp_aml,
    }
    return json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()


def from_json(data: bytes) -> IdentityProof:
    """What `to_json` wrote."""
    told = json.loads(data)
    return IdentityProof(**told | {"proved_at": datetime.fromisoformat(told["proved_at"])})


def within(proof: IdentityProof, scope: Collection[str]) -> IdentityProof:
    """What of a proof `scope` allows to be told."""
    allowed = frozenset().union(*(CLAIMS_OF_SCOPE.get(name, frozenset()) for name in scope))
    claims = {name: value for name, value in proof.claims.items() if name in allowed}
    if SUBSTITUTED in proof.claims:
        left = {name: where for name, where in proof.claims[SUBSTITUTED].items() if name in claims}
        claims |= {SUBSTITUTED: left} if left else {}
    return IdentityProof(
        claims=claims, proved_at=proof.proved_at, one_transaction=proof.one_transaction, jp_aml=proof.jp_aml
    )


def verified(proof: IdentityProof, *, issuer: str) -> VerifiedData:
    """The proof as `verified_claims` tells it: the signature, the register that its data are from, and the card.

    The checks name the method only: the certificate's state is nobody's to know but ours (R13).
    """
    checks = tuple(
        Check(method=method, organization=issuer, time=proof.proved_at) for method in verified_claims.CHECK_METHODS
    )
    kinds = (EvidenceType.ELECTRONIC_SIGNATURE, EvidenceType.ELECTRONIC_RECORD, EvidenceType.DOCUMENT)
    return VerifiedData(
        trust_frameworks=verified_claims.frameworks(verified_claims.own_framework(issuer), aml=proof.jp_aml),
        time=proof.proved_at,
        process=verified_claims.ONE_TRANSACTION if proof.one_transaction else None,
        evidence=tuple(
            Evidence(type=kind, checks=checks, issuer=AUTHORITY, created_at=proof.proved_at) for kind in kinds
        ),
        claims={name: value for name, value in proof.claims.items() if name in verified_claims.CLAIMS},
    )
