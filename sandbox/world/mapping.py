"""The stand-in for J-LIS's mapping of certificates, in the form that verifiers' gateways are asked in.

The form is described in broker.network.correspondence. J-LIS's own interface is disclosed to notified verifiers only.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from flask import Blueprint, Response, abort, jsonify, request

from sandbox.world.registry import Registry
from sandbox.world.services import suffer


def mapping_blueprint(registry: Registry, *, clock: Callable[[], datetime]) -> Blueprint:
    """Routes over `registry`. A certificate that was never issued is 404, which is no word about its predecessor."""
    mapping = Blueprint("mapping", __name__)

    @mapping.post("/mapping/predecessor")
    def predecessor() -> Response:
        """In whose place was this certificate issued?"""
        question = _question("certificate")
        wrong = registry.trouble().mapping
        suffer(wrong)
        try:
            earlier = registry.predecessor(*certificate_name(question["certificate"]))
        except KeyError:
            abort(404)
        if wrong == "contradictory":
            earlier = question["certificate"]
        if wrong == "other-question":
            question["certificate"]["serial"] += "0"
        return jsonify({**question, "predecessor": earlier})

    @mapping.post("/mapping/correspond")
    def correspond() -> Response:
        """Are two certificates, of card and phone or of both kinds, one person's and in force?"""
        question = _question("certificates")
        wrong = registry.trouble().mapping
        suffer(wrong)
        try:
            one, other = (certificate_name(document) for document in question["certificates"])
            answer = registry.correspond(one, other, now=clock())
        except KeyError:
            abort(404)
        except (ValueError, TypeError):
            abort(400)
        if wrong == "other-question":
            question["certificates"].reverse()
        return jsonify({**question, "correspond": None if wrong == "contradictory" else answer})

    return mapping


def _question(member: str) -> dict[str, Any]:
    document = request.get_json()
    if not isinstance(document, dict) or document.keys() != {member}:
        abort(400)
    return document


def certificate_name(document: object) -> tuple[str, int]:
    """The issuer's key and the serial of a question; anything else is 400."""
    try:
        match document:
            case {"issuer_key_hash": str(issuer), "serial": str(serial)}:
                return issuer, int(serial, 16)
            case _:
                abort(400)
    except ValueError:
        abort(400)
