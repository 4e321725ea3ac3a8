"""Documents to sign, as the resident reads them before the card, and what they keep afterwards.

Both belong to the browser of one login: its cookie is asked for each time, and nothing is kept by anybody on the way.
"""

from __future__ import annotations

from urllib.parse import quote

from flask import Blueprint, Response, g, request, url_for

from broker.errors import DocumentChanged
from broker.flows import signing
from broker.flows.code import RefusedToClient, ReturnToClient
from broker.flows.elsewhere import AnsweredElsewhere
from broker.flows.sign_documents import SignDocument
from broker.ids import InteractionID
from broker.web import cookies
from broker.web.client_return import return_to_client
from broker.web.pages import page
from broker.web.settings import ports

blueprint = Blueprint("documents", __name__)

_CONFINED = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'; sandbox"
"""A client's document is shown by the browser's own reader, and can do nothing here: no script, form or frame."""


@blueprint.get("/login/<handle:interaction>/documents/<int:position>")
def show(interaction: InteractionID, position: int) -> Response:
    """One document that came whole. `sha256` is what the page said of it: another one is not shown in its place."""
    g.interaction = interaction
    document = signing.read(interaction, cookies.browser_secret(interaction), position, ports=ports())
    if request.args.get("sha256") != document.digest.hex():
        raise DocumentChanged("not the document that the page named")
    return _file(document.content or b"", document.media_type or "", document, suffix="", inline=True)


@blueprint.get("/signed/<handle:interaction>")
def copies(interaction: InteractionID) -> Response:
    """What was signed, by name, to be kept."""
    names = signing.copies(interaction, cookies.browser_secret(interaction), ports=ports())
    return page(
        "signed.html",
        names=names,
        interaction=interaction,
        again_url=url_for("documents.copies", interaction=interaction),
    )


@blueprint.get("/signed/<handle:interaction>/<int:position>")
def copy(interaction: InteractionID, position: int) -> Response:
    """The resident's own copy of what they signed, while it is kept."""
    kept = signing.copy(interaction, cookies.browser_secret(interaction), position, ports=ports())
    return _file(kept.content, kept.media_type, kept.document, suffix=kept.suffix, inline=False)


def leave(outcome: ReturnToClient | RefusedToClient | AnsweredElsewhere, interaction: InteractionID) -> Response:
    """The page that ends a login after its card. Where documents were signed the cookie stays, for their copies."""
    signed = isinstance(outcome, ReturnToClient) and outcome.signed
    copies_url = url_for("documents.copies", interaction=interaction) if signed else ""
    response = return_to_client(outcome, card_was_read=True, copies_url=copies_url)
    if not signed:
        cookies.drop_login(response, interaction)
    return response


def _file(content: bytes, media_type: str, document: SignDocument, *, suffix: str, inline: bool) -> Response:
    charset = "; charset=utf-8" if media_type.startswith("text/") else ""
    response = Response(content, content_type=f"{media_type}{charset}")
    full = document.name if document.name.lower().endswith(suffix) else f"{document.name}{suffix}"
    name = quote(full.replace("/", "_").replace("\\", "_"), safe="")
    kind = "inline" if inline else "attachment"
    response.headers["Content-Disposition"] = f"{kind}; filename*=UTF-8''{name}"  # RFC 6266 §4.3
    response.headers["Content-Security-Policy"] = _CONFINED
    response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
    return response
