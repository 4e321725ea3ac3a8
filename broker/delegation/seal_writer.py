"""Writes the revision with a seal, by pyHanko: evidence first, then the signature over everything."""

from __future__ import annotations

import asyncio
import hashlib
import io
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, Final

from asn1crypto import algos, cms, core, tsp, x509
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.pdf_utils.misc import PdfError
from pyhanko.sign import fields, signers
from pyhanko.sign.fields import MDPPerm, SigSeedSubFilter
from pyhanko.sign.signers.pdf_cms import PdfCMSSignedAttributes
from pyhanko.sign.signers.pdf_signer import PdfTBSDocument
from pyhanko.sign.timestamps import TimeStamper
from pyhanko.sign.timestamps.common_utils import TimestampRequestError, handle_tsp_response
from pyhanko_certvalidator.registry import SimpleCertificateStore

from broker.delegation.sealing import SealMaterial, Stamp
from broker.errors import SealFailed
from broker.jose import Signer
from broker.jpki import der

FIELD: Final = "Seal"
_SET: Final = 0x31
_EXPLICIT: Final = 0xA0
_UNSIGNED: Final = 0xA1
_STAMP_ATTRIBUTE: Final = bytes.fromhex("060b2a864886f70d010910020e")  # id-aa-timeStampToken, RFC 3161 Appendix A
_RESERVED: Final = 24 * 1024
"""Hexadecimal digits for the signature with its certificates and time stamp; unused ones are zeros."""
_MECHANISMS: Final = {"ES256": "sha256_ecdsa", "RS256": "sha256_rsa"}


class _PortSigner(signers.Signer):
    """pyHanko's signer over our port: the key may be in a token, and sees only the signed attributes."""

    def __init__(self, port: Signer, material: SealMaterial) -> None:
        if port.alg not in _MECHANISMS:
            raise SealFailed(f"a seal is made by ES256 or RS256, not {port.alg}")
        registry = SimpleCertificateStore()
        registry.register_multiple([x509.Certificate.load(each) for each in material.others])
        super().__init__(
            embed_roots=False,
            signing_cert=x509.Certificate.load(material.certificate),
            cert_registry=registry,
            # made anew each time: asn1crypto wraps a value that is used again deeper and deeper, until it takes minutes
            signature_mechanism=algos.SignedDigestAlgorithm(
                {"algorithm": _MECHANISMS[port.alg]} | ({"parameters": core.Null()} if port.alg == "RS256" else {})
            ),
        )
        self._port = port

    async def async_sign_raw(self, data: bytes, digest_algorithm: str, dry_run: bool = False) -> bytes:
        if digest_algorithm != "sha256":
            raise SealFailed("a seal is made with SHA-256")
        if dry_run:
            return bytes(512)
        signature = self._port.sign(data)
        if self._port.alg != "ES256":
            return signature
        half = len(signature) // 2  # JOSE puts R and S side by side, CMS wants DER (RFC 5753 §7.2)
        return encode_dss_signature(int.from_bytes(signature[:half]), int.from_bytes(signature[half:]))


class _PortStamper(TimeStamper):
    """pyHanko's time-stamp client over our port."""

    def __init__(self, stamp: Stamp) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # pyHanko leaves it untyped
        self._stamp = stamp

    async def async_timestamp(self, message_digest: bytes, md_algorithm: str) -> cms.ContentInfo:
        return cms.ContentInfo.load(self.token(message_digest, md_algorithm), strict=True)

    def token(self, message_digest: bytes, md_algorithm: str) -> bytes:
        """A token (DER) that answers our question."""
        nonce, request = self.request_cms(message_digest, md_algorithm)  # type: ignore[no-untyped-call]  # as above
        response = self._stamp(request.dump())
        handle_tsp_response(tsp.TimeStampResp.load(response, strict=True), nonce)
        _status, token = der.whole(response, der.SEQUENCE).children()
        return token.raw


def write_seal(unsigned: bytes, *, signer: Signer, material: SealMaterial, stamp: Stamp, at: datetime) -> bytes:
    """Raises SealFailed, and what `signer` and `stamp` raise."""
    try:
        return _run(_written(unsigned, _PortSigner(signer, material), material, _PortStamper(stamp), at))
    except (PdfError, TimestampRequestError, ValueError, TypeError) as failed:
        raise SealFailed(f"the seal could not be written ({type(failed).__name__})") from failed


def _run(work: Coroutine[Any, Any, bytes]) -> bytes:
    """In a thread of its own: whoever calls may have an event loop running, which pyHanko's cannot stand in."""
    with ThreadPoolExecutor(1) as apart:
        return apart.submit(asyncio.run, work).result()


async def _written(
    unsigned: bytes, signer: _PortSigner, material: SealMaterial, stamper: _PortStamper, at: datetime
) -> bytes:
    writer = IncrementalPdfFileWriter(io.BytesIO(unsigned))
    _add_evidence(writer, material)
    session = signers.PdfSigner(
        signers.PdfSignatureMetadata(
            field_name=FIELD,
            md_algorithm="sha256",
            subfilter=SigSeedSubFilter.PADES,
            certify=True,
            docmdp_permissions=MDPPerm.NO_CHANGES,
        ),
        signer=signer,
        new_field_spec=fields.SigFieldSpec(sig_field_name=FIELD),
    ).init_signing_session(writer)
    session.system_time = at.astimezone(UTC)
    document: Any = session.prepare_tbs_document(validation_info=None, bytes_reserved=_RESERVED)
    digest, out = document.digest_tbs_document()
    envelope = await signer.async_sign(
        digest.document_digest,
        "sha256",
        signed_attr_settings=PdfCMSSignedAttributes(signing_time=session.system_time),
        use_pades=True,
    )
    stamped = _with_stamp(
        envelope.dump(),
        lambda signature: stamper.token(hashlib.sha256(signature).digest(), "sha256"),
    )
    await PdfTBSDocument.async_finish_signing(out, digest, stamped)
    sealed: bytes = out.getvalue()
    return sealed


def write_archive_stamp(archived: bytes, *, material: SealMaterial, stamp: Stamp) -> bytes:
    """A revision with `material` and a time stamp over everything before it. Raises SealFailed, what `stamp` raises."""
    try:
        return _run(_stamped(archived, material, _PortStamper(stamp)))
    except (PdfError, TimestampRequestError, ValueError, TypeError) as failed:
        raise SealFailed(f"the time stamp could not be appended ({type(failed).__name__})") from failed


def _with_stamp(envelope: bytes, token: Callable[[bytes], bytes]) -> bytes:
    """The envelope (DER) with a time stamp of its signature among the unsigned attributes (RFC 3161 Appendix A).

    Put together from the bytes: asn1crypto encodes such a nest anew now and then, each level twice as often as the one
    above it, which took half a minute.
    """
    kind, content = der.whole(envelope, der.SEQUENCE).children()
    (data,) = content.children()
    *head, signers_ = data.children()
    (one,) = signers_.children()
    signature = list(one.children())[-1]
    if signature.tag != der.OCTET_STRING:
        raise SealFailed("the envelope has unsigned attributes already")
    attribute = der.write(der.SEQUENCE, _STAMP_ATTRIBUTE, der.write(_SET, token(signature.value)))
    signer = der.write(der.SEQUENCE, one.value, der.write(_UNSIGNED, attribute))
    whole = der.write(der.SEQUENCE, *(each.raw for each in head), der.write(_SET, signer))
    return der.write(der.SEQUENCE, kind.raw, der.write(_EXPLICIT, whole))


async def _stamped(archived: bytes, material: SealMaterial, stamper: _PortStamper) -> bytes:
    writer = IncrementalPdfFileWriter(io.BytesIO(archived))
    _add_evidence(writer, material)
    name = f"Archive{len(list(fields.enumerate_sig_fields(writer)))}"
    out: Any = await signers.PdfTimeStamper(stamper, field_name=name).async_timestamp_pdf(
        writer, "sha256", bytes_reserved=_RESERVED
    )
    made: bytes = out.getvalue()
    return made


def _add_evidence(writer: IncrementalPdfFileWriter, material: SealMaterial) -> None:
    """The document security store, without VRI; what a store holds already stays in it."""

    def streams(ders: tuple[bytes, ...]) -> generic.ArrayObject:
        made = []
        for each in ders:
            stream = generic.StreamObject(stream_data=each)
            stream.compress()
            made.append(writer.add_object(stream))
        return generic.ArrayObject(made)

    try:
        known = writer.root["/DSS"]  # `get` would answer a reference
    except KeyError:
        known = generic.DictionaryObject()
    store = generic.DictionaryObject({generic.pdf_name("/Type"): generic.pdf_name("/DSS")})
    parts = (
        ("/Certs", (material.certificate, *material.others)),
        ("/CRLs", material.crls),
        ("/OCSPs", material.ocsps),
    )
    for name, ders in parts:
        kept = list(known[name]) if name in known else []
        if ders or kept:
            store[generic.pdf_name(name)] = generic.ArrayObject([*kept, *streams(ders)])
    writer.root[generic.pdf_name("/DSS")] = writer.add_object(store)
    writer.update_root()
