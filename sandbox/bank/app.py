"""The sample bank's pages: log in with the card, say once which customer one is, be greeted."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from flask import Flask, abort, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from sandbox.bank.accounts import Accounts, Customer, NumberRefused, Registered, normalize_number
from sandbox.bank.settings import NAME, OPENING_SCOPES, BankSettings
from sandbox.party import doors, frame, key, language
from sandbox.party.doors import Doors
from sandbox.party.forms import check_form_token
from sandbox.party.language import gettext as _
from sandbox.party.numbers import SCOPES, Numbers, Standing, Told
from sandbox.party.relying_party import CallRefused, LoginRefused, RelyingParty
from sandbox.party.visits import Visit

TRANSLATIONS: Final = Path(__file__).with_name("translations")


def create_bank(settings: BankSettings) -> Flask:
    """The WSGI application. The broker need not run yet: its metadata are read at the first login.

    Raises OSError or ValueError for a state folder that cannot be used, CatalogueMissing.
    """
    app = Flask("sandbox.bank", static_folder="static", template_folder="templates")
    frame.install(app, settings, name="bank", bank_name=NAME, sandbox=True)
    language.install(app, TRANSLATIONS)
    relying_party = RelyingParty(app, settings, key.client_key(settings.state))
    accounts, log = Accounts(settings.state / "bank.db"), app.logger.warning
    way = Doors(visits=accounts, relying_party=relying_party, log=log, trouble=_trouble)
    bank = _Bank(accounts=accounts, relying_party=relying_party, numbers=Numbers(relying_party), doors=way, log=log)
    app.add_url_rule("/", "home", bank.home)
    app.add_url_rule("/login", "login", bank.login, methods=["POST"])
    app.add_url_rule("/callback", "callback", bank.callback)
    app.add_url_rule("/link", "link", bank.link, methods=["POST"])
    app.add_url_rule("/link/confirm", "confirm_link", bank.confirm_link, methods=["POST"])
    app.add_url_rule("/number", "register_number", bank.register_number, methods=["POST"])
    app.add_url_rule("/number/confirm", "confirm_number", bank.confirm_number, methods=["POST"])
    app.add_url_rule("/number/end", "end_number", bank.end_number, methods=["POST"])
    app.add_url_rule("/api/me", "me", bank.me)
    app.add_url_rule("/jwks", "jwks", lambda: key.public_jwks(settings.state))
    app.register_error_handler(CallRefused, bank.call_refused)
    way.install(app)
    return app


class _Bank:
    def __init__(
        self,
        *,
        accounts: Accounts,
        relying_party: RelyingParty,
        numbers: Numbers,
        doors: Doors,
        log: Any,
    ) -> None:
        self._numbers = numbers
        self._doors = doors
        self._accounts = accounts
        self._relying_party = relying_party
        self._log = log

    def home(self) -> str | Response:
        """The front door, the customer number form, or the greeting, by who is here."""
        if (again := frame.switched()) is not None:
            return again
        visit = self._doors.visitor()
        if visit is None:
            return render_template("welcome.html")
        customer = self._accounts.customer_of(visit.person)
        if customer is None:
            return self._link_page()
        return self._greeting(visit, customer)

    def login(self) -> Response:
        """Begin: off to the broker, to log in or (where more than a pseudonym is asked for) to open an account."""
        check_form_token()
        scope = request.form.get("scope", "openid").split()
        if "openid" not in scope or not (set(scope) <= {"openid", *OPENING_SCOPES} or scope == [*SCOPES]):
            abort(400)
        if scope == [*SCOPES]:
            return self._relying_party.start(ui_locales=language.current(), scope=scope)
        named = {name: None for name in scope if name not in {"openid", "profile"}}
        signed = {"id_token": named} if named else None  # what the bank keeps is signed
        return self._relying_party.start(ui_locales=language.current(), scope=scope, claims=signed)

    def callback(self) -> Response:
        """Back from the broker, with a code or with an error."""
        visit = self._relying_party.finish(request.args.to_dict())
        asked = self._numbers.under_way()
        self._doors.leave()
        self._know(visit, None if asked is None else self._numbers.told(asked, visit))
        return self._doors.enter(visit)

    def _know(self, visit: Visit, told: Told | None) -> None:
        """Keep what the login service says of a customer number. Raises LoginRefused: it is not this person's here."""
        try:
            if told is not None and told.standing in {Standing.ACTIVE, Standing.HELD}:
                asked = told.asked
                held = told.standing is Standing.HELD
                kept = Registered(number=asked.number, link_id=asked.link_id, held=held)
                self._accounts.register(visit.person, kept, now=_now())
            elif told is None and isinstance(number := visit.claims.get("linked_id"), str):
                customer = self._accounts.customer_of(visit.person)
                if customer is None:
                    self._accounts.bind(visit.person, number, now=_now())
                elif customer.number != number:
                    raise NumberRefused("another customer's")
        except NumberRefused as wrong:
            raise LoginRefused("wrong_number", str(wrong)) from wrong

    def register_number(self) -> str | tuple[str, int] | Response:
        """Have one's customer number told by the login service: this one, or another in its place."""
        check_form_token()
        visit = self._doors.visitor()
        customer = None if visit is None else self._accounts.customer_of(visit.person)
        if visit is None or customer is None:
            return redirect(url_for("home"), 303)
        typed = request.form.get("customer_number", customer.number)
        number = normalize_number(typed)
        before = self._accounts.registered(visit.person)
        if number is None or (number != customer.number and self._accounts.unbound(number) is None):
            return self._greeting(visit, customer, refused=True, typed=typed[:16]), 400
        return self._numbers.begin(
            number,
            label=_("お客さま番号"),
            ui_locales=language.current(),
            person=str(visit.claims["sub"]),
            replaces="" if before is None or before.held or before.number == number else before.number,
        )

    def confirm_number(self) -> Response:
        """The branch has seen whose number it is (in the sample: a button); until then it is held (R6)."""
        check_form_token()
        visit = self._doors.visitor()
        waits = None if visit is None else self._accounts.registered(visit.person)
        if visit is not None and waits is not None and waits.held:
            self._numbers.confirm(waits.link_id)
            self._accounts.register(
                visit.person, Registered(number=waits.number, link_id=waits.link_id, held=False), now=_now()
            )
        return redirect(url_for("home"), 303)

    def end_number(self) -> Response:
        """The login service forgets the number; its customer goes on logging in."""
        check_form_token()
        visit = self._doors.visitor()
        if visit is not None:
            self._numbers.end(person=str(visit.claims["sub"]))
            self._accounts.unregister(visit.person)
        return redirect(url_for("home"), 303)

    def link(self) -> str | tuple[str, int] | Response:
        """First time here: which customer is this? Shown once more before it is bound."""
        check_form_token()
        visit = self._doors.visitor()
        if visit is None or self._accounts.customer_of(visit.person) is not None:
            return redirect(url_for("home"), 303)
        typed = request.form.get("customer_number", "")
        number = normalize_number(typed)
        customer = None if number is None else self._accounts.unbound(number)
        if customer is None:
            return self._link_page(refused=True, typed=typed[:16]), 400
        return render_template("confirm.html", customer=customer)

    def confirm_link(self) -> str | tuple[str, int] | Response:
        """Bind the login to the customer number: the private-sector ID of this person."""
        check_form_token()
        visit = self._doors.visitor()
        if visit is None or self._accounts.customer_of(visit.person) is not None:
            return redirect(url_for("home"), 303)
        try:
            self._accounts.bind(visit.person, request.form.get("customer_number", ""), now=_now())
        except NumberRefused:
            return self._link_page(refused=True), 400
        return redirect(url_for("home"), 303)

    def me(self) -> tuple[dict[str, Any], int]:
        """For programs: what this bank verified about the login of this cookie."""
        visit = self._doors.visitor()
        if visit is None:
            return {"error": "not_logged_in"}, 401
        customer = self._accounts.customer_of(visit.person)
        return {
            "subject_known": customer is not None,
            "customer_number": None if customer is None else customer.number,
            "claims": dict(visit.claims),
            "userinfo": dict(visit.proved),
        }, 200

    def call_refused(self, refusal: CallRefused) -> tuple[str, int]:
        """The login service would not have the number, or not have it confirmed."""
        self._log("the broker refuses: %s", refusal)
        title, message = _("番号は登録されていません"), _explanation("number")
        return render_template("error.html", code=str(refusal), title=title, message=message), 502

    def _greeting(self, visit: Visit, customer: Customer, *, refused: bool = False, typed: str = "") -> str:
        return render_template(
            "greeting.html",
            customer=customer,
            proved=visit.proved,
            registered=self._accounts.registered(visit.person),
            spare=self._accounts.spare(),
            refused=refused,
            typed=typed,
        )

    def _link_page(self, *, refused: bool = False, typed: str = "") -> str:
        spare: tuple[Customer, ...] = self._accounts.spare()
        return render_template("link.html", spare=spare, refused=refused, typed=typed)


def _trouble(code: str | int) -> dict[str, str]:
    if isinstance(code, int):  # what the forms or the address got wrong
        stale = code in {400, 403}
        return {
            "title": _("この画面は古くなりました") if stale else _("ページを開けませんでした"),
            "message": _("お客さまの情報は変わっていません。最初のページからやり直してください。"),
        }
    return {"title": _("ログインしませんでした"), "message": _explanation(code)}


def _explanation(code: str) -> str:
    match code:
        case "access_denied":
            return _("ログインは取りやめられました。お客さまの情報は当行に届いていません。")
        case "login_not_started":
            return _("このブラウザーで始めたログインではないか、時間が過ぎています。もう一度はじめからお願いします。")
        case "number" | "wrong_number":
            return _("ログインサービスの番号と当行の番号が合わないか、登録できませんでした。番号は前のままです。")
        case doors.UNAVAILABLE | "temporarily_unavailable" | "server_error":
            return _(
                "ログインサービスにつながりません。お客さまの情報は変わっていません。少し待ってからもう一度お試しください。"
            )
        case _other:
            return _("ログインの結果を確かめられなかったため、受け付けませんでした。お客さまの情報は変わっていません。")


def _now() -> datetime:
    return datetime.now(UTC)
