"""The page between the two readings of the card: which service binds which number to the person who is here."""

from __future__ import annotations

import structlog
from flask import Blueprint, Response, g, url_for

from broker.accounts.link import AlarmKind
from broker.errors import InteractionUnknown, LinkCardChanged
from broker.flows import card_prompt, link_commit, linking
from broker.flows.code import RefusedToClient
from broker.ids import InteractionID, TransactionID
from broker.web import cookies
from broker.web.authorization import REFRESH_SECONDS
from broker.web.client_return import return_to_client
from broker.web.errors import error_page
from broker.web.headers import content_security_policy
from broker.web.pages import ask_for, page
from broker.web.settings import ports

blueprint = Blueprint("linking", __name__)
_log = structlog.get_logger("broker.web")


@blueprint.get("/link/<handle:interaction>")
def show(interaction: InteractionID) -> Response:
    """The number, masked, and the form that asks the card a second time."""
    g.interaction = interaction
    secret = cookies.browser_secret(interaction)
    prompt = card_prompt.prompt(interaction, secret, language=ask_for, kiosk_id=cookies.kiosk(), ports=ports())
    if not isinstance(prompt, card_prompt.CardPrompt):
        raise InteractionUnknown("no link is made in this login")
    seen = linking.look(prompt.interaction, prompt.client, ports=ports())
    agent = ports().policy.agent_origins[0]
    g.transaction = prompt.transaction_id
    response = page(
        "link.html",
        client=prompt.client,
        prompt=prompt,
        link=seen,
        conflict=sorted(kind.value for kind in seen.conflict),
        cancel_url=url_for("authorization.cancel", interaction=interaction),
        again_url=url_for("linking.show", interaction=interaction),
    )
    response.headers["Referrer-Policy"] = "origin"  # else the agent is told `Origin: null`
    response.headers["Content-Security-Policy"] = content_security_policy(form_action=f"'self' {agent}")
    response.headers.setdefault("Refresh", str(REFRESH_SECONDS))
    return response


def commit(transaction: TransactionID, return_code: str, *, browser_secret: str | None) -> Response:
    """The second reading is released: the browser goes back to the service, or a second card is told to its holder."""
    done = link_commit.commit(transaction, return_code, browser_secret=browser_secret, ports=ports())
    for kind in set(done.alarms) - {AlarmKind.CARD_CHANGED}:
        _log.warning("link_alarm", kind=kind.value, link=done.link_id, transaction=transaction)
    response = stopped(done.then) or return_to_client(done.then, card_was_read=True)
    cookies.drop_login(response, done.interaction_id)
    if isinstance(done.then, RefusedToClient):
        cookies.drop_session(response)
    return response


def stopped(then: object) -> Response | None:
    """Two cards in one linking: whoever is here is told so, before any service is."""
    if isinstance(then, RefusedToClient) and isinstance(then.cause, LinkCardChanged):
        _log.warning("link_alarm", kind=AlarmKind.CARD_CHANGED.value, client=then.client.client_id)
        ask_for(then.ui_locales)
        return error_page(then.cause)
    return None
