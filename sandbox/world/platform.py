"""The stand-in for a platform operator (プラットフォーム事業者), in the form of broker.network.platform.

It verifies for relying parties that may not ask J-LIS themselves, and forgets its registrations when it ends.
"""

from __future__ import annotations

import secrets
import threading
from base64 import b64decode
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from flask import Blueprint, Response, abort, jsonify, request

from sandbox.ca import KINDS
from sandbox.ledger import Issued
from sandbox.world.mapping import certificate_name
from sandbox.world.registry import Registry
from sandbox.world.services import suffer

TOKEN: Final = "sandbox-platform"
"""Opens nothing but this stand-in."""
_MOST: Final = 500


class _Desk:
    """Registrations and the notices that came of them. Threads share it."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._lock = threading.Lock()
        self._registered: dict[tuple[str, int], str] = {}
        self._told: list[dict[str, Any]] = []

    def find(self, der: bytes) -> Issued | None:
        """The entry of a certificate in the books, None where none of our authorities issued it."""
        try:
            certificate = x509.load_der_x509_certificate(der)
        except ValueError:
            return None
        for kind in KINDS:
            for generation in self._registry.generations(kind):
                root = self._registry.certificate(f"{kind}-{generation}")
                if root is not None and _issued_by(certificate, x509.load_der_x509_certificate(root)):
                    return self._registry.ledger().find(f"{kind}-{generation}", certificate.serial_number)
        return None

    def register(self, entry: Issued) -> str:
        """Its name here, the same each time."""
        with self._lock:
            return self._registered.setdefault((entry.authority, entry.serial), secrets.token_urlsafe(16))

    def notices(self, after: int, now: datetime) -> list[dict[str, Any]]:
        """What happened to the registered ones, in the order in which it was seen."""
        books = self._registry.ledger()
        with self._lock:
            told = {notice["registration"] for notice in self._told}
            for place, name in self._registered.items():
                entry = books.find(*place)
                if name not in told and entry and entry.revoked_at is not None and entry.revoked_at <= now:
                    self._told.append(
                        {
                            "number": len(self._told) + 1,
                            "registration": name,
                            "revoked_at": entry.revoked_at.isoformat(),
                            "reason": entry.reason,
                        }
                    )
            return self._told[after : after + _MOST]


def platform_blueprint(registry: Registry, *, clock: Callable[[], datetime]) -> Blueprint:
    """Routes over `registry`; a caller without the token is 401, a certificate of another authority 404."""
    platform = Blueprint("platform", __name__, url_prefix="/platform")
    desk = _Desk(registry)

    @platform.before_request
    def admit() -> None:
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            abort(401)
        suffer(registry.trouble().ocsp)

    @platform.post("/registrations")
    def register() -> Response:
        question = _question("certificate")
        return jsonify({**question, "registration": desk.register(_entry(question))})

    @platform.post("/verifications")
    def verify() -> Response:
        question, now = _question("certificate"), clock()
        entry = _entry(question)
        revoked = entry.revoked_at is not None and entry.revoked_at <= now
        return jsonify(
            {
                **question,
                "status": "revoked" if revoked else "good",
                "reason": entry.reason if revoked else "",
                "this_update": now.isoformat(),
            }
        )

    @platform.post("/replacements")
    def replacement() -> Response:
        question = _question("certificate")
        try:
            earlier = registry.predecessor(*certificate_name(question["certificate"]))
        except KeyError:
            abort(404)
        return jsonify({**question, "replaces": earlier})

    @platform.post("/correspondences")
    def correspondence() -> Response:
        question = _question("certificates")
        try:
            one, other = (certificate_name(each) for each in question["certificates"])
            answer = registry.correspond(one, other, now=clock())
        except KeyError:
            abort(404)
        except (ValueError, TypeError):
            abort(400)
        return jsonify({**question, "correspond": answer})

    @platform.post("/notices")
    def notices() -> Response:
        question = _question("after")
        if not isinstance(question["after"], int) or question["after"] < 0:
            abort(400)
        return jsonify({**question, "notices": desk.notices(question["after"], clock())})

    def _entry(question: dict[str, Any]) -> Issued:
        try:
            entry = desk.find(b64decode(question["certificate"], validate=True))
        except (ValueError, TypeError):
            abort(400)
        if entry is None:
            abort(404)
        return entry

    return platform


def _issued_by(certificate: x509.Certificate, root: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(root)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def _question(member: str) -> dict[str, Any]:
    document = request.get_json()
    if not isinstance(document, dict) or document.keys() != {member, "nonce"}:
        abort(400)
    return document
