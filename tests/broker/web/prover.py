"""A resident who proves who they are, made by other hands than the agent's: both keys, frame, CMS, sealed answer."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from typing import Any

import jwt
from asn1crypto import cms as asn1_cms
from asn1crypto import tsp
from asn1crypto import x509 as asn1_x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from joserfc import jwe
from joserfc.jwk import ECKey

from broker.jpki.challenge import CardChallenge, frame
from cardreader.cardfile import CardFile, KeySlot


def binary(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def signature(slot: KeySlot, message: bytes) -> bytes:
    key = load_pem_private_key(slot.private_key.encode(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key.sign(message, padding.PKCS1v15(), hashes.SHA256())


def detached(slot: KeySlot, attributes: bytes) -> bytes:
    """The CMS that the 署名用 key in `slot` makes of a broker's attributes."""
    assert slot.certificate is not None
    parsed = asn1_x509.Certificate.load(slot.certificate)
    identifier = tsp.ESSCertIDv2({"cert_hash": hashlib.sha256(slot.certificate).digest()})
    reference = asn1_cms.CMSAttribute(
        {"type": "signing_certificate_v2", "values": [tsp.SigningCertificateV2({"certs": [identifier]})]}
    )
    complete = asn1_cms.CMSAttributes([*asn1_cms.CMSAttributes.load(attributes), reference])
    signer = {
        "version": "v1",
        "sid": asn1_cms.SignerIdentifier(
            "issuer_and_serial_number",
            asn1_cms.IssuerAndSerialNumber({"issuer": parsed.issuer, "serial_number": parsed.serial_number}),
        ),
        "digest_algorithm": {"algorithm": "sha256"},
        "signed_attrs": complete,
        "signature_algorithm": {"algorithm": "sha256_rsa"},
        "signature": signature(slot, complete.dump()),
    }
    data = asn1_cms.SignedData(
        {
            "version": "v1",
            "digest_algorithms": [{"algorithm": "sha256"}],
            "encap_content_info": {"content_type": "data"},
            "certificates": [parsed],
            "signer_infos": [signer],
        }
    )
    return bytes(asn1_cms.ContentInfo({"content_type": "signed_data", "content": data}).dump())


def answer(
    request: str,
    card: CardFile,
    *,
    signer: KeySlot | None = None,
    change: Callable[[dict[str, Any]], None] = lambda _: None,
) -> str:
    """The sealed answer to a card form's request; `signer` is another card's key, `change` spoils the envelope."""
    claims = jwt.decode(request, options={"verify_signature": False})
    header = jwt.get_unverified_header(request)
    certificate, slot = card.auth.certificate, signer or card.sign
    assert certificate is not None
    challenge = CardChallenge(
        tag=claims["tag"],
        issuer=claims["iss"],
        origin=claims["iss"],
        request_key_thumbprint=header["kid"],
        nonce=binary(claims["nonce"]),
        client_id=claims["client_id"],
        transaction=claims["jti"],
        action=claims["action"],
        issued_at_ms=claims["iat"] * 1000,
    )
    envelope: dict[str, Any] = {
        "format": "jpki-fed:1",
        "unverified_certificate": base64.b64encode(certificate).decode(),
        "algorithm": "RS256",
        "signature": base64.b64encode(signature(card.auth, frame(challenge, certificate))).decode(),
        "app_version": "test",
        "pin_entry": "software",
        "reader_kind": "software",
    }
    documents = json.loads(claims["action"]).get("documents", [])
    if documents and slot is not None:
        made = [detached(slot, binary(document["attributes"])) for document in documents]
        envelope["cms"] = [base64.b64encode(each).decode() for each in made]
    change(envelope)
    key = ECKey.import_key(claims["answer_key"])
    return jwe.encrypt_compact({"alg": "ECDH-ES", "enc": "A256GCM"}, json.dumps(envelope).encode(), key)
