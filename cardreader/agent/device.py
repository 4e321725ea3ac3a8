"""The key of a terminal that everybody uses: it signs each answer, so that a broker knows where that came from."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from joserfc import jws
from joserfc.jwk import ECKey

from cardreader.agent.kiosk import KioskRefused

TYP: Final = "kiosk-answer+jwt"
_FILE: Final = "kiosk-key.pem"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceKey:
    """A P-256 key that never leaves this terminal."""

    key: ECKey = field(repr=False)

    @property
    def public(self) -> dict[str, str]:
        """For the operator of the broker (`broker kiosk enrol`)."""
        return {name: str(value) for name, value in self.key.as_dict(private=False).items() if name in _PUBLIC}

    def sign(self, members: Mapping[str, object], *, issuer: str, transaction: str) -> str:
        """A compact JWS that names the broker, the card transaction and every member of the answer (by their hash)."""
        ordered = {name: members[name] for name in sorted(members)}
        text = json.dumps(ordered, separators=(",", ":"), ensure_ascii=False).encode()
        digest = base64.urlsafe_b64encode(hashlib.sha256(text).digest()).rstrip(b"=").decode("ascii")
        claims = {"aud": issuer, "jti": transaction, "answer": digest}
        header = {"alg": "ES256", "typ": TYP, "kid": self.key.thumbprint()}
        return jws.serialize_compact(header, json.dumps(claims).encode(), self.key)


_PUBLIC: Final = frozenset({"kty", "crv", "x", "y"})


def device_key(folder: Path) -> DeviceKey:
    """The key in `folder`, made at the first use. Raises KioskRefused: unreadable, or others may read it."""
    path = folder / _FILE
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _make_once(path)
        if hasattr(os, "getuid") and path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise KioskRefused(f"others may read this terminal's key:  chmod 0600 {path}")
        key = load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise KioskRefused(f"the terminal's key {path} cannot be kept: {error.strerror}") from None
    except (ValueError, TypeError):
        raise KioskRefused(f"{path} holds no key") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise KioskRefused(f"{path} holds no P-256 key")
    return DeviceKey(key=ECKey.import_key(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())))


def _make_once(path: Path) -> None:
    """Whole or not at all, and never over another: a terminal that loses its key must be enrolled anew."""
    if path.exists():
        return
    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    descriptor, name = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)  # 0600
    beside = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(beside, path)
        except FileExistsError:
            return  # another start of the agent was first
    finally:
        beside.unlink()
