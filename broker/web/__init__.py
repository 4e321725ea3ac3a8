"""HTTP in, HTTP out: a blueprint per endpoint family, and nothing decided here."""

from __future__ import annotations

from pathlib import Path

import structlog
from flask import Blueprint, Flask
from flask_babel import Babel

from broker.errors import SettingsError
from broker.flows.ports import Ports
from broker.web import (
    assets,
    authorization,
    card,
    consent,
    delegations,
    device,
    documents,
    handover,
    health,
    help,
    kiosk,
    linking,
    logging,
    logout,
    me,
    me_account,
    me_registered,
    pages,
    recovery,
    register_log,
    release,
    statements,
    uploads,
    verify,
)
from broker.web.endpoint import MAX_BODY
from broker.web.errors import register_handlers
from broker.web.form import FormRequest, HandleConverter
from broker.web.lean import Lean
from broker.web.settings import WebSettings

__all__ = ["WebSettings", "register"]

_TRANSLATIONS = Path(__file__).with_name("translations")


def register(app: Flask, ports: Ports, *, web: WebSettings) -> None:
    """Mount everything the broker serves on `app`. Raises SettingsError when the translations are not compiled.

    Handlers find `ports` in `app.extensions["broker"]`.
    """
    if not (_TRANSLATIONS / "en" / "LC_MESSAGES" / "messages.mo").is_file():
        raise SettingsError("translations are not compiled: run `pybabel compile -d broker/web/translations`")
    if not structlog.is_configured():
        logging.configure()
    app.extensions["broker"] = ports
    app.extensions["broker.web"] = web
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
    app.config["MAX_FORM_MEMORY_SIZE"] = MAX_BODY
    app.json.sort_keys = False  # type: ignore[attr-defined]  # the default provider has it; the base class does not say so
    app.request_class = FormRequest
    app.url_map.converters["handle"] = HandleConverter
    Babel(
        app,
        default_locale=web.default_language,
        default_translation_directories=str(_TRANSLATIONS),
        locale_selector=pages.language,
    )
    app.after_request(pages.add_headers)
    app.after_request(assets.compress)
    logging.register_request_log(app)
    register_handlers(app)
    pages.init_templates(app)
    app.register_blueprint(
        Blueprint("web", __name__, static_folder="static", static_url_path="/assets", template_folder="templates")
    )
    for module in (
        authorization,
        release,
        documents,
        handover,
        card,
        consent,
        delegations,
        device,
        kiosk,
        linking,
        logout,
        me,
        me_registered,
        me_account,
        recovery,
        help,
        health,
        register_log,
        statements,
        uploads,
        verify,
    ):
        app.register_blueprint(module.blueprint)
    app.wsgi_app = Lean(app.wsgi_app, ports, web=web)  # type: ignore[method-assign]  # the way Flask documents
