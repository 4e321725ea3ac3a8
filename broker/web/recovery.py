"""For who has no card at hand: what to do first, and what a recovery code can do."""

from __future__ import annotations

from flask import Blueprint, Response, url_for
from flask_babel import get_locale

from broker.errors import FormTokenInvalid, InvalidRequest, RecoveryCodeUnknown
from broker.flows import recovery
from broker.flows.secret import mint
from broker.web import cookies
from broker.web.catalogue import Words, answer_to
from broker.web.errors import own_form
from broker.web.form import body_values
from broker.web.pages import page
from broker.web.settings import ports

blueprint = Blueprint("recovery", __name__)


@blueprint.get("/lost-card")
def lost() -> Response:
    """The card is gone: whom to call first, what can be done here, and what a new card will mean."""
    return page("lost_card.html", again_url=url_for("recovery.lost"))


@blueprint.get("/recovery")
def show() -> Response:
    """The form for a code."""
    return _ask(cookies.device_secret() or mint(ports().entropy))


def _ask(secret: str, *, typed: str = "", act: str = "", words: Words | None = None, status: int = 200) -> Response:
    response = page(
        "recovery.html",
        status,
        typed=typed,
        act=act,
        words=words,
        form_token=recovery.form_token(secret),
        again_url=url_for("recovery.show"),
    )
    cookies.keep_device(response, secret)
    return response


@blueprint.post("/recovery")
def use() -> Response:
    """Do what was chosen, if the code is good."""
    own_form()
    fields = body_values()
    secret = cookies.device_secret()
    if secret is None:
        raise FormTokenInvalid("this browser was not shown the form")
    recovery.check_form(secret, fields.get("csrf", ""))
    chosen = fields.get("act", "")
    if chosen not in set(recovery.Act):
        raise InvalidRequest("act is stop, end_sessions or withdraw_all")
    typed = fields.get("code", "")
    try:
        ended = recovery.use(typed, recovery.Act(chosen), browser=secret, ports=ports())
    except RecoveryCodeUnknown as unknown:
        told = answer_to(unknown)
        return _ask(secret, typed=typed[:64], act=chosen, words=told.words[str(get_locale())], status=told.http)
    return page("recovery_done.html", act=chosen, services=len(ended.services))
