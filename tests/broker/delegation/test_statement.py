"""The certificate of employment: a second document on the machinery of powers of attorney."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from broker.delegation import record as records
from broker.delegation import statement as statements
from broker.delegation.grant import Party, PartyKind
from broker.delegation.members import JST, canonical
from broker.delegation.record import Evidence, Proof, StatementRecord
from broker.delegation.rendering import FONTS, Renderer
from broker.delegation.rules import Rule
from broker.delegation.statement import Employment, Hours, Income, Leave, LeaveKind, Statement, Worked
from broker.delegation.verification import verify_document
from broker.delegation.vocabulary import LABELS, VALUES
from broker.errors import PowerRefused
from tests.broker.delegation.sealed import seal_workshop, sealed_by
from tests.broker.delegation.test_grant import PRINCIPAL
from tests.broker.delegation.test_sealing import program
from tests.broker.delegation.workshop import AT

EMPLOYED = Statement(
    number="n" * 22,
    issuer="https://broker.example",
    nonce="x" * 43,
    employer=PRINCIPAL,
    employee=Party(kind=PartyKind.PERSON, id="e" * 22, name="𠮷田 花子", title="主任"),
    employment=Employment.FIXED_TERM,
    employed_since=date(2021, 4, 1),
    employed_until=date(2027, 3, 31),
    certified_on=date(2026, 11, 20),
    told_until=date(2027, 11, 20),
    industry="情報通信業",
    workplace="本社",
    workplace_address="愛知県名古屋市中区栄1-1",
    purpose="保育所の入所申込み",
    hours=Hours(days_a_week=5, hours_a_month=160, starts="09:00", finishes="17:45", rest_minutes=45),
    worked=(Worked(month="2026-09", days=19, hours=152), Worked(month="2026-10", days=21, hours=168)),
    leave=Leave(kind=LeaveKind.CHILDCARE, since=date(2025, 4, 1), until=date(2026, 3, 31)),
    returns_on=date(2026, 4, 1),
    income=Income(year=2025, income=4_321_000),
    remarks="短時間勤務制度を利用している",
    contact="総務課 052-000-0000",
    supersedes="q" * 22,
)
LEAST = replace(
    EMPLOYED,
    employed_until=None,
    industry="",
    workplace="",
    workplace_address="",
    purpose="",
    hours=None,
    worked=(),
    leave=None,
    returns_on=None,
    income=None,
    remarks="",
    contact="",
    supersedes=None,
)

HOURS = {"days_a_week": 5, "hours_a_month": 160, "starts": "09:00", "finishes": "17:45", "rest_minutes": 45}


def record(statement: Statement = EMPLOYED) -> bytes:
    written = statements.write(statement)
    issued = AT.astimezone(JST)
    return records.write_statement(
        StatementRecord(
            statement_bytes=written,
            statement=statements.read(written),
            issued_at=issued,
            evidence=(Evidence(shows=Proof.PRINCIPAL_SIGNATURE, sha256="ab" * 32, at=issued),),
            status_list="https://broker.example/status/1",
            status_index=7,
            log_origin="broker.example/register-log/2026",
            template="record:" + "ef" * 32,
        )
    )


def refused(data: bytes) -> tuple[str, str]:
    with pytest.raises(PowerRefused) as refusal:
        statements.read(data)
    return refusal.value.rule, refusal.value.where


def changed(**members: Any) -> bytes:
    document = json.loads(statements.write(EMPLOYED)) | members
    return canonical({name: value for name, value in document.items() if value is not None})


@pytest.mark.parametrize(
    "statement",
    [EMPLOYED, LEAST],
    ids=["everything", "the least"],
)
def test_a_statement_is_read_as_it_was_written(statement: Statement) -> None:
    data = statements.write(statement)
    assert statements.read(data) == statement
    assert list(json.loads(data)) == sorted(json.loads(data))
    assert records.read_statement(record(statement)).statement == statement


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ({"v": 2}, (Rule.VERSION, "v")),
        ({"type": "poa.business"}, (Rule.FORM, "type")),
        ({"nonce": None}, (Rule.FORM, "nonce")),
        ({"salary": 1}, (Rule.FORM, "salary")),
        ({"employment": "slave"}, (Rule.FORM, "employment")),
        ({"employed_since": "2021-02-30"}, (Rule.FORM, "employed_since")),
        ({"employed_since": "2026-11-21"}, (Rule.EMPLOYMENT, "certified_on")),
        ({"employed_until": "2021-03-31"}, (Rule.EMPLOYMENT, "employed_until")),
        ({"told_until": "2026-11-19"}, (Rule.TOLD_UNTIL, "told_until")),
        ({"told_until": "2037-01-01"}, (Rule.TOLD_UNTIL, "told_until")),
        ({"hours": HOURS | {"days_a_week": 8}}, (Rule.HOURS, "hours.days_a_week")),
        ({"hours": HOURS | {"starts": "24:00"}}, (Rule.FORM, "hours.starts")),
        ({"hours": HOURS | {"night": True}}, (Rule.FORM, "hours.night")),
        ({"worked": [{"month": "2026-12", "days": 1, "hours": 1}]}, (Rule.HOURS, "worked")),
        ({"worked": [{"month": "2026-09", "days": 1, "hours": 1}] * 2}, (Rule.HOURS, "worked")),
        ({"worked": [{"month": "2026-09", "days": 32, "hours": 1}]}, (Rule.HOURS, "worked.0.days")),
        ({"worked": [{"month": f"2026-0{n}", "days": 1, "hours": 1} for n in range(1, 5)]}, (Rule.FORM, "worked")),
        ({"leave": {"kind": "sick", "since": "2026-01-01", "until": "2026-02-01"}}, (Rule.FORM, "leave.kind")),
        ({"leave": {"kind": "childcare", "since": "2026-02-02", "until": "2026-02-01"}}, (Rule.LEAVE, "leave")),
        ({"leave": None}, (Rule.LEAVE, "returns_on")),
        ({"remarks": "a\nb"}, (Rule.FORM, "remarks")),
        ({"contact": "x" * 301}, (Rule.FORM, "contact")),
        ({"supersedes": "n" * 22}, (Rule.FORM, "supersedes")),
        ({"income": {"year": 2025, "income": -1}}, (Rule.INCOME, "income.income")),
        ({"income": {"year": 2025, "income": 1.5}}, (Rule.INCOME, "income.income")),
        ({"income": {"year": 2020, "income": 1}}, (Rule.INCOME, "income.year")),
        ({"employee": {"kind": "person", "id": "p" * 22, "name": "見本"}}, (Rule.SAME_PARTY, "employee.id")),
        ({"employer": {"kind": "person", "id": "p" * 22, "name": "見本"}}, (Rule.EMPLOYER, "employer.kind")),
        (
            {"employee": {"kind": "person", "id": "e" * 22, "name": "見本", "address": "愛知県"}},
            (Rule.FORM, "employee.address"),
        ),
    ],
)
def test_a_statement_that_breaks_a_rule_is_refused_by_its_name(members: dict[str, Any], told: tuple[str, str]) -> None:
    assert refused(changed(**members)) == told


def test_a_power_is_no_statement_and_a_statement_no_power() -> None:
    with pytest.raises(PowerRefused):
        records.read(record())
    with pytest.raises(PowerRefused):
        records.read_statement(record().replace(b"statement.employment", b"poa.business"))


def test_it_is_printed_sealed_and_verified_like_a_power(tmp_path: Path) -> None:
    if not all(font.exists() for font in FONTS):
        pytest.skip("missing: fonts-ipaexfont-gothic, fonts-ipamj-mincho")
    workshop = seal_workshop()
    sealed = sealed_by(workshop, Renderer().render(record()))
    verdict = verify_document(sealed, anchors=workshop.anchors, at=AT)
    assert verdict.reasons == ()
    assert verdict.record is not None
    assert records.read_statement(verdict.record).statement == EMPLOYED
    (tmp_path / "statement.pdf").write_bytes(sealed)
    done = subprocess.run(
        [program("pdftotext"), "-raw", tmp_path / "statement.pdf", "-"], capture_output=True, text=True, check=True
    )
    printed = "".join(done.stdout.split())
    names = [*json.loads(statements.write(EMPLOYED)), "year", *HOURS, "month", "days", "since", "until"]
    for words in (VALUES["type"][statements.TYPE], *(LABELS[name] for name in names)):
        assert "".join(words.ja.split()) in printed
        assert "".join(words.en.split()) in printed
    for shown in (
        "4,321,000円",
        "2021年4月1日",
        "有期雇用",
        "𠮷田花子",
        "U+20BB7",
        "保育所の入所申込み",
        "育児休業",
        "09:00",
    ):
        assert shown in printed


def test_every_employment_has_its_word() -> None:
    assert set(VALUES["employment"]) == set(Employment)
    assert set(LeaveKind) <= set(VALUES["kind"])
