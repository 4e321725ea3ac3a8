"""The answer to a card request: a JWE to the broker's one-time key, so that no certificate passes a page in clear."""

from __future__ import annotations

import base64
import json
from importlib import metadata
from typing import Literal

from joserfc import jwe
from joserfc.jwk import ECKey

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


def seal_answer(request: SignRequest, signature: CardSignature, *, pin_entry: PINEntry, reader_kind: str) -> str:
    """Compact JWE (RFC 7516), ECDH-ES with A256GCM to `request.answer_key`.

    `pin_entry` and `reader_kind` are unsigned hints, informative only.
    """
    members = {
        "format": FORMAT,
        "unverified_certificate": base64.b64encode(signature.certificate).decode("ascii"),
        "algorithm": signature.algorithm,
        "signature": base64.b64encode(signature.signature).decode("ascii"),
        "app_version": app_version(),
        "pin_entry": pin_entry,
        "reader_kind": reader_kind[:32],
    }
    key = ECKey.import_key(dict(request.answer_key.jwk))
    return jwe.encrypt_compact({"alg": "ECDH-ES", "enc": "A256GCM"}, json.dumps(members).encode(), key)
