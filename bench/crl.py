"""Certificate revocation lists of any size, made by numpy in a second or two: signed, with serial numbers we know."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from numpy.typing import NDArray

from broker.jpki import der

NOW: Final = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)
SHA256_WITH_RSA: Final = bytes.fromhex("300d06092a864886f70d01010b0500")
_REASON: Final = bytes.fromhex("300c300a0603551d1504030a0100")
_REASON_SHARE: Final = 0.8


def entries(serials: NDArray[np.uint64], random: np.random.Generator) -> bytes:
    """The entries for `serials`, four fifths with a reasonCode, revoked at moments of the last five years."""
    made = np.zeros((serials.size, 4 + 9 + 15 + 14), np.uint8)
    lengths = np.ones(serials.size, np.int64)
    for index in range(1, 9):
        lengths += (serials >> np.uint64(8 * index - 1)) != 0
    reasoned = random.random(serials.size) < _REASON_SHARE
    columns = np.arange(made.shape[1])
    octets = np.zeros((serials.size, 9), np.uint8)
    octets[:, 1:] = serials.astype(">u8").view(np.uint8).reshape(-1, 8)
    made[:, 0], made[:, 2] = 0x30, 0x02
    made[:, 1], made[:, 3] = 2 + lengths + 15 + 14 * reasoned, lengths
    made[:, 4:13] = octets  # the leading octets that are not needed are cut out below
    made[:, 13:15] = (0x17, 13)
    for place, least, most in ((15, 21, 26), (17, 1, 13), (19, 1, 29), (21, 0, 24), (23, 0, 60), (25, 0, 60)):
        value = random.integers(least, most, serials.size)
        made[:, place], made[:, place + 1] = 0x30 + value // 10, 0x30 + value % 10
    made[:, 27] = ord("Z")
    made[:, 28:] = np.frombuffer(_REASON, np.uint8)
    made[:, 41] = random.choice(np.array([1, 3, 4, 5], np.uint8), serials.size)
    unneeded = (columns >= 4) & (columns < 4 + 9 - lengths[:, None]) | ((columns >= 28) & ~reasoned[:, None])
    return made[~unneeded].tobytes()


@dataclass(frozen=True, slots=True, kw_only=True)
class Maker:
    """A CA of its own, and the lists it signs."""

    key: rsa.RSAPrivateKey = field(repr=False)
    certificate: bytes
    name: bytes

    @classmethod
    def fresh(cls) -> Maker:
        key = rsa.generate_private_key(65537, 2048)
        name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "JPKI-TEST")])
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(1)
            .not_valid_before(NOW - timedelta(days=30))
            .not_valid_after(NOW + timedelta(days=3650))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(key, hashes.SHA256())
        )
        return cls(key=key, certificate=certificate.public_bytes(Encoding.DER), name=name.public_bytes())

    def leaf(self, serial: int) -> bytes:
        """A certificate this CA issued."""
        issuer = x509.load_der_x509_certificate(self.certificate)
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "leaf")]))
            .issuer_name(issuer.subject)
            .public_key(self.key.public_key())
            .serial_number(serial)
            .not_valid_before(NOW - timedelta(days=1))
            .not_valid_after(NOW + timedelta(days=300))
            .sign(self.key, hashes.SHA256())
            .public_bytes(Encoding.DER)
        )

    def crl(
        self,
        revoked: bytes,
        *,
        number: int | None = 1,
        base: int | None = None,
        this_update: datetime = NOW,
        lives: timedelta = timedelta(days=2),
        extensions: bytes = b"",
        version: int = 2,
    ) -> bytes:
        """A list with the entries `revoked`, signed. `base` makes it a delta list; `extensions` are put beside ours."""
        if number is not None:
            extensions += _extension("551d14", _integer(number))
        if base is not None:
            extensions += _extension("551d1b", _integer(base), critical=True)
        body = der.write(
            der.SEQUENCE,
            b"\x02\x01\x01" if version == 2 else b"",
            SHA256_WITH_RSA,
            self.name,
            _utc_time(this_update),
            _utc_time(this_update + lives),
            der.write(der.SEQUENCE, revoked) if revoked else b"",
            der.write(0xA0, der.write(der.SEQUENCE, extensions)) if extensions else b"",
        )
        signature = self.key.sign(body, padding.PKCS1v15(), hashes.SHA256())
        return der.write(der.SEQUENCE, body, SHA256_WITH_RSA, der.write(der.BIT_STRING, b"\x00", signature))


def _integer(value: int) -> bytes:
    return der.write(der.INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def _extension(oid: str, value: bytes, *, critical: bool = False) -> bytes:
    return der.write(
        der.SEQUENCE,
        der.write(der.OBJECT_IDENTIFIER, bytes.fromhex(oid)),
        b"\x01\x01\xff" if critical else b"",
        der.write(der.OCTET_STRING, value),
    )


def _utc_time(moment: datetime) -> bytes:
    return der.write(der.UTC_TIME, f"{moment:%y%m%d%H%M%SZ}".encode())
