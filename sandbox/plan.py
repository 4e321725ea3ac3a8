"""The clients of an official test plan: from a short file in samples/conformance to what the suite is given.

A plan file says which plan it is for, the suite's own configuration without keys, and what is registered for all its
clients. `complete` fills in addresses, keys, secrets and certificates, and keeps them: the next start finds the same.
What it answers is understood by `broker client load` too.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from joserfc.jwk import ECKey, RSAKey

from sandbox import atomicfile
from sandbox.tls import TLSFiles, issue_to_client

SUITE: Final = "https://localhost.emobix.co.uk:8443"
"""Where the suite serves itself, unless it was told otherwise."""
BROWSER: Final = Path(__file__).resolve().parent.parent / "samples" / "conformance" / "browser.json"
ROLES: Final = ("client", "client2", "client_secret_post")
"""Under which names the suite's configuration speaks of clients."""
_CERTIFICATES: Final = {"client": "mtls", "client2": "mtls2"}
_SUITES_OWN: Final = frozenset({"scope", "hint_type", "hint_value", "acr_value"})
"""What the suite sends for a client, and the broker is not told."""
_SECRET: Final = frozenset({"client_secret_basic", "client_secret_post"})
_MAX_FILE: Final = 256 * 1024
_WHOLE: Final = re.compile(r"\{([a-z_]+)\}")


class PlanInvalid(Exception):
    """A plan file cannot be used; says what to mend."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """Where the sandbox stands. `tls` and `mtls` are empty over http, and then no client shows a certificate."""

    root: Path
    issuer: str
    mtls: str = ""
    tls: TLSFiles | None = None
    suite: str = SUITE


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A plan with everything filled in."""

    name: str
    """Of the official plan."""
    variant: dict[str, str]
    config: dict[str, Any] = field(repr=False)
    """What the suite is given; holds private keys."""
    file: Path
    """Where `config` was written."""
    clients: dict[str, Any] = field(repr=False)
    """What the broker loads: `registration` for all, and each client under `clients`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Filling:
    """What filling in one client takes; `before` is what was filled in at an earlier start."""

    around: Surroundings
    registration: dict[str, Any]
    before: dict[str, Any]
    now: datetime


def complete(path: Path, around: Surroundings, *, now: datetime | None = None) -> Plan:
    """Fill in a plan file, and write what the suite is given. Raises PlanInvalid, OSError."""
    given = _read(path)
    target = around.root / "plans" / path.name
    before = _read(target) if target.exists() else {}
    try:
        config, registration = dict(given["config"]), given.get("registration", {})
        words = {"issuer": around.issuer, "mtls": around.mtls, "suite": around.suite, "alias": config["alias"]}
        page = _filled(_read(BROWSER), words)
        page = _filled(page, page)  # what several overrides share
        config = {**_filled(config, words), "browser": page["browser"], "override": page["override"]}
        registration = _filled(registration, words)
        filling = _Filling(around=around, registration=registration, before=before, now=now or datetime.now(UTC))
        entries = [_client(role, config, filling) for role in ROLES]
        plan = Plan(
            name=given["plan"],
            variant=given["variant"],
            config=config,
            file=target,
            clients={"registration": registration, "clients": [entry for entry in entries if entry is not None]},
        )
    except (KeyError, TypeError, ValueError) as wrong:
        raise PlanInvalid(f"{path.name}: not a plan file: {wrong}") from wrong
    atomicfile.write(target, (json.dumps(config, ensure_ascii=False, indent=2) + "\n").encode())
    return plan


def _read(path: Path) -> dict[str, Any]:
    try:
        raw = path.read_bytes()
        found = json.loads(raw) if len(raw) <= _MAX_FILE else None
    except (OSError, ValueError) as broken:
        raise PlanInvalid(f"{path.name}: cannot be read: {broken}") from broken
    if not isinstance(found, dict):
        raise PlanInvalid(f"{path.name}: not a JSON object of at most {_MAX_FILE} bytes")
    return found


def _filled(value: Any, words: dict[str, Any]) -> Any:
    """`{word}` in every text replaced; a text that is one word alone becomes what the word stands for."""
    if isinstance(value, dict):
        return {name: _filled(inner, words) for name, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, words) for inner in value]
    if not isinstance(value, str):
        return value
    whole = _WHOLE.fullmatch(value)
    if whole is not None and whole[1] in words:
        return words[whole[1]]
    return _WHOLE.sub(lambda found: str(words.get(found[1], found[0])), value)


def _client(role: str, config: dict[str, Any], filling: _Filling) -> dict[str, Any] | None:
    """One client's own members for the broker; its secrets go into `config`. None where the plan has no such client."""
    if "client_id" not in config.get(role, {}):
        return None  # no such client, or one that registers itself
    suite, kept, shared = config[role], filling.before.get(role, {}), filling.registration
    told = {name: value for name, value in suite.items() if name not in _SUITES_OWN}
    asked = {**shared, **told}
    method = asked["token_endpoint_auth_method"]
    if method in _SECRET:
        told["client_secret"] = suite["client_secret"] = kept.get("client_secret") or secrets.token_urlsafe(32)
    elif method == "private_key_jwt" or "request_object_signing_alg" in asked:
        algorithm = asked.get("token_endpoint_auth_signing_alg", "ES256")
        told["jwks"] = suite["jwks"] = kept.get("jwks") or suite.get("jwks") or {"keys": [_new_key(algorithm)]}
    if method == "tls_client_auth" or asked.get("tls_client_certificate_bound_access_tokens"):
        config[_CERTIFICATES[role]] = _certificate(suite, filling)
    suite.pop("tls_client_auth_subject_dn", None)
    return told


def _certificate(suite: dict[str, Any], filling: _Filling) -> dict[str, str]:
    """As the suite takes it: three texts."""
    tls = filling.around.tls
    if tls is None:
        raise ValueError("clients with certificates need TLS=1")
    subject = x509.Name.from_rfc4514_string(suite.get("tls_client_auth_subject_dn", f"CN={suite['client_id']}"))
    certificate, key = issue_to_client(tls, suite["client_id"], subject, filling.now)
    files = {"cert": certificate, "key": key, "ca": tls.client_authority}
    return {name: file.read_text(encoding="ascii") for name, file in files.items()}


def _new_key(algorithm: str) -> dict[str, Any]:
    """A private signing key as the suite wants it: with its use, algorithm and name."""
    parameters: Any = {"use": "sig", "alg": algorithm, "kid": secrets.token_hex(8)}
    if algorithm == "ES256":
        return dict(ECKey.generate_key("P-256", parameters, private=True).as_dict(private=True))
    if algorithm in {"PS256", "RS256"}:
        return dict(RSAKey.generate_key(2048, parameters, private=True).as_dict(private=True))
    raise ValueError(f"no keys are made for {algorithm}: put them into the plan file")


def complete_all(paths: Iterable[Path], around: Surroundings) -> tuple[Plan, ...]:
    """Every plan file given. Raises PlanInvalid, OSError."""
    return tuple(complete(path, around) for path in paths)
