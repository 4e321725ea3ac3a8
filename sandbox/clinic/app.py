"""The sample clinic as one application: the way in and out, and its rooms (`family`, `consultation`)."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flask import Flask, redirect, render_template, request, session, url_for
from werkzeug.exceptions import HTTPException, SecurityError
from werkzeug.wrappers import Response

from sandbox.clinic import consultation, family
from sandbox.clinic.matters import AnswerUnfit
from sandbox.clinic.records import Records
from sandbox.clinic.settings import NAME, ClinicSettings
from sandbox.party import frame, key, language
from sandbox.party.forms import check_form_token
from sandbox.party.language import gettext as _
from sandbox.party.relying_party import BrokerUnavailable, CallRefused, LoginRefused, RelyingParty
from sandbox.party.visits import Visit


def create_clinic(settings: ClinicSettings) -> Flask:
    """The WSGI application. Raises OSError or ValueError for a state folder that cannot be used, CatalogueMissing."""
    app = Flask("sandbox.clinic", static_folder="../bank/static", template_folder="templates")
    frame.install(app, settings, name="clinic", clinic_name=NAME, issuer=settings.issuer)
    language.install(app, Path(__file__).with_name("translations"))
    records = Records(settings.state / "clinic.db")
    own_key = key.client_key(settings.state)
    relying_party = RelyingParty(app, settings, own_key)
    clinic = _Clinic(records=records, relying_party=relying_party, log=app.logger.warning)
    app.add_url_rule("/", "home", clinic.home)
    app.add_url_rule("/login", "login", clinic.login, methods=["POST"])
    app.add_url_rule("/callback", "callback", clinic.callback)
    app.add_url_rule("/logout", "logout", clinic.logout, methods=["POST"])
    app.add_url_rule("/signed-out", "signed_out", clinic.signed_out)
    app.add_url_rule("/jwks", "jwks", lambda: key.public_jwks(settings.state))
    family.install(app, records=records, relying_party=relying_party, visitor=clinic.visitor)
    consultation.install(app, records=records, settings=settings, key=own_key)
    app.register_error_handler(BrokerUnavailable, clinic.unavailable)
    app.register_error_handler(LoginRefused, clinic.refused)
    app.register_error_handler(CallRefused, clinic.call_refused)
    app.register_error_handler(HTTPException, _refused_page)
    return app


class _Clinic:
    def __init__(self, *, records: Records, relying_party: RelyingParty, log: Any) -> None:
        self._records = records
        self._relying_party = relying_party
        self._log = log

    def home(self) -> str | Response:
        """The front door, or what a parent may do here."""
        if (again := frame.switched()) is not None:
            return again
        visit = self.visitor()
        if visit is None:
            return render_template("welcome.html")
        return family.overview(visit, relying_party=self._relying_party)

    def login(self) -> Response:
        """Who somebody is; nothing is asked about any child yet."""
        check_form_token()
        return self._relying_party.start(ui_locales=language.current())

    def callback(self) -> Response:
        """Back from the broker: from a login, or with the answer about a child."""
        before = self.visitor()
        asked = session.pop("asked", None) is not None
        visit = self._relying_party.finish(request.args.to_dict())
        if before is not None and asked:
            try:
                decision = self._records.take(visit, actor=str(before.claims["sub"]), now=_now())
            except AnswerUnfit as unfit:
                raise LoginRefused("answer_unfit", str(unfit)) from unfit
            place = url_for("no_power") if decision is None else url_for("child", decision=decision)
            return redirect(place, 303)
        frame.leave(self._records.end_visit, chosen=session.get("language"))
        session["visit"] = self._records.open_visit(visit, now=_now())
        return redirect(url_for("home"), 303)

    def logout(self) -> str | Response:
        """End the visit here first: that succeeds whatever happens to the broker."""
        check_form_token()
        visit, chosen = self.visitor(), language.current()
        frame.leave(self._records.end_visit, chosen=chosen)
        if visit is None:
            return redirect(url_for("signed_out"), 303)
        try:
            return self._relying_party.log_out(visit, ui_locales=chosen)
        except BrokerUnavailable:
            self._log("logged out here; the broker could not be asked")
            return render_template("signed_out.html")

    def signed_out(self) -> str:
        """Back from the broker's logout."""
        self._relying_party.finish_log_out(request.args.to_dict())
        return render_template("signed_out.html")

    def visitor(self) -> Visit | None:
        """Who is logged in here."""
        secret = session.get("visit")
        return self._records.visit(secret, now=_now()) if isinstance(secret, str) else None

    def unavailable(self, failure: BrokerUnavailable) -> tuple[str, int]:
        """The broker is away: nothing was shown, try again."""
        self._log("broker unavailable: %s", failure)
        message = _("ログインサービスにつながりません。少し待ってからもう一度お試しください。")
        return render_template("error.html", code="broker_unavailable", message=message), 503

    def refused(self, refusal: LoginRefused) -> tuple[str, int]:
        """Not logged in, or no answer that fits."""
        self._log("login refused: %s (%s)", refusal.code, refusal)
        message = _("結果を確かめられなかったため、何も表示していません。はじめからやり直してください。")
        return render_template("error.html", code=refusal.code, message=message), 403

    def call_refused(self, refusal: CallRefused) -> tuple[str, int]:
        """The broker did not do what the desk asked for."""
        message = _("認証の運営者が受け付けませんでした。生年月日や、すでに確認済みでないかを見直してください。")
        return render_template("error.html", code=str(refusal), message=message), 409


def _refused_page(refusal: HTTPException) -> tuple[str, int]:
    code = refusal.code or 500
    if isinstance(refusal, SecurityError):  # a foreign Host: no address of ours can be built into a page
        return "Bad Host\n", code
    message = _("ページを開けませんでした。最初のページからやり直してください。")
    return render_template("error.html", code=str(code), message=message), code


def _now() -> datetime:
    return datetime.now(UTC)
