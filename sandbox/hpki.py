"""The healthcare PKI of the sandbox (HPKI, 保健医療福祉分野PKI): a test root, two authorities, a doctor's card.

Shapes are those of MHLW's root, MEDIS's authorities and MEDIS's public test certificate as far as they are known in
the open; every name says that it is a test. The sandbox's broker trusts this root for logins of doctors.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any, Final, Literal

from asn1crypto import core
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import NameOID

from cardreader.cardfile import CardFile
from sandbox import atomicfile
from sandbox.ca import end_of_day_in_japan, key_usage, years_from
from sandbox.cards import KeySlot, card_document
from sandbox.residents import Resident

Purpose = Literal["sign", "auth"]
PURPOSES: Final[tuple[Purpose, ...]] = ("sign", "auth")

KEYS_NEEDED: Final = 3
TEST_ORGANIZATION: Final = "HPKI-TEST"
MEDICAL_DOCTOR: Final = "Medical Doctor"
# 署名用 as in MEDIS's test certificate; that of 認証用 in a test environment is not public and made after it.
POLICIES: Final[Mapping[Purpose, x509.ObjectIdentifier]] = {
    "sign": x509.ObjectIdentifier("1.2.392.100495.1.5.1.1.0.1"),
    "auth": x509.ObjectIdentifier("1.2.392.100495.1.5.1.2.0.1"),
}
_UNITS: Final[Mapping[Purpose, str]] = {
    "sign": "HPKI-TEST CA for signing",
    "auth": "HPKI-TEST CA forAuthentication-forIndividual",
}
_DIRECTORY_ATTRIBUTES: Final = x509.ObjectIdentifier("2.5.29.9")
_HC_ROLE: Final = "1.0.17090.0.1"  # ISO 17090-2
_NATIONAL_LICENCES: Final = "1.2.392.100495.1.6.1.1"
_CRL_URL: Final = "http://crl.hpki-test.example/{}.crl"  # resolves nowhere (RFC 2606): sources are configuration
LISTERS: Final = ("hpkiroot", "hpkiauth")
"""Authorities that publish lists for a broker that logs doctors in."""
REVOKED: Final = "hpki-revoked.json"
"""The serials that an authority has revoked, by its name."""
_TRIES: Final = 3
CRL_LIFE: Final = timedelta(hours=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthcareAuthority:
    """An authority; `name` is what its file is called."""

    name: str
    certificate: x509.Certificate
    private_key: rsa.RSAPrivateKey


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthcarePKI:
    """The root and the authorities below it."""

    root: HealthcareAuthority
    issuers: Mapping[Purpose, HealthcareAuthority]

    @property
    def authorities(self) -> tuple[HealthcareAuthority, ...]:
        """Root first."""
        return (self.root, *self.issuers.values())


def establish(keys: Iterator[rsa.RSAPrivateKey], today: date) -> HealthcarePKI:
    """Make root and authorities as of three years ago, for ten years. Takes KEYS_NEEDED keys."""
    root_key = next(keys)
    begins = years_from(today, -3)
    root = HealthcareAuthority(
        name="hpkiroot",
        private_key=root_key,
        certificate=_authority("HPKI-TEST Root CA", root_key, "HPKI-TEST Root CA", root_key, begins, serial=1),
    )
    issuers: dict[Purpose, HealthcareAuthority] = {}
    for serial, purpose in enumerate(PURPOSES, start=4):
        key = next(keys)
        certificate = _authority(
            _UNITS[purpose], key, "HPKI-TEST Root CA", root_key, begins, serial=serial, policy=POLICIES[purpose]
        )
        issuers[purpose] = HealthcareAuthority(name=f"hpki{purpose}", private_key=key, certificate=certificate)
    return HealthcarePKI(root=root, issuers=issuers)


def make_card(pki: HealthcarePKI, resident: Resident, keys: Iterator[rsa.RSAPrivateKey], today: date) -> dict[str, Any]:
    """The doctor's card file: one key and certificate for each application, both with the PIN of four digits.

    Takes two keys.
    """
    slots = {
        purpose: KeySlot(
            private_key=(key := next(keys)),
            certificate=issue(pki, purpose, resident, key.public_key(), today),
            ca_certificate=pki.issuers[purpose].certificate,
        )
        for purpose in PURPOSES
    }
    document = card_document(
        name=resident.name,
        label=resident.label,
        pin=resident.pin,
        auth=slots["auth"],
        sign=slots["sign"],
        sign_password=resident.pin,
        pin_tries=resident.pin_tries,
        kind="hpki",
    )
    document["sign"] |= {"tries": _TRIES, "tries_max": _TRIES}
    return document


def issue(
    pki: HealthcarePKI,
    purpose: Purpose,
    resident: Resident,
    public_key: rsa.RSAPublicKey,
    today: date,
    *,
    role: str = MEDICAL_DOCTOR,
) -> x509.Certificate:
    """A licence holder's certificate, from as many days ago as the resident's row says, for five years."""
    issuer = pki.issuers[purpose]
    issued = today - timedelta(days=resident.issue.days_ago)
    registration = f"{int.from_bytes(resident.name.encode()) % 1_000_000:06}"
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name("Mihon Hospital (test)", resident.label_en, registration))
        .issuer_name(issuer.certificate.subject)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.combine(issued, time(0), tzinfo=UTC))
        .not_valid_after(end_of_day_in_japan(years_from(issued, 5)))
        .add_extension(key_usage(content_commitment=purpose == "sign", digital_signature=purpose == "auth"), True)
        .add_extension(x509.CertificatePolicies([x509.PolicyInformation(POLICIES[purpose], None)]), True)
        .add_extension(x509.UnrecognizedExtension(_DIRECTORY_ATTRIBUTES, hc_role(role)), False)
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.DirectoryName(_name("見本病院（試験用）", resident.label, registration))]
            ),
            False,
        )
        .add_extension(
            x509.CRLDistributionPoints(
                [
                    x509.DistributionPoint(
                        [x509.UniformResourceIdentifier(_CRL_URL.format(issuer.name))], None, None, None
                    )
                ]
            ),
            False,
        )
        .add_extension(
            x509.AuthorityKeyIdentifier(
                x509.SubjectKeyIdentifier.from_public_key(issuer.private_key.public_key()).digest,
                [x509.DirectoryName(issuer.certificate.issuer)],
                issuer.certificate.serial_number,
            ),
            False,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), False)
    )
    return builder.sign(issuer.private_key, SHA256())


def list_name(name: str) -> str:
    """What the distribution point of an authority's list is called."""
    return _CRL_URL.format(name)


def load_authority(folder: Path, name: str) -> HealthcareAuthority:
    """Read an authority that was kept in a `ca` folder. Raises OSError, ValueError, TypeError."""
    key = load_pem_private_key((folder / f"{name}.key").read_bytes(), None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise TypeError(f"not an RSA key: {name}")
    certificate = x509.load_der_x509_certificate((folder / f"{name}.cer").read_bytes())
    return HealthcareAuthority(name=name, certificate=certificate, private_key=key)


def publish(folder: Path, name: str, *, now: datetime) -> bytes:
    """The list (DER) of one of LISTERS as of `now`. Raises OSError, ValueError."""
    authority = load_authority(folder, name)
    at = now - timedelta(minutes=1)  # so that whoever asked a moment before it was made finds it in force
    made = build_list(authority, revoked=_revoked(folder).get(name, ()), number=int(now.timestamp()), at=at)
    return made.public_bytes(Encoding.DER)


def revoke(folder: Path, card: CardFile) -> None:
    """From its next list on, the authority says that the certificates on this HPKI card are revoked. Raises OSError."""
    books = _revoked(folder)
    for name, slot in (("hpkiauth", card.auth), ("hpkisign", card.sign)):
        if slot is not None and slot.certificate is not None:
            serial = x509.load_der_x509_certificate(slot.certificate).serial_number
            books[name] = sorted({*books.get(name, ()), serial})
    atomicfile.write(folder / REVOKED, json.dumps(books).encode())


def _revoked(folder: Path) -> dict[str, list[int]]:
    try:
        read: dict[str, list[int]] = json.loads((folder / REVOKED).read_bytes())
    except FileNotFoundError:
        return {}
    return read


def build_list(
    authority: HealthcareAuthority, *, revoked: Iterable[int], number: int, at: datetime
) -> x509.CertificateRevocationList:
    """The complete list of one authority (RFC 5280 section 5), in one piece and without a partition, as in life.

    `revoked` are serials; `number` must rise from one list to the next.
    """
    this_update = at.astimezone(UTC).replace(microsecond=0)
    key = authority.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.certificate.subject)
        .last_update(this_update)
        .next_update(this_update + CRL_LIFE)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(key), critical=False)
        .add_extension(x509.CRLNumber(number), critical=False)
    )
    for serial in sorted(revoked):
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(this_update)
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(authority.private_key, SHA256())


def hc_role(role: str) -> bytes:
    """subjectDirectoryAttributes (RFC 5280 section 4.2.1.8) with one hcRole of Japan's licences, DER."""
    scheme = core.ObjectIdentifier(_NATIONAL_LICENCES).dump()
    coded = _tagged(0xA0, scheme) + _tagged(0xA2, core.UTF8String(role).dump())
    actor = _tagged(0x30, _tagged(0xA0, _tagged(0x31, coded)))
    attribute = core.ObjectIdentifier(_HC_ROLE).dump() + _tagged(0x31, actor)
    return _tagged(0x30, _tagged(0x30, attribute))


def _tagged(tag: int, content: bytes) -> bytes:
    if len(content) > 0x7F:
        raise ValueError("an hcRole of one role is shorter")
    return bytes([tag, len(content)]) + content


def _authority(
    common_name: str,
    key: rsa.RSAPrivateKey,
    issuer: str,
    issuer_key: rsa.RSAPrivateKey,
    begins: date,
    *,
    serial: int,
    policy: x509.ObjectIdentifier | None = None,
) -> x509.Certificate:
    issuer_public = issuer_key.public_key()
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(TEST_ORGANIZATION, common_name))
        .issuer_name(_name(TEST_ORGANIZATION, issuer))
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(datetime.combine(begins, time(15), tzinfo=UTC))
        .not_valid_after(end_of_day_in_japan(years_from(begins, 10)))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .add_extension(key_usage(certificate_sign=True, crl_sign=True), True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_public), False)
    )
    if policy is not None:
        builder = builder.add_extension(x509.CertificatePolicies([x509.PolicyInformation(policy, None)]), True)
    return builder.sign(issuer_key, SHA256())


def _name(organization: str, common_name: str, serial: str | None = None) -> x509.Name:
    attributes = [
        x509.NameAttribute(NameOID.COUNTRY_NAME, "JP"),
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization),
        x509.NameAttribute(NameOID.COMMON_NAME, common_name),
    ]
    if serial is not None:
        attributes.append(x509.NameAttribute(NameOID.SERIAL_NUMBER, serial))
    return x509.Name(attributes)
