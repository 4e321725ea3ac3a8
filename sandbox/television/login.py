"""One login of the television (RFC 8628): the code on its screen, its questions to the broker, and what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from threading import Lock
from typing import Any, Final

import jwt
import requests

from sandbox.television import CLIENT_ID, DEVICE_CODE

TIMEOUT: Final = 10.0
"""Seconds for one call to the broker."""
LEEWAY: Final = 10
"""Seconds that the two clocks may differ."""
ACR: Final = "aal2"
"""What a login on another device comes to; the broker proves no more, and the television asks for no less."""


class Scene(StrEnum):
    """What is on the screen."""

    OFF = "off"
    CODE = "code"
    WELCOME = "welcome"
    DECLINED = "declined"
    TOO_LATE = "too_late"
    TROUBLE = "trouble"


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    """What the television shows now."""

    scene: Scene
    user_code: str = ""
    verification_uri: str = ""
    verification_uri_complete: str = ""
    seconds_left: int = 0
    claims: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Waiting:
    device_code: str = field(repr=False)
    shown: Screen
    interval: float
    asked_at: float
    ends_at: float


class Television:
    """The one set of this program: whoever looks sees the same screen. Times are the monotonic clock's, seconds."""

    def __init__(self, issuer: str, *, authorities: str | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._issuer = issuer
        self._clock = clock
        self._http = requests.Session()
        self._http.trust_env = False  # a proxy would receive the device code
        self._http.verify = True if authorities is None else authorities
        self._lock = Lock()
        self._screen = Screen(scene=Scene.OFF)
        self._waiting: _Waiting | None = None

    def start(self) -> None:
        """Ask for a code."""
        with self._lock:
            self._waiting = None
            try:
                metadata = self._metadata()
                asked = {
                    "client_id": CLIENT_ID,
                    "scope": "openid",
                    "device_kind": "television",
                    "device_place": "居間",
                }
                status, told = self._post(metadata["device_authorization_endpoint"], asked)
                if status != 200:
                    raise ValueError(f"no code: {status}")
                now = self._clock()
                self._screen = Screen(
                    scene=Scene.CODE,
                    user_code=told["user_code"],
                    verification_uri=told["verification_uri"],
                    verification_uri_complete=told["verification_uri_complete"],
                )
                self._waiting = _Waiting(
                    device_code=told["device_code"],
                    shown=self._screen,
                    interval=float(told.get("interval", 5)),
                    asked_at=now,
                    ends_at=now + float(told["expires_in"]),
                )
            except (requests.RequestException, ValueError, KeyError, TypeError):
                self._screen = Screen(scene=Scene.TROUBLE)

    def stop(self) -> None:
        """Log out, or take the code off the screen."""
        with self._lock:
            self._waiting = None
            self._screen = Screen(scene=Scene.OFF)

    def look(self) -> Screen:
        """What is on the screen now. Asks the broker where it may ask again."""
        with self._lock:
            waiting = self._waiting
            if waiting is None:
                return self._screen
            now = self._clock()
            if now >= waiting.ends_at:
                self._end(Screen(scene=Scene.TOO_LATE))
            elif now - waiting.asked_at >= waiting.interval:
                self._waiting = replace(waiting, asked_at=now)
                self._ask(waiting)
            left = max(0, int(waiting.ends_at - now))
            return replace(self._screen, seconds_left=left) if self._waiting else self._screen

    def _ask(self, waiting: _Waiting) -> None:
        asked = {"grant_type": DEVICE_CODE, "device_code": waiting.device_code, "client_id": CLIENT_ID}
        try:
            status, told = self._post(self._metadata()["token_endpoint"], asked)
            if status == 200:
                self._end(Screen(scene=Scene.WELCOME, claims=self._judged(told["id_token"])))
                return
            match told.get("error"):
                case "authorization_pending":
                    return
                case "slow_down":
                    self._waiting = replace(waiting, asked_at=self._clock(), interval=waiting.interval + 5)
                case "access_denied":
                    self._end(Screen(scene=Scene.DECLINED))
                case "expired_token":
                    self._end(Screen(scene=Scene.TOO_LATE))
                case _:
                    self._end(Screen(scene=Scene.TROUBLE))
        except requests.RequestException:
            self._waiting = replace(waiting, asked_at=self._clock(), interval=waiting.interval * 2)  # RFC 8628 §3.5
        except (ValueError, KeyError, TypeError, jwt.PyJWTError):
            self._end(Screen(scene=Scene.TROUBLE))

    def _end(self, screen: Screen) -> None:
        self._waiting, self._screen = None, screen

    def _judged(self, id_token: str) -> dict[str, Any]:
        """The claims of an ID token that is the broker's, for us and of our time. Raises jwt.PyJWTError, ValueError."""
        keys = jwt.PyJWKSet.from_dict(self._get(self._metadata()["jwks_uri"]))
        key = keys[jwt.get_unverified_header(id_token)["kid"]]
        claims: dict[str, Any] = jwt.decode(
            id_token,
            key,
            algorithms=["ES256"],
            audience=CLIENT_ID,
            issuer=self._issuer,
            leeway=LEEWAY,
            options={"require": ["iss", "sub", "aud", "exp", "iat", "auth_time", "acr"]},
        )
        if claims["acr"] != ACR:
            raise ValueError("another strength than a login on another device has")
        return claims

    def _metadata(self) -> dict[str, Any]:
        told = self._get(f"{self._issuer}/.well-known/openid-configuration")
        if told.get("issuer") != self._issuer:
            raise ValueError("the metadata are another issuer's (OIDC Discovery §4.3)")
        return told

    def _get(self, url: str) -> dict[str, Any]:
        answer = self._http.get(url, timeout=TIMEOUT, allow_redirects=False)
        answer.raise_for_status()
        told: dict[str, Any] = answer.json()
        return told

    def _post(self, url: str, form: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
        answer = self._http.post(url, data=form, timeout=TIMEOUT, allow_redirects=False)
        told: dict[str, Any] = answer.json()
        return answer.status_code, told
