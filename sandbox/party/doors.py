"""The way in and out of a sample service: who is here, back from a login, logging out, and a page where it failed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from flask import Flask, redirect, render_template, request, session, url_for
from werkzeug.exceptions import HTTPException, SecurityError
from werkzeug.wrappers import Response

from sandbox.party import frame, language
from sandbox.party.forms import check_form_token
from sandbox.party.relying_party import BrokerUnavailable, LoginRefused, RelyingParty
from sandbox.party.visits import Visit, Visits

UNAVAILABLE = "broker_unavailable"
"""The code that a page shows while the broker is away."""

Trouble = Callable[[str | int], Mapping[str, str]]
"""What the page error.html says beside a code: one of a login's, UNAVAILABLE, or (a number) an HTTP status."""


class Doors:
    """`visits` are the service's own; its words for what went wrong are `trouble`. The first page is `home`."""

    def __init__(
        self, *, visits: Visits, relying_party: RelyingParty, log: Callable[..., Any], trouble: Trouble
    ) -> None:
        self._visits = visits
        self._relying_party = relying_party
        self._log = log
        self._trouble = trouble

    def install(self, app: Flask) -> None:
        """Logging out, and what is shown where something failed."""
        app.add_url_rule("/logout", "logout", self.logout, methods=["POST"])
        app.add_url_rule("/signed-out", "signed_out", self.signed_out)
        app.register_error_handler(BrokerUnavailable, self.unavailable)
        app.register_error_handler(LoginRefused, self.refused)
        app.register_error_handler(HTTPException, self.not_opened)

    def visitor(self) -> Visit | None:
        """Who is logged in here."""
        secret = session.get("visit")
        return self._visits.visit(secret, now=datetime.now(UTC)) if isinstance(secret, str) else None

    def login(self) -> Response:
        """Who somebody is, and no more is asked."""
        check_form_token()
        return self._relying_party.start(ui_locales=language.current())

    def leave(self) -> None:
        """Whoever was here before is not any more: somebody else may have come back from the broker."""
        frame.leave(self._visits.end_visit, chosen=session.get("language"))

    def enter(self, visit: Visit) -> Response:
        """Somebody has come in, after `leave`; they see the first page."""
        session["visit"] = self._visits.open_visit(visit, now=datetime.now(UTC))
        return redirect(url_for("home"), 303)

    def logout(self) -> str | Response:
        """End the visit here first: that succeeds whatever happens to the broker."""
        check_form_token()
        visit, chosen = self.visitor(), language.current()
        frame.leave(self._visits.end_visit, chosen=chosen)
        if visit is None:
            return redirect(url_for("signed_out"), 303)
        try:
            return self._relying_party.log_out(visit, ui_locales=chosen)
        except BrokerUnavailable:
            self._log("logged out here; the broker could not be asked")
            return render_template("signed_out.html", only_here=True)

    def signed_out(self) -> str:
        """Back from the broker's logout."""
        self._relying_party.finish_log_out(request.args.to_dict())
        return render_template("signed_out.html", only_here=False)

    def unavailable(self, failure: BrokerUnavailable) -> tuple[str, int]:
        """The broker is away: nothing was lost, try again."""
        self._log("broker unavailable: %s", failure)
        return self._page(UNAVAILABLE), 503

    def refused(self, refusal: LoginRefused) -> tuple[str, int]:
        """Not logged in, or no answer that fits."""
        self._log("login refused: %s (%s)", refusal.code, refusal)
        return self._page(refusal.code), 403

    def not_opened(self, refusal: HTTPException) -> tuple[str, int]:
        """What the forms or the address got wrong."""
        code = refusal.code or 500
        if isinstance(refusal, SecurityError):  # a foreign Host: no address of ours can be built into a page
            return "Bad Host\n", code
        return self._page(code), code

    def _page(self, code: str | int) -> str:
        return render_template("error.html", code=str(code), **self._trouble(code))
