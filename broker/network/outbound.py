"""The one gate to other machines (design 4.20).

Registered https addresses only. The name is resolved once, every address it has must be public, and the connection
goes to the address that was judged (no DNS rebinding). No proxy variables, no redirects, 3 s for everything together.
"""

from __future__ import annotations

import http.client
import ipaddress
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple
from urllib.parse import SplitResult, urlsplit

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError
from urllib3.response import HTTPResponse

from broker.errors import OutboundFailed, OutboundRefused

TOTAL_SECONDS: Final = 3.0
DEFAULT_LIMIT: Final = 64 * 1024
MAX_URL: Final = 512
_CHUNK: Final = 64 * 1024
_HOST: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\]")
_PLAIN: Final = re.compile(r"[\x21\x23-\x5b\x5d\x5f\x61-\x7a\x7e]+")  # printable ASCII without " \ ^ ` { | }
_IPv4Literal: Final = re.compile(r"[0-9]{1,3}(\.[0-9]{1,3}){3}")

_REFUSED_V4: Final = tuple(
    ipaddress.IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network, RFC 791
        "10.0.0.0/8",  # private, RFC 1918
        "100.64.0.0/10",  # carrier-grade NAT, RFC 6598
        "127.0.0.0/8",  # loopback, RFC 1122
        "169.254.0.0/16",  # link-local, RFC 3927 (cloud metadata)
        "172.16.0.0/12",  # private, RFC 1918
        "192.0.0.0/24",  # protocol assignments, RFC 6890
        "192.0.2.0/24",  # documentation, RFC 5737
        "192.31.196.0/24",  # AS112, RFC 7535
        "192.52.193.0/24",  # AMT, RFC 7450
        "192.88.99.0/24",  # 6to4 relay, RFC 7526
        "192.168.0.0/16",  # private, RFC 1918
        "192.175.48.0/24",  # AS112, RFC 7534
        "198.18.0.0/15",  # benchmarks, RFC 2544
        "198.51.100.0/24",  # documentation, RFC 5737
        "203.0.113.0/24",  # documentation, RFC 5737
        "224.0.0.0/4",  # multicast, RFC 5771
        "240.0.0.0/4",  # reserved and broadcast, RFC 1112
    )
)
_GLOBAL_V6: Final = ipaddress.IPv6Network("2000::/3")
"""What IANA gives out as global unicast; NAT64 (64:ff9b::), mapped (::ffff:), fc00::, fe80::, ff00:: lie outside."""
_REFUSED_V6: Final = tuple(
    ipaddress.IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments with Teredo, ORCHID and benchmarks, RFC 2928
        "2001:db8::/32",  # documentation, RFC 3849
        "2002::/16",  # 6to4: an IPv4 address inside, RFC 3056
        "2620:4f:8000::/48",  # AS112, RFC 7534
        "3fff::/20",  # documentation, RFC 9637
    )
)

Resolve = Callable[[str, int], list[str]]
"""Every address of a host name, as text. Raises OSError."""


def is_public(address: str) -> bool:
    """Whether `address` (IPv4 or IPv6 literal) may be called: globally routed and not a tunnel to what is not."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv4Address):
        return not any(parsed in network for network in _REFUSED_V4)
    return parsed.scope_id is None and parsed in _GLOBAL_V6 and not any(parsed in network for network in _REFUSED_V6)


def resolve(host: str, port: int) -> list[str]:
    """The system's resolver. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class _Question(NamedTuple):
    """What is asked at an address."""

    method: str
    body: bytes | None
    media_type: str
    bearer: str = ""
    accepted: tuple[int, ...] = (200,)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboundGuard:
    """Calls out, under the rules above.

    Both switches are passed by the sandbox's door only. `allow_loopback_http` permits plain http to a literal
    127.x.y.z; `loopback_ca` (a PEM file) permits https to a name that has addresses of this machine alone, under the
    authorities in that file and no others.
    """

    allow_loopback_http: bool = False
    loopback_ca: str = ""
    resolve: Resolve = resolve
    total_seconds: float = TOTAL_SECONDS

    def get(self, url: str, *, limit: int = DEFAULT_LIMIT) -> bytes:
        """The body of a 200 answer of at most `limit` bytes. Raises OutboundRefused, OutboundFailed."""
        return b"".join(self.stream(url, limit=limit))

    def stream(self, url: str, *, limit: int = DEFAULT_LIMIT) -> Iterator[bytes]:
        """The same in pieces, for what is too large to hold. Only at the end without an error was it all of it."""
        return self._call(url, _Question(method="GET", body=None, media_type=""), limit)

    def post(
        self,
        url: str,
        body: bytes,
        *,
        media_type: str,
        bearer: str = "",
        limit: int = DEFAULT_LIMIT,
        accepted: tuple[int, ...] = (200,),
    ) -> bytes:
        """The same for a question that stands in a body: it is in no address and so in no log of the other side.

        `bearer` is our token there (RFC 6750 §2.1), if we have one; `accepted` are the statuses of a good answer.
        """
        question = _Question(method="POST", body=body, media_type=media_type, bearer=bearer, accepted=accepted)
        return b"".join(self._call(url, question, limit))

    def check_directory(self, scheme: str, host: str, port: int, *, private_line: bool, deadline: float) -> None:
        """Whether an LDAP server may be called by its name: ldaps at a public address, or, on the operator's word,
        a line of its own. The library resolves once more, so unlike `get` this does not pin the address: what comes
        is a signed list, and its host is the operator's choice. Raises OutboundRefused, OutboundFailed.
        """
        if not _HOST.fullmatch(host) and not _is_literal(host):
            raise OutboundRefused("the directory has no plain host name")
        if private_line or (self.allow_loopback_http and _is_loopback_literal(host)):
            return
        if scheme != "ldaps":
            raise OutboundRefused("a directory at a public address is asked by ldaps")
        self._pin(host, port, deadline)

    def _call(self, url: str, question: _Question, limit: int) -> Iterator[bytes]:
        deadline = time.monotonic() + self.total_seconds
        parts = self._permitted(url)
        host = parts.hostname or ""
        port = parts.port or (443 if parts.scheme == "https" else 80)
        address = host if parts.scheme == "http" else self._pin(host, port, deadline)
        connection = self._connection(parts.scheme, host, port, address)
        connection.pin(address, deadline)
        watchdog = threading.Timer(max(0.0, deadline - time.monotonic()), connection.cut)
        watchdog.daemon = True
        watchdog.start()
        try:
            yield from _fetch(connection, parts, question, limit)
        except (HTTPError, http.client.HTTPException, OSError, ValueError) as failed:
            if time.monotonic() >= deadline:
                raise OutboundFailed(f"{host}: no complete answer within {self.total_seconds:g} s") from failed
            raise OutboundFailed(f"{host}: {type(failed).__name__}") from failed
        finally:
            watchdog.cancel()
            connection.close()
            connection.release()

    def _connection(self, scheme: str, host: str, port: int, address: str) -> _Pinned:
        if scheme != "https":
            return _PinnedHTTP(host, port, timeout=self.total_seconds)
        authorities = self.loopback_ca if self.loopback_ca and _is_this_machine(address) else None
        return _PinnedHTTPS(host, port, timeout=self.total_seconds, ca_certs=authorities)

    def _permitted(self, url: str) -> SplitResult:
        if len(url) > MAX_URL or not _PLAIN.fullmatch(url):
            raise OutboundRefused("the address is not a plain URL")
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as broken:
            raise OutboundRefused("the address is not a URL") from broken
        authority, host = parts.netloc, parts.hostname or ""
        written = authority if port is None else authority.rpartition(":")[0]
        if "@" in authority or "#" in url or port == 0 or not _HOST.fullmatch(written):
            raise OutboundRefused("the address names a user, a fragment or no host")
        if parts.scheme == "https":
            return parts
        if parts.scheme == "http" and self.allow_loopback_http and _is_loopback_literal(host):
            return parts
        raise OutboundRefused("the address is not https")

    def _pin(self, host: str, port: int, deadline: float) -> str:
        """The address to connect to: the name's first, after all of them proved public."""
        addresses = [host] if _is_literal(host) else self._resolved(host, port, deadline)
        if not addresses:
            raise OutboundFailed(f"{host}: the name has no address")
        if self.loopback_ca and all(_is_this_machine(address) for address in addresses):
            return addresses[0]
        if not all(is_public(address) for address in addresses):
            raise OutboundRefused(f"{host} is not, or not only, at a public address")
        return addresses[0]

    def _resolved(self, host: str, port: int, deadline: float) -> list[str]:
        """Resolve within the deadline: the system's resolver cannot be told one, so it is left behind in a thread."""
        answer: list[list[str] | OSError] = []

        def ask() -> None:
            try:
                answer.append(self.resolve(host, port))
            except OSError as failed:
                answer.append(failed)
            except UnicodeError:
                answer.append(OSError("not a host name"))

        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        thread.join(max(0.0, deadline - time.monotonic()))
        if not answer:
            raise OutboundFailed(f"{host}: the name did not resolve in time")
        (outcome,) = answer
        if isinstance(outcome, OSError):
            raise OutboundFailed(f"{host}: the name does not resolve") from outcome
        return outcome


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_this_machine(address: str) -> bool:
    return _is_literal(address) and ipaddress.ip_address(address).is_loopback


def _is_loopback_literal(host: str) -> bool:
    """127.x.y.z as four plain decimal numbers; not `localhost`, not 0x7f000001, not 127.1."""
    return bool(_IPv4Literal.fullmatch(host)) and _is_literal(host) and ipaddress.ip_address(host).is_loopback


class _Pinned(HTTPConnection):
    """A connection whose name (Host, SNI, certificate check) and address are judged apart."""

    _address = ""
    _deadline = 0.0
    _grip: socket.socket | None = None
    was_cut = False
    """Whether the watchdog ended it."""

    def pin(self, address: str, deadline: float) -> None:
        """Connect to `address` whatever the name resolves to now, and be done by `deadline` (monotonic)."""
        self._address, self._deadline = address, deadline

    def _new_conn(self) -> socket.socket:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        connected = socket.create_connection((self._address, self.port or 0), timeout=left)
        self._grip = connected.dup()  # TLS takes the socket over; this handle still reaches the connection
        if self.was_cut:
            self.cut()
        return connected

    def cut(self) -> None:
        """End the connection from another thread: a peer that drips bytes resets every time-out but this one."""
        self.was_cut = True
        if self._grip is not None:
            try:
                self._grip.shutdown(socket.SHUT_RDWR)
            except OSError:
                return  # it has ended by itself

    def release(self) -> None:
        """Close the second handle."""
        grip, self._grip = self._grip, None
        if grip is not None:
            grip.close()


class _PinnedHTTP(_Pinned):
    """Loopback, for the sandbox."""


class _PinnedHTTPS(_Pinned, HTTPSConnection):
    """The system's certification authorities, and the name in the certificate."""


def _fetch(connection: _Pinned, parts: SplitResult, question: _Question, limit: int) -> Iterator[bytes]:
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    headers = {"Accept-Encoding": "identity", "User-Agent": "jpki-broker", "Connection": "close"}
    if question.bearer:
        headers["Authorization"] = f"Bearer {question.bearer}"
    connection.request(
        question.method,
        target,
        body=question.body,
        headers=headers if question.body is None else {**headers, "Content-Type": question.media_type},
        preload_content=False,
        decode_content=False,
        enforce_content_length=True,
    )
    response = connection.getresponse()
    try:
        yield from _body(response, connection, parts, question, limit)
    finally:
        response.close()  # a refused answer's body is not read, and would hold the connection


def _body(
    response: HTTPResponse, connection: _Pinned, parts: SplitResult, question: _Question, limit: int
) -> Iterator[bytes]:
    if response.status not in question.accepted:  # a redirect is an answer like any other that is not the list
        raise OutboundFailed(f"{parts.hostname}: status {response.status}")
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise OutboundFailed(f"{parts.hostname}: an encoded body was not asked for")
    if (response.length_remaining or 0) > limit:
        raise OutboundFailed(f"{parts.hostname}: more than {limit} bytes announced")
    left = limit
    while chunk := response.read(min(_CHUNK, left + 1)):
        left -= len(chunk)
        if left < 0:
            raise OutboundFailed(f"{parts.hostname}: more than {limit} bytes")
        yield chunk
    if connection.was_cut:  # where the end of the connection is the end of the body, our cut looks like the peer's end
        raise TimeoutError
