"""What every answer says to a browser unless it says otherwise itself; pages and endpoints alike."""

from __future__ import annotations

from typing import Final, Protocol


class Names(Protocol):
    """A set of header names, or a framework's headers."""

    def __contains__(self, name: str, /) -> bool: ...


def content_security_policy(*, form_action: str, script: bool = False, frames: str = "") -> str:
    """Nothing but our own style sheet and pictures; no script at all, except where `script` allows our own files.

    `form_action` is where forms may go, `frames` the one origin that may be loaded in a frame.
    """
    scripts = "script-src 'self'; " if script else ""
    return (
        f"default-src 'none'; {scripts}style-src 'self'; img-src 'self'; base-uri 'none'; "
        f"form-action {form_action}; {f'frame-src {frames}; ' if frames else ''}frame-ancestors 'none'"
    )


_SAFE: Final = (
    ("Content-Security-Policy", content_security_policy(form_action="'self'")),
    # Not no-referrer: it would make a browser state `Origin: null` on our own forms, and they are refused without
    # their true origin.
    ("Referrer-Policy", "same-origin"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    ("Cache-Control", "no-store"),
)
_OVER_TLS: Final = (("Strict-Transport-Security", "max-age=31536000"),)


def missing(present: Names, *, secure: bool) -> list[tuple[str, str]]:
    """The safe headers whose names are not in `present`; `secure` says that the issuer is https."""
    return [pair for pair in (_SAFE + _OVER_TLS if secure else _SAFE) if pair[0] not in present]
