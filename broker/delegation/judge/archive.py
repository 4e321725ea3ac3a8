"""A sealed document with time stamps that were appended over the years: each proves the one before it (PAdES B-LTA)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from broker.delegation.document import look
from broker.delegation.faults import Fault
from broker.delegation.judge.case import Case, judge, proved_time
from broker.delegation.judge.chain import Evidence
from broker.delegation.judge.contents import added_only, read_contents
from broker.delegation.judge.envelope import open_envelope


async def judge_archived(case: Case, told: Callable[[], None]) -> None:
    """The newest stamp must hold at `case.at`, each older one at the time of the next, the document at the first's."""
    seen = look(case.pdf)
    signatures = seen.signatures
    if not signatures:
        await judge(case, told)
        return
    case.faults |= seen.faults - {Fault.MORE_SIGNATURES, Fault.REVISION_ADDED}
    ends = [one.covered for one in signatures]
    if ends != sorted(ends) or ends[-1] != len(case.pdf):
        case.faults.add(Fault.ALTERED_AFTER)  # what follows the last stamp is nobody's
    contents = read_contents(case.pdf, seen, set())
    until, newest = case.at, None
    for one in reversed(signatures[1:]):
        stamp = open_envelope(one.cms, signed=None, faults=case.faults)
        if stamp is None or contents is None or not stamp.intact:
            case.faults.add(Fault.TIME_STAMP_WRONG)
            continue
        evidence = Evidence(
            anchors=case.anchors,
            certificates=tuple(dict.fromkeys((*(each.dump() for each in stamp.others), *contents.certificates))),
            crls=contents.crls,
            ocsps=contents.ocsps,
        )
        proved = await proved_time(stamp, one.signed(case.pdf), evidence, until=until, faults=case.faults)
        if proved is not None:
            until = proved[0]
            newest = newest or proved[1]
    told()
    if len(signatures) > 1 and not added_only(case.pdf, seen):
        case.faults.add(Fault.ALTERED_AFTER)
    sealed = replace(case, pdf=case.pdf[: signatures[0].covered], at=until, faults=set())
    await judge(sealed, lambda: None)
    case.faults |= sealed.faults
    case.record, case.signer, case.sealed_at = sealed.record, sealed.signer, sealed.sealed_at
    case.proved_until = newest if len(signatures) > 1 else sealed.proved_until
    told()
