"""What is wrong between this machine and its card, in words, with the next thing to type.

Each check is a pure function from the facts (gathered by cardreader.facts) to one finding. Its words stand in
doctor.toml, in both languages; a PIN is never asked for and no try is used.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from enum import Enum
from functools import cache
from importlib import resources

from cardreader.jpki_profile import CardKind
from cardreader.readers import ReaderState

RENEWAL = timedelta(days=90)  # 更新 opens three months before the end
CLOCK_TOLERANCE = timedelta(minutes=5)  # the agent's requests live no longer
_JAPAN = timezone(timedelta(hours=9))  # certificates end at midnight there
NFC_MODULES = frozenset({"pn533", "pn533_usb", "port100", "nfc"})  # kernel modules that take NFC readers for themselves


class Level(Enum):
    """How much a finding matters; the worst one makes the exit status."""

    GOOD = "good"
    NOTE = "note"  # nothing to mend
    WARNING = "warning"  # works today
    FAULT = "fault"  # a login cannot work


EXIT_STATUS = {Level.GOOD: 0, Level.NOTE: 0, Level.FAULT: 1, Level.WARNING: 3}  # 2 is click's word for wrong usage


class ServiceState(Enum):
    """How the smart-card service answers."""

    ANSWERS = "answers"
    NO_LIBRARY = "no library"
    NOT_INSTALLED = "not installed"
    NOT_RUNNING = "not running"
    FORBIDDEN = "forbidden"
    SILENT = "silent"


@dataclass(frozen=True, slots=True, kw_only=True)
class CardFacts:
    """What one look at the card gave. `error` is an error class's name, `code` its code; then the rest is missing.

    `is_hpki`: a doctor's card; `roles` are the licences its certificates state, its dates those that end first.
    """

    error: str = ""
    code: str = ""
    kind: CardKind | None = None
    not_before: datetime | None = None
    not_after: datetime | None = None
    auth_tries: int | None = None
    sign_tries: int | None = None
    is_hpki: bool = False
    roles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustFacts:
    """The agent's allow-list. `problem` says why it cannot be used; `missing` that there is none yet."""

    path: str
    missing: bool = False
    problem: str = ""
    origins: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything that was seen. `readers` and `card` are None where they could not be looked for.

    `port_holder` is the program on the agent's port ("" if none); `synchronized` is the kernel's word on its clock
    (None: it has none); `clock_floor` is a time that has certainly passed.
    """

    service: ServiceState
    socket: str
    has_systemd: bool
    kernel_modules: frozenset[str] = frozenset()
    usb_readers: tuple[str, ...] = ()
    readers: tuple[ReaderState, ...] | None = None
    card: CardFacts | None = None
    port: int
    port_holder: str = ""
    port_is_agent: bool = False
    trust: TrustFacts
    now: datetime
    clock_floor: datetime
    synchronized: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """One finding in one language; `action` is the next thing to do or type, empty where there is nothing to do."""

    text: str
    action: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One check's result. `case` names its row in doctor.toml; `values` fill its words."""

    check: str
    case: str
    values: Mapping[str, str] = field(default_factory=dict)

    @property
    def level(self) -> Level:
        """From the case's row."""
        return _rows()[self.case].level

    def words(self, language: str) -> Words:
        """In "ja" or "en". What came from outside is shown without control characters."""
        row = _rows()[self.case]
        words = row.en if language == "en" else row.ja
        plain = {name: _printable(value) for name, value in self.values.items()}
        return Words(text=words.text.format(**plain), action=words.action.format(**plain))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    level: Level
    ja: Words
    en: Words


def diagnose(facts: Facts) -> tuple[Finding, ...]:
    """Every check that these facts allow, in the order in which things should be mended."""
    return tuple(finding for check in CHECKS if (finding := check(facts)) is not None)


def exit_status(findings: Sequence[Finding]) -> int:
    """0 nothing to mend, 1 a login cannot work, 3 it works and something wants attention."""
    levels = {finding.level for finding in findings}
    worst = next((level for level in (Level.FAULT, Level.WARNING) if level in levels), Level.GOOD)
    return EXIT_STATUS[worst]


def check_service(facts: Facts) -> Finding:
    """Does the smart-card service answer?"""
    match facts.service:
        case ServiceState.ANSWERS:
            case = "service_ok"
        case ServiceState.NO_LIBRARY:
            case = "service_library"
        case ServiceState.NOT_INSTALLED:
            case = "service_absent"
        case ServiceState.NOT_RUNNING:
            case = "service_stopped" if facts.has_systemd else "service_stopped_plain"
        case ServiceState.FORBIDDEN:
            case = "service_forbidden"
        case ServiceState.SILENT:
            case = "service_silent" if facts.has_systemd else "service_silent_plain"
    return Finding(check="service", case=case, values={"socket": facts.socket})


def check_kernel(facts: Facts) -> Finding | None:
    """Does a kernel module hold an NFC reader that the service should have? Only asked where a reader is missing."""
    grabbing = sorted(NFC_MODULES & facts.kernel_modules)
    if not grabbing or facts.readers:
        return None
    return Finding(check="kernel", case="kernel_grabs", values={"modules": " ".join(grabbing)})


def check_reader(facts: Facts) -> Finding | None:
    """Is there a reader?"""
    if facts.readers is None:
        return None
    if facts.readers:
        names = ", ".join(state.name for state in facts.readers)
        return Finding(check="reader", case="reader_ok", values={"readers": names})
    if facts.usb_readers:
        plugged = ", ".join(facts.usb_readers)
        return Finding(check="reader", case="reader_undriven", values={"readers": plugged})
    return Finding(check="reader", case="reader_none")


def check_card(facts: Facts) -> Finding | None:
    """Is there a MyNumber card, and does its JPKI application answer? An HPKI card is called by its name."""
    if not facts.readers or facts.card is None:
        return None
    cases = {
        "": "card_ok",
        "CardAbsent": "card_none",
        "SeveralCards": "card_several",
        "CardUnresponsive": "card_mute",
        "ReaderBusy": "card_busy",
        "NotJPKICard": "card_other",
        "OldResidentCard": "card_juki",
        "NoAuthCertificate": "card_no_certificate",
    }
    atr = next((state.atr.hex(" ").upper() for state in facts.readers if state.has_card and state.atr), "?")
    kind = facts.card.kind.value if facts.card.kind is not None else "?"
    values = {"atr": atr, "kind": kind, "code": facts.card.code}
    if facts.card.is_hpki:
        values["roles"] = ", ".join(facts.card.roles) or "–"
        return Finding(check="card", case="card_hpki", values=values)
    return Finding(check="card", case=cases.get(facts.card.error, "card_fault"), values=values)


def check_pin(facts: Facts) -> Finding | None:
    """How many tries has the four-digit PIN, or have the two of an HPKI card?"""
    if facts.card is None or facts.card.error:
        return None
    if facts.card.is_hpki:
        return _hpki_pins(facts.card)
    match facts.card.auth_tries:
        case None:
            return Finding(check="pin", case="pin_untold")
        case 0:
            return Finding(check="pin", case="pin_blocked")
        case 1:
            return Finding(check="pin", case="pin_last")
        case tries:
            case = "pin_ok" if tries >= 3 else "pin_fewer"
            return Finding(check="pin", case=case, values={"tries": str(tries)})


def check_password(facts: Facts) -> Finding | None:
    """How many tries has the signing password? A blocked one stops no login."""
    if facts.card is None or facts.card.error or facts.card.is_hpki or facts.card.sign_tries is None:
        return None
    tries = facts.card.sign_tries
    case = "password_blocked" if tries == 0 else "password_ok"
    return Finding(check="password", case=case, values={"tries": str(tries)})


def check_certificate(facts: Facts) -> Finding | None:
    """Is the user-authentication certificate within its period, or are both of an HPKI card?"""
    if facts.card is None or facts.card.error:
        return None
    begins, ends = facts.card.not_before, facts.card.not_after
    if begins is None or ends is None:
        return Finding(check="certificate", case="certificate_hidden")
    if facts.now < begins:
        case = "certificate_future"
    elif facts.now > ends:
        case = "certificate_expired"
    else:
        case = "certificate_soon" if ends - facts.now < RENEWAL else "certificate_ok"
    if facts.card.is_hpki:
        case = "hpki_certificate_ok" if begins <= facts.now <= ends else "hpki_certificate_outside"
    dates = {"begins": _date_in_japan(begins), "ends": _date_in_japan(ends)}
    return Finding(check="certificate", case=case, values=dates)


def _hpki_pins(card: CardFacts) -> Finding:
    counters = {"auth": card.auth_tries, "sign": card.sign_tries}
    fewest = min((tries for tries in counters.values() if tries is not None), default=None)
    case = {None: "hpki_pin_untold", 0: "hpki_pin_blocked", 1: "hpki_pin_last"}.get(fewest, "hpki_pin_ok")
    values = {name: "?" if tries is None else str(tries) for name, tries in counters.items()}
    return Finding(check="pin", case=case, values=values)


def check_port(facts: Facts) -> Finding:
    """Who holds the agent's port?"""
    values = {"port": str(facts.port), "holder": facts.port_holder}
    if not facts.port_holder:
        return Finding(check="agent", case="agent_stopped", values=values)
    return Finding(check="agent", case="agent_ok" if facts.port_is_agent else "agent_port_taken", values=values)


def check_trust(facts: Facts) -> Finding:
    """Does the agent know whom to serve?"""
    trust = facts.trust
    if trust.missing:
        return Finding(check="trust", case="trust_missing", values={"path": trust.path})
    if trust.problem:
        return Finding(check="trust", case="trust_damaged", values={"path": trust.path, "problem": trust.problem})
    return Finding(check="trust", case="trust_ok", values={"origins": ", ".join(trust.origins)})


def check_clock(facts: Facts) -> Finding:
    """Is this machine's clock credible?"""
    values = {"now": facts.now.isoformat(timespec="seconds"), "floor": facts.clock_floor.date().isoformat()}
    if facts.now < facts.clock_floor - CLOCK_TOLERANCE:
        return Finding(check="clock", case="clock_behind", values=values)
    case = "clock_free" if facts.synchronized is False else "clock_ok"
    return Finding(check="clock", case=case, values=values)


CHECKS: tuple[Callable[[Facts], Finding | None], ...] = (
    check_service,
    check_kernel,
    check_reader,
    check_card,
    check_pin,
    check_password,
    check_certificate,
    check_port,
    check_trust,
    check_clock,
)


def cases() -> Sequence[str]:
    """Every case that doctor.toml has words for."""
    return tuple(_rows())


@cache
def _rows() -> Mapping[str, _Row]:
    document = tomllib.loads(resources.files("cardreader").joinpath("doctor.toml").read_text(encoding="utf-8"))
    return {
        case: _Row(level=Level(row["level"]), ja=Words(**row["ja"]), en=Words(**row["en"]))
        for case, row in document.items()
    }


def _date_in_japan(moment: datetime) -> str:
    return moment.astimezone(_JAPAN).date().isoformat()


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)
