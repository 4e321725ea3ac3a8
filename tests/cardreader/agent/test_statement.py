"""A certificate of employment as a request asks for it: what is shown stands in the bytes that are signed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cardreader.agent.action import Action
from cardreader.agent.request import verify_request
from cardreader.agent.wording import act_facts, act_title
from cardreader.errors import ActionUnknown, AgentError
from tests.cardreader.agent.conftest import ISSUER, NOW, Broker, document

STATEMENT: dict[str, Any] = {
    "v": 1,
    "type": "statement.employment",
    "number": "n" * 22,
    "issuer": ISSUER,
    "nonce": "x" * 43,
    "employer": {
        "kind": "corporation",
        "id": "p" * 22,
        "name": "株式会社見本",
        "corporate_number": "8490101999999",
        "representative": "見本太郎",
        "address": "愛知県名古屋市",
    },
    "employee": {"kind": "person", "id": "e" * 22, "name": "山田花子", "title": "主任"},
    "employment": "part_time",
    "employed_since": "2021-04-01",
    "certified_on": "2026-11-20",
    "told_until": "2027-11-20",
    "hours": {"days_a_week": 5, "hours_a_month": 120, "starts": "09:00", "finishes": "16:00", "rest_minutes": 60},
    "worked": [{"month": "2026-10", "days": 20, "hours": 118}],
    "leave": {"kind": "childcare", "since": "2025-04-01", "until": "2026-03-31"},
    "returns_on": "2026-04-01",
    "income": {"year": 2025, "income": 4321000},
    "purpose": "保育所の入所申込み",
    "remarks": "備考の文",
    "contact": "総務課",
    "supersedes": "q" * 22,
}


def canonical(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def asked(statement: dict[str, Any] = STATEMENT, *, signed: str | None = None, **more: Any) -> dict[str, str]:
    """Tag and action; `signed` is what the document is of, where that is something else."""
    text = canonical(statement)
    row = document(signed or text, name="雇用証明書", type="application/json")
    action = {"kind": "statement", "statement": text, "documents": [row]} | more
    return {"tag": "JPKI-FED-MANDATE/1", "action": canonical(action)}


def act(broker: Broker, request: dict[str, str]) -> Action:
    return verify_request(broker.request(**request), trust=broker.trust(), origin=ISSUER, now=NOW).act


def test_all_that_is_certified_is_shown_before_the_pin(broker: Broker) -> None:
    found = act(broker, asked())
    shown = " ".join(value for _, value in act_facts(found, str))
    for word in (
        "株式会社見本", "8490101999999", "愛知県名古屋市", "山田花子", "主任", "パート", "2021-04-01",
        "2026-11-20", "2027-11-20", "09:00", "120", "2026-10", "118", "育児休業", "2025-04-01", "2026-03-31",
        "2026-04-01", "4,321,000", "保育所の入所申込み", "備考の文", "総務課", "置き換えます",
    ):  # fmt: skip
        assert word in shown, word
    assert "証明" in act_title(found, str)
    assert (found.kind, found.released, len(found.documents)) == ("statement", (), 1)


@pytest.mark.parametrize(
    "changed",
    [
        {"v": 2},
        {"type": "poa.business"},
        {"employment": "slave"},
        {"salary": 1},
        {"hours": STATEMENT["hours"] | {"night": True}},
        {"hours": STATEMENT["hours"] | {"starts": "9時"}},
        {"worked": [{"month": "2026-10", "days": -1, "hours": 1}]},
        {"worked": [{"month": "2026-10", "days": 1, "hours": 1}] * 4},
        {"leave": STATEMENT["leave"] | {"kind": "sick"}},
        {"employed_since": "2021-02-30"},
        {"remarks": "x" * 301},
        {"income": {"year": 2025, "income": True}},
    ],
)
def test_what_has_no_words_is_not_signed(broker: Broker, changed: dict[str, Any]) -> None:
    with pytest.raises(AgentError):
        act(broker, asked(STATEMENT | changed))


def test_what_is_signed_is_what_is_shown_and_nothing_beside_it(broker: Broker) -> None:
    with pytest.raises(ActionUnknown):
        act(broker, asked(signed=canonical(STATEMENT | {"remarks": "別の文"})))
    with pytest.raises(ActionUnknown):
        act(broker, asked(release=["name"]))
    for tag in ("JPKI-FED-ACCEPT/1", "JPKI-FED-PROOF/1", "JPKI-FED-AUTH/1"):
        with pytest.raises(AgentError):
            act(broker, asked() | {"tag": tag})
