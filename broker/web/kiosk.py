"""A terminal that everybody uses: where each session begins, and how it ends (R4, design 4.14)."""

from __future__ import annotations

import re
from typing import Final

from flask import Blueprint, Response, request, url_for

from broker.errors import KioskRefused
from broker.flows import kiosks
from broker.flows.kiosks import WARNING
from broker.ids import KioskID
from broker.web import cookies
from broker.web.pages import page, see_other
from broker.web.settings import ports

blueprint = Blueprint("kiosk", __name__)

_OWN_PATH: Final = re.compile(r"(/[A-Za-z0-9_-]{1,128}){1,6}")
_SAID_SECONDS: Final = 10
"""How long the last page stays before the next person's first one."""


@blueprint.get("/kiosk/<handle:kiosk>")
def start(kiosk: KioskID) -> Response:
    """Where a kiosk's browser begins: nothing of anybody before is left, and the service's page follows.

    Another site cannot send a browser here, or it could make a person's own browser count as a kiosk's.
    """
    if request.headers.get("Sec-Fetch-Site", "none") not in {"none", "same-origin"}:
        raise KioskRefused("only a kiosk's agent begins here")
    known = kiosks.standing(kiosk, ports=ports())
    kiosks.leave(cookies.session_secret(), ports=ports())
    response = see_other(known.start_url)
    _forget(response)
    cookies.keep_kiosk(response, known.kiosk_id)
    return response


@blueprint.get("/kiosk/still-there")
def still_there() -> Response:
    """Nobody has touched anything for a while: one touch goes on (WCAG 2.2.1), and without it the session ends."""
    to = request.args.get("to", "")
    response = page(
        "kiosk_still_there.html", to=to if _OWN_PATH.fullmatch(to) else "/me", seconds=int(WARNING.total_seconds())
    )
    response.headers["Refresh"] = f"{int(WARNING.total_seconds())}; url={url_for('kiosk.end')}"
    return response


@blueprint.get("/kiosk/end")
def end() -> Response:
    """The session is over; the screen says so, and then belongs to the next person."""
    kiosks.leave(cookies.session_secret(), ports=ports())
    where = cookies.kiosk()
    response = page("kiosk_end.html", over=True)
    _forget(response)
    if where is None:
        response.headers.pop("Refresh", None)
    else:
        response.headers["Refresh"] = f"{_SAID_SECONDS}; url={url_for('kiosk.start', kiosk=where)}"
    return response


def _forget(response: Response) -> None:
    cookies.drop_person(response)
    response.headers["Clear-Site-Data"] = '"cache", "storage"'  # not cookies: which kiosk this is must stay
