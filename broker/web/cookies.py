"""The cookies of the broker: one for each login on its way, one for the session it ends in (design section 3), one for
whoever types the code of another device, one each for a chosen language and for readings above hard words, and one that
says which kiosk's browser this is.
"""

from __future__ import annotations

from flask import Response, request
from werkzeug.http import parse_cookie

from broker.flows.authorization import INTERACTION_LIFETIME
from broker.ids import InteractionID, KioskID, Secret
from broker.oidc.device import LIFETIME
from broker.web.settings import web_settings

_SESSION = "jpki-broker-session"
_LOGIN = "jpki-broker-login-"
_LANGUAGE = "jpki-broker-language"
_FURIGANA = "jpki-broker-furigana"
_DEVICE = "jpki-broker-device"
_KIOSK = "jpki-broker-kiosk"
_OURS = "jpki-broker-"


def _name(name: str) -> str:
    return f"__Host-{name}" if web_settings().secure else name


def _login_name(interaction_id: InteractionID) -> str:
    return _name(_LOGIN + interaction_id[:12])


def browser_secret(interaction_id: InteractionID) -> str | None:
    """What this browser keeps for this login, if it began it."""
    return request.cookies.get(_login_name(interaction_id))


def session_secret() -> str | None:
    """What this browser keeps of its session."""
    return request.cookies.get(_name(_SESSION))


def session_secret_in(header: str, *, secure: bool) -> str | None:
    """The same out of a Cookie header; of several of the name the first."""
    return parse_cookie(header).get(f"__Host-{_SESSION}" if secure else _SESSION)


def language() -> str | None:
    """The language a person chose by our own link."""
    return request.cookies.get(_name(_LANGUAGE))


def keep_login(response: Response, interaction_id: InteractionID, secret: Secret) -> None:
    """For as long as the login may last. Lax: the way back from the agent is a cross-site redirect."""
    _set(response, _login_name(interaction_id), secret, max_age=int(INTERACTION_LIFETIME.total_seconds()))


def drop_login(response: Response, interaction_id: InteractionID) -> None:
    """The login is over."""
    _set(response, _login_name(interaction_id), "", max_age=0)


def keep_session(response: Response, secret: Secret) -> None:
    """Until the browser closes; the broker ends it earlier (accounts.session)."""
    _set(response, _name(_SESSION), secret, max_age=None)


def drop_session(response: Response) -> None:
    """The session is over."""
    _set(response, _name(_SESSION), "", max_age=0)


def keep_language(response: Response, chosen: str) -> None:
    """Until the browser closes."""
    _set(response, _name(_LANGUAGE), chosen, max_age=None)


def furigana() -> bool:
    """Whether a person asked for readings above hard words."""
    return request.cookies.get(_name(_FURIGANA)) == "on"


def keep_furigana(response: Response, *, wanted: bool) -> None:
    """Until the browser closes."""
    _set(response, _name(_FURIGANA), "on" if wanted else "", max_age=None if wanted else 0)


def device_secret() -> str | None:
    """What ties the page for user codes to this browser."""
    return request.cookies.get(_name(_DEVICE))


def keep_device(response: Response, secret: str) -> None:
    """As long as a user code may last."""
    _set(response, _name(_DEVICE), secret, max_age=int(LIFETIME.total_seconds()))


def kiosk() -> KioskID | None:
    """In which kiosk's browser the page is shown. It only narrows: the kiosk's own key decides (flows.kiosks)."""
    given = request.cookies.get(_name(_KIOSK))
    return None if given is None else KioskID(given)


def keep_kiosk(response: Response, kiosk_id: KioskID) -> None:
    """Until the browser closes."""
    _set(response, _name(_KIOSK), kiosk_id, max_age=None)


def drop_person(response: Response) -> None:
    """Everything that one person left; which kiosk this is stays."""
    for name in request.cookies:
        if name.startswith(_name(_OURS)) and name != _name(_KIOSK):
            _set(response, name, "", max_age=0)


def _set(response: Response, name: str, value: str, *, max_age: int | None) -> None:
    response.set_cookie(
        name, value, max_age=max_age, path="/", secure=web_settings().secure, httponly=True, samesite="Lax"
    )
