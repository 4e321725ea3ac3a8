"""Every rule that a certificate is held against, with its source and whether it passes: for the operator at night.

Judges with the very rules of `path` and `profile`, in their order, and goes on where they would stop. Names no
subject and no serial number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum

from broker.errors import BrokerError
from broker.jpki.certificate import UnverifiedCertificate, parse
from broker.jpki.path import find_chain
from broker.jpki.profile import Chain, Profile, Rule
from broker.jpki.verdict import RevocationStatus, RevocationVerdict


class Outcome(Enum):
    """How one rule ended; NOT_JUDGED where an earlier one left nothing to judge."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_JUDGED = "not judged"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One rule, where it is written, how it ended, and, where it failed, why (English)."""

    rule: str
    source: str
    outcome: Outcome
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """All findings in the order of the decision; `accepted` exactly where every rule passed."""

    findings: tuple[Finding, ...]
    certificate: UnverifiedCertificate | None
    roles: tuple[str, ...] = ()
    """What licences the certificate states (HPKI's hcRole), whether or not it is accepted."""

    @property
    def accepted(self) -> bool:
        return all(finding.outcome is Outcome.PASSED for finding in self.findings)


def explain(
    leaf: bytes,
    *,
    anchors: Sequence[bytes],
    intermediates: Sequence[bytes] = (),
    at: datetime,
    profile: Profile,
    revocation: Sequence[RevocationVerdict] = (),
) -> Explanation:
    """Hold `leaf` (DER) against every rule of `profile` at `at` (aware); arguments as in `path.validate_path`.

    `revocation` are verdicts the caller has already got; without one, that the certificate is unrevoked stays not
    judged and nothing is accepted (R11). Never raises on hostile bytes.
    """
    at = at.astimezone(UTC)
    try:
        certificate = parse(leaf)
    except BrokerError as error:
        rest = (_PATH, *((rule.name, rule.source) for rule in profile.rules), DATES, UNREVOKED)
        findings = [failed(FORM, error), *(not_judged(each) for each in rest)]
        return Explanation(findings=tuple(findings), certificate=None)
    findings = [passed(FORM)]
    try:
        chain, _ = find_chain(certificate, anchors=anchors, intermediates=intermediates, at=at, profile=profile)
    except BrokerError as error:
        rules = (not_judged((rule.name, rule.source)) for rule in profile.rules)
        findings += [failed(_PATH, error), *rules]
    else:
        findings += [passed(_PATH), *(_judged(rule, profile, chain) for rule in profile.rules)]
    findings.append(_dates(certificate, at))
    findings += [_revocation(verdict) for verdict in revocation] or [not_judged(UNREVOKED)]
    return Explanation(findings=tuple(findings), certificate=certificate)


Row = tuple[str, str]
"""A rule and where it is written."""
FORM = ("form", "RFC 5280 §4.1; at most 8 KiB")
_PATH = ("path", "RFC 5280 §6.1; issuer by signature, hierarchies never mix")
DATES = ("dates", "RFC 5280 §4.1.2.5")
UNREVOKED = ("unrevoked", "RFC 5280 §6.3, RFC 6960 §3.2; unknown refuses (R11)")


def _judged(rule: Rule, profile: Profile, chain: Chain) -> Finding:
    try:
        rule.check(profile, chain)
    except BrokerError as error:
        return failed((rule.name, rule.source), error)
    return passed((rule.name, rule.source))


def _dates(certificate: UnverifiedCertificate, at: datetime) -> Finding:
    if certificate.not_before <= at <= certificate.not_after:
        return passed(DATES)
    why = "has ended" if at > certificate.not_after else "has not begun"
    return Finding(rule=DATES[0], source=DATES[1], outcome=Outcome.FAILED, why=f"validity {why}")


def _revocation(verdict: RevocationVerdict) -> Finding:
    good = verdict.status is RevocationStatus.GOOD
    return Finding(
        rule=f"{UNREVOKED[0]} ({verdict.source})",
        source=UNREVOKED[1],
        outcome=Outcome.PASSED if good else Outcome.FAILED,
        why="" if good else f"{verdict.status.value}: {verdict.reason}",
    )


def passed(row: Row) -> Finding:
    """The rule held."""
    return Finding(rule=row[0], source=row[1], outcome=Outcome.PASSED)


def not_judged(row: Row) -> Finding:
    """An earlier rule left nothing to judge."""
    return Finding(rule=row[0], source=row[1], outcome=Outcome.NOT_JUDGED)


def failed(row: Row, error: BrokerError) -> Finding:
    """The rule refused, and why."""
    return Finding(rule=row[0], source=row[1], outcome=Outcome.FAILED, why=str(error))
