"""HPKI and 商業登記: what is proved is believed, a hostile chain ends in time, the rest is refused."""

from __future__ import annotations

import math
import os
import time
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.errors import (
    BrokerError,
    CertificateExpired,
    CertificateMalformed,
    CertificateRevoked,
    CertificateUntrusted,
    RevocationUnknown,
)
from broker.jpki import foreign, foreign_child
from broker.jpki.certificate import UnrevokedCertificate
from broker.jpki.foreign import COMMERCIAL_REGISTRATION, HPKI_SIGNATURE, validate_foreign_path
from broker.jpki.hcrole import MEDICAL_DOCTOR, hc_roles
from broker.nursery import Nursery
from tests.broker.jpki.hierarchy import CA, DAY, NOW, POLICY, hc_role


@dataclass(slots=True)
class House:
    """A root, an authority under it, and a doctor."""

    root: CA = field(default_factory=lambda: CA("Root"))
    authority: CA = field(init=False)

    def __post_init__(self) -> None:
        self.authority = CA("Signing CA", self.root)

    def judge(self, leaf: Any = None, **changed: Any) -> UnrevokedCertificate:
        leaf = leaf or self.authority.leaf(directory=hc_role(MEDICAL_DOCTOR))
        arguments: dict[str, Any] = {
            "anchors": [self.root.der],
            "intermediates": [self.authority.der],
            "crls": [self.root.crl(), self.authority.crl()],
            "at": NOW,
            "max_age": 2 * DAY,
            "profile": HPKI_SIGNATURE,
        } | changed
        return validate_foreign_path(leaf.public_bytes(Encoding.DER), **arguments)


@pytest.fixture(scope="module")
def house() -> House:
    return House()


def test_a_doctor_with_a_proved_chain_and_lists_is_believed(house: House) -> None:
    proved = house.judge()
    assert proved.certificate.profile == "HPKI_SIGNATURE"
    assert proved.certificate.issuer == house.authority.der
    assert proved.evidence.status.value == "good"
    assert hc_roles(proved.certificate.der) == (MEDICAL_DOCTOR,)


def test_a_companys_certificate_needs_no_role_and_no_policy(house: House) -> None:
    leaf = house.authority.leaf(policy="1.2.3.4", signs=False)
    assert house.judge(leaf, profile=COMMERCIAL_REGISTRATION).certificate.profile == "COMMERCIAL_REGISTRATION"


def test_a_revoked_leaf_is_refused(house: House) -> None:
    leaf = house.authority.leaf(directory=hc_role(MEDICAL_DOCTOR))
    with pytest.raises(CertificateRevoked):
        house.judge(leaf, crls=[house.root.crl(), house.authority.crl([leaf.serial_number])])


def test_a_revoked_authority_takes_its_leaves_with_it(house: House) -> None:
    revoked = [house.root.crl([house.authority.certificate.serial_number]), house.authority.crl()]
    with pytest.raises(CertificateRevoked):
        house.judge(crls=revoked)


@pytest.mark.parametrize("missing", [0, 1])
def test_without_a_list_for_each_certificate_nothing_is_proved(house: House, missing: int) -> None:
    lists = [house.root.crl(), house.authority.crl()]
    del lists[missing]
    with pytest.raises((CertificateUntrusted, RevocationUnknown)):
        house.judge(crls=lists)


def test_a_list_older_than_the_caller_accepts_proves_nothing(house: House) -> None:
    with pytest.raises(RevocationUnknown):
        house.judge(max_age=timedelta(hours=1))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"directory": None}, CertificateUntrusted),
        ({"directory": hc_role("Chef", scheme="2a03")}, CertificateUntrusted),
        ({"directory": b"\x30\x01"}, CertificateMalformed),
        ({"directory": hc_role(MEDICAL_DOCTOR), "policy": "1.2.392.100495.1.5.1.9.9.9"}, CertificateUntrusted),
        ({"directory": hc_role(MEDICAL_DOCTOR), "signs": False}, CertificateUntrusted),
        ({"directory": hc_role(MEDICAL_DOCTOR), "ca": True}, CertificateUntrusted),
        ({"directory": hc_role(MEDICAL_DOCTOR), "not_after": NOW - DAY}, CertificateExpired),
    ],
)
def test_a_leaf_that_is_not_the_profiles_is_refused(
    house: House, change: dict[str, Any], expected: type[BrokerError]
) -> None:
    with pytest.raises(expected):
        house.judge(house.authority.leaf(**change))


def roca_marked() -> rsa.RSAPublicKey:
    """A modulus that is a power of 65537 modulo every small prime (CVE-2017-15361)."""
    product = math.prod(n for n in range(2, 168) if all(n % m for m in range(2, n)))
    return rsa.RSAPublicNumbers(65537, ((1 << 2047) // product + 1) * product + pow(65537, 1234, product)).public_key()


@pytest.mark.parametrize(
    "key",
    [
        rsa.generate_private_key(65537, 1024).public_key(),  # noqa: S505 -- what must be refused
        rsa.generate_private_key(3, 2048).public_key(),
        roca_marked(),
        ec.generate_private_key(ec.SECP256K1()).public_key(),
    ],
    ids=["1024 bits", "exponent 3", "ROCA", "secp256k1"],
)
def test_a_weak_key_on_the_path_is_refused(house: House, key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey) -> None:
    with pytest.raises(CertificateUntrusted, match="weak"):
        house.judge(house.authority.leaf(directory=hc_role(MEDICAL_DOCTOR), key=key))


def test_an_anchor_nobody_pinned_is_none(house: House) -> None:
    with pytest.raises(CertificateUntrusted):
        house.judge(anchors=[CA("Root").der])


def test_an_anchor_past_its_own_end_is_none(house: House) -> None:
    leaf = house.authority.leaf(directory=hc_role(MEDICAL_DOCTOR), not_after=NOW + 2000 * DAY)
    with pytest.raises(CertificateUntrusted):
        house.judge(leaf, at=NOW + 1000 * DAY)


def test_bounds_are_held_before_anything_is_judged(house: House) -> None:
    twins = [CA("Twin", house.root).der for _ in range(3)]
    for change in (
        {"intermediates": twins},
        {"intermediates": [CA(f"CA {n}", house.root).der for n in range(7)]},
        {"anchors": []},
        {"crls": [b"x" * (foreign.MAX_LIST + 1)]},
        {"crls": [b"x"] * (foreign.MAX_EVIDENCE + 1)},
    ):
        before = time.monotonic()
        with pytest.raises(CertificateUntrusted):
            house.judge(**change)
        assert time.monotonic() - before < 1.0
    with pytest.raises(ValueError, match="zone"):
        house.judge(at=NOW.replace(tzinfo=None))


def test_a_web_of_cross_signed_twins_ends_in_time(house: House) -> None:
    """The worst that the bounds let through: three pairs of twins, each signed by the next pair."""
    web: list[bytes] = []
    above = house.root
    for level in range(3):
        pair = [CA(f"Level {level}", above), CA(f"Level {level}", above)]
        web += [each.der for each in pair]
        above = pair[0]
    stranger = CA("Level 2").leaf(directory=hc_role(MEDICAL_DOCTOR))
    with pytest.raises(CertificateUntrusted):
        house.judge(stranger, intermediates=web)


def test_a_child_that_never_ends_is_ended(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    endless = Nursery("tests.broker.jpki.endless_child", places=1)
    monkeypatch.setattr(foreign, "_JUDGE", endless)
    with pytest.raises(CertificateUntrusted, match="in time"):
        house.judge()
    endless.close()


@pytest.mark.parametrize("garbage", [b"", b"\x00", b"\x30\x80", os.urandom(300)])
def test_bytes_that_are_no_certificate_are_malformed(house: House, garbage: bytes) -> None:
    with pytest.raises(CertificateMalformed):
        validate_foreign_path(garbage, anchors=[house.root.der], at=NOW, max_age=DAY, profile=HPKI_SIGNATURE)


def test_the_child_answers_nothing_to_a_question_it_cannot_read() -> None:
    judge = Nursery(foreign_child.__name__, places=1)
    done = judge.run(b"{}", patience=1)
    judge.close()
    assert done.status not in {0, None}
    assert done.output == b""


def test_mutated_chains_are_refused_with_our_errors_only(house: House) -> None:
    """Every bit of the evidence counts: no changed byte in leaf, authority or list leaves the proof standing."""
    leaf = house.authority.leaf(directory=hc_role(MEDICAL_DOCTOR)).public_bytes(Encoding.DER)
    pieces = [leaf, house.authority.der, house.root.crl(), house.authority.crl()]
    random = Random(20261120)
    believed = 0
    for _ in range(24):
        changed = list(pieces)
        which = random.randrange(len(changed))
        place = random.randrange(len(changed[which]))
        changed[which] = (
            changed[which][:place]
            + bytes([changed[which][place] ^ (1 << random.randrange(8))])
            + changed[which][place + 1 :]
        )
        try:
            validate_foreign_path(
                changed[0],
                anchors=[house.root.der],
                intermediates=[changed[1]],
                crls=changed[2:],
                at=NOW,
                max_age=2 * DAY,
                profile=HPKI_SIGNATURE,
            )
            believed += 1
        except BrokerError:
            continue
    assert believed == 0


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_names_that_certify_each_other_in_circles_end_in_time(house: House, depth: int) -> None:
    """Twins with one key under several issuers: the path builder walks every way round before it gives up."""
    circle = [CA(f"Circle {number}", house.root) for number in range(depth)]
    web = [each.der for each in circle]
    for one, other in zip(circle, circle[1:] + circle[:1], strict=True):
        twin = CA(other.common, one, key=other.key)
        web.append(twin.der)
    stranger = CA("Circle 0").leaf(directory=hc_role(MEDICAL_DOCTOR))
    with pytest.raises(CertificateUntrusted):
        house.judge(stranger, intermediates=web)


# --- hcRole ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("nested", [False, True])
def test_roles_are_read_from_the_directory_attributes_exactly(house: House, nested: bool) -> None:
    leaf = house.authority.leaf(directory=hc_role("Medical Doctor", "Director of Hospital", nested=nested))
    assert hc_roles(leaf.public_bytes(Encoding.DER)) == ("Medical Doctor", "Director of Hospital")


def test_a_role_is_never_folded_or_trimmed(house: House) -> None:
    leaf = house.authority.leaf(directory=hc_role("medical doctor "))
    assert MEDICAL_DOCTOR not in hc_roles(leaf.public_bytes(Encoding.DER))
    assert hc_roles(leaf.public_bytes(Encoding.DER)) == ("medical doctor ",)


def test_an_extension_under_the_roles_own_identifier_is_no_role(house: House) -> None:
    """The known trap, from the other side: what stands where a naive verifier looks is not believed."""
    leaf = house.authority.leaf(directory=hc_role("Medical Doctor", attribute="2a830886910f01060101"))
    assert hc_roles(leaf.public_bytes(Encoding.DER)) == ()


@pytest.mark.parametrize(
    "value",
    [
        hc_role("x" * 65),
        hc_role(""),
        hc_role("Medical Doctor", "Medical Doctor"),
        hc_role(*(f"role {n}" for n in range(33))),
        hc_role("Medical Doctor") + b"\x00",
        hc_role("Medical Doctor")[:-3],
        hc_role("Medical Doctor").replace(b"\x0c", b"\x04"),
        b"",
    ],
)
def test_half_a_licence_is_none(house: House, value: bytes) -> None:
    with pytest.raises(CertificateMalformed):
        hc_roles(house.authority.leaf(directory=value).public_bytes(Encoding.DER))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.data())
def test_hostile_attributes_raise_our_error_or_name_roles(house: House, data: st.DataObject) -> None:
    value = bytearray(hc_role("Medical Doctor", "Director of Clinic"))
    for place in data.draw(st.lists(st.integers(0, len(value) - 1), max_size=3)):
        value[place] = data.draw(st.integers(0, 255))
    try:
        roles = hc_roles(house.authority.leaf(directory=bytes(value)).public_bytes(Encoding.DER))
    except CertificateMalformed:
        return
    assert all(0 < len(role) <= 64 for role in roles)


def test_a_certificate_without_the_attribute_has_no_roles(house: House) -> None:
    assert hc_roles(house.authority.leaf(policy=POLICY).public_bytes(Encoding.DER)) == ()
