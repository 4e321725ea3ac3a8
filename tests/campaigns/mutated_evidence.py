"""Revocation lists and OCSP responses with something changed after they were signed: none may be believed.

`python -m tests.campaigns.mutated_evidence` is the full form (10,000 of each in about five seconds); it exits
with 1 where one was believed. tests/broker/jpki/test_mutated_evidence.py runs 500 of each.
"""

from __future__ import annotations

import json
import random
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import timedelta

import click
from cryptography import x509

from broker.jpki.revocation import RevocationStatus, RevocationVerdict, check_crl, check_ocsp
from tests.broker.jpki.jpki_authority import (
    NOW,
    OCSP_SIGNING,
    Authority,
    crl_number,
    distribution_point,
    full_name,
    issuing_distribution_point,
    key_usage,
    point_name,
    reason,
    rsa_key,
    tlv,
)

CA = Authority()
SERIAL = 0x0133C349
LEAF = CA.leaf(extra=((x509.CRLDistributionPoints([distribution_point(point_name())]), False),))
SCOPE = issuing_distribution_point(full_name(point_name()))
_DELEGATE = CA.leaf(
    key=rsa_key("delegate"),
    serial=77,
    without=("policies",),
    usage=key_usage("digital_signature"),
    extra=((OCSP_SIGNING, False),),
)
_NAME = x509.load_der_x509_certificate(_DELEGATE).subject.public_bytes()


def _crl(data: bytes) -> RevocationVerdict:
    return check_crl(data, certificate=LEAF, issuer=CA.der, at=NOW, max_age=timedelta(days=1))


def _ocsp(data: bytes) -> RevocationVerdict:
    return check_ocsp(data, certificate=LEAF, issuer=CA.der, at=NOW, max_age=timedelta(minutes=10))


Judge = Callable[[bytes], RevocationVerdict]
EVIDENCE: Mapping[str, tuple[bytes, Judge]] = {
    "CRL without the certificate": (CA.crl((5, b""), (7, reason(1)), extensions=(crl_number(7), SCOPE)), _crl),
    "CRL with the certificate": (CA.crl((5, b""), (SERIAL, reason(4)), extensions=(crl_number(7), SCOPE)), _crl),
    "OCSP by the CA": (CA.ocsp(CA.single(SERIAL)), _ocsp),
    "OCSP by its delegate": (
        CA.ocsp(CA.single(SERIAL), responder=tlv(0xA1, _NAME), key=rsa_key("delegate"), certificates=(_DELEGATE,)),
        _ocsp,
    ),
}


def mutate(data: bytes, chance: random.Random) -> bytes:
    """`data` with one to three changes: bits, octets, pieces taken out, doubled, exchanged, put in, cut off."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(changed))
        size = chance.choice((1, 1, 2, 4, 20))
        piece = bytes(changed[at : at + size])
        match chance.randrange(8):
            case 0:
                changed[at] ^= 1 << chance.randrange(8)
            case 1:
                changed[at] = chance.randrange(256)
            case 2:
                del changed[at : at + size]
            case 3:
                changed[at:at] = piece
            case 4:
                other = chance.randrange(len(changed))
                changed[at : at + size] = changed[other : other + size]
            case 5:
                changed[at:at] = chance.randbytes(size)
            case 6:
                changed[at] = (changed[at] + chance.choice((-1, 1))) % 256  # lengths and numbers off by one
            case _:
                changed = changed[: max(at, 1)] if chance.random() < 0.2 else changed + piece
    return bytes(changed)


def campaign(count: int, *, seed: int) -> dict[str, dict[str, int]]:
    """By kind of evidence: how many mutants were unknown, good, revoked, or raised."""
    chance = random.Random(seed)
    outcomes: dict[str, dict[str, int]] = {}
    for kind, (data, judge) in EVIDENCE.items():
        told: Counter[str] = Counter(dict.fromkeys(("unknown", "good", "revoked", "raised"), 0))
        while told.total() < count:
            mutant = mutate(data, chance)
            if mutant == data:
                continue
            try:
                told[judge(mutant).status.value] += 1
            except Exception:
                told["raised"] += 1
        outcomes[kind] = dict(told)
    return outcomes


@click.command()
@click.option("--count", default=10_000, show_default=True, help="Mutants of each kind.")
@click.option("--seed", default=1, show_default=True)
def main(count: int, seed: int) -> None:
    """Print the counts as JSON."""
    outcomes = campaign(count, seed=seed)
    click.echo(json.dumps({"count": count, "seed": seed, "outcomes": outcomes}, indent=1))
    sound = all(judge(data).status is not RevocationStatus.UNKNOWN for data, judge in EVIDENCE.values())
    sys.exit(0 if sound and all(told["unknown"] == count for told in outcomes.values()) else 1)


if __name__ == "__main__":
    main()
