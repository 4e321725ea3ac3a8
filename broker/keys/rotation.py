"""Making keys, following them with others, and destroying the old: whoever changes the key directory does it here.

The order of writing is what keeps readers safe: the statement first, which may name a key that nobody has yet, and
`keys.json` last. Each is replaced whole, under a lock, from what the file held a moment before.
"""

from __future__ import annotations

import base64
import math
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import structlog

from broker.errors import SettingsError, StoreUnavailable
from broker.flows.ports import KeyUse
from broker.keys import directory as files
from broker.keys import keyfile, pkcs11, statement
from broker.keys.algorithms import ENCRYPTION, export, generate, signer
from broker.keys.directory import KEYS_FILE
from broker.keys.pkcs11 import TokenURI
from broker.keys.ring import HISTORIC, MAX_IN_LINE, NOTICE, PUBLISHED_BEFORE, Held, Ring
from broker.keys.statement import LIFETIME, PUBLIC_FILE

SELF_SERVED: Final = (KeyUse.ID_TOKEN, KeyUse.ACCESS_TOKEN, KeyUse.REQUEST_ENCRYPTION, KeyUse.RECEIPT)
"""What follows by itself: nothing has to be had from, or told to, anybody else first."""

_log = structlog.get_logger("broker.keys")


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentRoot:
    """Where the agent-root is while it is here, and what opens it."""

    path: Path
    passphrase: str = field(repr=False)


def create(
    directory: Path,
    passphrase: str,
    *,
    issuer: str,
    now: datetime,
    agent_root_out: Path,
    agent_root_passphrase: str | None = None,
    algorithms: Collection[str] = ("ES256",),
    token: TokenURI | None = None,
    entropy: Callable[[int], bytes] = os.urandom,
) -> None:
    """Make every key of a new installation, and the first statement of request keys (seq 1, 90 days).

    `algorithms` are those of ID and access tokens; request and receipt keys are ES256 always. With `token` all of these
    are made there; encryption keys and secrets stay in the file. The agent-root's private key is written to
    `agent_root_out` alone, sealed by `agent_root_passphrase` (the same passphrase when None). Nothing is ever
    overwritten.
    Raises SettingsError by the file's name, StoreUnavailable.
    """
    if issuer.endswith("/") or "://" not in issuer:
        raise SettingsError("the issuer is an origin without a slash at its end")
    if "ES256" not in algorithms:
        raise SettingsError("ES256 is what every client can count on; other algorithms come beside it")
    for use in (KeyUse.ID_TOKEN, KeyUse.ACCESS_TOKEN):
        files.check_use(use, algorithms)
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        agent_root_out.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as refused:
        raise SettingsError(f"{refused.filename}: cannot be made: {refused.strerror}") from refused
    wanted = [
        *((use, alg) for use in (KeyUse.ID_TOKEN, KeyUse.ACCESS_TOKEN) for alg in dict.fromkeys(algorithms)),
        (KeyUse.CARD_REQUEST, statement.ALGORITHM),
        (KeyUse.RECEIPT, statement.ALGORITHM),
        *((KeyUse.REQUEST_ENCRYPTION, alg) for alg in ENCRYPTION),
        (KeyUse.REGISTER_LOG, "EdDSA"),
        (KeyUse.MANDATE_SEAL, "ES256"),
        (KeyUse.MANDATE_STATUS, statement.ALGORITHM),
    ]
    with keyfile.changing(directory):
        for path in (directory / KEYS_FILE, directory / PUBLIC_FILE, agent_root_out):
            if path.exists():
                raise SettingsError(f"{path.name} exists already; keys are never overwritten")
        maker = _Maker(token=token, now=now, entropy=entropy)
        with maker:
            root_key = generate(statement.ALGORITHM)
            root = signer(root_key, statement.ALGORITHM)
            rows = [maker.row(use, alg, begins=0, in_token=token is not None) for use, alg in wanted]
            private = {
                "issuer": issuer,
                "created_at": int(now.timestamp()),
                "signing": rows,
                "storage": [{"version": 1, "key": _base64(entropy(32))}],
                "serial": [{"version": 1, "key": _base64(entropy(32))}],
            }
            sealed_root = keyfile.seal(
                {"issuer": issuer, "key": export(root_key)},
                kind=statement.AGENT_ROOT_KIND,
                passphrase=passphrase if agent_root_passphrase is None else agent_root_passphrase,
                entropy=entropy,
            )
            keyfile.write(agent_root_out, sealed_root)
            requests = [files.held(row, token=token).jwk for row in rows if row["use"] == KeyUse.CARD_REQUEST]
            statement.write_first(directory, issuer=issuer, root=root, keys=requests, now=now)
            # last: its presence means that all the others are there
            files.write(directory, private, passphrase, entropy=entropy, replace=False)


def rotate(
    directory: Path,
    passphrase: str,
    *,
    now: datetime,
    uses: Collection[KeyUse] = SELF_SERVED,
    algorithms: Collection[str] = (),
    at_once: bool = False,
    agent_root: AgentRoot | None = None,
    token: TokenURI | None = None,
    in_token: bool | None = None,
    entropy: Callable[[int], bytes] = os.urandom,
) -> tuple[Held, ...]:
    """Follow the keys of `uses` with new ones, and answer these; without `algorithms`, for each that a use has.

    A new key of ID and access tokens is published now and begins after ring.PUBLISHED_BEFORE; `at_once` as soon as the
    processes of this machine have seen it. A new request key is stated by the agent-root and begins with its statement.
    A new key of the register begins with the next year's log. It is made where the one before it is, unless `in_token`
    says otherwise.
    Raises SettingsError, StoreUnavailable: then nothing was changed.
    """
    if KeyUse.CARD_REQUEST in uses and agent_root is None:
        raise SettingsError("the agents believe request keys that the agent-root names: give its file")
    with keyfile.changing(directory):
        contents = files.read(directory, passphrase)
        stands = statement.read(directory)
        ring = files.open_directory(directory, passphrase, token=token).ring
        root = None
        if agent_root is not None:
            root = statement.open_root(agent_root.path, agent_root.passphrase, of=stands)
        with _Maker(token=token, now=now, entropy=entropy) as maker:
            rows = []
            for use in dict.fromkeys(uses):
                lines = tuple(dict.fromkeys(algorithms)) or ring.lines(use) or _usual(use)
                files.check_use(use, lines)
                for alg in lines:
                    line = ring.line(use, alg)
                    if len([key for key in line if key not in ring.expired(now=now.timestamp())]) >= MAX_IN_LINE:
                        raise SettingsError(
                            f"{use.value} {alg}: {MAX_IN_LINE} keys still overlap; wait for the first to end"
                        )
                    placed = in_token if in_token is not None else bool(line) and line[-1].place == "token"
                    begins = _begins(use, now=now, at_once=at_once, follows=bool(line))
                    rows.append(maker.row(use, alg, begins=begins, in_token=placed))
            made = tuple(files.held(row, token=token) for row in rows)
            if root is not None:
                alive = [key for key in ring.keys if key not in ring.expired(now=now.timestamp())]
                requests = [key.jwk for key in (*alive, *made) if key.use is KeyUse.CARD_REQUEST]
                statement.write_next(directory, stands, root=root, keys=requests, now=now)
            contents["signing"] = [*contents["signing"], *rows]
            files.write(directory, contents, passphrase, entropy=entropy)
    return made


def _begins(use: KeyUse, *, now: datetime, at_once: bool, follows: bool) -> int:
    """Unix time of a new key's first signature. A log keeps its key for its year: the next one begins the next log."""
    if use is KeyUse.REGISTER_LOG and follows and not at_once:
        return int(datetime(now.astimezone(UTC).year + 1, 1, 1, tzinfo=UTC).timestamp())
    wait = NOTICE if at_once or use not in _FETCHED else PUBLISHED_BEFORE
    return math.ceil((now + wait).timestamp())


_FETCHED: Final = frozenset({KeyUse.ID_TOKEN, KeyUse.ACCESS_TOKEN, KeyUse.RECEIPT, KeyUse.MANDATE_STATUS})
"""What others check with a JWK Set that they may have kept."""


def retire(
    directory: Path,
    passphrase: str,
    *,
    now: datetime,
    token: TokenURI | None = None,
    entropy: Callable[[int], bytes] = os.urandom,
) -> int:
    """Destroy the keys that have run out; how many. Of a use in ring.HISTORIC the public half stays.

    Raises SettingsError.
    """
    with keyfile.changing(directory):
        contents = files.read(directory, passphrase)
        ring = files.open_directory(directory, passphrase, token=token).ring
        gone = {key.kid for key in ring.expired(now=now.timestamp()) if _destroyed(key)}
        if gone:
            rows = zip(contents["signing"], ring.keys, strict=True)
            contents["signing"] = [row for row, key in rows if key.kid not in gone]
            contents["former"] = [*contents.get("former", ()), *_public_halves(ring, gone)]
            files.write(directory, contents, passphrase, entropy=entropy)
    return len(gone)


def _public_halves(ring: Ring, gone: Collection[str]) -> list[dict[str, Any]]:
    stays = [key for key in ring.keys if key.use in HISTORIC and key.kid in gone]
    return [files.row_of_former(key, ends=ends) for key in stays if (ends := ring.ends(key)) is not None]


def _destroyed(key: Held) -> bool:
    """A key of the file goes with its row; one in a token is destroyed there first, or its row stays for next time."""
    if isinstance(key.signer, pkcs11.TokenSigner):
        try:
            key.signer.token.destroy(key.signer.object_id)
        except StoreUnavailable as refused:
            _log.error("key_not_destroyed", kid=key.kid, reason=str(refused))
            return False
    return True


def renew_statement(
    directory: Path,
    *,
    agent_root: Path,
    agent_root_passphrase: str,
    now: datetime,
    lifetime: timedelta = LIFETIME,
    passphrase: str | None = None,
    token: TokenURI | None = None,
) -> int:
    """Sign the request keys again with the next sequence number; answers that number.

    Needs the offline agent-root's file. With the broker's `passphrase` the keys that are held no more are left out;
    without it, the same are named again. Raises SettingsError.
    """
    with keyfile.changing(directory):
        stands = statement.read(directory)
        root = statement.open_root(agent_root, agent_root_passphrase, of=stands)
        keys: list[Mapping[str, str]] = list(stands.keys)
        if passphrase is not None:
            opened = files.open_directory(directory, passphrase, token=token)
            keys = [key.jwk for key in opened.ring.keys if key.use is KeyUse.CARD_REQUEST]
        return statement.write_next(directory, stands, root=root, keys=keys, now=now, lifetime=lifetime)


class _Maker:
    """Makes keys; those in a token are destroyed again where the step they belong to fails."""

    def __init__(self, *, token: TokenURI | None, now: datetime, entropy: Callable[[int], bytes]) -> None:
        self._token, self._now, self._entropy = token, now, entropy
        self._made: list[bytes] = []

    def __enter__(self) -> _Maker:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and self._token is not None:
            for object_id in self._made:
                pkcs11.token(self._token).destroy(object_id)

    def row(self, use: KeyUse, alg: str, *, begins: int, in_token: bool) -> dict[str, Any]:
        """A new key as a row of the key file. An encryption key is never made in a token."""
        if not in_token or use is KeyUse.REQUEST_ENCRYPTION:
            return files.row_in_file(use, alg, generate(alg), begins=begins, now=self._now)
        if self._token is None:
            raise SettingsError("key_token: no token is set")
        object_id = self._entropy(16)
        jwk = pkcs11.token(self._token).generate(alg, object_id, f"{use.value} {alg} {self._now:%Y-%m-%dT%H:%M:%SZ}")
        self._made.append(object_id)
        return files.row_in_token(use, alg, object_id, jwk, begins=begins, now=self._now)


def _usual(use: KeyUse) -> tuple[str, ...]:
    return {KeyUse.REQUEST_ENCRYPTION: ENCRYPTION, KeyUse.REGISTER_LOG: ("EdDSA",)}.get(use, (statement.ALGORITHM,))


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
