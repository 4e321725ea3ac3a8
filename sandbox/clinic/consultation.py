"""The consultation room: a doctor and a patient at one terminal, one card each, joined by one id at the broker.

The doctor says what it is for and comes with an HPKI card; then the patient is asked to, sees who the doctor is before
the MyNumber card, and both see the result. Neither is logged in at the clinic by it.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

from flask import Blueprint, Flask, redirect, render_template, request, session, url_for
from joserfc.jwk import ECKey
from werkzeug.wrappers import Response

from sandbox.clinic.matters import MEDICAL_DOCTOR, AnswerUnfit, Matter
from sandbox.clinic.records import Records
from sandbox.clinic.settings import ClinicSettings
from sandbox.party import language
from sandbox.party.forms import check_form_token
from sandbox.party.relying_party import CARD_ACR, CallRefused, LoginRefused, RelyingParty

PATH: Final = "/consultation"
API: Final = "/api/joint-transactions"
LICENCE_ACR: Final = "urn:jpki-broker:acr:hpki"
MAX_PURPOSE: Final = 100  # characters, as the broker takes them
ENDS: Final = ("cancelled", "doctor", "patient", "expired")


def install(app: Flask, *, records: Records, settings: ClinicSettings, key: ECKey) -> None:
    """The room's pages."""

    def party(half: str, acr: str) -> RelyingParty:
        return RelyingParty(app, settings, key, name=half, callback=f"{PATH}/callback", acr=acr)

    room = _Room(records=records, doctors=party("doctor", LICENCE_ACR), patients=party("patient", CARD_ACR))
    pages = Blueprint("consultation", __name__, url_prefix=PATH)
    pages.add_url_rule("", "room", room.room)
    pages.add_url_rule("/begin", "begin", room.begin, methods=["POST"])
    pages.add_url_rule("/patient", "patient", room.patient, methods=["POST"])
    pages.add_url_rule("/callback", "callback", room.callback)
    pages.add_url_rule("/cancel", "cancel", room.cancel, methods=["POST"])
    pages.add_url_rule("/close", "close", room.close, methods=["POST"])
    pages.add_url_rule("/ended/<why>", "ended", room.ended)
    app.register_blueprint(pages)


class _Room:
    def __init__(self, *, records: Records, doctors: RelyingParty, patients: RelyingParty) -> None:
        self._records = records
        self._doctors = doctors
        self._patients = patients

    def room(self) -> str | Response:
        """What is next in this room: the doctor's words, the patient's turn, or the result."""
        if request.args.get("lang") in language.LANGUAGES:
            session["language"] = request.args["lang"]
            return redirect(url_for("consultation.room"), 303)
        matter = self._matter()
        if matter is None or matter.doctor is None:
            return _start()
        if matter.patient is None:
            return render_template("consultation_patient.html", matter=matter)
        return render_template("consultation_done.html", matter=matter)

    def begin(self) -> str | tuple[str, int] | Response:
        """Order it at the broker, and off with the doctor."""
        check_form_token()
        purpose = request.form.get("purpose", "").strip()
        if not 1 <= len(purpose) <= MAX_PURPOSE:
            return _start(purpose, refused=True), 400
        try:
            order = {"purpose": purpose, "role": MEDICAL_DOCTOR}
            told = self._doctors.call_with_token(API, scope="joint", method="POST", body=order)
        except CallRefused as refusal:
            if str(refusal) != "invalid_request":
                raise
            return _start(purpose, refused=True), 400
        joint = str(told["joint_transaction_id"])
        self._leave()
        self._records.open_matter(joint, purpose, now=_now())
        session["consultation"] = joint
        return self._doctors.start(ui_locales=language.current(), scope=("openid", "hpki"), joint_transaction_id=joint)

    def patient(self) -> Response:
        """Off with the patient, to a page that says who the doctor is."""
        check_form_token()
        matter = self._matter()
        if matter is None or matter.doctor is None or matter.patient is not None:
            return redirect(url_for("consultation.room"), 303)
        return self._patients.start(
            ui_locales=language.current(), scope=("openid", "joint"), joint_transaction_id=matter.joint
        )

    def callback(self) -> Response:
        """Back from the broker with one of the two."""
        matter = self._matter()
        if matter is None:
            raise LoginRefused("login_not_started", "no matter is open in this room")
        if matter.patient is not None:
            return redirect(url_for("consultation.room"), 303)
        half = self._doctors if matter.doctor is None else self._patients
        try:
            visit = half.finish(request.args.to_dict())
            if matter.doctor is None:
                self._records.doctor_came(matter.joint, visit)
            else:
                self._records.patient_came(matter, visit, standing=self._standing(matter))
        except AnswerUnfit as unfit:
            self._leave()
            raise LoginRefused("answer_unfit", str(unfit)) from unfit
        except LoginRefused as refusal:
            if refusal.code != "access_denied":
                raise
            return self._over(matter)
        return redirect(url_for("consultation.room"), 303)

    def cancel(self) -> Response:
        """The doctor, or the patient before going on, wants it no more."""
        check_form_token()
        matter = self._matter()
        if matter is None or matter.patient is not None:
            return redirect(url_for("consultation.room"), 303)
        with suppress(CallRefused):  # it is over there already, which is what is wanted
            self._doctors.call_with_token(f"{API}/{matter.joint}", scope="joint", method="DELETE")
        self._leave()
        return redirect(url_for("consultation.ended", why="cancelled"), 303)

    def close(self) -> Response:
        """The next ones see nothing of these."""
        check_form_token()
        self._leave()
        return redirect(url_for("consultation.room"), 303)

    def ended(self, why: str) -> str:
        """It is over without a result, in words."""
        return render_template("consultation_ended.html", why=why if why in ENDS else ENDS[0])

    def _over(self, matter: Matter) -> Response:
        """The broker says no without a reason; whose turn it was, and whether time ran out, is known."""
        expired = self._standing(matter)["status"] == "expired"
        self._leave()
        half = "doctor" if matter.doctor is None else "patient"
        return redirect(url_for("consultation.ended", why="expired" if expired else half), 303)

    def _standing(self, matter: Matter) -> dict[str, object]:
        return self._doctors.call_with_token(f"{API}/{matter.joint}", scope="joint")

    def _matter(self) -> Matter | None:
        joint = session.get("consultation")
        return self._records.matter(joint, now=_now()) if isinstance(joint, str) else None

    def _leave(self) -> None:
        """Nobody who sat here before is known any longer: no matter, and no parent."""
        joint, visit, chosen = session.get("consultation"), session.get("visit"), session.get("language")
        if isinstance(joint, str):
            self._records.end_matter(joint)
        if isinstance(visit, str):
            self._records.end_visit(visit)
        session.clear()
        if chosen is not None:
            session["language"] = chosen


def _start(purpose: str | None = None, *, refused: bool = False) -> str:
    return render_template("consultation.html", purpose=purpose, refused=refused, longest=MAX_PURPOSE)


def _now() -> datetime:
    return datetime.now(UTC)
