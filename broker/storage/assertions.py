"""Client assertions that were used (ports.AssertionStore). A jti is kept as SHA-256, whatever its length."""

from __future__ import annotations

import hashlib

from broker.oidc.client_authentication import Assertion
from broker.storage.schema import assertions
from broker.storage.work import Work, per_engine

_USE = per_engine(
    lambda insert: (
        insert(assertions)
        .on_conflict_do_nothing(index_elements=["client_id", "jti_digest"])
        .returning(assertions.c.client_id)
    )
)


class SQLAssertions:
    """Fulfils ports.AssertionStore."""

    __slots__ = ("_work",)

    def __init__(self, work: Work) -> None:
        self._work = work

    def use(self, assertion: Assertion) -> bool:
        first = self._work.write(
            _USE,
            client_id=assertion.client_id,
            jti_digest=hashlib.sha256(assertion.jti.encode("utf-8", "surrogatepass")).digest(),
            expires_at=assertion.expires_at,
        ).one_or_none()
        return first is not None
