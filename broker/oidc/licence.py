"""A login by HPKI card (医療従事者の資格): who may ask for it, and what is told of it.

It is a login of another kind than a resident's: another card, another account, an `acr` of its own, so that nobody who
compares `acr` takes a doctor's card for a MyNumber card.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from broker.errors import InteractionRequired, InvalidScope, LicenceNotAllowed
from broker.oidc import verified_claims
from broker.oidc.client import AuthMethod, Client, Right
from broker.oidc.verified_claims import Check, Evidence, EvidenceType

SCOPE: Final = "hpki"
"""Asks for a login by HPKI card; with `openid`, and with nothing else."""
JOINT_SCOPE: Final = "joint"
"""The patient's half of a joint transaction; with `openid`, and with nothing else. A client has it on its own too."""
SCOPES: Final = frozenset({SCOPE, JOINT_SCOPE})
ACR: Final = "urn:jpki-broker:acr:hpki"
"""A fresh signature by an HPKI card with its PIN."""
ROLES: Final = "hcrole"
"""The claim that has the licences, as the certificate states them (ISO 17090), an array of exact strings."""
INSTITUTION: Final = "urn:jpki-broker:claim:institution"
KIND: Final = "hpki"
"""`TrustedCertificate.kind` of such a card."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Licence:
    """What one login proved. `organization` is empty where the certificate states none."""

    name: str = field(repr=False)
    organization: str = field(repr=False)
    roles: tuple[str, ...]
    proved_at: datetime

    def claims(self, *, issuer: str) -> dict[str, Any]:
        """As `verified_claims` tells it (Identity Assurance 1.0). Who issued the certificate says nothing of it."""
        checks = tuple(
            Check(method=method, organization=issuer, time=self.proved_at) for method in verified_claims.CHECK_METHODS
        )
        evidence = Evidence(
            type=EvidenceType.ELECTRONIC_SIGNATURE, checks=checks, issuer="HPKI", created_at=self.proved_at
        )
        told: dict[str, Any] = {"name": self.name, ROLES: list(self.roles)}
        if self.organization:
            told[INSTITUTION] = self.organization
        return {
            "verification": {
                "trust_framework": f"{issuer}/trust-framework/hpki",
                "time": self.proved_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
                "evidence": [evidence.data()],
            },
            "claims": told,
        }


def to_json(licence: Licence) -> bytes:
    """For sealing."""
    told = {
        "name": licence.name,
        "organization": licence.organization,
        "roles": list(licence.roles),
        "proved_at": licence.proved_at.isoformat(),
    }
    return json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()


def from_json(data: bytes) -> Licence:
    """What `to_json` wrote."""
    told = json.loads(data)
    return Licence(
        name=told["name"],
        organization=told["organization"],
        roles=tuple(told["roles"]),
        proved_at=datetime.fromisoformat(told["proved_at"]),
    )


def check_may_ask(client: Client, scope: str) -> None:
    """Who may ask for licences, and for patients beside them. Raises LicenceNotAllowed."""
    if Right.HEALTHCARE not in client.rights or scope not in client.scope:
        raise LicenceNotAllowed("an operator has not granted it, or the client is not registered for the scope")
    if client.auth_method is not AuthMethod.PRIVATE_KEY_JWT:
        raise LicenceNotAllowed("it takes a client that authenticates with private_key_jwt")


def check_request(
    asked: Collection[str], granted: Collection[str], joint: str | None, prompt: Collection[str], client: Client
) -> None:
    """Judge an authorization request as far as it asks for a licence, or for a patient beside one.

    `asked` is the scope as it was sent, `granted` what all of the request comes to. Raises LicenceNotAllowed,
    InvalidScope, InteractionRequired.
    """
    wanted = SCOPES.intersection(asked)
    if not wanted:
        if joint is not None:
            raise InvalidScope("a joint transaction goes with the scope hpki or joint")
        return
    (scope, *others) = sorted(wanted)
    check_may_ask(client, scope)
    if others or set(granted) != {"openid", scope}:
        raise InvalidScope(f"{scope} goes with openid, and with nothing else")
    if scope == JOINT_SCOPE and joint is None:
        raise InvalidScope("joint goes with a joint_transaction_id")
    if "none" in prompt:
        raise InteractionRequired("it takes a card")
