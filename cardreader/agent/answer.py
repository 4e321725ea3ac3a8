"""The answer to a card request: a JWE to the broker's one-time key, so that no certificate passes a page in clear."""

from __future__ import annotations

import base64
import json
from importlib import metadata
from typing import Literal

from joserfc import jwe
from joserfc.jwk import ECKey

from cardreader.agent.device import DeviceKey
from cardreader.agent.documents import SignedDocuments
from cardreader.agent.request import SignRequest
from cardreader.agent.signing import CardSignature

FORMAT = "jpki-fed:1"
PINEntry = Literal["pinpad", "native", "pinentry", "page", "terminal", "software"]


def app_version() -> str:
    """This program's version; "unknown" where it runs from a source tree that was never installed."""
    try:
        return metadata.version("jpki-broker")
    except metadata.PackageNotFoundError:
        return "unknown"


def seal_answer(
    request: SignRequest,
    signature: CardSignature,
    *,
    pin_entry: PINEntry,
    reader_kind: str,
    signed: SignedDocuments | None = None,
    device: DeviceKey | None = None,
) -> str:
    """Compact JWE (RFC 7516), ECDH-ES with A256GCM to `request.answer_key`.

    `pin_entry` and `reader_kind` are unsigned hints, informative only. `signed` is what became of the documents. With
    `device`, the key of a terminal that everybody uses, all of it is signed.
    """
    members: dict[str, object] = {
        "format": FORMAT,
        "unverified_certificate": _base64(signature.certificate),
        "algorithm": signature.algorithm,
        "signature": _base64(signature.signature),
        "app_version": app_version(),
        "pin_entry": pin_entry,
        "reader_kind": reader_kind[:32],
    }
    if signed is not None:
        members |= _documents(signed)
    if device is not None:
        members["device"] = device.sign(members, issuer=request.issuer, transaction=request.transaction)
    key = ECKey.import_key(dict(request.answer_key.jwk))
    return jwe.encrypt_compact({"alg": "ECDH-ES", "enc": "A256GCM"}, json.dumps(members).encode(), key)


def _documents(signed: SignedDocuments) -> dict[str, object]:
    """A list that would be empty is left out; the certificate stands apart only where no CMS carries it."""
    members: dict[str, object] = {}
    if signed.cms:
        members["cms"] = [_base64(document) for document in signed.cms]
    if signed.raw_signatures:
        members["raw_signatures"] = [_base64(signature) for signature in signed.raw_signatures]
    if not signed.cms:
        members["sign_certificate"] = _base64(signed.certificate)
    return members


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")
