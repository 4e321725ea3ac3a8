"""The provider's metadata (OIDC Discovery §3, RFC 8414 §2): only what is really served."""

from __future__ import annotations

from typing import Any, Final

from broker.oidc.authorization import PROMPTS, SCOPES
from broker.oidc.client_authentication import ALGORITHMS

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


def metadata(issuer: str, *, mtls_origin: str = "") -> dict[str, Any]:
    """The document of `/.well-known/openid-configuration` and `/.well-known/oauth-authorization-server`.

    `mtls_origin` is where those endpoints ask for a certificate, if that is another origin than the issuer's.
    """
    document = _metadata(issuer)
    if mtls_origin:
        document["mtls_endpoint_aliases"] = {
            name: mtls_origin + document[name].removeprefix(issuer) for name in MTLS_ENDPOINTS if name in document
        }
    return document


def _metadata(issuer: str) -> dict[str, Any]:
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/authorize",
        "token_endpoint": f"{issuer}/token",
        "userinfo_endpoint": f"{issuer}/userinfo",
        "jwks_uri": f"{issuer}/jwks",
        "end_session_endpoint": f"{issuer}/logout",
        "scopes_supported": sorted(SCOPES),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code"],
        "acr_values_supported": ["aal3"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["ES256"],
        "token_endpoint_auth_methods_supported": ["private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
        "claims_supported": ["iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr"],
        "claims_parameter_supported": False,
        "request_parameter_supported": False,
        "request_uri_parameter_supported": False,
        "code_challenge_methods_supported": ["S256"],
        "prompt_values_supported": sorted(PROMPTS),
        "authorization_response_iss_parameter_supported": True,
        "ui_locales_supported": ["ja", "en"],
    }
