"""Certificates of employment (雇用証明書) for those who make them and those they are about."""

from __future__ import annotations

from flask import Blueprint, Response, url_for
from flask_babel import get_locale

from broker.delegation.bundle import Papers, write
from broker.delegation.grant import JST
from broker.delegation.life import STEPS, Deed, Role
from broker.delegation.statement import MAX_WORKED, Employment, LeaveKind
from broker.delegation.vocabulary import VALUES
from broker.errors import DelegationUnknown, MyPageClosed, PowerRefused
from broker.flows import mandate_cards, mandate_drafts, mandate_ends, mandate_papers, statements
from broker.flows.my_page import Need, Place, Visit
from broker.ids import MandateNumber
from broker.web import cookies
from broker.web.me import door, my, older_than, posted, visit
from broker.web.pages import language, see_other
from broker.web.settings import ports
from broker.web.words import refusal

blueprint = Blueprint("statements", __name__)

_DEEDS = (Deed.SIGN, Deed.REVOKE, Deed.ABANDON)
"""The employer's."""


def _word(member: str, value: str) -> str:
    return VALUES[member][value].into(str(get_locale()))


@blueprint.get("/statements")
def overview() -> Response:
    """Certificates made and received, and what happened to them."""
    try:
        who = visit()
    except MyPageClosed:
        return door(Place.STATEMENTS)
    found = statements.held(who, older_than=older_than(), ports=ports())
    return my(
        "statements.html",
        who,
        made=[one for one in found.views if one.role is Role.PRINCIPAL],
        received=[one for one in found.views if one.role is Role.AGENT],
        found=found,
        first=older_than() is None,
        again_url=url_for("statements.overview"),
    )


@blueprint.get("/statements/new")
def form() -> Response:
    """What is certified about whom."""
    try:
        who = visit(need=Need.OWN)
    except MyPageClosed:
        return door(Place.STATEMENTS)
    return _form(who, {"certified_on": ports().clock().astimezone(JST).date().isoformat()}, None)


def _form(who: Visit, typed: dict[str, str], wrong: PowerRefused | None) -> Response:
    return my(
        "statement_new.html",
        who,
        400 if wrong is not None else 200,
        typed=typed,
        wrong=None if wrong is None else refusal(wrong),
        employments=[(each.value, _word("employment", each.value)) for each in Employment],
        leaves=[(each.value, _word("kind", each.value)) for each in LeaveKind],
        months=range(MAX_WORKED),
        again_url=url_for("statements.form"),
    )


@blueprint.post("/statements/new")
def draft() -> Response:
    """Keep the draft; the invitation is shown this once."""
    who, fields = posted(need=Need.OWN)
    try:
        made = statements.draft(who, fields, ports=ports())
    except PowerRefused as wrong:
        return _form(who, {name: value[:400] for name, value in fields.items() if name != "csrf"}, wrong)
    return my(
        "statement_drafted.html",
        who,
        view=statements.see(who, made.number, ports=ports()),
        employee_url=f"{ports().policy.issuer}/statements/invitations/{made.employee}",
        value_word=_word,
    )


@blueprint.get("/statements/invitations/<handle:invitation>")
def invited(invitation: str) -> Response:
    """Whom it is about sees it once their card is read."""
    try:
        who = visit(need=Need.OWN)
    except MyPageClosed:
        return door(Place.STATEMENTS)
    return my(
        "statement_invited.html",
        who,
        statement=statements.look(who, invitation, ports=ports()),
        take_url=url_for("statements.take", invitation=invitation),
        value_word=_word,
        again_url=url_for("statements.invited", invitation=invitation),
    )


@blueprint.post("/statements/invitations/<handle:invitation>")
def take(invitation: str) -> Response:
    """It is theirs from now on."""
    who, _ = posted(need=Need.OWN)
    statements.look(who, invitation, ports=ports())
    number = mandate_drafts.take(who, invitation, ports=ports())
    return see_other(f"{ports().policy.issuer}/statements/{number}")


@blueprint.get("/statements/<handle:number>")
def one(number: str) -> Response:
    """One certificate, with what its viewer may do now."""
    try:
        who = visit()
    except MyPageClosed:
        return door(Place.STATEMENTS)
    view = statements.see(who, MandateNumber(number), ports=ports())
    made = view.role is Role.PRINCIPAL
    return my(
        "statement.html",
        who,
        view=view,
        made=made,
        deeds=[deed.value for deed in _DEEDS if made and view.mandate.state in STEPS[deed].begins],
        taken=any(part.role is Role.AGENT and part.account is not None for part in view.parts),
        sealed=view.mandate.state.value in {"active", "revoked", "superseded", "expired"},
        value_word=_word,
        again_url=url_for("statements.one", number=number),
    )


@blueprint.post("/statements/<handle:number>/<deed>")
def act(number: str, deed: str) -> Response:
    """Signing goes on with the card; taking back is done at once."""
    wanted = Deed(deed) if deed in {each.value for each in _DEEDS} else None
    if wanted is None:
        raise DelegationUnknown("no such deed")
    who, _ = posted(need=Need.OWN if wanted is Deed.SIGN else Need.ANY)
    name = MandateNumber(number)
    statements.see(who, name, ports=ports())  # a power goes its own way
    if wanted is not Deed.SIGN:
        mandate_ends.end(who, name, wanted, ports=ports())
        return see_other(f"{ports().policy.issuer}/statements/{number}")
    begun = mandate_cards.begin(who, name, wanted, ui_locales=language(), ports=ports())
    response = see_other(f"{ports().policy.issuer}/login/{begun.interaction_id}")
    cookies.keep_login(response, begun.interaction_id, begun.browser_secret)
    return response


@blueprint.get("/statements/<handle:number>/bundle.zip")
def bundle(number: str) -> Response:
    """Everything that whoever receives it needs, to check it without us."""
    who, name = visit(), MandateNumber(number)
    statements.see(who, name, ports=ports())
    return _file(write(mandate_papers.bundle(who, name, ports=ports())), "application/zip", "bundle.zip")


@blueprint.get("/statements/<handle:number>/statement.pdf")
def document(number: str) -> Response:
    """The sealed document."""
    return _file(_papers(number).pdf, "application/pdf", "statement.pdf")


@blueprint.get("/statements/<handle:number>/statement.json")
def record(number: str) -> Response:
    """The record that the document carries."""
    return _file(_papers(number).record or b"", "application/json", "statement.json")


@blueprint.get("/statements/<handle:number>/statement.tlog-proof")
def proof(number: str) -> Response:
    """Where its entry stands in the register."""
    return _file(_papers(number).proof or b"", "text/plain; charset=utf-8", "statement.tlog-proof")


@blueprint.get("/statements/<handle:number>/statement.salt")
def salt(number: str) -> Response:
    """What opens the commitment in that entry."""
    return _file(_papers(number).salt or b"", "application/octet-stream", "statement.salt")


def _papers(number: str) -> Papers:
    who, name = visit(), MandateNumber(number)
    statements.see(who, name, ports=ports())
    return mandate_papers.papers(who, name, ports=ports())


def _file(body: bytes, media_type: str, name: str) -> Response:
    response = Response(body, content_type=media_type)
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response
