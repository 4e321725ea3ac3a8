"""A record as the broker seals it, on the workshop's authorities."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from broker.delegation.rendering import Renderer
from broker.delegation.sealing import SealMaterial, seal
from broker.keys.algorithms import signer
from sandbox.tsa import StampAuthority
from tests.broker.delegation.workshop import AT, Holder, Workshop


def record(**changed: Any) -> bytes:
    """A power of attorney with everything that is hard to print."""
    told = {
        "v": 1,
        "id": "0b5b7a3e-9f5e-4c0e-b7b1-2f1d0d8d5d10",
        "type": "poa.business",
        "issued_at": "2026-11-20T12:00:00+09:00",
        "principal": {
            "kind": "corporation",
            "corporate_number": "7000012050002",
            "name": "株式会社サンドボックス",
            "representative": {"title": "代表取締役", "name": "𠮷田 太郎"},
        },
        "agent": {"kind": "person", "name": "山田 花子"},
        "power": [{"acts": ["bid", "contract"], "limit": {"amount_max": 50_000_000, "tax": "incl"}}],
    }
    return json.dumps(told | changed, ensure_ascii=False, separators=(",", ":")).encode()


def seal_workshop() -> Workshop:
    """One whose certificates name a source of revocation, as real ones do."""
    made = Workshop()
    made.tsa = made.root.stamper(key=ec.generate_private_key(ec.SECP256R1()), names_a_source=True)
    made.seal = made.authority.leaf(names_a_source=True)
    return made


def material(workshop: Workshop, **changed: Any) -> SealMaterial:
    """Everything beside the key."""
    usual = SealMaterial(
        certificate=workshop.seal.der,
        others=(workshop.authority.der, workshop.tsa.der),
        crls=(workshop.root.crl(), workshop.authority.crl()),
        anchors=(workshop.root.der,),
    )
    return replace(usual, **changed)


def stamp(workshop: Workshop, *, at: datetime = AT, by: Holder | None = None) -> Callable[[bytes], bytes]:
    """The workshop's time-stamp authority, with its clock at `at`."""
    holder = by or workshop.tsa
    assert isinstance(holder.key, ec.EllipticCurvePrivateKey)
    authority = StampAuthority(certificate=holder.certificate, key=holder.key)
    return lambda request: authority.answer(request, now=at)


def sealed_by(workshop: Workshop, unsigned: bytes, **changed: Any) -> bytes:
    """`unsigned` under the workshop's seal."""
    arguments: dict[str, Any] = {
        "signer": signer(workshop.seal.key, "ES256"),
        "material": material(workshop),
        "stamp": stamp(workshop),
        "at": AT,
    }
    return seal(unsigned, **(arguments | changed))


def sealed_record() -> tuple[bytes, list[bytes]]:
    """A sealed record, and the anchors that it holds under."""
    workshop = seal_workshop()
    return sealed_by(workshop, Renderer().render(record())), workshop.anchors
