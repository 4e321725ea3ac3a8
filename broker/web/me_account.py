"""Recovery codes, which need a card that was read just now, and the end of the account."""

from __future__ import annotations

from flask import Blueprint, Response, url_for

from broker.flows import deletion, my_page, recovery
from broker.flows.my_page import Need, Place, Visit
from broker.web import cookies
from broker.web.me import inside, my, posted
from broker.web.pages import page
from broker.web.settings import ports

blueprint = Blueprint("me_account", __name__)


@blueprint.get("/me/recovery-codes")
@inside(Place.RECOVERY, need=Need.FRESH_CARD)
def codes(who: Visit) -> Response:
    """How many there are, and new ones."""
    return my(
        "me_recovery.html",
        who,
        left=recovery.left(who, ports=ports()),
        again_url=url_for("me_account.codes"),
    )


@blueprint.post("/me/recovery-codes")
def new_codes() -> Response:
    """A new sheet, shown this once."""
    who, _ = posted(need=Need.FRESH_CARD)
    return my(
        "me_recovery_codes.html",
        who,
        codes=recovery.make_sheet(who, ports=ports()).codes,
        support_number=my_page.support_number(who, ports=ports()),
    )


@blueprint.get("/me/delete")
@inside(Place.DELETE, need=Need.OWN)
def ask(who: Visit) -> Response:
    """What goes, what stays."""
    return my("me_delete.html", who, missing=False, again_url=url_for("me_account.ask"))


@blueprint.post("/me/delete")
def delete() -> Response:
    """The end of the account, once the box was ticked."""
    who, fields = posted(need=Need.OWN)
    if fields.get("understood") != "yes":
        return my("me_delete.html", who, 400, missing=True, again_url=url_for("me_account.ask"))
    ended = deletion.delete(who, ports=ports())
    response = page("me_deleted.html", services=len(ended.services))
    cookies.drop_session(response)
    return response
