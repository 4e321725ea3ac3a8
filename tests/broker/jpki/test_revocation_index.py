"""The index gives the answers of cryptography and openssl, whatever the octets are; what may not stand is refused."""

from __future__ import annotations

import io
import random
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from cryptography import x509
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from bench.crl import NOW, Maker, entries
from broker.jpki import der, scan, walk
from broker.jpki import index as index_
from broker.jpki.index import Heading, Index, IndexDamaged, ListRefused, check_index, write_index
from broker.jpki.revocation import RevocationStatus, check_crl
from broker.jpki.scan import Octets
from broker.jpki.verdict import reason_name

CA = Maker.fresh()
DAY = timedelta(days=1)

REASON = bytes.fromhex("0603551d15")
INVALIDITY = bytes.fromhex("0603551d18")
OTHER = bytes.fromhex("06032a0304")


def made(crl: bytes, ca: Maker = CA) -> Index:
    out = io.BytesIO()
    write_index(Octets(crl), out, issuer=ca.certificate)
    index_.check_octets(Octets(out.getvalue()))
    return Index(memoryview(out.getvalue()))


def extension(oid: bytes, value: bytes, *, critical: bool = False) -> bytes:
    return der.write(der.SEQUENCE, oid, b"\x01\x01\xff" if critical else b"", der.write(der.OCTET_STRING, value))


def entry(serial: bytes, *extensions: bytes, moment: bytes = b"\x17\x0d260102030405Z") -> bytes:
    more = der.write(der.SEQUENCE, *extensions) if extensions else b""
    return der.write(der.SEQUENCE, der.write(der.INTEGER, serial), moment, more)


def octets(serial: int) -> bytes:
    return serial.to_bytes(serial.bit_length() // 8 + 1, "big")


def verdicts(crl: bytes, serial: int) -> tuple[object, object]:
    """What check_crl says (or that it cannot tell), and what the index says (or that it was refused)."""
    leaf = CA.leaf(serial)
    slow = check_crl(crl, certificate=leaf, issuer=CA.certificate, at=NOW + DAY, max_age=3 * DAY)
    try:
        index = made(crl)
    except ListRefused:
        return (None if slow.status is RevocationStatus.UNKNOWN else slow), None
    fast = check_index(index, certificate=leaf, issuer=CA.certificate, at=NOW + DAY, max_age=3 * DAY)
    if slow.status is fast.status is RevocationStatus.UNKNOWN:
        return None, None
    return slow, fast


moments = st.sampled_from(
    [
        b"\x17\x0d260102030405Z",
        b"\x17\x0d500102030405Z",
        b"\x17\x0d240229235959Z",
        b"\x17\x0d260430000000Z",
        b"\x18\x0f20510102030405Z",
        b"\x18\x0f20260102030405Z",
    ]
)
unreadable = st.sampled_from(
    [
        b"\x17\x0d261302030405Z",
        b"\x17\x0d260431000000Z",
        b"\x17\x0d260102240405Z",
        b"\x17\x0d26010203040/Z",
        b"\x17\x0d2601020304:5Z",
        b"\x17\x0d260102030405z",
        b"\x17\x112601020304+0900Z",
        b"\x17\x0b2601020304Z",
    ]
)
extensions = st.lists(
    st.one_of(
        st.integers(0, 10).map(lambda code: extension(REASON, bytes([0x0A, 1, code]))),
        st.just(extension(INVALIDITY, b"\x18\x0f20260102030405Z")),
        st.just(extension(OTHER, b"\x05\x00")),
        st.just(extension(REASON, b"\x0a\x01\x01", critical=True)),
        st.just(extension(OTHER, b"\x05\x00", critical=True)),
        st.just(extension(bytes.fromhex("0603551d1d"), b"\x30\x00", critical=True)),
        st.just(extension(REASON, b"\x0a\x02\x00\x01")),
        st.just(extension(REASON, b"")),
    ),
    max_size=2,
)
imitation = entry(b"\x11")[:19]
serials = st.one_of(
    st.integers(1, 20).flatmap(lambda size: st.binary(min_size=size, max_size=size)),
    st.integers(1, 2**159).map(octets),
    st.sampled_from(
        [b"\x00", b"\x00\x80", b"\x7f", b"\x80", b"\xff\x01", b"\x00\x01", b"\x00" * 9, b"", b"\x00" + b"\xff" * 20]
    ),
    st.just(imitation),
    st.just(b"\x30\x13\x02\x01\x11\x17\x0d26010203040"),
)


@seed(20261120)
@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    listed=st.lists(st.tuples(serials, extensions, moments), min_size=1, max_size=6),
    broken=st.one_of(st.none(), unreadable),
    which=st.integers(0, 5),
    version=st.sampled_from([2, 2, 2, 1]),
)
def test_the_index_says_what_check_crl_says_or_both_can_tell_nothing(
    listed: list[tuple[bytes, list[bytes], bytes]], broken: bytes | None, which: int, version: int
) -> None:
    rows = [entry(serial, *more, moment=moment) for serial, more, moment in listed]
    if broken is not None:
        rows.append(entry(b"\x05", moment=broken))
    crl = CA.crl(b"".join(rows), version=version, number=None if version == 1 else 1)
    chosen = int.from_bytes(listed[which % len(listed)][0], "big", signed=True)
    for serial in {chosen if 0 < chosen < 2**159 else 7, 7}:
        slow, fast = verdicts(crl, serial)
        assert slow == fast


@pytest.mark.parametrize("chunk", [64, 65, 97, 128, 331, 4096])
def test_every_place_where_a_piece_may_end_gives_the_same_entries(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "CHUNK", chunk)
    generator = random.Random(chunk)
    listed = [generator.randbytes(generator.randint(1, 20)) for _ in range(400)]
    listed = [bytes([serial[0] & 0x7F or 1]) + serial[1:] for serial in listed]
    rows = [
        entry(serial, *([extension(REASON, b"\x0a\x01\x04")] if place % 3 else []))
        if place % 7
        else entry(imitation, moment=b"\x18\x0f20510102030405Z")
        for place, serial in enumerate(listed)
    ]
    crl = CA.crl(b"".join(rows))
    index, oracle = made(crl), x509.load_der_x509_crl(crl)
    assert len(index) == len(list(oracle)) == 400
    for revoked in oracle:
        found = index.find(revoked.serial_number)
        first = oracle.get_revoked_certificate_by_serial_number(revoked.serial_number)
        assert found is not None
        assert first is not None
        assert found[1] == first.revocation_date_utc
        assert (found[0] == 4) == (len(first.extensions) == 1)
        assert index.find(revoked.serial_number + 2**158) is None


def test_openssl_and_cryptography_read_the_same_list_of_twenty_thousand(tmp_path: Path) -> None:
    random_ = np.random.default_rng(4)
    listed = random_.integers(1, 2**63, 20_000, dtype=np.uint64) >> random_.integers(0, 56, 20_000, dtype=np.uint64)
    listed = np.unique(listed[listed > 0])
    random_.shuffle(listed)
    crl = CA.crl(entries(listed, random_))
    (tmp_path / "list.crl").write_bytes(crl)
    text = subprocess.run(
        ["openssl", "crl", "-inform", "DER", "-in", tmp_path / "list.crl", "-noout", "-text"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    told = [int(line.split(":")[1], 16) for line in text.splitlines() if "Serial Number:" in line]
    index = made(crl)
    assert told == [int(serial) for serial in listed]
    assert len(index) == len(told)
    for revoked in x509.load_der_x509_crl(crl):
        found = index.find(revoked.serial_number)
        assert found is not None
        assert found[1] == revoked.revocation_date_utc
        reason = [each.value.reason.value for each in revoked.extensions if isinstance(each.value, x509.CRLReason)]
        assert reason_name(found[0]) == (reason[0] if reason else "unspecified")
    known = set(told)
    strangers = [int(each) for each in random_.integers(1, 2**63, 20_000, dtype=np.uint64) if int(each) not in known]
    assert not any(index.holds(serial) for serial in strangers)


def test_serials_that_share_their_lower_words_or_hash_stay_apart() -> None:
    low = 0x1122334455667788
    listed = [low, low + (1 << 64), low + (1 << 128), low + (5 << 64) + (9 << 128)]
    index = made(CA.crl(b"".join(entry(octets(serial)) for serial in listed)))
    assert all(index.holds(serial) for serial in listed)
    assert not index.holds(low + (2 << 64))
    bits = index.heading.bits
    same = low  # a serial whose hash agrees in all the bits that are kept
    inverse = pow(0x9E3779B97F4A7C15, -1, 1 << 64)
    twin = ((walk.fold_one(same) ^ 1) * inverse) & ((1 << 64) - 1)
    assert walk.fold_one(twin) >> bits == walk.fold_one(same) >> bits
    assert not index.holds(twin)


def test_the_first_of_two_entries_counts_as_check_crl_counts_it() -> None:
    rows = entry(b"\x05", extension(REASON, b"\x0a\x01\x04")) + entry(b"\x05", extension(REASON, b"\x0a\x01\x01"))
    index = made(CA.crl(rows))
    assert index.find(5) == (4, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))


def test_an_empty_list_clears_everybody() -> None:
    slow, fast = verdicts(CA.crl(b""), 5)
    assert slow == fast
    assert fast is not None


@pytest.mark.parametrize("what", ["flip", "cut", "longer", "other key", "garbage", "empty", "entry cut"])
def test_what_the_ca_did_not_sign_is_refused(what: str) -> None:
    crl = CA.crl(entry(b"\x05") + entry(b"\x06"))
    generator = random.Random(what)
    flipped = bytearray(crl)
    flipped[generator.randrange(len(crl))] ^= 1 << generator.randrange(8)
    wrong = {
        "flip": bytes(flipped),
        "cut": crl[:-5],
        "longer": crl + b"\x00",
        "other key": Maker.fresh().crl(entry(b"\x05")),
        "garbage": b"<html>not here</html>",
        "empty": b"",
        "entry cut": CA.crl(entry(b"\x05") + entry(b"\x06")[:-1]),
    }[what]
    with pytest.raises(ListRefused):
        made(wrong)


@seed(20261121)
@settings(max_examples=300, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 255))
def test_no_changed_octet_is_ever_accepted(place: int, value: int) -> None:
    crl = CA.crl(b"".join(entry(octets(serial), extension(REASON, b"\x0a\x01\x01")) for serial in range(1, 20)))
    place %= len(crl)
    if crl[place] == value:
        return
    with pytest.raises(ListRefused):
        made(crl[:place] + bytes([value]) + crl[place + 1 :])


@pytest.mark.parametrize("where", [0, 8, -3, -33, -60])
def test_a_changed_octet_in_the_file_is_seen_at_open(where: int) -> None:
    out = io.BytesIO()
    write_index(Octets(CA.crl(entry(b"\x05") + entry(b"\x06"))), out, issuer=CA.certificate)
    data = bytearray(out.getvalue())
    data[where] ^= 4
    for wrong in (bytes(data), out.getvalue()[:-1], out.getvalue()[8:], b""):
        with pytest.raises(IndexDamaged):  # noqa: PT012 -- either of the two may see it
            index_.check_octets(Octets(wrong))
            Index(memoryview(wrong))


def test_no_octet_of_the_file_can_change_unseen() -> None:
    out = io.BytesIO()
    write_index(Octets(CA.crl(b"".join(entry(octets(serial)) for serial in range(1, 40)))), out, issuer=CA.certificate)
    whole = out.getvalue()
    for where in range(len(whole)):
        wrong = whole[:where] + bytes([whole[where] ^ 0x10]) + whole[where + 1 :]
        with pytest.raises(IndexDamaged):  # noqa: PT012 -- either of the two may see it
            index_.check_octets(Octets(wrong))
            Index(memoryview(wrong))


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 63, 64, 65, 1000])
@pytest.mark.parametrize("spread", [64, 12, 3], ids=["even", "crowded", "nearly one place"])
def test_wherever_the_hashes_lie_every_entry_is_found_and_no_other(count: int, spread: int) -> None:
    inverse = pow(0x9E3779B97F4A7C15, -1, 1 << 64)
    generator = random.Random(count)
    ends = [0, (1 << 64) - 1]  # the first place there is, and the last
    hashes = ends[: max(0, count - 1)] + [
        (0xA << 60) + (generator.getrandbits(spread) << (64 - spread)) % (1 << 64) // 2 + place
        for place in range(count)
    ]
    listed = [each * inverse % (1 << 64) for each in hashes[:count]]
    index = made(CA.crl(b"".join(entry(octets(serial)) for serial in listed)))
    assert len(index) == count
    assert all(index.holds(serial) for serial in listed)
    strangers = {(each ^ 1 << bit) * inverse % (1 << 64) for each in hashes for bit in range(64)} - set(listed)
    assert not any(index.holds(serial) for serial in strangers)


SCOPE = extension(bytes.fromhex("0603551d1c"), b"\x30\x00", critical=True)
NUMBER = extension(bytes.fromhex("0603551d14"), b"\x02\x01\x01")
DELTA_INDICATOR = extension(bytes.fromhex("0603551d1b"), b"\x02\x01\x01", critical=True)


@pytest.mark.parametrize(
    ("revoked", "extensions"),
    [
        (entry(b"\x05", extension(REASON, b"\x0a\x01\x01"), extension(REASON, b"\x0a\x01\x04")), b""),
        (entry(b"\x05", extension(OTHER, b"\x05\x00"), extension(OTHER, b"\x05\x00")), b""),
        (entry(b"\x05"), NUMBER),
        (entry(b"\x05"), SCOPE + SCOPE),
        (entry(b"\x05"), DELTA_INDICATOR + DELTA_INDICATOR),
        (entry(b"\x05"), extension(OTHER, b"\x05\x00") * 2),
        (b"", NUMBER),
    ],
    ids=["reason", "unknown in an entry", "number", "scope", "delta indicator", "unknown in the list", "empty list"],
)
def test_an_extension_that_stands_twice_refuses_the_list(revoked: bytes, extensions: bytes) -> None:
    crl = CA.crl(revoked, extensions=extensions)
    with pytest.raises(ListRefused):
        made(crl)
    told = check_crl(crl, certificate=CA.leaf(7), issuer=CA.certificate, at=NOW + DAY, max_age=3 * DAY)
    assert told.status is RevocationStatus.UNKNOWN


def test_a_disk_that_is_full_is_no_fault_of_the_list() -> None:
    class Full(io.BytesIO):
        def write(self, _: object) -> int:
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        write_index(Octets(CA.crl(entry(b"\x05"))), Full(), issuer=CA.certificate)


# --- succession ------------------------------------------------------------------------------------------------------


def heading(count: int = 100_000, **changes: object) -> Heading:
    return Heading(
        **{  # type: ignore[arg-type]  # the test's own table
            "issuer_key_hash": "aa",
            "number": 5,
            "base": None,
            "this_update": NOW,
            "next_update": NOW + DAY,
            "count": count,
            "digest": "00",
            "scope": "",
            "width": 1,
            "bits": 8,
            "head": b"",
            **changes,
        }
    )


@pytest.mark.parametrize(
    ("new", "cause"),
    [
        (heading(number=4), "number"),
        (heading(number=None), "number"),
        (heading(this_update=NOW - DAY), "thisUpdate went back"),
        (heading(this_update=NOW + DAY), "future"),
        (heading(count=49_999), "entries went"),
        (heading(count=200_001), "entries went"),
        (heading(scope="30"), "distribution point"),
        (heading(base=4), "complete"),
    ],
)
def test_a_list_that_is_no_successor_is_refused(new: Heading, cause: str) -> None:
    with pytest.raises(ListRefused, match=cause):
        index_.check_succession(new, heading(), now=NOW)


def test_ordinary_growth_the_same_list_again_and_another_ca_pass() -> None:
    for new in (
        heading(),
        heading(count=50_000),
        heading(count=200_000),
        heading(number=9),
        heading(issuer_key_hash="b"),
    ):
        index_.check_succession(new, heading(), now=NOW)
    index_.check_succession(heading(count=0), heading(), now=NOW, any_size=True)
    index_.check_succession(heading(count=9_000), heading(count=3), now=NOW)


# --- delta lists -----------------------------------------------------------------------------------------------------


def judged(
    base: Index, delta: Index | None, serial: int, at: datetime = NOW + DAY
) -> tuple[RevocationStatus, str, int | None]:
    verdict = check_index(base, delta=delta, certificate=CA.leaf(serial), issuer=CA.certificate, at=at, max_age=3 * DAY)
    return verdict.status, verdict.reason, verdict.crl_number


def test_a_delta_list_adds_takes_out_and_gives_its_dates() -> None:
    hold = extension(REASON, b"\x0a\x01\x06")
    base = made(CA.crl(entry(b"\x05") + entry(b"\x06", hold), number=10))
    delta = made(
        CA.crl(
            entry(b"\x07", extension(REASON, b"\x0a\x01\x04")) + entry(b"\x06", extension(REASON, b"\x0a\x01\x08")),
            number=12,
            base=10,
            this_update=NOW + DAY / 2,
        )
    )
    index_.check_delta(delta.heading, base.heading)
    assert judged(base, None, 6) == (RevocationStatus.REVOKED, "certificateHold", 10)
    assert judged(base, delta, 6) == (RevocationStatus.GOOD, "", 12)
    assert judged(base, delta, 5) == (RevocationStatus.REVOKED, "unspecified", 12)
    assert judged(base, delta, 7) == (RevocationStatus.REVOKED, "superseded", 12)
    assert judged(base, delta, 8) == (RevocationStatus.GOOD, "", 12)


@pytest.mark.parametrize(
    ("number", "base"),
    [(12, 11), (10, 9), (9, 8), (None, 9)],
    ids=["a later base", "overtaken", "older", "no number"],
)
def test_a_delta_list_that_does_not_build_on_the_list_in_force_is_refused(number: int | None, base: int) -> None:
    complete = made(CA.crl(entry(b"\x05"), number=10))
    with pytest.raises(ListRefused):
        index_.check_delta(made(CA.crl(entry(b"\x06"), number=number, base=base)).heading, complete.heading)


def test_a_delta_list_in_the_place_of_the_complete_one_tells_nothing() -> None:
    delta = made(CA.crl(entry(b"\x07"), number=12, base=10))
    assert judged(delta, None, 6) == (RevocationStatus.UNKNOWN, "CRL: a delta list", None)
    assert judged(delta, None, 7)[0] is RevocationStatus.UNKNOWN
    assert judged(delta, delta, 6)[0] is RevocationStatus.UNKNOWN


def test_a_delta_list_that_does_not_belong_to_the_complete_one_tells_nothing() -> None:
    base = made(CA.crl(entry(b"\x05"), number=10))
    other = Maker.fresh()
    for wrong in (
        made(CA.crl(entry(b"\x06"), number=12, base=11)),
        made(CA.crl(entry(b"\x06"), number=11)),
        made(other.crl(entry(b"\x06"), number=12, base=10), other),
    ):
        assert judged(base, wrong, 8)[0] is RevocationStatus.UNKNOWN
        assert judged(base, wrong, 5)[0] is RevocationStatus.UNKNOWN


def test_remove_from_crl_in_a_complete_list_tells_nothing() -> None:
    base = made(CA.crl(entry(b"\x05", extension(REASON, b"\x0a\x01\x08"))))
    assert judged(base, None, 5)[0] is RevocationStatus.UNKNOWN


def test_past_its_time_or_for_another_ca_the_answer_is_unknown() -> None:
    base = made(CA.crl(entry(b"\x05")))
    assert judged(base, None, 6, NOW + 2 * DAY)[0] is RevocationStatus.GOOD
    assert judged(base, None, 6, NOW + 2 * DAY + timedelta(seconds=1))[0] is RevocationStatus.UNKNOWN
    assert judged(base, None, 6, NOW - DAY)[0] is RevocationStatus.UNKNOWN
    other = Maker.fresh()
    verdict = check_index(base, certificate=other.leaf(6), issuer=other.certificate, at=NOW + DAY, max_age=3 * DAY)
    assert (verdict.status, verdict.reason) == (RevocationStatus.UNKNOWN, "CRL: another key's")
