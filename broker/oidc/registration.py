"""Client metadata and the client it makes: RFC 7591 §2, OIDC Registration §2, RFC 8705 §2, RFC 9449 §5.2, CIBA §4.

One table ties each member to its field, so that what is read, stored and told back cannot drift apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from enum import StrEnum
from typing import Any, Final

from broker.errors import InvalidClientMetadata
from broker.ids import ClientID, SectorID
from broker.oidc import data_use
from broker.oidc.client import (
    REDIRECT_GRANTS,
    TLS_SUBJECT_MEMBERS,
    AuthMethod,
    Client,
    Encryption,
    GrantType,
    Right,
    SecurityProfile,
)

MAX_ENTRIES: Final = 32
_MAX_TEXT: Final = 2048

Read = Callable[[str, Any], Any]
Tell = Callable[[Any], Any]


def _text(member: str, value: Any) -> str:
    if not isinstance(value, str) or not value or len(value) > _MAX_TEXT:
        raise InvalidClientMetadata(f"{member}: a text of 1 to {_MAX_TEXT} characters")
    return value


def _flag(member: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise InvalidClientMetadata(f"{member}: true or false")
    return value


def _seconds(member: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 10**9:
        raise InvalidClientMetadata(f"{member}: a number of seconds")
    return value


def _texts(member: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > MAX_ENTRIES:
        raise InvalidClientMetadata(f"{member}: a list of at most {MAX_ENTRIES} texts")
    return tuple(_text(member, entry) for entry in value)


def _words(member: str, value: Any) -> frozenset[str]:
    return frozenset(_text(member, value).split(" ")) - {""} if value != "" else frozenset()


def _object(member: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise InvalidClientMetadata(f"{member}: a JSON object")
    return value


def _one_of(kind: type[StrEnum]) -> Read:
    def read(member: str, value: Any) -> StrEnum:
        try:
            return kind(_text(member, value))
        except ValueError as unknown:
            raise InvalidClientMetadata(f"{member}: one of {', '.join(kind)}") from unknown

    return read


def _grant_types(member: str, value: Any) -> frozenset[StrEnum]:
    read = _one_of(GrantType)
    return frozenset(read(member, entry) for entry in _texts(member, value))


def _same(value: Any) -> Any:
    return value


def _listed(value: Any) -> Any:
    return list(value)


def _sorted(value: Any) -> Any:
    return sorted(value)


def _joined(value: Any) -> str:
    return " ".join(sorted(value))


_MEMBERS: Final[dict[str, tuple[str, Read, Tell]]] = {
    "client_id": ("client_id", _text, _same),
    "client_name": ("name", _text, _same),
    "redirect_uris": ("redirect_uris", _texts, _listed),
    "post_logout_redirect_uris": ("post_logout_redirect_uris", _texts, _listed),
    "application_type": ("application_type", _text, _same),
    "grant_types": ("grant_types", _grant_types, _sorted),
    "scope": ("scope", _words, _joined),
    "token_endpoint_auth_method": ("auth_method", _one_of(AuthMethod), _same),
    "token_endpoint_auth_signing_alg": ("auth_signing_alg", _text, _same),
    "jwks": ("jwks", _object, dict),
    "jwks_uri": ("jwks_uri", _text, _same),
    "tls_client_certificate_bound_access_tokens": ("certificate_bound_tokens", _flag, _same),
    "dpop_bound_access_tokens": ("dpop_bound_tokens", _flag, _same),
    "require_pushed_authorization_requests": ("requires_pushed_requests", _flag, _same),
    "require_signed_request_object": ("requires_signed_requests", _flag, _same),
    "id_token_signed_response_alg": ("id_token_alg", _text, _same),
    "userinfo_signed_response_alg": ("userinfo_alg", _text, _same),
    "request_object_signing_alg": ("request_object_alg", _text, _same),
    "request_uris": ("request_uris", _texts, _listed),
    "authorization_signed_response_alg": ("authorization_response_alg", _text, _same),
    "introspection_signed_response_alg": ("introspection_alg", _text, _same),
    "default_max_age": ("default_max_age", _seconds, _same),
    "default_acr_values": ("default_acr_values", _texts, _listed),
    "initiate_login_uri": ("initiate_login_uri", _text, _same),
    "sector_identifier_uri": ("sector_identifier_uri", _text, _same),
    "backchannel_logout_uri": ("backchannel_logout_uri", _text, _same),
    "backchannel_logout_session_required": ("backchannel_logout_session_required", _flag, _same),
    "frontchannel_logout_uri": ("frontchannel_logout_uri", _text, _same),
    "frontchannel_logout_session_required": ("frontchannel_logout_session_required", _flag, _same),
    "backchannel_token_delivery_mode": ("ciba_delivery_mode", _text, _same),
    "backchannel_client_notification_endpoint": ("ciba_notification_endpoint", _text, _same),
    "backchannel_authentication_request_signing_alg": ("ciba_request_alg", _text, _same),
    "authorization_details_types": (
        "authorization_details_types",
        lambda member, value: frozenset(_texts(member, value)),
        _sorted,
    ),
    "resources": ("resources", _texts, _listed),
    "client_uri": ("client_uri", _text, _same),
    "logo_uri": ("logo_uri", _text, _same),
    "policy_uri": ("policy_uri", _text, _same),
    "tos_uri": ("tos_uri", _text, _same),
    "contacts": ("contacts", _texts, _listed),
    "linked_id_pattern": ("linked_id_pattern", _text, _same),
    "linked_id_transferable": ("linked_id_transferable", _flag, _same),
    "linked_id_unique_person": ("linked_id_unique_person", _flag, _same),
    "linked_id_readers": ("linked_id_readers", _texts, _listed),
    "data_use": ("data_use", data_use.read, data_use.tell),
}
"""Metadata member: field of Client, how it is read, how it is told."""

_DEFAULTS: Final = {entry.name: entry.default for entry in fields(Client)}
_ENCRYPTED: Final = {
    "id_token_encrypted_response": "id_token_encryption",
    "userinfo_encrypted_response": "userinfo_encryption",
    "authorization_encrypted_response": "authorization_response_encryption",
    "introspection_encrypted_response": "introspection_encryption",
}
"""Members that come as a pair `…_alg` and `…_enc`."""

_FIXED: Final = {"subject_type": "pairwise"}
"""Members that have one value here; another one is refused, none is taken as this one."""
_RESPONSE_TYPES: Final = "response_types"
"""`code` for who comes with codes, else none (RFC 7591 §2.1)."""

MEMBERS: Final = frozenset(
    {
        *_MEMBERS,
        *_FIXED,
        _RESPONSE_TYPES,
        *TLS_SUBJECT_MEMBERS,
        *(f"{prefix}_{end}" for prefix in _ENCRYPTED for end in ("alg", "enc")),
    }
)
"""Every member that means something here."""

_PROFILE_DEFAULTS: Final[dict[SecurityProfile, dict[str, Any]]] = {
    SecurityProfile.FAPI2: {"dpop_bound_tokens": True},
    SecurityProfile.OIDC: {},
}


def parse(
    given: Mapping[str, Any],
    *,
    client_id: ClientID,
    profile: SecurityProfile,
    sector: SectorID,
    vetted: bool = False,
    rights: frozenset[Right] = frozenset(),
    secret_digest: bytes | None = None,
) -> Client:
    """A client out of its metadata; what a client may not decide about itself comes by name.

    Members that nobody knows are ignored (RFC 7591 §2). Raises InvalidClientMetadata, InvalidRedirectURI.
    """
    for member, only in _FIXED.items():
        if given.get(member) not in (None, only):
            raise InvalidClientMetadata(f"{member}: {only} is the only one served")
    values: dict[str, Any] = {}
    for member, (name, read, _) in _MEMBERS.items():
        if given.get(member) is not None:
            values[name] = read(member, given[member])
    for prefix, name in _ENCRYPTED.items():
        alg, enc = given.get(f"{prefix}_alg"), given.get(f"{prefix}_enc")
        if enc is not None and alg is None:
            raise InvalidClientMetadata(f"{prefix}_enc stands without {prefix}_alg (OIDC Registration §2)")
        if alg is not None:
            values[name] = Encryption(
                alg=_text(f"{prefix}_alg", alg), **({} if enc is None else {"enc": _text(f"{prefix}_enc", enc)})
            )
    named = [(member, _text(member, given[member])) for member in TLS_SUBJECT_MEMBERS if given.get(member) is not None]
    if len(named) > 1:
        raise InvalidClientMetadata("one member names the certificate (RFC 8705 §2.1.2)")
    if named:
        values["tls_subject"] = named[0]
    if not values.get("certificate_bound_tokens"):
        values = _PROFILE_DEFAULTS[profile] | values
    values["client_id"] = client_id
    values.setdefault("name", client_id)
    client = Client(profile=profile, sector=sector, vetted=vetted, rights=rights, secret_digest=secret_digest, **values)
    if given.get(_RESPONSE_TYPES) not in (None, ["code"], _response_types(client)):
        raise InvalidClientMetadata(f"{_RESPONSE_TYPES}: code alone, and for grant type authorization_code")
    return client


def _response_types(client: Client) -> list[str]:
    return ["code"] if client.grant_types & REDIRECT_GRANTS else []


def metadata(client: Client) -> dict[str, Any]:
    """What is told about a client (RFC 7591 §3.2.1), and what is stored of it; `parse` reads it back as it was."""
    told: dict[str, Any] = {}
    for member, (name, _, tell) in _MEMBERS.items():
        value = getattr(client, name)
        if value is not None and (value or value != _DEFAULTS[name]):
            told[member] = tell(value)
    for prefix, name in _ENCRYPTED.items():
        encryption: Encryption | None = getattr(client, name)
        if encryption is not None:
            told[f"{prefix}_alg"], told[f"{prefix}_enc"] = encryption.alg, encryption.enc
    if client.tls_subject is not None:
        told[client.tls_subject[0]] = client.tls_subject[1]
    return told | _FIXED | {_RESPONSE_TYPES: _response_types(client)}
