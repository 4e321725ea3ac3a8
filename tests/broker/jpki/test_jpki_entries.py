"""The array reading of a list's entries against a reader that takes one octet after the other, and another library."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.errors import RevocationUnknown
from broker.jpki import der, entries
from broker.jpki.revocation import RevocationStatus, check_crl
from tests.broker.jpki.jpki_authority import (
    DAY,
    NOW,
    SHA256_WITH_RSA,
    Authority,
    crl_number,
    extension,
    generalized_time,
    integer,
    reason,
    tlv,
    utc_time,
)

CA = Authority()
AFTER = bytes(64)  # an algorithm and a signature follow every list
IMITATION = tlv(0x30, integer(5), utc_time(NOW))
MIB = 1024 * 1024


def listed(*raw: bytes) -> der.Element:
    data = tlv(0x30, *raw)
    return der.read(data + AFTER, 0, len(data))


def entry(serial: bytes, moment: bytes = utc_time(NOW - DAY), extensions: bytes = b"") -> bytes:
    return tlv(0x30, serial, moment, tlv(0x30, extensions) if extensions else b"")


def of(serial: int) -> bytes:
    return entry(integer(serial))


SERIALS = st.integers(1, 20).flatmap(
    lambda octets: st.integers(1 << 8 * octets - 8, (1 << 8 * octets) - 1)
) | st.sampled_from(
    [0, -1, -129, int.from_bytes(b"\x01" + IMITATION[:19], "big"), int.from_bytes(b"\x30\x02\x02" * 6, "big")]
)
EXTENSIONS = st.lists(
    st.sampled_from(
        [
            reason(1),
            extension("2.5.29.24", generalized_time(NOW), critical=True),
            extension("2.5.29.23", bytes.fromhex("06072a8648ce380201")),
            extension("1.2.3.4", IMITATION),
            extension("1.2.3.5", IMITATION * 3 + b"\x30\x81\xff\x02"),
            extension("1.2.3.6", bytes(300)),
        ]
    ),
    unique=True,
    max_size=4,
).map(b"".join)
EXTENSIONS |= st.just(reason(4, critical=True))
MOMENTS = st.sampled_from([utc_time(NOW), utc_time(NOW - 9000 * DAY), generalized_time(NOW)])


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(SERIALS, MOMENTS, EXTENSIONS), min_size=1, max_size=30), SERIALS)
@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
def test_arrays_find_what_reading_octet_by_octet_finds(rows: list[tuple[int, bytes, bytes]], other: int) -> None:
    revoked = listed(*(entry(integer(serial), moment, raw) for serial, moment, raw in rows))
    read = entries.read(revoked, version=2)
    assert read.starts.tolist() == [element.begin for element in revoked.children()]
    for serial in [row[0] for row in rows] + [other]:
        mine = [
            element.begin
            for element in revoked.children()
            if int.from_bytes(next(element.children()).value, "big", signed=True) == serial
        ]
        found = read.find(serial)
        assert (None if found is None else found.begin) == (mine[0] if mine else None)


@pytest.mark.parametrize("window", [1, 20, 33, 64, 257])
def test_wherever_a_window_ends_the_entries_are_the_same(window: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entries, "_WINDOW", window)
    monkeypatch.setattr(entries, "_AT_ONCE", 7)
    generator = random.Random(window)
    serials = [generator.getrandbits(8 * generator.randint(1, 19)) for _ in range(200)]
    rows = [
        entry(
            integer(int.from_bytes(IMITATION[:19], "big") if each % 9 == 0 else each),
            generalized_time(NOW) if each % 5 == 0 else utc_time(NOW),
            b"".join([reason(1), extension("1.2.3.6", bytes(300)), extension("1.2.3.4", IMITATION)][: each % 4]),
        )
        for each in serials
    ]
    revoked = listed(*rows)
    read = entries.read(revoked, version=2)
    assert read.starts.tolist() == [element.begin for element in revoked.children()]
    for place, serial in enumerate(serials):
        if serial % 9:
            found = read.find(serial)
            assert found is not None
            assert found.raw == rows[serials.index(serial)] == rows[place]
    with pytest.raises(RevocationUnknown):
        entries.read(listed(*rows, entry(integer(5), tlv(0x17, b"260231000000Z"))), version=2)
    with pytest.raises(RevocationUnknown):
        entries.read(listed(*rows, rows[0][:-1]), version=2)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(SERIALS, MOMENTS, EXTENSIONS), min_size=1, max_size=4), st.data())
@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
def test_what_is_read_another_library_reads_the_same(rows: list[tuple[int, bytes, bytes]], data: st.DataObject) -> None:
    """One octet of the list is changed: then it is refused, or both see the same entries."""
    revoked = bytearray(tlv(0x30, *(entry(integer(serial), moment, raw) for serial, moment, raw in rows)))
    header = len(revoked) - len(b"".join(entry(integer(s), m, r) for s, m, r in rows))
    revoked[data.draw(st.integers(header, len(revoked) - 1))] = data.draw(st.integers(0, 255))
    body = tlv(
        0x30, integer(1), SHA256_WITH_RSA, CA.name.public_bytes(), utc_time(NOW), utc_time(NOW + DAY), bytes(revoked)
    )
    try:
        read = entries.read(der.read(bytes(revoked) + AFTER, 0, len(revoked)), version=2)
    except RevocationUnknown:
        return
    whole = x509.load_der_x509_crl(tlv(0x30, body, SHA256_WITH_RSA, tlv(0x03, b"\x00", bytes(256))))
    theirs = [each.serial_number for each in whole]
    ours = [
        int.from_bytes(read.data[at : at + size], "big", signed=True)
        for at, size in zip(read.serials.tolist(), read.lengths.tolist(), strict=True)
    ]
    assert ours == theirs


MALFORMED = {
    "a serial of no octets": entry(b"\x02\x00"),
    "a serial that is not in its shortest form": entry(b"\x02\x02\x00\x01"),
    "a negative one that is not": entry(b"\x02\x02\xff\x80"),
    "no date": tlv(0x30, integer(1 << 200)),
    "a date of no day": entry(integer(1), tlv(0x17, b"260230000000Z")[:-5] + b"60000Z"[-5:]),
    "a thirteenth month": entry(integer(1), tlv(0x17, b"261301000000Z")),
    "a date without seconds": entry(integer(1 << 64), tlv(0x17, b"2611010000Z")),
    "a date with an offset": entry(integer(1), tlv(0x17, b"261101000000+0900")),
    "a letter in the date": entry(integer(1), tlv(0x17, b"2611010000:0Z")),
    "a fraction of a second": entry(integer(1), tlv(0x18, b"20261101000000.5Z")),
    "something behind the extensions": tlv(0x30, integer(1), utc_time(NOW), tlv(0x30, reason(1)), b"\x05\x00"),
    "an empty list of extensions": tlv(0x30, integer(1), utc_time(NOW), b"\x30\x00"),
    "an extension without a value": entry(integer(1), extensions=tlv(0x30, bytes.fromhex("0603551d15"))),
    "an extension's name that is cut off": entry(
        integer(1), extensions=tlv(0x30, bytes.fromhex("06032a0389"), b"\x04\x00")
    ),
    "an extension's name with a padded number": entry(
        integer(1), extensions=tlv(0x30, bytes.fromhex("06042a038004"), b"\x04\x00")
    ),
    "FALSE written out": entry(
        integer(1), extensions=tlv(0x30, bytes.fromhex("0603551d15"), b"\x01\x01\x00", b"\x04\x03\x0a\x01\x01")
    ),
    "a length in more octets than it needs": b"\x30\x81" + of(1)[1:],
    "an indefinite length": b"\x30\x80" + of(1)[2:] + b"\x00\x00",
    "an entry that ends behind the list": b"\x30\x19" + of(1)[2:],
    "an entry of nothing": b"\x30\x00" * 20,
    "another element": tlv(0x31, integer(1), utc_time(NOW)),
}


@pytest.mark.parametrize("place", ["first", "last"])
@pytest.mark.parametrize("raw", MALFORMED.values(), ids=MALFORMED)
def test_list_with_one_entry_that_is_not_in_der_is_refused(raw: bytes, place: str) -> None:
    others = [of(serial) for serial in range(100, 110)]
    with pytest.raises(RevocationUnknown):
        entries.read(listed(raw, *others) if place == "first" else listed(*others, raw), version=2)


def long_list(raw: bytes, serial: int = 0) -> bytes:
    """A list of almost 8 MiB whose every entry carries the extensions `raw`."""
    count = (8 * MIB - 4000) // len(entry(integer(serial or 1 << 40), extensions=raw))
    rows = b"".join(entry(integer(serial or (1 << 40) + each), extensions=raw) for each in range(count))
    body = tlv(
        0x30,
        integer(1),
        SHA256_WITH_RSA,
        CA.name.public_bytes(),
        utc_time(NOW - DAY / 2),
        utc_time(NOW + DAY / 2),
        tlv(0x30, rows),
        tlv(0xA0, tlv(0x30, crl_number(7))),
    )
    return CA.signed(body)


@pytest.mark.parametrize(
    ("raw", "serial"),
    [
        (reason(1, critical=True), 0),
        (extension("1.2.3", IMITATION), 0),
        (extension("1.2.3", b"\x30\x00\x02" * 30), 0),
        (b"", int.from_bytes(b"\x01" + b"\x30\x02\x02" * 6, "big")),
        (b"", int.from_bytes(b"\x01" + b"\x30\x50\x02" * 4, "big")),
        (b"", int.from_bytes(bytes.fromhex("302302 0c302302083023020401010101"), "big")),
    ],
    ids=[
        "critical reasons",
        "imitations of an entry",
        "imitations of its head",
        "imitations in serials",
        "likely imitations in serials",
        "serials that lead to the next serial",
    ],
)
def test_a_hostile_list_of_8_mib_is_read_as_any_other(raw: bytes, serial: int) -> None:
    """`python -m bench.trust` prints how long it takes; 50 ms is the bound on an idle machine."""
    verdict = check_crl(long_list(raw, serial), certificate=CA.leaf(), issuer=CA.der, at=NOW, max_age=timedelta(days=1))
    assert verdict.status is RevocationStatus.GOOD
