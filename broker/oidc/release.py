"""What an authorization request would release about a person, item by item, and the part of it they agree to.

An item needs the 署名用 key, is shown before the card, and stands in what the card signs (design 4.11). What a client
calls essential cannot be left out: the way out is to give nothing at all. Everything else can (OIDC Core §5.5.1).

What needs no 署名用 proof (BY_LOGIN) stands in what the card signs as well. The consent page after the card can only
make it less, so that page needs no card of its own (R2).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Final

from broker.oidc.authorization import OFFLINE_ACCESS, PROFILE, AuthorizationRequest
from broker.oidc.claims_request import ATTRIBUTES, CLAIMS_OF_SCOPE, IDENTITY, ClaimsRequest, Place, from_json
from broker.oidc.constraint import Constraint

BY_LOGIN: Final = (*ATTRIBUTES, OFFLINE_ACCESS)
"""Scopes that widen what a login gives and need the auth key's signature alone, in the order that people are shown."""


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


def by_login(request: AuthorizationRequest) -> tuple[str, ...]:
    """What of BY_LOGIN the request asks for: all of it is shown before the card."""
    return tuple(name for name in BY_LOGIN if name in request.scope)


def narrowed(request: AuthorizationRequest, release: Collection[str]) -> AuthorizationRequest:
    """The request as if only `release` had been asked for, of its items and of BY_LOGIN."""
    told = _claims(request.scope) & set(IDENTITY) & set(release)
    rest = request.scope - {PROFILE, *IDENTITY} - (set(BY_LOGIN) - set(release))
    if PROFILE in request.scope and told >= CLAIMS_OF_SCOPE[PROFILE]:
        rest |= {PROFILE}
    return replace(request, scope=rest | told)


def _claims(scope: Collection[str]) -> frozenset[str]:
    return frozenset().union(*(CLAIMS_OF_SCOPE.get(name, frozenset()) for name in scope))


def _said(asked: ClaimsRequest, name: str) -> list[Constraint]:
    said = [asked.claims(place)[name] for place in Place if name in asked.claims(place)]
    elements = [element for place in Place for element in asked.verified(place)]
    return said + [element.claims[name] for element in elements if name in element.claims]
