"""A corporation's own signature over its grant: the bytes out, the signature file in."""

from __future__ import annotations

from typing import Final

from flask import Blueprint, Response, request
from werkzeug.exceptions import UnsupportedMediaType

from broker.errors import PowerRefused
from broker.flows import mandate_uploads, mandates, my_page
from broker.flows.my_page import Need
from broker.ids import MandateNumber
from broker.jpki.detached import MAX_CMS
from broker.web.delegations import shown
from broker.web.errors import own_form
from broker.web.me import visit
from broker.web.pages import attachment, see_other
from broker.web.settings import ports

blueprint = Blueprint("uploads", __name__)

_MULTIPART: Final = "multipart/form-data"


@blueprint.get("/delegations/<handle:number>/grant.json")
def to_sign(number: str) -> Response:
    """The very bytes that are signed."""
    body = mandate_uploads.to_sign(visit(need=Need.OWN), MandateNumber(number), ports=ports())
    return attachment(body, "application/json", "grant.json")


@blueprint.post("/delegations/<handle:number>/signature")
def upload(number: str) -> Response:
    """Take the signature, or say which rule it breaks."""
    own_form()
    if request.mimetype != _MULTIPART:
        raise UnsupportedMediaType
    who, name = visit(need=Need.OWN), MandateNumber(number)
    my_page.check_form(who, request.form.get("csrf", ""))
    file = request.files.get("signature")
    try:
        cms = b"" if file is None else file.stream.read(MAX_CMS + 1)
        mandate_uploads.upload(who, name, cms, ports=ports())
    except PowerRefused as wrong:
        return shown(who, mandates.see(who, name, ports=ports()), refused=wrong)
    return see_other(f"{ports().policy.issuer}/delegations/{number}")
