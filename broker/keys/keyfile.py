"""An encrypted key file: JSON around scrypt (RFC 7914) and AES-256-GCM (NIST SP 800-38D).

    {"format": "jpki-broker-keys/1", "kind": "…", "kdf": {"name": "scrypt", "n", "r", "p", "salt"},
     "nonce": "…", "ciphertext": "…"}

Byte strings are standard base64. Everything outside the ciphertext is authenticated with it, so a file of one
kind never opens as another.
"""

from __future__ import annotations

import base64
import binascii
import fcntl
import functools
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from broker.errors import SettingsError

FORMAT = "jpki-broker-keys/1"
MAX_SIZE = 1024 * 1024
COST = {"n": 2**16, "r": 8, "p": 1}
"""scrypt: 64 MiB and about a fifth of a second for each guess."""
_MAX_COST = {"n": 2**18, "r": 8, "p": 4}
_LOCK_TRIES = 600
_LOCK_PAUSE = 0.05
"""Seconds between two tries: half a minute in all, longer than any honest change takes."""


def seal(
    contents: dict[str, Any], *, kind: str, passphrase: str, entropy: Callable[[int], bytes], like: bytes | None = None
) -> bytes:
    """The file's bytes. Raises SettingsError for an empty passphrase.

    With `like`, the file that this one follows, its salt is kept: who has opened that one then opens this one without
    the fifth of a second, and one passphrase has one key. The nonce is new each time.
    """
    if not passphrase:
        raise SettingsError("the key passphrase is empty")
    kdf = None if like is None else json.loads(like)["kdf"]
    if kdf is None or {name: kdf[name] for name in COST} != COST:
        kdf = {"name": "scrypt", **COST, "salt": _base64(entropy(16))}
    head: dict[str, Any] = {
        "format": FORMAT,
        "kind": kind,
        "kdf": kdf,
        "nonce": _base64(entropy(12)),
    }
    sealed = AESGCM(_derive(passphrase, head)).encrypt(
        base64.b64decode(head["nonce"]), json.dumps(contents).encode(), _canonical(head)
    )
    return json.dumps({**head, "ciphertext": _base64(sealed)}, indent=1).encode() + b"\n"


def unseal(data: bytes, *, kind: str, passphrase: str) -> dict[str, Any]:
    """What `seal` was given. Raises SettingsError: another format or kind, a changed file, or a wrong passphrase."""
    try:
        outer = json.loads(data)
        ciphertext = base64.b64decode(outer.pop("ciphertext"), validate=True)
        nonce = base64.b64decode(outer["nonce"], validate=True)
        if outer["format"] != FORMAT or outer["kind"] != kind:
            raise SettingsError(f"not a key file of kind {kind}")
        key = _derive(passphrase, outer)
    except (ValueError, KeyError, TypeError, AttributeError, binascii.Error) as broken:
        raise SettingsError("the key file is damaged") from broken
    try:
        contents: dict[str, Any] = json.loads(AESGCM(key).decrypt(nonce, ciphertext, _canonical(outer)))
    except (InvalidTag, ValueError) as refused:
        raise SettingsError("the key file does not open: wrong passphrase, or the file was changed") from refused
    return contents


def _derive(passphrase: str, head: dict[str, Any]) -> bytes:
    kdf = head["kdf"]
    costs = {name: int(kdf[name]) for name in COST}
    if kdf["name"] != "scrypt" or any(not 1 <= cost <= _MAX_COST[name] for name, cost in costs.items()):
        raise SettingsError("the key file asks for an unknown or unbounded key derivation")
    return _stretch(passphrase, base64.b64decode(kdf["salt"]), **costs)


@functools.lru_cache(maxsize=4)
def _stretch(passphrase: str, salt: bytes, *, n: int, r: int, p: int) -> bytes:
    """Remembered, so that a running broker takes up a changed file within a request, without 64 MiB and a pause."""
    return Scrypt(salt=salt, length=32, n=n, r=r, p=p).derive(passphrase.encode())


def _canonical(head: dict[str, Any]) -> bytes:
    return json.dumps(head, sort_keys=True, separators=(",", ":")).encode()


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


@contextmanager
def changing(directory: Path) -> Iterator[None]:
    """The right to change the files of a key directory: one holder on this machine at a time. Raises SettingsError.

    The lock is the directory's own and goes with its holder, so nothing is left behind by one that was killed.
    """
    try:
        handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as missing:
        raise SettingsError(f"{directory.name} cannot be opened: {missing.strerror}") from missing
    try:
        for _ in range(_LOCK_TRIES):
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                time.sleep(_LOCK_PAUSE)
        else:
            raise SettingsError(f"{directory.name} is being changed by somebody else; try again")
        yield
    finally:
        os.close(handle)


def read(path: Path) -> bytes:
    """The bytes of a key file. Raises SettingsError when it is missing, unreadable or far too large."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_SIZE + 1)
    except OSError as missing:
        raise SettingsError(f"{path.name} cannot be read: {missing.strerror}") from missing
    if len(data) > MAX_SIZE:
        raise SettingsError(f"{path.name} is no key file: too large")
    return data


def write(path: Path, data: bytes, *, replace: bool = False) -> None:
    """Write a 0600 file whole or not at all, and durably. Raises SettingsError when it exists or cannot be written."""
    temporary = None
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mkstemp makes it 0600
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if replace:
            os.replace(temporary, path)
            temporary = None
        else:
            os.link(temporary, path)  # unlike a rename, refuses to overwrite
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except FileExistsError as exists:
        raise SettingsError(f"{path.name} exists already; keys are never overwritten") from exists
    except OSError as refused:
        raise SettingsError(f"{path.name} cannot be written: {refused.strerror}") from refused
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
