"""`python -m bench.trust`: a whole certificate decision beside pyhanko-certvalidator's path check, in one run.

The decision is what a login does after the card answered: parse, path, profile, revocation out of an index of
`--entries` entries, and the challenge's signature. The peer only finds the path: no revocation, no signature of a card.
Both run interleaved on one core; of the rounds the least CPU time of each, for whatever else the machine does only
adds to it. Below: the worst revocation lists of 8 MiB.
"""

from __future__ import annotations

import asyncio
import io
import itertools
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from importlib.metadata import version
from typing import Final

import click
import numpy as np
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from pyhanko_certvalidator import CertificateValidator, ValidationContext

from bench.crl import NOW, Maker, entries
from broker.jpki import der
from broker.jpki.challenge import verify_signature
from broker.jpki.index import Index, check_index, write_index
from broker.jpki.path import validate_path
from broker.jpki.profile import USER_AUTHENTICATION
from broker.jpki.revocation import RevocationStatus, check_crl
from broker.jpki.scan import Octets

FLOOR: Final = 6.0
"""The decision must cost at most a sixth of the peer's path check."""
_RESIDENTS: Final = 300
"""More than anything here remembers: every decision is about a certificate and a key not seen before."""
HOSTILE_MS: Final = 50.0
MAX_AGE: Final = timedelta(days=2)
_MESSAGE: Final = b"the frame of a login"
_LIST: Final = 8 * 1024 * 1024 - 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was measured, and on what."""

    versions: dict[str, str]
    entries: int
    rounds: int
    decision_us: float
    peer_us: float
    hostile_ms: dict[str, float]

    @property
    def ratio(self) -> float:
        return self.peer_us / self.decision_us

    @property
    def kept(self) -> bool:
        """Both promises hold."""
        return self.ratio >= FLOOR and max(self.hostile_ms.values()) <= HOSTILE_MS

    def text(self) -> str:
        lines = [f"{name}: {value}" for name, value in self.versions.items()]
        lines += [
            f"method: CPU time, the least of {self.rounds} interleaved rounds; an index of {self.entries:,} in memory",
            "",
            "| what | figure |",
            "|---|---|",
            f"| whole certificate decision | {self.decision_us:.0f} µs |",
            f"| pyhanko-certvalidator, path check alone | {self.peer_us:.0f} µs |",
            f"| ratio (promised: at least {FLOOR:.0f}) | {self.ratio:.1f} |",
        ]
        lines += [
            f"| list of 8 MiB: {name} (promised: {HOSTILE_MS:.0f}) | {ms:.0f} ms |"
            for name, ms in self.hostile_ms.items()
        ]
        return "\n".join(lines)


_USES: Final = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


def _usage(*names: str) -> x509.KeyUsage:
    return x509.KeyUsage(**{name: name in names for name in _USES})


def _certificate(maker: Maker, subject: str, key: rsa.RSAPrivateKey, *extensions: x509.ExtensionType) -> bytes:
    """A certificate by `maker`; every extension but the subjectKeyIdentifier is critical."""
    issuer = x509.load_der_x509_certificate(maker.certificate).subject
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]) if subject else issuer)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(0x0133C349)
        .not_valid_before(NOW - timedelta(days=10))
        .not_valid_after(NOW + timedelta(days=1000))
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=not isinstance(extension, x509.SubjectKeyIdentifier))
    return builder.sign(maker.key, hashes.SHA256()).public_bytes(Encoding.DER)


def authority() -> Maker:
    """A CA in the JPKI's shape."""
    maker = Maker.fresh()
    certificate = _certificate(
        maker,
        "",
        maker.key,
        x509.BasicConstraints(ca=True, path_length=None),
        _usage("key_cert_sign", "crl_sign"),
        x509.SubjectKeyIdentifier.from_public_key(maker.key.public_key()),
    )
    return replace(maker, certificate=certificate)


def cpu_us(act: Callable[[], object], times: int) -> float:
    begin = time.process_time_ns()
    for _ in range(times):
        act()
    return (time.process_time_ns() - begin) / times / 1000


def hostile(maker: Maker, leaf: bytes) -> dict[str, float]:
    """Milliseconds of CPU for the worst lists we know of, the best of five each."""
    moment = der.write(der.UTC_TIME, b"261110120000Z")
    imitation = der.write(der.SEQUENCE, b"\x02\x01\x05", moment)
    unknown = der.write(
        der.SEQUENCE, der.write(der.OBJECT_IDENTIFIER, b"\x2a\x03"), der.write(der.OCTET_STRING, imitation)
    )
    critical = der.write(der.SEQUENCE, bytes.fromhex("0603551d150101ff04030a0101"))
    kinds = {
        "shortest entries": der.write(der.SEQUENCE, b"\x02\x01\x05", moment),
        "critical reasons": der.write(
            der.SEQUENCE, b"\x02\x05" + b"\x11" * 5, moment, der.write(der.SEQUENCE, critical)
        ),
        "entries within entries": der.write(
            der.SEQUENCE, b"\x02\x05" + b"\x11" * 5, moment, der.write(der.SEQUENCE, unknown)
        ),
        "serials that look like entries": der.write(der.SEQUENCE, b"\x02\x13\x01" + b"\x30\x02\x02" * 6, moment),
        "serials that look much like entries": der.write(der.SEQUENCE, b"\x02\x0d\x01" + b"\x30\x50\x02" * 4, moment),
        "serials that lead to the next serial": der.write(
            der.SEQUENCE, bytes.fromhex("0210 3023020c 30230208 30230204 01010101"), moment
        ),
        "dates with a century": der.write(der.SEQUENCE, b"\x02\x01\x05", b"\x18\x0f20261110120000Z"),
    }
    taken = {}
    for name, entry in kinds.items():
        crl = maker.crl(entry * (_LIST // len(entry)))

        def judge(crl: bytes = crl) -> None:
            verdict = check_crl(crl, certificate=leaf, issuer=maker.certificate, at=NOW, max_age=MAX_AGE)
            if verdict.status is not RevocationStatus.GOOD:
                raise RuntimeError(verdict.reason)

        taken[name] = min(cpu_us(judge, 1) for _ in range(5)) / 1000
    return taken


def measure(count: int, rounds: int) -> Report:
    maker = authority()
    keys = [rsa.generate_private_key(65537, 2048) for _ in range(_RESIDENTS)]
    policy = x509.PolicyInformation(USER_AUTHENTICATION.policies["JPKI-TEST"], None)
    extensions = (_usage("digital_signature"), x509.CertificatePolicies([policy]))
    leaves = [_certificate(maker, f"resident {each}", key, *extensions) for each, key in enumerate(keys)]
    signatures = [key.sign(_MESSAGE, padding.PKCS1v15(), hashes.SHA256()) for key in keys]
    ours, theirs = itertools.cycle(zip(leaves, signatures, strict=True)), itertools.cycle(leaves)
    random = np.random.default_rng(1)
    out = io.BytesIO()
    serials = random.integers(1 << 40, 1 << 62, count, np.uint64)
    write_index(Octets(maker.crl(entries(serials, random))), out, issuer=maker.certificate)
    index = Index(memoryview(out.getvalue()))

    def decide() -> None:
        leaf, signature = next(ours)
        trusted = validate_path(leaf, anchors=[maker.certificate], at=NOW, profile=USER_AUTHENTICATION)
        verify_signature(trusted.spki, _MESSAGE, signature, algorithm="RS256")
        verdict = check_index(index, certificate=leaf, issuer=trusted.issuer, at=NOW, max_age=MAX_AGE)
        if verdict.status is not RevocationStatus.GOOD:
            raise RuntimeError(verdict.reason)

    root = asn1_x509.Certificate.load(maker.certificate)
    loop = asyncio.new_event_loop()

    def peer() -> None:
        context = ValidationContext(trust_roots=[root], moment=NOW)  # it remembers answers, so each login needs its own
        validator = CertificateValidator(asn1_x509.Certificate.load(next(theirs)), validation_context=context)
        loop.run_until_complete(validator.async_validate_usage({"digital_signature"}))

    decide()
    peer()
    pairs = [(cpu_us(decide, 200), cpu_us(peer, 50)) for _ in range(rounds)]
    loop.close()
    return Report(
        versions={
            "python": sys.version.split()[0],
            **{name: version(name) for name in ("cryptography", "pyhanko-certvalidator", "numpy")},
        },
        entries=len(index),
        rounds=rounds,
        decision_us=min(mine for mine, _ in pairs),
        peer_us=min(other for _, other in pairs),
        hostile_ms=hostile(maker, leaves[0]),
    )


@click.command()
@click.option("--entries", "count", default=5_000_000, show_default=True)
@click.option("--rounds", default=15, show_default=True)
@click.option("--json", "as_json", is_flag=True)
def main(count: int, rounds: int, as_json: bool) -> None:
    """Print the table; exit status 1 where a promise is broken."""
    report = measure(count, rounds)
    click.echo(json.dumps({**asdict(report), "ratio": report.ratio}) if as_json else report.text())
    sys.exit(0 if report.kept else 1)


if __name__ == "__main__":
    main()
