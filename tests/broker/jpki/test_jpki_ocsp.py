"""OCSP responses that answer and responses that must not (RFC 6960, RFC 9654)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import ocsp
from cryptography.x509.oid import NameOID, ObjectIdentifier
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.jpki.revocation import RevocationStatus, RevocationVerdict, check_ocsp
from tests.broker.jpki.jpki_authority import (
    DAY,
    NOW,
    OCSP_SIGNING,
    SHA1_WITH_RSA,
    Authority,
    extension,
    generalized_time,
    key_hash,
    key_usage,
    oid,
    rsa_key,
    tlv,
)

GOOD, REVOKED, UNKNOWN = RevocationStatus.GOOD, RevocationStatus.REVOKED, RevocationStatus.UNKNOWN
CA = Authority()
OLDER = Authority(key=rsa_key("older ca"), serial=2)
SERIAL = 0x0133C349
LEAF = CA.leaf()
MINUTE = timedelta(minutes=1)
NONCE = bytes(range(32))
NONCE_EXTENSION = extension("1.3.6.1.5.5.7.48.1.2", tlv(0x04, NONCE))
REVOKED_STATUS = tlv(0xA1, generalized_time(NOW - DAY), tlv(0xA0, b"\x0a\x01\x04"))


def check(
    response: bytes,
    *,
    certificate: bytes = LEAF,
    issuer: Authority = CA,
    at: datetime = NOW,
    max_age: timedelta = 10 * MINUTE,
    nonce: bytes | None = None,
) -> RevocationVerdict:
    return check_ocsp(response, certificate=certificate, issuer=issuer.der, at=at, max_age=max_age, nonce=nonce)


def delegate(
    *extra: tuple[x509.ExtensionType, bool],
    by: Authority = CA,
    not_after: datetime = NOW + DAY,
    usage: str = "digital_signature",
) -> bytes:
    return by.leaf(
        key=rsa_key("delegate"),
        serial=77,
        without=("policies",),
        usage=key_usage(usage),
        extra=extra or ((OCSP_SIGNING, False),),
        not_after=not_after,
    )


def by_delegate(certificate: bytes, *, subject: bytes | None = None) -> bytes:
    parsed = x509.load_der_x509_certificate(certificate)
    return CA.ocsp(
        CA.single(SERIAL),
        responder=tlv(0xA1, subject or parsed.subject.public_bytes()),
        key=rsa_key("delegate"),
        certificates=(certificate,),
    )


def test_good_answer_carries_its_window() -> None:
    verdict = check(CA.ocsp(CA.single(SERIAL)))
    assert (verdict.status, verdict.reason, verdict.source) == (GOOD, "", "ocsp")
    assert (verdict.this_update, verdict.next_update) == (NOW - 5 * MINUTE, NOW + 5 * MINUTE)


def test_revoked_answer_carries_reason_and_time() -> None:
    verdict = check(CA.ocsp(CA.single(SERIAL, status=REVOKED_STATUS)))
    assert (verdict.status, verdict.reason, verdict.revoked_at) == (REVOKED, "superseded", NOW - DAY)


@pytest.mark.parametrize("digest", [hashes.SHA1(), hashes.SHA256()], ids=["sha1", "sha256"])  # noqa: S303 (names only)
def test_answer_made_by_another_library_is_read(digest: hashes.HashAlgorithm) -> None:
    now = datetime.now(UTC).replace(microsecond=0)  # that builder takes producedAt from the machine's clock
    leaf = CA.leaf(not_before=now - DAY, not_after=now + DAY)
    response = (
        ocsp.OCSPResponseBuilder()
        .add_response(
            cert=x509.load_der_x509_certificate(leaf),
            issuer=CA.certificate,
            algorithm=digest,
            cert_status=ocsp.OCSPCertStatus.REVOKED,
            this_update=now,
            next_update=now + DAY,
            revocation_time=now - DAY,
            revocation_reason=x509.ReasonFlags.key_compromise,
        )
        .responder_id(ocsp.OCSPResponderEncoding.HASH, CA.certificate)
        .add_extension(x509.OCSPNonce(NONCE), critical=False)
        .sign(CA.key, hashes.SHA256())
        .public_bytes(Encoding.DER)
    )
    verdict = check(response, certificate=leaf, at=now + MINUTE, nonce=NONCE)
    assert (verdict.status, verdict.reason, verdict.revoked_at) == (REVOKED, "keyCompromise", now - DAY)


def test_responder_named_by_its_key_answers() -> None:
    spki = CA.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert check(CA.ocsp(CA.single(SERIAL), responder=tlv(0xA2, tlv(0x04, key_hash(spki))))).status is GOOD


def test_delegate_answers_only_with_the_ca_s_delegation() -> None:
    assert check(by_delegate(delegate())).status is GOOD
    unknown = x509.UnrecognizedExtension(ObjectIdentifier("1.2.3.4"), b"\x05\x00")
    for refused in (
        delegate((unknown, False)),  # no EKU
        delegate((OCSP_SIGNING, False), (unknown, True)),
        delegate(by=OLDER),
        delegate(not_after=NOW - DAY),
        delegate(usage="key_encipherment"),
    ):
        assert check(by_delegate(refused)).status is UNKNOWN


def test_delegate_that_is_not_the_one_named_is_refused() -> None:
    other = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "other")])
    assert check(by_delegate(delegate(), subject=other.public_bytes())).status is UNKNOWN


def test_nonce_that_was_sent_must_come_back() -> None:
    with_nonce = CA.ocsp(CA.single(SERIAL), extensions=(NONCE_EXTENSION,))
    assert check(with_nonce, nonce=NONCE).status is GOOD
    assert check(with_nonce).status is GOOD
    assert check(with_nonce, nonce=bytes(32)).status is UNKNOWN
    assert check(CA.ocsp(CA.single(SERIAL)), nonce=NONCE).status is UNKNOWN


CRITICAL = tlv(0xA1, tlv(0x30, extension("1.2.3.4", b"\x05\x00", critical=True)))
REFUSED = {
    "unknown status": CA.ocsp(CA.single(SERIAL, status=b"\x82\x00")),
    "another certificate": CA.ocsp(CA.single(5)),
    "two answers for it": CA.ocsp(CA.single(SERIAL), CA.single(SERIAL, status=REVOKED_STATUS)),
    "an answer of the other generation": OLDER.ocsp(OLDER.single(SERIAL)),
    "the other generation's CertID": CA.ocsp(OLDER.single(SERIAL)),
    "signature by another key": CA.ocsp(CA.single(SERIAL), key=OLDER.key),
    "SHA-1": CA.ocsp(CA.single(SERIAL), outer=SHA1_WITH_RSA),
    "thisUpdate in the future": CA.ocsp(CA.single(SERIAL, this_update=NOW + MINUTE)),
    "past nextUpdate": CA.ocsp(CA.single(SERIAL, next_update=NOW - MINUTE)),
    "older than max_age": CA.ocsp(CA.single(SERIAL, this_update=NOW - 11 * MINUTE)),
    "produced in the future": CA.ocsp(CA.single(SERIAL), produced_at=generalized_time(NOW + MINUTE)),
    "produced before thisUpdate": CA.ocsp(CA.single(SERIAL), produced_at=generalized_time(NOW - 6 * MINUTE)),
    "produced after nextUpdate": CA.ocsp(
        CA.single(SERIAL, next_update=NOW - 3 * MINUTE), produced_at=generalized_time(NOW - 2 * MINUTE)
    ),
    "a fraction of a second": CA.ocsp(CA.single(SERIAL), produced_at=tlv(0x18, b"20261120115500.5Z")),
    "unknown critical extension": CA.ocsp(
        CA.single(SERIAL), extensions=(extension("1.2.3.4", b"\x05\x00", critical=True),)
    ),
    "unknown critical extension in the answer": CA.ocsp(CA.single(SERIAL, extensions=CRITICAL)),
    "an extension twice": CA.ocsp(CA.single(SERIAL), extensions=(NONCE_EXTENSION, NONCE_EXTENSION)),
    "tryLater": bytes.fromhex("30030a0103"),
    "trailing byte": CA.ocsp(CA.single(SERIAL)) + b"\x00",
    "nothing": b"",
    "more than 64 KiB": bytes(64 * 1024 + 1),
}


@pytest.mark.parametrize("response", REFUSED.values(), ids=REFUSED)
def test_response_that_must_not_answer_is_unknown_with_a_reason(response: bytes) -> None:
    verdict = check(response)
    assert verdict.status is UNKNOWN
    assert verdict.reason


def test_answer_produced_before_the_certificate_or_after_its_end_is_unknown() -> None:
    """Nobody vouches for what does not exist yet, and responders forget what has expired (RFC 6960 §4.4.4)."""
    for dates in ((NOW - MINUTE, NOW + DAY), (NOW - DAY, NOW - 6 * MINUTE)):
        leaf = CA.leaf(not_before=dates[0], not_after=dates[1])
        verdict = check(CA.ocsp(CA.single(SERIAL)), certificate=leaf)
        assert (verdict.status, "validity period" in verdict.reason) == (UNKNOWN, True)


def test_version_written_out_is_read_and_another_is_not() -> None:
    for version, status in ((0, GOOD), (1, UNKNOWN)):
        body = tlv(
            0x30,
            tlv(0xA0, tlv(0x02, bytes([version]))),
            tlv(0xA1, CA.name.public_bytes()),
            generalized_time(NOW - 5 * MINUTE),
            tlv(0x30, CA.single(SERIAL)),
        )
        typed = tlv(0x30, oid("1.3.6.1.5.5.7.48.1.1"), tlv(0x04, CA.signed(body)))
        assert check(tlv(0x30, b"\x0a\x01\x00", tlv(0xA0, typed))).status is status


def test_answers_for_others_beside_ours_do_no_harm() -> None:
    assert check(CA.ocsp(CA.single(5, status=REVOKED_STATUS), CA.single(SERIAL))).status is GOOD


def test_responder_without_a_next_update_is_bounded_by_age() -> None:
    response = CA.ocsp(CA.single(SERIAL, next_update=None))
    assert check(response).status is GOOD
    assert check(response, at=NOW + 6 * MINUTE).status is UNKNOWN


def test_elliptic_curve_responder_answers() -> None:
    curve = Authority(key=ec.generate_private_key(ec.SECP256R1()))
    response = curve.ocsp(curve.single(SERIAL), outer=bytes.fromhex("300a06082a8648ce3d040302"))
    assert check(response, issuer=curve, certificate=curve.leaf()).status is GOOD


RESPONSE = CA.ocsp(CA.single(SERIAL), extensions=(NONCE_EXTENSION,))


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_mutated_response_is_never_good_and_never_raises(data: st.DataObject) -> None:
    response = bytearray(RESPONSE)
    for _ in range(data.draw(st.integers(1, 3))):
        response[data.draw(st.integers(0, len(response) - 1))] ^= data.draw(st.integers(1, 255))
    assert check(bytes(response), nonce=NONCE).status is (GOOD if bytes(response) == RESPONSE else UNKNOWN)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_are_unknown(response: bytes) -> None:
    assert check(response).status is UNKNOWN
