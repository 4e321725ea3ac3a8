"""The sample clinic as one application: the way in and out, and its rooms (`family`, `consultation`)."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from flask import Flask, redirect, render_template, request, session, url_for
from werkzeug.wrappers import Response

from sandbox.clinic import consultation, family
from sandbox.clinic.matters import AnswerUnfit
from sandbox.clinic.records import Records
from sandbox.clinic.settings import NAME, ClinicSettings
from sandbox.party import doors, frame, key, language
from sandbox.party.doors import Doors
from sandbox.party.language import gettext as _
from sandbox.party.relying_party import CallRefused, LoginRefused, RelyingParty


def create_clinic(settings: ClinicSettings) -> Flask:
    """The WSGI application. Raises OSError or ValueError for a state folder that cannot be used, CatalogueMissing."""
    app = Flask("sandbox.clinic", static_folder=None, template_folder="templates")
    frame.install(app, settings, name="clinic", clinic_name=NAME, issuer=settings.issuer)
    language.install(app, Path(__file__).with_name("translations"))
    records = Records(settings.state / "clinic.db")
    own_key = key.client_key(settings.state)
    relying_party = RelyingParty(app, settings, own_key)
    way = Doors(visits=records, relying_party=relying_party, log=app.logger.warning, trouble=_trouble)
    clinic = _Clinic(records=records, relying_party=relying_party, doors=way)
    app.add_url_rule("/", "home", clinic.home)
    app.add_url_rule("/login", "login", way.login, methods=["POST"])
    app.add_url_rule("/callback", "callback", clinic.callback)
    app.add_url_rule("/jwks", "jwks", lambda: key.public_jwks(settings.state))
    family.install(app, records=records, relying_party=relying_party, visitor=way.visitor)
    consultation.install(app, records=records, settings=settings, key=own_key)
    app.register_error_handler(CallRefused, _call_refused)
    way.install(app)
    return app


class _Clinic:
    def __init__(self, *, records: Records, relying_party: RelyingParty, doors: Doors) -> None:
        self._records = records
        self._relying_party = relying_party
        self._doors = doors

    def home(self) -> str | Response:
        """The front door, or what a parent may do here."""
        if (again := frame.switched()) is not None:
            return again
        visit = self._doors.visitor()
        if visit is None:
            return render_template("welcome.html")
        return family.overview(visit, relying_party=self._relying_party)

    def callback(self) -> Response:
        """Back from the broker: from a login, or with the answer about a child."""
        before = self._doors.visitor()
        asked = session.pop("asked", None) is not None
        visit = self._relying_party.finish(request.args.to_dict())
        if before is not None and asked:
            try:
                decision = self._records.take(visit, actor=str(before.claims["sub"]), now=_now())
            except AnswerUnfit as unfit:
                raise LoginRefused("answer_unfit", str(unfit)) from unfit
            place = url_for("no_power") if decision is None else url_for("child", decision=decision)
            return redirect(place, 303)
        self._doors.leave()
        return self._doors.enter(visit)


def _call_refused(refusal: CallRefused) -> tuple[str, int]:
    """The broker did not do what the desk asked for."""
    message = _("認証の運営者が受け付けませんでした。生年月日や、すでに確認済みでないかを見直してください。")
    return render_template("error.html", code=str(refusal), message=message), 409


def _trouble(code: str | int) -> dict[str, str]:
    match code:
        case doors.UNAVAILABLE:
            message = _("ログインサービスにつながりません。少し待ってからもう一度お試しください。")
        case int():
            message = _("ページを開けませんでした。最初のページからやり直してください。")
        case _other:
            message = _("結果を確かめられなかったため、何も表示していません。はじめからやり直してください。")
    return {"message": message}


def _now() -> datetime:
    return datetime.now(UTC)
