"""Whose network a call is counted under, and how a form's octets are read."""

from __future__ import annotations

import pytest

from broker.errors import InvalidRequest
from broker.web.address import caller
from broker.web.endpoint import pairs


@pytest.mark.parametrize(
    ("stated", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        (" 192.0.2.7 ", "192.0.2.7"),
        ("127.0.0.1", None),
        ("::1", None),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff:ffff:255.255.255.255", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("fe80::1%" + "0" * 500, "fe80::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("::ffff:127.0.0.1", None),
        ("192.0.2.7, 198.51.100.1", None),
        ("0" * 46, None),
        ("", None),
        (None, None),
    ],
)
def test_an_address_counts_for_its_network_or_for_nobody(stated: str | None, network: str | None) -> None:
    for _ in range(2):  # the second answer is a remembered one
        assert caller({"REMOTE_ADDR": "127.0.0.1", "HTTP_X_CALLER": stated}, header="HTTP_X_CALLER") == network


@pytest.mark.parametrize("raw", [b"a=%00", b"%00=a", b"a=%25&b=%%00", b"a=\x00", b"a=x%00y&b=1"])
def test_a_nul_is_refused_however_it_is_written(raw: bytes) -> None:
    with pytest.raises(InvalidRequest):
        pairs(raw)


def test_what_only_looks_like_a_nul_is_read() -> None:
    assert pairs(b"a=%2500&b=%5C0&c=0%30") == [("a", "%00"), ("b", "\\0"), ("c", "00")]
