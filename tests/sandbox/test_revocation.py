"""CRLs and OCSP answers, with openssl as the judge from outside."""

from __future__ import annotations

import json
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox import ledger
from sandbox.ca import Kind
from sandbox.generate import World, generate, issuer_key_hash
from sandbox.ledger import Ledger
from sandbox.revocation import answer_ocsp
from sandbox.world.registry import Registry
from tests.sandbox.conftest import NOW, leaf


def crl_of(registry: Registry, kind: Kind, generation: int, code: str = "48101") -> x509.CertificateRevocationList:
    der = registry.crl(kind, generation, registry.municipalities[code], now=NOW)
    return x509.load_der_x509_crl(der)


def number_of(crl: x509.CertificateRevocationList) -> int:
    return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number


def openssl_verify(
    tmp_path: Path, certificate: x509.Certificate, root: x509.Certificate, crl: x509.CertificateRevocationList
) -> subprocess.CompletedProcess[str]:
    for name, part in (("leaf", certificate), ("root", root), ("crl", crl)):
        (tmp_path / f"{name}.pem").write_bytes(part.public_bytes(Encoding.PEM))
    root_file, crl_file, leaf_file = (str(tmp_path / f"{name}.pem") for name in ("root", "crl", "leaf"))
    at = str(int(NOW.timestamp()))
    return subprocess.run(
        ["openssl", "verify", "-attime", at, "-crl_check", "-CAfile", root_file, "-CRLfile", crl_file, leaf_file],
        check=False,
        capture_output=True,
        text=True,
    )


def test_openssl_accepts_the_good_and_refuses_the_revoked_by_our_lists(own_world: World, tmp_path: Path) -> None:
    registry, authorities = Registry(own_world.root), own_world.authorities()
    good = openssl_verify(
        tmp_path, leaf(own_world, "hanako"), authorities["auth-2"].certificate, crl_of(registry, "auth", 2)
    )
    assert (good.returncode, good.stderr) == (0, "")
    revoked = openssl_verify(
        tmp_path, leaf(own_world, "shikko"), authorities["auth-1"].certificate, crl_of(registry, "auth", 1)
    )
    assert revoked.returncode != 0
    assert "certificate revoked" in revoked.stderr
    elsewhere = openssl_verify(
        tmp_path, leaf(own_world, "hanako"), authorities["auth-2"].certificate, crl_of(registry, "auth", 2, "49201")
    )
    assert "different CRL scope" in elsewhere.stderr


def test_the_list_names_the_partition_that_the_leaf_names(own_world: World) -> None:
    crl = crl_of(Registry(own_world.root), "auth", 2)
    scope = crl.extensions.get_extension_for_class(x509.IssuingDistributionPoint)
    points = leaf(own_world, "hanako").extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    assert scope.critical
    assert scope.value.full_name == points[0].full_name
    assert crl.next_update_utc is not None
    assert crl.next_update_utc - crl.last_update_utc > timedelta(days=1)


def test_reasons_are_told_as_the_authority_gave_them(own_world: World) -> None:
    crl = crl_of(Registry(own_world.root), "sign", 2)
    row = crl.get_revoked_certificate_by_serial_number(leaf(own_world, "hikkoshi", "sign").serial_number)
    assert row is not None
    assert row.extensions.get_extension_for_class(x509.CRLReason).value.reason == x509.ReasonFlags.affiliation_changed


def test_the_same_list_is_served_for_six_hours_and_then_a_higher_number(own_world: World) -> None:
    registry = Registry(own_world.root)
    place = registry.municipalities["48101"]
    first = registry.crl("auth", 2, place, now=NOW)
    assert registry.crl("auth", 2, place, now=NOW + timedelta(hours=5)) == first
    later = registry.crl("auth", 2, place, now=NOW + timedelta(hours=7))
    assert number_of(x509.load_der_x509_crl(later)) > number_of(x509.load_der_x509_crl(first))


def test_a_revocation_is_in_the_next_list_at_once_under_a_higher_number(own_world: World) -> None:
    registry = Registry(own_world.root)
    before = crl_of(registry, "auth", 2)
    serial = leaf(own_world, "hanako").serial_number
    assert before.get_revoked_certificate_by_serial_number(serial) is None
    registry.revoke("hanako", now=NOW)
    after = crl_of(registry, "auth", 2)
    assert after.get_revoked_certificate_by_serial_number(serial) is not None
    assert number_of(after) > number_of(before)


def test_the_number_rises_even_where_the_lists_were_thrown_away(own_world: World) -> None:
    registry = Registry(own_world.root)
    place = registry.municipalities["48101"]
    first = x509.load_der_x509_crl(registry.crl("auth", 2, place, now=NOW))
    next((own_world.root / "world" / "crl" / "auth" / "2").iterdir()).unlink()
    second = x509.load_der_x509_crl(registry.crl("auth", 2, place, now=NOW + timedelta(seconds=1)))
    assert number_of(second) > number_of(first)


def test_lists_of_the_old_keys_are_not_served_after_the_world_was_made_anew(own_world: World) -> None:
    registry = Registry(own_world.root)
    crl_of(registry, "auth", 2)
    (own_world.root / "ca" / "generation.json").unlink()
    generate(own_world.root, NOW)
    key = x509.load_pem_x509_certificates(own_world.anchors.read_bytes())[1].public_key()
    assert crl_of(registry, "auth", 2).is_signature_valid(key)  # type: ignore[arg-type]  # RSA, as the CA tests hold


def test_revoking_twice_keeps_the_first_time_and_reason(own_world: World) -> None:
    registry = Registry(own_world.root)
    registry.revoke("hanako", now=NOW, reason="cessationOfOperation")
    registry.revoke("hanako", now=NOW + timedelta(days=1), reason="keyCompromise")
    entry = registry.ledger().current("hanako", "auth")
    assert entry is not None
    assert entry.reason == "cessationOfOperation"
    assert entry.revoked_at is not None
    assert entry.revoked_at <= NOW


def test_every_partition_has_a_source_for_each_key(world: World) -> None:
    rows = json.loads(world.crl_sources.read_bytes())
    leaf_point = leaf(world, "hanako").extensions.get_extension_for_class(x509.CRLDistributionPoints).value[0]
    assert leaf_point.full_name is not None
    name = leaf_point.full_name[0].value.rfc4514_string()
    keys = {row["issuer_key_hash"] for row in rows if row["distribution_point"] == name}
    roots = x509.load_pem_x509_certificates(world.anchors.read_bytes())
    assert keys == {issuer_key_hash(root) for root in roots}
    assert len(rows) == 15  # two generations of two authorities, one of the phones'; three municipalities


@pytest.mark.parametrize(
    "algorithm",
    [SHA1(), SHA256()],  # noqa: S303 - RFC 5019 requests name the issuer by SHA-1, and openssl does so by default
)
def test_ocsp_tells_good_revoked_and_unknown_and_echoes_the_nonce(world: World, algorithm: SHA1 | SHA256) -> None:
    authorities, books = world.authorities(), ledger.read(world.ledger)

    def ask(certificate: x509.Certificate, issuer: str, books: Ledger = books) -> ocsp.OCSPResponse:
        request = (
            ocsp.OCSPRequestBuilder()
            .add_certificate(certificate, authorities[issuer].certificate, algorithm)
            .add_extension(x509.OCSPNonce(b"n" * 32), critical=False)
            .build()
            .public_bytes(Encoding.DER)
        )
        ours = [authorities["auth-1"], authorities["auth-2"]]
        return ocsp.load_der_ocsp_response(answer_ocsp(request, authorities=ours, ledger=books, at=NOW))

    good = ask(leaf(world, "taro"), "auth-2")
    assert good.certificate_status is ocsp.OCSPCertStatus.GOOD
    assert good.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce == b"n" * 32
    revoked = ask(leaf(world, "shikko"), "auth-1")
    assert revoked.certificate_status is ocsp.OCSPCertStatus.REVOKED
    assert revoked.revocation_reason is x509.ReasonFlags.key_compromise
    assert ask(leaf(world, "taro"), "auth-2", Ledger(entries=())).certificate_status is ocsp.OCSPCertStatus.UNKNOWN
    stranger = ask(leaf(world, "yoso"), "foreign-auth-1")
    assert stranger.response_status is ocsp.OCSPResponseStatus.UNAUTHORIZED


@given(st.binary(max_size=300))
@settings(max_examples=100)
def test_hostile_bytes_are_answered_malformed(request: bytes) -> None:
    answer = answer_ocsp(request, authorities=(), ledger=Ledger(entries=()), at=NOW)
    assert ocsp.load_der_ocsp_response(answer).response_status is ocsp.OCSPResponseStatus.MALFORMED_REQUEST
