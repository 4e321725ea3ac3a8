"""The provider's metadata (OIDC Discovery §3, RFC 8414 §2): only what is really served."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from broker import jwe
from broker.oidc import claims_request, joint, licence, verified_claims
from broker.oidc.authorization import PROFILE, PROMPTS, SCOPES
from broker.oidc.authorization_details import TYPES
from broker.oidc.ciba import DELIVERY_MODES
from broker.oidc.client_authentication import ALGORITHMS
from broker.oidc.dpop import ALGORITHMS as DPOP_ALGORITHMS
from broker.oidc.narrowing import OWN_SCOPES
from broker.oidc.responses import SUPPORTED

MTLS_ENDPOINTS: Final = (
    "token_endpoint",
    "userinfo_endpoint",
    "pushed_authorization_request_endpoint",
    "introspection_endpoint",
    "revocation_endpoint",
    "device_authorization_endpoint",
    "backchannel_authentication_endpoint",
)
"""Where a client's certificate means something (RFC 8705 §5)."""


def metadata(
    issuer: str,
    *,
    signing: Sequence[str],
    decryption: Sequence[str],
    mtls_origin: str = "",
    certificates: bool = False,
    front_channel_logout: bool = False,
    backchannel: bool = False,
    identity: bool = False,
    licences: bool = False,
) -> dict[str, Any]:
    """The document of `/.well-known/openid-configuration` and `/.well-known/oauth-authorization-server`.

    `signing` and `decryption` are the algorithms (JWA names) that there are keys for now. `mtls_origin` is where the
    endpoints of MTLS_ENDPOINTS ask for a certificate, if that is another origin than the issuer's; `certificates` says
    that certificates reach us at all, `backchannel` that CIBA is on, `identity` that residents prove who they are,
    `licences` that doctors log in by HPKI card.
    """
    document = _metadata(issuer, signing=signing, decryption=decryption)
    if identity:
        own = verified_claims.own_framework(issuer)
        document["claims_supported"] += [*claims_request.IDENTITY, claims_request.SUBSTITUTED, "verified_claims"]
        document |= verified_claims.metadata((own, verified_claims.JP_AML))
    else:
        document["scopes_supported"] = sorted(SCOPES - {PROFILE, *claims_request.IDENTITY})
    if licences:
        document["acr_values_supported"] += [licence.ACR]
        document["claims_supported"] += [licence.ROLES, licence.INSTITUTION, joint.CLAIM]
        document["joint_transactions_endpoint"] = f"{issuer}/api/joint-transactions"
    else:
        document["scopes_supported"] = [name for name in document["scopes_supported"] if name not in licence.SCOPES]
    if certificates:
        document["token_endpoint_auth_methods_supported"] += ["self_signed_tls_client_auth", "tls_client_auth"]
        document["tls_client_certificate_bound_access_tokens"] = True
    methods = document["token_endpoint_auth_methods_supported"]
    document["revocation_endpoint_auth_methods_supported"] = methods
    document["introspection_endpoint_auth_methods_supported"] = [method for method in methods if method != "none"]
    for endpoint in ("revocation", "introspection"):
        document[f"{endpoint}_endpoint_auth_signing_alg_values_supported"] = list(ALGORITHMS)
    if front_channel_logout:
        document |= {"frontchannel_logout_supported": True, "frontchannel_logout_session_supported": True}
    if backchannel:
        document["backchannel_authentication_endpoint"] = f"{issuer}/backchannel_authentication"
        document["backchannel_token_delivery_modes_supported"] = list(DELIVERY_MODES)
        document["backchannel_authentication_request_signing_alg_values_supported"] = list(ALGORITHMS)
        document["backchannel_user_code_parameter_supported"] = False
        document["grant_types_supported"] += ["urn:openid:params:grant-type:ciba"]
    if mtls_origin:
        document["mtls_endpoint_aliases"] = {
            name: mtls_origin + document[name].removeprefix(issuer) for name in MTLS_ENDPOINTS if name in document
        }
    return document


def _metadata(issuer: str, *, signing: Sequence[str], decryption: Sequence[str]) -> dict[str, Any]:
    document: dict[str, Any] = {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/authorize",
        "pushed_authorization_request_endpoint": f"{issuer}/par",
        "token_endpoint": f"{issuer}/token",
        "device_authorization_endpoint": f"{issuer}/device_authorization",
        "userinfo_endpoint": f"{issuer}/userinfo",
        "introspection_endpoint": f"{issuer}/introspect",
        "revocation_endpoint": f"{issuer}/revoke",
        "jwks_uri": f"{issuer}/jwks",
        "registration_endpoint": f"{issuer}/register",
        "end_session_endpoint": f"{issuer}/logout",
        "receipts_endpoint": f"{issuer}/api/receipts",
        "receipt_keys_uri": f"{issuer}/.well-known/receipt-keys",
        "backchannel_logout_supported": True,
        "backchannel_logout_session_supported": True,
        "scopes_supported": sorted(SCOPES | OWN_SCOPES),
        "response_types_supported": ["code"],
        "response_modes_supported": list(SUPPORTED),
        "grant_types_supported": [
            "authorization_code",
            "refresh_token",
            "client_credentials",
            "urn:ietf:params:oauth:grant-type:device_code",
            "urn:ietf:params:oauth:grant-type:token-exchange",
        ],
        "acr_values_supported": ["aal2", "aal3"],  # aal2: approved on another device, or by a phone (design 4.10)
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": list(signing),
        "id_token_encryption_alg_values_supported": list(jwe.ALGORITHMS),
        "id_token_encryption_enc_values_supported": list(jwe.ENCRYPTIONS),
        "userinfo_signing_alg_values_supported": list(signing),
        "userinfo_encryption_alg_values_supported": list(jwe.ALGORITHMS),
        "userinfo_encryption_enc_values_supported": list(jwe.ENCRYPTIONS),
        "introspection_signing_alg_values_supported": list(signing),
        "introspection_encryption_alg_values_supported": list(jwe.ALGORITHMS),
        "introspection_encryption_enc_values_supported": list(jwe.ENCRYPTIONS),
        "dpop_signing_alg_values_supported": list(DPOP_ALGORITHMS),
        "token_endpoint_auth_methods_supported": [
            "private_key_jwt",
            "client_secret_basic",
            "client_secret_post",
            "none",
        ],
        "token_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
        "claims_supported": ["iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr"],
        "claims_parameter_supported": True,
        "request_parameter_supported": True,
        "request_uri_parameter_supported": True,
        "require_request_uri_registration": True,
        "request_object_signing_alg_values_supported": list(ALGORITHMS),
        "request_object_encryption_alg_values_supported": list(decryption),
        "request_object_encryption_enc_values_supported": list(jwe.ENCRYPTIONS) if decryption else [],
        "authorization_signing_alg_values_supported": list(signing),
        "authorization_encryption_alg_values_supported": list(jwe.ALGORITHMS),
        "authorization_encryption_enc_values_supported": list(jwe.ENCRYPTIONS),
        "code_challenge_methods_supported": ["S256"],
        "prompt_values_supported": sorted(PROMPTS),
        "authorization_response_iss_parameter_supported": True,
        "authorization_details_types_supported": sorted(TYPES),
        "ui_locales_supported": ["ja", "en"],
    }
    return {name: value for name, value in document.items() if value != []}
