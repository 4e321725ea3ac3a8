"""The path and profile rules against certificates in the JPKI's shape (the table of design 4.6, row by row)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone

import pytest
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.errors import BrokerError, CertificateExpired, CertificateMalformed, CertificateUntrusted
from broker.jpki.certificate import TrustedCertificate, issuer_key_hash, parse
from broker.jpki.path import validate_path
from broker.jpki.profile import DIGITAL_SIGNATURE, GENERIC, USER_AUTHENTICATION, Profile
from tests.broker.jpki.jpki_authority import (
    AUTH_PRODUCTION,
    AUTH_TEST,
    DAY,
    NOW,
    SIGN_TEST,
    Authority,
    ca_name,
    distribution_point,
    key_usage,
    point_name,
    policies,
    rsa_key,
)

CA = Authority()
OLDER = Authority(key=rsa_key("older ca"), serial=2)
PRODUCTION = Authority(key=rsa_key("production ca"), name=ca_name("JPKI"))

SAN = x509.SubjectAlternativeName(
    [x509.OtherName(ObjectIdentifier("1.2.392.200149.8.5.5.1"), bytes.fromhex("0c06e5b1b1e794b0"))]
)
AKI_WITH_ISSUER = x509.AuthorityKeyIdentifier(
    x509.SubjectKeyIdentifier.from_public_key(CA.key.public_key()).digest, [x509.DirectoryName(CA.name)], CA.serial
)


def validate(
    leaf: bytes,
    *anchors: Authority,
    profile: Profile = USER_AUTHENTICATION,
    at: datetime = NOW,
    intermediates: tuple[bytes, ...] = (),
) -> TrustedCertificate:
    return validate_path(
        leaf, anchors=[anchor.der for anchor in anchors or (CA,)], intermediates=intermediates, at=at, profile=profile
    )


def eku(*purposes: ObjectIdentifier) -> x509.ExtendedKeyUsage:
    return x509.ExtendedKeyUsage(purposes)


ACCEPTED = {
    "as hanako's card: no AKI, no EKU, no SAN, critical policy": CA.leaf(),
    "policies not critical": CA.leaf(policy_critical=False),
    "EKU clientAuth": CA.leaf(extra=((eku(ExtendedKeyUsageOID.CLIENT_AUTH), False),)),
    "EKU clientAuth, critical": CA.leaf(extra=((eku(ExtendedKeyUsageOID.CLIENT_AUTH), True),)),
    "AKI with issuer and serial": CA.leaf(extra=((AKI_WITH_ISSUER, False),)),
    "directory name as distribution point": CA.leaf(
        extra=((x509.CRLDistributionPoints([distribution_point(point_name())]), False),)
    ),
    "SAN with otherName only": CA.leaf(extra=((SAN, False),)),
    "the next card's P-384 key": CA.leaf(key=ec.generate_private_key(ec.SECP384R1())),
    "an unknown extension, not critical": CA.leaf(
        extra=((x509.UnrecognizedExtension(ObjectIdentifier("1.2.3.4"), b"\x05\x00"), False),)
    ),
}

REFUSED = {
    "policy of the signing certificate": CA.leaf(policy=policies(SIGN_TEST)),
    "production's policy under the test hierarchy": CA.leaf(policy=policies(AUTH_PRODUCTION)),
    "two policies": CA.leaf(policy=policies(AUTH_TEST, SIGN_TEST)),
    "anyPolicy": CA.leaf(policy=policies("2.5.29.32.0")),
    "no policy": CA.leaf(without=("policies",)),
    "EKU serverAuth": CA.leaf(extra=((eku(ExtendedKeyUsageOID.SERVER_AUTH), False),)),
    "no key usage": CA.leaf(without=("usage",)),
    "key usage without digitalSignature": CA.leaf(usage=key_usage("content_commitment")),
    "key usage keyCertSign": CA.leaf(usage=key_usage("digital_signature", "key_cert_sign")),
    "key usage cRLSign": CA.leaf(usage=key_usage("digital_signature", "crl_sign")),
    "leaf that is a CA": CA.leaf(extra=((x509.BasicConstraints(ca=True, path_length=None), True),)),
    "unknown critical extension": CA.leaf(
        extra=((x509.UnrecognizedExtension(ObjectIdentifier("1.2.3.4"), b"\x05\x00"), True),)
    ),
    "issued by an older generation that is no anchor": OLDER.leaf(),
    "issuer of another name": CA.leaf(issuer_name=ca_name("Other")),
    "RSA-1024": CA.leaf(key=rsa_key("short", 1024)),
    "RSA exponent 3": CA.leaf(
        key=rsa.RSAPublicNumbers(3, rsa_key("hanako").public_key().public_numbers().n).public_key()
    ),
    "a curve without a place in JWA": CA.leaf(key=ec.generate_private_key(ec.SECP256K1())),
    "AKI of another key": CA.leaf(extra=((x509.AuthorityKeyIdentifier(b"\x01" * 20, None, None), False),)),
    "critical AKI": CA.leaf(extra=((AKI_WITH_ISSUER, True),)),
    "signed with SHA-1's successor in length only (SHA-224)": CA.leaf(digest=hashes.SHA224()),
}


@pytest.mark.parametrize("leaf", ACCEPTED.values(), ids=ACCEPTED)
def test_card_certificate_is_accepted(leaf: bytes) -> None:
    trusted = validate(leaf)
    assert trusted.der == leaf
    assert trusted.issuer_key_hash == issuer_key_hash(CA.der)
    assert (trusted.profile, trusted.kind) == ("user-authentication", "plastic")


@pytest.mark.parametrize("leaf", REFUSED.values(), ids=REFUSED)
def test_certificate_outside_the_profile_is_refused(leaf: bytes) -> None:
    with pytest.raises(CertificateUntrusted):
        validate(leaf)


def test_generations_of_one_name_are_told_apart_by_signature() -> None:
    for order in ((CA, OLDER), (OLDER, CA)):
        assert validate(CA.leaf(), *order).issuer == CA.der
        assert validate(OLDER.leaf(), *order).issuer == OLDER.der


def test_same_serial_of_two_generations_has_two_issuer_key_hashes() -> None:
    ours, theirs = validate(CA.leaf(), CA, OLDER), validate(OLDER.leaf(), CA, OLDER)
    assert ours.serial == theirs.serial
    assert ours.issuer_key_hash != theirs.issuer_key_hash


def test_production_needs_production_s_policy() -> None:
    assert validate(PRODUCTION.leaf(policy=policies(AUTH_PRODUCTION)), PRODUCTION).profile == "user-authentication"
    with pytest.raises(CertificateUntrusted, match="policy"):
        validate(PRODUCTION.leaf(policy=policies(AUTH_TEST)), PRODUCTION)


def test_anchors_of_two_hierarchies_never_mix() -> None:
    for leaf in (CA.leaf(), PRODUCTION.leaf(policy=policies(AUTH_PRODUCTION))):
        with pytest.raises(CertificateUntrusted, match="never mix"):
            validate(leaf, CA, PRODUCTION)


def test_anchor_outside_the_jpki_is_refused() -> None:
    stranger = Authority(name=ca_name("Example"))
    with pytest.raises(CertificateUntrusted, match="one-hierarchy"):
        validate(stranger.leaf(), stranger)


def test_signing_certificate_needs_its_own_profile() -> None:
    leaf = CA.leaf(
        policy=policies(SIGN_TEST), usage=key_usage("digital_signature", "content_commitment"), extra=((SAN, False),)
    )
    assert validate(leaf, profile=DIGITAL_SIGNATURE).profile == "digital-signature"
    with_purpose = CA.leaf(
        policy=policies(SIGN_TEST),
        usage=key_usage("digital_signature", "content_commitment"),
        extra=((eku(ExtendedKeyUsageOID.CLIENT_AUTH), False),),
    )
    assert validate(with_purpose, profile=DIGITAL_SIGNATURE).profile == "digital-signature"
    for other in (leaf, with_purpose):
        with pytest.raises(CertificateUntrusted, match="policy"):
            validate(other)
    with pytest.raises(CertificateUntrusted):
        validate(CA.leaf(policy=policies(SIGN_TEST)), profile=DIGITAL_SIGNATURE)  # no nonRepudiation


@pytest.mark.parametrize("at", [NOW - 301 * DAY, NOW + 301 * DAY], ids=["not yet", "no longer"])
def test_only_the_leaf_s_own_dates_say_expired(at: datetime) -> None:
    with pytest.raises(CertificateExpired):
        validate(CA.leaf(), at=at)
    with pytest.raises(CertificateUntrusted):
        validate(OLDER.leaf(), at=at)
    with pytest.raises(CertificateUntrusted):
        validate(CA.leaf(policy=policies(SIGN_TEST)), at=at)


def test_last_second_of_validity_counts_and_the_next_does_not() -> None:
    assert validate(CA.leaf(), at=NOW + 300 * DAY).not_after == NOW + 300 * DAY
    with pytest.raises(CertificateExpired):
        validate(CA.leaf(), at=NOW + 300 * DAY + timedelta(seconds=1))


def test_time_is_compared_across_zones() -> None:
    tokyo = timezone(timedelta(hours=9))
    assert validate(CA.leaf(), at=(NOW + 300 * DAY).astimezone(tokyo)).der
    with pytest.raises(CertificateExpired):
        validate(CA.leaf(), at=(NOW + 300 * DAY + timedelta(seconds=1)).astimezone(tokyo))


def test_expired_anchor_anchors_nothing() -> None:
    expired = Authority(not_after=NOW - DAY)
    with pytest.raises(CertificateUntrusted):
        validate(expired.leaf(), expired)


def test_intermediate_between_card_and_anchor_is_refused() -> None:
    between = x509.load_der_x509_certificate(
        CA.leaf(
            key=rsa_key("between"),
            usage=key_usage("key_cert_sign", "crl_sign"),
            extra=(
                (x509.BasicConstraints(ca=True, path_length=None), True),
                (x509.SubjectKeyIdentifier.from_public_key(rsa_key("between").public_key()), False),
            ),
        )
    )
    leaf = Authority(key=rsa_key("between"), name=between.subject).leaf()
    with pytest.raises(CertificateUntrusted):
        validate(leaf, intermediates=(_der(between),))


def _der(certificate: x509.Certificate) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return certificate.public_bytes(Encoding.DER)


def test_rsa_key_with_the_roca_mark_is_refused() -> None:
    """A modulus that is a power of 65537 modulo every small prime, as the chips of 2017 made them (CVE-2017-15361)."""
    product = 1
    for prime in (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97):
        product *= prime
    for prime in (101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167):
        product *= prime
    modulus = (1 << 2047) // product * product + pow(65537, 1234, product)
    marked = rsa.RSAPublicNumbers(65537, modulus + product).public_key()
    with pytest.raises(CertificateUntrusted, match="ROCA"):
        validate(CA.leaf(key=marked))


def test_signature_algorithm_outside_must_be_the_one_inside() -> None:
    """RFC 5280 §4.1.1.2. The last occurrence of the identifier is the outer one."""
    leaf = CA.leaf()
    inner = bytes.fromhex("06092a864886f70d01010b")
    at = leaf.rindex(inner)
    forged = leaf[:at] + bytes.fromhex("06092a864886f70d01010c") + leaf[at + len(inner) :]
    with pytest.raises(BrokerError):
        validate(forged)


def test_garbage_size_and_trailing_bytes_are_malformed() -> None:
    for data in (b"", b"\x30", CA.leaf() + b"\x00", CA.leaf()[:-1], b"\x30\x82\x30\x00" + bytes(0x3000)):
        with pytest.raises(CertificateMalformed):
            parse(data)


def test_serial_number_zero_is_malformed() -> None:
    leaf = CA.leaf(serial=1)
    assert leaf.count(b"\xa0\x03\x02\x01\x02\x02\x01\x01") == 1
    with pytest.raises(CertificateMalformed):
        parse(leaf.replace(b"\xa0\x03\x02\x01\x02\x02\x01\x01", b"\xa0\x03\x02\x01\x02\x02\x01\x00"))


def test_naive_time_is_our_own_fault() -> None:
    with pytest.raises(ValueError, match="zone"):
        validate(CA.leaf(), at=NOW.replace(tzinfo=None))


def test_error_names_no_subject() -> None:
    for leaf in REFUSED.values():
        with pytest.raises(BrokerError) as refusal:
            validate(leaf)
        assert "0000000000000013101001A" not in str(refusal.value)
    assert "0000000000000013101001A" not in repr(validate(CA.leaf()))
    assert str(0x0133C349) not in repr(validate(CA.leaf()))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_mutated_certificate_is_accepted_never_and_raises_only_our_errors(data: st.DataObject) -> None:
    leaf = bytearray(CA.leaf())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(leaf) - 1))
        leaf[at] ^= data.draw(st.integers(1, 255))
    if bytes(leaf) == CA.leaf():
        return
    with pytest.raises(BrokerError):
        validate(bytes(leaf))


def test_a_signature_has_one_encoding() -> None:
    leaves = (bytearray(CA.leaf(serial=serial)) for serial in range(1, 65))
    leaf = next(leaf for leaf in leaves if not leaf[-1] & 1)  # whose last bit is zero, and could pass for unused
    at = len(leaf) - len(x509.load_der_x509_certificate(bytes(leaf)).signature) - 1
    assert leaf[at] == 0
    leaf[at] = 1
    with pytest.raises(CertificateMalformed):
        validate(bytes(leaf))


# --- GENERIC ---------------------------------------------------------------------------------------------------------


def look_alikes(count: int) -> list[bytes]:
    """Self-issued certificates that all fit each other and no anchor: a depth-first search tries every order."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "look-alike")])
    mine = Authority(key=key, name=name)
    return [Authority(key=key, name=name, serial=serial).der for serial in range(1, count)] + [
        mine.leaf(extra=((x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), False),))
    ]


def test_look_alike_intermediates_are_never_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    offered: list[int] = []
    from broker.jpki import path

    search = path._search
    monkeypatch.setattr(path, "_search", lambda *given: (offered.append(len(given[2])), search(*given))[1])
    *intermediates, leaf = look_alikes(16)
    with pytest.raises(CertificateUntrusted):
        validate(leaf, profile=GENERIC, intermediates=tuple(intermediates))
    assert offered == [0]


def test_too_many_intermediates_are_refused_unread() -> None:
    with pytest.raises(CertificateUntrusted, match="too many"):
        validate(CA.leaf(), profile=GENERIC, intermediates=(b"not even DER",) * 17)


def resigned(change: Callable[[asn1_x509.TbsCertificate], None]) -> bytes:
    """hanako's certificate with something changed that no builder writes, signed by the CA all the same."""
    certificate = asn1_x509.Certificate.load(CA.leaf())
    change(certificate["tbs_certificate"])
    body = certificate["tbs_certificate"].dump(force=True)
    return CA.signed(body)


def _twice(tbs: asn1_x509.TbsCertificate) -> None:
    tbs["extensions"].append(tbs["extensions"][1].copy())


def _negative(tbs: asn1_x509.TbsCertificate) -> None:
    tbs["serial_number"] = -5


def _version_1(tbs: asn1_x509.TbsCertificate) -> None:
    tbs["version"] = "v1"


def _unique_identifier(tbs: asn1_x509.TbsCertificate) -> None:
    tbs["version"] = "v2"


def _long_serial(tbs: asn1_x509.TbsCertificate) -> None:
    tbs["serial_number"] = 1 << 160


AS_THEY_ARE = resigned(lambda _: None)
UNWRITABLE = {
    "an extension twice": resigned(_twice),
    "a negative serial": resigned(_negative),
    "a serial of 21 octets": resigned(_long_serial),
    "version 1 with extensions": resigned(_version_1),
    "version 2 with extensions": resigned(_unique_identifier),
}


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
@pytest.mark.parametrize("leaf", UNWRITABLE.values(), ids=UNWRITABLE)
def test_signed_certificate_against_rfc_5280_s_form_is_refused_under_every_profile(leaf: bytes) -> None:
    assert validate(AS_THEY_ARE).der == AS_THEY_ARE
    for profile in (USER_AUTHENTICATION, GENERIC):
        with pytest.raises(BrokerError):
            validate(leaf, profile=profile)
