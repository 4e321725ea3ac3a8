"""What the resident is asked before a client learns anything."""

from __future__ import annotations

from flask import Blueprint, Response, g, url_for

from broker.errors import InvalidRequest
from broker.flows import consent
from broker.flows.code import RefusedToClient
from broker.ids import InteractionID
from broker.oidc.client import Right
from broker.web import cookies
from broker.web.documents import leave
from broker.web.errors import own_form
from broker.web.form import body_values
from broker.web.pages import ask_for, page
from broker.web.questions import asked
from broker.web.settings import ports

blueprint = Blueprint("consent", __name__)


@blueprint.get("/consent/<handle:interaction>")
def show(interaction: InteractionID) -> Response:
    """The question again, after a reload or in the other language."""
    g.interaction = interaction
    secret = cookies.browser_secret(interaction)
    return consent_page(consent.prompt(interaction, browser_secret=secret, ports=ports()))


def consent_page(prompt: consent.ConsentPrompt) -> Response:
    """Both answers are the same size, and neither is chosen beforehand."""
    ask_for(prompt.interaction.request.ui_locales)
    interaction = prompt.interaction.interaction_id
    return page(
        "consent.html",
        client=prompt.client,
        scope=prompt.scope,
        proved=prompt.proved,
        signs=prompt.interaction.request.sign_transaction is not None,
        verifier=Right.SIGNATURE_VERIFIER in prompt.client.rights,
        optional=prompt.optional,
        chosen=prompt.chosen,
        questions_asked=asked(prompt.interaction.request),
        choices=prompt.choices,
        first_login=prompt.first_login,
        elsewhere=prompt.interaction.request.elsewhere,
        binding_message=prompt.interaction.request.binding_message,
        form_token=prompt.form_token,
        decide_url=url_for("consent.decide", interaction=interaction),
        again_url=url_for("consent.show", interaction=interaction),
    )


@blueprint.post("/consent/<handle:interaction>")
def decide(interaction: InteractionID) -> Response:
    """The resident's answer, once."""
    g.interaction = interaction
    own_form()
    fields = body_values()
    decision = fields.get("decision")
    if decision not in {"approve", "deny"}:
        raise InvalidRequest("decision is approve or deny")
    outcome = consent.decide(
        interaction,
        approve=decision == "approve",
        chosen=[name.removeprefix("item_") for name in fields if name.startswith("item_")],
        principal=fields.get("principal"),
        form_token_given=fields.get("csrf", ""),
        browser_secret=cookies.browser_secret(interaction),
        ports=ports(),
    )
    response = leave(outcome, interaction)
    if isinstance(outcome, RefusedToClient):
        cookies.drop_session(response)
    return response
