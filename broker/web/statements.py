"""Certificates of employment (雇用証明書) for those who make them and those they are about."""

from __future__ import annotations

from typing import Final

from flask import Blueprint, Response, url_for
from flask_babel import get_locale

from broker.delegation.life import STEPS, Deed, Role
from broker.delegation.members import JST
from broker.delegation.statement import MAX_WORKED, Employment, LeaveKind
from broker.delegation.vocabulary import VALUES
from broker.errors import PowerRefused
from broker.flows import statements
from broker.flows.my_page import Need, Place, Visit
from broker.ids import MandateNumber
from broker.web import mandate
from broker.web.me import inside, my, older_than, posted
from broker.web.settings import ports
from broker.web.words import refusal

blueprint = Blueprint("statements", __name__)

_AT: Final = "/statements"
_DEEDS: Final = (Deed.SIGN, Deed.REVOKE, Deed.ABANDON)
"""The employer's."""


def _statement(who: Visit, number: MandateNumber) -> object:
    """A power goes its own way."""
    return statements.see(who, number, ports=ports())


def _word(member: str, value: str) -> str:
    return VALUES[member][value].into(str(get_locale()))


@blueprint.get("/statements")
@inside(Place.STATEMENTS)
def overview(who: Visit) -> Response:
    """Certificates made and received, and what happened to them."""
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
@inside(Place.STATEMENTS, need=Need.OWN)
def form(who: Visit) -> Response:
    """What is certified about whom."""
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
@inside(Place.STATEMENTS, need=Need.OWN)
def invited(who: Visit, invitation: str) -> Response:
    """Whom it is about sees it once their card is read."""
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
    return mandate.take(who, invitation, at=_AT)


@blueprint.get("/statements/<handle:number>")
@inside(Place.STATEMENTS)
def one(who: Visit, number: str) -> Response:
    """One certificate, with what its viewer may do now."""
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
    return mandate.act(number, deed, among=_DEEDS, at=_AT, check=_statement)


mandate.offer(blueprint, at=_AT, stem="statement", check=_statement)
