"""The card request: what a pinned broker asks this card to sign, judged member by member before any card is touched."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from cardreader.agent.action import Action, parse_action
from cardreader.agent.display import displayable
from cardreader.agent.jose import (
    PublicKey,
    UnverifiedJWS,
    decode_base64url,
    parse_jws,
    parse_public_key,
    verify,
)
from cardreader.agent.linking import check_previous
from cardreader.agent.trust import Trust, TrustedBroker, origin_of
from cardreader.errors import (
    RequestMalformed,
    RequestSignatureInvalid,
    SiteUnknown,
    StatementExpired,
    StatementRolledBack,
)

AUDIENCE = "card-agent"
REQUEST_TYP = "card-request+jwt"
STATEMENT_TYP = "card-request-keys+jwt"
MAX_LIFETIME = 300  # seconds, design 4.3
MAX_STATEMENT_LIFETIME = 90 * 86400  # seconds
CLOCK_TOLERANCE = timedelta(minutes=5)  # beyond it the page warns
STATEMENT_GRACE = timedelta(days=1)  # how far past a statement's end a home clock may stand
_MAX_TEXT = 256  # characters of a name or id
_MAX_ISSUERS = 64
_MAX_KEYS = 16
_MAX_PREVIOUS = 1024  # bytes; a frame is far shorter
_LATEST = 253402300799  # 9999-12-31T23:59:59Z, where datetime ends
_LOCALES = re.compile(r"[A-Za-z0-9-]{1,35}( [A-Za-z0-9-]{1,35}){0,7}\Z")
_END_PATH = re.compile(r"(/[A-Za-z0-9_-]{1,128}){1,4}\Z")
_HOST_NAME = re.compile(r"[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})*(:[0-9]{1,5})?\Z|\[[0-9a-f:]+\](:[0-9]{1,5})?\Z")

_CLAIMS: Mapping[str, type] = {
    "iss": str,
    "aud": str,
    "iat": int,
    "exp": int,
    "jti": str,
    "nonce": str,
    "client_id": str,
    "client_name": str,
    "client_vetted": bool,
    "tag": str,
    "action": str,
    "previous": str,
    "accepted_issuers": list,
    "answer_key": dict,
    "return_uri": str,
    "ui_locales": str,
    "statement": str,
}
_OPTIONAL_CLAIMS: Mapping[str, type] = {"end_handle": str}
_STATEMENT_CLAIMS: Mapping[str, type] = {"iss": str, "seq": int, "nbf": int, "exp": int, "keys": list}


@dataclass(frozen=True, slots=True, kw_only=True)
class SignRequest:
    """A verified card request. Strings are exactly those that stood in it; `display_*` are safe to show.

    `clock_doubtful` says that this machine's clock and the broker's time of issue differ by more than the request's
    lifetime and a tolerance: the page warns, and the broker, not we, judges the age.
    """

    issuer: str
    origin: str
    request_key_thumbprint: str
    issued_at: datetime
    expires_at: datetime
    transaction: str  # jti
    nonce: bytes = field(repr=False)
    client_id: str
    client_name: str
    client_vetted: bool
    tag: str
    action: str
    act: Action
    """What `action` says, read."""
    previous: bytes = field(repr=False)
    accepted_issuers: frozenset[bytes]  # SHA-256 of DER SubjectPublicKeyInfo
    answer_key: PublicKey
    return_uri: str
    ui_locales: str
    statement_seq: int
    broker: TrustedBroker
    clock_doubtful: bool
    end_handle: str = field(default="", repr=False)
    """The path at the broker that ends this login's session, once; "" where the request names none (kiosks use it)."""

    @property
    def display_client(self) -> str | None:
        """The service's name; of an unvetted one only a host name is worth showing, and None where it gave none."""
        name = displayable(self.client_name)
        return name if self.client_vetted or _HOST_NAME.match(self.client_name) else None


def verify_request(jws: str, *, trust: Trust, origin: str, now: datetime) -> SignRequest:
    """Judge a card request that a page of `origin` (as the browser states it) submitted.

    Raises SiteUnknown, RequestMalformed, RequestSignatureInvalid, StatementExpired, StatementRolledBack, ActionUnknown.
    The caller remembers `statement_seq` and keeps `transaction` single-use.
    """
    broker = trust.broker_at(origin)
    if broker is None:
        raise SiteUnknown("origin is not in the trust file")
    unverified = parse_jws(jws, typ=REQUEST_TYP)
    named = {name: kind for name, kind in _OPTIONAL_CLAIMS.items() if name in unverified.claims}
    _require_members(unverified.claims, {**_CLAIMS, **named}, what="request")
    statement = _verify_statement(unverified, broker=broker, trust=trust, now=now)
    keys = [parse_public_key(key, what="keys") for key in statement["keys"]]
    key = next((key for key in keys if key.thumbprint == unverified.kid), None)
    if key is None:
        raise RequestSignatureInvalid("the statement does not name the request's key")
    claims = verify(unverified, key)
    issued_at, expires_at = _period(claims, broker=broker)
    act = parse_action(claims["tag"], claims["action"], issued_at=issued_at)
    previous = _previous(claims)
    if act.link is not None:
        check_previous(previous, claims, origin=origin)
    return SignRequest(
        issuer=claims["iss"],
        origin=origin,
        request_key_thumbprint=key.thumbprint,
        issued_at=issued_at,
        expires_at=expires_at,
        transaction=_transaction(claims),
        nonce=_exactly(32, decode_base64url(claims["nonce"], what="nonce"), what="nonce"),
        client_id=_text(claims, "client_id"),
        client_name=_text(claims, "client_name"),
        client_vetted=claims["client_vetted"],
        tag=claims["tag"],
        action=claims["action"],
        act=act,
        previous=previous,
        accepted_issuers=_accepted_issuers(claims),
        answer_key=parse_public_key(claims["answer_key"], what="answer_key"),
        return_uri=_return_uri(claims, broker=broker),
        ui_locales=_ui_locales(claims),
        statement_seq=statement["seq"],
        broker=broker,
        end_handle=_end_handle(claims),
        clock_doubtful=not issued_at - CLOCK_TOLERANCE <= now <= expires_at + CLOCK_TOLERANCE,
    )


def _verify_statement(
    request: UnverifiedJWS, *, broker: TrustedBroker, trust: Trust, now: datetime
) -> Mapping[str, Any]:
    """The root-signed list of request keys. Its period is held against the request's own time, because home clocks err.

    This machine's clock only has the last word a day past the end: a stolen old key must not live for ever.
    """
    unverified = parse_jws(request.claims["statement"], typ=STATEMENT_TYP)
    statement = verify(unverified, broker.agent_root)
    _require_members(statement, _STATEMENT_CLAIMS, what="statement")
    nbf, exp = (_time(statement, name) for name in ("nbf", "exp"))
    if statement["iss"] != broker.issuer:
        raise RequestSignatureInvalid("the statement is another issuer's")
    if statement["seq"] < 1 or not nbf < exp <= nbf + timedelta(seconds=MAX_STATEMENT_LIFETIME):
        raise RequestMalformed("statement has no seq from 1 or no period of at most 90 days")
    if not 1 <= len(statement["keys"]) <= _MAX_KEYS:
        raise RequestMalformed(f"statement has not 1 to {_MAX_KEYS} keys")
    if statement["seq"] < trust.seen.get(broker.issuer, 0):
        raise StatementRolledBack(f"seq {statement['seq']}, seen {trust.seen[broker.issuer]}")
    if not nbf <= _time(request.claims, "iat") < exp:
        raise StatementExpired("the request was made outside the statement's period")
    if now >= exp + STATEMENT_GRACE:
        raise StatementExpired("the statement is past by this machine's clock")
    return statement


def _require_members(claims: Mapping[str, Any], expected: Mapping[str, type], *, what: str) -> None:
    if claims.keys() != expected.keys():
        odd = sorted(displayable(name, at_most=40) for name in claims.keys() ^ expected.keys())
        raise RequestMalformed(f"{what} has missing or unknown members: {', '.join(odd[:5])}")
    for name, kind in expected.items():
        if type(claims[name]) is not kind:  # not isinstance: JSON's true is no number
            raise RequestMalformed(f"{what} member {name} is not of its type")


def _period(claims: Mapping[str, Any], *, broker: TrustedBroker) -> tuple[datetime, datetime]:
    if claims["iss"] != broker.issuer or claims["aud"] != AUDIENCE:
        raise RequestMalformed("iss is not the page's broker, or aud not this agent")
    issued_at, expires_at = _time(claims, "iat"), _time(claims, "exp")
    if not timedelta(0) < expires_at - issued_at <= timedelta(seconds=MAX_LIFETIME):
        raise RequestMalformed(f"exp is not within {MAX_LIFETIME} seconds after iat")
    return issued_at, expires_at


def _time(claims: Mapping[str, Any], name: str) -> datetime:
    if not 0 <= claims[name] <= _LATEST:
        raise RequestMalformed(f"{name} is not a time")
    return datetime.fromtimestamp(claims[name], UTC)


def _transaction(claims: Mapping[str, Any]) -> str:
    jti = str(claims["jti"])
    if not 16 <= len(decode_base64url(jti, what="jti")) <= 64:
        raise RequestMalformed("jti has not 128 to 512 bits")
    return jti


def _previous(claims: Mapping[str, Any]) -> bytes:
    previous = decode_base64url(claims["previous"], what="previous")
    if len(previous) > _MAX_PREVIOUS:
        raise RequestMalformed("previous is longer than a frame")
    return previous


def _accepted_issuers(claims: Mapping[str, Any]) -> frozenset[bytes]:
    hashes = claims["accepted_issuers"]
    if not 1 <= len(hashes) <= _MAX_ISSUERS:
        raise RequestMalformed(f"accepted_issuers has not 1 to {_MAX_ISSUERS} entries")
    what = "accepted_issuers"
    return frozenset(_exactly(32, decode_base64url(item, what=what), what=what) for item in hashes)


def _return_uri(claims: Mapping[str, Any], *, broker: TrustedBroker) -> str:
    expected = f"{broker.issuer.rstrip('/')}/agent/cb/{claims['jti']}"
    if claims["return_uri"] != expected or origin_of(expected) != broker.origin:
        raise RequestMalformed("return_uri is not the broker's own for this transaction")
    return expected


def _end_handle(claims: Mapping[str, Any]) -> str:
    path = str(claims.get("end_handle", ""))
    if "end_handle" in claims and not _END_PATH.match(path):
        raise RequestMalformed("end_handle is no plain path with a handle in it")
    return path


def _ui_locales(claims: Mapping[str, Any]) -> str:
    text = str(claims["ui_locales"])
    if text and not _LOCALES.match(text):
        raise RequestMalformed("ui_locales is not a list of language tags")
    return text


def _text(claims: Mapping[str, Any], name: str) -> str:
    text = str(claims[name])
    if not 1 <= len(text) <= _MAX_TEXT:
        raise RequestMalformed(f"{name} is not 1 to {_MAX_TEXT} characters")
    return text


def _exactly(length: int, raw: bytes, *, what: str) -> bytes:
    if len(raw) != length:
        raise RequestMalformed(f"{what} is not {length} bytes")
    return raw
