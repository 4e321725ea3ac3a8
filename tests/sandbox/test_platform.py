"""The worked example of a platform operator, from both ends: the broker's adapter against the sandbox's stand-in."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from werkzeug.serving import make_server

from broker.accounts.lifecycle import CertificateName
from broker.errors import CorrespondenceUnknown, RevocationUnknown
from broker.jpki.certificate import TrustedCertificate, issuer_key_hash
from broker.jpki.verdict import RevocationStatus
from broker.network.configuration import Platform
from broker.network.outbound import OutboundGuard
from broker.network.platform import PlatformOperator
from sandbox.generate import World
from sandbox.world import create_world
from sandbox.world.platform import TOKEN
from sandbox.world.registry import Registry
from tests.broker.jpki.hierarchy import CA
from tests.sandbox.conftest import NOW, leaf

DAY = timedelta(days=1)


@contextmanager
def operator(world: World, token: str = TOKEN) -> Iterator[PlatformOperator]:
    server = make_server("127.0.0.1", 0, create_world(world.root, None, clock=lambda: NOW), threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield PlatformOperator(
            Platform(url=f"http://127.0.0.1:{server.server_port}/platform", token=token),
            OutboundGuard(allow_loopback_http=True),
            lambda: NOW,
            os.urandom,
        )
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def trusted(world: World, resident: str) -> TrustedCertificate:
    certificate = leaf(world, resident)
    roots = [path.read_bytes() for path in Path(world.root, "ca").glob("auth-?.cer")]
    return TrustedCertificate(
        der=certificate.public_bytes(Encoding.DER),
        issuer=roots[0],
        issuer_key_hash=issuer_key_hash(roots[0]),
        serial=certificate.serial_number,
        spki=certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        profile="TEST",
        kind="plastic",
    )


def test_a_card_is_registered_verified_and_its_end_is_told(own_world: World) -> None:
    hanako = trusted(own_world, "hanako")
    with operator(own_world) as adapter:
        registration = adapter.register(hanako)
        assert adapter.register(hanako) == registration
        assert adapter.judge(hanako, at=NOW, max_age=DAY).verdict.status is RevocationStatus.GOOD
        assert adapter.notices(after=0) == ()
        Registry(own_world.root).revoke("hanako", now=NOW)
        assert adapter.judge(hanako, at=NOW, max_age=DAY).verdict.status is RevocationStatus.REVOKED
        (told,) = adapter.notices(after=0)
        assert (told.number, told.registration, told.reason) == (1, registration, "keyCompromise")
        assert adapter.notices(after=1) == ()


def name(world: World, card: str) -> CertificateName:
    certificate = leaf(world, card)
    for path in Path(world.root, "ca").glob("*auth-?.cer"):
        root = path.read_bytes()
        with contextlib.suppress(InvalidSignature, ValueError):
            certificate.verify_directly_issued_by(x509.load_der_x509_certificate(root))
            return CertificateName(issuer_key_hash=issuer_key_hash(root), serial=certificate.serial_number)
    raise LookupError(card)


def test_a_renewed_card_names_what_it_replaces_and_phone_and_card_correspond(own_world: World) -> None:
    with operator(own_world) as adapter:
        old = name(own_world, "hanako")
        assert adapter.predecessor(old) is None
        assert adapter.correspond(old, name(own_world, "hanakoandroid")) is True
        assert adapter.correspond(old, name(own_world, "taroiphone")) is False
        Registry(own_world.root).enter("renewal", "hanako", now=NOW)
        assert adapter.predecessor(name(own_world, "hanako")) == old
        with pytest.raises(CorrespondenceUnknown):
            adapter.predecessor(replace(old, serial=1))


def test_a_certificate_of_another_authority_proves_nothing(own_world: World) -> None:
    other = CA("Other").leaf().public_bytes(Encoding.DER)
    stranger = replace(trusted(own_world, "hanako"), der=other)
    with operator(own_world) as adapter:
        assert adapter.judge(stranger, at=NOW, max_age=DAY).verdict.status is RevocationStatus.UNKNOWN


def test_nobody_is_served_without_the_token(own_world: World) -> None:
    with operator(own_world, token="guessed") as adapter, pytest.raises(RevocationUnknown):
        adapter.register(trusted(own_world, "hanako"))
