"""The sample e-bidding service's pages: tenders, a bid that card and power of attorney must cover, the office."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from flask import Flask, abort, redirect, render_template, request, session, url_for
from werkzeug.wrappers import Response

from sandbox.bidding.books import MAX_AMOUNT, AnswerUnfit, Books, Offer, Tender
from sandbox.bidding.settings import NAME, BiddingSettings
from sandbox.party import doors, frame, key, language
from sandbox.party.doors import Doors
from sandbox.party.forms import check_form_token
from sandbox.party.language import gettext as _
from sandbox.party.relying_party import LoginRefused, RelyingParty
from sandbox.party.visits import Visit

AUTHORITY: Final = {
    "id_token": {"verified_claims": {"verification": {"trust_framework": None}, "claims": {"authority": None}}}
}
"""What the service wants signed beside the answer: for whom the bid is made (docs/integrators.md)."""


def create_bidding(settings: BiddingSettings) -> Flask:
    """The WSGI application. Raises OSError or ValueError for a state folder that cannot be used, CatalogueMissing."""
    app = Flask("sandbox.bidding", static_folder="static", template_folder="templates")
    frame.install(app, settings, name="bidding", service_name=NAME, issuer=settings.issuer)
    language.install(app, Path(__file__).with_name("translations"))
    books = Books(settings.state / "bidding.db")
    relying_party = RelyingParty(app, settings, key.client_key(settings.state))
    way = Doors(visits=books, relying_party=relying_party, log=app.logger.warning, trouble=_trouble)
    bidding = _Bidding(books=books, relying_party=relying_party, doors=way)
    app.add_url_rule("/", "home", bidding.home)
    app.add_url_rule("/login", "login", way.login, methods=["POST"])
    app.add_url_rule("/callback", "callback", bidding.callback)
    app.add_url_rule("/tenders/<number>", "tender", bidding.tender)
    app.add_url_rule("/tenders/<number>/bid", "bid", bidding.bid, methods=["POST"])
    app.add_url_rule("/bids/<bid_id>", "outcome", bidding.outcome)
    app.add_url_rule("/office", "office", bidding.office)
    app.add_url_rule("/jwks", "jwks", lambda: key.public_jwks(settings.state))
    way.install(app)
    return app


class _Bidding:
    def __init__(self, *, books: Books, relying_party: RelyingParty, doors: Doors) -> None:
        self._books = books
        self._relying_party = relying_party
        self._doors = doors

    def home(self) -> str | Response:
        """The front door, or what is tendered and what one has bid."""
        if (again := frame.switched()) is not None:
            return again
        visit = self._doors.visitor()
        if visit is None:
            return render_template("welcome.html")
        return render_template(
            "tenders.html",
            tenders=self._books.tenders.values(),
            bids=self._books.of(_subject(visit)),
            by_number=self._books.tenders,
        )

    def tender(self, number: str) -> str | Response:
        """One tender, and the form for a bid."""
        if self._doors.visitor() is None:
            return redirect(url_for("home"), 303)
        return render_template("tender.html", tender=self._known(number), typed="", wrong=False)

    def bid(self, number: str) -> str | tuple[str, int] | Response:
        """Off to the broker with the question: may this person bid this amount for this tender?"""
        check_form_token()
        tender, visit = self._known(number), self._doors.visitor()
        if visit is None:
            return redirect(url_for("home"), 303)
        typed = request.form.get("amount", "")
        amount = _yen(typed)
        if amount is None:
            return render_template("tender.html", tender=tender, typed=typed[:24], wrong=True), 400
        offer = Offer(tender=tender.number, amount=amount, tax_included=request.form.get("tax") != "excluded")
        session["offer"] = {"tender": offer.tender, "amount": offer.amount, "tax_included": offer.tax_included}
        return self._relying_party.start(
            ui_locales=language.current(),
            claims=AUTHORITY,
            authorization_details=[offer.question(tender)],
        )

    def callback(self) -> Response:
        """Back from the broker: from a login, or with the answer about a bid."""
        before = self._doors.visitor()
        offered = session.pop("offer", None)
        visit = self._relying_party.finish(request.args.to_dict())
        if before is not None and offered is not None and visit.granted:
            try:
                bid = self._books.decide(visit, Offer(**offered), subject=_subject(before), now=_now())
            except AnswerUnfit as unfit:
                raise LoginRefused("answer_unfit", str(unfit)) from unfit
            return redirect(url_for("outcome", bid_id=bid.id), 303)
        self._doors.leave()
        return self._doors.enter(visit)

    def outcome(self, bid_id: str) -> str | Response:
        """What became of one's own bid."""
        visit = self._doors.visitor()
        if visit is None:
            return redirect(url_for("home"), 303)
        bid = self._books.bid(bid_id, subject=_subject(visit))
        if bid is None:
            abort(404)
        return render_template("outcome.html", bid=bid, tender=self._books.tenders[bid.tender])

    def office(self) -> str:
        """The procurement officer's side: what came in, on which answer, and where the power can be checked."""
        return render_template("office.html", bids=self._books.received(), by_number=self._books.tenders)

    def _known(self, number: str) -> Tender:
        found = self._books.tenders.get(number)
        if found is None:
            abort(404)
        return found


def _subject(visit: Visit) -> str:
    return str(visit.claims["sub"])


def _yen(typed: str) -> int | None:
    """Whole yen from what a person typed: full width and commas are forgiven. None for anything else."""
    digits = unicodedata.normalize("NFKC", typed[:32]).replace(",", "").strip()
    if not (digits.isascii() and digits.isdigit()):
        return None
    return int(digits) if 1 <= int(digits) <= MAX_AMOUNT else None


def _trouble(code: str | int) -> dict[str, str]:
    match code:
        case "access_denied":
            message = _("取りやめられました。入札は行われていません。")
        case "answer_unfit":
            message = _("回答がこの入札のものではなかったため、受け付けませんでした。はじめからやり直してください。")
        case "login_not_started":
            message = _("このブラウザーで始めた手続きではないか、時間が過ぎています。はじめからやり直してください。")
        case doors.UNAVAILABLE:
            message = _(
                "ログインサービスにつながりません。入札は行われていません。少し待ってからもう一度お試しください。"
            )
        case int():
            message = _("ページを開けませんでした。入札は行われていません。最初のページからやり直してください。")
        case _other:
            message = _("結果を確かめられなかったため、受け付けませんでした。入札は行われていません。")
    return {"message": message}


def _now() -> datetime:
    return datetime.now(UTC)
