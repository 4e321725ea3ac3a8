"""Every step of `foreign` with its source and whether it passes: for the operator at night, as `explain` is for JPKI.

Goes through the very steps of the decision, in their order, the child included, and goes on where it would stop.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from broker.errors import BrokerError, CertificateRevoked
from broker.jpki.certificate import UnverifiedCertificate, parse
from broker.jpki.explain import (
    DATES,
    FORM,
    UNREVOKED,
    Explanation,
    Finding,
    Outcome,
    Row,
    failed,
    not_judged,
    passed,
)
from broker.jpki.foreign import LEAF_RULES, Case, ForeignProfile, admit, check_dates, find_path, verdict
from broker.jpki.hcrole import hc_roles
from broker.jpki.verdict import RevocationStatus

BOUNDS: Final = ("bounds", "our own; anchors in force, of one hierarchy, and what a stranger may bring")
PATH: Final = ("foreign-path", "RFC 5280 §6.1, in a child with limits; evidence for each certificate, strong keys")
ROWS: Final[tuple[Row, ...]] = (
    FORM,
    BOUNDS,
    DATES,
    *((rule.name, rule.source) for rule in LEAF_RULES),
    PATH,
    UNREVOKED,
)
"""All there are, in the order of the decision."""


def explain_foreign(
    leaf: bytes,
    *,
    anchors: Sequence[bytes],
    intermediates: Sequence[bytes] = (),
    crls: Sequence[bytes] = (),
    ocsps: Sequence[bytes] = (),
    at: datetime,
    max_age: timedelta,
    profile: ForeignProfile,
) -> Explanation:
    """Hold `leaf` (DER) against every rule of `profile`; arguments as in `foreign.validate_foreign_path`.

    `accepted` exactly where that function would raise nothing. Never raises on hostile bytes; ValueError for a naive
    `at`.
    """
    try:
        certificate = parse(leaf)
    except BrokerError as error:
        return Explanation(findings=(failed(FORM, error), *_unjudged(BOUNDS)), certificate=None)
    findings = [passed(FORM)]
    try:
        case = admit(
            leaf,
            anchors=anchors,
            intermediates=intermediates,
            crls=crls,
            ocsps=ocsps,
            at=at,
            max_age=max_age,
            profile=profile,
        )
    except BrokerError as error:
        findings += [failed(BOUNDS, error), *_unjudged(DATES)]
    else:
        findings += [passed(BOUNDS), _judged(DATES, partial(check_dates, case))]
        findings += [_judged((rule.name, rule.source), partial(rule.check, case.leaf, profile)) for rule in LEAF_RULES]
        findings += _path(case)
    return Explanation(findings=tuple(findings), certificate=certificate, roles=_roles(certificate))


def _path(case: Case) -> list[Finding]:
    try:
        chain = find_path(case)
    except CertificateRevoked as error:
        return [not_judged(PATH), failed(UNREVOKED, error)]
    except BrokerError as error:
        return [failed(PATH, error), not_judged(UNREVOKED)]
    pairs = list(itertools.pairwise(chain))
    return [passed(PATH), *(_evidence(case, one, issuer, leaf=one is pairs[0][0]) for one, issuer in reversed(pairs))]


def _evidence(case: Case, one: UnverifiedCertificate, issuer: UnverifiedCertificate, *, leaf: bool) -> Finding:
    row = (f"{UNREVOKED[0]} ({'leaf' if leaf else 'authority'})", UNREVOKED[1])
    try:
        found = verdict(case, one, issuer)
    except BrokerError as error:
        return failed(row, error)
    if found.status is RevocationStatus.GOOD:
        return passed(row)
    return Finding(rule=row[0], source=row[1], outcome=Outcome.FAILED, why=f"{found.status.value}: {found.reason}")


def _roles(certificate: UnverifiedCertificate) -> tuple[str, ...]:
    try:
        return hc_roles(certificate.der)
    except BrokerError:
        return ()


def _judged(row: Row, check: Callable[[], None]) -> Finding:
    try:
        check()
    except BrokerError as error:
        return failed(row, error)
    return passed(row)


def _unjudged(first: Row) -> list[Finding]:
    return [not_judged(row) for row in ROWS[ROWS.index(first) :]]
