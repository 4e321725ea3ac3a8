"""The service's own keys: one to prove itself by, one that results are encrypted to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from joserfc.jwk import ECKey

from sandbox import atomicfile


def keys(state: Path) -> tuple[ECKey, ECKey]:
    """For signing and for encryption (EC P-256, one JSON file, 0600), made at the first call. Raises OSError,
    ValueError."""
    path = state / "keys.json"
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    with atomicfile.exclusive(state / ".lock"):
        if not path.exists():
            made = [ECKey.generate_key("P-256").as_dict(private=True) for _ in ("sig", "enc")]
            atomicfile.write(path, json.dumps(made).encode())
    signing, encryption = json.loads(path.read_bytes())
    return (
        ECKey.import_key(signing, {"use": "sig", "alg": "ES256", "kid": "sign"}),
        ECKey.import_key(encryption, {"use": "enc", "alg": "ECDH-ES", "kid": "encrypt"}),
    )


def public_jwks(state: Path) -> dict[str, Any]:
    """For the registration at the broker. Raises OSError, ValueError."""
    return {"keys": [dict(key.as_dict(private=False)) for key in keys(state)]}
