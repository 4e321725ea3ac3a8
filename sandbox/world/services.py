"""What verifiers fetch: CRLs, OCSP answers, time stamps and root certificates. Public and the same for everybody."""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Callable
from datetime import datetime
from typing import Final

from flask import Blueprint, Response, abort, request

from sandbox import hpki, seals
from sandbox.ca import KINDS, Kind, Municipality
from sandbox.revocation import MAX_OCSP_REQUEST
from sandbox.trouble import SLOW_SECONDS
from sandbox.world.registry import Registry

_KINDS: Final[dict[str, Kind]] = {kind: kind for kind in KINDS}


def services_blueprint(registry: Registry, *, clock: Callable[[], datetime]) -> Blueprint:
    """Routes over `registry`. Media types are those of RFC 2585 section 4 and RFC 6960 appendix A."""
    services = Blueprint("services", __name__)

    @services.get("/crl/<ca>/<int:generation>/<municipality>.crl")
    def crl(ca: str, generation: int, municipality: str) -> Response:
        kind, place = _partition(ca, generation, municipality)
        suffer(registry.trouble().crl)
        return _list(registry.crl(kind, generation, place, now=clock()))

    @services.get("/crl/<ca>/<int:generation>/<municipality>.delta.crl")
    def delta_crl(ca: str, generation: int, municipality: str) -> Response:
        kind, place = _partition(ca, generation, municipality)
        suffer(registry.trouble().crl)
        return _list(registry.delta_crl(kind, generation, place, now=clock()))

    def _partition(ca: str, generation: int, municipality: str) -> tuple[Kind, Municipality]:
        place = registry.municipalities.get(municipality)
        if ca not in _KINDS or generation not in registry.generations(_KINDS[ca]) or place is None:
            abort(404)
        return _KINDS[ca], place

    def _list(der: bytes) -> Response:
        return Response(der, mimetype="application/pkix-crl", headers={"Cache-Control": "no-cache"})

    @services.post("/ocsp/<ca>")
    def ocsp_post(ca: str) -> Response:
        if request.mimetype != "application/ocsp-request":
            abort(415)
        return _ocsp(ca, request.get_data())

    @services.get("/ocsp/<ca>/<path:encoded>")
    def ocsp_get(ca: str, encoded: str) -> Response:
        """RFC 6960 appendix A.1: the request in base64, percent-encoded, as the rest of the path."""
        if len(encoded) > 2 * MAX_OCSP_REQUEST:
            abort(414)
        try:
            question = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            question = b""  # malformed, and answered as such by the responder itself
        return _ocsp(ca, question)

    def _ocsp(ca: str, question: bytes) -> Response:
        if ca not in _KINDS:
            abort(404)
        suffer(registry.trouble().ocsp)
        answer = registry.ocsp(_KINDS[ca], question, now=clock())
        return Response(answer, mimetype="application/ocsp-response", headers={"Cache-Control": "no-store"})

    @services.get("/seal/<name>.crl")
    def seal_crl(name: str) -> Response:
        lister = next((known for known in seals.LISTERS if known == name), None)
        if lister is None:
            abort(404)
        return _list(registry.seal_crl(lister, now=clock()))

    @services.get("/crl/hpki/<name>.crl")
    def healthcare_crl(name: str) -> Response:
        if name not in hpki.LISTERS:
            abort(404)
        suffer(registry.trouble().crl)
        return _list(registry.healthcare_crl(name, now=clock()))

    @services.get("/crl/registrar.crl")
    def registrar_crl() -> Response:
        suffer(registry.trouble().crl)
        return _list(registry.registrar_crl(now=clock()))

    @services.post("/tsa")
    def time_stamp() -> Response:
        """RFC 3161 §3.4."""
        if request.mimetype != "application/timestamp-query":
            abort(415)
        answer = registry.time_stamp(request.get_data(), now=clock())
        return Response(answer, mimetype="application/timestamp-reply", headers={"Cache-Control": "no-store"})

    @services.get("/ca/<name>.cer")
    def root_certificate(name: str) -> Response:
        certificate = registry.certificate(name)
        if certificate is None:
            abort(404)
        return Response(certificate, mimetype="application/pkix-cert")

    return services


def suffer(wrong: str) -> None:
    """The two troubles that any service can have."""
    if wrong == "unavailable":
        abort(503)
    if wrong == "slow":
        time.sleep(SLOW_SECONDS)
