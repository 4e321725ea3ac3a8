"""The sample bank: a relying party as a stranger writes it from docs/integrators.md, over HTTP alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sandbox.bank.app import create_bank
from sandbox.bank.settings import CLIENT_ID, HOST, NAME, OPENING_SCOPES, PORT, BankSettings
from sandbox.party.key import public_jwks
from sandbox.party.settings import ISSUER

__all__ = [
    "CLIENT_ID",
    "HOST",
    "ISSUER",
    "NAME",
    "OPENING_SCOPES",
    "PORT",
    "BankSettings",
    "create_bank",
    "public_jwks",
    "registration",
]


def registration(base_url: str, jwks: Mapping[str, Any]) -> dict[str, Any]:
    """What the bank hands to the broker's operator: the JSON of `broker client add --file` (RFC 7591 names)."""
    return {
        "client_id": CLIENT_ID,
        "client_name": NAME,
        "redirect_uris": [f"{base_url}/callback"],
        "post_logout_redirect_uris": [f"{base_url}/signed-out"],
        "jwks": dict(jwks),
        "profile": "oidc",
        "vetted": True,
        "scope": " ".join(("openid", "linked_id", *OPENING_SCOPES)),
        "linked_id_pattern": r"\d{7}",
        "rights": ["identity_proofing", "jp_aml"],
        "data_use": {
            item: {
                "purpose": "口座を開くときの本人確認のため",
                "purpose_en": "To verify who opens the account",
                "retention": "口座を解約してから7年間",
                "retention_en": "Seven years after the account is closed",
                "optional": item == "gender",
            }
            for item in ("name", "address", "birthdate", "gender")
        },
    }
