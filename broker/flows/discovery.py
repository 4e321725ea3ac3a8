"""The provider's metadata as it runs here: what a client reads, and what a client that registers is held to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from broker.flows.ports import KeyUse, Ports
from broker.oidc import discovery


def provider_metadata(ports: Ports) -> dict[str, Any]:
    """OIDC Discovery §3, RFC 8414 §2."""
    return discovery.metadata(
        ports.policy.issuer,
        signing=ports.keys.algorithms(KeyUse.ID_TOKEN),
        decryption=ports.keys.algorithms(KeyUse.REQUEST_ENCRYPTION),
        mtls_origin=ports.policy.mtls_origin,
        certificates=ports.policy.client_certificates,
        front_channel_logout=ports.policy.front_channel_logout,
        backchannel=bool(ports.policy.approver_channel),
        identity=bool(ports.policy.sign_anchors),
        licences=ports.healthcare is not None,
    )


def published_keys(ports: Ports) -> Mapping[str, Any]:
    """The provider's JWK Set: what tokens and status lists are checked with, and what clients encrypt to."""
    now = ports.keys.jwks(KeyUse.ID_TOKEN, KeyUse.ACCESS_TOKEN, KeyUse.REQUEST_ENCRYPTION)
    return {"keys": [*now["keys"], *ports.keys.history(KeyUse.MANDATE_STATUS)["keys"]]}  # old lists are read for years
