"""Whom the agent believes: the trust file of pinned brokers, and the highest statement number seen from each.

A web page never adds an entry; `sandbox` entries (loopback, http) count only in an agent started for the sandbox.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import os
import re
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, TextIO
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.serialization import load_der_public_key

from cardreader.agent.jose import PublicKey, decode_base64, parse_json, parse_public_key
from cardreader.errors import RequestMalformed

MAX_FILE = 256 * 1024  # bytes
MAX_PHRASE = 80  # characters
MAX_USED: Final = 10_000  # transactions that are never answered again
_MARK: Final = re.compile(r"[0-9a-f]{64}")
_BROKER_MEMBERS = {"issuer", "agent_root", "issuer_keys", "name", "sandbox"}


class TrustInvalid(Exception):
    """The trust file or the state folder cannot be used: the agent does not start. Says what to mend."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedBroker:
    """One pinned broker. `issuer_keys` are the CA keys it accepts, DER SubjectPublicKeyInfo by SHA-256."""

    name: str
    issuer: str
    origin: str
    agent_root: PublicKey
    issuer_keys: Mapping[bytes, bytes] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """The trust file, judged. `seen` maps an issuer to the highest `seq` of its statements."""

    phrase: str
    brokers: tuple[TrustedBroker, ...]
    seen: Mapping[str, int] = field(default_factory=dict)

    def broker_at(self, origin: str) -> TrustedBroker | None:
        """The broker whose pages have this origin."""
        return next((broker for broker in self.brokers if broker.origin == origin), None)

    def with_seen(self, seen: Mapping[str, int]) -> Trust:
        """The same trust with these statement numbers remembered."""
        return replace(self, seen=dict(seen))


class AgentState:
    """The agent's own folder (files are 0600): `seen.json`, replaced atomically, and `used.log`, appended to.

    One agent per folder (see server.py).
    """

    def __init__(self, folder: Path) -> None:
        """Raises TrustInvalid where the folder cannot be made."""
        self._path = folder / "seen.json"
        self._used_path = folder / "used.log"
        self._used: OrderedDict[str, None] | None = None
        self._used_lock = threading.Lock()
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise TrustInvalid(f"the state folder {folder} cannot be made: {error.strerror}") from None

    def seen(self) -> dict[str, int]:
        """Issuer to highest seq. Raises TrustInvalid for a damaged file: forgetting it would allow a roll-back."""
        try:
            text = self._path.read_bytes()
        except FileNotFoundError:
            return {}
        try:
            seen = parse_json(text[: MAX_FILE + 1], what="seen.json")
        except RequestMalformed as error:
            raise TrustInvalid(f"{self._path} is damaged ({error}); restore it from a backup") from None
        if not isinstance(seen, dict) or not all(type(seq) is int for seq in seen.values()):
            raise TrustInvalid(f"{self._path} is damaged; restore it from a backup")
        return seen

    def remember(self, issuer: str, seq: int) -> None:
        """Raise the number of `issuer` to `seq`; never lowers it. A reader sees the old file or the new, never half."""
        seen = self.seen()
        if seen.get(issuer, 0) >= seq:
            return
        seen[issuer] = seq
        handle, name = tempfile.mkstemp(dir=self._path.parent, prefix=".seen-")  # mkstemp makes it 0600
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(seen, file)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(self._path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    def use(self, issuer: str, transaction: str) -> bool:
        """Take a transaction for good, across restarts; False where it was taken before. On disk before it returns.

        Only hashes are kept, of the last MAX_USED transactions. Raises TrustInvalid where they cannot be kept: an agent
        that forgets could answer one request twice.
        """
        mark = hashlib.sha256(f"{issuer}\0{transaction}".encode()).hexdigest()
        with self._used_lock:
            try:
                used = self._load_used()
                if mark in used:
                    return False
                used[mark] = None
                with self._open_used(os.O_APPEND) as file:
                    file.write(f"{mark}\n")
                    file.flush()
                    os.fsync(file.fileno())
            except OSError as error:
                raise TrustInvalid(f"{self._used_path} cannot be used: {error.strerror}") from None
            while len(used) > MAX_USED:
                used.popitem(last=False)
        return True

    def _load_used(self) -> OrderedDict[str, None]:
        if self._used is not None:
            return self._used
        lines: list[str] = []
        if self._used_path.exists():
            lines = self._used_path.read_text(encoding="ascii", errors="replace").splitlines()
        whole = [line for line in lines if _MARK.fullmatch(line)]  # one cut off by a crash had no effect either
        if len(whole) > MAX_USED or len(whole) != len(lines):
            whole = whole[-MAX_USED:]
            fresh = self._used_path.with_suffix(".new")
            with self._open_used(os.O_TRUNC, fresh) as file:
                file.writelines(f"{line}\n" for line in whole)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self._used_path)
        self._used = OrderedDict.fromkeys(whole)
        return self._used

    def _open_used(self, flag: int, path: Path | None = None) -> TextIO:
        descriptor = os.open(path or self._used_path, os.O_WRONLY | os.O_CREAT | flag, 0o600)
        return os.fdopen(descriptor, "w", encoding="ascii")


def load_trust(path: Path, *, sandbox: bool) -> Trust:
    """Read the trust file. Raises TrustInvalid, also for a loopback entry where `sandbox` is off."""
    try:
        with path.open("rb") as file:
            text = file.read(MAX_FILE + 1)
    except OSError as error:
        raise TrustInvalid(f"the trust file {path} cannot be read: {error.strerror}") from None
    if len(text) > MAX_FILE:
        raise TrustInvalid(f"the trust file {path} is larger than {MAX_FILE} bytes")
    try:
        return parse_trust(text, sandbox=sandbox)
    except RequestMalformed as error:
        raise TrustInvalid(f"the trust file {path} is damaged: {error}") from None


def parse_trust(text: str | bytes, *, sandbox: bool) -> Trust:
    """Judge a trust file's text. Raises TrustInvalid or RequestMalformed, naming the member."""
    document = parse_json(text, what="the trust file")
    if (
        not isinstance(document, dict)
        or document.keys() != {"version", "phrase", "brokers"}
        or document["version"] != 1
    ):
        raise TrustInvalid("the trust file has not exactly version 1, phrase and brokers")
    phrase, rows = document["phrase"], document["brokers"]
    if not isinstance(phrase, str) or not 1 <= len(phrase) <= MAX_PHRASE or not phrase.isprintable():
        raise TrustInvalid(f"phrase is not 1 to {MAX_PHRASE} printable characters")
    if not isinstance(rows, list) or not rows:
        raise TrustInvalid("brokers names nobody")
    brokers = tuple(_parse_broker(row, sandbox=sandbox) for row in rows)
    if len({broker.origin for broker in brokers}) != len(brokers):
        raise TrustInvalid("two brokers share one origin")
    return Trust(phrase=phrase, brokers=brokers)


def origin_of(url: str) -> str:
    """scheme://host[:port] as browsers state it (RFC 6454 section 6.2). Raises ValueError for any but a plain address.

    Names must stand in lower-case ASCII already: what a browser would rewrite is refused, not repaired.
    """
    parts = urlsplit(url)
    default = {"https": 443, "http": 80}[parts.scheme] if parts.scheme in ("https", "http") else None
    if default is None or not parts.hostname or parts.username is not None or parts.password is not None:
        raise ValueError("not a plain web address")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    origin = f"{parts.scheme}://{host}" + (f":{parts.port}" if parts.port not in (None, default) else "")
    if not url.isascii() or not (url == origin or url.startswith((f"{origin}/", f"{origin}?"))):
        raise ValueError("not written as browsers write it")
    return origin


def is_loopback(host: str) -> bool:
    """Whether a host is this machine by its very name."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _parse_broker(row: object, *, sandbox: bool) -> TrustedBroker:
    if not isinstance(row, dict) or row.keys() != _BROKER_MEMBERS:
        raise TrustInvalid("a broker has not exactly " + ", ".join(sorted(_BROKER_MEMBERS)))
    name, issuer, keys = row["name"], row["issuer"], row["issuer_keys"]
    if not isinstance(name, str) or not isinstance(issuer, str) or type(row["sandbox"]) is not bool:
        raise TrustInvalid("a broker's name and issuer are text, sandbox is true or false")
    try:
        origin = origin_of(issuer)
    except ValueError as error:
        raise TrustInvalid(f"issuer {issuer} is {error}") from None
    _require_reachable_kind(issuer, entry_for_sandbox=row["sandbox"], started_for_sandbox=sandbox)
    if not isinstance(keys, list) or not keys:
        raise TrustInvalid(f"issuer_keys of {issuer} names no CA key")
    issuer_keys = [decode_base64(key, what="issuer_keys") for key in keys]
    for key in issuer_keys:
        try:
            load_der_public_key(key)
        except ValueError:
            raise TrustInvalid(f"issuer_keys of {issuer} holds what is no public key") from None
    return TrustedBroker(
        name=name,
        issuer=issuer,
        origin=origin,
        agent_root=parse_public_key(row["agent_root"], what="agent_root"),
        issuer_keys={hashlib.sha256(key).digest(): key for key in issuer_keys},
    )


def _require_reachable_kind(issuer: str, *, entry_for_sandbox: bool, started_for_sandbox: bool) -> None:
    parts = urlsplit(issuer)
    host = parts.hostname or ""
    if entry_for_sandbox:
        if not started_for_sandbox:
            raise TrustInvalid(f"{issuer} is a sandbox entry: start the agent with --sandbox, or remove it")
        if not is_loopback(host):
            raise TrustInvalid(f"{issuer} is a sandbox entry but not on this machine")
        return
    if parts.scheme != "https" or is_loopback(host) or _is_address(host) or "." not in host:
        raise TrustInvalid(f"{issuer} needs https and a DNS name")


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
