"""The `claims` parameter (OIDC Core §5.5): which claims a client wants, where, and with which values."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from broker.errors import InvalidRequest, InvalidToken, LoginRequired, UnmetAuthenticationRequirements
from broker.jose import compact_json, parse_json
from broker.oidc import constraint, linked_id, verified_claims
from broker.oidc.constraint import Constraint
from broker.oidc.verified_claims import VerifiedClaimsRequest

MAX_LENGTH: Final = 8 * 1024
"""Octets."""
MAX_CLAIMS: Final = 64
"""Asked for in one place."""

AGE_OVER: Final[Mapping[str, int]] = MappingProxyType({f"age_over_{years}": years for years in (15, 18, 20, 65)})
"""Claims that say whether somebody has reached an age, without the birth date; each is a scope of its own name."""
IDENTITY: Final = ("name", "address", "birthdate", "gender", *AGE_OVER)
"""What is told of a person alone on a 署名用 proof, in the order that people are shown: scopes and claims in one."""
SUBSTITUTED: Final = "jpki_substituted"
"""Which characters of the name and address are stand-ins for ones that the authority cannot write (代替文字): positions
from 0, counted as on the card. Absent where there are none; in userinfo it goes with the values it is about."""
ATTRIBUTES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "language": "locale",  # OIDC Core §5.1
        "called": "nickname",  # OIDC Core §5.1
        "communication": "urn:jpki-broker:claim:communication",
        "dietary_needs": "urn:jpki-broker:claim:dietary_needs",
        "emergency_contact": "urn:jpki-broker:claim:emergency_contact",
    }
)
"""What residents register themselves (accounts.attribute), by the scope that asks for it; told in userinfo alone."""
ATTRIBUTE_SCOPES: Final = frozenset(ATTRIBUTES)
LINKED: Final = frozenset({linked_id.SCOPE, linked_id.UNIQUE_PERSON})
"""What a client is told of its link: in the ID token too, because by it the client knows its customer."""

CLAIMS_OF_SCOPE: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "openid": frozenset({"sub"}),
        "name": frozenset({"name"}),
        "address": frozenset({"address"}),
        "birthdate": frozenset({"birthdate"}),
        "gender": frozenset({"gender"}),
        "profile": frozenset({"name", "birthdate", "gender"}),  # OIDC Core §5.4, of which the card says these three
        **{name: frozenset({name}) for name in AGE_OVER},
        **{scope: frozenset({claim}) for scope, claim in ATTRIBUTES.items()},
        linked_id.SCOPE: LINKED,
    }
)
"""What a scope stands for (design 4.11)."""

SERVED: Final = frozenset({"acr", "amr", "auth_time", SUBSTITUTED}).union(*CLAIMS_OF_SCOPE.values())
"""Every claim that can be asked for by name; others are passed over (OIDC Core §5.5)."""

_SUBJECT: Final = range(1, 256)  # characters, OIDC Core §2


class Place(StrEnum):
    """Where a claim is to stand."""

    USERINFO = "userinfo"
    ID_TOKEN = "id_token"  # noqa: S105 -- the name of a member


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimsRequest:
    """What was asked for by name; only claims that we serve."""

    userinfo: Mapping[str, Constraint] = field(default_factory=dict)
    id_token: Mapping[str, Constraint] = field(default_factory=dict)
    userinfo_verified: tuple[VerifiedClaimsRequest, ...] = ()
    id_token_verified: tuple[VerifiedClaimsRequest, ...] = ()

    def __post_init__(self) -> None:
        for name in ("userinfo", "id_token"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    def claims(self, place: Place) -> Mapping[str, Constraint]:
        """The claims asked for in `place`."""
        return self.userinfo if place is Place.USERINFO else self.id_token

    def verified(self, place: Place) -> tuple[VerifiedClaimsRequest, ...]:
        """The elements of `verified_claims` in `place`; what is asked for there is answered nowhere else."""
        return self.userinfo_verified if place is Place.USERINFO else self.id_token_verified


NOTHING: Final = ClaimsRequest()


def parse(text: str) -> ClaimsRequest:
    """The request that the parameter's `text` makes. Raises InvalidRequest for every malformed shape, served or not."""
    request = _read(text, served=SERVED)
    if len(to_json(request).encode()) > MAX_LENGTH:  # numbers can be longer in full than they were written
        raise InvalidRequest(f"claims: at most {MAX_LENGTH} octets")
    return request


def _read(text: str, *, served: Collection[str] | None) -> ClaimsRequest:
    data = text.encode("utf-8", "surrogatepass")
    if len(data) > MAX_LENGTH:
        raise InvalidRequest(f"claims: at most {MAX_LENGTH} octets")
    try:
        given = parse_json(data)
    except InvalidToken as broken:
        raise InvalidRequest(f"claims: {broken}") from None
    parts: dict[str, Any] = {}
    for place in Place:
        if place not in given:
            continue
        members = given[place]
        if not isinstance(members, dict) or len(members) > MAX_CLAIMS:
            raise InvalidRequest(f"claims: {place} is an object of at most {MAX_CLAIMS} members")
        if "verified_claims" in members:
            parts[f"{place}_verified"] = verified_claims.read(members["verified_claims"])
        asked = {
            name: constraint.read(f"claims: {place}.{name[:64]}", value)
            for name, value in members.items()
            if name != "verified_claims"
        }
        parts[place] = {name: said for name, said in asked.items() if served is None or name in served}
        _check_special(parts[place])
    return ClaimsRequest(**parts)


def _check_special(asked: Mapping[str, Constraint]) -> None:
    """`sub` and `acr` decide who may log in and how, so a value of theirs that nobody could have is a mistake."""
    for name in ("sub", "acr"):
        for value in texts(asked.get(name, constraint.ANYTHING)):
            if not isinstance(value, str) or len(value) not in _SUBJECT:
                raise InvalidRequest(f"claims: a value of {name} is a text of at most 255 characters")


def texts(said: Constraint) -> tuple[Any, ...]:
    """The values that `said` names, as they were before they became JSON."""
    told = constraint.tell(said) or {}
    return tuple(told.get("values", [told["value"]] if "value" in told else []))


def to_json(request: ClaimsRequest) -> str:
    """For storage; empty for a request that asks for nothing."""
    if request is NOTHING:
        return ""
    told: dict[str, Any] = {}
    for place in Place:
        members: dict[str, Any] = {name: constraint.tell(said) for name, said in request.claims(place).items()}
        if request.verified(place):
            members["verified_claims"] = verified_claims.tell(request.verified(place))
        if members:
            told[place] = members
    return compact_json(told).decode() if told else ""


def from_json(text: str) -> ClaimsRequest:
    """What `to_json` wrote, whatever is served by now."""
    return _read(text, served=None) if text else NOTHING


def scope_of(request: ClaimsRequest, scope: frozenset[str]) -> frozenset[str]:
    """`scope` and every scope that the claims asked for by name would need.

    A client must be registered for, and the resident agree to, all of it: naming a claim opens no side door.
    """
    if request is NOTHING:
        return scope
    named = {name for place in Place for name in request.claims(place)}
    for place in Place:
        for element in request.verified(place):
            named |= element.claims.keys() & set(verified_claims.CLAIMS)  # nothing else is ever told as verified
    alone = (name for name in CLAIMS_OF_SCOPE if name not in {"openid", "profile"})
    return scope | {name for name in alone if CLAIMS_OF_SCOPE[name] & named}


def wanted(request: ClaimsRequest, scope: frozenset[str], place: Place) -> frozenset[str]:
    """The names of the claims to put in `place`, of `scope` (the granted one) and of the request.

    A scope's claims stand in userinfo (OIDC Core §5.4: an access token is issued); the ID token has what was asked
    for there, and the number of a link. Only what `scope` allows is named; `sub`, `acr`, `amr` and `auth_time` need no
    more than `openid`.
    """
    allowed = frozenset[str]().union(*(CLAIMS_OF_SCOPE.get(name, frozenset()) for name in scope))
    own = SERVED - frozenset().union(*CLAIMS_OF_SCOPE.values()) if "openid" in scope else frozenset()
    named = frozenset(request.claims(place)) & (allowed | own)
    return named | (allowed if place is Place.USERINFO else allowed & {"sub", *LINKED})


def select(request: ClaimsRequest, place: Place, values: Mapping[str, Any], *, now: datetime) -> dict[str, Any]:
    """Those of `values` that satisfy what the request said about them in `place`; the others are absent, never null."""
    asked = request.claims(place)
    return {
        name: value
        for name, value in values.items()
        if value is not None and asked.get(name, constraint.ANYTHING).admits(value, now=now)
    }


# --- who may answer, and how strongly --------------------------------------------------------------------------------


def required_subjects(request: ClaimsRequest) -> frozenset[str] | None:
    """The pseudonyms of which one must log in (OIDC Core §5.5.1); None: anybody. Both places must be satisfied."""
    asked = [texts(claims["sub"]) for claims in (request.userinfo, request.id_token) if "sub" in claims]
    sets = [frozenset(values) for values in asked if values]
    return frozenset.intersection(*sets) if sets else None


def check_subject(request: ClaimsRequest, subject: str) -> None:
    """Refuse anybody but the one asked for: no token for somebody else (OIDC Core §3.1.2.2). Raises LoginRequired."""
    required = required_subjects(request)
    if required is not None and subject not in required:
        raise LoginRequired("another person than the one asked for")


def preferred_acr(request: ClaimsRequest) -> tuple[str, ...]:
    """The `acr` values asked for, the most wanted first; like `acr_values` where they are not essential."""
    return texts(request.id_token.get("acr", constraint.ANYTHING))


def required_acr(request: ClaimsRequest) -> frozenset[str] | None:
    """The `acr` values of which one must be reached; None where none is essential (OIDC Core §5.5.1.1)."""
    said = request.id_token.get("acr", constraint.ANYTHING)
    return frozenset(texts(said)) if said.essential and said.values is not None else None


def check_acr(request: ClaimsRequest, reached: Collection[str | None]) -> None:
    """Refuse where none of the `acr` values `reached` is one that is essential. Raises UnmetAuthenticationRequirements.

    Before the card: what a login could reach at best; after it: what this one did (design 4.10: a session has none).
    """
    required = required_acr(request)
    if required is not None and required.isdisjoint(reached):
        raise UnmetAuthenticationRequirements("no essential acr can be reached")
