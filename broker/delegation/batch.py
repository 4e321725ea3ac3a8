"""Many questions at once: a table in, the same rows with their verdicts out (CSV, RFC 4180)."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from broker.delegation.asking import PARTS
from broker.delegation.bundle import MAX_BUNDLE, read_files
from broker.delegation.examination import Examination
from broker.errors import BundleInvalid

MAX_ROWS: Final = 1000
MAX_TABLE: Final = 1024 * 1024
MAX_ZIP: Final = 256 * 1024 * 1024
TABLE: Final = "batch.csv"
_FILE: Final = re.compile(r"[^/\\\x00-\x1f]{1,150}(?<!\.)")
"""A name of this very folder: no way up, down or out."""
_FORMULA: Final = frozenset("=+-@")
COLUMNS: Final = (
    "row",
    "file",
    "verdict",
    "exit_status",
    "reasons",
    "number",
    "principal",
    "agent",
    "sha256",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line: which file, and what is asked of it."""

    number: int
    file: str
    asked: Mapping[str, str]


def rows(table: bytes) -> tuple[Row, ...]:
    """A table with a column `file` and any of `asking.PARTS`, in UTF-8 or, as Japanese spreadsheets write, in CP932.

    Raises BundleInvalid: another form, another column, or more rows than are taken.
    """
    if len(table) > MAX_TABLE:
        raise BundleInvalid("the table is too large")
    try:
        text = table.decode("utf-8-sig")
    except UnicodeDecodeError:
        try:
            text = table.decode("cp932")
        except UnicodeDecodeError as broken:
            raise BundleInvalid("the table is neither UTF-8 nor CP932") from broken
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        names = list(reader.fieldnames or ())
        if "file" not in names or len(set(names)) != len(names) or set(names) - {"file", *PARTS}:
            raise BundleInvalid(f"the table's columns are file and any of {', '.join(PARTS)}")
        read = []
        for number, line in enumerate(reader, start=1):
            if number > MAX_ROWS:
                raise BundleInvalid(f"a table has at most {MAX_ROWS} rows")
            if None in line or None in line.values() or _FILE.fullmatch(line["file"]) is None:
                raise BundleInvalid(f"row {number}: too many or too few cells, or a file name with a folder in it")
            read.append(Row(number=number, file=line.pop("file"), asked=line))
        return tuple(read)
    except csv.Error as broken:
        raise BundleInvalid(f"the table is not CSV: {broken}") from broken


def unpack(data: bytes) -> tuple[tuple[Row, ...], dict[str, bytes]]:
    """A zip of `batch.csv` and the files it names. Raises BundleInvalid."""
    if len(data) > MAX_ZIP:
        raise BundleInvalid("the zip is too large")
    files = read_files(data, most=MAX_ROWS + 1, longest=MAX_BUNDLE, names=_FILE, together=MAX_ZIP)
    try:
        return rows(files.pop(TABLE)), files
    except KeyError:
        raise BundleInvalid(f"the zip has no {TABLE}") from None


def line(row: Row, found: Examination | None) -> dict[str, str]:
    """The row's answer; without an examination it could not be read, and nothing can be told."""
    told = {"row": str(row.number), "file": row.file}
    if found is None:
        return told | {"verdict": "cannot_tell", "exit_status": "14", "reasons": "row_unreadable"}
    told |= {
        "verdict": found.verdict.outcome.value,
        "exit_status": str(found.verdict.exit_status),
        "reasons": " ".join(each.value for each in found.verdict.reasons),
        "sha256": found.digest.hex(),
    }
    record, stated = found.chain[-1].record, found.chain[-1].stated
    if stated is not None:
        said = stated.statement
        told |= {"number": said.number, "principal": said.employer.name, "agent": said.employee.name}
    if record is not None:
        grant = record.grant
        told |= {"number": grant.number, "principal": grant.principal.name, "agent": grant.agent.name}
    return told


def answer(lines: Iterable[Mapping[str, str]]) -> str:
    """The table of answers. A name that a spreadsheet would take for a formula is quoted as text."""
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, COLUMNS, restval="", lineterminator="\r\n")
    writer.writeheader()
    for each in lines:
        writer.writerow(
            {name: f"'{value}" if value[:1] in "=+-@\t" else value for name, value in each.items() if value}
        )
    return out.getvalue()
