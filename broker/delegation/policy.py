"""What one procuring authority accepts: a file that officers keep, signed by the policy root they have pinned.

Rules differ by authority (delegation, 1.5): one wants bidding and contracting granted together, another takes no
sub-agents. They are data of the authority, never constants of ours. A policy says nothing about whether a power holds;
it says what is asked of one.
"""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from broker.delegation.acts import PROCUREMENT, Act
from broker.errors import InvalidToken, PolicyInvalid
from broker.jose import parse_claims, parse_json, verify_jws

TYP: Final = "procurement-policy+jwt"
MAX_STATUS_AGE: Final = timedelta(hours=24)
"""An older status answer is "cannot tell" (design 4.15); a policy may only ask for a younger one."""
_MEMBERS: Final = frozenset(
    {
        "iss",
        "iat",
        "version",
        "authority",
        "name",
        "name_en",
        "entities",
        "together",
        "sub_agents",
        "longest_days",
        "limit_needed",
        "status_seconds",
        "logs",
        "roots",
        "status_keys",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """One version of an authority's policy; the defaults are the loosest that is ever accepted."""

    authority: str = ""
    version: int = 0
    name: str = ""
    name_en: str = ""
    entities: frozenset[str] = frozenset()
    """Codes of the authority's own offices; none means that it does not ask."""
    together: tuple[frozenset[Act], ...] = ()
    """Acts that are only accepted together, such as bidding and contracting."""
    sub_agents: int = 2
    """How many steps of sub-agents (復代理) are accepted."""
    longest: timedelta | None = None
    limit_needed: bool = False
    status_age: timedelta = MAX_STATUS_AGE
    logs: tuple[str, ...] = ()
    """tlog-policy lines: the logs, witnesses and quorum it relies on."""
    roots: tuple[bytes, ...] = field(default=(), repr=False)
    """Certificates (DER) that a seal must lead to."""
    status_keys: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)
    """Public keys (JWK) that status lists are signed with."""


NONE_GIVEN: Final = Policy()
"""No authority asked: the record is judged by itself alone."""


def read(token: str | bytes, *, root: Mapping[str, Any], at: datetime, held: Policy | None = None) -> Policy:
    """A signed policy, by the pinned root's JWK. Raises PolicyInvalid.

    `held` is the version in use: an older one of the same authority is refused, for it may be a replay.
    """
    try:
        claims = parse_claims(verify_jws(token, jwks={"keys": [dict(root)]}, algorithms=("EdDSA", "ES256"), typ=TYP))
    except InvalidToken as broken:
        raise PolicyInvalid(str(broken)) from None
    policy = from_claims(claims)
    if claims.get("iat", 0) > at.timestamp():
        raise PolicyInvalid("made in the future")
    if held is not None and held.authority == policy.authority and policy.version < held.version:
        raise PolicyInvalid("older than the one in use")
    return policy


def from_json(text: bytes) -> Policy:
    """A policy that its reader vouches for himself: a file on the officer's own desk. Raises PolicyInvalid."""
    try:
        return from_claims(parse_json(text))
    except InvalidToken as broken:
        raise PolicyInvalid(str(broken)) from None


def from_claims(claims: Mapping[str, Any]) -> Policy:
    """Raises PolicyInvalid: a member nobody knows might be the one that matters."""
    if unknown := claims.keys() - _MEMBERS:
        raise PolicyInvalid(f"{min(unknown)}: unknown")
    status = _whole(claims, "status_seconds", 0, int(MAX_STATUS_AGE.total_seconds()))
    days = _whole(claims, "longest_days", 0, 36_600)
    return Policy(
        authority=_text(claims, "authority"),
        version=_whole(claims, "version", 1, 2**31) or 0,
        name=_text(claims, "name"),
        name_en=_text(claims, "name_en"),
        entities=frozenset(_texts(claims, "entities")),
        together=tuple(_acts(each) for each in _array(claims, "together")),
        sub_agents=2 if (steps := _whole(claims, "sub_agents", 0, 2)) is None else steps,
        longest=None if days is None else timedelta(days=days),
        limit_needed=_flag(claims, "limit_needed"),
        status_age=MAX_STATUS_AGE if status is None else timedelta(seconds=status),
        logs=_texts(claims, "logs"),
        roots=tuple(_der(each) for each in _texts(claims, "roots", longest=16_384)),
        status_keys=tuple(_key(each) for each in _array(claims, "status_keys")),
    )


def _text(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not 1 <= len(value) <= 200:
        raise PolicyInvalid(f"{name}: a text")
    return value


def _array(claims: Mapping[str, Any], name: str) -> list[Any]:
    value = claims.get(name, [])
    if not isinstance(value, list) or len(value) > 256:
        raise PolicyInvalid(f"{name}: an array")
    return value


def _texts(claims: Mapping[str, Any], name: str, longest: int = 1000) -> tuple[str, ...]:
    values = _array(claims, name)
    if not all(isinstance(each, str) and 1 <= len(each) <= longest for each in values):
        raise PolicyInvalid(f"{name}: an array of texts")
    return tuple(values)


def _whole(claims: Mapping[str, Any], name: str, least: int, most: int) -> int | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise PolicyInvalid(f"{name}: a whole number from {least} to {most}")
    return value


def _flag(claims: Mapping[str, Any], name: str) -> bool:
    value = claims.get(name, False)
    if not isinstance(value, bool):
        raise PolicyInvalid(f"{name}: true or false")
    return value


def _acts(value: Any) -> frozenset[Act]:
    try:
        acts = frozenset(Act(each) for each in value)
    except (TypeError, ValueError):
        raise PolicyInvalid("together: arrays of acts") from None
    if len(acts) < 2 or not acts <= PROCUREMENT:
        raise PolicyInvalid("together: arrays of two acts or more")
    return acts


def _der(text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except NotBase64:
        raise PolicyInvalid("roots: base64 of DER") from None


def _key(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict) or "d" in value:
        raise PolicyInvalid("status_keys: public keys")
    return value
