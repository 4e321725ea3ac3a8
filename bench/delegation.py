"""`python -m bench.delegation`: what a sealed document costs, beside pyHanko's own signer over the same page.

One record is printed, sealed (PAdES B-LT with a time stamp of this process, key in memory or in a SoftHSM2 token) and
verified, and goes the whole way to an officer's bundle (`bench.papers`). pyHanko's SimpleSigner signs the same page
with RSA (PAdES B-B) in the same rounds. CPU of this process and of its children together; medians and the 99th
hundredth of wall time over all rounds.
"""

from __future__ import annotations

import io
import json
import logging
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import click
import psutil
import structlog
from asn1crypto import keys as asn1_keys
from asn1crypto import x509 as asn1_x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.sign import fields, signers
from pyhanko.sign.fields import SigSeedSubFilter
from pyhanko_certvalidator.registry import SimpleCertificateStore

from bench.papers import office
from broker.delegation.rendering import Renderer
from broker.delegation.seal_writer import write_seal
from broker.delegation.sealing import SealMaterial, seal
from broker.delegation.verification import verify_document
from broker.jose import Signer, load_public_key
from broker.keys import algorithms, pkcs11
from broker.keys.pkcs11 import TokenURI
from sandbox import seals
from sandbox.softhsm import make_token, why_not

FLOOR: Final = 4.0
"""The seal's signature must cost at most a quarter of pyHanko's own."""
_RECORD: Final = json.dumps(
    {
        "v": 1,
        "id": "0b5b7a3e-9f5e-4c0e-b7b1-2f1d0d8d5d10",
        "type": "poa.business",
        "issued_at": "2026-11-20T12:00:00+09:00",
        "principal": {"kind": "corporation", "corporate_number": "8490101999999", "name": "株式会社サンドボックス"},
        "agent": {"kind": "person", "name": "山田 花子"},
        "power": [{"acts": ["bid", "contract", "invoice"], "limit": {"amount_max": 50_000_000, "tax": "incl"}}],
    },
    ensure_ascii=False,
    separators=(",", ":"),
).encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One step: milliseconds of CPU and of wall time."""

    what: str
    cpu_ms: float
    wall_ms: float
    p99_ms: float

    @property
    def per_second(self) -> float:
        """One after another, by wall time."""
        return 1000 / self.wall_ms


def _spent() -> float:
    """CPU seconds of this process, its children, and theirs that have ended."""
    me = psutil.Process()
    total = 0.0
    for each in (me, *me.children(recursive=True)):
        try:
            times = each.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system + (times.children_user + times.children_system if each != me else 0)
    return total


def measured(what: str, work: Callable[[], object], *, rounds: int) -> Figure:
    """`work` once to warm up, then `rounds` times."""
    work()
    walls = []
    cpu = _spent()
    for _ in range(rounds):
        begun = time.perf_counter()
        work()
        walls.append((time.perf_counter() - begun) * 1000)
    return Figure(
        what=what,
        cpu_ms=(_spent() - cpu) * 1000 / rounds,
        wall_ms=statistics.median(walls),
        p99_ms=sorted(walls)[min(rounds - 1, round(0.99 * rounds))],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """A seal's key with all that it needs."""

    pki: seals.SealPKI
    signer: Signer
    material: SealMaterial

    @classmethod
    def around(cls, pki: seals.SealPKI, signer: Any) -> House:
        key = load_public_key(signer.jwk)
        if not isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey):
            raise click.ClickException("a seal is made by ES256 or RS256")
        now = datetime.now(UTC)
        chain = (pki.seal(key, today=now.date()), pki.issuer, pki.stamp.certificate)
        first, *others = (each.public_bytes(Encoding.DER) for each in chain)
        material = SealMaterial(
            certificate=first,
            others=tuple(others),
            crls=tuple(pki.crl(name, now=now) for name in seals.LISTERS),
            anchors=(pki.root.public_bytes(Encoding.DER),),
        )
        return cls(pki=pki, signer=signer, material=material)

    def stamp(self, request: bytes) -> bytes:
        return self.pki.stamp.answer(request, now=datetime.now(UTC))

    def written(self, unsigned: bytes) -> bytes:
        """Signed and stamped, not yet verified."""
        return write_seal(unsigned, signer=self.signer, material=self.material, stamp=self.stamp, at=datetime.now(UTC))

    def sealed(self, unsigned: bytes) -> bytes:
        return seal(unsigned, signer=self.signer, material=self.material, stamp=self.stamp, at=datetime.now(UTC))


def peer(pki: seals.SealPKI) -> Callable[[bytes], bytes]:
    """pyHanko's SimpleSigner with an RSA key, as its documentation has it."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    certificate = pki.seal(key.public_key(), today=datetime.now(UTC).date())
    private = asn1_keys.PrivateKeyInfo.load(key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))
    named = asn1_x509.Certificate.load(certificate.public_bytes(Encoding.DER))

    def sign(unsigned: bytes) -> bytes:
        signer = signers.SimpleSigner(signing_cert=named, signing_key=private, cert_registry=SimpleCertificateStore())
        meta = signers.PdfSignatureMetadata(field_name="Seal", subfilter=SigSeedSubFilter.PADES, md_algorithm="sha256")
        field = fields.SigFieldSpec(sig_field_name="Seal")
        out: Any = signers.PdfSigner(meta, signer=signer, new_field_spec=field).sign_pdf(
            IncrementalPdfFileWriter(io.BytesIO(unsigned))
        )
        signed: bytes = out.getvalue()
        return signed

    return sign


def measure(rounds: int) -> tuple[list[Figure], int]:
    """All figures, and the bytes of a sealed document. Raises ClickException where there can be no token."""
    if absent := why_not():
        raise click.ClickException(f"missing: {absent}")
    pki = seals.establish(today=datetime.now(UTC).date())
    renderer = Renderer()
    unsigned = renderer.render(_RECORD)
    soft = House.around(pki, algorithms.signer(algorithms.generate("ES256"), "ES256"))
    soft_rsa = House.around(pki, algorithms.signer(algorithms.generate("RS256"), "RS256"))
    sealed = soft.sealed(unsigned)
    signs = peer(pki)
    with tempfile.TemporaryDirectory(prefix="bench-delegation-") as folder, ExitStack() as open_:
        uri = TokenURI.parse(make_token(Path(folder)))
        jwk = pkcs11.token(uri).generate("ES256", b"bench", "bench")
        token = House.around(pki, pkcs11.signer(uri, alg="ES256", object_id=b"bench", jwk=jwk))
        desk = open_.enter_context(office(Path(folder)))
        figures = [
            measured("print the record (typst)", lambda: renderer.render(_RECORD), rounds=rounds),
            measured("pyHanko SimpleSigner, RSA, B-B (peer)", lambda: signs(unsigned), rounds=rounds),
            measured("sign and stamp, RSA in memory, B-LT", lambda: soft_rsa.written(unsigned), rounds=rounds),
            measured("sign and stamp, P-256 in memory, B-LT", lambda: soft.written(unsigned), rounds=rounds),
            measured("sign and stamp, P-256 in SoftHSM2, B-LT", lambda: token.written(unsigned), rounds=rounds),
            measured("seal: the same in memory, and verified", lambda: soft.sealed(unsigned), rounds=rounds),
            measured("seal: the same in SoftHSM2, and verified", lambda: token.sealed(unsigned), rounds=rounds),
            measured(
                "verify_document",
                lambda: verify_document(sealed, anchors=soft.material.anchors, at=datetime.now(UTC)),
                rounds=rounds,
            ),
            measured(
                "print, register, witness, seal, bundle: key in memory",
                lambda: desk.issued(_RECORD, printed=renderer.render, sealed=soft.sealed),
                rounds=rounds,
            ),
            measured(
                "print, register, witness, seal, bundle: SoftHSM2",
                lambda: desk.issued(_RECORD, printed=renderer.render, sealed=token.sealed),
                rounds=rounds,
            ),
        ]
    return figures, len(sealed)


@click.command()
@click.option("--rounds", default=100, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def main(rounds: int, as_json: bool) -> None:
    """What printing, sealing and verifying a document cost. Exit status 1 where the promised ratio is broken."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    figures, size = measure(rounds)
    ratio = figures[1].cpu_ms / figures[2].cpu_ms
    if as_json:
        click.echo(json.dumps({"figures": [asdict(each) for each in figures], "bytes": size, "ratio": ratio}))
    else:
        click.echo(f"method: {rounds} rounds each, pyHanko {version('pyhanko')}, typst {version('typst')}\n")
        click.echo("| step | CPU ms | wall ms p50 | p99 | per second |\n|---|---|---|---|---|")
        for each in figures:
            columns = f"{each.cpu_ms:.1f} | {each.wall_ms:.1f} | {each.p99_ms:.1f} | {each.per_second:.1f}"
            click.echo(f"| {each.what} | {columns} |")
        click.echo(f"\nsealed document: {size:,} bytes; peer / ours, RSA, CPU: {ratio:.1f} (promised: {FLOOR:.0f})")
    sys.exit(0 if ratio >= FLOOR else 1)


if __name__ == "__main__":
    main()
