"""`broker delegation`: powers of attorney checked on an officer's own machine, without network, database or account;
and, on the operator's, kept.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO, Final, ParamSpec, TypeVar

import click

from broker.app import now
from broker.audit.policy import Policy as LogPolicy
from broker.audit.policy import read_policy
from broker.commands.evidence import read_certificates
from broker.commands.exits import answering
from broker.commands.house import configured
from broker.delegation import batch as batches
from broker.delegation import bundle as bundles
from broker.delegation import policy as policies
from broker.delegation.acts import Act
from broker.delegation.asking import question
from broker.delegation.document import MAX_DOCUMENT
from broker.delegation.examination import Examination, Trust, examine
from broker.delegation.policy import NONE_GIVEN, Policy
from broker.delegation.report import RESULTS, check_words, claims, lines, sentence, states
from broker.delegation.report_sheet import Sheet, print_sheets
from broker.delegation.verdict import EXIT_STATUS, Outcome
from broker.delegation.wording import STATES, TOTAL, explanation, outcome_words, reason_words
from broker.errors import BundleInvalid, InvalidToken, PolicyInvalid, QuestionInvalid, SealFailed
from broker.flows.sealed_documents import archived, proved_until
from broker.jose import parse_json

_SOFTWARE: Final = f"jpki-broker {version('jpki-broker')}"
_MAX_POLICY: Final = 1024 * 1024
P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Desk:
    """What this officer relies on."""

    trust: Trust
    policy: Policy
    at: datetime


def _desk_options(command: Callable[P, R]) -> Callable[P, R]:
    for option in reversed(
        (
            click.option("--policy", type=click.File("rb"), help="The authority's policy: signed, or your own JSON."),
            click.option("--policy-root", type=click.File("rb"), help="Its root's public key (JWK), for a signed one."),
            click.option("--anchors", type=_file(), help="PEM: authorities of seals and time stamps."),
            click.option("--principal-anchors", type=_file(), help="PEM: authorities of principals' own signatures."),
            click.option("--log-policy", type=click.File("rb"), help="C2SP tlog-policy: logs, witnesses, quorum."),
            click.option("--status-keys", type=click.File("rb"), help="JWK Set: keys of status lists."),
        )
    ):
        command = option(command)
    return command


def _file() -> click.Path:
    return click.Path(path_type=Path, exists=True, dir_okay=False)


@click.group()
def delegation() -> None:
    """Powers of attorney (電子委任状)."""


@delegation.command("verify")
@click.argument("files", type=click.File("rb"), nargs=-1, required=True)
@click.option("--as-of", default="", help="A day in Japan (its end) or a time with its zone; else now.")
@click.option("--act", type=click.Choice(sorted(act.value for act in Act)))
@click.option("--entity", default="", help="Code of the procuring entity.")
@click.option("--category", default="")
@click.option("--case", "case_number", default="", help="Case number.")
@click.option("--amount", default="", help="Yen.")
@click.option("--tax-excluded", is_flag=True, help="The amount is without tax.")
@click.option("--service", default="", help="client_id, for a family's power.")
@click.option("--offline", type=click.File("rb"), help="A bundle that has the evidence for the PDFs given.")
@click.option("--lang", type=click.Choice(["ja", "en"]), default="ja", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON document for each file, on a line of its own.")
@_desk_options
@answering
def delegation_verify(
    *,
    files: tuple[BinaryIO, ...],
    as_of: str,
    act: str | None,
    entity: str,
    category: str,
    case_number: str,
    amount: str,
    tax_excluded: bool,
    service: str,
    offline: BinaryIO | None,
    lang: str,
    as_json: bool,
    **desk: Any,
) -> None:
    """Check each FILE: a sealed PDF, or the bundle (zip) that it came in. Needs no network and no database.

    Exit status: 0 valid, 10 outside its period, 11 revoked, 12 out of scope, 13 may be forged, 14 cannot be told; of
    several files the worst. What is trusted is what --policy or the files beside it name, never what a FILE brings.
    """
    officer = _desk(**desk)
    asked = question(
        {
            "as_of": as_of,
            "act": act or "",
            "entity": entity,
            "category": category,
            "case_number": case_number,
            "amount": amount,
            "tax_included": "false" if tax_excluded else "true",
            "service": service,
        },
        now=officer.at,
    )
    evidence = None if offline is None else bundles.read(offline.read(bundles.MAX_BUNDLE + 1))
    worst = Outcome.VALID
    for file in files:
        submitted = bundles.submitted(file.read(bundles.MAX_BUNDLE + 1))
        if evidence is not None:
            submitted = submitted.with_evidence(evidence)
        found = examine(submitted, asked, trust=officer.trust, policy=officer.policy, now=officer.at)
        worst = min(worst, found.verdict.outcome, key=list(Outcome).index)
        if as_json:
            click.echo(json.dumps({"file": file.name} | told(found), ensure_ascii=False))
        else:
            for text in shown(found, file.name, lang):
                click.echo(text)
    sys.exit(EXIT_STATUS[worst])


@delegation.command("batch")
@click.argument("file", type=_file())
@click.option("--out", type=click.File("w", encoding="utf-8-sig"), default="-", help="CSV; else stdout.")
@click.option(
    "--report", type=click.Path(path_type=Path, dir_okay=False), help="PDF: a table and a sheet for each row."
)
@_desk_options
@answering
def delegation_batch(*, file: Path, out: Any, report: Path | None, **desk: Any) -> None:
    """Check every row of FILE: a CSV beside its documents, or a zip of batch.csv and them. At most 1,000 rows.

    Columns: file, as_of, act, entity, category, case_number, amount, tax_included, service. Exit status as of the worst
    row; a row that cannot be read is "cannot tell", and the others are checked all the same.
    """
    officer = _desk(**desk)
    with file.open("rb") as opened:
        data = opened.read(batches.MAX_ZIP + 1)
    packed = bundles.is_zip(data)
    rows, files = batches.unpack(data) if packed else (batches.rows(data), {})
    told, sheets, worst = [], list[Sheet](), Outcome.VALID
    for row in rows:
        found = None
        document = files.get(row.file) if packed else _beside(file, row.file)
        if document is not None:
            try:
                found = examine(
                    bundles.submitted(document),
                    question(row.asked, now=officer.at),
                    trust=officer.trust,
                    policy=officer.policy,
                    now=officer.at,
                )
            except (BundleInvalid, QuestionInvalid) as unread:
                click.echo(f"broker: row {row.number}: {unread}", err=True)
        worst = min(worst, found.verdict.outcome if found else Outcome.CANNOT_TELL, key=list(Outcome).index)
        told.append(batches.line(row, found))
        sheets.append(Sheet(row=row.number, file=row.file, found=found))
    out.write(batches.answer(told))
    if report is not None:
        report.write_bytes(print_sheets(sheets, at=officer.at, software=_SOFTWARE))
    sys.exit(EXIT_STATUS[worst])


@delegation.command("archive")
@click.argument("files", type=_file(), nargs=-1, required=True)
@click.option("--out", type=click.Path(path_type=Path, exists=True, file_okay=False), help="Where the copies go.")
@click.option("--within", default=365, show_default=True, help="Days: stamp what ends sooner than that.")
@answering
def delegation_archive(*, files: tuple[Path, ...], out: Path | None, within: int) -> None:
    """List by when each sealed FILE must be stamped anew, the most urgent first; with --out, do so (PAdES B-LTA).

    Runs on the broker's machine, with its settings and its time-stamp authority. FILE is a sealed document, or the
    newest copy of one; it is never changed. A copy goes to --out under the same name. Exit status 1 where one failed.
    """
    ports = configured()
    ends, failed = [], False
    for path in files:
        try:
            ends.append((proved_until(_whole(path), ports=ports), path))
        except SealFailed as refused:
            click.echo(f"broker: {path}: {refused}", err=True)
            failed = True
    for until, path in sorted(ends):
        done = ""
        if out is not None and until - ports.clock() < timedelta(days=within):
            try:
                copy = archived(_whole(path), ports=ports)
                with (out / path.name).open("xb") as file:  # what stands there is somebody's only proof
                    file.write(copy)
                done = str(out / path.name)
            except (SealFailed, OSError) as refused:
                click.echo(f"broker: {path}: {refused}", err=True)
                failed = True
        click.echo(f"{until.isoformat()}\t{path}\t{done}")
    sys.exit(1 if failed else 0)


def _whole(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_DOCUMENT + 1)


def _beside(table: Path, name: str) -> bytes | None:
    path = table.parent / name
    if not path.is_file() or path.is_symlink():
        return None
    with path.open("rb") as file:
        return file.read(bundles.MAX_BUNDLE + 1)


def _desk(
    *,
    policy: BinaryIO | None,
    policy_root: BinaryIO | None,
    anchors: Path | None,
    principal_anchors: Path | None,
    log_policy: BinaryIO | None,
    status_keys: BinaryIO | None,
) -> _Desk:
    """Raises PolicyInvalid, CheckpointInvalid, CertificateMalformed."""
    at = now()
    if policy is None and anchors is None:
        raise click.UsageError("say what you trust: --policy, or --anchors with --log-policy and --status-keys")
    chosen = NONE_GIVEN
    if policy is not None:
        text = policy.read(_MAX_POLICY)
        if text.lstrip().startswith(b"{"):
            if policy_root is not None:
                raise PolicyInvalid("it is not signed, and a root was named for it")
            chosen = policies.from_json(text)
        else:
            if policy_root is None:
                raise click.UsageError("a signed policy needs --policy-root, kept by yourself")
            chosen = policies.read(text.strip(), root=_json(policy_root), at=at)
    trust = Trust(
        anchors=() if anchors is None else read_certificates(anchors),
        principals=() if principal_anchors is None else read_certificates(principal_anchors),
        logs=LogPolicy(logs=(), witnesses=()) if log_policy is None else read_policy(log_policy.read(_MAX_POLICY)),
        status_keys={"keys": []} if status_keys is None else _json(status_keys),
    )
    return _Desk(trust=trust, policy=chosen, at=at)


def _json(file: BinaryIO) -> Mapping[str, Any]:
    try:
        return parse_json(file.read(_MAX_POLICY), limit=_MAX_POLICY)
    except InvalidToken as broken:
        raise click.UsageError(f"{file.name}: not JSON: {broken}") from broken


def told(found: Examination) -> dict[str, Any]:
    """The report as it is printed here: by whoever runs the command, and not signed."""
    report = claims(found, number="", issuer="", software=_SOFTWARE)
    return {name: value for name, value in report.items() if name not in {"iss", "jti"}}


def shown(found: Examination, name: str, lang: str) -> list[str]:
    """What is printed for one file: the verdict with its reasons, who may do what, and the table of checks."""
    verdict, stated = found.verdict, states(found)
    text = [
        f"{name}: {outcome_words(verdict.outcome, stated=stated).into(lang)}",
        f"  {explanation(verdict.outcome, stated=stated).into(lang)}",
        *(f"  - {reason_words(each, stated=stated).into(lang)} [{each.value}]" for each in verdict.reasons),
    ]
    if who := sentence(found.chain, lang):
        text.append(f"  {who}")
    certificate = found.chain[-1].certificate
    if certificate is not None:
        text += [f"  {certificate.subject}", *(f"  {name}: {value}" for name, value in certificate.stated)]
    if verdict.later is not None and verdict.later_at is not None:
        text.append(f"  ! {STATES[verdict.later].into(lang)}: {verdict.later_at.isoformat()}")
    if verdict.total_unchecked:
        text.append(f"  ! {TOTAL.into(lang)}")
    for line in lines(found):
        at = "" if line.at is None else line.at.isoformat()
        words = check_words(line.check, stated=stated)
        text.append(f"    {words.into(lang)}: {RESULTS[line.result].into(lang)}  {line.evidence}  {at}")
    return text
