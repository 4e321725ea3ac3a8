"""The resident's own page: services and consents, the history of every use, and the way in and out (design 4.10)."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, Final, ParamSpec

from flask import Blueprint, Response, request, url_for

from broker.errors import AccountUnknown, MyPageClosed
from broker.flows import links, mandates, my_page, restoring, services
from broker.flows.my_page import Need, Place, Visit
from broker.ids import ClientID, LinkID, MandateNumber
from broker.web import cookies
from broker.web.errors import own_form
from broker.web.form import body_values
from broker.web.pages import language, page, see_other, to_login
from broker.web.settings import ports

blueprint = Blueprint("me", __name__)

_P = ParamSpec("_P")

PATHS: Final = {
    Place.OVERVIEW: "/me",
    Place.ATTRIBUTES: "/me/attributes",
    Place.EXPORT: "/me/export",
    Place.RECOVERY: "/me/recovery-codes",
    Place.DELETE: "/me/delete",
    Place.DELEGATIONS: "/delegations",
    Place.STATEMENTS: "/statements",
    Place.SERVICES: "/me/services",
    Place.LICENCE: "/me/history",
}
"""Where a login to the page leads."""


def visit(*, need: Need = Need.ANY, licensed: bool = False) -> Visit:
    """Who looks at the page. Raises MyPageClosed."""
    return my_page.enter(cookies.session_secret(), need=need, licensed=licensed, ports=ports())


def posted(*, need: Need = Need.ANY, licensed: bool = False) -> tuple[Visit, dict[str, str]]:
    """Who sent one of the page's forms, and its fields. Raises MyPageClosed, FormTokenInvalid, InvalidRequest."""
    own_form()
    fields = body_values()
    who = visit(need=need, licensed=licensed)
    my_page.check_form(who, fields.get("csrf", ""))
    return who, fields


def older_than() -> MandateNumber | None:
    """Where a list of mandates, or of statements, goes on."""
    return MandateNumber(request.args["older_than"]) if request.args.get("older_than") else None


def door(place: Place, *, status: int = 200) -> Response:
    """Where the card is asked for before `place` is shown."""
    return page(
        "me_login.html",
        status,
        place=place.value,
        again_url=PATHS[place],
        for_licences=ports().healthcare is not None and place in {Place.OVERVIEW, Place.LICENCE},
    )


def inside(
    place: Place, *, need: Need = Need.ANY, licensed: bool = False
) -> Callable[[Callable[Concatenate[Visit, _P], Response]], Callable[_P, Response]]:
    """A page for whoever is let in, who is its first argument; `place`'s door for everybody else."""

    def guarded(view: Callable[Concatenate[Visit, _P], Response]) -> Callable[_P, Response]:
        @wraps(view)
        def shown(*given: _P.args, **named: _P.kwargs) -> Response:
            try:
                who = visit(need=need, licensed=licensed)
            except MyPageClosed:
                return door(place)
            return view(who, *given, **named)

        return shown

    return guarded


def my(template: str, who: Visit, status: int = 200, **context: object) -> Response:
    """One of the page's pages."""
    return page(template, status, csrf=who.form_token, own=who.own, licensed=who.licensed, **context)


@blueprint.get("/me")
@inside(Place.OVERVIEW, licensed=True)
def overview(who: Visit) -> Response:
    """What there is, and where."""
    if who.licensed:
        return see_other(f"{ports().policy.issuer}{PATHS[Place.LICENCE]}")
    found = services.services(who, ports=ports())
    newest = services.uses(who, before=None, limit=1, ports=ports())
    return my(
        "me.html",
        who,
        in_force=sum(one.held.withdrawn_at is None for one in found),
        mandates=mandates.in_force(who, ports=ports()),
        newest=newest.uses[0] if newest.uses else None,
        support_number=my_page.support_number(who, ports=ports()),
        again_url=url_for("me.overview"),
    )


@blueprint.post("/me/login")
def login() -> Response:
    """The card is asked for, and leads to the part of the page that was wanted."""
    own_form()
    wanted = body_values().get("place", "")
    place = Place(wanted) if wanted in set(Place) else Place.OVERVIEW
    return to_login(my_page.begin(place, ui_locales=language(), ports=ports()))


@blueprint.post("/me/logout")
def logout() -> Response:
    """The page closes; the browser forgets the session."""
    who, _ = posted(licensed=True)
    my_page.leave(who, ports=ports())
    response = page("logged_out.html", client=None, url=None, frame=None)
    cookies.drop_session(response)
    return response


@blueprint.get("/me/services")
@inside(Place.OVERVIEW, licensed=True)
def shown_services(who: Visit) -> Response:
    """Which services receive what."""
    return my(
        "me_services.html",
        who,
        services=services.services(who, ports=ports()),
        links=links.links_of(who.account, ports=ports()),
        again_url=url_for("me.shown_services"),
    )


@blueprint.post("/me/services/withdraw")
def withdraw() -> Response:
    """Taken back at once, without the card (R2)."""
    who, fields = posted(licensed=True)
    done = services.withdraw(who, ClientID(fields.get("client_id", "")), ports=ports())
    response = my("me_withdrawn.html", who, client=done.client, logged_out=done.own_session_ended)
    if done.own_session_ended:
        cookies.drop_session(response)
    return response


@blueprint.post("/me/services/restore")
def restore() -> Response:
    """A withdrawal is undone: the card signs for it (R2)."""
    who, fields = posted()
    begun = restoring.begin(who, ClientID(fields.get("client_id", "")), ui_locales=language(), ports=ports())
    return to_login(begun)


@blueprint.post("/me/links/end")
def end_link() -> Response:
    """A number of a service is its person's no more, without the card (R2)."""
    who, fields = posted()
    if not links.end(LinkID(fields.get("link_id", "")), who.account, ports=ports()):
        raise AccountUnknown("no such link of this account, or it had ended")
    return see_other(f"{ports().policy.issuer}{PATHS[Place.SERVICES]}")


@blueprint.post("/me/sessions/end")
def end_sessions() -> Response:
    """Logged out everywhere but here."""
    who, _ = posted()
    ended = services.end_sessions(who, ports=ports())
    return my("me_ended.html", who, services=len(ended.services))


@blueprint.get("/me/consents")
@inside(Place.OVERVIEW, licensed=True)
def consents(who: Visit) -> Response:
    """The record of consents."""
    return my(
        "me_consents.html",
        who,
        records=services.records(who, ports=ports()),
        again_url=url_for("me.consents"),
    )


@blueprint.get("/me/history")
@inside(Place.OVERVIEW, licensed=True)
def history(who: Visit) -> Response:
    """Every use, a page at a time; of an HPKI card's holder too."""
    service = request.args.get("service") or None
    return my(
        "me_history.html",
        who,
        found=services.uses(
            who,
            before=_number(request.args.get("before")),
            client_id=None if service is None else ClientID(service),
            ports=ports(),
        ),
        service=service,
        first="before" not in request.args,
        again_url=url_for("me.history"),
    )


@blueprint.get("/me/history/<int:number>/report")
@inside(Place.OVERVIEW, licensed=True)
def ask_to_disown(who: Visit, number: int) -> Response:
    """Was it really somebody else? What follows is said before."""
    return my(
        "me_report.html",
        who,
        use=services.one_use(who, number, ports=ports()),
        again_url=url_for("me.ask_to_disown", number=number),
    )


@blueprint.post("/me/history/<int:number>/report")
def disown(number: int) -> Response:
    """It was somebody else: it ends, and the operator is told."""
    who, _ = posted(licensed=True)
    done = services.disown(who, number, ports=ports())
    response = my("me_reported.html", who, use=done.use, logged_out=done.own_session_ended)
    if done.own_session_ended:
        cookies.drop_session(response)
    return response


def _number(text: str | None) -> int | None:
    """Raises AccountUnknown for what is no number of a row."""
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise AccountUnknown("not the number of a row")
    return int(text)
