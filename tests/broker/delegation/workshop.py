"""Makes signed PDFs of every kind with pyHanko: an outside hand, on the reading side's own authorities."""

from __future__ import annotations

import asyncio
import io
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from asn1crypto import keys
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID
from pyhanko.pdf_utils import embed, generic
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.pdf_utils.writer import PageObject, PdfFileWriter
from pyhanko.sign import fields, signers
from pyhanko.sign.fields import SigSeedSubFilter
from pyhanko.sign.signers.pdf_signer import DSSContentSettings, SigDSSPlacementPreference
from pyhanko.sign.timestamps import DummyTimeStamper
from pyhanko_certvalidator import ValidationContext
from pyhanko_certvalidator.registry import SimpleCertificateStore

AT = datetime(2026, 11, 20, 3, 0, tzinfo=UTC)
DAY = timedelta(days=1)
YEAR = 365 * DAY
RECORD = '{"v":1,"id":"1a2b","type":"poa.business","name":"山田花子"}'.encode()
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey


def _name(common: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "JP"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "SEAL-TEST"),
            x509.NameAttribute(NameOID.COMMON_NAME, common),
        ]
    )


def _usage(*wanted: str) -> x509.KeyUsage:
    names = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
    rest = ("key_cert_sign", "crl_sign", "encipher_only", "decipher_only")
    return x509.KeyUsage(**{name: name in wanted for name in (*names, *rest)})


@dataclass(kw_only=True)
class Holder:
    """A key with its certificate."""

    key: PrivateKey
    certificate: x509.Certificate

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def asn1(self) -> asn1_x509.Certificate:
        return asn1_x509.Certificate.load(self.der)

    @property
    def asn1_key(self) -> keys.PrivateKeyInfo:
        return keys.PrivateKeyInfo.load(self.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))


@dataclass(kw_only=True)
class Authority(Holder):
    """One that issues. `serial` counts what it issued."""

    serial: int = 100

    @classmethod
    def root(cls, common: str = "Root", *, life: timedelta = 20 * YEAR) -> Authority:
        key = ec.generate_private_key(ec.SECP256R1())
        return cls(key=key, certificate=_ca(key, common, key, _name(common), 1, life))

    def authority(self, common: str, *, life: timedelta = 15 * YEAR, lists_at: str = "") -> Authority:
        """`lists_at`: an address under which the lists about it are."""
        key = ec.generate_private_key(ec.SECP256R1())
        self.serial += 1
        made = _ca(key, common, self.key, self.certificate.subject, self.serial, life, lists_at)
        return Authority(key=key, certificate=made)

    def leaf(
        self,
        common: str = "Seal",
        *,
        key: PrivateKey | None = None,
        public_key: PublicKey | None = None,
        usages: tuple[str, ...] = ("digital_signature", "content_commitment"),
        purposes: tuple[x509.ObjectIdentifier, ...] = (),
        begins: datetime = AT - 30 * DAY,
        ends: datetime = AT + 2 * YEAR,
        names_a_source: bool | str = False,
    ) -> Holder:
        """`names_a_source`: an address under which its lists are, or True for one where nobody answers."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        self.serial += 1
        builder = (
            _builder(common, public_key or key.public_key(), self.certificate.subject, self.serial, begins, ends)
            .add_extension(_usage(*usages), critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
        )
        if purposes:
            builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=True)
        if names_a_source:
            source = names_a_source if isinstance(names_a_source, str) else "http://127.0.0.1:1"
            where = x509.AccessDescription(
                AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier(f"{source}/ocsp")
            )
            builder = builder.add_extension(x509.AuthorityInformationAccess([where]), critical=False)
            builder = builder.add_extension(_lists(source), critical=False)
        return Holder(key=key, certificate=builder.sign(self.key, hashes.SHA256()))

    def stamper(self, *, ends: datetime = AT + 10 * YEAR, key: PrivateKey | None = None, **changed: Any) -> Holder:
        return self.leaf(
            "Time Stamp Authority",
            key=key or rsa.generate_private_key(public_exponent=65537, key_size=2048),
            usages=("digital_signature",),
            purposes=(ExtendedKeyUsageOID.TIME_STAMPING,),
            ends=ends,
            **changed,
        )

    def crl(self, *revoked: Holder, this_update: datetime = AT - DAY / 2, since: datetime = AT - DAY) -> bytes:
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificate.subject)
            .last_update(this_update)
            .next_update(this_update + 2 * DAY)
            .add_extension(x509.CRLNumber(7), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
        )
        for each in revoked:
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder()
                .serial_number(each.certificate.serial_number)
                .revocation_date(since)
                .build()
            )
        return builder.sign(self.key, hashes.SHA256()).public_bytes(Encoding.DER)


def _builder(  # noqa: PLR0917 -- each call stands in this module
    common: str,
    key: PublicKey,
    issuer: x509.Name,
    serial: int,
    begins: datetime,
    ends: datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_name(common))
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(serial)
        .not_valid_before(begins)
        .not_valid_after(ends)
    )


def _lists(source: str) -> x509.CRLDistributionPoints:
    address = x509.UniformResourceIdentifier(f"{source}/list.crl")
    return x509.CRLDistributionPoints([x509.DistributionPoint([address], None, None, None)])


def _ca(  # noqa: PLR0917 -- as above
    key: PrivateKey,
    common: str,
    issuer_key: PrivateKey,
    issuer: x509.Name,
    serial: int,
    life: timedelta,
    lists_at: str = "",
) -> x509.Certificate:
    builder = (
        _builder(common, key.public_key(), issuer, serial, AT - YEAR, AT + life)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_usage("key_cert_sign", "crl_sign"), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if lists_at:
        builder = builder.add_extension(_lists(lists_at), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def page_pdf(*, record: bytes | None = RECORD, name: str = "record.json", text: str = "POWER OF ATTORNEY") -> bytes:
    """One page, and the record attached as PDF/A-3 has it."""
    writer = PdfFileWriter()
    content = generic.StreamObject(stream_data=b"BT /F1 24 Tf 72 700 Td (" + text.encode("ascii") + b") Tj ET")
    resources = generic.DictionaryObject(
        {
            generic.pdf_name("/Font"): generic.DictionaryObject(
                {
                    generic.pdf_name("/F1"): generic.DictionaryObject(
                        {
                            generic.pdf_name("/Type"): generic.pdf_name("/Font"),
                            generic.pdf_name("/Subtype"): generic.pdf_name("/Type1"),
                            generic.pdf_name("/BaseFont"): generic.pdf_name("/Helvetica"),
                        }
                    )
                }
            )
        }
    )
    box = generic.ArrayObject(map(generic.NumberObject, (0, 0, 595, 842)))
    writer.insert_page(PageObject(contents=writer.add_object(content), media_box=box, resources=resources))
    if record is not None:
        attach(writer, record, name)
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def attach(writer: Any, data: bytes, name: str) -> None:
    stream = embed.EmbeddedFileObject.from_file_data(writer, data=data, mime_type="application/json")
    embed.embed_file(
        writer,
        embed.FileSpec(
            file_spec_string=name, file_name=name, embedded_data=stream, af_relationship=generic.pdf_name("/Source")
        ),
    )


@dataclass(kw_only=True)
class Workshop:
    """One hierarchy: root, authority, seal, time-stamp authority; and the ways to sign."""

    root: Authority = field(default_factory=Authority.root)
    authority: Authority = field(init=False)
    seal: Holder = field(init=False)
    tsa: Holder = field(init=False)

    def __post_init__(self) -> None:
        self.authority = self.root.authority("Seal CA")
        self.seal = self.authority.leaf()
        self.tsa = self.root.stamper()

    @property
    def anchors(self) -> list[bytes]:
        return [self.root.der]

    def sign(
        self,
        pdf: bytes,
        *,
        by: Holder | None = None,
        stamp: bool = False,
        stamped_at: datetime = AT,
        tsa: Holder | None = None,
        evidence: bool = False,
        crls: tuple[bytes, ...] = (),
        two_revisions: bool = False,
        pades: bool = True,
        field_name: str = "Seal",
        writer_changes: Any = None,
        **meta: Any,
    ) -> bytes:
        """PAdES B-B; B-T with `stamp`; B-LT with `evidence`, in one revision unless `two_revisions`."""
        by = by or self.seal
        tsa = tsa or self.tsa
        writer = IncrementalPdfFileWriter(io.BytesIO(pdf))
        if writer_changes:
            writer_changes(writer)
        registry = SimpleCertificateStore()
        registry.register_multiple([self.authority.asn1])
        signer = signers.SimpleSigner(signing_cert=by.asn1, signing_key=by.asn1_key, cert_registry=registry)
        if evidence:
            meta |= {
                "embed_validation_info": True,
                "validation_context": ValidationContext(
                    trust_roots=[self.root.asn1],
                    other_certs=[self.authority.asn1, self.tsa.asn1],
                    crls=list(crls or (self.root.crl(), self.authority.crl())),
                    moment=AT,
                    allow_fetching=False,
                    revocation_mode="hard-fail",
                ),
            }
            if not two_revisions:
                meta["dss_settings"] = DSSContentSettings(
                    include_vri=False, placement=SigDSSPlacementPreference.TOGETHER_WITH_SIGNATURE
                )
        stamper = None
        if stamp:
            stamper = DummyTimeStamper(tsa.asn1, tsa.asn1_key, fixed_dt=stamped_at)
        out = signers.PdfSigner(
            signers.PdfSignatureMetadata(
                field_name=field_name,
                md_algorithm="sha256",
                subfilter=SigSeedSubFilter.PADES if pades else SigSeedSubFilter.ADOBE_PKCS7_DETACHED,
                **meta,
            ),
            signer=signer,
            timestamper=stamper,
            new_field_spec=fields.SigFieldSpec(sig_field_name=field_name),
        )
        with ThreadPoolExecutor(1) as apart:  # a browser's test before this one leaves a loop running in this thread
            return apart.submit(asyncio.run, _finished(out, writer)).result()


async def _finished(signer: signers.PdfSigner, writer: IncrementalPdfFileWriter) -> bytes:
    out = await signer.async_sign_pdf(writer)
    data: bytes = out.getvalue()
    return data


def change_page(writer: IncrementalPdfFileWriter) -> None:
    """Another content in place of the first page's."""
    page = writer.root["/Pages"]["/Kids"][0]
    page[generic.pdf_name("/Contents")] = writer.add_object(
        generic.StreamObject(stream_data=b"BT /F1 24 Tf 72 700 Td (MORE POWER) Tj ET")
    )
    writer.update_container(page)


def other_page(pdf: bytes) -> bytes:
    """With a revision that puts another page in place of the first."""
    writer = IncrementalPdfFileWriter(io.BytesIO(pdf))
    change_page(writer)
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()
