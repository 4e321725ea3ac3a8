"""OpenSC and our driver before every resident's card, and where OpenSC gives up a card that can still log in."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from cardreader import cardfile
from cardreader.cardfile import CardFile
from sandbox.generate import generate
from tests.campaigns.faults import FaultyPCSCD
from tests.cardreader.conftest import TOKEN_LABELS
from tests.pcscd import SKIP_PREFIX, for_child, missing_piece

NOW = datetime(2026, 11, 20, 3, 4, 5, tzinfo=UTC)

# Ours, in a process of its own: the PC/SC library remembers the first socket that it was told of.
OURS = """
import sys
from cardreader.authentication import APDUCards
from cardreader.errors import CardError
from cardreader.pcsc import PCSCReaders
for line in sys.stdin:
    pin = line.strip()
    try:
        with APDUCards(PCSCReaders()).connect() as card:
            face = card.present()
            if pin:
                card.verify_pin(pin)
                card.sign(b"message")
        # only now is the reader free for the other driver
        print(face.tries_left, face.certificate.hex() if face.certificate else "-", flush=True)
    except CardError as error:
        print(type(error).__name__, "-", flush=True)
"""


@dataclass(frozen=True, kw_only=True)
class Said:
    """What a driver says of a card; `error` instead of the rest where it gives up."""

    tries: str = ""
    certificate: bytes = b""
    error: str = ""


class Judges:
    """One reader, one card in it that becomes any card, and both drivers."""

    def __init__(self, daemon: FaultyPCSCD, folder: Path, ours: subprocess.Popen[str]) -> None:
        self._folder = folder
        self._ours = ours
        (folder / "opensc.conf").write_text(
            "app default { card_drivers = jpki; framework pkcs15 { use_file_caching = no; } }\n", encoding="ascii"
        )
        self._environment = {
            **daemon.environment,
            "OPENSC_CONF": str(folder / "opensc.conf"),
            "HOME": str(folder),
        }

    def show(self, card: CardFile) -> None:
        """From the next selection on, the card in the reader is this one."""
        cardfile.save(card, self._folder / "now.json")

    def ours(self, pin: str = "") -> Said:
        """Our driver; with a PIN it also signs."""
        assert self._ours.stdin is not None
        assert self._ours.stdout is not None
        self._ours.stdin.write(f"{pin}\n")
        self._ours.stdin.flush()
        first, certificate = self._ours.stdout.readline().split()
        if certificate == "-" and not first.isdigit():
            return Said(error=first)
        return Said(tries=first, certificate=b"" if certificate == "-" else bytes.fromhex(certificate))

    def opensc(self) -> Said:
        """OpenSC, its jpki driver forced."""
        shown = self._run("pkcs15-tool", "-D")
        if shown.returncode != 0:
            return Said(error=shown.stderr.strip().splitlines()[-1])
        tries = re.findall(r"Tries left\s*: (\d+)", shown.stdout)
        read = self._run("pkcs15-tool", "--read-certificate", "01")
        der = x509.load_pem_x509_certificate(read.stdout.encode()).public_bytes(Encoding.DER) if read.stdout else b""
        return Said(tries=tries[0], certificate=der)

    def _run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, env=self._environment, capture_output=True, text=True, timeout=30, check=False)


@pytest.fixture(scope="module")
def residents(tmp_path_factory: pytest.TempPathFactory) -> dict[str, CardFile]:
    folder = generate(tmp_path_factory.mktemp("world"), NOW).cards
    cards = [cardfile.load(path) for path in sorted(folder.glob("*.json")) if path.stem != "index"]
    of_the_office = [card for card in cards if card.kind != "hpki"]
    return {card.name: replace(card, token_label=TOKEN_LABELS[card.kind]) for card in of_the_office}


@pytest.fixture(scope="module")
def judges(residents: dict[str, CardFile]) -> Iterator[Judges]:
    missing = missing_piece()
    if missing is not None:
        pytest.skip(SKIP_PREFIX + missing)
    if shutil.which("pkcs15-tool") is None:
        pytest.skip("missing: pkcs15-tool (Debian package opensc)")
    with tempfile.TemporaryDirectory(prefix="judges-") as name, FaultyPCSCD(Path(name) / "run", save=False) as daemon:
        folder = Path(name)
        cardfile.save(residents["hanako"], folder / "now.json")
        swaps = replace(residents["hanako"], name="swaps", label=str(folder / "now.json"))
        cardfile.save(swaps, folder / "swaps.json")
        daemon.insert(folder / "swaps.json")
        with subprocess.Popen(
            [sys.executable, "-c", OURS],
            env=for_child(daemon.environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as ours:
            yield Judges(daemon, folder, ours)
            assert ours.stdin is not None
            ours.stdin.close()


def test_opensc_and_the_driver_agree_on_every_residents_card(judges: Judges, residents: dict[str, CardFile]) -> None:
    for name, card in residents.items():
        judges.show(card)
        ours, theirs = judges.ours(), judges.opensc()
        assert ours.error == expected_error(card), name
        assert not ours.error or theirs.error, name  # where we refuse, so do they
        assert bool(theirs.error) == given_up_by_opensc(card), name
        if not theirs.error:
            assert ours == theirs, name
            assert ours.certificate == card.auth.certificate, name


def expected_error(card: CardFile) -> str:
    """What our driver refuses by name."""
    if card.kind == "juki":
        return "OldResidentCard"
    return "NoAuthCertificate" if card.auth.certificate is None else ""


def given_up_by_opensc(card: CardFile) -> bool:
    """OpenSC wants a plastic card with both certificates and no blocked PIN."""
    is_whole = card.auth.certificate is not None and card.sign is not None
    return card.kind != "plastic" or not is_whole or 0 in (card.auth.tries, card.sign.tries if card.sign else 0)


@pytest.mark.parametrize("status", [0x6984, 0x6983, 0x63C0])
def test_a_blocked_signing_password_does_not_stop_a_login_though_opensc_gives_the_card_up(
    judges: Judges, residents: dict[str, CardFile], status: int
) -> None:
    hanako = residents["hanako"]
    assert hanako.sign is not None
    blocked = replace(hanako, name=f"blocked{status:x}", sign=replace(hanako.sign, tries=0), blocked_status=status)
    judges.show(blocked)
    ours = judges.ours(pin="1234")
    assert ours == Said(tries="3", certificate=hanako.auth.certificate or b"")
    assert bool(judges.opensc().error) == (status != 0x63C0)


def test_a_blocked_pin_is_told_by_its_counter_where_opensc_gives_the_card_up(
    judges: Judges, residents: dict[str, CardFile]
) -> None:
    hanako = residents["hanako"]
    judges.show(replace(hanako, name="blocked-auth", auth=replace(hanako.auth, tries=0), blocked_status=0x6984))
    assert judges.ours() == Said(tries="0", certificate=hanako.auth.certificate or b"")
    assert judges.ours(pin="1234").error == "PINBlocked"
    assert judges.opensc().error
