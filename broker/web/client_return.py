"""The way back to the client: a page that goes there by itself, because a redirect would meet `form-action`.

Chromium holds a form's page to its `form-action` through every redirect that follows, so the last hop of
a chain that began with a form must be a page of its own (`Refresh`, and a link for who wants to press it).
"""

from __future__ import annotations

from flask import Response

from broker.flows.code import RefusedToClient, ReturnToClient
from broker.oidc.authorization import error_redirect
from broker.web.catalogue import answer_to, description
from broker.web.headers import content_security_policy
from broker.web.pages import ask_for, page, see_other
from broker.web.settings import ports


def url_of(outcome: ReturnToClient | RefusedToClient) -> str:
    """Where the browser goes: with a code, or with the OAuth error of the catalogue (RFC 6749 §4.1.2)."""
    if isinstance(outcome, ReturnToClient):
        return outcome.url
    return error_redirect(
        outcome.redirect_uri,
        error=answer_to(outcome.cause).oauth or "server_error",
        description=description(outcome.cause),
        state=outcome.state,
        issuer=ports().policy.issuer,
    )


def return_to_client(outcome: ReturnToClient | RefusedToClient, *, card_was_read: bool = False) -> Response:
    """The page that ends a login. `card_was_read` says whether a card may still lie on the reader."""
    ask_for(outcome.ui_locales)
    url = url_of(outcome)
    done = isinstance(outcome, ReturnToClient)
    response = page("return.html", client=outcome.client, url=url, done=done, card_was_read=card_was_read)
    response.headers["Refresh"] = f"0; url={url}"
    response.headers["Referrer-Policy"] = "no-referrer"  # the code stands in no address, and this page's must not leak
    response.headers["Content-Security-Policy"] = content_security_policy(form_action="'none'")
    return response


def redirect_to_client(outcome: ReturnToClient | RefusedToClient) -> Response:
    """For prompt=none: nobody is there to read a page."""
    response = see_other(url_of(outcome))
    response.headers["Referrer-Policy"] = "no-referrer"
    return response
