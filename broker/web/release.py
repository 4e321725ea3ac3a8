"""What would be told of a resident, shown before the card is asked for anything: they agree item by item."""

from __future__ import annotations

from flask import Blueprint, Response, g, url_for
from flask_babel import get_locale

from broker.errors import InvalidRequest
from broker.flows import application, proofing
from broker.flows.proofing import ReleasePrompt
from broker.ids import InteractionID
from broker.oidc.client import Right
from broker.web import cookies
from broker.web.errors import own_form
from broker.web.form import body_values
from broker.web.pages import ask_for, page, see_other
from broker.web.settings import ports

blueprint = Blueprint("release", __name__)

_BOX = "item_"


@blueprint.get("/login/<handle:interaction>/release")
def show(interaction: InteractionID) -> Response:
    """The question, also once more: until the card has answered, a choice can be changed."""
    g.interaction = interaction
    return release_page(proofing.ask(interaction, cookies.browser_secret(interaction), ports=ports()))


def release_page(prompt: ReleasePrompt) -> Response:
    """What is asked for, by whom and what for, each item on its own; the way out stands beside the way on."""
    ask_for(prompt.interaction.request.ui_locales)
    language = str(get_locale())
    interaction = prompt.interaction.interaction_id
    chosen = prompt.interaction.released
    rows = [
        {
            "name": item.name,
            "required": item.name in prompt.required,
            "chosen": chosen is not None and item.name in chosen,  # privacy is what holds where nothing was done
            "purposes": application.purposes(prompt.client, item, language),
            "retention": use.words(language)[1] if (use := prompt.client.use_of(item.name)) is not None else "",
        }
        for item in prompt.items
    ]
    return page(
        "release.html",
        client=prompt.client,
        rows=rows,
        signs=prompt.interaction.request.sign_transaction is not None,
        verifier=Right.SIGNATURE_VERIFIER in prompt.client.rights,
        offline="offline_access" in prompt.interaction.request.scope,
        choose_url=url_for("release.choose", interaction=interaction),
        cancel_url=url_for("authorization.cancel", interaction=interaction),
        again_url=url_for("release.show", interaction=interaction),
    )


@blueprint.post("/login/<handle:interaction>/release")
def choose(interaction: InteractionID) -> Response:
    """The choice is kept with the login, and the card form follows."""
    g.interaction = interaction
    own_form()
    ticked = body_values()
    if not all(name.startswith(_BOX) and value == "yes" for name, value in ticked.items()):
        raise InvalidRequest("the boxes of the page, and nothing else")
    items = [name.removeprefix(_BOX) for name in ticked]
    proofing.choose(interaction, cookies.browser_secret(interaction), items, ports=ports())
    return see_other(f"{ports().policy.issuer}/login/{interaction}")
