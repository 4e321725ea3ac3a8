"""`cardreader doctor`: find out and say what keeps this machine from reading a card."""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import click
import platformdirs

from cardreader.agent.app import DEFAULT_PORT
from cardreader.doctor import Facts, Finding, Level, diagnose, exit_status
from cardreader.facts import gather
from cardreader.pcsc import PCSCReaders

_MARKS = {
    "ja": {Level.GOOD: "良好", Level.NOTE: "参考", Level.WARNING: "注意", Level.FAULT: "要修正"},
    "en": {Level.GOOD: "good", Level.NOTE: "note", Level.WARNING: "warning", Level.FAULT: "to mend"},
}
_NEXT = {"ja": "次に", "en": "next"}


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, both languages in it.")
@click.option(
    "--lang",
    type=click.Choice(["ja", "en"]),
    default=lambda: "ja" if os.environ.get("LC_ALL", os.environ.get("LANG", "")).startswith("ja") else "en",
    show_default="ja where LANG says so, else en",
)
@click.option(
    "--trust",
    "trust_path",
    type=click.Path(dir_okay=False, path_type=Path),
    default=lambda: platformdirs.user_config_path("cardreader") / "trust.json",
    show_default="trust.json in your configuration folder",
    help="The agent's trust file.",
)
@click.option("--port", type=click.IntRange(1024, 65535), default=DEFAULT_PORT, show_default=True)
@click.option("--reader", help="Only the reader whose name contains this.")
@click.option("--no-card", is_flag=True, help="Leave the card alone, for example during a login.")
@click.option("--sandbox", is_flag=True, help="Accept trust entries on this machine (http, loopback): tests only.")
def doctor(
    lang: str, trust_path: Path, port: int, reader: str | None, *, as_json: bool, no_card: bool, sandbox: bool
) -> None:
    """Find out what keeps this machine from reading a card, and say what to do next. Never asks for a PIN.

    Exit status: 0 nothing to mend; 1 a login cannot work; 2 wrong usage; 3 it works, but something wants attention.
    """
    facts = gather(
        trust_path=trust_path,
        port=port,
        sandbox=sandbox,
        now=datetime.now(UTC),
        readers=PCSCReaders(reader=reader),
        look=not no_card,
    )
    findings = diagnose(facts)
    status = exit_status(findings)
    click.echo(as_document(facts, findings, status) if as_json else as_text(findings, lang))
    sys.exit(status)


def as_text(findings: tuple[Finding, ...], language: str) -> str:
    """One line per finding, and the next thing to type below those that need one."""
    lines = []
    for finding in findings:
        words = finding.words(language)
        lines.append(f"[{_MARKS[language][finding.level]}] {words.text}")
        if words.action:
            lines.append(f"    {_NEXT[language]}: {words.action}")
    return "\n".join(lines)


def as_document(facts: Facts, findings: tuple[Finding, ...], status: int) -> str:
    """For programs: each finding with its stable case name; no certificate, no name of a person."""
    rows = []
    for finding in findings:
        row: dict[str, object] = {"check": finding.check, "case": finding.case, "level": finding.level.value}
        for language in ("ja", "en"):
            words = finding.words(language)
            row[language] = {"text": words.text, "action": words.action}
        rows.append(row)
    tries = None if facts.card is None or facts.card.is_hpki else facts.card.auth_tries
    return json.dumps({"exit_status": status, "pin_tries_left": tries, "findings": rows}, ensure_ascii=False, indent=1)
