"""The test certification authorities: `O=JPKI-TEST` in the shape of J-LIS's hierarchy, and a foreign one.

Shapes are those of the public JPKI roots and of JPKI-TEST cards as far as they are known in the open: all generations
of an authority share one name and differ by key only, roots carry no authority key identifier, CRLs are named by a
directoryName per municipality and never by a URL, and validity ends at 23:59:59 JST (14:59:59Z).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Final, Literal

from asn1crypto import core
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

Kind = Literal["auth", "sign", "phone-auth"]
KINDS: Final[tuple[Kind, ...]] = ("auth", "sign", "phone-auth")

KEY_BITS: Final = 2048
CPS: Final = "http://www.jpki.go.jp/cps.html"
AUTH_TEST_POLICY: Final = x509.ObjectIdentifier("1.2.392.200149.8.5.1.0.30")  # 利用者証明用, test environment
SIGN_TEST_POLICY: Final = x509.ObjectIdentifier("1.2.392.200149.8.5.1.0.20")  # 署名用, test environment
# 移動端末設備用: neither the authority's name nor the policies of phone certificates are public; all are invented here.
PHONE_AUTH_TEST_POLICY: Final = x509.ObjectIdentifier("1.2.392.200149.8.5.1.0.130")
PHONE_POLICIES: Final = {
    "android": PHONE_AUTH_TEST_POLICY,
    "iphone": x509.ObjectIdentifier("1.2.392.200149.8.5.1.0.131"),
}
PHONE_AUTH_POLICY: Final = x509.ObjectIdentifier("1.2.392.200149.8.5.1.3.130")
AUTH_POLICY: Final = x509.ObjectIdentifier("1.2.392.200149.8.5.1.3.30")  # 利用者証明用, production
SIGN_POLICY: Final = x509.ObjectIdentifier("1.2.392.200149.8.5.1.1.20")  # 署名用, production
HOLDER_ATTRIBUTE_ARC: Final = "1.2.392.200149.8.5.5"  # .1 氏名 .2 its flags .3 性別 .4 生年月日 .5 住所 .6 its flags
TEST_ORGANIZATION: Final = "JPKI-TEST"
FOREIGN_ORGANIZATION: Final = "JPKI"

# Real leaves name an OCSP host. Ours cannot be resolved (RFC 2606), so a verifier that follows it is found out:
# revocation sources are configuration (design 4.5).
AIA_OCSP: Final = "http://ocsp.jpki-test.example/"

_UNITS: Final[dict[Kind, str]] = {
    "auth": "JPKI for user authentication",
    "sign": "JPKI for digital signature",
    "phone-auth": "JPKI for user authentication on mobile devices",
}
_POLICIES: Final[dict[tuple[str, Kind], x509.ObjectIdentifier]] = {
    (TEST_ORGANIZATION, "auth"): AUTH_TEST_POLICY,
    (TEST_ORGANIZATION, "sign"): SIGN_TEST_POLICY,
    (TEST_ORGANIZATION, "phone-auth"): PHONE_AUTH_TEST_POLICY,
    (FOREIGN_ORGANIZATION, "auth"): AUTH_POLICY,
    (FOREIGN_ORGANIZATION, "phone-auth"): PHONE_AUTH_POLICY,
    (FOREIGN_ORGANIZATION, "sign"): SIGN_POLICY,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Municipality:
    """A municipality that issues cards; its CRL partition bears its name (romaji). `code` has five digits."""

    code: str
    prefecture: str
    prefecture_romaji: str
    name: str
    romaji: str

    def __post_init__(self) -> None:
        if len(self.code) != 5 or not self.code.isascii() or not self.code.isdigit():
            raise ValueError(f"municipality code is not five digits: {self.code!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """One generation of one certification authority, with its delegated OCSP responder (RFC 6960 section 2.6)."""

    kind: Kind
    generation: int
    organization: str
    certificate: x509.Certificate
    private_key: rsa.RSAPrivateKey
    responder_certificate: x509.Certificate
    responder_key: rsa.RSAPrivateKey

    @property
    def name(self) -> str:
        """What files and URLs call it: `auth-1`, `sign-2`; the foreign one is `foreign-auth-1`."""
        prefix = "" if self.organization == TEST_ORGANIZATION else "foreign-"
        return f"{prefix}{self.kind}-{self.generation}"

    @property
    def policy(self) -> x509.ObjectIdentifier:
        """The certificate policy its leaves carry."""
        return _POLICIES[self.organization, self.kind]


@dataclass(frozen=True, slots=True, kw_only=True)
class HolderAttributes:
    """The four attributes (基本4情報) of a 署名用 certificate. Flags are one digit per character, 1 = substituted."""

    name: str
    name_flags: str
    sex: Literal[1, 2, 9]
    birth: str  # EYYYYMMDD, E = era, YYYY Gregorian
    address: str
    address_flags: str

    def __post_init__(self) -> None:
        if len(self.name_flags) != len(self.name) or len(self.address_flags) != len(self.address):
            raise ValueError("one substitute flag per character")


def new_private_keys(count: int) -> list[rsa.RSAPrivateKey]:
    """Generate `count` RSA-2048 keys, two at a time (key generation leaves the interpreter lock)."""
    with ThreadPoolExecutor(max_workers=2) as pool:
        return list(pool.map(lambda _: rsa.generate_private_key(65537, KEY_BITS), range(count)))


def end_of_day_in_japan(day: date) -> datetime:
    """23:59:59 JST of `day`, the last second a certificate that ends that day is valid, as UTC (14:59:59Z)."""
    return datetime.combine(day, time(14, 59, 59), tzinfo=UTC)


def years_from(day: date, years: int) -> date:
    """The same calendar day `years` later (negative: earlier); 29 February becomes 1 March in a common year."""
    try:
        return day.replace(year=day.year + years)
    except ValueError:
        return date(day.year + years, 3, 1)


def fifth_birthday(*, issued: date, birth: date) -> date:
    """The holder's fifth birthday after the day of issue, on which a certificate ends (公的個人認証法施行規則)."""
    birthday = years_from(birth, issued.year - birth.year)
    return years_from(birth, issued.year - birth.year + (5 if birthday <= issued else 4))


def authority_name(kind: Kind, organization: str = TEST_ORGANIZATION) -> x509.Name:
    """The subject that all generations of an authority share."""
    return _name(
        (NameOID.COUNTRY_NAME, "JP"),
        (NameOID.ORGANIZATION_NAME, organization),
        (NameOID.ORGANIZATIONAL_UNIT_NAME, _UNITS[kind]),
        (NameOID.ORGANIZATIONAL_UNIT_NAME, "Japan Agency for Local Authority Information Systems"),
    )


def distribution_point(kind: Kind, municipality: Municipality, organization: str = TEST_ORGANIZATION) -> x509.Name:
    """The directory name of a municipality's CRL partition; both generations of an authority use the same one."""
    return _name(
        (NameOID.COUNTRY_NAME, "JP"),
        (NameOID.ORGANIZATION_NAME, organization),
        (NameOID.ORGANIZATIONAL_UNIT_NAME, _UNITS[kind]),
        (NameOID.ORGANIZATIONAL_UNIT_NAME, "CRL Distribution Points"),
        (NameOID.ORGANIZATIONAL_UNIT_NAME, municipality.prefecture_romaji),
        (NameOID.COMMON_NAME, f"{municipality.romaji} CRLDP"),
    )


def establish(
    kind: Kind,
    *,
    generation: int,
    begins: date,
    years: int,
    private_key: rsa.RSAPrivateKey,
    responder_key: rsa.RSAPrivateKey,
    organization: str = TEST_ORGANIZATION,
) -> Authority:
    """Make a self-signed root valid `years` from `begins`, and the OCSP responder it delegates to."""
    name = authority_name(kind, organization)
    alternative = (
        "公的個人認証サービス（サンドボックス試験用）"
        if organization == TEST_ORGANIZATION
        else "架空の認証局（J-LISとは関係ありません）"
    )
    not_before = datetime.combine(begins, time(15, 0), tzinfo=UTC)
    not_after = end_of_day_in_japan(years_from(begins, years))
    subject_key = x509.SubjectKeyIdentifier.from_public_key(private_key.public_key())
    certificate = _sign(
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private_key.public_key())
        .serial_number(generation)
        .not_valid_before(not_before)
        .not_valid_after(not_after)
        .add_extension(key_usage(certificate_sign=True, crl_sign=True), critical=True)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.DirectoryName(_name((NameOID.COUNTRY_NAME, "JP"), (NameOID.ORGANIZATION_NAME, alternative)))]
            ),
            critical=False,
        )
        .add_extension(_crl_distribution_point(name), critical=False)
        .add_extension(subject_key, critical=False),
        private_key,
    )
    responder_certificate = _sign(
        x509.CertificateBuilder()
        .subject_name(
            _name(
                (NameOID.COUNTRY_NAME, "JP"),
                (NameOID.ORGANIZATION_NAME, organization),
                (NameOID.COMMON_NAME, f"OCSP responder {kind} {generation}"),
            )
        )
        .issuer_name(name)
        .public_key(responder_key.public_key())
        .serial_number(100 + generation)
        .not_valid_before(not_before)
        .not_valid_after(not_after)
        .add_extension(key_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.OCSP_SIGNING]), critical=False)
        .add_extension(x509.OCSPNoCheck(), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(responder_key.public_key()), critical=False),
        private_key,
    )
    return Authority(
        kind=kind,
        generation=generation,
        organization=organization,
        certificate=certificate,
        private_key=private_key,
        responder_certificate=responder_certificate,
        responder_key=responder_key,
    )


def issue_auth_certificate(
    authority: Authority,
    *,
    public_key: rsa.RSAPublicKey,
    common_name: str,
    municipality: Municipality,
    serial: int,
    not_before: datetime,
    not_after: datetime,
    authority_key_identifier: bool = False,
    extended_key_usage: bool = False,
    policy: x509.ObjectIdentifier | None = None,
    usage: x509.KeyUsage | None = None,
    extra: Iterable[tuple[x509.ExtensionType, bool]] = (),
) -> x509.Certificate:
    """Issue a 利用者証明用 certificate, for a card or a phone as `authority` is.

    `policy`, `usage` and `extra` (extension, critical) make odd ones for tests.
    """
    return _issue(
        authority,
        subject=_name((NameOID.COUNTRY_NAME, "JP"), (NameOID.COMMON_NAME, common_name)),
        public_key=public_key,
        municipality=municipality,
        serial=serial,
        not_before=not_before,
        not_after=not_after,
        authority_key_identifier=authority_key_identifier,
        extended_key_usage=extended_key_usage,
        policy=policy or authority.policy,
        extensions=[(usage or key_usage(digital_signature=True), True), *extra],
    )


def issue_sign_certificate(
    authority: Authority,
    *,
    public_key: rsa.RSAPublicKey,
    common_name: str,
    municipality: Municipality,
    serial: int,
    not_before: datetime,
    not_after: datetime,
    holder: HolderAttributes,
    authority_key_identifier: bool = False,
    extended_key_usage: bool = False,
) -> x509.Certificate:
    """Issue a 署名用 certificate; the holder's attributes stand in the order seen on cards (1, 4, 3, 5, 2, 6)."""
    attributes = (
        (1, holder.name),
        (4, holder.birth),
        (3, str(holder.sex)),
        (5, holder.address),
        (2, holder.name_flags),
        (6, holder.address_flags),
    )
    names = [
        x509.OtherName(x509.ObjectIdentifier(f"{HOLDER_ATTRIBUTE_ARC}.{number}"), core.UTF8String(value).dump())
        for number, value in attributes
    ]
    return _issue(
        authority,
        subject=_name(
            (NameOID.COUNTRY_NAME, "JP"),
            (NameOID.LOCALITY_NAME, municipality.romaji),
            (NameOID.COMMON_NAME, common_name),
        ),
        public_key=public_key,
        municipality=municipality,
        serial=serial,
        not_before=not_before,
        not_after=not_after,
        authority_key_identifier=authority_key_identifier,
        extended_key_usage=extended_key_usage,
        policy=authority.policy,
        extensions=[
            (key_usage(digital_signature=True, content_commitment=True), True),
            (x509.SubjectAlternativeName(names), False),
        ],
    )


def key_usage(
    *,
    digital_signature: bool = False,
    content_commitment: bool = False,
    certificate_sign: bool = False,
    crl_sign: bool = False,
) -> x509.KeyUsage:
    """A keyUsage extension with the bits named, all others off."""
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=content_commitment,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=certificate_sign,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )


def _issue(
    authority: Authority,
    *,
    subject: x509.Name,
    public_key: rsa.RSAPublicKey,
    municipality: Municipality,
    serial: int,
    not_before: datetime,
    not_after: datetime,
    authority_key_identifier: bool,
    extended_key_usage: bool,
    policy: x509.ObjectIdentifier,
    extensions: Sequence[tuple[x509.ExtensionType, bool]],
) -> x509.Certificate:
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(authority.certificate.subject)
        .public_key(public_key)
        .serial_number(serial)
        .not_valid_before(not_before)
        .not_valid_after(not_after)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    builder = (
        builder.add_extension(x509.CertificatePolicies([x509.PolicyInformation(policy, [CPS])]), critical=True)
        .add_extension(
            _crl_distribution_point(distribution_point(authority.kind, municipality, authority.organization)),
            critical=False,
        )
        .add_extension(
            x509.AuthorityInformationAccess(
                [x509.AccessDescription(AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier(AIA_OCSP))]
            ),
            critical=False,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )
    if authority_key_identifier:
        issuer_key = authority.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_key), critical=False
        )
    if extended_key_usage:
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
    return _sign(builder, authority.private_key)


def _sign(builder: x509.CertificateBuilder, key: rsa.RSAPrivateKey) -> x509.Certificate:
    return builder.sign(key, SHA256())


def _crl_distribution_point(name: x509.Name) -> x509.CRLDistributionPoints:
    return x509.CRLDistributionPoints([x509.DistributionPoint([x509.DirectoryName(name)], None, None, None)])


def _name(*attributes: tuple[x509.ObjectIdentifier, str]) -> x509.Name:
    # countryName becomes a PrintableString and all others UTF8String, as in the real certificates.
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in attributes])
