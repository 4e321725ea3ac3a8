"""The short, seeded form of `python -m tests.campaigns.mutated_evidence`."""

from __future__ import annotations

from broker.jpki.revocation import RevocationStatus
from tests.campaigns.mutated_evidence import EVIDENCE, campaign


def test_of_500_mutants_of_each_kind_none_is_believed_and_none_raises() -> None:
    assert all(judge(data).status is not RevocationStatus.UNKNOWN for data, judge in EVIDENCE.values())
    assert campaign(500, seed=20261120) == {
        key: {"unknown": 500, "good": 0, "revoked": 0, "raised": 0} for key in EVIDENCE
    }
