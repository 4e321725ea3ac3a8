"""The certificates against the shape of the public JPKI roots and of JPKI-TEST cards."""

from __future__ import annotations

import contextlib
import json
import subprocess
from datetime import date
from pathlib import Path

import pytest
from asn1crypto import core
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtensionOID

from sandbox.ca import fifth_birthday
from sandbox.generate import World
from tests.sandbox.conftest import NOW, leaf


def everybody(world: World, kind: str) -> list[str]:
    """Whose card (not phone, and not the card before a renewal) holds a certificate of the kind."""
    rows = json.loads((world.cards / "index.json").read_bytes())
    names = [row["name"] for row in rows if row["name"] == row["resident"] and row["kind"] != "hpki"]
    slots = {name: json.loads(world.card(name).read_bytes())[kind] for name in names}
    return [name for name, slot in slots.items() if slot is not None and slot["certificate"] is not None]


def has(certificate: x509.Certificate, oid: x509.ObjectIdentifier) -> bool:
    return any(extension.oid == oid for extension in certificate.extensions)


def test_two_generations_share_one_name_and_differ_by_key(world: World) -> None:
    for path in (world.anchors, world.sign_anchors):
        first, second = x509.load_pem_x509_certificates(path.read_bytes())
        assert first.subject == second.subject
        assert first.public_key() != second.public_key()
        for root in (first, second):
            assert root.not_valid_before_utc < NOW < root.not_valid_after_utc
            assert root.not_valid_after_utc.strftime("%H:%M:%S") == "14:59:59"
            root.verify_directly_issued_by(root)


def test_roots_are_named_as_the_public_ones_and_carry_a_subject_key_identifier_only(world: World) -> None:
    root = x509.load_pem_x509_certificates(world.anchors.read_bytes())[0]
    assert root.subject.rfc4514_string() == (
        "OU=Japan Agency for Local Authority Information Systems,OU=JPKI for user authentication,O=JPKI-TEST,C=JP"
    )
    assert b"\x13\x02JP" in root.subject.public_bytes()  # countryName is a PrintableString
    assert has(root, ExtensionOID.SUBJECT_KEY_IDENTIFIER)
    assert not has(root, ExtensionOID.AUTHORITY_KEY_IDENTIFIER)


def test_every_auth_certificate_fits_in_1280_bytes_and_has_the_shape_of_the_test_cards(world: World) -> None:
    names = everybody(world, "auth")
    assert len(names) >= 15
    for name in names:
        certificate = leaf(world, name)
        assert len(certificate.public_bytes(Encoding.DER)) <= 1280, name
        key = certificate.public_key()
        assert isinstance(key, rsa.RSAPublicKey)
        assert key.key_size == 2048
        (common_name,) = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        value = str(common_name.value)
        assert len(value) == 23
        assert value.endswith("A")
        assert value[14:22].isdigit()
        assert certificate.not_valid_after_utc.strftime("%H:%M:%S") == "14:59:59"
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)
        assert usage.critical
        assert usage.value.digital_signature
        assert not usage.value.content_commitment
        policies = certificate.extensions.get_extension_for_class(x509.CertificatePolicies)
        assert policies.critical
        oid = policies.value[0].policy_identifier.dotted_string
        assert oid == "1.2.392.200149.8.5.1." + ("3.30" if name == "yoso" else "0.30")


def test_hanako_carries_neither_key_identifier_of_her_issuer_nor_key_purposes_and_others_vary(world: World) -> None:
    hanako = leaf(world, "hanako")
    assert not has(hanako, ExtensionOID.AUTHORITY_KEY_IDENTIFIER)
    assert not has(hanako, ExtensionOID.EXTENDED_KEY_USAGE)
    seen = {
        (has(c, ExtensionOID.AUTHORITY_KEY_IDENTIFIER), has(c, ExtensionOID.EXTENDED_KEY_USAGE))
        for c in (leaf(world, name) for name in everybody(world, "auth"))
    }
    assert seen == {(False, False), (False, True), (True, False), (True, True)}


def test_residents_are_spread_over_both_generations(world: World) -> None:
    roots = x509.load_pem_x509_certificates(world.anchors.read_bytes())
    issued = [0, 0]
    for name in everybody(world, "auth"):
        certificate = leaf(world, name)
        for generation, root in enumerate(roots):
            key = root.public_key()
            assert isinstance(key, rsa.RSAPublicKey)
            with contextlib.suppress(InvalidSignature):
                key.verify(certificate.signature, certificate.tbs_certificate_bytes, PKCS1v15(), SHA256())
                issued[generation] += 1
    assert min(issued) >= 3
    assert sum(issued) == len(everybody(world, "auth")) - 1  # all but the foreign one


def test_sign_certificate_states_the_four_attributes_in_the_order_of_the_cards(world: World) -> None:
    names = leaf(world, "hanako", "sign").extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    others = names.get_values_for_type(x509.OtherName)
    assert [other.type_id.dotted_string for other in others] == [
        f"1.2.392.200149.8.5.5.{number}" for number in (1, 4, 3, 5, 2, 6)
    ]
    values = [core.UTF8String.load(other.value).native for other in others]
    assert values == ["山田花子", "319850412", "2", "見本県例示市中央一丁目２番３号", "0000", "0" * 15]


def test_a_child_has_no_sign_certificate_and_the_empty_card_has_none_at_all(world: World) -> None:
    assert "mirai" in everybody(world, "auth")
    assert "mirai" not in everybody(world, "sign")
    assert "nashi" not in everybody(world, "auth")
    assert "nashi" not in everybody(world, "sign")


def test_one_serial_stands_under_two_generations_so_that_lookup_by_name_is_found_out(world: World) -> None:
    taro, shikko = leaf(world, "taro"), leaf(world, "shikko")
    assert taro.serial_number == shikko.serial_number
    assert taro.issuer == shikko.issuer
    taro_points = taro.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    assert taro_points == shikko.extensions.get_extension_for_class(x509.CRLDistributionPoints).value


def test_the_foreign_authority_is_in_no_anchor_file(world: World) -> None:
    foreign = leaf(world, "yoso").issuer
    assert foreign.get_attributes_for_oid(x509.NameOID.ORGANIZATION_NAME)[0].value == "JPKI"
    for path in (world.anchors, world.sign_anchors):
        assert foreign not in [root.subject for root in x509.load_pem_x509_certificates(path.read_bytes())]


@pytest.mark.parametrize(
    ("issued", "birth", "ends"),
    [
        (date(2025, 10, 27), date(1990, 2, 17), date(2030, 2, 17)),  # the published test card: its fifth birthday
        (date(2025, 4, 12), date(1985, 4, 12), date(2030, 4, 12)),
        (date(2025, 1, 1), date(2000, 2, 29), date(2029, 3, 1)),
    ],
)
def test_a_certificate_ends_on_the_fifth_birthday_after_issue(issued: date, birth: date, ends: date) -> None:
    assert fifth_birthday(issued=issued, birth=birth) == ends


def test_openssl_reads_the_leaf_as_meant(world: World, tmp_path: Path) -> None:
    path = tmp_path / "hanako.cer"
    path.write_bytes(leaf(world, "hanako").public_bytes(Encoding.DER))
    text = subprocess.run(
        ["openssl", "x509", "-inform", "DER", "-in", str(path), "-noout", "-text"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert "X509v3 Key Usage: critical\n                Digital Signature\n" in text
    assert "Policy: 1.2.392.200149.8.5.1.0.30" in text
    assert (
        "DirName:C = JP, O = JPKI-TEST, OU = JPKI for user authentication, OU = CRL Distribution Points, "
        "OU = Mihon-ken, CN = Reiji-shi CRLDP"
    ) in text
