"""How a client proves who it is (RFC 6749 §2.3, OIDC Core §9, RFC 7523 §3, RFC 8705 §2): everything but its keys.

`present` tells which one way a request uses, `check_method` that it is the registered one; then a secret is compared
here, a certificate judged by `broker.oidc.mtls`, and an assertion's signature checked by `broker.jose` with the
algorithms of `assertion_rules`, its claims by `check_assertion`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeAlias
from urllib.parse import unquote_to_bytes

from broker.errors import InvalidClient
from broker.ids import ClientID

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ALGORITHMS = ("ES256", "PS256", "EdDSA", "RS256")
"""What the `oidc` profile accepts; RS256 because OIDC Core §15.1 makes it the common one."""
FAPI2_ALGORITHMS = ("ES256", "PS256", "EdDSA")
"""What the `fapi2` profile accepts (FAPI 2.0 §5.4)."""
MAX_LIFETIME = timedelta(minutes=60)
SKEW = timedelta(seconds=10)
"""FAPI 2.0 §5.3.2.1: up to 10 s ahead is a clock, more is a mistake."""
MAX_CREDENTIALS: Final = 2048
"""Characters of an Authorization field."""
MAX_SECRET: Final = 256

_BASIC: Final = re.compile(r"basic +([A-Za-z0-9+/]+={0,2})", re.ASCII | re.IGNORECASE)
_FORM_ENCODED: Final = re.compile(r"(?:[\x20-\x24\x26-\x7e]|%[0-9A-Fa-f]{2})*")
_CLIENT_ID: Final = re.compile(r"[A-Za-z0-9._~-]{1,64}", re.ASCII)
_SECRET: Final = re.compile(r"[\x20-\x7e]+")  # RFC 6749 appendix A.2


# --- which way ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class AssertionPresented:
    """`private_key_jwt`: a signed assertion; whose it is stands in it. `client_id` is the form's, if it had one."""

    client_id: ClientID | None
    assertion: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretPresented:
    """`client_secret_basic` or `client_secret_post`, as `method` says; `digest` is SHA-256 of the secret."""

    client_id: ClientID
    method: str
    digest: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificatePresented:
    """A client_id over a connection with a client certificate (DER): `tls_client_auth`,
    `self_signed_tls_client_auth`, or a public client that only binds its tokens (RFC 8705 §4)."""

    client_id: ClientID
    certificate: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class NonePresented:
    """A client_id and nothing that proves it: good for public clients alone."""

    client_id: ClientID


Presented: TypeAlias = AssertionPresented | SecretPresented | CertificatePresented | NonePresented


def present(parameters: Mapping[str, str], authorization_header: str | None, certificate: bytes | None) -> Presented:
    """The one way in which a request authenticates its client; two at once are refused (RFC 6749 §2.3).

    `parameters` are the form's, each name once. A certificate beside an assertion or a secret is no second way: it
    may bind the token (RFC 8705 §3). Nothing is believed yet. Raises InvalidClient.
    """
    form_id = _client_id(parameters["client_id"]) if "client_id" in parameters else None
    asserted = "client_assertion" in parameters or "client_assertion_type" in parameters
    secret = parameters.get("client_secret")
    if (authorization_header is not None) + asserted + (secret is not None) > 1:
        raise InvalidClient("two ways to authenticate in one request")
    if authorization_header is not None:
        client_id, secret = _basic(authorization_header)
        if form_id is not None and form_id != client_id:
            raise InvalidClient("client_id is not the one that authenticates")
        return SecretPresented(client_id=client_id, method="client_secret_basic", digest=_digest(secret))
    if asserted:
        if parameters.get("client_assertion_type") != ASSERTION_TYPE or "client_assertion" not in parameters:
            raise InvalidClient("client assertions are JWTs (RFC 7523) and come with their type")
        return AssertionPresented(client_id=form_id, assertion=parameters["client_assertion"])
    if form_id is None:
        raise InvalidClient("no client authenticates")
    if secret is not None:
        return SecretPresented(client_id=form_id, method="client_secret_post", digest=_digest(secret))
    if certificate is not None:
        return CertificatePresented(client_id=form_id, certificate=certificate)
    return NonePresented(client_id=form_id)


def check_method(presented: Presented, registered: str) -> None:
    """Refuse any way but the client's `token_endpoint_auth_method` (RFC 7591 §2). Raises InvalidClient."""
    match presented:
        case AssertionPresented():
            fits = registered == "private_key_jwt"
        case SecretPresented():
            fits = registered == presented.method
        case CertificatePresented():
            fits = registered in {"tls_client_auth", "self_signed_tls_client_auth", "none"}
        case NonePresented():
            fits = registered == "none"
    if not fits:
        raise InvalidClient("not the way in which this client is registered to authenticate")


def check_secret(presented: SecretPresented, registered: Collection[bytes]) -> None:
    """Compare with each registered SHA-256 in constant time. Raises InvalidClient.

    For an unknown client call it with no digest: it takes as long to refuse.
    """
    held = [hmac.compare_digest(presented.digest, digest) for digest in registered or (bytes(32),)]
    if not registered or not any(held):
        raise InvalidClient("wrong client secret")


def _basic(header: str) -> tuple[ClientID, str]:
    """Client and secret of `Authorization: Basic` (RFC 7617 §2), each form-encoded (RFC 6749 §2.3.1)."""
    if len(header) > MAX_CREDENTIALS:
        raise InvalidClient("Authorization is too long")
    credentials = _BASIC.fullmatch(header)
    if credentials is None:
        raise InvalidClient("Authorization is not Basic credentials")
    try:
        data = base64.b64decode(credentials[1], validate=True)
        if base64.b64encode(data).decode("ascii") != credentials[1]:
            raise InvalidClient("Basic credentials are not canonical base64")
        name, colon, secret = data.decode("utf-8").partition(":")
    except (binascii.Error, UnicodeDecodeError):
        raise InvalidClient("Basic credentials are not base64 of UTF-8") from None
    if not colon:
        raise InvalidClient("Basic credentials without a colon")
    return _client_id(_form_decoded(name)), _form_decoded(secret)


def _form_decoded(text: str) -> str:
    if not _FORM_ENCODED.fullmatch(text):
        raise InvalidClient("Basic credentials are not form-encoded")
    try:
        return unquote_to_bytes(text.replace("+", " ")).decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidClient("Basic credentials are not UTF-8") from None


def _client_id(text: str) -> ClientID:
    if not _CLIENT_ID.fullmatch(text):
        raise InvalidClient("client_id is malformed")
    return ClientID(text)


def _digest(secret: str) -> bytes:
    if len(secret) > MAX_SECRET or not _SECRET.fullmatch(secret):
        raise InvalidClient("client secret is malformed")
    return hashlib.sha256(secret.encode("ascii")).digest()


# --- private_key_jwt ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class AssertionRules:
    """What a security profile asks of an assertion: hand the parts on to `verify_jws` and `check_assertion`."""

    algorithms: tuple[str, ...]
    audiences: frozenset[str]
    audience_array: bool
    """Whether `aud` may be an array of one."""


def assertion_rules(profile: str, *, issuer: str, endpoint: str) -> AssertionRules:
    """The rules of `fapi2` or `oidc` for an assertion sent to `endpoint` (its full address).

    FAPI 2.0 §5.3.2.1: the issuer, as a string, and nothing else. OIDC Core §9 names the token endpoint, and other
    specifications the endpoint called. Raises ValueError for another profile.
    """
    if profile == "fapi2":
        return AssertionRules(algorithms=FAPI2_ALGORITHMS, audiences=frozenset({issuer}), audience_array=False)
    if profile == "oidc":
        named = frozenset({issuer, f"{issuer}/token", endpoint})
        return AssertionRules(algorithms=ALGORITHMS, audiences=named, audience_array=True)
    raise ValueError("no such security profile")


@dataclass(frozen=True, slots=True, kw_only=True)
class Assertion:
    """A judged assertion; `jti` may be used once until `expires_at`."""

    client_id: ClientID
    jti: str
    expires_at: datetime


def claimed_client(claims: Mapping[str, Any], form_client_id: str | None) -> ClientID:
    """Whose keys to try: `sub` of the still unverified assertion. Raises InvalidClient."""
    subject = claims.get("sub")
    if not isinstance(subject, str) or not subject or len(subject) > 64:
        raise InvalidClient("assertion without sub")
    if form_client_id is not None and form_client_id != subject:
        raise InvalidClient("client_id is not the assertion's")
    return ClientID(subject)


def check_assertion(
    claims: Mapping[str, Any],
    client_id: ClientID,
    *,
    audiences: frozenset[str],
    now: datetime,
    audience_array: bool = True,
) -> Assertion:
    """Judge verified claims (RFC 7523 §3). Raises InvalidClient.

    `audiences` are the words the client's profile allows for us, `audience_array` whether one of them may stand in an
    array: both as `assertion_rules` says.
    """
    if claims.get("iss") != client_id or claims.get("sub") != client_id:
        raise InvalidClient("iss and sub must both be the client")
    audience = claims.get("aud")
    named = [audience] if isinstance(audience, str) else audience if audience_array else None
    if not isinstance(named, list) or len(named) != 1 or not isinstance(named[0], str) or named[0] not in audiences:
        raise InvalidClient("aud must name this server alone")
    expires = _date(claims, "exp")
    if expires is None or now >= expires:
        raise InvalidClient("expired")
    if expires - now > MAX_LIFETIME + SKEW:
        raise InvalidClient("lives longer than an hour")
    for name in ("iat", "nbf"):
        date = _date(claims, name)
        if date is not None and date > now + SKEW:
            raise InvalidClient(f"{name} lies in the future")
    jti = claims.get("jti")
    if not isinstance(jti, str) or not 1 <= len(jti) <= 256:
        raise InvalidClient("jti is required")
    return Assertion(client_id=client_id, jti=jti, expires_at=expires)


def _date(claims: Mapping[str, Any], name: str) -> datetime | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidClient(f"{name} is not a NumericDate")
    try:
        return datetime.fromtimestamp(value, tz=UTC)
    except (ValueError, OverflowError, OSError) as beyond:
        raise InvalidClient(f"{name} is beyond the calendar") from beyond
