"""An examination as it is filed: one JSON object in which every finding has its code, its words and its evidence.

The same object is what `--json` prints, what the API answers, and what is signed as a report (JWS).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from broker.delegation.acts import EN, JA, Act
from broker.delegation.agent_certificate import AgentCertificate
from broker.delegation.examination import Examination, Examined
from broker.delegation.faults import Fault
from broker.delegation.grant import Grant, Party, Power
from broker.delegation.life import State
from broker.delegation.members import stamp
from broker.delegation.principal_signature import PrincipalSignature
from broker.delegation.statement import TYPE as STATEMENT
from broker.delegation.statement import Statement
from broker.delegation.verdict import OUTCOME_OF, TAMPERED, Outcome, Reason
from broker.delegation.wording import STATED, Words, explanation, outcome_words, reason_words

TYP: Final = "delegation-report+jwt"
ETSI: Final = {
    Outcome.VALID: "TOTAL-PASSED",
    Outcome.FORGED: "TOTAL-FAILED",
    Outcome.REVOKED: "TOTAL-FAILED",
    Outcome.EXPIRED: "INDETERMINATE",
    Outcome.OUT_OF_SCOPE: "INDETERMINATE",
    Outcome.CANNOT_TELL: "INDETERMINATE",
}
"""For tools that know the statuses of ETSI EN 319 102-1 §5.1.3; they know no scope, so ours says more."""


class Result(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    UNKNOWN = "unknown"


class Check(StrEnum):
    """What is checked, in this order."""

    DOCUMENT = "document"
    PRINCIPAL = "principal"
    REGISTER = "register"
    WITNESS = "witness"
    STATUS = "status"
    TERM = "term"
    SCOPE = "scope"
    POLICY = "policy"


CHECKS: Final = {
    Check.DOCUMENT: Words(ja="文書と署名", en="Document and seal"),
    Check.PRINCIPAL: Words(ja="委任者自身の署名", en="The principal's own signature"),
    Check.REGISTER: Words(ja="登録簿への記載", en="Entry in the register"),
    Check.WITNESS: Words(ja="証人の確認", en="Witnesses"),
    Check.STATUS: Words(ja="取り消し・停止", en="Revocation and suspension"),
    Check.TERM: Words(ja="委任の期間", en="Term"),
    Check.SCOPE: Words(ja="権限の範囲", en="Scope of the power"),
    Check.POLICY: Words(ja="発注機関の方針", en="The authority's policy"),
}
RESULTS: Final = {
    Result.PASSED: Words(ja="確認できた", en="confirmed"),
    Result.FAILED: Words(ja="合わない", en="does not hold"),
    Result.UNKNOWN: Words(ja="確認できない", en="cannot be shown"),
}
_POLICYS: Final = {
    Reason.SUB_AGENT,
    Reason.ACTS_TOGETHER,
    Reason.TERM_TOO_LONG,
    Reason.NO_LIMIT,
    Reason.FOREIGN_OFFICE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of the table: what was checked, on what evidence, and of when that evidence is."""

    check: Check
    result: Result
    evidence: str = ""
    at: datetime | None = None


def states(found: Examination) -> bool:
    """Whether what was handed in is a statement, which has words of its own."""
    return found.chain[-1].stated is not None


def check_words(check: Check, *, stated: bool) -> Words:
    """What a row of the table is called."""
    return STATED["checks"].get(check.value, CHECKS[check]) if stated else CHECKS[check]


def lines(found: Examination) -> tuple[Line, ...]:
    """The table of checks; of a chain each document has its own, the outermost first."""
    told = [line for each in found.chain for line in _of_document(each, found)]
    reasons = set(found.verdict.reasons)
    if all(each.record is not None for each in found.chain):
        scope = {each for each in reasons if OUTCOME_OF[each] is Outcome.OUT_OF_SCOPE} - _POLICYS
        told.append(Line(check=Check.SCOPE, result=_held(not scope), at=found.question.as_of))
        if found.verdict.policy.version:
            policy = found.verdict.policy
            evidence = f"{policy.authority} v{policy.version}"
            told.append(Line(check=Check.POLICY, result=_held(not reasons & _POLICYS), evidence=evidence))
    return tuple(told)


def _held(holds: bool) -> Result:
    return Result.PASSED if holds else Result.FAILED


def _of_document(each: Examined, found: Examination) -> list[Line]:
    if each.certificate is not None:
        return _of_certificate(each.certificate, found)
    faults = set(each.document.faults)
    failed = bool(faults & (TAMPERED | {Fault.REVOKED}))
    result = Result.FAILED if failed else Result.UNKNOWN if faults else Result.PASSED
    evidence = ", ".join(fault.name.lower() for fault in each.document.faults) or "PAdES"
    told = [Line(check=Check.DOCUMENT, result=result, evidence=evidence, at=each.document.sealed_at)]
    term = each.term
    if term is None:
        return told
    if each.principal is not None:
        anchored = each.principal.anchored
        told.append(
            Line(
                check=Check.PRINCIPAL,
                result=Result.UNKNOWN if anchored is None else _held(anchored),
                evidence=_signer(each.principal),
                at=each.principal.signed_at,
            )
        )
    known, seen = each.registered, each.registered.witnessed
    told.append(
        Line(
            check=Check.REGISTER,
            result=Result.UNKNOWN if known.logged is None else _held(known.logged),
            evidence="" if seen is None else f"{seen.checkpoint.origin} #{known.index}",
            at=None if known.leaf is None else known.leaf.at,
        )
    )
    cosigned = {} if seen is None else seen.cosigned
    told.append(
        Line(
            check=Check.WITNESS,
            result=Result.UNKNOWN if seen is None else Result.PASSED,
            evidence=", ".join(sorted(cosigned)),
            at=min(cosigned.values(), default=None),
        )
    )
    status = each.status
    old = found.verdict.policy.status_age
    if status is None or (
        status.state is State.ACTIVE and (status.run_out or found.question.as_of - status.listed_at > old)
    ):
        result = Result.UNKNOWN
    else:
        result = _held(status.state is State.ACTIVE)
    told.append(
        Line(
            check=Check.STATUS,
            result=result,
            evidence="" if status is None else status.state.value,
            at=None if status is None else status.listed_at,
        )
    )
    told.append(Line(check=Check.TERM, result=_held(term[0] <= found.question.as_of < term[1])))
    return told


def _of_certificate(certificate: AgentCertificate, found: Examination) -> list[Line]:
    """Its issuer is shown to be one that is trusted here, or not; that it is unrevoked never is."""
    result = Result.UNKNOWN if certificate.anchored is None else _held(certificate.anchored)
    return [
        Line(check=Check.DOCUMENT, result=result, evidence=certificate.issuer),
        Line(check=Check.STATUS, result=Result.UNKNOWN),
        Line(check=Check.TERM, result=_held(certificate.in_period(found.question.as_of)), at=certificate.not_after),
    ]


def claims(found: Examination, *, number: str, issuer: str, software: str) -> dict[str, Any]:
    """The report as JSON. `number` is its own, `issuer` who examined; times are Unix seconds or RFC 3339 in Japan."""
    verdict, stated = found.verdict, states(found)
    question = {
        "as_of": _time(found.question.as_of),
        "act": None if found.question.act is None else found.question.act.value,
        "entity": found.question.entity,
        "category": found.question.category,
        "case_number": found.question.case_number,
        "amount": found.question.amount,
        "tax_included": found.question.tax_included if found.question.amount is not None else None,
        "service": found.question.service,
    }
    told: dict[str, Any] = {
        "iss": issuer,
        "jti": number,
        "iat": int(found.at.timestamp()),
        "software": software,
        "verdict": verdict.outcome.value,
        "exit_status": verdict.exit_status,
        "etsi": ETSI[verdict.outcome],
        "words": _both(outcome_words(verdict.outcome, stated=stated))
        | {"explained": _both(explanation(verdict.outcome, stated=stated))},
        "reasons": [
            {"code": each.value, "verdict": OUTCOME_OF[each].value, **_both(reason_words(each, stated=stated))}
            for each in verdict.reasons
        ],
        "question": {name: value for name, value in question.items() if value is not None},
        "document": {"sha256": found.digest.hex()},
        "chain": [_link(each) for each in found.chain],
        "checks": [
            {
                "check": line.check.value,
                "result": line.result.value,
                "evidence": line.evidence,
                "at": None if line.at is None else _time(line.at),
            }
            for line in lines(found)
        ],
        "total_unchecked": verdict.total_unchecked,
    }
    if verdict.policy.version:
        policy = verdict.policy
        told["policy"] = {"authority": policy.authority, "version": policy.version, "name": policy.name}
    if verdict.later is not None and verdict.later_at is not None:
        told["later"] = {"state": verdict.later.value, "at": _time(verdict.later_at)}
    return told


def _both(words: Words) -> dict[str, Any]:
    return {"ja": words.ja, "en": words.en}


def _time(at: datetime) -> str:
    return stamp(at)


def _link(each: Examined) -> dict[str, Any]:
    told: dict[str, Any] = {"faults": [fault.name.lower() for fault in each.document.faults]}
    if each.document.sealed_at is not None:
        told["sealed_at"] = _time(each.document.sealed_at)
    if each.certificate is not None:
        shown = each.certificate
        told["certificate"] = {
            "subject": shown.subject,
            "issuer": shown.issuer,
            "not_before": _time(shown.not_before),
            "not_after": _time(shown.not_after),
            "stated": [{"name": name, "value": value} for name, value in shown.stated],
            "extensions_not_read": list(shown.others),
        }
    if each.frame is None:
        return told
    if each.record is not None:
        told |= _grant(each.record.grant)
    elif each.stated is not None:
        told |= _statement(each.stated.statement)
    told["issued_at"] = _time(each.frame.issued_at)
    seen = each.registered.witnessed
    told["register"] = {"logged": each.registered.logged}
    if seen is not None:
        told["register"] |= {
            "origin": seen.checkpoint.origin,
            "index": each.registered.index,
            "size": seen.checkpoint.size,
            "cosigned": {name: _time(at) for name, at in sorted(seen.cosigned.items())},
        }
    if each.status is not None:
        told["status"] = {"state": each.status.state.value, "at": _time(each.status.listed_at)}
    return told


def _grant(grant: Grant) -> dict[str, Any]:
    return {
        "number": grant.number,
        "type": grant.kind.value,
        "principal": _party(grant.principal),
        "agent": _party(grant.agent),
        "powers": [_power(each) for each in grant.powers],
        "begins": _time(grant.begins),
        "ends": _time(grant.ends),
    }


def _signer(principal: PrincipalSignature) -> str:
    """Whose certificate it is, as far as it may be told: a card's says where its holder lives."""
    known = principal.corporation
    return "CAdES" if known is None else f"CAdES, {known.name} {known.number} {known.representative}"


def _statement(statement: Statement) -> dict[str, Any]:
    """Who says what of whom, in short: all of it stands in the document."""
    until = statement.employed_until
    told = {
        "number": statement.number,
        "type": STATEMENT,
        "employer": _party(statement.employer),
        "employee": _party(statement.employee),
        "employment": statement.employment.value,
        "employed_since": statement.employed_since.isoformat(),
        "employed_until": None if until is None else until.isoformat(),
        "certified_on": statement.certified_on.isoformat(),
        "told_until": statement.told_until.isoformat(),
        "purpose": statement.purpose or None,
    }
    return {name: value for name, value in told.items() if value is not None}


def _party(party: Party) -> dict[str, str]:
    told = {
        "name": party.name,
        "title": party.title,
        "corporate_number": party.corporate_number,
        "representative": party.representative,
    }
    return {name: value for name, value in told.items() if value}


def _in_order(power: Power) -> list[Act]:
    """As forms have them: bidding before contracting before invoicing."""
    return sorted(power.acts, key=list(Act).index)


def _power(power: Power) -> dict[str, Any]:
    told: dict[str, Any] = {
        "acts": [act.value for act in _in_order(power)],
        "acts_ja": [JA[act] for act in _in_order(power)],
        "acts_en": [EN[act] for act in _in_order(power)],
        "scope": power.scope.kind.value,
        "entities": sorted(power.scope.entities),
        "categories": sorted(power.scope.categories),
        "case_number": power.scope.case_number,
        "case_name": power.scope.case_name,
        "service": power.scope.service,
    }
    told = {name: value for name, value in told.items() if value}
    if power.limit is not None:
        told["limit"] = {
            "amount": power.limit.amount,
            "tax_included": power.limit.tax_included,
            "total": power.limit.total,
        }
    return told


def sentence(chain: Sequence[Examined], language: str) -> str:
    """Who empowered whom to what until when, or who stated what of whom, in one line; empty where nothing is shown."""
    last, stated = chain[-1].record, chain[-1].stated
    if stated is not None:
        return _stated(stated.statement, language)
    if last is None:
        return ""
    grant = last.grant
    names = JA if language == "ja" else EN
    acts = ("、" if language == "ja" else ", ").join(
        dict.fromkeys(names[act] for power in grant.powers for act in _in_order(power))
    )
    ends = stamp(grant.ends)[:16].replace("T", " ")
    if language == "ja":
        return f"{grant.principal.name} → {grant.agent.name}：{acts}（{ends} より前まで）"
    return f"{grant.principal.name} → {grant.agent.name}: {acts} (until before {ends} JST)"


def _stated(statement: Statement, language: str) -> str:
    employer, employee = statement.employer.name, statement.employee.name
    since, day = statement.employed_since.isoformat(), statement.certified_on.isoformat()
    if language == "ja":
        return f"{employer} が、{employee} を {since} から雇用していることを、{day} 現在で証明"
    return f"{employer} certifies, as of {day}, that it has employed {employee} since {since}"
