"""What the resident has registered, and the export of everything: words of their own, so a login to this very page."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from datetime import UTC

from flask import Blueprint, Response, url_for
from flask_babel import gettext as _

from broker.accounts.attribute import BY_NAME
from broker.errors import FieldRefused
from broker.flows import attributes, export
from broker.flows.my_page import Need, Place, Visit
from broker.oidc.client import Client
from broker.web.me import PATHS, inside, my, posted, visit
from broker.web.pages import attachment, see_other, shown_name
from broker.web.settings import ports
from broker.web.words import act_word, word

blueprint = Blueprint("me_registered", __name__)


@blueprint.get("/me/attributes")
@inside(Place.ATTRIBUTES, need=Need.OWN)
def show(who: Visit) -> Response:
    """Every attribute, with what is registered of it."""
    return _forms(who)


def _forms(
    who: Visit, *, wrong: FieldRefused | None = None, name: str = "", typed: dict[str, str] | None = None
) -> Response:
    return my(
        "me_attributes.html",
        who,
        400 if wrong is not None else 200,
        registered=attributes.registered(who, ports=ports()),
        wrong=wrong,
        wrong_name=name,
        typed=typed or {},
        again_url=url_for("me_registered.show"),
    )


@blueprint.post("/me/attributes/<name>")
def change(name: str) -> Response:
    """Keep it, or forget it. What cannot be taken comes back as it was typed, with the box named."""
    who, fields = posted(need=Need.OWN)
    if fields.get("decision") == "remove":
        attributes.remove(who, name, ports=ports())
    else:
        try:
            attributes.save(who, name, fields, ports=ports())
        except FieldRefused as wrong:
            boxes = {box.name: fields.get(box.name, "")[:400] for box in BY_NAME[name].fields}
            return _forms(who, wrong=wrong, name=name, typed=boxes)
    return see_other(f"{ports().policy.issuer}{PATHS[Place.ATTRIBUTES]}")


@blueprint.get("/me/export")
@inside(Place.EXPORT, need=Need.OWN)
def ask(who: Visit) -> Response:
    """In which form?"""
    return my("me_export.html", who, again_url=url_for("me_registered.ask"))


@blueprint.get("/me/export/everything.json")
def as_json() -> Response:
    """Everything as one document."""
    found = export.collect(visit(need=Need.OWN), ports=ports())
    text = json.dumps(found.document(), ensure_ascii=False, indent=1)
    return attachment(text.encode(), "application/json", "my-page.json")


def _name(client: Client | None, client_id: str) -> str:
    """Of a service that was removed since there is nothing but its id."""
    return client_id if client is None else shown_name(client)


@blueprint.get("/me/export/uses.csv")
def uses_as_csv() -> Response:
    """The history as a table."""
    found = export.collect(visit(need=Need.OWN), ports=ports())
    heading = [
        _("日時（UTC）"),
        _("サービス"),
        _("内容"),
        _("方法"),
        _("結果"),
        _("渡したもの"),
        _("回数"),
        _("最後"),
    ]
    document = found.document()
    rows = [
        [
            row["at"],
            _name(one.client, row["client_id"]),
            word("kind", row["kind"]),
            word("how", row["how"]),
            word("result", row["result"]),
            " / ".join(word("item", item) for item in row["items"]),
            str(row["times"]),
            row["last_at"],
        ]
        for one, row in zip(found.uses, document["uses"], strict=True)
    ]
    return attachment(table(heading, rows), "text/csv; charset=utf-8", "my-page-uses.csv")


@blueprint.get("/me/export/consents.csv")
def consents_as_csv() -> Response:
    """The record of consents as a table."""
    found = export.collect(visit(need=Need.OWN), ports=ports())
    heading = [
        _("日時（UTC）"),
        _("サービス"),
        _("内容"),
        _("渡したもの"),
        _("渡さないもの"),
    ]
    document = found.document()
    rows = [
        [
            row["at"],
            _name(one.client, row["client_id"]),
            word("event", row["event"]),
            " / ".join(word("item", item) for item in row["items"]),
            " / ".join(word("item", item) for item in row["left_out"]),
        ]
        for one, row in zip(found.records, document["consents"], strict=True)
    ]
    return attachment(table(heading, rows), "text/csv; charset=utf-8", "my-page-consents.csv")


@blueprint.get("/me/export/delegations.csv")
def mandates_as_csv() -> Response:
    """Mandates given and received as a table."""
    found = export.collect(visit(need=Need.OWN), ports=ports())
    heading = [
        _("番号"),
        _("あなたの立場"),
        _("状態"),
        _("委任者"),
        _("受任者"),
        _("始まり（UTC）"),
        _("終わり（UTC）"),
    ]
    rows = [
        [
            view.mandate.number,
            word("mandate_role", view.role.value),
            word("mandate_state", view.mandate.state.value),
            view.grant.principal.name,
            view.grant.agent.name,
            view.grant.begins.astimezone(UTC).isoformat(timespec="seconds"),
            view.grant.ends.astimezone(UTC).isoformat(timespec="seconds"),
        ]
        for view in found.mandates
    ]
    return attachment(table(heading, rows), "text/csv; charset=utf-8", "my-page-delegations.csv")


@blueprint.get("/me/export/delegation-answers.csv")
def answers_as_csv() -> Response:
    """What services were answered about them, as a table."""
    found = export.collect(visit(need=Need.OWN), ports=ports())
    heading = [_("日時（UTC）"), _("番号"), _("サービス"), _("行為"), _("発注機関"), _("金額（円）"), _("結果")]
    rows = [
        [
            each.at.isoformat(timespec="seconds"),
            view.mandate.number,
            _name(view.askers.get(each.client_id), each.client_id),
            act_word(each.act.value),
            each.entity or "",
            "" if each.amount is None else str(each.amount),
            _("認めた") if each.allowed else _("認めなかった"),
        ]
        for view in found.mandates
        for each in view.decisions
    ]
    return attachment(table(heading, rows), "text/csv; charset=utf-8", "my-page-delegation-answers.csv")


@blueprint.get("/me/print")
@inside(Place.EXPORT, need=Need.OWN)
def on_paper(who: Visit) -> Response:
    """Everything on one page, for paper."""
    return my(
        "me_print.html",
        who,
        found=export.collect(who, limit=500, ports=ports()),
        act_word=act_word,
        again_url=url_for("me_registered.on_paper"),
    )


def table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> bytes:
    """RFC 4180 with a BOM, so that spreadsheets read Japanese, and no cell that one takes for a formula."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerow(heading)
    writer.writerows([export.cell(value) for value in row] for row in rows)
    return text.getvalue().encode("utf-8-sig")
