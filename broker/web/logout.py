"""RP-Initiated Logout 1.0: always possible, never a way to be sent somewhere unregistered."""

from __future__ import annotations

from flask import Blueprint, Response, request, url_for

from broker.flows import logout
from broker.web import cookies
from broker.web.errors import own_form
from broker.web.form import body_pairs, body_values, query_pairs
from broker.web.pages import ask_for, page, see_other
from broker.web.settings import ports

blueprint = Blueprint("logout", __name__)


@blueprint.route("/logout", methods=["GET", "POST"])
def ask() -> Response:
    """A client's request (§2, both methods), or a person who came by themselves."""
    pairs = body_pairs() if request.method == "POST" else query_pairs()
    outcome = logout.request(pairs, session_secret=cookies.session_secret(), ports=ports())
    ask_for(outcome.ui_locales)
    if isinstance(outcome, logout.LogoutAsked):
        return page(
            "logout.html",
            form_token=outcome.form_token,
            confirm_url=url_for("logout.confirm"),
            again_url=url_for("logout.ask")
            if request.method == "GET" and not request.args.keys() - {"ui_locales"}
            else None,
        )
    return _ended(outcome)


@blueprint.post("/logout/confirm")
def confirm() -> Response:
    """The person said yes on our page."""
    own_form()
    fields = body_values()
    return _ended(
        logout.confirm(form_token_given=fields.get("csrf", ""), session_secret=cookies.session_secret(), ports=ports())
    )


def _ended(outcome: logout.LoggedOut) -> Response:
    if outcome.url is None:
        response = page("logged_out.html", client=outcome.client)
    else:
        response = see_other(outcome.url)
        response.headers["Referrer-Policy"] = "no-referrer"
    cookies.drop_session(response)
    return response
