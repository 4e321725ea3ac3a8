"""Three sample services that know people by numbers of their own: library and points, event tickets, staff passes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sandbox.membership.app import create_membership
from sandbox.membership.services import HOST, PORT, SERVICES, MembershipSettings, Service
from sandbox.party.key import public_jwks

__all__ = ["HOST", "PORT", "SERVICES", "MembershipSettings", "create_membership", "public_jwks", "registrations"]


def registrations(base_url: str, jwks: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the three hand to the broker's operator."""
    return [_registration(service, f"{base_url}/{service.slug}", jwks) for service in SERVICES]


def _registration(service: Service, base_url: str, jwks: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "client_id": service.client_id,
        "client_name": service.names["ja"],
        "redirect_uris": [f"{base_url}/callback"],
        "post_logout_redirect_uris": [f"{base_url}/signed-out"],
        "jwks": dict(jwks),
        "profile": "oidc",
        "vetted": True,
        "scope": "openid linked_id",
        "linked_id_pattern": service.pattern,
        "linked_id_transferable": service.transferable,
        "linked_id_unique_person": service.unique_person,
    }
