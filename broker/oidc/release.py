"""What an authorization request would release about a person, item by item, and the part of it they agree to.

An item needs the 署名用 key, is shown before the card, and stands in what the card signs (design 4.11). What a client
calls essential cannot be left out: the way out is to give nothing at all. Everything else can (OIDC Core §5.5.1).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from broker.oidc.authorization import PROFILE, AuthorizationRequest
from broker.oidc.claims_request import CLAIMS_OF_SCOPE, IDENTITY, ClaimsRequest, Place, from_json
from broker.oidc.constraint import Constraint


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One thing to be released."""

    name: str
    """Of claims_request.IDENTITY."""
    essential: bool
    """The client's word: it cannot be left out of the rest."""
    purposes: tuple[str, ...] = ()
    """What the client wants it for, in this request's words; shown escaped."""


def items(request: AuthorizationRequest) -> tuple[Item, ...]:
    """What would be released, in the order that people are shown; none for a login that only tells a pseudonym."""
    asked = from_json(request.claims)
    wanted = _claims(request.scope)
    found = []
    for name in IDENTITY:
        if name in wanted:
            said = _said(asked, name)
            purposes = tuple(dict.fromkeys(each.purpose for each in said if each.purpose is not None))
            found.append(Item(name=name, essential=any(each.essential for each in said), purposes=purposes))
    return tuple(found)


def narrowed(request: AuthorizationRequest, release: Collection[str]) -> AuthorizationRequest:
    """The request as if only `release` of its items had been asked for."""
    told = _claims(request.scope) & set(IDENTITY) & set(release)
    rest = request.scope - {PROFILE, *IDENTITY}
    if PROFILE in request.scope and told >= CLAIMS_OF_SCOPE[PROFILE]:
        rest |= {PROFILE}
    return replace(request, scope=rest | told)


def _claims(scope: Collection[str]) -> frozenset[str]:
    return frozenset().union(*(CLAIMS_OF_SCOPE.get(name, frozenset()) for name in scope))


def _said(asked: ClaimsRequest, name: str) -> list[Constraint]:
    said = [asked.claims(place)[name] for place in Place if name in asked.claims(place)]
    elements = [element for place in Place for element in asked.verified(place)]
    return said + [element.claims[name] for element in elements if name in element.claims]
