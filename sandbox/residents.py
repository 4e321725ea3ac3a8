"""Who lives in the sandbox: `residents.toml` read and checked."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final, Literal

from sandbox.ca import FOREIGN_ORGANIZATION, TEST_ORGANIZATION, HolderAttributes, Municipality

RESIDENTS_FILE: Final = Path(__file__).with_name("residents.toml")

_ERAS: Final = ((date(2019, 5, 1), 5), (date(1989, 1, 8), 4), (date(1926, 12, 25), 3), (date(1912, 7, 30), 2))
_REASONS: Final = {
    "unspecified",
    "keyCompromise",
    "affiliationChanged",
    "superseded",
    "cessationOfOperation",
    "certificateHold",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue:
    """Which generation issued a resident's certificates, and how many days ago."""

    generation: int = 2
    days_ago: int = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Resident:
    """One invented person and the card they hold. `pin_tries` is what is left on the 利用者証明用 PIN."""

    name: str
    label: str
    label_en: str
    kana: str
    birth: date
    sex: Literal[1, 2, 9]
    municipality: Municipality
    address: str
    demonstrates_ja: str
    demonstrates_en: str
    pin: str
    sign_password: str | None = None
    birth_known: Literal["day", "month", "year"] = "day"  # how much of `birth` the certificate states; the rest is 00
    era: int | None = None  # None: from the date; 0: unknown, as for residents of foreign nationality
    name_flags: str | None = None
    address_flags: str | None = None
    kind: Literal["plastic", "juki", "hpki"] = "plastic"  # hpki: a doctor's card, of no office
    hierarchy: str = TEST_ORGANIZATION
    pin_tries: int = 3
    issue: Issue = Issue()
    renewed_from: Issue | None = None
    phones: tuple[Literal["android", "iphone"], ...] = ()
    auth: bool = True
    sign: bool = True
    aki: bool = False
    eku: bool = False
    revoked: str | None = None  # CRL reason for both certificates
    sign_revoked: str | None = None
    same_auth_serial_as: str | None = None
    company: str | None = None
    company_role: str | None = None
    company_number: str | None = None  # 法人番号: with it the registrar certifies the company to this representative
    company_address: str | None = None

    def __post_init__(self) -> None:
        if not self.name.isascii() or not self.name.isalnum() or self.name != self.name.lower():
            raise ValueError(f"resident name must be lower-case letters and digits: {self.name!r}")
        if len(self.pin) != 4 or not self.pin.isascii() or not self.pin.isdigit():
            raise ValueError(f"{self.name}: the 利用者証明用 PIN has four digits")
        password = self.sign_password
        if password is not None and not (6 <= len(password) <= 16 and password.isascii() and password.isalnum()):
            raise ValueError(f"{self.name}: the 署名用 password has 6 to 16 letters and digits")
        if password is not None and password != password.upper():
            raise ValueError(f"{self.name}: the 署名用 password is upper case")
        if not 0 <= self.pin_tries <= 3:
            raise ValueError(f"{self.name}: pin_tries is 0 to 3")
        if self.kind == "hpki" and (self.sign or self.phones or self.renewed_from is not None):
            raise ValueError(f"{self.name}: an HPKI card has no 署名用 password, phone or renewal")
        if not set(self.phones) <= {"android", "iphone"}:
            raise ValueError(f"{self.name}: a phone is android or iphone")
        if self.hierarchy not in (TEST_ORGANIZATION, FOREIGN_ORGANIZATION):
            raise ValueError(f"{self.name}: unknown hierarchy {self.hierarchy!r}")
        if self.company_number is not None and None in (self.company, self.company_role, self.company_address):
            raise ValueError(f"{self.name}: a registered company has a name, an address and a representative's title")
        for reason in (self.revoked, self.sign_revoked):
            if reason is not None and reason not in _REASONS:
                raise ValueError(f"{self.name}: unknown revocation reason {reason!r}")

    @property
    def old_card(self) -> str:
        """The file of the card as it was before the renewal."""
        return f"{self.name}old"

    def phone_card(self, phone: str) -> str:
        """The file of the certificate on a phone."""
        return f"{self.name}{phone}"

    @property
    def holder(self) -> HolderAttributes:
        """The four attributes as the 署名用 certificate states them."""
        return HolderAttributes(
            name=self.label,
            name_flags=self.name_flags or "0" * len(self.label),
            sex=self.sex,
            birth=f"{_era(self.birth) if self.era is None else self.era}{self.birth:%Y}{_known(self)}",
            address=self.address,
            address_flags=self.address_flags or "0" * len(self.address),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Population:
    """All residents and municipalities of a file, in its order."""

    residents: tuple[Resident, ...]
    municipalities: tuple[Municipality, ...]


def load_residents(source: bytes) -> Population:
    """Read the TOML text of a residents file. Raises ValueError (also for bad TOML), naming the resident."""
    document = tomllib.loads(source.decode("utf-8"))
    municipalities = {row["code"]: Municipality(**row) for row in document["municipality"]}
    residents = tuple(_resident(row, municipalities) for row in document["resident"])
    if len({resident.name for resident in residents}) != len(residents):
        raise ValueError("two residents share a name")
    return Population(residents=residents, municipalities=tuple(municipalities.values()))


def _resident(row: Mapping[str, Any], municipalities: Mapping[str, Municipality]) -> Resident:
    fields = dict(row)
    name = fields.get("name", "a resident without a name")
    try:
        demonstrates = fields.pop("demonstrates")
        defaults = Issue()
        issue = Issue(
            generation=fields.pop("generation", defaults.generation),
            days_ago=fields.pop("issued_days_ago", defaults.days_ago),
        )
        before = fields.pop("renewed_from", None)
        return Resident(
            municipality=municipalities[fields.pop("municipality")],
            demonstrates_ja=demonstrates["ja"],
            demonstrates_en=demonstrates["en"],
            issue=issue,
            renewed_from=before and Issue(generation=before["generation"], days_ago=before["issued_days_ago"]),
            sign=fields.pop("sign", "sign_password" in fields),
            phones=tuple(fields.pop("phones", ())),
            **fields,
        )
    except (KeyError, TypeError) as fault:
        raise ValueError(f"{name}: missing or unknown field: {fault}") from fault


def _known(resident: Resident) -> str:
    match resident.birth_known:
        case "day":
            return f"{resident.birth:%m%d}"
        case "month":
            return f"{resident.birth:%m}00"
        case _:
            return "0000"


def _era(birth: date) -> int:
    return next((era for begins, era in _ERAS if birth >= begins), 1)
