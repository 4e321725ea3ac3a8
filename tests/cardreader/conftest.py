"""Cards and readers for the tests of the card side: the same tests run in process and through the real PC/SC daemon."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID, ObjectIdentifier

from cardreader import cardfile
from cardreader.cardfile import CardFile, KeySlot, Kind
from cardreader.faults import Fault
from cardreader.hpki_emulator import software_card
from cardreader.pcsc import PCSCReaders
from cardreader.softcard import PrivatePCSCD
from cardreader.transport import Readers
from cardreader.tray import SoftwareReaders, Tray, TrayClient, TrayStatus
from tests.pcscd import private_pcscd

__all__ = ["private_pcscd"]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "daemon: goes through the real PC/SC daemon (left out by -m 'not daemon')")


_DAEMON_FIXTURES = frozenset({"private_pcscd", "through_pcscd", "faulty", "run_dir"})
_DAEMON_MODULES = frozenset({"test_softcard.py", "test_fault_campaign.py", "test_opensc_residents.py", "test_pcsc.py"})


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what starts a daemon: the rest runs anywhere, without rights, in seconds."""
    for item in items:
        call = getattr(item, "callspec", None)
        through_daemon = (
            bool(_DAEMON_FIXTURES & set(getattr(item, "fixturenames", ())))
            or (call is not None and call.params.get("rig") == "pcscd")
            or (item.path.parent == Path(__file__).parent and item.path.name in _DAEMON_MODULES)
        )
        if through_daemon:
            item.add_marker("daemon")


TOKEN_LABELS: dict[Kind, str] = {
    "plastic": "JPKIAPICCTOKEN2",
    "android": "JPKIAPGPSETOKEN",
    "iphone": "JPKIAPIOSTOKEN",
    "juki": "JPKIAPICCTOKEN",
    "hpki": "HPKI-TEST",
}
CERTIFICATE_LENGTH = 1280  # bytes; the size the limits on a login are stated for


@dataclass(frozen=True, kw_only=True)
class CardMaker:
    """Makes card files of one key pair; a test says only what matters to it."""

    key: rsa.RSAPrivateKey
    pem: str
    certificate: bytes
    names: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def __call__(
        self,
        *,
        kind: Kind = "plastic",
        tries: int = 3,
        certificate: bytes | None = b"",
        token_label: str | None = None,
        blocked_status: int = 0x6984,
        sign: bool = True,
        sign_certificate: bytes | None = b"",
        sign_tries: int = 5,
    ) -> CardFile:
        der = self.certificate if certificate == b"" else certificate
        auth = KeySlot(
            certificate=der, ca_certificate=self.certificate, private_key=self.pem, pin="1234", tries=tries, tries_max=3
        )
        signing = KeySlot(
            certificate=self.certificate if sign_certificate == b"" else sign_certificate,
            ca_certificate=self.certificate,
            private_key=self.pem,
            pin="ABC123",
            tries=sign_tries,
            tries_max=5,
        )
        return CardFile(
            name=f"card{next(self.names)}",
            label="山田花子",
            kind=kind,
            atr=bytes.fromhex("3BE000FF8131FE4514"),
            token_label=token_label or TOKEN_LABELS[kind],
            auth=auth,
            sign=signing if sign else None,
            blocked_status=blocked_status,
        )


@pytest.fixture(scope="session")
def card_maker() -> CardMaker:
    return make_card_maker()


def make_card_maker() -> CardMaker:
    """A key pair and a certificate of CERTIFICATE_LENGTH; campaigns outside pytest make their cards with it too."""
    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    certificate = _certificate(key, filler=0)
    filler = CERTIFICATE_LENGTH - len(certificate)
    while len(certificate) != CERTIFICATE_LENGTH:  # the extension's own frame takes some bytes
        certificate = _certificate(key, filler=filler)
        filler += CERTIFICATE_LENGTH - len(certificate)
    return CardMaker(key=key, pem=pem, certificate=certificate)


def _certificate(key: rsa.RSAPrivateKey, *, filler: int) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "card side test")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(datetime(2026, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2031, 1, 1, tzinfo=UTC))
    )
    if filler:
        padding = x509.UnrecognizedExtension(ObjectIdentifier("1.3.6.1.4.1.55555.1"), bytes(filler))
        builder = builder.add_extension(padding, critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


class Rig(Protocol):
    """A reader and the hand that puts cards in it."""

    readers: Readers

    def insert(self, card: CardFile) -> TrayStatus: ...
    def remove(self) -> TrayStatus: ...
    def status(self) -> TrayStatus: ...


class InProcess:
    """A card in the memory of the test's own process."""

    def __init__(self) -> None:
        self.tray = Tray()
        self.readers: Readers = SoftwareReaders(self.tray)

    def insert(self, card: CardFile) -> TrayStatus:
        return self.tray.insert_card(software_card(card))

    def remove(self) -> TrayStatus:
        return self.tray.remove()

    def status(self) -> TrayStatus:
        return self.tray.status()


class ThroughPCSCD:
    """A card in the virtual reader of the real daemon."""

    def __init__(self, daemon: PrivatePCSCD, folder: Path) -> None:
        self._daemon = daemon
        self._folder = folder
        self.readers: Readers = PCSCReaders(deadline=5.0)

    @property
    def environment(self) -> dict[str, str]:
        """For programs that are to find this reader."""
        return self._daemon.environment

    def path(self, name: str) -> Path:
        return self._folder / f"{name}.json"

    def insert(self, card: CardFile) -> TrayStatus:
        cardfile.save(card, self.path(card.name))
        return self._daemon.insert(self.path(card.name))

    def remove(self) -> TrayStatus:
        return self._daemon.remove()

    def status(self) -> TrayStatus:
        return self._daemon.status()

    def fail(self, fault: Fault) -> TrayStatus:
        return TrayClient(self._daemon.control_path).fail(fault)


@pytest.fixture
def in_process() -> InProcess:
    return InProcess()


@pytest.fixture
def through_pcscd(private_pcscd: PrivatePCSCD) -> Iterator[ThroughPCSCD]:
    with tempfile.TemporaryDirectory(prefix="cards-") as folder:
        yield ThroughPCSCD(private_pcscd, Path(folder))
        private_pcscd.remove()


@pytest.fixture(params=["in process", "pcscd"])
def rig(request: pytest.FixtureRequest) -> Rig:
    name = "in_process" if request.param == "in process" else "through_pcscd"
    chosen: Rig = request.getfixturevalue(name)
    return chosen
