"""The three services' pages: log in with the card, join with one's number, and be known by it from then on."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask import Flask, redirect, render_template, request, session, url_for
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.wrappers import Response

from sandbox.membership.members import Members
from sandbox.membership.services import SERVICES, MembershipSettings, ServiceSettings
from sandbox.party import frame, key, language
from sandbox.party.forms import check_form_token
from sandbox.party.numbers import SCOPES, Numbers, Standing, Told
from sandbox.party.relying_party import BrokerUnavailable, CallRefused, LoginRefused, RelyingParty
from sandbox.party.visits import Visit

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


def create_membership(settings: MembershipSettings) -> DispatcherMiddleware:
    """The WSGI application of all three, each below its own folder. Raises OSError or ValueError for a bad state."""
    apps: dict[str, Any] = {f"/{service.slug}": _create(settings.of(service)) for service in SERVICES}
    return DispatcherMiddleware(_front, apps)


def _front(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    first = f"/{SERVICES[0].slug}/"
    found = environ.get("PATH_INFO", "/") == "/"
    response = redirect(first, 303) if found else Response("Not Found\n", 404)
    return response(environ, start_response)


def _create(settings: ServiceSettings) -> Flask:
    service, state = settings.service, settings.state
    app = Flask(
        f"sandbox.membership.{service.slug}", root_path=str(Path(__file__).parent), static_folder="../bank/static"
    )
    frame.install(app, settings, name=service.slug, service=service)
    app.config["SESSION_COOKIE_PATH"] = f"/{service.slug}"
    relying_party = RelyingParty(app, settings, key.client_key(state))
    pages = _Pages(
        settings=settings,
        members=Members(state / f"{service.slug}.db", service.known),
        relying_party=relying_party,
        numbers=Numbers(relying_party),
        log=app.logger.warning,
    )
    app.add_url_rule("/", "home", pages.home)
    app.add_url_rule("/callback", "callback", pages.callback)
    app.add_url_rule("/signed-out", "signed_out", pages.signed_out)
    app.add_url_rule("/api/me", "me", pages.me)
    for name in ("login", "join", "replace", "confirm", "act", "leave", "logout"):
        app.add_url_rule(f"/{name}", name, getattr(pages, name), methods=["POST"])
    app.register_error_handler(BrokerUnavailable, pages.unavailable)
    app.register_error_handler(LoginRefused, pages.refused)
    app.register_error_handler(CallRefused, pages.call_refused)
    return app


class _Pages:
    def __init__(
        self, *, settings: ServiceSettings, members: Members, relying_party: RelyingParty, numbers: Numbers, log: Any
    ) -> None:
        self._service = settings.service
        self._members = members
        self._relying_party = relying_party
        self._numbers = numbers
        self._log = log

    def home(self) -> str | Response:
        """The door, the form for one's number, what waits, or the member's page: by who is here."""
        if (again := frame.switched()) is not None:
            return again
        visit = self._visit()
        if visit is None:
            return _show("door")
        member = self._members.of(visit.person)
        if member is not None:
            return _show("member", member=member, unique=visit.claims.get("unique_person"))
        if self._members.waits(visit.person) is not None:
            return _show("waiting")
        return _show("join")

    def login(self) -> Response:
        """Whoever has joined is known by what the token says."""
        check_form_token()
        return self._relying_party.start(ui_locales=language.current(), scope=SCOPES)

    def join(self) -> str | tuple[str, int] | Response:
        """Bind a number that its holder knows the word of, or one that is made for them now."""
        check_form_token()
        service = self._service
        number = service.normal(request.form.get("number", ""))
        if not service.known:
            number = service.mint()
            while not self._members.add(number):
                number = service.mint()
        elif not self._members.knows(number, request.form.get("word", "")):
            return _show("join", refused=True, typed=number), 400
        return self._begin(number)

    def replace(self) -> str | tuple[str, int] | Response:
        """Another number in place of the one that somebody has: a new card of the library, say."""
        check_form_token()
        visit = self._visit()
        member = None if visit is None else self._members.of(visit.person)
        if visit is None or member is None or not self._service.known:
            return redirect(url_for("home"), 303)
        number = self._service.normal(request.form.get("number", ""))
        if not self._members.knows(number, request.form.get("word", "")) or self._members.holder(number) is not None:
            return _show("member", member=member, refused=True, typed=number), 400
        return self._begin(number, replaces=member.number)

    def _begin(self, number: str, *, replaces: str = "") -> Response:
        visit = self._visit()
        person = "" if visit is None else str(visit.claims["sub"])
        label = self._service.label["ja"]
        return self._numbers.begin(number, label=label, ui_locales=language.current(), person=person, replaces=replaces)

    def callback(self) -> str | Response:
        """Back from the broker: by a login, or from binding a number."""
        visit = self._relying_party.finish(request.args.to_dict())
        asked = self._numbers.under_way()
        frame.leave(self._members.end_visit, chosen=session.get("language"))
        told = None if asked is None else self._numbers.told(asked, visit)
        self._know(visit, told)
        session["visit"] = self._members.open_visit(visit, now=datetime.now(UTC))
        if told is not None and told.standing is Standing.ENDED:
            return _show("refused")
        return redirect(url_for("home"), 303)

    def _know(self, visit: Visit, told: Told | None) -> None:
        """Whose number is whose is the broker's to say, and only in what it has signed."""
        number = visit.claims.get("linked_id")
        if isinstance(number, str):
            self._members.bind(number, visit.person)
        elif told is not None and told.standing is Standing.HELD:
            self._members.wait(told.asked.link_id, told.asked.number, visit.person)
        elif told is None:
            self._members.release(visit.person)  # ended at the broker, by the resident for instance

    def confirm(self) -> Response:
        """The counter has looked at somebody's papers, and the number is theirs (in the sandbox: a button)."""
        check_form_token()
        visit = self._visit()
        waits = None if visit is None else self._members.waits(visit.person)
        if visit is not None and waits is not None:
            link_id, number = waits
            self._numbers.confirm(link_id)
            self._members.bind(number, visit.person)
        return redirect(url_for("home"), 303)

    def act(self) -> str | tuple[str, int] | Response:
        """What members are here for."""
        check_form_token()
        visit = self._visit()
        member = None if visit is None else self._members.of(visit.person)
        if visit is None or member is None:
            return redirect(url_for("home"), 303)
        if not self._members.count(visit.person, each=self._service.each, most=self._service.most):
            return _show("member", member=member, no_more=True), 409
        return redirect(url_for("home"), 303)

    def leave(self) -> Response:
        """End the binding, here and at the broker."""
        check_form_token()
        visit = self._visit()
        if visit is not None:
            self._numbers.end(person=str(visit.claims["sub"]))
            self._members.release(visit.person)
        return redirect(url_for("home"), 303)

    def logout(self) -> str | Response:
        """End the visit here first: that succeeds whatever happens to the broker."""
        check_form_token()
        visit, chosen = self._visit(), language.current()
        frame.leave(self._members.end_visit, chosen=chosen)
        if visit is None:
            return redirect(url_for("home"), 303)
        return self._relying_party.log_out(visit, ui_locales=chosen)

    def signed_out(self) -> Response:
        self._relying_party.finish_log_out(request.args.to_dict())
        return redirect(url_for("home"), 303)

    def me(self) -> tuple[dict[str, Any], int]:
        """For programs: what this service verified about the login of this cookie."""
        visit = self._visit()
        if visit is None:
            return {"error": "not_logged_in"}, 401
        member = self._members.of(visit.person)
        told = (
            {"number": None, "counted": None}
            if member is None
            else {"number": member.number, "counted": member.counted}
        )
        return {**told, "claims": dict(visit.claims)}, 200

    def unavailable(self, failure: BrokerUnavailable) -> tuple[str, int]:
        self._log("broker unavailable: %s", failure)
        return _show("trouble", code="broker_unavailable"), 503

    def refused(self, refusal: LoginRefused) -> tuple[str, int]:
        self._log("login refused: %s (%s)", refusal.code, refusal)
        asked = self._numbers.under_way()
        if refusal.code != "access_denied":
            return _show("trouble", code=refusal.code), 403
        return _show("cancelled" if asked is None or self._service.transferable else "not_twice"), 403

    def call_refused(self, refusal: CallRefused) -> tuple[str, int]:
        self._log("the broker refuses: %s", refusal)
        return _show("trouble", code=str(refusal)), 502

    def _visit(self) -> Visit | None:
        secret = session.get("visit")
        return self._members.visit(secret, now=datetime.now(UTC)) if isinstance(secret, str) else None


def _show(scene: str, **context: object) -> str:
    return render_template("service.html", scene=scene, **context)
