"""The way back to the client: a page that goes there by itself, because a redirect would meet `form-action`.

Chromium holds a form's page to its `form-action` through every redirect that follows, so the last hop of
a chain that began with a form must be a page of its own (`Refresh`, and a link for who wants to press it). An answer
that is posted (`form_post`) needs a script to leave by itself, the only one we have; without it a button sends it.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from flask import Response

from broker.flows import answer, ciba
from broker.flows.code import RefusedToClient, ReturnToClient
from broker.flows.elsewhere import AnsweredElsewhere
from broker.flows.ports import Ports
from broker.oidc.responses import Response as Answer
from broker.web import cookies
from broker.web.catalogue import answer_to, description
from broker.web.headers import content_security_policy
from broker.web.pages import ask_for, page, see_other
from broker.web.settings import ports

COPIES_SECONDS: Final = 30
"""How long the page stays on which copies are offered: half of what a code lives."""


def answer_of(outcome: ReturnToClient | RefusedToClient, *, ports: Ports) -> Answer:
    """What goes back: a code, or the OAuth error of the catalogue (RFC 6749 §4.1.2). Raises StoreUnavailable."""
    if isinstance(outcome, ReturnToClient):
        return answer.accepted(outcome, ports=ports)
    return answer.declined(
        outcome,
        error=answer_to(outcome.cause).oauth or "server_error",
        description=description(outcome.cause),
        ports=ports,
    )


def return_to_client(
    outcome: ReturnToClient | RefusedToClient | AnsweredElsewhere,
    *,
    card_was_read: bool = False,
    copies_url: str = "",
) -> Response:
    """The page that ends a login. `card_was_read` says whether a card may still lie on the reader; `copies_url` is
    where what was signed can be kept: then the page waits a little, and no longer than the code in it is good.

    After prompt=none nobody is there to read it: the browser is redirected, unless the answer must be posted.
    """
    ask_for(outcome.ui_locales)
    if isinstance(outcome, AnsweredElsewhere):
        return _answered_elsewhere(outcome, card_was_read=card_was_read)
    reply = answer_of(outcome, ports=ports())
    if outcome.silent and not reply.mode.posted:
        response = see_other(reply.location)
        response.headers["Referrer-Policy"] = "no-referrer"
        return response
    response = page(
        "return.html",
        client=outcome.client,
        answer=reply,
        done=isinstance(outcome, ReturnToClient),
        card_was_read=card_was_read,
        copies_url=copies_url,
    )
    if reply.mode.posted:
        response.headers["Referrer-Policy"] = "origin"  # with no-referrer the client would be told `Origin: null`
        policy = content_security_policy(form_action=_source(reply.redirect_uri), script=not copies_url)
    else:
        response.headers["Refresh"] = f"{COPIES_SECONDS if copies_url else 0}; url={reply.location}"
        response.headers["Referrer-Policy"] = "no-referrer"  # this page's address must not leak
        policy = content_security_policy(form_action="'none'")
    response.headers["Content-Security-Policy"] = policy
    return response


def _source(redirect_uri: str) -> str:
    """The client's origin as a CSP source: its own redirects after the form may go anywhere there."""
    parts = urlsplit(redirect_uri)
    if "[" in parts.netloc:  # CSP cannot name an IPv6 address (CSP3 §2.3.1); it is this machine's own (RFC 8252 §7.3)
        return f"{parts.scheme}:"
    return f"{parts.scheme}://{parts.netloc}"


def _answered_elsewhere(outcome: AnsweredElsewhere, *, card_was_read: bool = False) -> Response:
    """The last page here of what was asked for by another device: it goes nowhere."""
    response = page("elsewhere.html", client=outcome.client, done=outcome.approved, card_was_read=card_was_read)
    cookies.drop_session(response)
    if outcome.backchannel is not None:
        ciba.announce(outcome.backchannel, ports=ports())
    return response
