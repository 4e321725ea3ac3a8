"""Where revocation is asked: the operator's file of sources, read once at start (setting `crl_sources`).

TOML, or JSON of the same shape (also the bare array of earlier files, whose rows are of type http):

    policy = "ocsp-then-crl"        # "crl" (default), "ocsp", "ocsp-then-crl", "platform"

    [[source]]
    type = "http"                   # "file": path; "http": url; "ldap": url; "ocsp": url; "platform": url
    issuer_key_hash = "<SHA-256 of the CA's SubjectPublicKeyInfo, hex>"
    distribution_point = "CN=…,OU=…,O=JPKI,C=JP"
    url = "https://…"

A word that is unknown, missing or unsafe stops the start and is named (R10).
"""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from broker.errors import SettingsError
from broker.jpki.certificate import issuer_key_hash
from broker.network.crl import Source
from broker.network.ldap import SECONDS as DIRECTORY_SECONDS
from broker.network.ldap import Directory, LDAPFetcher, require_library
from broker.network.outbound import MAX_URL, TOTAL_SECONDS, OutboundGuard
from broker.network.source import Fetcher, FileFetcher, HTTPFetcher

MAX_FILE: Final = 4 * 1024 * 1024
MAX_SECONDS: Final = 600.0
MAX_SECRET: Final = 4096
WordT = TypeVar("WordT", bound=StrEnum)
_HASH: Final = re.compile(r"[0-9a-f]{64}")

_LIST: Final = frozenset({"type", "issuer_key_hash", "distribution_point", "seconds"})
_WORDS: Final[dict[str, frozenset[str]]] = {
    "file": _LIST | {"path"},
    "http": _LIST | {"url"},
    "ldap": _LIST | {"distribution_points", "url", "entry", "private_line", "user", "password_file"},
    "ocsp": frozenset({"type", "issuer_key_hash", "url", "nonce", "max_age_minutes"}),
    "platform": frozenset({"type", "url", "token_file", "notices", "replacements"}),
}


class RevocationPolicy(StrEnum):
    """What a login is decided by. OCSP_THEN_CRL asks the list where the responder proves nothing; PLATFORM takes the
    word of the platform operator that verifies for us.
    """

    CRL = "crl"
    OCSP = "ocsp"
    OCSP_THEN_CRL = "ocsp-then-crl"
    PLATFORM = "platform"


class Nonce(StrEnum):
    """FRESH: every question has a nonce, which must come back. CACHED: none, and an answer is used until it is old."""

    FRESH = "fresh"
    CACHED = "cached"


@dataclass(frozen=True, slots=True, kw_only=True)
class Responder:
    """An OCSP responder of one CA key."""

    issuer_key_hash: bytes
    issuer: bytes = field(repr=False)
    """The CA's certificate (DER)."""
    url: str
    nonce: Nonce = Nonce.FRESH
    max_age: timedelta = timedelta(minutes=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """A platform operator's API (プラットフォーム事業者)."""

    url: str
    token: str = field(repr=False)
    notices: bool = False
    """Whether it tells of revocations between logins."""
    replacements: bool = False
    """Whether it knows which certificate follows which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """All of the file that concerns the accepted CAs."""

    policy: RevocationPolicy
    lists: tuple[Source, ...]
    responders: tuple[Responder, ...]
    platform: Platform | None


def read_sources(path: Path, guard: OutboundGuard, *, anchors: Sequence[bytes]) -> Sources:
    """The sources in `path` for the CAs in `anchors` (DER). Raises SettingsError naming the row and the word.

    The same file may serve the 署名用 CAs too; only lists of the accepted ones are ever asked for.
    """
    document = _document(path)
    unknown = set(document) - {"policy", "source"}
    rows = document.get("source", [])
    if unknown or not isinstance(rows, list):
        raise SettingsError(f"{path.name}: unknown word {_first(unknown) or 'source'}")
    policy = _word(document.get("policy", "crl"), RevocationPolicy, f"{path.name}: policy")
    issuers = {issuer_key_hash(anchor): anchor for anchor in anchors}
    lists: list[Source] = []
    responders: list[Responder] = []
    platforms: list[Platform] = []
    for number, row in enumerate(rows, 1):
        try:
            kind = _checked(row)
            if kind == "platform":
                platforms.append(_platform(row, path.parent))
                continue
            key_hash = _key_hash(row)
            wanted = issuers.get(key_hash)
            if kind == "ocsp":
                responders += [_responder(row, key_hash, wanted)] if wanted else []
            else:
                made = [
                    Source(*each)
                    for each in _lists(
                        row, kind=kind, key_hash=key_hash, folder=path.parent, guard=guard, anchor=wanted
                    )
                ]
                lists += made if wanted else []
        except SettingsError as wrong:
            raise SettingsError(f"{path.name}: source {number}: {wrong}") from None
    _check_whole(policy, lists, responders, platforms, issuers)
    return Sources(
        policy=policy,
        lists=tuple(lists),
        responders=tuple(responders),
        platform=platforms[0] if platforms else None,
    )


def read_foreign_lists(path: Path, guard: OutboundGuard, *, authorities: Sequence[bytes]) -> tuple[Source, ...]:
    """The lists of other authorities (HPKI), one at least for each certificate (DER) of `authorities`.

    A file of the same form, of lists alone. Raises SettingsError naming the row and what is wrong or missing.
    """
    rows = _document(path).get("source", [])
    if not isinstance(rows, list):
        raise SettingsError(f"{path.name}: unknown word source")
    issuers = {issuer_key_hash(authority): authority for authority in authorities}
    found: list[Source] = []
    for number, row in enumerate(rows, 1):
        try:
            kind = _checked(row)
            key_hash = _key_hash(row)
            if kind in {"platform", "ocsp"} or key_hash not in issuers:
                raise SettingsError("not the list of a configured root or authority")
            of = issuers[key_hash]
            made = _lists(row, kind=kind, key_hash=key_hash, folder=path.parent, guard=guard, anchor=of)
            found += [Source(*each) for each in made]
        except SettingsError as wrong:
            raise SettingsError(f"{path.name}: source {number}: {wrong}") from None
    if set(issuers) - {each.issuer_key_hash for each in found}:
        raise SettingsError(f"{path.name}: no list for an HPKI root or authority")
    return tuple(found)


def _document(path: Path) -> Mapping[str, Any]:
    try:
        if path.stat().st_size > MAX_FILE:
            raise SettingsError(f"crl_sources: {path.name} is larger than 4 MiB")
        text = path.read_text(encoding="utf-8")
        read: Any = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except (OSError, ValueError, RecursionError) as broken:
        raise SettingsError(f"crl_sources: {path.name} cannot be read") from broken
    if isinstance(read, list):
        read = {"source": read}
    if not isinstance(read, dict):
        raise SettingsError(f"crl_sources: {path.name} is neither a table nor an array")
    return read


def _check_whole(
    policy: RevocationPolicy,
    lists: Sequence[Source],
    responders: Sequence[Responder],
    platforms: Sequence[Platform],
    issuers: Iterable[bytes],
) -> None:
    if len(platforms) > 1:
        raise SettingsError("crl_sources: more than one platform operator")
    asked = [responder.issuer_key_hash for responder in responders]
    if len(set(asked)) != len(asked):
        raise SettingsError("crl_sources: two OCSP responders for one CA")
    if policy is RevocationPolicy.PLATFORM and not platforms:
        raise SettingsError("crl_sources: policy platform needs a source of type platform")
    by_ocsp = policy in {RevocationPolicy.OCSP, RevocationPolicy.OCSP_THEN_CRL}
    if by_ocsp and not set(issuers) <= set(asked):
        raise SettingsError(f"crl_sources: policy {policy.value} needs an OCSP responder for each accepted CA")
    addresses = [source.fetcher.address for source in lists]
    if len(set(addresses)) != len(addresses):
        raise SettingsError("crl_sources: two sources of one address")


def _checked(row: Any) -> str:
    """The type of a row that has no unknown word."""
    if not isinstance(row, dict):
        raise SettingsError("not a table")
    kind = row.get("type", "http")
    if not isinstance(kind, str) or kind not in _WORDS:
        raise SettingsError("type is file, http, ldap, ocsp or platform")
    if unknown := set(row) - _WORDS[kind]:
        raise SettingsError(f"unknown word {_first(unknown)} in a source of type {kind}")
    return kind


def _first(words: Iterable[object]) -> str:
    return min(map(str, words), default="")


def _key_hash(row: Mapping[str, Any]) -> bytes:
    text = _text(row, "issuer_key_hash")
    if not _HASH.fullmatch(text):
        raise SettingsError("issuer_key_hash: 64 lower-case hexadecimal digits")
    return bytes.fromhex(text)


def _lists(
    row: Mapping[str, Any], *, kind: str, key_hash: bytes, folder: Path, guard: OutboundGuard, anchor: bytes | None
) -> list[tuple[str, bytes, Fetcher]]:
    if kind != "ldap":
        point = _text(row, "distribution_point")
        seconds = _seconds(row, TOTAL_SECONDS)
        if kind == "file":
            return [(point, key_hash, FileFetcher(path=folder / _text(row, "path"), seconds=seconds))]
        return [(point, key_hash, HTTPFetcher(url=_address(row), guard=guard, seconds=seconds))]
    require_library()
    points = row.get("distribution_points", [row.get("distribution_point")])
    if not isinstance(points, list) or not points or not all(isinstance(point, str) and point for point in points):
        raise SettingsError("distribution_point or distribution_points: names, at least one")
    if len(points) > 1 and "entry" in row:
        raise SettingsError("entry: for one distribution point only")
    directory = Directory(
        url=_text(row, "url"),
        private_line=_flag(row, "private_line"),
        user=_text(row, "user", ""),
        password=_secret(row, "password_file", folder, ""),
    )
    seconds = _seconds(row, DIRECTORY_SECONDS)
    return [
        (
            point,
            key_hash,
            LDAPFetcher(
                directory=directory,
                entry=_text(row, "entry", point),
                guard=guard,
                mine=_signed_by(anchor),
                key_name=key_hash.hex()[:16],
                seconds=seconds,
            ),
        )
        for point in points
    ]


def _signed_by(anchor: bytes | None) -> Callable[[bytes], bool]:
    key = None if anchor is None else x509.load_der_x509_certificate(anchor).public_key()

    def holds(der: bytes) -> bool:
        try:
            return isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey) and x509.load_der_x509_crl(
                der
            ).is_signature_valid(key)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            return False

    return holds


def _responder(row: Mapping[str, Any], key_hash: bytes, anchor: bytes) -> Responder:
    minutes = row.get("max_age_minutes", 10)
    if not isinstance(minutes, int) or isinstance(minutes, bool) or not 1 <= minutes <= 24 * 60:
        raise SettingsError("max_age_minutes: 1 to 1440")
    return Responder(
        issuer_key_hash=key_hash,
        issuer=anchor,
        url=_address(row),
        nonce=_word(row.get("nonce", "fresh"), Nonce, "nonce"),
        max_age=timedelta(minutes=minutes),
    )


def _platform(row: Mapping[str, Any], folder: Path) -> Platform:
    return Platform(
        url=_address(row).rstrip("/"),
        token=_secret(row, "token_file", folder),
        notices=_flag(row, "notices"),
        replacements=_flag(row, "replacements"),
    )


def _address(row: Mapping[str, Any]) -> str:
    """Refused at the start if the guard would refuse its form; http is judged by the guard, which knows the sandbox."""
    url = _text(row, "url")
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise SettingsError("url: not an address") from None
    if parts.scheme not in {"https", "http"} or not parts.hostname or parts.username or len(url) > MAX_URL:
        raise SettingsError("url: https://host/…, without a user")
    return url


def _text(row: Mapping[str, Any], name: str, default: str | None = None) -> str:
    value = row.get(name, default)
    if not isinstance(value, str) or (not value and default is None) or not value.isprintable():
        raise SettingsError(f"{name}: a text is needed")
    return value


def _flag(row: Mapping[str, Any], name: str) -> bool:
    value = row.get(name, False)
    if not isinstance(value, bool):
        raise SettingsError(f"{name}: true or false")
    return value


def _seconds(row: Mapping[str, Any], default: float) -> float:
    value = row.get("seconds", default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise SettingsError("seconds: a number")
    if not 0 < value <= MAX_SECONDS:
        raise SettingsError("seconds: more than 0, at most 600")
    return float(value)


def _secret(row: Mapping[str, Any], name: str, folder: Path, default: str | None = None) -> str:
    if name not in row and default is not None:
        return default
    path = folder / _text(row, name)
    try:
        secret = path.read_bytes()[: MAX_SECRET + 1].decode("ascii").rstrip("\n")
    except (OSError, UnicodeDecodeError):
        raise SettingsError(f"{name}: {path.name} cannot be read") from None
    if not secret or len(secret) > MAX_SECRET or not secret.isprintable():
        raise SettingsError(f"{name}: {path.name} holds no printable secret")
    return secret


def _word(value: Any, words: type[WordT], name: str) -> WordT:
    try:
        return words(value)
    except ValueError:
        raise SettingsError(f"{name}: one of {', '.join(words)}") from None
