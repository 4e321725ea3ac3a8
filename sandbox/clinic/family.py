"""The family's room: a child's record for the parent who acts for it, and the desk that looks at the papers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from flask import Flask, abort, redirect, render_template, request, session, url_for
from werkzeug.wrappers import Response

from sandbox.clinic.records import VIEW, NumberTaken, Records
from sandbox.party import language
from sandbox.party.forms import check_form_token
from sandbox.party.relying_party import RelyingParty
from sandbox.party.visits import Visit

BASES: Final = ("maternal_handbook", "family_register", "guardian_register")


def install(app: Flask, *, records: Records, relying_party: RelyingParty, visitor: Callable[[], Visit | None]) -> None:
    """The room's pages."""
    room = _Family(records=records, relying_party=relying_party, visitor=visitor)
    app.add_url_rule("/child/view", "view", room.view, methods=["POST"])
    app.add_url_rule("/child/<decision>", "child", room.child)
    app.add_url_rule("/no-power", "no_power", room.no_power)
    app.add_url_rule("/desk/ask", "ask_desk", room.ask_desk, methods=["POST"])
    app.add_url_rule("/desk", "desk", room.desk)
    app.add_url_rule("/desk/confirm", "confirm", room.confirm, methods=["POST"])
    app.add_url_rule("/desk/end", "end", room.end, methods=["POST"])


def overview(visit: Visit, *, relying_party: RelyingParty) -> str:
    """What a parent may do here, and what of theirs waits for the desk."""
    told = relying_party.call("/api/guardianships", {"sub": _subject(visit)})
    return render_template("home.html", guardianships=told["guardianships"])


class _Family:
    def __init__(self, *, records: Records, relying_party: RelyingParty, visitor: Callable[[], Visit | None]) -> None:
        self._records = records
        self._relying_party = relying_party
        self._visitor = visitor

    def view(self) -> Response:
        """Off to the broker with the question: may this person see a record for somebody of the family here?"""
        check_form_token()
        if self._visitor() is None:
            return redirect(url_for("home"), 303)
        session["asked"] = True
        return self._relying_party.start(ui_locales=language.current(), authorization_details=[VIEW])

    def child(self, decision: str) -> str | Response:
        """The record, as long as the answer holds."""
        visit = self._visitor()
        if visit is None:
            return redirect(url_for("home"), 303)
        patient = self._records.shown(decision, actor=_subject(visit), now=_now())
        if patient is None:
            return redirect(url_for("no_power"), 303)
        return render_template("child.html", patient=patient)

    def no_power(self) -> str:
        """Nothing is shown, and the clinic does not know why."""
        return render_template("no_power.html")

    def ask_desk(self) -> Response:
        """The desk is to look at the papers."""
        check_form_token()
        visit = self._visitor()
        if visit is not None:
            self._records.ask(_subject(visit), now=_now())
        return redirect(url_for("home"), 303)

    def desk(self) -> str:
        """The clinic's own people; a real clinic would have them log in."""
        return self._desk()

    def _desk(self, *, taken: bool = False) -> str:
        waiting = [each | {"last": _last_day(each["ends"])} for each in self._waiting()]
        return render_template("desk.html", waiting=waiting, patients=self._records.patients.values(), taken=taken)

    def _waiting(self) -> list[dict[str, Any]]:
        """What those who asked at the desk have applied for."""
        told: list[dict[str, Any]] = []
        for subject in self._records.asking():
            told += self._relying_party.call("/api/guardianships", {"sub": subject})["guardianships"]
        return told

    def confirm(self) -> str | tuple[str, int] | Response:
        """The papers were seen: the child's pseudonym gets its patient number, and the broker is told."""
        check_form_token()
        found = self._known(request.form.get("number", ""))
        basis, patient = request.form.get("basis", ""), request.form.get("patient", "")
        if basis not in BASES or "child" not in found:
            abort(400)
        try:
            self._records.bind(str(found["child"]), patient)
        except NumberTaken:
            return self._desk(taken=True), 409
        asked = {"number": found["number"], "basis": basis, "birthdate": self._records.patients[patient].born}
        self._relying_party.call("/api/guardianships/confirm", asked)
        return redirect(url_for("desk"), 303)

    def end(self) -> Response:
        """Stop it at once."""
        check_form_token()
        found = self._known(request.form.get("number", ""))
        self._relying_party.call("/api/guardianships/end", {"number": found["number"]})
        return redirect(url_for("desk"), 303)

    def _known(self, number: str) -> dict[str, Any]:
        """One of those that the desk is shown."""
        found = [each for each in self._waiting() if each["number"] == number]
        if len(found) != 1:
            abort(404)
        return found[0]


def _last_day(ends: str) -> str:
    """A power ends as a day begins: the day before is its last."""
    return (datetime.fromisoformat(ends) - timedelta(seconds=1)).date().isoformat()


def _subject(visit: Visit) -> str:
    return str(visit.claims["sub"])


def _now() -> datetime:
    return datetime.now(UTC)
