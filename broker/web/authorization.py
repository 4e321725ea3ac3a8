"""Where a login begins: the client's request, the login page, and the way out of it."""

from __future__ import annotations

from flask import Blueprint, Response, g, request, url_for

from broker.errors import InteractionUnknown
from broker.flows import authorization, card_prompt, login
from broker.flows.handover import offered
from broker.flows.proofing import ReleasePrompt
from broker.ids import InteractionID
from broker.oidc.client import Right
from broker.web import cookies
from broker.web.client_return import return_to_client
from broker.web.errors import own_form
from broker.web.form import body_pairs, query_pairs
from broker.web.headers import content_security_policy
from broker.web.pages import ask_for, page, see_other, to_login
from broker.web.questions import asked
from broker.web.release import release_page
from broker.web.settings import ports

blueprint = Blueprint("authorization", __name__)

REFRESH_SECONDS = 240
"""The login page renews itself, so that the request in it is never older than the agent accepts (300 s)."""


@blueprint.route("/authorize", methods=["GET", "POST"])
def authorize() -> Response:
    """RFC 6749 §3.1, OIDC Core §3.1.2.1 (both methods)."""
    pairs = body_pairs() if request.method == "POST" else query_pairs()
    ask_for(dict(pairs).get("ui_locales"))
    outcome = authorization.begin(pairs, session_secret=cookies.session_secret(), ports=ports())
    if isinstance(outcome, authorization.Begun):
        return to_login(outcome)
    return return_to_client(outcome)


@blueprint.get("/login/<handle:interaction>")
def show(interaction: InteractionID) -> Response:
    """Place the card, then over to the reader agent."""
    g.interaction = interaction
    secret = cookies.browser_secret(interaction)
    try:
        prompt = card_prompt.prompt(interaction, secret, language=ask_for, kiosk_id=cookies.kiosk(), ports=ports())
    except InteractionUnknown:
        open_one, _ = login.peek(interaction, secret, ports=ports())
        if open_one.authenticated is None:
            raise
        step = "consent" if open_one.request.link is None else "link"
        return see_other(f"{ports().policy.issuer}/{step}/{interaction}")  # came back after the card was read
    if isinstance(prompt, ReleasePrompt):
        return release_page(prompt)
    if prompt.interaction.authenticated is not None:  # a link, whose card was read once already
        return see_other(f"{ports().policy.issuer}/link/{interaction}")
    agent = ports().policy.agent_origins[0]
    g.transaction = prompt.transaction_id
    response = page(
        "login.html",
        client=prompt.client,
        prompt=prompt,
        agent=agent,
        elsewhere=prompt.interaction.request.elsewhere,
        binding_message=prompt.interaction.request.binding_message,
        released=prompt.released,
        documents=prompt.documents,
        questions_asked=asked(prompt.interaction.request),
        verifier=Right.SIGNATURE_VERIFIER in prompt.client.rights,
        change_url=url_for("release.show", interaction=interaction),
        choose_url=url_for("handover.choose", interaction=interaction)
        if offered(prompt.interaction, prompt.client, cookies.kiosk())
        else "",
        cancel_url=url_for("authorization.cancel", interaction=interaction),
        again_url=url_for("authorization.show", interaction=interaction),
    )
    response.headers["Referrer-Policy"] = "origin"  # else the agent is told `Origin: null`
    response.headers["Content-Security-Policy"] = content_security_policy(form_action=f"'self' {agent}")
    response.headers.setdefault("Refresh", str(REFRESH_SECONDS))
    return response


@blueprint.post("/login/<handle:interaction>/cancel")
def cancel(interaction: InteractionID) -> Response:
    """The resident goes back: access_denied for the client."""
    own_form()
    outcome = login.cancel(interaction, browser_secret=cookies.browser_secret(interaction), ports=ports())
    response = return_to_client(outcome, card_was_read=True)  # perhaps: they may come from an error after it
    cookies.drop_login(response, interaction)
    return response
