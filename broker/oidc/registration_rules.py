"""What a client that registers itself is held to (RFC 7591 §2, OIDC Registration §2, RFC 7592 §2.2).

What contradicts itself or its profile no client may be (`Client`); here stands what an administrator may decide
otherwise: only what is served now, https addresses, strict keys, and nothing that is the administrator's to give.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from broker.errors import InvalidClientMetadata, InvalidRedirectURI, InvalidToken
from broker.ids import ClientID, SectorID
from broker.jwe import encrypt_compact
from broker.oidc.client import MAX_URI_LENGTH, PLAIN_HOST, Client, Encryption, GrantType, SecurityProfile, is_loopback
from broker.oidc.client_keys import check_jwks
from broker.oidc.logout import check_front_channel
from broker.oidc.registration import metadata, parse

_SERVED: Final = {
    "grant_types": "grant_types_supported",
    "scope": "scopes_supported",
    "token_endpoint_auth_method": "token_endpoint_auth_methods_supported",
    "token_endpoint_auth_signing_alg": "token_endpoint_auth_signing_alg_values_supported",
    "id_token_signed_response_alg": "id_token_signing_alg_values_supported",
    "id_token_encrypted_response_alg": "id_token_encryption_alg_values_supported",
    "id_token_encrypted_response_enc": "id_token_encryption_enc_values_supported",
    "userinfo_signed_response_alg": "userinfo_signing_alg_values_supported",
    "userinfo_encrypted_response_alg": "userinfo_encryption_alg_values_supported",
    "userinfo_encrypted_response_enc": "userinfo_encryption_enc_values_supported",
    "request_object_signing_alg": "request_object_signing_alg_values_supported",
    "authorization_signed_response_alg": "authorization_signing_alg_values_supported",
    "authorization_encrypted_response_alg": "authorization_encryption_alg_values_supported",
    "authorization_encrypted_response_enc": "authorization_encryption_enc_values_supported",
    "introspection_signed_response_alg": "introspection_signing_alg_values_supported",
    "introspection_encrypted_response_alg": "introspection_encryption_alg_values_supported",
    "introspection_encrypted_response_enc": "introspection_encryption_enc_values_supported",
    "backchannel_token_delivery_mode": "backchannel_token_delivery_modes_supported",
    "backchannel_authentication_request_signing_alg": (
        "backchannel_authentication_request_signing_alg_values_supported"
    ),
    "authorization_details_types": "authorization_details_types_supported",
}
"""Member, and the list of the provider's own metadata that its values must stand in: what we do not say, we refuse."""

_OURS: Final = (
    "registration_access_token",
    "registration_client_uri",
    "client_id_issued_at",
    "client_secret_expires_at",
)
"""RFC 7592 §2.2: told by us, and never sent back with an update."""
_SHOWN: Final = ("initiate_login_uri", "client_uri", "logo_uri", "policy_uri", "tos_uri", "frontchannel_logout_uri")
"""Where a browser is sent, or could be."""
_CALLED: Final = ("jwks_uri", "backchannel_logout_uri", "ciba_notification_endpoint")
"""What we call ourselves, through the guard; `request_uris` beside them."""
_FROM_LOGIN: Final = frozenset({GrantType.AUTHORIZATION_CODE, GrantType.DEVICE_CODE, GrantType.CIBA})


def judge(
    given: Mapping[str, Any],
    *,
    client_id: ClientID,
    profile: SecurityProfile,
    sector: SectorID,
    vetted: bool,
    secret_digest: bytes | None,
    served: Mapping[str, Any],
    loopback: bool,
    before: Client | None = None,
) -> Client:
    """The client that `given` makes; `completed` has filled in what it left out.

    `served` is the provider's metadata, `loopback` whether plain http to this machine will do (in the sandbox),
    `before` the client that is changed: what it has, it may keep. Raises InvalidClientMetadata, InvalidRedirectURI.
    """
    if given.get("software_statement") is not None:
        raise InvalidClientMetadata("software statements are not taken")
    _check_served(given, served, known={} if before is None else metadata(before))
    client = parse(
        given, client_id=client_id, profile=profile, sector=sector, vetted=vetted, secret_digest=secret_digest
    )
    if client.jwks is not None:
        check_jwks(client.jwks)
    _check_addresses(client, loopback=loopback)
    _check_together(client)
    check_front_channel(client, served=served.get("frontchannel_logout_supported") is True)
    if not set(client.resources) <= set(() if before is None else before.resources):
        raise InvalidClientMetadata("resources: an administrator grants them")
    if not set(client.linked_id_readers) <= set(() if before is None else before.linked_id_readers):
        raise InvalidClientMetadata("linked_id_readers: an administrator grants them")
    return client


def completed(given: Mapping[str, Any], *, profile: SecurityProfile, served: Mapping[str, Any]) -> dict[str, Any]:
    """`given` with what it leaves out as RFC 7591 §2 says where our own default is another: told back in the answer.

    A client of profile `oidc` without keys gets a secret; every one may ask for `openid`, and with refresh tokens for
    `offline_access`.
    """
    members = {name: value for name, value in given.items() if value is not None}
    if profile is SecurityProfile.OIDC and not members.keys() & {"jwks", "jwks_uri"}:
        members.setdefault("token_endpoint_auth_method", "client_secret_basic")
    if "scope" not in members:
        grants = members.get("grant_types")
        refreshes = isinstance(grants, list) and GrantType.REFRESH_TOKEN.value in grants
        offline = refreshes and "offline_access" in served.get("scopes_supported", ())
        members["scope"] = "openid offline_access" if offline else "openid"
    return members


def check_update(given: Mapping[str, Any], client_id: ClientID) -> None:
    """RFC 7592 §2.2: an update names its client and none of the members that are ours. Raises InvalidClientMetadata."""
    if given.get("client_id") != client_id:
        raise InvalidClientMetadata("client_id: the one that was registered")
    for member in _OURS:
        if member in given:
            raise InvalidClientMetadata(f"{member} is not the client's to say")


def stays_vetted(before: Client, after: Client) -> bool:
    """Whether the operator's word still holds: for the same name at the same places.

    `client_uri` is one of them: it says whose resources a vetted resource server speaks for (`oidc.introspection`).
    """
    places = {_place(uri) for uri in before.redirect_uris}
    stays = after.client_uri == before.client_uri and all(_place(uri) in places for uri in after.redirect_uris)
    return before.vetted and after.name == before.name and stays


def _place(uri: str) -> tuple[str, str]:
    parts = urlsplit(uri)
    return parts.scheme, parts.netloc


def _check_served(given: Mapping[str, Any], served: Mapping[str, Any], *, known: Mapping[str, Any]) -> None:
    for member, name in _SERVED.items():
        value = given.get(member)
        if value is None or value == known.get(member):
            continue
        asked = value.split(" ") if member == "scope" and isinstance(value, str) else value
        offered = served.get(name, ())
        for entry in asked if isinstance(asked, list) else [asked]:
            if entry not in offered:
                raise InvalidClientMetadata(f"{member}: served are {', '.join(offered) or 'none'}")


def _check_addresses(client: Client, *, loopback: bool) -> None:
    for name in _SHOWN:
        _check_address(name, getattr(client, name), loopback=False)
    for name in _CALLED:
        _check_address(name, getattr(client, name), loopback=loopback)
    for uri in client.request_uris:
        _check_address("request_uris", uri.partition("#")[0], loopback=loopback)  # OIDC Registration §2: its hash
    if client.native or loopback:
        return
    if any(urlsplit(uri).scheme == "http" for uri in client.redirect_uris):
        raise InvalidRedirectURI("loopback redirect URIs are for native clients (RFC 8252)")
    if any(urlsplit(uri).scheme == "http" for uri in client.post_logout_redirect_uris):
        raise InvalidClientMetadata("post_logout_redirect_uris: https")


def _check_address(member: str, uri: str | None, *, loopback: bool) -> None:
    if uri is None:
        return
    if len(uri) > MAX_URI_LENGTH or not uri.isascii() or not uri.isprintable() or " " in uri:
        raise InvalidClientMetadata(f"{member}: ASCII, no spaces, at most {MAX_URI_LENGTH} characters")
    try:
        parts = urlsplit(uri)
        host, _ = parts.hostname or "", parts.port
    except ValueError as broken:
        raise InvalidClientMetadata(f"{member} cannot be parsed") from broken
    if not PLAIN_HOST.fullmatch(host) or "#" in uri or parts.username is not None or parts.password is not None:
        raise InvalidClientMetadata(f"{member} names a host, no user and no fragment")
    if parts.scheme != "https" and not (loopback and parts.scheme == "http" and is_loopback(host)):
        raise InvalidClientMetadata(f"{member} is https")


def _check_recipient(client: Client, encryption: Encryption) -> None:
    """A key to encrypt to, found as it will be found later on; of a jwks_uri that shows when it is needed."""
    if client.jwks is None:
        return
    try:
        encrypt_compact(b"", jwks=client.jwks, alg=encryption.alg, enc=encryption.enc)
    except InvalidToken as missing:
        raise InvalidClientMetadata(f"jwks: for {encryption.alg}: {missing}") from None


def _check_together(client: Client) -> None:
    encryptions = (
        client.id_token_encryption,
        client.userinfo_encryption,
        client.authorization_response_encryption,
        client.introspection_encryption,
    )
    for encryption in filter(None, encryptions):
        if client.jwks is None and client.jwks_uri is None:
            raise InvalidClientMetadata("what is encrypted to a client needs its jwks or jwks_uri")
        _check_recipient(client, encryption)
    if GrantType.REFRESH_TOKEN in client.grant_types and not client.grant_types & _FROM_LOGIN:
        raise InvalidClientMetadata("grant_types: refresh_token goes with a grant that a resident gives")
    if (GrantType.CIBA in client.grant_types) != (client.ciba_delivery_mode is not None):
        raise InvalidClientMetadata("backchannel_token_delivery_mode goes with the grant type of CIBA (CIBA Core §4)")
    if (client.ciba_delivery_mode == "ping") != (client.ciba_notification_endpoint is not None):
        raise InvalidClientMetadata("backchannel_client_notification_endpoint goes with delivery mode ping")
