"""RP-Initiated Logout 1.0: always possible, never a way to be sent somewhere unregistered."""

from __future__ import annotations

from urllib.parse import urlencode

from flask import Blueprint, Response, request, url_for

from broker.flows import logout
from broker.oidc.logout import origin
from broker.web import cookies
from broker.web.errors import own_form
from broker.web.form import body_pairs, query_pairs
from broker.web.headers import content_security_policy
from broker.web.pages import ask_for, page, see_other
from broker.web.settings import ports

blueprint = Blueprint("logout", __name__)

_FRAME_SECONDS = 2
"""How long the client's own page gets in its frame before the browser goes on."""


@blueprint.route("/logout", methods=["GET", "POST"])
def ask() -> Response:
    """A client's request (§2, both methods), or a person who came by themselves."""
    pairs = body_pairs() if request.method == "POST" else query_pairs()
    secret = cookies.session_secret()
    if request.method == "POST" and secret is None and all(name != "id_token_hint" for name, _ in pairs):
        # Posted from another site, so our cookie may have been kept back: it comes with a GET. A hint stays out of
        # addresses; it finds its session by itself.
        return see_other(f"{ports().policy.issuer}/logout?{urlencode(pairs)}")
    outcome = logout.request(pairs, session_secret=secret, ports=ports())
    ask_for(outcome.ui_locales)
    if isinstance(outcome, logout.LogoutAsked):
        return page(
            "logout.html",
            client=outcome.client,
            form_token=outcome.form_token,
            fields=outcome.fields,
            confirm_url=url_for("logout.confirm"),
            again_url=url_for("logout.ask")
            if request.method == "GET" and not request.args.keys() - {"ui_locales"}
            else None,
        )
    return _ended(outcome, by_form=False)


@blueprint.post("/logout/confirm")
def confirm() -> Response:
    """The person said yes on our page."""
    own_form()
    outcome = logout.confirm(body_pairs(), session_secret=cookies.session_secret(), ports=ports())
    ask_for(outcome.ui_locales)
    return _ended(outcome, by_form=True)


def _ended(outcome: logout.LoggedOut, *, by_form: bool) -> Response:
    """A redirect; a page where there is nowhere to go, where something is loaded in a frame before, or after a form
    (Chromium would hold a redirect to the form's `form-action`).
    """
    if outcome.url is not None and outcome.frame is None and not by_form:
        response = see_other(outcome.url)
    else:
        response = page("logged_out.html", client=outcome.client, url=outcome.url, frame=outcome.frame)
        if outcome.url is not None:
            response.headers["Refresh"] = f"{_FRAME_SECONDS if outcome.frame else 0}; url={outcome.url}"
        if outcome.frame is not None:
            response.headers["Content-Security-Policy"] = content_security_policy(
                form_action="'none'", frames=origin(outcome.frame)
            )
    if outcome.url is not None or outcome.frame is not None:
        response.headers["Referrer-Policy"] = "no-referrer"
    if cookies.session_secret() is not None:
        cookies.drop_session(response)
    return response
