"""What one login asks of the card: commands, and bytes that come from it. Our driver, and OpenSC's beside it; and how
long one command takes through the real card daemon, beside the bare PC/SC call."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cardreader import jpki_ap
from cardreader.apdu import converse
from cardreader.authentication import APDUCards, SigningCard
from cardreader.cardfile import CardFile
from cardreader.channel import Channel
from cardreader.emulator import SoftwareCard
from cardreader.softcard import CannotStart, PrivatePCSCD, why_not
from cardreader.transport import CardConnection, CountingConnection, Readers
from cardreader.tray import SoftwareReaders, Tray

MAX_APDUS: Final = 13
MAX_BYTES_IN: Final = 1600
_MODULES: Final = tuple(
    Path(folder) / "opensc-pkcs11.so"
    for folder in ("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib")
)
_DIGEST_INFO: Final = bytes.fromhex("3031300d060960864801650304020105000420")  # SHA-256, RFC 8017 section 9.2 note 1
_OUTGOING: Final = re.compile(rb"Outgoing APDU \(([0-9]+) bytes\)")
_INCOMING: Final = re.compile(rb"Incoming APDU \(([0-9]+) bytes\)")
_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CardCost:
    """Commands, bytes to the card and bytes from it (status words included)."""

    apdus: int
    bytes_out: int
    bytes_in: int


class CountingReaders:
    """Readers that remember what the last connection cost."""

    def __init__(self, readers: Readers) -> None:
        self._readers = readers
        self.last = CardCost(apdus=0, bytes_out=0, bytes_in=0)

    @contextmanager
    def connect(self) -> Iterator[CardConnection]:
        """See transport.Readers."""
        with self._readers.connect() as connection:
            counting = CountingConnection(connection)
            try:
                yield counting
            finally:
                self.last = CardCost(apdus=counting.apdus, bytes_out=counting.bytes_out, bytes_in=counting.bytes_in)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundTrip:
    """Microseconds of the shortest command over the real daemon: by our reader code, and by SCardTransmit alone."""

    ours: float
    raw: float

    @property
    def ratio(self) -> float:
        """How much ours costs beside the bare call."""
        return self.ours / self.raw


def driver_costs(card: CardFile) -> dict[str, tuple[CardCost, int]]:
    """What our driver asks of `card` in one cold authentication, in a signature alone, and in an identity proofing,
    which reads two certificates and asks both secrets; with the limit of APDUs.

    The card is a software card of this process: commands and bytes are the same through a reader. The 署名用 CA's key
    stands in the agent's trust file, so that its certificate is not read from the card.
    """
    cold = "our driver, cold: certificate, PIN, signature"
    proof = "our driver, identity proofing: a login, then password, 署名用 certificate, one document"
    proofs = (
        {}
        if card.sign is None
        else {
            f"{proof}, by short identifiers": (_cost(card, _prove, short_identifiers=True), 19),
            f"{proof}, each file selected": (_cost(card, _prove, short_identifiers=False), 29),
        }
    )
    return {
        f"{cold}, by short identifiers": (_cost(card, _log_in, short_identifiers=True), 9),
        f"{cold}, each file selected": (_cost(card, _log_in, short_identifiers=False), 13),
        "our driver, signature only on a card known to take short identifiers": (
            _cost(card, _sign, short_identifiers=True),
            3,
        ),
        **proofs,
    }


def _cost(card: CardFile, act: Callable[[Readers, CardFile], None], *, short_identifiers: bool) -> CardCost:
    tray = Tray()
    tray.insert_card(SoftwareCard(card, short_identifiers=short_identifiers))
    readers = CountingReaders(SoftwareReaders(tray))
    act(readers, card)
    return readers.last


def _log_in(readers: Readers, file: CardFile) -> None:
    with APDUCards(readers).connect() as card:
        card.present()
        card.verify_pin(file.auth.pin)
        card.sign(b"bench")


def _prove(readers: Readers, file: CardFile) -> None:
    """The commands of the agent's documents.sign_documents, without its judgements."""
    with APDUCards(readers).connect() as card:
        if file.sign is None or not isinstance(card, SigningCard):
            raise NotMeasured("the card has no signing key")
        card.present()
        card.present_signing_key()
        card.verify_pin(file.auth.pin)
        card.sign(b"bench")
        card.verify_sign_password(file.sign.pin)
        card.sign_certificate()
        card.sign_document(b"bench")


def _sign(readers: Readers, file: CardFile) -> None:
    channel = Channel(takes_short_identifiers=True)
    with readers.connect() as connection:
        converse(jpki_ap.select_jpki_ap(channel), connection.transmit)
        converse(jpki_ap.verify_auth_pin(file.auth.pin, channel), connection.transmit)
        converse(jpki_ap.sign_with_auth_key(b"bench", channel), connection.transmit)


def round_trip(card: Path) -> RoundTrip:
    """One command over the real daemon, ours and raw interleaved in one process. Raises NotMeasured."""
    missing = why_not()
    if missing is not None:
        raise NotMeasured(missing)
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        try:
            with PrivatePCSCD(Path(name), save=False) as daemon:
                daemon.insert(card)
                done = subprocess.run(
                    [sys.executable, "-m", "bench.roundtrip"],
                    env=daemon.environment,
                    capture_output=True,
                    text=True,
                    timeout=_SECONDS,
                    check=False,
                )
        except CannotStart as reason:
            raise NotMeasured(str(reason)) from None
        except subprocess.TimeoutExpired:
            raise NotMeasured("the round trips did not end in time") from None
    if done.returncode != 0:
        raise NotMeasured(f"the round trips ended with status {done.returncode}")
    return RoundTrip(**json.loads(done.stdout))


class NotMeasured(Exception):
    """Something could not be measured here; the message says what is missing."""


def opensc_cost(card: Path, *, pin: str, forced: bool) -> CardCost:
    """One signature by OpenSC's PKCS #11 module over the real PC/SC daemon. Raises NotMeasured.

    `forced` names its driver for JPKI cards; by default it tries one driver after another.
    """
    tool = shutil.which("pkcs11-tool")
    module = next((path for path in _MODULES if path.exists()), None)
    missing = why_not() or (
        None if tool and module else "OpenSC is not installed (Debian packages opensc, opensc-pkcs11)"
    )
    if missing is not None or tool is None or module is None:
        raise NotMeasured(str(missing))
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        drivers = "card_drivers = jpki; " if forced else ""
        (folder / "opensc.conf").write_text(
            f"app default {{ {drivers}framework pkcs15 {{ use_file_caching = no; }} }}\n", encoding="ascii"
        )
        (folder / "in").write_bytes(_DIGEST_INFO + hashlib.sha256(b"bench").digest())
        try:
            with PrivatePCSCD(folder / "run", save=False) as daemon:
                daemon.insert(card)
                environment = {
                    **os.environ,
                    "PCSCLITE_CSOCK_NAME": str(daemon.socket_path),
                    "OPENSC_CONF": str(folder / "opensc.conf"),
                    "OPENSC_DEBUG": "9",
                    "OPENSC_DEBUG_FILE": str(folder / "log"),
                    "BENCH_CARD_PIN": pin,  # of a software card; a real one's never stands in an environment
                }
                done = subprocess.run(
                    [
                        *(tool, "--module", str(module), "--slot-index", "0", "--login", "--pin", "env:BENCH_CARD_PIN"),
                        *("--sign", "--mechanism", "RSA-PKCS", "--id", "01"),
                        *("--input-file", str(folder / "in"), "--output-file", str(folder / "out")),
                    ],
                    env=environment,
                    capture_output=True,
                    timeout=_SECONDS,
                    check=False,
                )
        except CannotStart as reason:
            raise NotMeasured(str(reason)) from None
        except subprocess.TimeoutExpired:
            raise NotMeasured("pkcs11-tool did not end in time") from None
        if done.returncode != 0 or not (folder / "out").exists() or (folder / "out").stat().st_size != 256:
            raise NotMeasured(f"pkcs11-tool ended with status {done.returncode} and no signature")
        log = b"".join(path.read_bytes() for path in folder.glob("log*")) + done.stderr
    return count_opensc(log)


def count_opensc(log: bytes) -> CardCost:
    """Count the APDUs of an OpenSC debug log. Raises NotMeasured where it has none."""
    outgoing, incoming = _OUTGOING.findall(log), _INCOMING.findall(log)
    if not outgoing:
        raise NotMeasured("OpenSC wrote no APDUs into its debug log")
    return CardCost(apdus=len(outgoing), bytes_out=sum(map(int, outgoing)), bytes_in=sum(map(int, incoming)))
