"""Between the reader agent and the browser: the answer comes in, and is released to the one it belongs to."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from flask import Blueprint, Response, g, jsonify, request
from werkzeug.exceptions import UnsupportedMediaType

from broker.errors import (
    AnswerMalformed,
    AnswerWithheld,
    BrokerError,
    BrowserMismatch,
    InvalidRequest,
    SignCertificateExpired,
    SignCertificateMissing,
    SignCertificateUnfit,
    SignPasswordLocked,
    SignPasswordNowhere,
)
from broker.flows import card_answer, consent, kiosks, link_commit, login
from broker.flows.my_page import Place
from broker.flows.ports import Ports
from broker.ids import InteractionID, TransactionID
from broker.web import cookies, linking
from broker.web.consent import consent_page
from broker.web.documents import leave
from broker.web.errors import error_page
from broker.web.form import body_values, is_handle
from broker.web.me import PATHS
from broker.web.metadata import CROSS_ORIGIN
from broker.web.pages import ask_for, see_other
from broker.web.settings import ports

blueprint = Blueprint("card", __name__)

_AGENT_CODE = re.compile(r"[A-Z]{2,8}-[0-9]{3}")
_WITHHELD: Final[Mapping[str, type[BrokerError]]] = {
    "CARD-023": SignCertificateMissing,
    "CARD-027": SignPasswordLocked,
    "AGENT-022": SignPasswordNowhere,
    "AGENT-023": SignPasswordNowhere,
    "AGENT-024": SignPasswordNowhere,
    "AGENT-026": SignCertificateUnfit,
    "AGENT-027": SignCertificateExpired,
}
"""What the agent's codes about the 署名用 key are to us; whatever else it met, it sent no answer."""


@blueprint.post("/agent/cb/<handle:transaction>")
def callback(transaction: TransactionID) -> Response:
    """The agent's page posts here, cross-site: no cookie comes along, and nothing is released (design 4.3)."""
    try:
        if request.headers.get("Origin") not in ports().policy.agent_origins:
            raise AnswerMalformed("not sent by the reader agent")
        if request.headers.get("Sec-Fetch-Dest", "document") != "document":
            raise AnswerMalformed("not sent as a page of its own")
        try:
            fields = body_values()
        except (InvalidRequest, UnsupportedMediaType) as malformed:
            raise AnswerMalformed("not the form an agent posts") from malformed
    except AnswerMalformed as refusal:
        g.transaction = transaction
        return _refused(transaction, refusal)
    return take(transaction, fields)


def take(transaction: TransactionID, fields: Mapping[str, str]) -> Response:
    """What an agent answered, `answer` or `error`, judged; the browser is sent on to where it may be released."""
    g.transaction = transaction
    try:
        if fields.keys() == {"error"} and _AGENT_CODE.fullmatch(fields["error"]):
            return _continue(transaction, f"error={fields['error']}")
        if fields.keys() != {"answer"}:
            raise AnswerMalformed("neither an answer nor an error")
        return_code = card_answer.receive(transaction, fields["answer"], ports=ports())
    except BrokerError as refusal:
        return _refused(transaction, refusal)
    return _continue(transaction, f"rc={return_code}")


def _continue(transaction: TransactionID, rest: str) -> Response:
    return see_other(f"{ports().policy.issuer}/agent/continue?tx={transaction}&{rest}")


def _refused(transaction: TransactionID, refusal: BrokerError) -> Response:
    """Said at once, because the person is looking at it; the ways on need the cookie, so anyone may see the links."""
    behind = login.behind(transaction, ports=ports())
    if behind is None:
        return error_page(refusal)
    interaction, client = behind
    ask_for(interaction.request.ui_locales)
    return error_page(refusal, interaction=interaction.interaction_id, client=client)


@blueprint.post("/agent/end/<handle:transaction>/<handle:end_handle>")
def end(transaction: TransactionID, end_handle: str) -> Response:
    """A kiosk's agent says that the card was taken out: no cookie and no page, the handle is all (design 4.14)."""
    g.transaction = transaction
    return Response(status=204 if kiosks.end_by_handle(transaction, end_handle, ports=ports()) else 404)


@blueprint.get("/agent/continue")
def resume() -> Response:
    """Only the browser with the cookie and the return code gets what the card answered (design 4.3)."""
    given = request.args.get("tx")
    if given is None or not is_handle(given):
        raise BrowserMismatch("no transaction named")
    transaction = TransactionID(given)
    g.transaction = transaction
    interaction_id = login.interaction_of(transaction, ports=ports())
    secret = cookies.browser_secret(interaction_id)
    agent_code = request.args.get("error")
    if agent_code is not None:
        return _withheld(interaction_id, agent_code, secret)
    if link_commit.commits(transaction, ports=ports()):
        return linking.commit(transaction, request.args.get("rc", ""), browser_secret=secret)
    try:
        finished = login.finish(
            transaction,
            request.args.get("rc", ""),
            browser_secret=secret,
            old_session_secret=cookies.session_secret(),
            ports=ports(),
        )
    except BrowserMismatch:
        interaction, _ = login.peek(interaction_id, secret, ports=ports())
        if interaction.authenticated is None:
            raise
        step = "consent" if interaction.request.link is None else "link"
        return see_other(f"{ports().policy.issuer}/{step}/{interaction_id}")  # reloaded: the question still stands
    if finished.refusal is not None:
        interaction, client = login.peek(interaction_id, secret, ports=ports())
        ask_for(interaction.request.ui_locales)
        response = error_page(finished.refusal, interaction=interaction_id, client=client)
    elif finished.links:
        response = see_other(f"{ports().policy.issuer}/link/{interaction_id}")
    elif isinstance(finished.then, Place):
        response = see_other(f"{ports().policy.issuer}{PATHS[finished.then]}")
        cookies.drop_login(response, interaction_id)
    elif finished.then is not None:
        stopped = linking.stopped(finished.then)
        response = leave(finished.then, interaction_id) if stopped is None else stopped
        if stopped is not None:
            cookies.drop_login(response, interaction_id)
    else:
        response = consent_page(consent.prompt(interaction_id, browser_secret=secret, ports=ports()))
    if finished.session_secret is None:
        cookies.drop_session(response)
    else:
        cookies.keep_session(response, finished.session_secret)
    return response


def _withheld(interaction_id: InteractionID, agent_code: str, secret: str | None) -> Response:
    interaction, client = login.peek(interaction_id, secret, ports=ports())
    ask_for(interaction.request.ui_locales)
    return error_page(
        _WITHHELD.get(agent_code, AnswerWithheld)("the agent sent no answer"),
        interaction=interaction_id,
        client=client,
        agent_code=agent_code if _AGENT_CODE.fullmatch(agent_code) else None,
    )


@blueprint.get("/.well-known/card-agent")
def metadata() -> Response:
    """What a reader agent needs to trust this broker (design 4.3, *Trust*)."""
    response = jsonify(card_agent_document(ports()))
    response.headers["Cache-Control"] = "public, max-age=300"
    response.headers.update(dict(CROSS_ORIGIN))
    return response


def card_agent_document(of: Ports) -> dict[str, Any]:
    """The agent-root, the statement of request keys it signed, and the keys of the accepted CAs of both certificates.

    An agent that knows a CA by this list need not read its certificate from the card.
    """
    anchors = (*of.policy.anchors, *of.policy.sign_anchors)
    return {
        "issuer": of.policy.issuer,
        **of.keys.card_agent(),
        "issuer_keys": [base64.b64encode(_spki(anchor)).decode("ascii") for anchor in anchors],
    }


def _spki(certificate: bytes) -> bytes:
    key = x509.load_der_x509_certificate(certificate).public_key()
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
