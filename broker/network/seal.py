"""What stands beside the seal key, from the operator's file (setting `seal`), its lists fetched and kept.

    certificates = "seal.pem"            # the seal's own first, those above it, and the time-stamp authority's
    anchors = "seal-anchors.pem"         # what verifiers trust
    lists = ["https://…/root.crl", …]    # a revocation list for every authority below an anchor
    time_stamp_authority = "https://…"

Relative paths are taken from the file's own folder. A word that is unknown, missing or unsafe stops the start (R10).
"""

from __future__ import annotations

import threading
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from broker.delegation.rendering import Renderer
from broker.delegation.sealing import SealMaterial
from broker.errors import OutboundFailed, SettingsError
from broker.network.outbound import OutboundGuard
from broker.network.timestamp import TimestampAuthority

MAX_FILE: Final = 256 * 1024
MAX_CERTIFICATES: Final = 8
MAX_LISTS: Final = 8
MAX_LIST: Final = 256 * 1024
"""Bytes of one list: it goes into every document."""
KEPT: Final = timedelta(hours=1)
"""For how long a list is used again, where it says nothing shorter."""
_WORDS: Final = frozenset({"certificates", "anchors", "lists", "time_stamp_authority"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    der: bytes = field(repr=False)
    until: datetime


class SealSource:
    """Fulfils SealPort. Threads share it; each list is fetched by one of them."""

    def __init__(
        self,
        *,
        certificates: tuple[bytes, ...],
        anchors: tuple[bytes, ...],
        lists: tuple[str, ...],
        authority: TimestampAuthority,
        clock: Callable[[], datetime],
    ) -> None:
        self._certificates, self._anchors, self._lists = certificates, anchors, lists
        self._authority, self._clock = authority, clock
        self._lock = threading.Lock()
        self._kept: dict[str, _Kept] = {}
        self._printer: Renderer | None = None

    @property
    def anchors(self) -> tuple[bytes, ...]:
        return self._anchors

    def material(self) -> SealMaterial:
        """Certificates and fresh lists. Raises OutboundFailed, OutboundRefused."""
        with self._lock:
            crls = tuple(self._list(url) for url in self._lists)
        return SealMaterial(
            certificate=self._certificates[0], others=self._certificates[1:], crls=crls, anchors=self._anchors
        )

    def printer(self) -> Renderer:
        """Made at its first use. Raises SettingsError."""
        with self._lock:
            if self._printer is None:
                self._printer = Renderer()
            return self._printer

    def stamp(self, request: bytes, /) -> bytes:
        """A time stamp. Raises OutboundFailed, OutboundRefused."""
        return self._authority(request)

    def _list(self, url: str) -> bytes:
        now = self._clock()
        kept = self._kept.get(url)
        if kept is None or now >= kept.until:
            kept = self._kept[url] = self._fetched(url, now)
        return kept.der

    def _fetched(self, url: str, now: datetime) -> _Kept:
        der = self._authority.guard.get(url, limit=MAX_LIST)
        try:
            crl = x509.load_der_x509_crl(der)
            ends = crl.next_update_utc
        except ValueError as broken:
            raise OutboundFailed("a list of the seal's authorities cannot be read") from broken
        if ends is None or ends <= now:
            raise OutboundFailed("a list of the seal's authorities has run out")
        return _Kept(der=der, until=min(now + KEPT, now + (ends - now) / 2))


def read_seal(path: Path, guard: OutboundGuard, clock: Callable[[], datetime]) -> SealSource:
    """The operator's file. Raises SettingsError, naming what is wrong."""
    try:
        given: dict[str, Any] = tomllib.loads(_read(path).decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as broken:
        raise SettingsError(f"seal: {path.name} is not TOML") from broken
    if odd := set(given) ^ _WORDS:
        raise SettingsError(f"seal: {', '.join(sorted(odd))} is unknown or missing")
    lists, address = given["lists"], given["time_stamp_authority"]
    if not isinstance(lists, list) or not all(isinstance(each, str) for each in lists) or len(lists) > MAX_LISTS:
        raise SettingsError(f"seal: lists is an array of at most {MAX_LISTS} addresses")
    if not isinstance(address, str):
        raise SettingsError("seal: time_stamp_authority is an address")
    return SealSource(
        certificates=_certificates(path, given, "certificates"),
        anchors=_certificates(path, given, "anchors"),
        lists=tuple(lists),
        authority=TimestampAuthority(url=address, guard=guard),
        clock=clock,
    )


def _certificates(path: Path, given: dict[str, Any], word: str) -> tuple[bytes, ...]:
    if not isinstance(given[word], str):
        raise SettingsError(f"seal: {word} is the name of a PEM file")
    try:
        read = x509.load_pem_x509_certificates(_read(path.parent / given[word]))
    except ValueError as broken:
        raise SettingsError(f"seal: {word}: not PEM certificates") from broken
    if not 0 < len(read) <= MAX_CERTIFICATES:
        raise SettingsError(f"seal: {word}: one to {MAX_CERTIFICATES} certificates")
    return tuple(each.public_bytes(Encoding.DER) for each in read)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE + 1)
    except OSError as missing:
        raise SettingsError(f"seal: {path.name} cannot be read") from missing
    if len(data) > MAX_FILE:
        raise SettingsError(f"seal: {path.name} is larger than a file of certificates")
    return data
