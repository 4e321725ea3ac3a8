"""The key directory: `keys.json` (private, sealed by the passphrase) and `public.json` (the statement of request keys).

The agent-root's own private key is in neither: it goes to a third file, which is carried away after creation.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from broker.errors import InvalidToken, SettingsError
from broker.flows.ports import KeyUse
from broker.jose import PrivateKey, thumbprint
from broker.keys import keyfile, pkcs11, statement
from broker.keys.algorithms import ENCRYPTION, SIGNING, export, load, signer
from broker.keys.pkcs11 import TokenURI
from broker.keys.ring import Former, Held, Ring
from broker.keys.statement import Statement

KEYS_FILE: Final = "keys.json"
BROKER_KIND: Final = "broker"

_FIRST: Final = 0
"""When the keys of the first day begin: whatever the clock says, they may sign."""
_REQUIRED: Final = (KeyUse.ID_TOKEN, KeyUse.ACCESS_TOKEN, KeyUse.CARD_REQUEST)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """Everything that the files of one moment hold; never changes."""

    issuer: str
    ring: Ring
    storage_secret: bytes = field(repr=False)
    serial_secret: bytes = field(repr=False)
    statement: Statement


def read(directory: Path, passphrase: str) -> dict[str, Any]:
    """The contents of `keys.json`, for whoever changes them. Raises SettingsError."""
    return keyfile.unseal(keyfile.read(directory / KEYS_FILE), kind=BROKER_KIND, passphrase=passphrase)


def write(
    directory: Path,
    contents: dict[str, Any],
    passphrase: str,
    *,
    entropy: Callable[[int], bytes],
    replace: bool = True,
) -> None:
    """Put `contents` in force, whole or not at all. Raises SettingsError."""
    like = keyfile.read(directory / KEYS_FILE) if replace else None
    sealed = keyfile.seal(contents, kind=BROKER_KIND, passphrase=passphrase, entropy=entropy, like=like)
    keyfile.write(directory / KEYS_FILE, sealed, replace=replace)


def open_directory(directory: Path, passphrase: str, *, token: TokenURI | None) -> Opened:
    """Raises SettingsError: missing, damaged, wrong passphrase, or parts that do not fit. No token is touched."""
    contents = read(directory, passphrase)  # before public.json, which a rotation writes first
    stated = statement.read(directory)
    try:
        issuer = contents["issuer"]
        ring = Ring(
            (held(row, token=token) for row in contents["signing"]),
            former=(_former(row) for row in contents.get("former", ())),
        )
        storage, serial = (_newest(contents[name]) for name in ("storage", "serial"))
    except (KeyError, TypeError, ValueError, InvalidToken) as broken:
        raise SettingsError(f"{KEYS_FILE} lacks a key or carries one of another kind") from broken
    if not isinstance(issuer, str) or issuer != stated.issuer:
        raise SettingsError(f"{statement.PUBLIC_FILE} belongs to another issuer than {KEYS_FILE}")
    if missing := [use.value for use in _REQUIRED if not ring.lines(use)]:
        raise SettingsError(f"{KEYS_FILE} has no key for {', '.join(missing)}")
    if len({key.kid for key in ring.keys}) != len(ring.keys):
        raise SettingsError(f"{KEYS_FILE} names one key twice")
    newest = ring.line(KeyUse.CARD_REQUEST, statement.ALGORITHM)[-1]
    if newest.jwk not in stated.keys:
        raise SettingsError(f"the statement in {statement.PUBLIC_FILE} does not name this installation's request key")
    return Opened(issuer=issuer, ring=ring, storage_secret=storage, serial_secret=serial, statement=stated)


def held(row: Mapping[str, Any], *, token: TokenURI | None) -> Held:
    """One row of `keys.json`. A row without `alg` is of the first version: ES256, from the first day.

    Raises SettingsError, ValueError, KeyError, TypeError.
    """
    use, alg, begins = KeyUse(row["use"]), row.get("alg", "ES256"), int(row.get("begins", _FIRST))
    check_use(use, (alg,))
    if "object" in row:
        if token is None:
            raise SettingsError("key_token: the key file names keys in a token, and no token is set")
        remote = pkcs11.signer(token, alg=alg, object_id=bytes.fromhex(row["object"]), jwk=row["jwk"])
        return Held(use=use, alg=alg, kid=remote.kid, jwk=remote.jwk, begins=begins, place="token", signer=remote)
    key = load(row["key"], alg)
    local = signer(key, alg)
    return Held(
        use=use,
        alg=alg,
        kid=local.kid,
        jwk=local.jwk,
        begins=begins,
        place="file",
        signer=local if use is not KeyUse.REQUEST_ENCRYPTION else None,
        decryption=key if use is KeyUse.REQUEST_ENCRYPTION and not isinstance(key, Ed25519PrivateKey) else None,
    )


def row_of_former(key: Held, *, ends: int) -> dict[str, Any]:
    """How the public half of a key is written when the private one goes."""
    return {"use": key.use.value, "alg": key.alg, "jwk": dict(key.jwk), "begins": key.begins, "ends": ends}


def _former(row: Mapping[str, Any]) -> Former:
    return Former(
        use=KeyUse(row.get("use", KeyUse.RECEIPT)),  # at first only receipt keys stayed
        alg=row["alg"],
        kid=thumbprint(row["jwk"]),
        jwk=row["jwk"],
        begins=int(row["begins"]),
        ends=int(row["ends"]),
    )


def row_in_file(use: KeyUse, alg: str, key: PrivateKey, *, begins: int, now: datetime) -> dict[str, Any]:
    """How a private key is written."""
    return {"use": use.value, "alg": alg, "begins": begins, "made": int(now.timestamp()), "key": export(key)}


def row_in_token(
    use: KeyUse, alg: str, object_id: bytes, jwk: Mapping[str, str], *, begins: int, now: datetime
) -> dict[str, Any]:
    """How a key of a token is written: its name there, and the public key that it must turn out to be."""
    made = int(now.timestamp())
    return {"use": use.value, "alg": alg, "begins": begins, "made": made, "object": object_id.hex(), "jwk": dict(jwk)}


def served_by(use: KeyUse) -> tuple[str, ...]:
    """The algorithms that keys of `use` may have."""
    return {
        KeyUse.REQUEST_ENCRYPTION: ENCRYPTION,
        KeyUse.CARD_REQUEST: (statement.ALGORITHM,),
        KeyUse.RECEIPT: (statement.ALGORITHM,),
        KeyUse.MANDATE_STATUS: (statement.ALGORITHM,),
        KeyUse.MANDATE_SEAL: ("ES256", "RS256"),  # what readers of PDF know
        KeyUse.REGISTER_LOG: ("EdDSA",),  # C2SP tlog-checkpoint: what every verifier of a log knows
    }.get(use, SIGNING)


def check_use(use: KeyUse, algorithms: Collection[str]) -> None:
    """May keys of `use` have these algorithms? Raises SettingsError."""
    served = served_by(use)
    if odd := [alg for alg in algorithms if alg not in served]:
        raise SettingsError(f"{use.value} takes {', '.join(served)}, not {', '.join(odd)}")


def _newest(secrets: list[dict[str, Any]]) -> bytes:
    """One version so far; sealed values and fingerprints begin with theirs, so that a second can join."""
    (only,) = secrets
    secret = base64.b64decode(only["key"], validate=True)
    if only["version"] != 1 or len(secret) != 32:
        raise ValueError("of no version that this program knows")
    return secret
