"""The keys of a running broker (ports.Keys, design 4.18): read once, and again when the files were replaced."""

from __future__ import annotations

import hmac
import os
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import structlog
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from broker.errors import InvalidToken, SettingsError, StoreUnavailable
from broker.flows.ports import KeyUse
from broker.jose import Signer
from broker.jpki.subject import serial_fingerprint
from broker.jwe import ENCRYPTIONS, decrypt_compact, recipient
from broker.keys import rotation, statement
from broker.keys.directory import KEYS_FILE, Opened, open_directory
from broker.keys.pkcs11 import TokenURI
from broker.keys.ring import Held, State
from broker.oidc.dpop import NonceKeys

LOOK_EVERY: Final = 1.0
"""Seconds between two looks at the files; ring.NOTICE is longer."""
_AGAIN: Final = 30.0
"""Seconds after which files that could not be taken are read again though nothing about them changed."""

_SEAL_VERSION: Final = b"\x01"
_NONCE_LENGTH: Final = 12
_DPOP_LABEL: Final = b"jpki-broker dpop nonce key"

_log = structlog.get_logger("broker.keys")


def _clock() -> datetime:
    return datetime.now(UTC)


class LiveKeys:
    """Fulfils ports.Keys. Threads share it.

    Files that cannot be taken (damaged, half there, another installation's) change nothing: the last good keys serve,
    `trouble` says why, and the log does every half minute.
    """

    def __init__(
        self,
        directory: Path,
        passphrase: str,
        *,
        token: TokenURI | None = None,
        clock: Callable[[], datetime] = _clock,
        entropy: Callable[[int], bytes] = os.urandom,
        look_every: float = LOOK_EVERY,
    ) -> None:
        self._directory, self._passphrase, self._token = directory, passphrase, token
        self._clock, self._entropy, self._look_every = clock, entropy, look_every
        self._stamp = _stamp(directory)
        self._opened = open_directory(directory, passphrase, token=token)
        self._storage = AESGCM(self._opened.storage_secret)
        self._trouble: str | None = None
        self._failures = 0
        self._looking, self._process = threading.Lock(), os.getpid()
        self._next_look, self._next_try = time.monotonic() + look_every, 0.0

    @property
    def issuer(self) -> str:
        """The issuer the keys were made for; the front door compares it with its setting."""
        return self._opened.issuer

    # --- signing ---------------------------------------------------------------------------------------------------

    def signer(self, use: KeyUse, algorithm: str = "ES256") -> Signer:
        """The key that signs now. Raises StoreUnavailable: none of this algorithm."""
        key = self._current().ring.current(use, algorithm, now=self._now())
        if key is None or key.signer is None:
            raise StoreUnavailable(f"no {algorithm} key for {use.value}: `broker keys rotate --algorithm` makes one")
        return key.signer

    def algorithms(self, use: KeyUse) -> tuple[str, ...]:
        """What there is a key for now (JWA names)."""
        return self._current().ring.algorithms(use, now=self._now())

    def jwks(self, *uses: KeyUse) -> dict[str, Any]:
        """Public keys as a JWK Set (RFC 7517 §5): about to sign, signing, and still overlapping."""
        return self._current().ring.jwks(uses, now=self._now())

    def receipt_keys(self) -> dict[str, Any]:
        """Every receipt key there ever was (ports.Keys.receipt_keys)."""
        current = self._current()
        return {"issuer": current.issuer, "keys": current.ring.history(KeyUse.RECEIPT)}

    def history(self, use: KeyUse) -> dict[str, Any]:
        """Every key of a use that there ever was (ports.Keys.history)."""
        return {"keys": self._current().ring.history(use)}

    def held(self) -> tuple[tuple[Held, State, int | None], ...]:
        """Every key with its state and, where another follows, the Unix time of its end; for `broker keys show`."""
        ring, now = self._current().ring, self._now()
        return tuple((key, ring.state(key, now=now), ring.ends(key)) for key in ring.keys)

    # --- what is encrypted to us -------------------------------------------------------------------------------------

    def decrypt(self, token: str | bytes) -> bytes:
        """The plaintext of a compact JWE to one of our encryption keys. Raises InvalidToken."""
        ring, now, kid = self._current().ring, self._now(), recipient(token)
        for key in ring.keys:
            if key.decryption is None or kid not in {None, key.kid} or ring.state(key, now=now) is State.EXPIRED:
                continue
            try:
                return decrypt_compact(token, key=key.decryption, algorithms=(key.alg,), encryptions=ENCRYPTIONS)
            except InvalidToken:
                if kid is not None:
                    raise
        raise InvalidToken("encrypted to no key of ours")

    # --- agents ------------------------------------------------------------------------------------------------------

    def card_agent(self) -> dict[str, Any]:
        """`agent_root` (JWK) and `statement` (root-signed JWS of the request keys)."""
        stated = self._current().statement
        return {"agent_root": dict(stated.agent_root), "statement": stated.served(now=self._now())}

    def statement_expires_at(self) -> datetime:
        """When agents stop accepting our requests unless the statement is renewed."""
        return self._current().statement.expires_at

    # --- storage -----------------------------------------------------------------------------------------------------

    def seal(self, plaintext: bytes, *, context: bytes) -> bytes:
        """AES-256-GCM: version byte, random nonce, ciphertext and tag; `context` is authenticated, not stored."""
        nonce = self._entropy(_NONCE_LENGTH)
        return _SEAL_VERSION + nonce + self._storage.encrypt(nonce, plaintext, _SEAL_VERSION + context)

    def unseal(self, sealed: bytes, *, context: bytes) -> bytes:
        """What `seal` was given. Raises StoreUnavailable: another key, another context, or changed bytes."""
        body = 1 + _NONCE_LENGTH
        if sealed[:1] != _SEAL_VERSION or len(sealed) < body + 16:
            raise StoreUnavailable("a sealed value is of no version that these keys know")
        try:
            return self._storage.decrypt(sealed[1:body], sealed[body:], _SEAL_VERSION + context)
        except InvalidTag as refused:
            raise StoreUnavailable("a sealed value does not open with these keys in this place") from refused

    def nonce_keys(self) -> NonceKeys:
        """Derived from the storage secret, which every host has: a MAC under a label of its own, one way."""
        secret = hmac.digest(self._opened.storage_secret, _DPOP_LABEL, "sha256")
        return NonceKeys(secrets=(secret,))

    def keyed_digest(self, value: bytes, *, label: bytes) -> bytes:
        """HMAC-SHA-256 under a key that is derived from the storage secret for this label."""
        return hmac.digest(
            hmac.digest(self._opened.storage_secret, b"keyed-digest\x00" + label, "sha256"), value, "sha256"
        )

    def serial_fingerprint(self, issuer_key_hash: bytes, serial: int) -> bytes:
        """jpki.subject.serial_fingerprint under this installation's secret."""
        return serial_fingerprint(self._opened.serial_secret, issuer_key_hash, serial)

    # --- change ------------------------------------------------------------------------------------------------------

    def retire(self, *, now: datetime) -> int:
        """Destroy the keys whose every signature has run out; how many. Raises StoreUnavailable."""
        if not self._current().ring.expired(now=now.timestamp()):
            return 0
        try:
            return rotation.retire(self._directory, self._passphrase, token=self._token, now=now, entropy=self._entropy)
        except SettingsError as refused:
            raise StoreUnavailable(f"keys that have run out cannot be removed: {refused}") from refused

    def trouble(self) -> str | None:
        """Why the newest key files could not be taken; None where all is well."""
        self._current()
        return self._trouble

    def _now(self) -> float:
        return self._clock().timestamp()

    def _current(self) -> Opened:
        """What the files held at the last look. One thread looks, the others go on with what there is."""
        if time.monotonic() >= self._next_look:
            if self._process != os.getpid():  # the lock may be held by a thread that this child does not have
                self._looking, self._process = threading.Lock(), os.getpid()
            if self._looking.acquire(blocking=False):
                try:
                    self._look()
                finally:
                    self._looking.release()
        return self._opened

    def _look(self) -> None:
        moment = time.monotonic()
        stamp = _stamp(self._directory)  # before reading: what changes meanwhile is seen at the next look
        if stamp == self._stamp and (self._trouble is None or moment < self._next_try):
            self._next_look = moment + self._look_every
            return
        try:
            opened = open_directory(self._directory, self._passphrase, token=self._token)
            if _identity(opened) != _identity(self._opened):
                raise SettingsError("the key files are another installation's")
        except (SettingsError, StoreUnavailable) as refused:
            self._failures += 1
            self._trouble, self._next_try = str(refused), moment + _AGAIN
            _log.error("keys_refused", reason=str(refused), failures=self._failures)
        else:
            self._opened, self._trouble = opened, None
            _log.info("keys_read", keys=len(opened.ring.keys), statement=opened.statement.claims["seq"])
        self._stamp, self._next_look = stamp, time.monotonic() + self._look_every


def _identity(opened: Opened) -> tuple[object, ...]:
    """What a rotation never changes: other secrets could not open what is stored."""
    return opened.issuer, opened.storage_secret, opened.serial_secret, opened.statement.agent_root


def _stamp(directory: Path) -> tuple[tuple[int, int, int], ...]:
    """Changes with every replacement, write or change of rights of the files."""
    return tuple(_stamp_of(directory / name) for name in (KEYS_FILE, statement.PUBLIC_FILE))


def _stamp_of(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except OSError:
        return 0, 0, 0
    return found.st_ino, found.st_ctime_ns, found.st_size


def open_keys(
    directory: Path,
    passphrase: str,
    *,
    token: TokenURI | None = None,
    clock: Callable[[], datetime] = _clock,
    entropy: Callable[[int], bytes] = os.urandom,
) -> LiveKeys:
    """Load every key. Raises SettingsError: missing, damaged, wrong passphrase, or parts that do not fit."""
    return LiveKeys(directory, passphrase, token=token, clock=clock, entropy=entropy)
