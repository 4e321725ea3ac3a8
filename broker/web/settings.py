"""What the web room is told by the operator, and where handlers find it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from flask import current_app

from broker.flows.ports import Ports

LANGUAGES = ("ja", "en")


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """Who runs the service and answers for it, as pages tell residents; what is empty is left out."""

    name: str = ""
    name_en: str = ""
    phone: str = ""
    mail: str = ""
    hours: str = ""
    hours_en: str = ""
    procedures_url: str = ""
    """What a counter does for a locked PIN or an expired certificate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSettings:
    """How pages are served. `secure` says that the issuer is https: cookies are then `__Host-` and Secure."""

    secure: bool
    help_url: str | None = None
    """Where residents find more help than on `/help`; left out there when None."""
    operator: Operator = Operator()
    default_language: str = "ja"
    client_certificate_header: str = ""
    """In which the TLS front hands on the client's certificate; empty where there is no such front."""
    client_address_header: str = ""
    """In which a front states the caller's address; empty where there is no such front."""
    takes_turns: bool = False
    """Whether endpoints for programs run one after another in a process (decision 41)."""
    trial_door: str = ""
    """The template of a second way in on the login page. Only the sandbox has one, and no setting of the broker names
    it."""

    def __post_init__(self) -> None:
        if self.default_language not in LANGUAGES:
            raise ValueError(f"default_language: one of {', '.join(LANGUAGES)}")


def ports() -> Ports:
    """The outside, as given to `register`."""
    return cast(Ports, current_app.extensions["broker"])


def web_settings() -> WebSettings:
    """The settings given to `register`."""
    return cast(WebSettings, current_app.extensions["broker.web"])
