"""The sandbox's approver channel (CIBA): where a test resident says yes or no to what a client asked for elsewhere.

A person opens the login by its form and goes on with their card. A program (the official test suites' automated
approval) posts what is to happen, and the software card answers as the test door's does: the same signed request, the
same judgement, the same consent. It is mounted beside the door alone, is no part of the distribution, and a broker
without it has CIBA switched off.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from flask import Blueprint, Response, jsonify, render_template, request
from werkzeug.exceptions import BadRequest

from broker.errors import BrokerError
from broker.flows import card_answer, card_prompt, ciba, consent, login
from broker.flows.code import RefusedToClient, ReturnToClient
from broker.flows.elsewhere import AnsweredElsewhere
from broker.flows.my_page import Place
from broker.web import cookies
from broker.web.form import body_pairs, query_pairs
from broker.web.pages import see_other
from broker.web.settings import ports
from cardreader import cardfile
from cardreader.cardfile import CardFile
from cardreader.errors import CardError
from sandbox import door, softagent

PATH: Final = "/sandbox/approver"
CHANNEL: Final = "sandbox"
"""What the policy calls it."""
_ALLOW: Final = frozenset({"allow", "approve"})


def blueprint(cards: Path) -> Blueprint:
    """The channel for the residents whose card files are in `cards`. Raises OSError, ValueError."""
    rows = json.loads((cards / "index.json").read_text(encoding="utf-8"))
    residents: list[dict[str, Any]] = [row for row in rows if row["kind"] != "hpki"]
    names = {str(row["name"]) for row in residents}
    approver = Blueprint("approver", __name__, template_folder="pages")

    @approver.get(PATH)
    def show() -> str:
        return render_template("approver.html", approver_path=PATH, residents=residents)

    @approver.post(PATH)
    def act() -> Response:
        """`auth_req_id`, `action` (allow, deny, or open for the pages) and `resident`, in the form or the address."""
        given = {**dict(query_pairs()), **(dict(body_pairs()) if request.content_length else {})}
        auth_req_id, action = given.get("auth_req_id", ""), given.get("action", "")
        resident = given.get("resident", "hanako")
        if resident not in names:
            raise BadRequest("no such test resident")
        if action == "open":
            return _opened(auth_req_id)
        if action in _ALLOW:
            outcome = _allowed(auth_req_id, cardfile.load(cards / f"{resident}.json"))
        elif action == "deny":
            outcome = ciba.deny(auth_req_id, ports=ports())
        else:
            raise BadRequest("action is allow, deny or open")
        if not isinstance(outcome, AnsweredElsewhere) or outcome.backchannel is None:
            raise BadRequest("not what a client asked for elsewhere")
        ciba.announce(outcome.backchannel, ports=ports())
        return jsonify(approved=outcome.approved)

    return approver


def _opened(auth_req_id: str) -> Response:
    begun = ciba.approve(auth_req_id, ports=ports())
    response = see_other(f"{ports().policy.issuer}/login/{begun.interaction_id}")
    cookies.keep_login(response, begun.interaction_id, begun.browser_secret)
    return response


def _allowed(auth_req_id: str, card: CardFile) -> ReturnToClient | RefusedToClient | AnsweredElsewhere:
    """The whole way of a person at the pages. Only the card of the person it is about gets to its end."""
    begun = ciba.approve(auth_req_id, ports=ports())
    interaction, secret = begun.interaction_id, begun.browser_secret
    asked = card_prompt.prompt(interaction, secret, language=lambda _: "ja", ports=ports())
    if not isinstance(asked, card_prompt.CardPrompt):
        raise BadRequest("what is released is chosen on the page")
    try:
        sealed = softagent.answer(
            asked.request, origin=ports().policy.origin, trust=door.trust(), card=card, pin=card.auth.pin
        )
        return_code = card_answer.receive(asked.transaction_id, sealed, ports=ports())
    except (CardError, BrokerError) as refused:
        raise BadRequest(f"the card was not accepted: {type(refused).__name__}") from refused
    finished = login.finish(
        asked.transaction_id, return_code, browser_secret=secret, old_session_secret=None, ports=ports()
    )
    if finished.refusal is not None or isinstance(finished.then, Place):
        raise BadRequest("the card's account is not open, or nobody asked for it here")
    if finished.then is not None:
        return finished.then
    question = consent.prompt(interaction, browser_secret=secret, ports=ports())
    return consent.decide(
        interaction, approve=True, form_token_given=question.form_token, browser_secret=secret, ports=ports()
    )
