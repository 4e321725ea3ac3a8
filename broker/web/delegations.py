"""Powers of attorney for those who grant, take and approve them: what they hold, and what they do about it."""

from __future__ import annotations

from typing import Final

from flask import Blueprint, Response, url_for

from broker.delegation.acts import ALLOWED, FAMILY, PROCUREMENT, Act, Kind
from broker.delegation.drafting import CATEGORIES
from broker.delegation.life import ENDED, STEPS, Deed, Role, State, roles
from broker.delegation.members import JST
from broker.errors import PowerRefused
from broker.flows import (
    family_mandates,
    mandate_drafts,
    mandate_status,
    mandate_uploads,
    mandates,
)
from broker.flows.mandates import MandateView
from broker.flows.my_page import Need, Place, Visit
from broker.ids import MandateNumber
from broker.web import mandate
from broker.web.me import inside, my, older_than, posted
from broker.web.pages import see_other
from broker.web.questions import entity_name
from broker.web.settings import ports
from broker.web.words import act_word, refusal, word

blueprint = Blueprint("delegations", __name__)

_AT: Final = "/delegations"
_DEEDS: Final = mandate.BY_CARD | {Deed.SUSPEND, Deed.REVOKE, Deed.ABANDON}


@blueprint.get("/delegations")
@inside(Place.DELEGATIONS)
def overview(who: Visit) -> Response:
    """Mandates given and received, and what happened to them."""
    found = mandates.held(who, older_than=older_than(), ports=ports())
    return my(
        "delegations.html",
        who,
        given=[one for one in found.views if one.role is Role.PRINCIPAL],
        received=[one for one in found.views if one.role is Role.AGENT],
        approving=[one for one in found.views if one.role is Role.APPROVER],
        found=found,
        first=older_than() is None,
        again_url=url_for("delegations.overview"),
    )


@blueprint.get("/delegations/new")
@inside(Place.DELEGATIONS, need=Need.OWN)
def form(who: Visit) -> Response:
    """What is to be granted to whom."""
    return _form(who, {}, None)


def _form(who: Visit, typed: dict[str, str], wrong: PowerRefused | None) -> Response:
    return my(
        "delegation_new.html",
        who,
        400 if wrong is not None else 200,
        typed=typed,
        wrong=None if wrong is None else refusal(wrong),
        acts=[(act.value, act_word(act.value)) for act in Act if act in PROCUREMENT],
        categories=CATEGORIES,
        again_url=url_for("delegations.form"),
    )


@blueprint.get("/delegations/new/<any(child, person):who>")
@inside(Place.DELEGATIONS, need=Need.OWN)
def family_form(viewer: Visit, who: str) -> Response:
    """Who is to act for a child, or for oneself, at which service."""
    return _family_form(viewer, Kind.GUARDIAN if who == "child" else Kind.PERSON, {}, None)


def _family_form(who: Visit, kind: Kind, typed: dict[str, str], wrong: PowerRefused | None) -> Response:
    return my(
        "delegation_family_new.html",
        who,
        400 if wrong is not None else 200,
        kind=kind.value,
        typed=typed,
        wrong=None if wrong is None else refusal(wrong),
        services=mandate_drafts.family_services(ports=ports()),
        acts=[(act.value, act_word(act.value)) for act in Act if act in ALLOWED[kind]],
        today=who.now.astimezone(JST).date().isoformat(),
        again_url=url_for("delegations.family_form", who="child" if kind is Kind.GUARDIAN else "person"),
    )


@blueprint.post("/delegations/new")
def draft() -> Response:
    """Keep the draft; the invitations are shown this once."""
    who, fields = posted(need=Need.OWN)
    try:
        made = mandate_drafts.draft(who, fields, ports=ports())
    except PowerRefused as wrong:
        typed = {name: value[:400] for name, value in fields.items() if name != "csrf"}
        if typed.get("kind") in {kind.value for kind in FAMILY}:
            return _family_form(who, Kind(typed["kind"]), typed, wrong)
        return _form(who, typed, wrong)
    return my(
        "delegation_drafted.html",
        who,
        view=mandates.see(who, made.number, ports=ports()),
        agent_url=_invitation(made.agent),
        approver_urls=[_invitation(secret) for secret in made.approvers],
        act_word=act_word,
    )


def _invitation(secret: str) -> str:
    return f"{ports().policy.issuer}/delegations/invitations/{secret}"


@blueprint.get("/delegations/invitations/<handle:invitation>")
@inside(Place.DELEGATIONS, need=Need.OWN)
def invited(who: Visit, invitation: str) -> Response:
    """What somebody was invited to; to see it they have to have read their card."""
    return my(
        "delegation_invited.html",
        who,
        invitation=mandate_drafts.look(who, invitation, ports=ports()),
        take_url=url_for("delegations.take", invitation=invitation),
        act_word=act_word,
        again_url=url_for("delegations.invited", invitation=invitation),
    )


@blueprint.post("/delegations/invitations/<handle:invitation>")
def take(invitation: str) -> Response:
    """They are the one; what they sign follows."""
    who, _ = posted(need=Need.OWN)
    return mandate.take(who, invitation, at=_AT)


@blueprint.get("/delegations/<handle:number>")
@inside(Place.DELEGATIONS)
def one(who: Visit, number: str) -> Response:
    """One mandate, with what its viewer may do now."""
    view = mandates.see(who, MandateNumber(number), ports=ports())
    if view.mandate.kind in FAMILY:
        return _family(who, view)
    return shown(who, view)


def shown(who: Visit, view: MandateView, *, refused: PowerRefused | None = None) -> Response:
    """Its page; with `refused`, the rule that a signature file broke."""
    number = view.mandate.number
    own = view.role is Role.PRINCIPAL
    return my(
        "delegation.html",
        who,
        200 if refused is None else 400,
        view=view,
        refused=None if refused is None else refusal(refused),
        takes_upload=own and mandate_uploads.takes_upload(view.mandate, view.grant, ports=ports()),
        deeds=[deed.value for deed in Deed if _may(view, deed)],
        entity_name=entity_name,
        act_word=act_word,
        sealed=view.mandate.log_index is not None and view.mandate.state.value in {"active", "suspended"},
        again_url=url_for("delegations.one", number=number),
    )


def _family(who: Visit, view: MandateView) -> Response:
    standing = family_mandates.standing(who, view, ports=ports())
    return my(
        "delegation_family.html",
        who,
        view=view,
        state=word("family_state", view.mandate.state.value),
        next=word("family_next", standing.waits_for.value) if standing.waits_for is not None else None,
        others=standing.others,
        deeds=[deed.value for deed in Deed if _may(view, deed)],
        act_word=act_word,
        sealed=view.mandate.state is State.ACTIVE,
        alive=view.mandate.state not in ENDED,
        again_url=url_for("delegations.one", number=view.mandate.number),
    )


@blueprint.post("/delegations/<handle:number>/others/<handle:other>")
def end_other(number: str, other: str) -> Response:
    """One guardian stops another's, at once."""
    who, _ = posted()
    family_mandates.end_other(who, MandateNumber(number), MandateNumber(other), ports=ports())
    return see_other(f"{ports().policy.issuer}/delegations/{number}")


def _may(view: MandateView, deed: Deed) -> bool:
    step = STEPS[deed]
    if deed not in _DEEDS or view.role not in roles(deed, view.mandate.kind):
        return False
    if view.mandate.state not in step.begins:
        return False
    if deed is Deed.RESUME and view.mandate.blocked_at is not None:
        return False
    return deed is not Deed.APPROVE or view.mine.done_at is None


@blueprint.post("/delegations/<handle:number>/<deed>")
def act(number: str, deed: str) -> Response:
    """What widens goes on with the card; what narrows is done at once."""
    return mandate.act(number, deed, among=_DEEDS, at=_AT)


mandate.offer(blueprint, at=_AT, stem="poa")


@blueprint.get(mandates.STATUS_PATH)
def status_list() -> Response:
    """The signed list of states in force now; anybody may read it."""
    epoch = mandate_status.in_force(at=ports().clock(), ports=ports())
    response = Response(epoch.token, content_type="application/statuslist+jwt")
    response.headers["Cache-Control"] = "public, max-age=60"
    response.headers["Access-Control-Allow-Origin"] = "*"
    return response
