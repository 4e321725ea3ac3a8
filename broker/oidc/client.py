"""A relying party (RP) as the broker knows it: RFC 6749 §2, RFC 7591 §2, OIDC Registration §2."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

from broker.errors import InvalidClientMetadata, InvalidRedirectURI
from broker.ids import ClientID, SectorID
from broker.oidc.data_use import DataUse
from broker.oidc.linked_id import SCOPE, IDPattern

MAX_REDIRECT_URIS = 16
MAX_URI_LENGTH = 512
_CLIENT_ID = re.compile(r"[A-Za-z0-9._~-]{1,64}")
_LOOPBACK = re.compile(r"127(\.(0|[1-9][0-9]{0,2})){3}")  # a literal: 127.example.com is a name like any other
PLAIN_HOST = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]+")  # a name, or an address of IPv6 without its brackets
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_PRIVATE_USE_SCHEME = re.compile(r"[a-z][a-z0-9+-]*(\.[a-z0-9+-]+)+")  # RFC 8252 §7.1: a reversed domain name


class SecurityProfile(StrEnum):
    """How strictly a client is held (design 4.8); fixed by the operator or the initial access token."""

    FAPI2 = "fapi2"
    """FAPI 2.0 Security Profile: PAR, sender-constrained tokens, no RS256, assertions for the issuer alone."""
    OIDC = "oidc"
    """OpenID Connect Core for standard web RPs."""


class AuthMethod(StrEnum):
    """`token_endpoint_auth_method` (OIDC Core §9, RFC 8705 §2, RFC 7591 §2)."""

    PRIVATE_KEY_JWT = "private_key_jwt"
    TLS_CLIENT_AUTH = "tls_client_auth"
    SELF_SIGNED_TLS_CLIENT_AUTH = "self_signed_tls_client_auth"
    CLIENT_SECRET_BASIC = "client_secret_basic"  # noqa: S105 -- the name of a method
    CLIENT_SECRET_POST = "client_secret_post"  # noqa: S105 -- the name of a method
    NONE = "none"


class GrantType(StrEnum):
    """What a client may come to the token endpoint with."""

    AUTHORIZATION_CODE = "authorization_code"
    REFRESH_TOKEN = "refresh_token"  # noqa: S105 -- the name of a grant
    CLIENT_CREDENTIALS = "client_credentials"
    DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
    CIBA = "urn:openid:params:grant-type:ciba"
    TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"  # noqa: S105 -- the name of a grant


class Right(StrEnum):
    """What an operator grants to a vetted client by name; nobody registers it for itself (design 4.12)."""

    SIGNATURE_VERIFIER = "signature_verifier"
    """Recorded as 署名検証者: residents' certificates may leave to it."""
    RAW_SIGNING = "raw_signing"
    """A digest of its own may go to a resident's card as it is, without CMS attributes around it."""
    IDENTITY_PROOFING = "identity_proofing"
    """It may ask who a resident is: name, address, birth date, sex, an age (design 4.8, 4.11)."""
    JP_AML = "jp_aml"
    """It identifies customers under 犯収法, so that what is proved to it may be called so (`verified_claims`)."""
    FAMILY_MANDATES = "family_mandates"
    """People may act for a child or a parent at it, and it confirms what shows a guardianship."""
    HEALTHCARE = "healthcare"
    """It may ask for healthcare licences by HPKI card, and join a patient's login with a doctor's (design 4.14)."""
    DIRECT_SIGNING = "direct_signing"
    """Its requests to sign need not be pushed (RFC 9126): its software was written for an interface without that."""
    MANDATE_QUESTIONS = "mandate_questions"
    """It may ask whether somebody may act for another (oidc.mandate_question)."""


SECRET_METHODS = frozenset({AuthMethod.CLIENT_SECRET_BASIC, AuthMethod.CLIENT_SECRET_POST})
KEY_METHODS = frozenset({AuthMethod.PRIVATE_KEY_JWT, AuthMethod.SELF_SIGNED_TLS_CLIENT_AUTH})
TLS_METHODS = frozenset({AuthMethod.TLS_CLIENT_AUTH, AuthMethod.SELF_SIGNED_TLS_CLIENT_AUTH})
REDIRECT_GRANTS = frozenset({GrantType.AUTHORIZATION_CODE})
TLS_SUBJECT_MEMBERS = (
    "tls_client_auth_subject_dn",
    "tls_client_auth_san_dns",
    "tls_client_auth_san_uri",
    "tls_client_auth_san_ip",
    "tls_client_auth_san_email",
)
"""RFC 8705 §2.1.2: exactly one names the certificate of a tls_client_auth client."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Encryption:
    """How an answer is encrypted to a client (`*_encrypted_response_alg` and `…_enc`)."""

    alg: str
    enc: str = "A128CBC-HS256"  # OIDC Registration §2: the default where only alg is given


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """One registered client, named as RFC 7591 §2 names its members. `broker.oidc.registration` makes them of metadata.

    Raises InvalidClientMetadata or InvalidRedirectURI where its parts contradict each other.
    """

    client_id: ClientID
    name: str
    vetted: bool
    """An operator checked who stands behind the name; else people are shown the host and 未審査."""
    rights: frozenset[Right] = frozenset()
    """Granted by the operator, to a vetted client only."""
    profile: SecurityProfile
    sector: SectorID
    redirect_uris: tuple[str, ...] = ()
    post_logout_redirect_uris: tuple[str, ...] = ()
    application_type: str = "web"
    grant_types: frozenset[GrantType] = frozenset({GrantType.AUTHORIZATION_CODE})
    scope: frozenset[str] = frozenset({"openid"})
    """Everything it may ask for."""
    auth_method: AuthMethod = AuthMethod.PRIVATE_KEY_JWT
    auth_signing_alg: str | None = None
    """None: any that the profile accepts."""
    jwks: Mapping[str, Any] | None = field(default=None, repr=False)
    jwks_uri: str | None = None
    secret_digest: bytes | None = field(default=None, repr=False)
    """SHA-256 of the client secret, which we made ourselves."""
    tls_subject: tuple[str, str] | None = None
    """One of TLS_SUBJECT_MEMBERS and its value."""
    certificate_bound_tokens: bool = False
    dpop_bound_tokens: bool = False
    requires_pushed_requests: bool = False
    requires_signed_requests: bool = False
    id_token_alg: str = "ES256"  # noqa: S105 -- the name of an algorithm
    id_token_encryption: Encryption | None = None
    userinfo_alg: str | None = None
    userinfo_encryption: Encryption | None = None
    request_object_alg: str | None = None
    request_uris: tuple[str, ...] = ()
    authorization_response_alg: str = "ES256"
    authorization_response_encryption: Encryption | None = None
    introspection_alg: str | None = None
    introspection_encryption: Encryption | None = None
    default_max_age: int | None = None
    """Seconds."""
    default_acr_values: tuple[str, ...] = ()
    initiate_login_uri: str | None = None
    sector_identifier_uri: str | None = None
    backchannel_logout_uri: str | None = None
    backchannel_logout_session_required: bool = False
    frontchannel_logout_uri: str | None = None
    frontchannel_logout_session_required: bool = False
    ciba_delivery_mode: str | None = None
    """`poll` or `ping` (CIBA Core §4); None where the client does not use CIBA."""
    ciba_notification_endpoint: str | None = None
    ciba_request_alg: str | None = None
    authorization_details_types: frozenset[str] = frozenset()
    resources: tuple[str, ...] = ()
    """Resource servers it may ask tokens for (RFC 8707), beside the broker's own endpoints."""
    client_uri: str | None = None
    logo_uri: str | None = None
    policy_uri: str | None = None
    tos_uri: str | None = None
    contacts: tuple[str, ...] = ()
    data_use: tuple[DataUse, ...] = ()
    """What it does with what it receives, in its own words."""
    linked_id_pattern: str | None = None
    """The shape of its own numbers for people (oidc.linked_id); None where it binds none."""
    linked_id_transferable: bool = True
    """False: a number never passes from one person to another, nor a person from one to another (a ticket)."""
    linked_id_unique_person: bool = False
    """It binds only people of whom J-LIS's mapping shows that they have one account."""
    linked_id_readers: tuple[str, ...] = ()
    """Clients that may read its numbers, each after the resident's own link with it; an administrator grants them."""

    def __post_init__(self) -> None:
        if not _CLIENT_ID.fullmatch(self.client_id):
            raise InvalidClientMetadata("client_id: 1 to 64 characters of A-Z a-z 0-9 . _ ~ -")
        if not self.name.strip() or len(self.name) > 80 or _CONTROL.search(self.name):
            raise InvalidClientMetadata("client_name: 1 to 80 characters without control or direction marks")
        if self.application_type not in {"web", "native"}:
            raise InvalidClientMetadata("application_type: web or native")
        if len(self.redirect_uris) > MAX_REDIRECT_URIS or (
            self.grant_types & REDIRECT_GRANTS and not self.redirect_uris
        ):
            raise InvalidRedirectURI(f"1 to {MAX_REDIRECT_URIS} redirect URIs")
        if len(self.post_logout_redirect_uris) > MAX_REDIRECT_URIS:
            raise InvalidClientMetadata(f"at most {MAX_REDIRECT_URIS} post_logout_redirect_uris")
        for uri in self.redirect_uris + self.post_logout_redirect_uris:
            check_redirect_uri(uri, native=self.native)
        for shown in (self.logo_uri, self.policy_uri, self.tos_uri, self.initiate_login_uri):
            if shown is not None and not shown.startswith("https://"):  # people follow it, from our pages too
                raise InvalidClientMetadata("logo_uri, policy_uri, tos_uri, initiate_login_uri: https")
        if self.rights and not self.vetted:
            raise InvalidClientMetadata("rights are granted to vetted clients only")
        if self.linked_id_pattern is not None:
            IDPattern(text=self.linked_id_pattern)
        if self.links and self.auth_method is not AuthMethod.PRIVATE_KEY_JWT:
            raise InvalidClientMetadata("linked_id needs private_key_jwt (design 4.8)")
        if self.linked_id_readers and self.linked_id_pattern is None:
            raise InvalidClientMetadata("linked_id_readers: there is no linked_id_pattern, so nothing to read")
        if self.native and self.sector_identifier_uri is not None:
            raise InvalidClientMetadata("a native client has a sector of its own: anybody can pretend to be one")
        self._check_authentication()
        self._check_profile()

    def _check_authentication(self) -> None:
        if self.jwks is not None and self.jwks_uri is not None:
            raise InvalidClientMetadata("jwks and jwks_uri exclude each other (RFC 7591 §2)")
        if self.jwks is not None:
            keys = self.jwks.get("keys")
            if not isinstance(keys, list) or not keys:
                raise InvalidClientMetadata("jwks: a JWK Set with at least one key")
        if self.auth_method in KEY_METHODS and self.jwks is None and self.jwks_uri is None:
            raise InvalidClientMetadata(f"{self.auth_method} needs jwks or jwks_uri")
        if (self.auth_method in SECRET_METHODS) != (self.secret_digest is not None):
            raise InvalidClientMetadata("a secret goes with client_secret_basic and client_secret_post alone")
        if (self.auth_method is AuthMethod.TLS_CLIENT_AUTH) != (self.tls_subject is not None):
            raise InvalidClientMetadata("tls_client_auth needs exactly one member that names the certificate")
        if self.public and not self.native:
            raise InvalidClientMetadata("a client without authentication must be native (RFC 8252 §8.4)")
        if self.public and self.grant_types & {GrantType.CLIENT_CREDENTIALS, GrantType.CIBA, GrantType.TOKEN_EXCHANGE}:
            raise InvalidClientMetadata("a public client has no grant of its own (RFC 6749 §4.4)")

    def _check_profile(self) -> None:
        if self.profile is not SecurityProfile.FAPI2:
            return
        if self.auth_method not in KEY_METHODS | TLS_METHODS:
            raise InvalidClientMetadata("fapi2: private_key_jwt or a TLS certificate (FAPI 2.0 §5.3.2.1)")
        if not (self.dpop_bound_tokens or self.certificate_bound_tokens):
            raise InvalidClientMetadata("fapi2: tokens are bound to a DPoP key or a certificate (FAPI 2.0 §5.3.2.1)")
        algorithms = {self.id_token_alg, self.userinfo_alg, self.auth_signing_alg, self.request_object_alg}
        algorithms |= {self.authorization_response_alg, self.introspection_alg, self.ciba_request_alg}
        if "RS256" in algorithms or "none" in algorithms:
            raise InvalidClientMetadata("fapi2: RS256 and none are not accepted (FAPI 2.0 §5.4)")

    @property
    def native(self) -> bool:
        return self.application_type == "native"

    @property
    def public(self) -> bool:
        """It cannot keep a secret (RFC 6749 §2.1)."""
        return self.auth_method is AuthMethod.NONE

    @property
    def pushes(self) -> bool:
        """Every authorization request of it comes through PAR (RFC 9126 §5, FAPI 2.0 §5.3.2.2)."""
        return self.requires_pushed_requests or self.profile is SecurityProfile.FAPI2

    @property
    def links(self) -> bool:
        """It is told its own number for a person, or another client's."""
        return SCOPE in self.scope or self.linked_id_pattern is not None

    def use_of(self, item: str) -> DataUse | None:
        """Its words on one item; None where it gave none."""
        return next((use for use in self.data_use if use.item == item), None)

    @property
    def takes_family_mandates(self) -> bool:
        """People may act for others at it: granted by an operator, and only where it proves itself by a key."""
        return Right.FAMILY_MANDATES in self.rights and self.auth_method is AuthMethod.PRIVATE_KEY_JWT

    @property
    def proves_identity(self) -> bool:
        """It may ask for name, address, birth date, sex and age: granted by an operator, and only where it proves
        itself by a key of its own. Such a request is pushed besides (design 4.8)."""
        return Right.IDENTITY_PROOFING in self.rights and self.auth_method is AuthMethod.PRIVATE_KEY_JWT

    @property
    def asks_mandates(self) -> bool:
        """It may ask about powers of attorney: granted by an operator, and only where it proves itself by a key of its
        own. Such a request is pushed besides (design 4.8)."""
        return Right.MANDATE_QUESTIONS in self.rights and self.auth_method is AuthMethod.PRIVATE_KEY_JWT

    @property
    def host(self) -> str:
        """The host people are shown beside, or instead of, an unvetted name."""
        for uri in (*self.redirect_uris, self.client_uri):
            if uri:
                return urlsplit(uri).netloc or urlsplit(uri).scheme
        return self.client_id


def check_redirect_uri(uri: str, *, native: bool = False) -> None:
    """Refuse what RFC 6749 §3.1.2 and RFC 9700 §2.1 do not allow to be registered. Raises InvalidRedirectURI.

    Plain http is accepted for loopback only (RFC 8252 §7.3), and a scheme of its own (§7.1) for native clients only;
    matching is byte for byte later on.
    """
    if len(uri) > MAX_URI_LENGTH or not uri.isascii() or _CONTROL.search(uri) or " " in uri:
        raise InvalidRedirectURI("redirect URI: ASCII, no spaces, at most 512 characters")
    try:
        parts = urlsplit(uri)
        host, _ = parts.hostname, parts.port
    except ValueError as broken:
        raise InvalidRedirectURI("redirect URI cannot be parsed") from broken
    if parts.fragment or "#" in uri:
        raise InvalidRedirectURI("redirect URI must not carry a fragment")
    if native and _PRIVATE_USE_SCHEME.fullmatch(parts.scheme) and not parts.netloc and parts.path.startswith("/"):
        return
    if parts.username is not None or parts.password is not None or not host:
        raise InvalidRedirectURI("redirect URI must name a host and no user")
    if not PLAIN_HOST.fullmatch(host):  # it may come to stand in a header of ours (Content-Security-Policy)
        raise InvalidRedirectURI("redirect URI must name a plain host")
    if parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host)):
        return
    raise InvalidRedirectURI("redirect URI must be https (http on loopback only)")


def is_loopback(host: str) -> bool:
    """This machine, as a redirect URI names it (RFC 8252 §7.3); `localhost` too, for RPs under development."""
    return host in {"localhost", "::1"} or _LOOPBACK.fullmatch(host) is not None
