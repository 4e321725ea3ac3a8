"""A login whose card reader is elsewhere: how to use the card is chosen, and the number for the other device shown."""

from __future__ import annotations

from typing import Final

import segno
from flask import Blueprint, Response, g, request, url_for
from markupsafe import Markup

from broker.flows import handover
from broker.ids import InteractionID
from broker.web import cookies
from broker.web.address import caller, environ_name
from broker.web.client_return import return_to_client
from broker.web.errors import own_form
from broker.web.pages import ask_for, page, see_other
from broker.web.settings import ports, web_settings

blueprint = Blueprint("handover", __name__)

REFRESH_SECONDS: Final = 10
"""After which the waiting page asks again by itself; it has a link for who does not want to wait."""


@blueprint.get("/login/<handle:interaction>/choose")
def choose(interaction: InteractionID) -> Response:
    """The reader of this computer, or another device."""
    g.interaction = interaction
    secret = cookies.browser_secret(interaction)
    choice = handover.choices(interaction, secret, kiosk_id=cookies.kiosk(), ports=ports())
    ask_for(choice.interaction.request.ui_locales)
    return _choose(interaction, choice)


def _choose(interaction: InteractionID, choice: handover.Choice, *, lapsed: bool = False) -> Response:
    return page(
        "choose.html",
        client=choice.client,
        elsewhere=choice.elsewhere,
        lapsed=lapsed,
        here_url=url_for("handover.here", interaction=interaction),
        elsewhere_url=url_for("handover.begin", interaction=interaction),
        cancel_url=url_for("authorization.cancel", interaction=interaction),
        again_url=url_for("handover.choose", interaction=interaction),
    )


@blueprint.post("/login/<handle:interaction>/elsewhere")
def begin(interaction: InteractionID) -> Response:
    """Another device is to be asked."""
    g.interaction = interaction
    own_form()
    handover.begin(
        interaction,
        cookies.browser_secret(interaction),
        address=caller(request.environ, header=environ_name(web_settings().client_address_header)),
        kiosk_id=cookies.kiosk(),
        ports=ports(),
    )
    return see_other(f"{ports().policy.issuer}/login/{interaction}/elsewhere")


@blueprint.get("/login/<handle:interaction>/elsewhere")
def show(interaction: InteractionID) -> Response:
    """The number and its picture, until there is an answer: then back to the client."""
    g.interaction = interaction
    secret = cookies.browser_secret(interaction)
    found = handover.look(interaction, secret, session_secret=cookies.session_secret(), ports=ports())
    ask_for(found.ui_locales)
    if isinstance(found, handover.Lapsed):
        return _choose(interaction, handover.choices(interaction, secret, ports=ports()), lapsed=True)
    if isinstance(found, handover.Waiting):
        return _waiting(interaction, found)
    response = return_to_client(found)
    cookies.drop_login(response, interaction)
    return response


def _waiting(interaction: InteractionID, waiting: handover.Waiting) -> Response:
    again = url_for("handover.show", interaction=interaction)
    response = page(
        "handover.html",
        client=waiting.client,
        waiting=waiting,
        minutes=max(1, -(-int((waiting.ends_at - ports().clock()).total_seconds()) // 60)),
        qr=_qr(waiting.complete),
        here_url=url_for("handover.here", interaction=interaction),
        cancel_url=url_for("authorization.cancel", interaction=interaction),
        again_url=again,
    )
    response.headers.setdefault("Refresh", f"{REFRESH_SECONDS}; url={again}")
    return response


@blueprint.post("/login/<handle:interaction>/here")
def here(interaction: InteractionID) -> Response:
    """The card is read at this computer after all."""
    g.interaction = interaction
    own_form()
    handover.take_back(interaction, cookies.browser_secret(interaction), ports=ports())
    return see_other(f"{ports().policy.issuer}/login/{interaction}")


def _qr(address: str) -> Markup:
    """The address as a picture in the page (ISO/IEC 18004), with the quiet zone that scanners need."""
    drawn = segno.make_qr(address, error="m")
    return Markup(drawn.svg_inline(scale=6, border=4, omitsize=True, light="#fff", svgclass="qr", lineclass=None))  # noqa: S704 -- segno draws it; the address is in no text of it
