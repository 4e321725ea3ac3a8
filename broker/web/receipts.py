"""The look-up of receipts (証跡照会): one by its id, or a client's by person and time."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from broker.errors import InvalidRequest
from broker.flows import receipts
from broker.flows.ports import Ports
from broker.flows.receipts import Question
from broker.ids import Subject
from broker.oidc.authorization import single_values
from broker.web.endpoint import EndpointRequest, EndpointResponse, call, json_response, jwt_response, pairs

_MEMBERS: Final = frozenset({"sub", "from", "to", "after"})
_LATEST: Final = 253_402_300_799  # the last second of the year 9999


def one(request: EndpointRequest, ports: Ports) -> EndpointResponse:
    """The signed receipt, as it is stored and checked."""
    receipt_id = request.path.rpartition("/")[2]
    told = receipts.tell(call(request, ports, pairs=pairs(request.query)), receipt_id, ports=ports)
    return jwt_response(told.token, "application/jwt")


def page(request: EndpointRequest, ports: Ports) -> EndpointResponse:
    """Some receipts as JSON, oldest first, and where the next page begins. An unknown parameter is refused."""
    found = pairs(request.query)
    if any(not value for _, value in found):
        raise InvalidRequest("a parameter is empty")  # taken as absent it would ask for more, not for less
    given = {name: value for name, value in single_values(found).items() if name != "access_token"}
    if odd := sorted(given.keys() - _MEMBERS):
        raise InvalidRequest(f"unknown parameter: {odd[0]}")
    question = Question(
        subject=Subject(given["sub"]) if "sub" in given else None,
        since=_moment(given, "from"),
        until=_moment(given, "to"),
        after=given.get("after"),
    )
    answer = receipts.look_up(call(request, ports, pairs=found), question, ports=ports)
    told = {"receipts": [{"id": receipt.receipt_id, "receipt": receipt.token} for receipt in answer.receipts]}
    return json_response(told if answer.then is None else {**told, "next": answer.then})


def _moment(given: dict[str, str], name: str) -> datetime | None:
    text = given.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 12 and int(text) <= _LATEST):
        raise InvalidRequest(f"{name}: seconds since 1970")
    return datetime.fromtimestamp(int(text), tz=UTC)
