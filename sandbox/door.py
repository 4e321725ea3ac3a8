"""The test door: a plain form on the login page that logs a test resident in, without an agent beside the browser.

For programs that walk through pages and have no card, the official test suites above all. It is an agent in the
broker's own process: it judges the page's signed request, has the software card sign, and seals the answer, all by the
installed agent's core; the broker judges that answer as it does any other. It is no part of the distribution, and
`broker.app.mount` refuses it beside any anchor that is not JPKI-TEST.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from flask import Blueprint, Response
from werkzeug.exceptions import BadRequest

from broker.ids import TransactionID
from broker.web.card import card_agent_document, take
from broker.web.errors import own_form
from broker.web.form import body_values
from broker.web.settings import ports
from cardreader import cardfile
from cardreader.agent.request import verify_request
from cardreader.agent.trust import Trust, parse_trust
from cardreader.cardfile import CardFile
from cardreader.errors import CardError, answer_for
from sandbox import softagent

PATH: Final = "/sandbox/door"
NAME: Final = "door"


def blueprint(cards: Path) -> Blueprint:
    """The door for the residents whose card files are in `cards`. Raises OSError, ValueError."""
    rows = json.loads((cards / "index.json").read_text(encoding="utf-8"))
    residents: list[dict[str, Any]] = [row for row in rows if row["kind"] != "hpki"]
    names = {str(row["name"]) for row in residents}
    door = Blueprint(NAME, __name__, template_folder="pages")

    @door.app_context_processor
    def _common() -> dict[str, object]:
        return {"door_path": PATH, "door_residents": residents}

    @door.post(PATH)
    def log_in() -> Response:
        """Takes the request that stands on the login page, and goes on where an agent's answer would."""
        own_form()
        fields = body_values()
        if fields.keys() != {"request", "resident"} or fields["resident"] not in names:
            raise BadRequest("not the form of the test door")
        return _answer(fields["request"], cardfile.load(cards / f"{fields['resident']}.json"))

    return door


def _answer(request: str, card: CardFile) -> Response:
    trusted, origin = trust(), ports().policy.origin
    try:
        asked = verify_request(request, trust=trusted, origin=origin, now=datetime.now(UTC))
    except CardError as refusal:
        raise BadRequest("not a request of this broker") from refusal
    try:
        sealed = softagent.answer(request, origin=origin, trust=trusted, card=card, pin=card.auth.pin)
        fields = {"answer": sealed}
    except CardError as refusal:  # as an agent hands back what its card said
        fields = {"error": answer_for(refusal).code}
    return take(TransactionID(asked.transaction), fields)


def trust() -> Trust:
    """This broker alone, as it stands now: its request keys may have been rotated since the start."""
    document = {name: value for name, value in card_agent_document(ports()).items() if name != "statement"}
    row = {**document, "name": "JPKI Broker (sandbox)", "sandbox": True}
    return parse_trust(json.dumps({"version": 1, "phrase": "door", "brokers": [row]}), sandbox=True)
