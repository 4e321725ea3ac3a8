"""Lists out of a real slapd: one entry a municipality, one list a CA key, and an end to waiting."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from broker.errors import OutboundFailed, OutboundRefused, SettingsError
from broker.network.configuration import read_sources
from broker.network.ldap import Directory, LDAPFetcher
from broker.network.outbound import OutboundGuard
from broker.network.source import Fetcher
from tests.broker.jpki.hierarchy import CA
from tests.slapd import Slapd, slapd

__all__ = ["slapd"]

SANDBOX = OutboundGuard(allow_loopback_http=True)
POINT = "CN=Chiyoda CRLDP,OU=CRL Distribution Points,O=JPKI-TEST,C=JP"
LIMIT = 1024 * 1024


def fetcher(url: str, entry: str = POINT, *, guard: OutboundGuard = SANDBOX, seconds: float = 5.0) -> LDAPFetcher:
    return LDAPFetcher(
        directory=Directory(url=url), entry=entry, guard=guard, mine=lambda _: True, key_name="a", seconds=seconds
    )


def fetched(source: Fetcher, limit: int = LIMIT) -> bytes:
    return b"".join(source.chunks(limit=limit))


def test_each_municipality_has_its_own_entry(slapd: Slapd) -> None:
    ca = CA("Root")
    points = [POINT, POINT.replace("Chiyoda", "Minato")]
    lists = [ca.crl([1]), ca.crl([2])]
    for point, each in zip(points, lists, strict=True):
        slapd.publish(point, each)
    assert [fetched(fetcher(slapd.url, point)) for point in points] == lists


def test_generations_that_share_an_entry_each_get_their_own_list(slapd: Slapd, tmp_path: Path) -> None:
    old, new = CA("Root"), CA("Root")
    lists = {ca.key: ca.crl([1]) for ca in (old, new)}
    slapd.publish(POINT, *lists.values())
    rows = "".join(
        f'[[source]]\ntype = "ldap"\nurl = "{slapd.url}"\nissuer_key_hash = "{ca.key_hash.hex()}"\n'
        f'distribution_points = ["{POINT}"]\n'
        for ca in (old, new)
    )
    (tmp_path / "sources.toml").write_text(rows)
    read = read_sources(tmp_path / "sources.toml", SANDBOX, anchors=[old.der, new.der])
    assert [fetched(source.fetcher) for source in read.lists] == list(lists.values())
    assert len({source.fetcher.address for source in read.lists}) == 2


def test_an_entry_that_is_not_there_or_has_no_list_has_failed(slapd: Slapd) -> None:
    slapd.publish(POINT)
    with pytest.raises(OutboundFailed, match="0 lists"):
        fetched(fetcher(slapd.url))
    with pytest.raises(OutboundFailed, match="NO_SUCH_OBJECT"):
        fetched(fetcher(slapd.url, "CN=Nowhere,C=JP"))
    with pytest.raises(OutboundFailed):
        fetched(fetcher(slapd.url, "no name at all"))


def test_a_list_longer_than_asked_for_has_failed(slapd: Slapd) -> None:
    slapd.publish(POINT, CA("Root").crl(range(1, 50)))
    with pytest.raises(OutboundFailed, match="more than 100 bytes"):
        fetched(fetcher(slapd.url), limit=100)


def test_a_directory_that_never_answers_is_left_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        kept: list[socket.socket] = []
        threading.Thread(target=lambda: kept.append(silent.accept()[0]), daemon=True).start()
        with pytest.raises(OutboundFailed):
            fetched(fetcher(f"ldap://127.0.0.1:{silent.getsockname()[1]}", seconds=0.4))
        for each in kept:
            each.close()


@pytest.mark.parametrize(
    ("url", "guard"),
    [
        ("ldap://127.0.0.1", OutboundGuard()),
        ("ldaps://127.0.0.1", OutboundGuard()),
        ("ldap://203.0.114.1", OutboundGuard()),
        ("ldaps://directory.example", OutboundGuard(resolve=lambda _host, _port: ["10.0.0.1"])),
    ],
)
def test_a_directory_elsewhere_than_the_operator_said_is_refused(url: str, guard: OutboundGuard) -> None:
    with pytest.raises(OutboundRefused):
        fetched(fetcher(url, guard=guard))


@pytest.mark.parametrize("url", ["http://a", "ldap://", "ldap://a/dc=x", "ldap://u@a", "ldap://a:x", "ldapi:///"])
def test_an_address_that_is_no_directory_stops_the_start(url: str) -> None:
    with pytest.raises(SettingsError):
        Directory(url=url)


def test_a_password_goes_over_tls_only() -> None:
    with pytest.raises(SettingsError, match="ldaps"):
        Directory(url="ldap://a", private_line=True, user="cn=me", password="x")
    assert "x-y-z" not in repr(Directory(url="ldaps://a", user="cn=me", password="x-y-z"))
