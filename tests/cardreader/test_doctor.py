"""What the doctor finds: every case from facts alone, then real machines in trouble, with the next thing to type."""

from __future__ import annotations

import json
import os
import re
import socket
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path
from string import Formatter

import pytest
from click.testing import CliRunner

from cardreader import doctor, facts
from cardreader.__main__ import main
from cardreader.doctor import CardFacts, Facts, Finding, Level, ServiceState, TrustFacts, diagnose, exit_status
from cardreader.jpki_profile import CardKind
from cardreader.readers import ReaderState
from tests.cardreader.conftest import CardMaker, ThroughPCSCD

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
CARD = CardFacts(
    kind=CardKind.PLASTIC,
    not_before=NOW - timedelta(days=200),
    not_after=NOW + timedelta(days=1000),
    auth_tries=3,
    sign_tries=5,
)
READER = ReaderState(name="ACS ACR39U 00 00", has_card=True, atr=bytes.fromhex("3BE000FF8131FE4514"))
SOUND = Facts(
    service=ServiceState.ANSWERS,
    socket="/run/pcscd/pcscd.comm",
    has_systemd=True,
    readers=(READER,),
    card=CARD,
    port=24780,
    port_holder="cardreader (pid 7)",
    port_is_agent=True,
    trust=TrustFacts(path="trust.json", origins=("https://broker.example",)),
    now=NOW,
    clock_floor=NOW - timedelta(days=30),
    synchronized=True,
)


def with_service(state: ServiceState, *, has_systemd: bool = True) -> Facts:
    return replace(SOUND, service=state, has_systemd=has_systemd, readers=None, card=None)


def with_card(**shown: object) -> Facts:
    return replace(SOUND, card=replace(CARD, **shown))  # type: ignore[arg-type]  # each case names fields of CardFacts


def with_error(error: str) -> Facts:
    return replace(SOUND, card=CardFacts(error=error, code="CARD-009"))


CASES = {
    "service_ok": SOUND,
    "service_library": with_service(ServiceState.NO_LIBRARY),
    "service_absent": with_service(ServiceState.NOT_INSTALLED),
    "service_stopped": with_service(ServiceState.NOT_RUNNING),
    "service_stopped_plain": with_service(ServiceState.NOT_RUNNING, has_systemd=False),
    "service_forbidden": with_service(ServiceState.FORBIDDEN),
    "service_silent": with_service(ServiceState.SILENT),
    "service_silent_plain": with_service(ServiceState.SILENT, has_systemd=False),
    "kernel_grabs": replace(SOUND, readers=(), card=None, kernel_modules=frozenset({"port100", "ext4"})),
    "reader_ok": SOUND,
    "reader_undriven": replace(SOUND, readers=(), card=None, usb_readers=("RC-S380",)),
    "reader_none": replace(SOUND, readers=(), card=None),
    "card_ok": SOUND,
    "card_none": with_error("CardAbsent"),
    "card_several": with_error("SeveralCards"),
    "card_mute": with_error("CardUnresponsive"),
    "card_busy": with_error("ReaderBusy"),
    "card_other": with_error("NotJPKICard"),
    "card_juki": with_error("OldResidentCard"),
    "card_no_certificate": with_error("NoAuthCertificate"),
    "card_fault": with_error("TransportFault"),
    "pin_ok": SOUND,
    "pin_fewer": with_card(auth_tries=2),
    "pin_last": with_card(auth_tries=1),
    "pin_blocked": with_card(auth_tries=0),
    "pin_untold": with_card(auth_tries=None),
    "password_ok": SOUND,
    "password_blocked": with_card(sign_tries=0),
    "certificate_ok": SOUND,
    "certificate_soon": with_card(not_after=NOW + timedelta(days=80)),
    "certificate_expired": with_card(not_after=NOW - timedelta(days=1)),
    "certificate_future": with_card(not_before=NOW + timedelta(days=1)),
    "certificate_hidden": with_card(not_before=None, not_after=None),
    "agent_ok": SOUND,
    "agent_stopped": replace(SOUND, port_holder="", port_is_agent=False),
    "agent_port_taken": replace(SOUND, port_holder="nginx (pid 9)", port_is_agent=False),
    "trust_ok": SOUND,
    "trust_missing": replace(SOUND, trust=TrustFacts(path="trust.json", missing=True)),
    "trust_damaged": replace(SOUND, trust=TrustFacts(path="trust.json", problem="phrase is missing")),
    "card_hpki": with_card(is_hpki=True, roles=("Medical Doctor",)),
    "hpki_pin_ok": with_card(is_hpki=True),
    "hpki_pin_last": with_card(is_hpki=True, sign_tries=1),
    "hpki_pin_blocked": with_card(is_hpki=True, auth_tries=0),
    "hpki_pin_untold": with_card(is_hpki=True, auth_tries=None, sign_tries=None),
    "hpki_certificate_ok": with_card(is_hpki=True),
    "hpki_certificate_outside": with_card(is_hpki=True, not_after=NOW - timedelta(days=1)),
    "clock_ok": SOUND,
    "clock_free": replace(SOUND, synchronized=False),
    "clock_behind": replace(SOUND, now=NOW - timedelta(days=31)),
}


def test_every_case_has_words_and_every_row_a_case() -> None:
    assert set(CASES) == set(doctor.cases())


@pytest.mark.parametrize(("case", "seen"), CASES.items(), ids=CASES)
def test_each_trouble_is_found_by_its_own_name_and_said_in_both_languages(case: str, seen: Facts) -> None:
    found = [finding for finding in diagnose(seen) if finding.case == case]
    assert len(found) == 1
    for language in ("ja", "en"):
        words = found[0].words(language)
        assert words.text
        assert "{" not in words.text + words.action
        if found[0].level in (Level.FAULT, Level.WARNING):
            assert words.action, "trouble without a next step"


def test_both_languages_are_complete_and_fill_in_the_same_values() -> None:
    document = tomllib.loads(resources.files("cardreader").joinpath("doctor.toml").read_text(encoding="utf-8"))
    for case, row in document.items():
        fields = [
            {name for text in row[language].values() for _, name, _, _ in Formatter().parse(text) if name}
            for language in ("ja", "en")
        ]
        assert fields[0] == fields[1], case
        assert re.search("[\u3040-\u30ff\u4e00-\u9fff]", row["ja"]["text"]), case
        assert row["en"]["text"].isascii(), case


@pytest.mark.parametrize(
    ("seen", "status"),
    [
        (SOUND, 0),
        (CASES["password_blocked"], 0),
        (CASES["pin_last"], 3),
        (CASES["agent_stopped"], 3),
        (CASES["pin_blocked"], 1),
        (CASES["service_stopped"], 1),
        (replace(CASES["pin_blocked"], port_holder="", port_is_agent=False), 1),
    ],
)
def test_the_exit_status_is_that_of_the_worst_finding(seen: Facts, status: int) -> None:
    assert exit_status(diagnose(seen)) == status


def test_without_a_service_nothing_is_said_about_readers_and_cards() -> None:
    checks = {finding.check for finding in diagnose(CASES["service_stopped"])}
    assert checks == {"service", "agent", "trust", "clock"}


def test_a_module_that_grabs_nothing_is_not_blamed() -> None:
    assert all(finding.check != "kernel" for finding in diagnose(replace(SOUND, kernel_modules=frozenset({"pn533"}))))


def test_a_program_name_cannot_play_with_the_terminal() -> None:
    finding = Finding(check="agent", case="agent_port_taken", values={"port": "1", "holder": "evil\x1b[2J\u202e"})
    assert "\x1b" not in finding.words("en").text
    assert "\u202e" not in finding.words("ja").text


def run(*options: str, environment: dict[str, str]) -> tuple[int, dict[str, str], str]:
    """Exit status, case by check, and all that was printed."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    arguments = ["doctor", "--json", "--port", str(port), "--trust", "none.json", *options]
    done = CliRunner().invoke(main, arguments, env=environment)
    assert done.stderr == ""
    report = json.loads(done.stdout)
    assert report["exit_status"] == done.exit_code
    return done.exit_code, {row["check"]: row["case"] for row in report["findings"]}, done.stdout


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="doctor-") as name:
        yield Path(name)


def at(path: Path) -> dict[str, str]:
    return {**os.environ, "PCSCLITE_CSOCK_NAME": str(path)}


def test_a_service_that_does_not_run_is_found_on_this_machine(folder: Path) -> None:
    status, cases, _ = run(environment=at(folder / "nothing"))
    assert status == 1
    assert cases["service"] in ("service_stopped", "service_stopped_plain", "service_absent")
    assert cases["trust"] == "trust_missing"


def test_a_socket_that_this_user_may_not_open_is_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("smartcard", reason="missing: pyscard (extra [reader])")
    path = folder / "comm"
    monkeypatch.setenv("PCSCLITE_CSOCK_NAME", str(path))
    folder.chmod(0o755)
    user = os.geteuid()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        path.chmod(0)
        try:
            if user == 0:
                os.seteuid(65534)  # root may open every socket
            assert facts.service_state() is ServiceState.FORBIDDEN
        finally:
            os.seteuid(user)


def test_a_sound_card_is_described_without_a_word_about_its_holder(
    through_pcscd: ThroughPCSCD, card_maker: CardMaker
) -> None:
    card = replace(card_maker(tries=2), name="doctor")
    through_pcscd.insert(card)
    _, cases, printed = run(environment=dict(os.environ))
    assert cases["service"] == "service_ok"
    assert cases["card"] == "card_ok"
    assert cases["pin"] == "pin_fewer"
    assert cases["password"] == "password_ok"
    assert cases["certificate"] in ("certificate_ok", "certificate_soon")
    assert json.loads(printed)["pin_tries_left"] == 2
    assert "card side test" not in printed  # the certificate's name
    assert through_pcscd.status().auth_tries == 2


def test_no_card_a_card_left_alone_and_a_blocked_card_are_told_apart(
    through_pcscd: ThroughPCSCD, card_maker: CardMaker
) -> None:
    assert run(environment=dict(os.environ))[1]["card"] == "card_none"
    through_pcscd.insert(card_maker(tries=0))
    status, cases, _ = run(environment=dict(os.environ))
    assert (status, cases["pin"]) == (1, "pin_blocked")
    assert "card" not in run("--no-card", environment=dict(os.environ))[1]


def test_text_names_the_next_thing_to_type_in_the_language_asked_for(folder: Path) -> None:
    for language, word in (("ja", "次に"), ("en", "next")):
        arguments = ["doctor", "--lang", language, "--trust", str(folder / "no.json")]
        done = CliRunner().invoke(main, arguments, env={"PCSCLITE_CSOCK_NAME": str(folder / "nothing")})
        assert f"{word}: cardreader trust https://" in done.stdout
