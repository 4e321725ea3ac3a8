"""`python -m bench.keys`: what a signature costs in a PKCS #11 token, beside OpenSSL's own speed of the same curve.

The broker's signer over SoftHSM2 against `openssl speed ecdsap256` in the same minute, in interleaved rounds; medians.
`--seconds 60` is the long form of a test: eight threads sign all that time, and every signature is checked.
"""

from __future__ import annotations

import json
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import click

from broker.jose import load_public_key, signature_holds
from broker.keys import algorithms, pkcs11
from broker.keys.pkcs11 import TokenSigner, TokenURI
from sandbox.softhsm import make_token, why_not

LIMIT: Final = 3.0
"""A signature in the token takes at most this many times OpenSSL's own."""
_ROUNDS: Final = 5
_COUNT: Final = 2000
_THREADS: Final = 8
_SPEED: Final = re.compile(r"sign ecdsa's for \d+s: (\d+) [^\n]* in ([\d.]+)s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was measured; times of one ES256 signature in microseconds of CPU."""

    openssl_us: float
    software_us: float
    token_us: float
    threads: int
    seconds: float
    signed: int
    failed: int

    @property
    def ratio(self) -> float:
        return self.token_us / self.openssl_us

    @property
    def kept(self) -> bool:
        """Fast enough, and no signature of all threads was wrong or missing."""
        return self.ratio <= LIMIT and self.failed == 0

    def text(self) -> str:
        return "\n".join(
            (
                f"method: CPU time of one ES256 signature, medians of {_ROUNDS} interleaved rounds",
                "",
                "| what | figure |",
                "|---|---|",
                f"| openssl speed | {self.openssl_us:.0f} µs |",
                f"| key in the file | {self.software_us:.0f} µs |",
                f"| key in a SoftHSM2 token | {self.token_us:.0f} µs |",
                f"| ratio to openssl speed (promised: at most {LIMIT:.0f}) | {self.ratio:.1f} |",
                f"| {self.threads} threads for {self.seconds:.0f} s: signatures checked | {self.signed:,} |",
                f"| of these wrong or failed (promised: 0) | {self.failed} |",
            )
        )


def openssl_us() -> float:
    """`openssl speed` counts in its own CPU time."""
    done = subprocess.run(
        ["openssl", "speed", "-seconds", "1", "ecdsap256"], check=True, capture_output=True, text=True, timeout=60
    )
    found = _SPEED.search(done.stdout + done.stderr)
    if found is None:
        raise click.ClickException("openssl speed said nothing that can be read")
    return float(found[2]) / int(found[1]) * 1e6


def cpu_us(sign: Callable[[bytes], bytes]) -> float:
    """CPU of this process for one signature."""
    before = time.process_time_ns()
    for _ in range(_COUNT):
        sign(b"header.payload")
    return (time.process_time_ns() - before) / _COUNT / 1000


def campaign(signer: TokenSigner, seconds: float) -> tuple[int, int]:
    """Signatures made by eight threads until the time is up, and how many of them do not hold."""
    end, key, lock = time.monotonic() + seconds, load_public_key(signer.jwk), threading.Lock()
    counts = [0, 0]

    def work(number: int) -> None:
        done = failed = 0
        while time.monotonic() < end:
            data = f"{number} {done}".encode()
            done += 1
            failed += not signature_holds(signer.alg, key, data, signer.sign(data))
        with lock:
            counts[0] += done
            counts[1] += failed

    with ThreadPoolExecutor(_THREADS) as threads:
        list(threads.map(work, range(_THREADS)))
    return counts[0], counts[1]


def measure(seconds: float) -> Report:
    """Everything, in a token of its own. Raises ClickException where there can be none."""
    if absent := why_not():
        raise click.ClickException(f"missing: {absent}")
    with tempfile.TemporaryDirectory(prefix="bench-keys-") as folder:
        uri = TokenURI.parse(make_token(Path(folder)))
        object_id = b"bench"
        jwk = pkcs11.token(uri).generate("ES256", object_id, "bench")
        remote = pkcs11.signer(uri, alg="ES256", object_id=object_id, jwk=jwk)
        local = algorithms.signer(algorithms.generate("ES256"), "ES256")
        remote.sign(b"warm")
        rounds = [(openssl_us(), cpu_us(local.sign), cpu_us(remote.sign)) for _ in range(_ROUNDS)]
        signed, failed = campaign(remote, seconds)
    openssl, software, token = (statistics.median(column) for column in zip(*rounds, strict=True))
    return Report(
        openssl_us=openssl,
        software_us=software,
        token_us=token,
        threads=_THREADS,
        seconds=seconds,
        signed=signed,
        failed=failed,
    )


@click.command()
@click.option("--seconds", default=5.0, show_default=True, help="How long the eight threads sign.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def main(seconds: float, as_json: bool) -> None:
    """What a signature in a PKCS #11 token costs, and whether eight threads survive it."""
    report = measure(seconds)
    click.echo(json.dumps({**asdict(report), "ratio": report.ratio}) if as_json else report.text())
    sys.exit(0 if report.kept else 1)


if __name__ == "__main__":
    main()
