"""`broker doctor`: does what stands in front of the broker hand everything on as it must?"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC
from http.cookies import CookieError, SimpleCookie
from typing import Any, Final

import click

from broker.app import join
from broker.commands.exits import answering
from broker.errors import InvalidToken, OutboundFailed
from broker.flows.discovery import provider_metadata, published_keys
from broker.flows.ports import KeyUse, Ports
from broker.jose import parse_json
from broker.network.front import MAX_ANSWER, Front
from broker.network.outbound import OutboundGuard
from broker.settings import Settings, read

_LAST_MONTH: Final = 12
_JUNK: Final = "not%20a%20certificate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing looked at. `advice` is empty where all is well."""

    name: str
    good: bool
    advice: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """What a check may use."""

    front: Front
    ports: Ports
    settings: Settings
    certificate_front: Front | None = None
    """Where clients are asked for a certificate, if that is another origin."""


def _metadata(visit: Visit) -> str:
    answer = visit.front.ask("/.well-known/openid-configuration")
    if answer.status != 200 or _object(answer.body) != provider_metadata(visit.ports):
        return "the issuer's address is answered by something else, or by a broker with other settings or keys"
    return ""


def _keys(visit: Visit) -> str:
    served = _object(visit.front.ask("/jwks").body).get("keys")
    ours = published_keys(visit.ports)["keys"]
    names = [jwk.get("kid") for jwk in served if isinstance(jwk, dict)] if isinstance(served, list) else []
    return "" if sorted(names, key=str) == sorted(jwk["kid"] for jwk in ours) else "/jwks shows other keys than ours"


def _refusals(visit: Visit) -> str:
    answer = visit.front.ask("/token", form={})
    told = _object(answer.body)
    if answer.status not in {400, 401} or "error" not in told:
        return "the front puts pages of its own in the place of refusals (nginx: proxy_intercept_errors off)"
    if answer.headers.get("cache-control") != "no-store":
        return "the front takes Cache-Control: no-store away from /token: tokens could be kept by a cache"
    return ""


def _headers(visit: Visit) -> str:
    told = visit.front.ask("/jwks").headers
    wanted = ["x-content-type-options", *(["strict-transport-security"] if visit.settings.secure else [])]
    gone = [name for name in wanted if name not in told]
    return f"the front takes headers away: {', '.join(gone)}" if gone else ""


def _cookies(visit: Visit) -> str:
    told = visit.front.ask("/device").headers.get("set-cookie", "")
    try:
        cookies = SimpleCookie(told)
    except CookieError:
        cookies = SimpleCookie()
    for name, cookie in cookies.items():
        whole = cookie["path"] == "/" and cookie["httponly"] and cookie["samesite"] == "Lax" and not cookie["domain"]
        if whole and (not visit.settings.secure or (cookie["secure"] and name.startswith("__Host-"))):
            return ""
    return "the front changes or drops cookies (no proxy_cookie_path, _domain or _flags is needed): logins would end"


def _certificates(visit: Visit) -> str:
    header = visit.settings.client_certificate_header
    if not header:
        return ""
    asked = {"client_id": "doctor", "grant_type": "client_credentials"}
    for front in filter(None, (visit.front, visit.certificate_front)):
        plain = front.ask("/token", form=asked)
        forged = front.ask("/token", form=asked, headers={header: _JUNK})
        if _object(plain.body) != _object(forged.body):
            return f"whoever calls the front can write {header} himself: it must be overwritten in every request"
    return ""


def _next_log(visit: Visit) -> str:
    """A policy takes one log for each key (C2SP tlog-policy), so each year's log needs its own."""
    now, register = visit.ports.clock().astimezone(UTC), visit.ports.register
    if register is None or now.month != _LAST_MONTH:
        return ""
    known = visit.ports.keys.history(KeyUse.REGISTER_LOG)["keys"]
    if any(jwk.get("nbf", 0) > now.timestamp() for jwk in known):
        return ""
    return f"the log of {now.year + 1} has no key yet: broker keys rotate --use register-log, and tell its witnesses"


CHECKS: Final[dict[str, Callable[[Visit], str]]] = {
    "metadata": _metadata,
    "keys": _keys,
    "refusals": _refusals,
    "headers": _headers,
    "cookies": _cookies,
    "certificates": _certificates,
    "register": _next_log,
}
"""Each answers what to do, or nothing where all is well."""


@click.command("doctor")
@click.option("--ca", type=click.Path(exists=True, dir_okay=False), help="PEM file: whom to trust for the issuer.")
@click.option("--json", "as_json", is_flag=True)
@answering
def doctor(ca: str | None, as_json: bool) -> None:
    """Ask the issuer's own address from here, and say what stands in the way. Ends with 1 where something does."""
    settings = read(os.environ)
    ports = join(settings, guard=OutboundGuard())
    visit = Visit(
        front=Front(settings.issuer, authorities=ca),
        ports=ports,
        settings=settings,
        certificate_front=Front(settings.mtls_origin, authorities=ca) if settings.mtls_origin else None,
    )
    findings = examine(visit)
    if as_json:
        click.echo(json.dumps([asdict(each) for each in findings]))
    else:
        for each in findings:
            click.echo(f"{each.name}\t{'good' if each.good else each.advice}")
    if not all(each.good for each in findings):
        raise SystemExit(1)


def examine(visit: Visit) -> list[Finding]:
    """Every check, whatever the others found."""
    findings = []
    for name, check in CHECKS.items():
        try:
            advice = check(visit)
        except OutboundFailed as failed:
            advice = f"no answer: {failed}"
        except InvalidToken:
            advice = "the answer is not JSON: something else answers"
        findings.append(Finding(name=name, good=not advice, advice=advice))
    return findings


def _object(body: bytes) -> dict[str, Any]:
    """Raises InvalidToken."""
    return parse_json(body, limit=MAX_ANSWER)
