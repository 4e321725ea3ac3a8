"""`prompt=none` (OIDC Core §3.1.2.1): a session answers by redirect, no page is shown, and no framework is needed."""

from __future__ import annotations

from broker.flows import authorization
from broker.flows.ports import Ports
from broker.web import cookies
from broker.web.client_return import answer_of
from broker.web.endpoint import EndpointRequest, EndpointResponse, pairs

_BY_PAGE = frozenset({"request", "request_uri"})
"""What may hide another prompt."""


def authorize(request: EndpointRequest, ports: Ports, *, secure: bool) -> EndpointResponse | None:
    """The redirect back to the client; None where the pages have to answer, and then nothing has happened.

    Raises what `flows.authorization.begin` raises: those refusals are pages too, and nothing has happened either.
    """
    if request.method != "GET" or b"prompt=none" not in request.query:
        return None
    asked = pairs(request.query)
    named = dict(asked)
    if named.get("prompt") != "none" or _BY_PAGE & named.keys() or "form_post" in named.get("response_mode", ""):
        return None
    secret = cookies.session_secret_in(request.cookies, secure=secure)
    outcome = authorization.begin(asked, session_secret=secret, ports=ports)
    if isinstance(outcome, authorization.Begun):
        raise TypeError("prompt=none began a login")
    reply = answer_of(outcome, ports=ports)
    return EndpointResponse(status=303, headers=(("Location", reply.location), ("Referrer-Policy", "no-referrer")))
