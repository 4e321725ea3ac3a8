"""Turning what the desk decided into HTML, in the language of the request or the browser."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from flask import Flask, Response, g, make_response, render_template, request
from flask_babel import Babel, get_locale, gettext

from cardreader.agent.entry import LANGUAGES, TRANSLATIONS, Secret, first_language
from cardreader.agent.sitting import Answered, Ask, Page, Refused
from cardreader.agent.trust import TrustInvalid
from cardreader.agent.wording import Gettext, act_facts, act_title, claim_name, document_facts, document_warning
from cardreader.errors import (
    Answer,
    CardError,
    CertificateExpired,
    HPKICertificateExpired,
    HPKIPINBlocked,
    LoginCancelled,
    PINBlocked,
    SignCertificateExpired,
    SignPasswordBlocked,
    Wording,
    answer_for,
)

# Where trying the same card again cannot help, the way back comes first.
_FINAL = frozenset(
    {
        "pin_locked", "cert_expired", "cert_unsuitable", "no_cert", "request_replayed", "pin_last",
        "sign_password_locked", "sign_cert_expired", "sign_cert_unsuitable", "no_sign_cert", "sign_password_last",
        "no_password_entry", "signing_off", "no_signing_way", "hpki_pin_locked", "hpki_cert_unsuitable",
        "hpki_cert_expired",
    }
)  # fmt: skip


def speak(app: Flask) -> None:
    """Give `app` both languages. Raises TrustInvalid where English was not compiled: half a page is worse than none."""
    for language in LANGUAGES[1:]:
        if not (TRANSLATIONS / language / "LC_MESSAGES" / "messages.mo").is_file():
            raise TrustInvalid("page texts are not compiled: run  pybabel compile -d cardreader/agent/translations")
    app.config.update(BABEL_TRANSLATION_DIRECTORIES=str(TRANSLATIONS), BABEL_DEFAULT_LOCALE=LANGUAGES[0])
    Babel(app, locale_selector=_choose_language)
    app.add_template_global(_language, "language")
    for words in (act_title, act_facts, claim_name, document_facts, document_warning):
        app.add_template_global(partial(_in_page_language, words), words.__name__)


def show(page: Page, *, phrase: str) -> Response:
    """The page for the person; sets where its forms may lead and what the log may say."""
    if page.request is not None:
        g.language = first_language(page.request.ui_locales)
    match page:
        case Answered():
            g.broker_origin = page.request.origin
            return make_response(render_template("answer.html", page=page))
        case Refused():
            return refuse(page)
        case Ask():
            row = None if page.error is None else answer_for(page.error)
            g.code = "" if row is None else row.code
            elsewhere = "password.html" if page.secret is Secret.SIGNING else "elsewhere.html"
            asking = "pin.html" if page.on_page else elsewhere
            template = "last_try.html" if page.is_last_try else asking
            words = None if row is None else _words(row)
            about = page.secret if page.error is None else secret_of(page.error)
            return make_response(
                render_template(template, page=page, phrase=phrase, error=row, words=words, about=about.value)
            )


def refuse(page: Refused) -> Response:
    """An error's own page: what happened, one thing to do, and whether a PIN try was used."""
    row = answer_for(page.error)
    g.code, g.reason = row.code, str(page.error)
    if page.request is not None:
        g.broker_origin = page.request.origin
    body = render_template(
        "error.html",
        page=page,
        error=row,
        words=_words(row),
        pin_try=pin_try_used(page.error),
        about=secret_of(page.error).value,
        ended_on=page.error.ended_on
        if isinstance(page.error, CertificateExpired | SignCertificateExpired | HPKICertificateExpired)
        else None,
        stated_origin=g.get("stated_origin", ""),
        is_final=row.id in _FINAL,
        goes_back_itself=isinstance(page.error, LoginCancelled),
    )
    return make_response(body, row.http)


def pin_try_used(error: CardError) -> str:
    """no, yes or unknown. Of a blocked PIN the error itself knows: found blocked, or blocked by the try just made."""
    if isinstance(error, PINBlocked | SignPasswordBlocked | HPKIPINBlocked):
        return "no" if error.by_this_try is False else "yes"
    return answer_for(error).pin_try_used


def secret_of(error: CardError) -> Secret:
    """Of which secret the tries are that `error` speaks of."""
    row = answer_for(error).id
    if row.startswith("hpki_pin"):
        return Secret.HPKI
    return Secret.SIGNING if row.startswith("sign_password") else Secret.PIN


def _in_page_language(words: Callable[[Any, Gettext], object], of: Any) -> object:
    return words(of, gettext)


def _choose_language() -> str:
    chosen: str | None = g.get("language") or request.accept_languages.best_match(LANGUAGES)
    return chosen or LANGUAGES[0]


def _language() -> str:
    return str(get_locale())


def _words(row: Answer) -> Wording:
    return row.en if _language() == "en" else row.ja
