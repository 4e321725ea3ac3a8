"""The doctor's card of the sandbox: its chain, its licence, and that no MyNumber reader takes it."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from broker.jpki.hcrole import MEDICAL_DOCTOR, hc_roles
from cardreader import cardfile, facts, hcrole, hpki_ap, jpki_ap
from cardreader.__main__ import main
from cardreader.apdu import converse
from cardreader.commands.session import CARD, Surroundings
from cardreader.errors import NotJPKICard
from cardreader.hpki_ap import HPKIApplication
from cardreader.tray import SoftwareReaders, Tray
from sandbox import hpki
from sandbox.generate import World
from sandbox.hpki import POLICIES, Purpose
from tests.sandbox.conftest import NOW

APPLICATIONS: dict[Purpose, HPKIApplication] = {"sign": HPKIApplication.SIGN, "auth": HPKIApplication.AUTH}


def shown_by_the_card(world: World, purpose: Purpose) -> x509.Certificate:
    tray = Tray()
    tray.insert(world.card("isha"))
    with SoftwareReaders(tray).connect() as connection:
        objects = converse(hpki_ap.open_application(APPLICATIONS[purpose]), connection.transmit)
        return x509.load_der_x509_certificate(converse(hpki_ap.read_certificate(objects), connection.transmit))


@pytest.mark.parametrize("purpose", APPLICATIONS)
def test_the_card_states_the_licence_under_the_test_root(world: World, purpose: Purpose) -> None:
    leaf = shown_by_the_card(world, purpose)
    (root,) = x509.load_pem_x509_certificates(world.healthcare_anchors.read_bytes())
    issuer = x509.load_der_x509_certificate((world.root / "ca" / f"hpki{purpose}.cer").read_bytes())
    issuer.verify_directly_issued_by(root)
    leaf.verify_directly_issued_by(issuer)
    assert leaf.not_valid_before_utc < NOW < leaf.not_valid_after_utc
    assert "TEST" in root.subject.rfc4514_string()
    assert hc_roles(leaf.public_bytes(Encoding.DER)) == (MEDICAL_DOCTOR,)
    (policy,) = leaf.extensions.get_extension_for_class(x509.CertificatePolicies).value
    assert policy.policy_identifier == POLICIES[purpose]


def test_the_signing_key_commits_and_the_other_authenticates_and_neither_does_both(world: World) -> None:
    uses = {
        purpose: shown_by_the_card(world, purpose).extensions.get_extension_for_class(x509.KeyUsage).value
        for purpose in APPLICATIONS
    }
    assert (uses["sign"].content_commitment, uses["sign"].digital_signature) == (True, False)
    assert (uses["auth"].content_commitment, uses["auth"].digital_signature) == (False, True)


def test_both_applications_have_the_pin_that_the_tray_page_shows(world: World) -> None:
    tray = Tray()
    tray.insert(world.card("isha"))
    with SoftwareReaders(tray).connect() as connection:
        for application in HPKIApplication:
            objects = converse(hpki_ap.open_application(application), connection.transmit)
            assert converse(hpki_ap.tries_left(objects), connection.transmit) == 3
            converse(hpki_ap.verify_pin(objects, "8110"), connection.transmit)
            assert len(converse(hpki_ap.sign(objects, b"message"), connection.transmit)) == 256


def dates_of(leaf: x509.Certificate) -> tuple[str, str]:
    return leaf.not_valid_before_utc.isoformat(), leaf.not_valid_after_utc.isoformat()


def around(world: World, *typed: str) -> Surroundings:
    tray, left = Tray(), list(typed)
    tray.insert(world.card("isha"))
    return Surroundings(readers=lambda _: SoftwareReaders(tray), ask=lambda _: left.pop(0))


def test_the_command_shows_kind_licence_dates_and_tries_and_no_name(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = CliRunner().invoke(main, ["info", "--json"], obj=around(world))
    assert shown.exit_code == 0, shown.output
    document = json.loads(shown.output)
    leaves = {name: shown_by_the_card(world, name) for name in APPLICATIONS}
    assert document == {
        "kind": "hpki",
        "reader": "software",
        "certificates": ["auth", "sign"],
        "roles": [MEDICAL_DOCTOR],
        "validity": {
            name: {
                "not_before": leaf.not_valid_before_utc.isoformat(),
                "not_after": leaf.not_valid_after_utc.isoformat(),
            }
            for name, leaf in leaves.items()
        },
        "auth_tries_left": 3,
        "sign_tries_left": 3,
    }
    for language, words in (("ja_JP.UTF-8", "資格（証明書の記載）: Medical Doctor"), ("C", "Medical Doctor")):
        monkeypatch.setenv("LC_ALL", language)
        told = CliRunner().invoke(main, ["info"], obj=around(world)).output
        assert words in told
        assert "ISHI" not in told
    counters = CliRunner().invoke(main, ["pin", "status", "--json"], obj=around(world))
    assert json.loads(counters.output) == {"auth_tries_left": 3, "sign_tries_left": 3}


def test_both_sides_read_the_same_licence(world: World) -> None:
    for purpose in APPLICATIONS:
        der = shown_by_the_card(world, purpose).public_bytes(Encoding.DER)
        assert hcrole.hc_roles(der) == hc_roles(der) == (MEDICAL_DOCTOR,)


@pytest.mark.parametrize("purpose", APPLICATIONS)
def test_its_certificates_are_printed_without_a_pin(world: World, purpose: Purpose) -> None:
    options = ["--sign"] if purpose == "sign" else []
    printed = CliRunner().invoke(main, ["certificate", "--der", *options], obj=around(world))
    assert printed.stdout_bytes == shown_by_the_card(world, purpose).public_bytes(Encoding.DER)
    authority = CliRunner().invoke(main, ["certificate", "--der", "--ca", *options], obj=around(world))
    assert authority.stdout_bytes == (world.root / "ca" / f"hpki{purpose}.cer").read_bytes()


def test_a_file_is_signed_with_the_doctors_signing_key(world: World, tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("missing: openssl (Debian package openssl)")
    file = tmp_path / "処方箋.txt"
    file.write_bytes("処方".encode())
    asked = around(world, "8110")
    made = CliRunner().invoke(main, ["sign-file", str(file)], obj=asked)
    assert made.exit_code == 0, made.output
    arguments = ["cms", "-verify", "-cades", "-inform", "DER", "-binary", "-in", f"{file}.p7s", "-content", str(file)]
    trust = ["-CAfile", str(world.healthcare_anchors), "-purpose", "any", "-attime", str(int(NOW.timestamp()))]
    done = subprocess.run(
        ["openssl", *arguments, *trust, "-out", str(tmp_path / "out")],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert "Verification successful" in done.stderr


def test_a_wrong_pin_speaks_of_this_card_and_counts_the_signing_pin_alone(world: World, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    asked = around(world, "0000", "123")
    refused = CliRunner().invoke(main, ["sign-file", str(tmp_path / "file")], obj=asked)
    assert (refused.exit_code, "CARD-032" in refused.stderr) == (CARD, True)
    counters = CliRunner().invoke(main, ["pin", "status", "--json"], obj=asked)
    assert json.loads(counters.output) == {"auth_tries_left": 3, "sign_tries_left": 2}
    assert "CARD-031" in CliRunner().invoke(main, ["sign-file", str(tmp_path / "file")], obj=asked).stderr
    counters = CliRunner().invoke(main, ["pin", "status", "--json"], obj=asked)
    assert json.loads(counters.output) == {"auth_tries_left": 3, "sign_tries_left": 2}


def test_what_only_a_mynumber_card_does_is_refused_by_name(world: World) -> None:
    refused = CliRunner().invoke(main, ["pin", "change"], obj=around(world))
    assert (refused.exit_code, "CARD-030" in refused.stderr) == (CARD, True)


def test_the_doctor_names_the_card_its_licence_and_its_dates(world: World) -> None:
    tray = Tray()
    tray.insert(world.card("isha"))
    seen = facts.look_at_card(SoftwareReaders(tray))
    leaves = [shown_by_the_card(world, purpose) for purpose in APPLICATIONS]
    assert (seen.error, seen.is_hpki, seen.roles) == ("", True, (MEDICAL_DOCTOR,))
    assert (seen.auth_tries, seen.sign_tries) == (3, 3)
    assert seen.not_after == min(leaf.not_valid_after_utc for leaf in leaves)


def test_a_login_refuses_the_doctors_card(world: World) -> None:
    assert cardfile.load(world.card("isha")).kind == "hpki"
    tray = Tray()
    tray.insert(world.card("isha"))
    with SoftwareReaders(tray).connect() as connection, pytest.raises(NotJPKICard):
        converse(jpki_ap.read_card(), connection.transmit)


def test_a_role_too_long_for_its_frame_is_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        hpki.hc_role("x" * 120)
