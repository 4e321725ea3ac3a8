"""The doctor's card of the sandbox: its chain, its licence, and that no MyNumber reader takes it."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from broker.jpki.hcrole import MEDICAL_DOCTOR, hc_roles
from cardreader import cardfile, hpki_ap, jpki_ap
from cardreader.apdu import converse
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


def test_a_login_refuses_the_doctors_card(world: World) -> None:
    assert cardfile.load(world.card("isha")).kind == "hpki"
    tray = Tray()
    tray.insert(world.card("isha"))
    with SoftwareReaders(tray).connect() as connection, pytest.raises(NotJPKICard):
        converse(jpki_ap.read_card(), connection.transmit)


def test_a_role_too_long_for_its_frame_is_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        hpki.hc_role("x" * 120)
