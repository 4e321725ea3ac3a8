"""What the commands on trust read: files of certificates, lists and answers, in DER or PEM, and a moment."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import click
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from broker.app import now
from broker.errors import CertificateMalformed

MAX_FILE = 16 * 1024 * 1024


class Moment(click.ParamType[datetime]):
    """A time in ISO 8601 with its zone; Z and +09:00 alike."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            moment = datetime.fromisoformat(str(value))
        except ValueError:
            self.fail("not an ISO 8601 time", param, ctx)
        if moment.tzinfo is None:
            self.fail("the time must say its zone", param, ctx)
        return moment.astimezone(UTC)


at_option = click.option("--at", type=Moment(), default=now, show_default="now", help="The moment to judge.")


def read_certificate(file: BinaryIO) -> bytes:
    """One certificate as DER; PEM is unwrapped, DER left for the rules to judge. Raises CertificateMalformed."""
    data = file.read(MAX_FILE)
    if b"-----BEGIN" not in data:
        return data
    found = _unwrap(data)
    if len(found) != 1:
        raise CertificateMalformed("not one certificate")
    return found[0]


def read_certificates(path: Path) -> tuple[bytes, ...]:
    """Every certificate of a PEM file, or the one of a DER file. Raises CertificateMalformed."""
    data = path.read_bytes()
    return _unwrap(data) if b"-----BEGIN" in data else (data,)


def _unwrap(data: bytes) -> tuple[bytes, ...]:
    try:
        return tuple(each.public_bytes(Encoding.DER) for each in x509.load_pem_x509_certificates(data))
    except ValueError:
        raise CertificateMalformed("not a PEM file of certificates") from None
