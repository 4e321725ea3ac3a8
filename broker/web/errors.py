"""Every error of the pages ends here: what people read, and what is logged (the words stand in the catalogue)."""

from __future__ import annotations

from typing import Final

from flask import Flask, Response, g, request, url_for
from flask_babel import get_locale
from werkzeug.exceptions import HTTPException, NotFound

from broker.errors import (
    AccountStopped,
    BrowserMismatch,
    CertificateExpired,
    CertificateRenewing,
    CertificateRevoked,
    FormTokenInvalid,
    InteractionUnknown,
    InvalidRequestURI,
    SignCertificateExpired,
    SignCertificateMissing,
    SignCertificateOutdated,
    SignCertificateRenewing,
    SignCertificateRevoked,
    SignCertificateUnfit,
    SignPasswordLocked,
    UnknownClient,
)
from broker.ids import InteractionID
from broker.oidc.client import Client
from broker.web import endpoint, routes
from broker.web.catalogue import answer_to, report, retry_after
from broker.web.pages import page
from broker.web.settings import ports

SAME_CARD_FAILS: Final = (
    CertificateExpired,
    CertificateRevoked,
    CertificateRenewing,
    AccountStopped,
    SignCertificateExpired,
    SignCertificateMissing,
    SignCertificateOutdated,
    SignCertificateRenewing,
    SignCertificateRevoked,
    SignCertificateUnfit,
    SignPasswordLocked,
)
"""Where another try with this card ends the same: the way back to the service stands first."""


def own_form() -> None:
    """Refuse a form that another origin sent. Raises FormTokenInvalid.

    A browser states the origin of every form it posts; a program may leave it out, and then the cookie
    (SameSite=Lax) and the form's own token decide.
    """
    if request.headers.get("Origin", ports().policy.origin) != ports().policy.origin:
        raise FormTokenInvalid("sent by another origin")


# --- telling ---------------------------------------------------------------------------------------------------------


def error_page(
    error: Exception,
    *,
    interaction: InteractionID | None = None,
    client: Client | None = None,
    agent_code: str | None = None,
) -> Response:
    """The page of an error: what happened, whether a PIN try was used, and one thing to do next.

    With `interaction` it links to another try; with `client` also back to the client.
    """
    answer = answer_to(error)
    report(error, request_id=g.get("request_id"), transaction=g.get("transaction"))
    response = page(
        "error.html",
        answer.http,
        answer=answer,
        words=answer.words[str(get_locale())],
        client=client,
        other_card=isinstance(error, SAME_CARD_FAILS),
        agent_code=agent_code,
        show_pin_try=interaction is not None or answer.code.startswith("AUTH-"),
        retry_url=None if interaction is None else url_for("authorization.show", interaction=interaction),
        cancel_url=None
        if interaction is None or client is None
        else url_for("authorization.cancel", interaction=interaction),
        request_id=g.get("request_id"),
    )
    _carry_headers(error, response)
    return response


def _carry_headers(error: Exception, response: Response) -> None:
    if isinstance(error, HTTPException):
        for name, value in error.get_headers(request.environ):
            if name == "Allow":
                response.headers[name] = value
    if (seconds := retry_after(error)) is not None:
        response.headers["Retry-After"] = str(seconds)


def _handle(error: Exception) -> Response:
    if routes.serves(request.path):
        asked = endpoint.EndpointRequest(
            method=request.method,
            path=request.path,
            authorization=tuple(request.headers.getlist("Authorization")),
            request_id=g.get("request_id"),
        )
        refused = endpoint.refusal(error, asked, issuer=ports().policy.issuer)
        return Response(refused.body, refused.status, list(refused.headers))
    interaction: InteractionID | None = g.get("interaction")
    if isinstance(error, InteractionUnknown | BrowserMismatch | UnknownClient | InvalidRequestURI | NotFound):
        interaction = None  # nothing to try again
    return error_page(error, interaction=interaction)


def register_handlers(app: Flask) -> None:
    """Every error ends here, HTTP's own and the unforeseen included."""
    app.register_error_handler(Exception, _handle)
