"""Keys in an encrypted file (ports.Keys, design 4.18); the default where no HSM is set.

A key directory holds `keys.json` (private, sealed by the passphrase) and `public.json` (the agent-root's public key
and the statement of request keys it signed). The agent-root's own private key goes to a third file, which is carried
away after creation and fetched for `renew_statement` only.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256

from broker.errors import InvalidToken, SettingsError, StoreUnavailable
from broker.flows.ports import KeyUse
from broker.jose import parse_claims, public_jwk, raw_ecdsa, sign_jws, thumbprint, verify_jws
from broker.jpki.subject import serial_fingerprint
from broker.keys import keyfile

KEYS_FILE = "keys.json"
PUBLIC_FILE = "public.json"
STATEMENT_LIFETIME = timedelta(days=90)
"""The longest that agents accept."""
STATEMENT_TYPE = "card-request-keys+jwt"

_BROKER_KIND = "broker"
_AGENT_ROOT_KIND = "agent-root"
_ALGORITHM = "ES256"
_SEAL_VERSION = b"\x01"
_NONCE_LENGTH = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class ES256Signer:
    """Fulfils jose.Signer with a P-256 key loaded once."""

    alg: str = field(default=_ALGORITHM, init=False)
    kid: str
    jwk: dict[str, Any]
    key: ec.EllipticCurvePrivateKey = field(repr=False)

    def sign(self, data: bytes, /) -> bytes:
        """R and S side by side (RFC 7518 §3.4)."""
        return raw_ecdsa(self.key.sign(data, ec.ECDSA(SHA256())), algorithm=_ALGORITHM)


class SoftwareKeys:
    """Fulfils ports.Keys. Threads share it; nothing in it changes after it was opened."""

    def __init__(
        self,
        *,
        issuer: str,
        signers: dict[KeyUse, ES256Signer],
        storage_secret: bytes,
        serial_secret: bytes,
        card_agent: dict[str, Any],
        entropy: Callable[[int], bytes],
    ) -> None:
        self.issuer = issuer
        """The issuer the keys were made for; the front door compares it with its setting."""
        self._signers = signers
        self._storage = AESGCM(storage_secret)
        self._serial_secret = serial_secret
        self._card_agent = card_agent
        self._entropy = entropy

    def signer(self, use: KeyUse) -> ES256Signer:
        """The current key for a use."""
        return self._signers[use]

    def jwks(self, *uses: KeyUse) -> dict[str, Any]:
        """Public keys as a JWK Set (RFC 7517 §5)."""
        return {
            "keys": [
                {**self._signers[use].jwk, "kid": self._signers[use].kid, "use": "sig", "alg": _ALGORITHM}
                for use in uses
            ]
        }

    def card_agent(self) -> dict[str, Any]:
        """`agent_root` (JWK) and `statement` (root-signed JWS of the request keys)."""
        return dict(self._card_agent)

    def statement_expires_at(self) -> datetime:
        """When agents stop accepting our requests unless `renew_statement` was run and we were started again."""
        claims = _statement_claims(self._card_agent["statement"], self._card_agent["agent_root"])
        return datetime.fromtimestamp(claims["exp"], tz=UTC)

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

    def serial_fingerprint(self, issuer_key_hash: bytes, serial: int) -> bytes:
        """jpki.subject.serial_fingerprint under this installation's secret."""
        return serial_fingerprint(self._serial_secret, issuer_key_hash, serial)


def create(
    directory: Path,
    passphrase: str,
    *,
    issuer: str,
    now: datetime,
    agent_root_out: Path,
    agent_root_passphrase: str | None = None,
    entropy: Callable[[int], bytes] = os.urandom,
) -> None:
    """Make every key of a new installation, and the first statement of request keys (seq 1, 90 days).

    The agent-root's private key is written to `agent_root_out` alone, sealed by `agent_root_passphrase` (the same
    passphrase when None). Nothing is ever overwritten. Raises SettingsError by the file's name.
    """
    if issuer.endswith("/") or "://" not in issuer:
        raise SettingsError("the issuer is an origin without a slash at its end")
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        agent_root_out.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as refused:
        raise SettingsError(f"{refused.filename}: cannot be made: {refused.strerror}") from refused
    for path in (directory / KEYS_FILE, directory / PUBLIC_FILE, agent_root_out):
        if path.exists():
            raise SettingsError(f"{path.name} exists already; keys are never overwritten")
    root = _signer(ec.generate_private_key(ec.SECP256R1()))
    signers = {use: _signer(ec.generate_private_key(ec.SECP256R1())) for use in KeyUse}
    request_keys = [signers[KeyUse.CARD_REQUEST].jwk]
    private = {
        "issuer": issuer,
        "created_at": int(now.timestamp()),
        "signing": [{"use": use.value, "key": _export(signer.key)} for use, signer in signers.items()],
        "storage": [{"version": 1, "key": _base64(entropy(32))}],
        "serial": [{"version": 1, "key": _base64(entropy(32))}],
    }
    sealed_root = keyfile.seal(
        {"issuer": issuer, "key": _export(root.key)},
        kind=_AGENT_ROOT_KIND,
        passphrase=passphrase if agent_root_passphrase is None else agent_root_passphrase,
        entropy=entropy,
    )
    sealed = keyfile.seal(private, kind=_BROKER_KIND, passphrase=passphrase, entropy=entropy)
    public = _public(issuer, root, request_keys, seq=1, now=now, lifetime=STATEMENT_LIFETIME)
    keyfile.write(agent_root_out, sealed_root)
    keyfile.write(directory / PUBLIC_FILE, public)
    keyfile.write(directory / KEYS_FILE, sealed)  # last: its presence means that all the others are there


def open_keys(directory: Path, passphrase: str, *, entropy: Callable[[int], bytes] = os.urandom) -> SoftwareKeys:
    """Load every key once. Raises SettingsError: missing, damaged, wrong passphrase, or parts that do not fit."""
    private = keyfile.unseal(keyfile.read(directory / KEYS_FILE), kind=_BROKER_KIND, passphrase=passphrase)
    public = _read_public(directory)
    try:
        signers = {KeyUse(row["use"]): _signer(_import(row["key"])) for row in private["signing"]}
        storage, serial = (_newest(private[name]) for name in ("storage", "serial"))
        if private["issuer"] != public["issuer"]:
            raise SettingsError(f"{PUBLIC_FILE} belongs to another issuer than {KEYS_FILE}")
    except (KeyError, TypeError, ValueError) as broken:
        raise SettingsError(f"{KEYS_FILE} lacks a key or carries one of another kind") from broken
    if missing := [use.value for use in KeyUse if use not in signers]:
        raise SettingsError(f"{KEYS_FILE} has no key for {', '.join(missing)}")
    stated = _statement_claims(public["statement"], public["agent_root"])
    if stated.get("iss") != private["issuer"] or signers[KeyUse.CARD_REQUEST].jwk not in stated.get("keys", []):
        raise SettingsError(f"the statement in {PUBLIC_FILE} does not name this installation's request key")
    return SoftwareKeys(
        issuer=private["issuer"],
        signers=signers,
        storage_secret=storage,
        serial_secret=serial,
        card_agent={"agent_root": public["agent_root"], "statement": public["statement"]},
        entropy=entropy,
    )


def renew_statement(
    directory: Path,
    *,
    agent_root: Path,
    agent_root_passphrase: str,
    now: datetime,
    lifetime: timedelta = STATEMENT_LIFETIME,
) -> int:
    """Sign the same request keys again with the next sequence number; answers that number.

    Needs the offline agent-root's file, not the broker's passphrase. Raises SettingsError.
    """
    if not timedelta() < lifetime <= STATEMENT_LIFETIME:
        raise SettingsError("a statement lives at most 90 days")
    public = _read_public(directory)
    contents = keyfile.unseal(keyfile.read(agent_root), kind=_AGENT_ROOT_KIND, passphrase=agent_root_passphrase)
    root = _signer(_import(contents["key"]))
    if root.jwk != public["agent_root"] or contents["issuer"] != public["issuer"]:
        raise SettingsError("this agent-root is not the one that agents of this issuer have pinned")
    stated = _statement_claims(public["statement"], public["agent_root"])
    seq = int(stated["seq"]) + 1
    data = _public(public["issuer"], root, stated["keys"], seq=seq, now=now, lifetime=lifetime)
    keyfile.write(directory / PUBLIC_FILE, data, replace=True)
    return seq


def _public(
    issuer: str, root: ES256Signer, keys: list[dict[str, Any]], *, seq: int, now: datetime, lifetime: timedelta
) -> bytes:
    issued = int(now.timestamp())
    statement = sign_jws(
        {
            "iss": issuer,
            "seq": seq,
            "nbf": issued,
            "exp": issued + int(lifetime.total_seconds()),
            "keys": keys,
        },
        signer=root,
        typ=STATEMENT_TYPE,
    )
    return json.dumps({"issuer": issuer, "agent_root": root.jwk, "statement": statement}, indent=1).encode() + b"\n"


def _read_public(directory: Path) -> dict[str, Any]:
    try:
        public = json.loads(keyfile.read(directory / PUBLIC_FILE))
        members: dict[str, Any] = {name: public[name] for name in ("issuer", "agent_root", "statement")}
    except (ValueError, KeyError, TypeError) as broken:
        raise SettingsError(f"{PUBLIC_FILE} is damaged") from broken
    return members


def _statement_claims(statement: str, agent_root: dict[str, Any]) -> dict[str, Any]:
    try:
        root = {**agent_root, "kid": thumbprint(agent_root)}
        return parse_claims(verify_jws(statement, jwks={"keys": [root]}, algorithms=(_ALGORITHM,), typ=STATEMENT_TYPE))
    except InvalidToken as invalid:
        raise SettingsError(f"the statement in {PUBLIC_FILE} is not signed by its agent-root") from invalid


def _signer(key: ec.EllipticCurvePrivateKey) -> ES256Signer:
    jwk = public_jwk(key)
    return ES256Signer(kid=thumbprint(jwk), jwk=dict(jwk), key=key)


def _newest(secrets: list[dict[str, Any]]) -> bytes:
    """One version so far; sealed values and fingerprints begin with theirs, so that a second can join."""
    (only,) = secrets
    secret = base64.b64decode(only["key"], validate=True)
    if only["version"] != 1 or len(secret) != 32:
        raise ValueError("of no version that this program knows")
    return secret


def _export(key: ec.EllipticCurvePrivateKey) -> str:
    return _base64(
        key.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


def _import(text: str) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_der_private_key(base64.b64decode(text, validate=True), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ValueError("not a P-256 key")  # noqa: TRY004 -- what a file holds, not what a caller passed
    return key


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
