"""How the authorization response travels: response modes (OAuth 2.0 Multiple Response Types, form_post), and JARM."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import urlencode

from broker.errors import InvalidRequest
from broker.ids import ClientID

JARM_LIFETIME: Final = timedelta(minutes=5)
"""FAPI 2.0 Message Signing §5.4: ten minutes at most."""


class ResponseMode(StrEnum):
    """What is served; `fragment` is not, because only the code flow is."""

    QUERY = "query"
    FORM_POST = "form_post"
    QUERY_JWT = "query.jwt"
    FORM_POST_JWT = "form_post.jwt"

    @property
    def signed(self) -> bool:
        """Whether the answer goes inside a JWT (JARM §2.3)."""
        return self in {ResponseMode.QUERY_JWT, ResponseMode.FORM_POST_JWT}

    @property
    def posted(self) -> bool:
        """Whether the browser brings it in a form (OAuth 2.0 Form Post Response Mode §2)."""
        return self in {ResponseMode.FORM_POST, ResponseMode.FORM_POST_JWT}


_BY_WORD: Final = {**{mode.value: mode for mode in ResponseMode}, "jwt": ResponseMode.QUERY_JWT}
SUPPORTED: Final = tuple(_BY_WORD)
"""Members of `response_modes_supported`."""
_MODES: Final = {  # worked out once: every request asks
    (private, signed_only): frozenset(
        mode for mode in ResponseMode if not (private and mode.posted) and (mode.signed or not signed_only)
    )
    for private in (False, True)
    for signed_only in (False, True)
}


def modes_of(*, private_use_address: bool, signed_only: bool) -> frozenset[ResponseMode]:
    """The modes that a client may use.

    `private_use_address`: it is reached by a URI scheme of its own (RFC 8252 §7.1), to which no form can be posted.
    `signed_only`: it is registered to get signed answers alone (FAPI 2.0 Message Signing §5.4).
    """
    return _MODES[private_use_address, signed_only]


def choose(asked: str | None, allowed: Collection[ResponseMode] = frozenset(ResponseMode)) -> ResponseMode:
    """The mode that response_mode `asked` for; of the code flow the default is `query`, `jwt` means `query.jwt`.

    Raises InvalidRequest for an unknown mode and for one that this client may not use.
    """
    mode = ResponseMode.QUERY if asked is None else _BY_WORD.get(asked)
    if mode is None:
        raise InvalidRequest("response_mode is not served")
    if mode not in allowed:
        raise InvalidRequest("response_mode is not one of this client's")
    return mode


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """An answer ready to go: where, how, and the values that travel."""

    mode: ResponseMode
    redirect_uri: str
    parameters: Mapping[str, str] = field(repr=False)

    @property
    def location(self) -> str:
        """The address to redirect to; for a posted answer, the form's own address."""
        if self.mode.posted:
            return self.redirect_uri
        return f"{self.redirect_uri}{'&' if '?' in self.redirect_uri else '?'}{urlencode(self.parameters)}"


def success(*, code: str, state: str | None) -> dict[str, str]:
    """The values of a response that brings a code (RFC 6749 §4.1.2)."""
    return _present(code=code, state=state)


def refusal(*, error: str, description: str, state: str | None) -> dict[str, str]:
    """The values of a response that brings an error (RFC 6749 §4.1.2.1)."""
    return _present(error=error, error_description=description, state=state)


def plain(mode: ResponseMode, redirect_uri: str, values: Mapping[str, str], *, issuer: str) -> Response:
    """`values` as they are, with `iss` (RFC 9207 §2)."""
    if mode.signed:
        raise ValueError(f"{mode} carries a JWT")
    return Response(mode=mode, redirect_uri=redirect_uri, parameters=MappingProxyType({**values, "iss": issuer}))


def jarm_claims(values: Mapping[str, str], *, issuer: str, client_id: ClientID, now: datetime) -> dict[str, Any]:
    """The claims to sign, and then perhaps to encrypt (JARM §2.1); `iss` stands here and nowhere else (RFC 9207 §2)."""
    return {**values, "iss": issuer, "aud": client_id, "exp": int((now + JARM_LIFETIME).timestamp())}


def signed(mode: ResponseMode, redirect_uri: str, jwt: str) -> Response:
    """The one value `response`, a JWT over `jarm_claims` (JARM §2.3)."""
    if not mode.signed:
        raise ValueError(f"{mode} carries no JWT")
    return Response(mode=mode, redirect_uri=redirect_uri, parameters=MappingProxyType({"response": jwt}))


def _present(**values: str | None) -> dict[str, str]:
    return {name: value for name, value in values.items() if value is not None}
