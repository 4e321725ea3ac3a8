"""Token exchange (RFC 8693): what a request for it says, judged before anybody decides whether it may be."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from broker.errors import InvalidRequest

ACCESS_TOKEN: Final = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 -- the name of a type
DECISION: Final = "urn:jpki-broker:token-type:decision"
"""The id of an answer about a mandate: it stands for the principal, for whom the actor token's person acts."""
TYPES: Final = frozenset(
    {
        ACCESS_TOKEN,
        DECISION,
        "urn:ietf:params:oauth:token-type:refresh_token",
        "urn:ietf:params:oauth:token-type:id_token",
        "urn:ietf:params:oauth:token-type:jwt",
    }
)
"""RFC 8693 §3, without SAML, and our own."""
_AUDIENCE: Final = re.compile(r"[\x21-\x7e]{1,512}( [\x21-\x7e]{1,512}){0,7}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeRequest:
    """RFC 8693 §2.1, well formed; the tokens in it have not been looked at."""

    subject_token: str = field(repr=False)
    subject_token_type: str
    actor_token: str | None = field(default=None, repr=False)
    actor_token_type: str | None = None
    requested_token_type: str = ACCESS_TOKEN
    audience: tuple[str, ...] = ()


def parse(parameters: Mapping[str, str]) -> ExchangeRequest:
    """The request that a form's `parameters` make. Raises InvalidRequest."""
    subject, kind = parameters.get("subject_token"), parameters.get("subject_token_type")
    actor, actor_kind = parameters.get("actor_token"), parameters.get("actor_token_type")
    wanted = parameters.get("requested_token_type", ACCESS_TOKEN)
    audience = parameters.get("audience", "")
    if subject is None or kind is None:
        raise InvalidRequest("subject_token and subject_token_type are required")
    if (actor is None) != (actor_kind is None):
        raise InvalidRequest("actor_token and actor_token_type stand together")
    if kind not in TYPES or actor_kind not in {None, *TYPES}:
        raise InvalidRequest("a token of a type that is not served")
    if wanted != ACCESS_TOKEN:
        raise InvalidRequest("only access tokens come of an exchange")
    if audience and not _AUDIENCE.fullmatch(audience):
        raise InvalidRequest("audience: at most eight names")
    return ExchangeRequest(
        subject_token=subject,
        subject_token_type=kind,
        actor_token=actor,
        actor_token_type=actor_kind,
        requested_token_type=wanted,
        audience=tuple(audience.split()),
    )
