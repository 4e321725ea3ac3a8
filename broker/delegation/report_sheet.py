"""A batch on paper: one PDF with a table of all answers, and a sheet of each as the officer's page prints it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from broker.delegation import vocabulary
from broker.delegation.examination import Examination
from broker.delegation.members import stamp
from broker.delegation.rendering import FONTS, compiler
from broker.delegation.report import RESULTS, check_words, lines, sentence, states
from broker.delegation.verdict import Outcome
from broker.delegation.wording import STATES, TOTAL, Words, explanation, outcome_words, reason_words
from broker.errors import RecordUnprintable

TEMPLATE: Final = Path(__file__).with_name("template") / "report.typ"
_UNREAD: Final = Words(ja="この行または文書を読めませんでした。", en="This row or its document could not be read.")

_ASKED_AMOUNT: Final = Words(ja="金額（円）", en="Amount (yen)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """One row of the table; without an examination it could not be read, and nothing can be told."""

    row: int
    file: str
    found: Examination | None


def print_sheets(sheets: Sequence[Sheet], *, at: datetime, software: str, fonts: Sequence[Path] = FONTS) -> bytes:
    """The PDF. Raises SettingsError: typst (extra [pades]) or a font is missing; RecordUnprintable."""
    source = TEMPLATE.read_bytes()
    typst, made = compiler(source, root=TEMPLATE.parent, fonts=fonts)
    told = {"at": stamp(at), "software": software, "sheets": [_told(each) for each in sheets]}
    try:
        printed = made.compile(
            source,
            format="pdf",
            sys_inputs={"told": json.dumps(told, ensure_ascii=False)},
            timestamp=int(at.timestamp()),
        )
    except typst.TypstError as refused:
        raise RecordUnprintable("the report does not fit, or holds a character that is in no font") from refused
    if not isinstance(printed, bytes):
        raise RecordUnprintable("the report made no document")
    return printed


def _told(sheet: Sheet) -> dict[str, Any]:
    found = sheet.found
    if found is None:
        words = outcome_words(Outcome.CANNOT_TELL, stated=False)
        return {
            "row": sheet.row,
            "file": sheet.file,
            "verdict": Outcome.CANNOT_TELL.value,
            "words": _both(words),
            "explained": _both(_UNREAD),
            "number": "",
            "who": ["", ""],
            "reasons": [],
            "notes": [],
            "question": [],
            "checks": [],
            "sha256": "",
        }
    verdict, stated = found.verdict, states(found)
    signed = found.chain[-1].signed
    notes = [_both(TOTAL)] if verdict.total_unchecked else []
    if verdict.later is not None and verdict.later_at is not None:
        later = STATES[verdict.later]
        notes.append([f"{text}（{stamp(verdict.later_at)}）" for text in (later.ja, later.en)])
    return {
        "row": sheet.row,
        "file": sheet.file,
        "verdict": verdict.outcome.value,
        "words": _both(outcome_words(verdict.outcome, stated=stated)),
        "explained": _both(explanation(verdict.outcome, stated=stated)),
        "number": "" if signed is None else signed.number,
        "who": [sentence(found.chain, "ja"), sentence(found.chain, "en")],
        "reasons": [_both(reason_words(each, stated=stated)) for each in verdict.reasons],
        "notes": notes,
        "question": _question(found),
        "checks": [
            [
                *_both(check_words(line.check, stated=stated)),
                *_both(RESULTS[line.result]),
                line.evidence,
                "" if line.at is None else stamp(line.at),
            ]
            for line in lines(found)
        ],
        "sha256": found.digest.hex(),
    }


def _question(found: Examination) -> list[list[str]]:
    """What was asked, each under its two names."""
    asked = found.question
    values = {
        "acts": None if asked.act is None else " / ".join(_both(vocabulary.VALUES["acts"][asked.act])),
        "entities": asked.entity,
        "categories": asked.category,
        "case_number": asked.case_number,
        "amount": None if asked.amount is None else f"{asked.amount:,}",
        "service": asked.service,
    }
    told = [["確認した時点", "As of", stamp(asked.as_of)]]
    names = {**vocabulary.LABELS, "amount": _ASKED_AMOUNT}
    told += [[*_both(names[name]), value] for name, value in values.items() if value]
    if found.verdict.policy.version:
        told.append(["発注機関の方針", "Policy", f"{found.verdict.policy.name} v{found.verdict.policy.version}"])
    return told


def _both(words: Words) -> list[str]:
    return [words.ja, words.en]
