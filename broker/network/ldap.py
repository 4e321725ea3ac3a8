"""Revocation lists from an LDAP directory (RFC 4511, RFC 4523): each distribution point is an entry.

J-LIS publishes its lists so, one entry per municipality. The entry's name is the distribution point's; nothing else a
certificate says is used, and neither referrals nor aliases are followed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote, urlsplit

from broker.errors import OutboundFailed, SettingsError
from broker.network.outbound import OutboundGuard

SECONDS: Final = 5.0
ATTRIBUTE: Final = "certificateRevocationList;binary"  # RFC 4523 §2.4, §4.6


@dataclass(frozen=True, slots=True, kw_only=True)
class Directory:
    """One server. `private_line`: the operator says it is at a private address, reached over a line of the CA's;
    only there may the scheme be ldap instead of ldaps (a list is signed, so nothing but secrecy is lost).
    """

    url: str
    private_line: bool = False
    user: str = ""
    password: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.url)
            _ = parts.port
        except ValueError as broken:
            raise SettingsError("ldap source: url is not an address") from broken
        if parts.scheme not in {"ldap", "ldaps"} or not parts.hostname or parts.path or parts.query or parts.username:
            raise SettingsError("ldap source: url is ldaps://host[:port] (ldap:// on a private line)")
        if self.user and parts.scheme == "ldap" and self.password:
            raise SettingsError("ldap source: a password goes over ldaps only")


@dataclass(frozen=True, slots=True, kw_only=True)
class LDAPFetcher:
    """The list of one entry."""

    directory: Directory
    entry: str
    """The entry's distinguished name (RFC 4514)."""
    guard: OutboundGuard
    mine: Callable[[bytes], bool]
    """Whether a list is by the CA key of this source: generations of a CA share their entries."""
    key_name: str
    """Tells the sources of one entry apart in the store and the log."""
    seconds: float = SECONDS

    @property
    def address(self) -> str:
        return f"{self.directory.url}/{quote(self.entry, safe='=,')}?{ATTRIBUTE}?base#{self.key_name}"

    def chunks(self, *, limit: int) -> Iterator[bytes]:
        """As Fetcher's. The library holds a whole answer, so `limit` is known after it came; time bounds it before."""
        deadline = time.monotonic() + self.seconds
        parts = urlsplit(self.directory.url)
        port = parts.port or (636 if parts.scheme == "ldaps" else 389)
        self.guard.check_directory(
            parts.scheme, parts.hostname or "", port, private_line=self.directory.private_line, deadline=deadline
        )
        answer: list[list[bytes] | OutboundFailed] = []

        def ask() -> None:
            try:
                answer.append(_search(self.directory, self.entry, deadline))
            except OutboundFailed as failed:
                answer.append(failed)

        # The library's own limits restart with each step, and a server can drip; the thread is left behind instead.
        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        thread.join(max(0.0, deadline - time.monotonic()))
        if not answer:
            raise OutboundFailed(f"{parts.hostname}: no complete answer within {self.seconds:g} s")
        (outcome,) = answer
        if isinstance(outcome, OutboundFailed):
            raise outcome
        if sum(map(len, outcome)) > limit * 2 or max(map(len, outcome), default=0) > limit:
            raise OutboundFailed(f"{parts.hostname}: more than {limit} bytes")
        lists = [each for each in outcome if self.mine(each)]
        if len(lists) != 1:
            raise OutboundFailed(f"{parts.hostname}: the entry has {len(lists)} lists by this key, not one")
        yield lists[0]


def require_library() -> None:
    """Raises SettingsError where python-ldap is not installed: known at the start, not at the first login."""
    try:
        import ldap  # type: ignore[import-untyped]  # noqa: F401, PLC0415 -- the extra [ldap], which has no stubs
    except ImportError as missing:
        raise SettingsError("ldap source: python-ldap is not installed (jpki-broker[ldap])") from missing


def _search(directory: Directory, entry: str, deadline: float) -> list[bytes]:
    """The values of the list attribute. Raises OutboundFailed."""
    import ldap  # noqa: PLC0415 -- as above

    host = urlsplit(directory.url).hostname

    def left() -> float:
        return max(0.05, deadline - time.monotonic())

    try:
        connection = ldap.initialize(directory.url)
    except ldap.LDAPError as failed:
        raise OutboundFailed(f"{host}: {type(failed).__name__}") from failed
    try:
        for option, value in (
            (ldap.OPT_PROTOCOL_VERSION, 3),
            (ldap.OPT_REFERRALS, 0),
            (ldap.OPT_DEREF, ldap.DEREF_NEVER),
            (ldap.OPT_NETWORK_TIMEOUT, left()),
            (ldap.OPT_TIMEOUT, left()),
            (ldap.OPT_X_TLS_REQUIRE_CERT, ldap.OPT_X_TLS_DEMAND),
            (ldap.OPT_X_TLS_NEWCTX, 0),
        ):
            connection.set_option(option, value)
        connection.result3(connection.simple_bind(directory.user, directory.password), timeout=left())
        asked = connection.search_ext(
            entry, ldap.SCOPE_BASE, "(objectClass=*)", attrlist=[ATTRIBUTE], timeout=left(), sizelimit=1
        )
        found: list[tuple[str | None, dict[str, list[bytes]]]] = connection.result3(asked, timeout=left())[1]
    except (ldap.LDAPError, ValueError, TypeError) as failed:
        raise OutboundFailed(f"{host}: {type(failed).__name__}") from failed
    finally:
        _close(connection)
    return [value for name, attributes in found if name is not None for value in attributes.get(ATTRIBUTE, ())]


def _close(connection: Any) -> None:
    import ldap  # noqa: PLC0415 -- as above

    try:
        connection.unbind_s()
    except ldap.LDAPError:
        return  # it has ended by itself
