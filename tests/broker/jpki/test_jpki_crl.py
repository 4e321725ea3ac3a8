"""CRLs that answer, CRLs that must not, and the reason each time (RFC 5280 §5, §6.3; design section 5)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.errors import CertificateRenewing, CertificateRevoked, RevocationUnknown
from broker.jpki.algorithms import LEGACY_TEST, PRODUCTION, Algorithms
from broker.jpki.certificate import unrevoked
from broker.jpki.path import validate_path
from broker.jpki.profile import USER_AUTHENTICATION
from broker.jpki.revocation import RevocationStatus, RevocationVerdict, check_crl
from tests.broker.jpki.jpki_authority import (
    AUTH_TEST,
    DAY,
    NOW,
    SHA1_WITH_RSA,
    Authority,
    bit_string,
    ca_name,
    crl_number,
    distribution_point,
    extension,
    full_name,
    generalized_time,
    integer,
    issuing_distribution_point,
    point_name,
    policies,
    reason,
    rsa_key,
    tlv,
    utc_time,
)

GOOD, REVOKED, UNKNOWN = RevocationStatus.GOOD, RevocationStatus.REVOKED, RevocationStatus.UNKNOWN
CA = Authority()
OLDER = Authority(key=rsa_key("older ca"), serial=2)
SERIAL = 0x0133C349
LEAF = CA.leaf()
IN_CHIYODA = CA.leaf(extra=((x509.CRLDistributionPoints([distribution_point(point_name())]), False),))
CHIYODA = issuing_distribution_point(full_name(point_name()))
TRUE = b"\xff"


def check(
    crl: bytes,
    *,
    certificate: bytes = LEAF,
    issuer: Authority = CA,
    at: datetime = NOW,
    max_age: timedelta = DAY,
    algorithms: Algorithms = PRODUCTION,
) -> RevocationVerdict:
    return check_crl(crl, certificate=certificate, issuer=issuer.der, at=at, max_age=max_age, algorithms=algorithms)


def flag(number: int) -> bytes:
    return tlv(0x80 | number, TRUE)


def test_certificate_that_is_not_listed_is_good_with_the_list_s_own_data() -> None:
    verdict = check(CA.crl((5, b""), extensions=(crl_number(42),)))
    assert (verdict.status, verdict.reason, verdict.source) == (GOOD, "", "crl")
    assert (verdict.this_update, verdict.next_update) == (NOW - DAY / 2, NOW + DAY / 2)
    assert verdict.crl_number == 42
    assert verdict.revoked_at is None


@pytest.mark.parametrize(
    ("code", "name"),
    [
        (0, "unspecified"),
        (1, "keyCompromise"),
        (2, "cACompromise"),
        (3, "affiliationChanged"),
        (4, "superseded"),
        (5, "cessationOfOperation"),
        (6, "certificateHold"),
        (9, "privilegeWithdrawn"),
        (10, "aACompromise"),
    ],
)
def test_listed_certificate_is_revoked_with_its_reason(code: int, name: str) -> None:
    verdict = check(CA.crl((5, b""), (SERIAL, reason(code)), (7, b"")))
    assert (verdict.status, verdict.reason, verdict.revoked_at) == (REVOKED, name, NOW - 10 * DAY)


def test_entry_without_a_reason_or_with_an_unreadable_one_is_still_revoked() -> None:
    for raw in (b"", reason(7), reason(200), extension("2.5.29.21", b"\x02\x01\x01")):
        verdict = check(CA.crl((SERIAL, raw)))
        assert (verdict.status, verdict.reason) == (REVOKED, "unspecified")


ANSWERED = {
    "without a CRL number": CA.crl(extensions=None),
    "version 1 without extensions": CA.crl(version=b"", extensions=None),
    "partition that is the certificate's": CA.crl(extensions=(CHIYODA,)),
    "list of user certificates": CA.crl(extensions=(issuing_distribution_point(flag(1)),)),
    "an unknown extension, not critical": CA.crl(extensions=(extension("1.2.3.4", b"\x05\x00"),)),
    "serials that look like a critical extension": CA.crl((0x0101FF0401, reason(1)), (0x0603551D1D, b"")),
    "a critical reason in another's entry": CA.crl((5, reason(1, critical=True))),
    "an unknown entry extension, not critical": CA.crl((5, extension("1.2.3.4", b"\x05\x00"))),
    "freshest CRL, not critical": CA.crl(
        extensions=(extension("2.5.29.46", tlv(0x30, tlv(0x30, full_name(point_name())))),)
    ),
    "GeneralizedTime after 2049": CA.crl(next_update=generalized_time(datetime(2050, 1, 1, tzinfo=UTC))),
    "GeneralizedTime before 2050, as directory software writes": CA.crl(
        this_update=generalized_time(NOW - DAY / 2), next_update=generalized_time(NOW + DAY)
    ),
    "no nextUpdate: max_age alone bounds it": CA.crl(next_update=b""),
    "issuer's name in another case": CA.crl(name=ca_name(unit="jpki  FOR user authentication")),
}

REFUSED = {
    "partition of another town": CA.crl(extensions=(issuing_distribution_point(full_name(point_name("Minato"))),)),
    "partition of another town, not critical": CA.crl(
        extensions=(issuing_distribution_point(full_name(point_name("Minato")), critical=False),)
    ),
    "list of CA certificates": CA.crl(extensions=(issuing_distribution_point(flag(2)),)),
    "list of attribute certificates": CA.crl(extensions=(issuing_distribution_point(flag(5)),)),
    "indirect list": CA.crl(extensions=(issuing_distribution_point(flag(4)),)),
    "list of some reasons": CA.crl(extensions=(issuing_distribution_point(tlv(0x83, b"\x06\x40")),)),
    "empty distribution point": CA.crl(extensions=(issuing_distribution_point(),)),
    "user and CA certificates at once": CA.crl(extensions=(issuing_distribution_point(flag(1), flag(2)),)),
    "a default written out": CA.crl(extensions=(issuing_distribution_point(tlv(0x81, b"\x00"), flag(1)),)),
    "delta list": CA.crl(extensions=(crl_number(7), extension("2.5.29.27", integer(6), critical=True))),
    "delta list that does not say it is critical": CA.crl(extensions=(extension("2.5.29.27", integer(6)),)),
    "unknown critical extension": CA.crl(extensions=(extension("1.2.3.4", b"\x05\x00", critical=True),)),
    "critical freshest CRL": CA.crl(
        extensions=(extension("2.5.29.46", tlv(0x30, tlv(0x30, full_name(point_name()))), critical=True),)
    ),
    "unknown critical extension in another's entry": CA.crl((5, extension("1.2.3.4", b"\x05\x00", critical=True))),
    "an unknown extension twice in another's entry": CA.crl((5, extension("1.2.3.4", b"\x05\x00") * 2)),
    "a reason twice in another's entry": CA.crl((5, reason(1) + reason(4))),
    "17 extensions in another's entry": CA.crl(
        (5, b"".join(extension(f"1.2.3.{each}", b"\x05\x00") for each in range(17)))
    ),
    "another issuer's entry": CA.crl(
        (5, extension("2.5.29.29", tlv(0x30, tlv(0xA4, ca_name().public_bytes())), critical=True))
    ),
    "another issuer's entry that does not say it is critical": CA.crl(
        (5, extension("2.5.29.29", tlv(0x30, tlv(0xA4, ca_name().public_bytes()))))
    ),
    "unknown critical extension behind known ones": CA.crl(
        (5, reason(1, critical=True)), (6, reason(1, critical=True) + extension("1.2.3.4", b"\x05\x00", critical=True))
    ),
    "an extension twice": CA.crl(extensions=(crl_number(7), crl_number(7))),
    "negative number": CA.crl(extensions=(crl_number(-1),)),
    "number of 21 octets": CA.crl(extensions=(crl_number(1 << 160),)),
    "AKI of another key": CA.crl(extensions=(extension("2.5.29.35", tlv(0x30, tlv(0x80, b"\x01" * 20))),)),
    "version 1 with extensions": CA.crl(version=b""),
    "version 1 with an entry extension": CA.crl((5, reason(1)), version=b"", extensions=None),
    "version 1 written out": CA.crl(version=integer(0), extensions=None),
    "version 3": CA.crl(version=integer(2)),
    "empty list written out": CA.crl(empty_list=True),
    "empty list of extensions": CA.signed(
        tlv(
            0x30,
            integer(1),
            bytes.fromhex("300d06092a864886f70d01010b0500"),
            ca_name().public_bytes(),
            utc_time(NOW - DAY / 2),
            utc_time(NOW + DAY / 2),
            tlv(0xA0, tlv(0x30)),
        )
    ),
    "no nextUpdate and older than max_age": CA.crl(this_update=utc_time(NOW - 2 * DAY), next_update=b""),
    "issued in the future": CA.crl(this_update=utc_time(NOW + timedelta(seconds=1))),
    "past nextUpdate": CA.crl(next_update=utc_time(NOW - timedelta(seconds=1))),
    "older than max_age": CA.crl(this_update=utc_time(NOW - DAY - timedelta(seconds=1))),
    "GeneralizedTime with a fraction": CA.crl(next_update=tlv(0x18, b"20510101000000.5Z")),
    "UTCTime without seconds": CA.crl(next_update=tlv(0x17, b"2712010000Z")),
    "UTCTime with an offset": CA.crl(next_update=tlv(0x17, b"271201000000+0900")),
    "UTCTime of no day": CA.crl(next_update=tlv(0x17, b"270230000000Z")),
    "another name": CA.crl(name=ca_name("JPKI")),
    "another key of the same name": CA.crl(key=OLDER.key),
    "other algorithm inside": CA.crl(inner=SHA1_WITH_RSA),
    "SHA-1": CA.crl(inner=SHA1_WITH_RSA, outer=SHA1_WITH_RSA, digest=hashes.SHA1()),  # noqa: S303 (must be refused)
    "removeFromCRL in a complete list": CA.crl((SERIAL, reason(8))),
    "a certificate instead of a list": LEAF,
    "trailing byte": CA.crl() + b"\x00",
    "nothing": b"",
}


@pytest.mark.parametrize("crl", ANSWERED.values(), ids=ANSWERED)
def test_list_answers_although_unusual(crl: bytes) -> None:
    assert check(crl, certificate=IN_CHIYODA) == check(crl, certificate=IN_CHIYODA)
    assert check(crl, certificate=IN_CHIYODA).status is GOOD, check(crl, certificate=IN_CHIYODA).reason


@pytest.mark.parametrize("crl", REFUSED.values(), ids=REFUSED)
def test_list_that_must_not_answer_is_unknown_with_a_reason(crl: bytes) -> None:
    verdict = check(crl, certificate=IN_CHIYODA)
    assert verdict.status is UNKNOWN
    assert verdict.reason


def test_list_of_some_reasons_revokes_but_never_clears() -> None:
    some = (issuing_distribution_point(tlv(0x83, b"\x06\x40")),)
    assert check(CA.crl((SERIAL, reason(1)), extensions=some)).status is REVOKED
    assert check(CA.crl((5, b""), extensions=some)).status is UNKNOWN


def test_certificate_of_the_other_generation_is_unknown_whatever_its_serial() -> None:
    crl = CA.crl((SERIAL, b""))
    assert check(crl).status is REVOKED
    assert check(crl, certificate=OLDER.leaf()).status is UNKNOWN
    assert check(OLDER.crl(), issuer=OLDER).status is UNKNOWN
    assert check(OLDER.crl(), issuer=OLDER, certificate=OLDER.leaf()).status is GOOD


def test_issuer_without_crl_sign_tells_nothing() -> None:
    other = Authority(usage=("key_cert_sign",))
    assert check(other.crl(), issuer=other, certificate=other.leaf()).status is UNKNOWN


def test_certificate_without_points_needs_a_list_of_the_whole_issuer() -> None:
    assert check(CA.crl(extensions=(CHIYODA,))).status is UNKNOWN
    whole = CA.crl(extensions=(issuing_distribution_point(full_name(ca_name())),))
    assert check(whole).status is GOOD


def test_point_that_names_a_crl_issuer_or_some_reasons_is_not_cleared() -> None:
    other = x509.CRLDistributionPoints([distribution_point(point_name(), crl_issuer=point_name())])
    some = x509.CRLDistributionPoints(
        [distribution_point(point_name(), reasons=frozenset({x509.ReasonFlags.key_compromise}))]
    )
    for points in (other, some):
        assert check(CA.crl(extensions=(CHIYODA,)), certificate=CA.leaf(extra=((points, False),))).status is UNKNOWN


def test_longer_and_shorter_serials_are_told_apart() -> None:
    crl = CA.crl(*((serial, b"") for serial in (1, 0x80, 0x7FFF, 0x0133C348, 1 << 100, (1 << 159) - 1)))
    for serial in (1, 0x80, 0x7FFF, 1 << 100, (1 << 159) - 1):
        assert check(crl, certificate=CA.leaf(serial=serial)).status is REVOKED
    for serial in (2, 0x81, 0x7FFE, 0xFFFF, (1 << 100) + 1, SERIAL):
        assert check(crl, certificate=CA.leaf(serial=serial)).status is GOOD


def test_elliptic_curve_authority_answers() -> None:
    ecdsa_with_sha256 = bytes.fromhex("300a06082a8648ce3d040302")
    curve = Authority(key=ec.generate_private_key(ec.SECP256R1()))
    crl = curve.crl((SERIAL, b""), inner=ecdsa_with_sha256, outer=ecdsa_with_sha256)
    assert check(crl, issuer=curve, certificate=curve.leaf()).status is REVOKED
    mixed = curve.crl((SERIAL, b""))  # says RSA
    assert check(mixed, issuer=curve, certificate=curve.leaf()).status is UNKNOWN


def test_pss_signature_is_read_with_its_own_parameters() -> None:
    sha256 = tlv(0x30, bytes.fromhex("0609608648016503040201"), b"\x05\x00")
    mgf = tlv(0x30, bytes.fromhex("06092a864886f70d010108"), sha256)
    for salt, expected in ((32, GOOD), (20, UNKNOWN)):
        parameters = tlv(0x30, tlv(0xA0, sha256), tlv(0xA1, mgf), tlv(0xA2, integer(salt)))
        pss = tlv(0x30, bytes.fromhex("06092a864886f70d01010a"), parameters)
        body = tlv(0x30, integer(1), pss, ca_name().public_bytes(), utc_time(NOW - DAY / 2), utc_time(NOW + DAY / 2))
        signature = CA.key.sign(body, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())
        assert check(tlv(0x30, body, pss, bit_string(signature))).status is expected


def test_old_test_sets_are_read_with_their_own_algorithms_only() -> None:
    old = Authority(key=rsa_key("1024", 1024))
    assert check(old.crl(), issuer=old, certificate=old.leaf()).status is UNKNOWN
    assert check(old.crl(), issuer=old, certificate=old.leaf(), algorithms=LEGACY_TEST).status is GOOD


def test_list_above_8_mib_is_left_to_the_index_unread() -> None:
    verdict = check(bytes(8 * 1024 * 1024 + 1))
    assert (verdict.status, verdict.reason) == (UNKNOWN, "CRL is longer than 8 MiB: use the index")


def test_long_list_is_read_to_its_last_entry() -> None:
    crl = CA.crl(*((serial, b"") for serial in range(1 << 40, (1 << 40) + 20_000)), (SERIAL, reason(4)))
    verdict = check(crl)
    assert (verdict.status, verdict.reason) == (REVOKED, "superseded")


def test_unknown_refuses_and_revoked_says_so() -> None:
    trusted = validate_path(LEAF, anchors=[CA.der], at=NOW, profile=USER_AUTHENTICATION)
    assert unrevoked(trusted, check(CA.crl())).certificate is trusted
    with pytest.raises(RevocationUnknown, match="past nextUpdate"):
        unrevoked(trusted, check(CA.crl(next_update=utc_time(NOW - DAY))))
    with pytest.raises(CertificateRevoked, match="keyCompromise"):
        unrevoked(trusted, check(CA.crl((SERIAL, reason(1)))))
    with pytest.raises(CertificateRenewing, match="superseded"):
        unrevoked(trusted, check(CA.crl((SERIAL, reason(4)))))


def test_naive_time_is_our_own_fault() -> None:
    with pytest.raises(ValueError, match="zone"):
        check(CA.crl(), at=NOW.replace(tzinfo=None))


CRL = CA.crl((5, reason(1)), (SERIAL, reason(1)), extensions=(crl_number(7), CHIYODA))


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_mutated_list_is_never_good_and_never_raises(data: st.DataObject) -> None:
    crl = bytearray(CRL)
    for _ in range(data.draw(st.integers(1, 3))):
        crl[data.draw(st.integers(0, len(crl) - 1))] ^= data.draw(st.integers(1, 255))
    assert check(bytes(crl), certificate=IN_CHIYODA).status is (REVOKED if bytes(crl) == CRL else UNKNOWN)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_list_mutated_before_it_was_signed_never_raises_nor_forgets(data: st.DataObject) -> None:
    """An authority that writes nonsense, or an enemy with its key: the parsers behind the signature hold as well."""
    body = bytearray(CA_BODY)
    at = data.draw(st.integers(4, len(body) - 1))
    body[at] ^= data.draw(st.integers(1, 255))
    verdict = check(CA.signed(bytes(body)), certificate=IN_CHIYODA)
    assert verdict.status in {REVOKED, UNKNOWN} or SERIAL.to_bytes(4, "big") not in body


CA_BODY = CRL[4 : 4 + 4 + int.from_bytes(CRL[6:8], "big")]


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400), st.binary(max_size=400))
def test_any_bytes_are_unknown(crl: bytes, certificate: bytes) -> None:
    assert check(crl).status is UNKNOWN
    assert check(CRL, certificate=certificate).status is UNKNOWN


def test_policy_of_the_certificate_does_not_matter_to_revocation() -> None:
    assert check(CA.crl(), certificate=CA.leaf(policy=policies(AUTH_TEST, "1.2.3"))).status is GOOD


def test_what_the_path_has_proved_is_remembered_for_that_very_pair_only() -> None:
    validate_path(LEAF, anchors=[CA.der], at=NOW, profile=USER_AUTHENTICATION)
    assert check(CA.crl()).status is GOOD
    for issuer in (OLDER, Authority(key=rsa_key("older ca"), serial=1)):
        assert check(issuer.crl(), issuer=issuer).status is UNKNOWN
    changed = LEAF[:-1] + bytes([LEAF[-1] ^ 1])
    assert check(CA.crl(), certificate=changed).status is UNKNOWN
