"""DPoP proofs that were used (ports.ProofStore). A jti is kept as SHA-256, whatever its length."""

from __future__ import annotations

import hashlib

from broker.oidc.dpop import Proof
from broker.storage.schema import proofs
from broker.storage.work import Work, per_engine

_USE = per_engine(
    lambda insert: insert(proofs).on_conflict_do_nothing(index_elements=["jkt", "jti_digest"]).returning(proofs.c.jkt)
)


class SQLProofs:
    """Fulfils ports.ProofStore."""

    __slots__ = ("_work",)

    def __init__(self, work: Work) -> None:
        self._work = work

    def use(self, proof: Proof) -> bool:
        first = self._work.write(
            _USE,
            jkt=proof.jkt,
            jti_digest=hashlib.sha256(proof.jti.encode("utf-8", "surrogatepass")).digest(),
            expires_at=proof.expires_at,
        ).one_or_none()
        return first is not None
