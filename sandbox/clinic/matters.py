"""Matters of a doctor and a patient: what for, who the doctor is as certified, and whose card came after."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from sandbox.party.visits import Visit, Visits

CLAIM: Final = "urn:jpki-broker:claim:joint"
INSTITUTION: Final = "urn:jpki-broker:claim:institution"
MEDICAL_DOCTOR: Final = "Medical Doctor"
"""The licence of this room, as a certificate spells it (`hcrole`)."""
SHOWN: Final = timedelta(minutes=30)
"""How long a matter stays on the screen of the room."""

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS matter (
    joint TEXT PRIMARY KEY, purpose TEXT NOT NULL, doctor TEXT, certified TEXT, patient TEXT, at TEXT NOT NULL
) STRICT;
"""


class AnswerUnfit(Exception):
    """What the broker answered is not an answer to what was asked here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Matter:
    """One, as far as it is. `doctor` and `patient` are pseudonyms at this clinic; None before their card came."""

    joint: str
    purpose: str
    doctor: str | None = None
    certified: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """The doctor's `verified_claims`."""
    patient: str | None = None

    @property
    def name(self) -> str:
        return str(self.certified["claims"]["name"])

    @property
    def institution(self) -> str:
        """Empty where the certificate names none."""
        return str(self.certified["claims"].get(INSTITUTION, ""))


class Matters(Visits):
    """The books of the consultation room, beside the visits."""

    def __init__(self, path: Path, *, schema: str = "") -> None:
        """Raises OSError, sqlite3.Error."""
        super().__init__(path, schema=_SCHEMA + schema)

    def open_matter(self, joint: str, purpose: str, *, now: datetime) -> None:
        """What was ordered at the broker under this id."""
        with self._connection() as database, database:
            database.execute("DELETE FROM matter WHERE at <= ?", ((now - SHOWN).isoformat(),))
            database.execute(
                "INSERT INTO matter (joint, purpose, at) VALUES (?, ?, ?)", (joint, purpose, now.isoformat())
            )

    def matter(self, joint: str, *, now: datetime) -> Matter | None:
        """None once it is too old to be shown."""
        with self._connection() as database:
            row = database.execute(
                "SELECT purpose, doctor, certified, patient FROM matter WHERE joint = ? AND at > ?",
                (joint, (now - SHOWN).isoformat()),
            ).fetchone()
        if row is None:
            return None
        certified = {} if row[2] is None else json.loads(row[2])
        return Matter(joint=joint, purpose=row[0], doctor=row[1], certified=certified, patient=row[3])

    def doctor_came(self, joint: str, visit: Visit) -> None:
        """Keep who the doctor is. Raises AnswerUnfit: of another matter, without the licence, or the second one."""
        certified = visit.claims.get("verified_claims", {})
        told = visit.claims.get(CLAIM)
        if told != {"id": joint, "role": "professional", "state": "begun"}:
            raise AnswerUnfit("no doctor of this matter")
        if MEDICAL_DOCTOR not in certified.get("claims", {}).get("hcrole", ()):
            raise AnswerUnfit("another licence")
        with self._connection() as database, database:
            kept = database.execute(
                "UPDATE matter SET doctor = ?, certified = ? WHERE joint = ? AND doctor IS NULL",
                (str(visit.claims["sub"]), json.dumps(certified), joint),
            )
        if kept.rowcount != 1:
            raise AnswerUnfit("a doctor came before")

    def patient_came(self, matter: Matter, visit: Visit, *, standing: Mapping[str, Any]) -> None:
        """Keep whose card came second. `standing` is what the broker says of the matter itself.

        Raises AnswerUnfit: the patient's token names another matter or doctor, or the broker another patient.
        """
        subject = str(visit.claims["sub"])
        doctor = {"sub": matter.doctor, "verified_claims": matter.certified}
        told = {"id": matter.joint, "role": "patient", "state": "complete", "professional": doctor}
        if matter.doctor is None or visit.claims.get(CLAIM) != told:
            raise AnswerUnfit("no patient of this matter")
        halves = (standing.get("professional"), standing.get("patient"))
        if standing.get("status") != "complete" or halves != ({"sub": matter.doctor}, {"sub": subject}):
            raise AnswerUnfit("the broker knows this matter otherwise")
        with self._connection() as database, database:
            kept = database.execute(
                "UPDATE matter SET patient = ? WHERE joint = ? AND doctor = ? AND patient IS NULL",
                (subject, matter.joint, matter.doctor),
            )
        if kept.rowcount != 1:
            raise AnswerUnfit("a patient came before")

    def end_matter(self, joint: str) -> None:
        """Off the screen and out of the books; twice does no harm."""
        with self._connection() as database, database:
            database.execute("DELETE FROM matter WHERE joint = ?", (joint,))
