"""A time-stamp authority of the sandbox: one answer to one question (RFC 3161), and nothing kept."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from asn1crypto import algos, cms, core, tsp
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

MAX_REQUEST: Final = 1024
POLICY: Final = "1.2.392.200149.8.5.3.0.1"  # of the sandbox, below the arc of its other policies
_LENGTHS: Final = {"sha256": 32, "sha384": 48, "sha512": 64}


@dataclass(frozen=True, slots=True, kw_only=True)
class StampAuthority:
    """The authority's key and certificate."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)

    def answer(self, request: bytes, *, now: datetime) -> bytes:
        """The TimeStampResp (DER) to `request`; a refusal for one that cannot be read or asks for another digest."""
        try:
            question = tsp.TimeStampReq.load(request, strict=True)
            imprint = question["message_imprint"]
            algorithm = imprint["hash_algorithm"]["algorithm"].native
            wanted = _LENGTHS.get(algorithm) == len(imprint["hashed_message"].native)
            version, nonce = question["version"].native, question["nonce"].native
        except (ValueError, TypeError, KeyError):
            return _refusal("bad_data_format")
        if version != "v1" or not wanted:
            return _refusal("bad_alg")
        told: dict[str, Any] = {
            "version": "v1",
            "policy": POLICY,
            "message_imprint": imprint,
            "serial_number": secrets.randbits(64) | 1,
            "gen_time": now.replace(microsecond=0),
            "accuracy": tsp.Accuracy({"seconds": 1}),
        }
        if nonce is not None:
            told["nonce"] = nonce
        token = self._signed(tsp.TSTInfo(told).dump(), now)
        granted = tsp.PKIStatusInfo({"status": "granted"})
        return bytes(tsp.TimeStampResp({"status": granted, "time_stamp_token": token}).dump())

    def _signed(self, info: bytes, now: datetime) -> cms.ContentInfo:
        certificate = asn1_x509.Certificate.load(self.certificate.public_bytes(Encoding.DER))
        digest = algos.DigestAlgorithm({"algorithm": "sha256"})
        named = tsp.ESSCertIDv2({"cert_hash": hashlib.sha256(certificate.dump()).digest()})
        attributes = cms.CMSAttributes(
            [
                cms.CMSAttribute({"type": "content_type", "values": ["tst_info"]}),
                cms.CMSAttribute(
                    {"type": "signing_time", "values": [cms.Time({"utc_time": now.replace(microsecond=0)})]}
                ),
                cms.CMSAttribute({"type": "message_digest", "values": [hashlib.sha256(info).digest()]}),
                cms.CMSAttribute(
                    {"type": "signing_certificate_v2", "values": [tsp.SigningCertificateV2({"certs": [named]})]}
                ),
            ]
        )
        signer = cms.SignerInfo(
            {
                "version": "v1",
                "sid": cms.SignerIdentifier(
                    name="issuer_and_serial_number",
                    value=cms.IssuerAndSerialNumber(
                        {"issuer": certificate.issuer, "serial_number": certificate.serial_number}
                    ),
                ),
                "digest_algorithm": digest,
                "signed_attrs": attributes,
                "signature_algorithm": cms.SignedDigestAlgorithm({"algorithm": "sha256_ecdsa"}),
                "signature": self.key.sign(attributes.dump(), ec.ECDSA(hashes.SHA256())),
            }
        )
        envelope = cms.SignedData(
            {
                "version": "v3",
                "digest_algorithms": [digest],
                "encap_content_info": {"content_type": "tst_info", "content": core.ParsableOctetString(info)},
                "certificates": [certificate],
                "signer_infos": [signer],
            }
        )
        return cms.ContentInfo({"content_type": "signed_data", "content": envelope})


def _refusal(reason: str) -> bytes:
    status = tsp.PKIStatusInfo({"status": "rejection", "fail_info": {reason}})
    return bytes(core.SequenceOf([status], spec=tsp.PKIStatusInfo).dump())  # a TimeStampResp without a token
