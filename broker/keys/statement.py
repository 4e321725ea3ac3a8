"""The agent-root's statement: which request keys an agent may believe, and until when (design 4.4).

`public.json` holds the agent-root's public key and the statement in force; after a change also the one before it, which
is served until every process has seen the new one, because an agent never goes back to a lower number.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from broker.errors import InvalidToken, SettingsError
from broker.jose import parse_claims, sign_jws, thumbprint, verify_jws
from broker.keys import keyfile
from broker.keys.algorithms import SoftwareSigner, load, signer
from broker.keys.ring import NOTICE

PUBLIC_FILE: Final = "public.json"
LIFETIME: Final = timedelta(days=90)
"""The longest that agents accept."""
TYPE: Final = "card-request-keys+jwt"
ALGORITHM: Final = "ES256"
MAX_KEYS: Final = 16
"""As many as an agent reads."""
AGENT_ROOT_KIND: Final = "agent-root"


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What `public.json` says, its signature checked."""

    issuer: str
    agent_root: Mapping[str, str]
    token: str
    claims: Mapping[str, Any]
    since: int
    """Unix time from which `token` is served."""
    previous: str | None

    @property
    def expires_at(self) -> datetime:
        return datetime.fromtimestamp(self.claims["exp"], tz=UTC)

    @property
    def keys(self) -> list[dict[str, str]]:
        return list(self.claims["keys"])

    def served(self, *, now: float) -> str:
        """The token that agents are given at `now` (Unix time)."""
        return self.previous if self.previous is not None and now < self.since else self.token


def read(directory: Path) -> Statement:
    """Raises SettingsError: missing, damaged, or not signed by the agent-root beside it."""
    try:
        public = json.loads(keyfile.read(directory / PUBLIC_FILE))
        issuer, root, token = (public[name] for name in ("issuer", "agent_root", "statement"))
        since, previous = int(public.get("since", 0)), public.get("previous")
        if previous is not None:
            _claims(previous, root)
        claims = _claims(token, root)
        if not isinstance(claims["keys"], list) or claims["iss"] != issuer:
            raise SettingsError(f"the statement in {PUBLIC_FILE} is not this issuer's")
        return Statement(issuer=issuer, agent_root=root, token=token, claims=claims, since=since, previous=previous)
    except InvalidToken as invalid:
        raise SettingsError(f"the statement in {PUBLIC_FILE} is not signed by its agent-root") from invalid
    except (ValueError, KeyError, TypeError, AttributeError) as broken:
        raise SettingsError(f"{PUBLIC_FILE} is damaged") from broken


def _claims(token: str, root: Mapping[str, str]) -> dict[str, Any]:
    jwks = {"keys": [{**root, "kid": thumbprint(root)}]}
    return parse_claims(verify_jws(token, jwks=jwks, algorithms=(ALGORITHM,), typ=TYPE))


def open_root(path: Path, passphrase: str, *, of: Statement) -> SoftwareSigner:
    """The agent-root out of its own file: the one that agents of `of` have pinned. Raises SettingsError."""
    contents = keyfile.unseal(keyfile.read(path), kind=AGENT_ROOT_KIND, passphrase=passphrase)
    try:
        root = signer(load(contents["key"], ALGORITHM), ALGORITHM)
        issuer = contents["issuer"]
    except (KeyError, ValueError, TypeError) as broken:
        raise SettingsError(f"{path.name} is damaged") from broken
    if root.jwk != of.agent_root or issuer != of.issuer:
        raise SettingsError("this agent-root is not the one that agents of this issuer have pinned")
    return root


def write_first(
    directory: Path, *, issuer: str, root: SoftwareSigner, keys: Iterable[Mapping[str, str]], now: datetime
) -> None:
    """Number 1. Raises SettingsError where there is one already."""
    token = _sign(issuer, root, keys, seq=1, now=now, lifetime=LIFETIME)
    _write(directory, issuer=issuer, root=root, token=token, replace=False)


def write_next(
    directory: Path,
    stands: Statement,
    *,
    root: SoftwareSigner,
    keys: Iterable[Mapping[str, str]],
    now: datetime,
    lifetime: timedelta = LIFETIME,
) -> int:
    """The statement that follows `stands`; answers its number. Raises SettingsError."""
    if not timedelta() < lifetime <= LIFETIME:
        raise SettingsError("a statement lives at most 90 days")
    seq = int(stands.claims["seq"]) + 1
    token = _sign(stands.issuer, root, keys, seq=seq, now=now, lifetime=lifetime)
    _write(
        directory,
        issuer=stands.issuer,
        root=root,
        token=token,
        replace=True,
        since=int((now + NOTICE).timestamp()),
        previous=stands.served(now=now.timestamp()),
    )
    return seq


def _sign(
    issuer: str,
    root: SoftwareSigner,
    keys: Iterable[Mapping[str, str]],
    *,
    seq: int,
    now: datetime,
    lifetime: timedelta,
) -> str:
    named, issued = [dict(key) for key in keys], int(now.timestamp())
    if len(named) > MAX_KEYS:
        raise SettingsError(f"an agent reads at most {MAX_KEYS} request keys; wait until old ones have run out")
    claims = {
        "iss": issuer,
        "seq": seq,
        "nbf": issued,
        "exp": issued + int(lifetime.total_seconds()),
        "keys": named,
    }
    return sign_jws(claims, signer=root, typ=TYPE)


def _write(directory: Path, *, issuer: str, root: SoftwareSigner, token: str, replace: bool, **change: object) -> None:
    public = {"issuer": issuer, "agent_root": dict(root.jwk), "statement": token, **change}
    keyfile.write(directory / PUBLIC_FILE, json.dumps(public, indent=1).encode() + b"\n", replace=replace)
