"""What one login asks of the card: commands, and bytes that come from it. Our driver, and OpenSC's beside it."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cardreader.softcard import CannotStart, PrivatePCSCD, why_not
from cardreader.transport import CardConnection, CountingConnection, Readers

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


class NotMeasured(Exception):
    """OpenSC could not be asked here; the message says what is missing."""


def opensc_cost(card: Path, *, pin: str) -> CardCost:
    """One signature by OpenSC's PKCS #11 module with its default settings over the real PC/SC daemon.

    Raises NotMeasured.
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
        (folder / "in").write_bytes(_DIGEST_INFO + hashlib.sha256(b"bench").digest())
        try:
            with PrivatePCSCD(folder / "run", save=False) as daemon:
                daemon.insert(card)
                environment = {
                    **os.environ,
                    "PCSCLITE_CSOCK_NAME": str(daemon.socket_path),
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
