"""What every page has in common: its headers, its language, and how it leaves for the client."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlencode

from flask import Flask, Response, g, make_response, render_template, request, url_for
from flask_babel import get_locale

from broker.accounts.session import KIOSK_IDLE
from broker.flows.authorization import Begun
from broker.flows.kiosks import WARNING
from broker.oidc.client import Client
from broker.web import cookies, furigana, headers
from broker.web.settings import LANGUAGES, ports, web_settings
from broker.web.words import instant, machine, role_words, word


def add_headers(response: Response) -> Response:
    """What is safe unless a handler said otherwise."""
    for name, value in headers.missing(response.headers, secure=web_settings().secure):
        response.headers[name] = value
    return response


# --- language --------------------------------------------------------------------------------------------------------


def _first_known(tags: str | None) -> str | None:
    """The first of these RFC 5646 tags that we speak (OIDC Core §3.1.2.1 ui_locales)."""
    for tag in (tags or "")[:256].split():
        primary = tag.partition("-")[0].lower()
        if primary in LANGUAGES:
            return primary
    return None


def ask_for(ui_locales: str | None) -> str:
    """Note what the client asked for, and answer the language that the pages of this request are in."""
    g.ui_locales = ui_locales
    return language()


def language() -> str:
    """A person's own choice first, then the client's, then the browser's, then the operator's."""
    return (
        _first_known(request.args.get("ui_locales"))
        or _first_known(cookies.language())
        or _first_known(g.get("ui_locales"))
        or request.accept_languages.best_match(LANGUAGES)
        or web_settings().default_language
    )


def with_readings() -> bool:
    """Did this person ask for readings above hard words? Japanese pages alone have them."""
    asked = request.args.get("furigana")
    wanted = asked == "on" if asked in {"on", "off"} else cookies.furigana()
    return wanted and str(get_locale()) == "ja"


def init_templates(app: Flask) -> None:
    """What every template may use."""

    @app.context_processor
    def _common() -> dict[str, object]:
        return {
            "lang": str(get_locale()),
            "other_language": "en" if str(get_locale()) == "ja" else "ja",
            "help_url": web_settings().help_url,
            "operator": web_settings().operator,
            "reading_url": url_for("help.reading"),
            "furigana": with_readings(),
            "trial_door": web_settings().trial_door,
            "kiosk": cookies.kiosk() is not None,
            "shown_name": shown_name,
            "is_japanese": is_japanese,
            "in_japanese": in_japanese,
            "word": word,
            "role_words": role_words,
            "instant": instant,
            "machine": machine,
        }


def shown_name(client: Client) -> str:
    """What people are shown: a name only where an operator vetted it, else the host (design 4.14)."""
    return client.name if client.vetted else client.host


def is_japanese(client: Client) -> bool:
    """Is the shown name written in kana or kanji? Then a screen reader is told so on an English page (WCAG 3.1.2)."""
    return in_japanese(shown_name(client))


def in_japanese(words: str) -> bool:
    """Are these words of others, a service's purpose for instance, written in kana or kanji?"""
    return any("\u3040" <= character <= "\u30ff" or "\u4e00" <= character <= "\u9fff" for character in words)


UNTIL_WARNING: Final = int((KIOSK_IDLE - WARNING).total_seconds())
"""Seconds that a page of ours stays on a kiosk's screen before it asks whether anybody is there."""


def still_there(path: str) -> str:
    """The page that asks, and leads back to `path`."""
    return f"/kiosk/still-there?{urlencode({'to': path})}"


# --- pages -----------------------------------------------------------------------------------------------------------


def page(template: str, status: int = 200, **context: object) -> Response:
    """A rendered page. Remembers the language if the person chose it by our link."""
    text = render_template(template, **context)
    response = make_response(furigana.add(text) if with_readings() else text, status)
    response.headers["Content-Language"] = str(get_locale())
    response.headers["Vary"] = "Accept-Language, Cookie"
    if cookies.kiosk() is not None:
        response.headers["Refresh"] = (
            f"{UNTIL_WARNING}; url={still_there(request.path if request.method == 'GET' else '/me')}"
        )
    if request.method == "GET" and request.endpoint != "authorization.authorize":
        chosen = _first_known(request.args.get("ui_locales"))
        if chosen is not None:
            cookies.keep_language(response, chosen)
        if (readings := request.args.get("furigana")) in {"on", "off"}:
            cookies.keep_furigana(response, wanted=readings == "on")
    return response


def to_login(begun: Begun) -> Response:
    """Where the card is asked for; the browser keeps what shows that this login is its own."""
    response = see_other(f"{ports().policy.issuer}/login/{begun.interaction_id}")
    cookies.keep_login(response, begun.interaction_id, begun.browser_secret)
    return response


def attachment(body: bytes, media_type: str, name: str) -> Response:
    """A file to be kept. `media_type` with its charset where it is a text; `name` is of ours, in ASCII."""
    response = Response(body, content_type=media_type)
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def see_other(url: str) -> Response:
    """303 and never 307, which would carry a posted body along (RFC 9700 §4.12)."""
    response = Response(status=303)
    response.headers["Location"] = url
    return response
