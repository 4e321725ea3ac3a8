"""Where a resident types the code that another device shows (RFC 8628 §3.3)."""

from __future__ import annotations

from datetime import timedelta, timezone
from typing import Final

from flask import Blueprint, Response, request, url_for
from flask_babel import get_locale

from broker.errors import DeviceNumberWrong, FormTokenInvalid, InvalidRequest, UserCodeUnknown
from broker.flows import device
from broker.flows.secret import mint
from broker.oidc.device import read_user_code, shown
from broker.web import cookies
from broker.web.address import caller, environ_name
from broker.web.catalogue import Words, answer_to
from broker.web.client_return import return_to_client
from broker.web.errors import own_form
from broker.web.form import body_values
from broker.web.pages import page, to_login
from broker.web.settings import ports, web_settings

blueprint = Blueprint("device", __name__)

_JAPAN: Final = timezone(timedelta(hours=9))


@blueprint.get("/device")
def show() -> Response:
    """The page for the code. One in the address (verification_uri_complete) is filled in and still has to be sent.

    A number in the address is left out: it is to be read off the device's screen.
    """
    read = read_user_code(request.args.get("user_code", ""))
    return _ask(cookies.device_secret() or mint(ports().entropy), user_code=shown(read[0]) if read else "")


def _ask(secret: str, *, user_code: str, words: Words | None = None, status: int = 200) -> Response:
    response = page(
        "device.html",
        status,
        user_code=user_code,
        words=words,
        form_token=device.form_token(secret),
        again_url=url_for("device.show"),
    )
    cookies.keep_device(response, secret)
    return response


@blueprint.post("/device")
def look() -> Response:
    """Which client asks, and is it their own device?"""
    secret, fields = _form()
    typed = fields.get("user_code", "")
    try:
        asked = device.look(typed, browser=secret, address=_address(), ports=ports())
    except (UserCodeUnknown, DeviceNumberWrong) as refused:
        return _ask_again(secret, typed, refused)
    return _confirmation(secret, asked)


def _ask_again(secret: str, typed: str, refused: UserCodeUnknown | DeviceNumberWrong) -> Response:
    told = answer_to(refused)
    return _ask(secret, user_code=typed[:32], words=told.words[str(get_locale())], status=told.http)


def _confirmation(secret: str, asked: device.Asked, *, words: Words | None = None, status: int = 200) -> Response:
    return page(
        "device_confirm.html",
        status,
        asked=asked,
        client=asked.client,
        shown_code="-".join(filter(None, (asked.user_code, asked.number))),
        began=asked.request_began_at.astimezone(_JAPAN).strftime("%H:%M"),
        words=words,
        form_token=device.form_token(secret),
        again_url=url_for("device.show"),
    )


@blueprint.post("/device/confirm")
def confirm() -> Response:
    """Yes, and the number on its screen: the card is asked for. No: the device is told."""
    secret, fields = _form()
    typed, decision = fields.get("user_code", ""), fields.get("decision")
    if decision == "deny":
        return return_to_client(device.deny(typed, browser=secret, address=_address(), ports=ports()))
    if decision != "continue":
        raise InvalidRequest("decision is continue or deny")
    try:
        begun = device.approve(typed, fields.get("number", ""), browser=secret, address=_address(), ports=ports())
    except DeviceNumberWrong as refused:
        asked = device.look(typed, browser=secret, address=_address(), ports=ports())
        told = answer_to(refused)
        return _confirmation(secret, asked, words=told.words[str(get_locale())], status=told.http)
    except UserCodeUnknown as refused:
        return _ask_again(secret, "", refused)
    return to_login(begun)


def _address() -> str | None:
    return caller(request.environ, header=environ_name(web_settings().client_address_header))


def _form() -> tuple[str, dict[str, str]]:
    """The browser's secret and the fields of our own form. Raises FormTokenInvalid, InvalidRequest."""
    own_form()
    fields = body_values()
    secret = cookies.device_secret()
    if secret is None:
        raise FormTokenInvalid("this browser was not shown the form")
    device.check_form(secret, fields.get("csrf", ""))
    return secret, fields
