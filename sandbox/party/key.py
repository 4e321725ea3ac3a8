"""A service's own keys: one for `private_key_jwt` (RFC 7523), its public half at the broker, one for its cookies."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

from joserfc.jwk import ECKey, KeySet

from sandbox import atomicfile


def client_key(state: Path) -> ECKey:
    """The service's signing key (EC P-256, PEM, 0600), made at the first call. Raises OSError, ValueError."""
    path = state / "client-key.pem"
    with atomicfile.exclusive(state / ".lock"):
        if not path.exists():
            atomicfile.write(path, ECKey.generate_key("P-256").as_pem(private=True))
    key = ECKey.import_key(path.read_bytes(), {"use": "sig", "alg": "ES256"})
    key.ensure_kid()  # the RFC 7638 thumbprint
    return key


def public_jwks(state: Path) -> dict[str, Any]:
    """The public JWK Set that goes into the service's registration at the broker. Raises OSError, ValueError."""
    return dict(KeySet([client_key(state)]).as_dict(private=False))


def cookie_key(state: Path) -> bytes:
    """What signs the session cookie; kept so that a restart logs nobody out. Raises OSError."""
    path = state / "cookie-key"
    with atomicfile.exclusive(state / ".lock"):
        if not path.exists():
            atomicfile.write(path, secrets.token_bytes(32))
    return path.read_bytes()
