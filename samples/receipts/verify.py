"""Check a receipt with nothing but `cryptography`: python verify.py RECEIPT KEYS (KEYS: /.well-known/receipt-keys)."""

import base64
import json
import sys
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256


def decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def check(receipt: str, keys: dict[str, Any]) -> dict[str, Any]:
    """The claims of a genuine receipt. Raises InvalidSignature, ValueError (not a receipt), KeyError (unknown key)."""
    header, payload, signature = receipt.strip().split(".")
    head, r_and_s = json.loads(decoded(header)), decoded(signature)
    if (head["alg"], head["typ"]) != ("ES256", "receipt+jwt") or len(r_and_s) != 64:
        raise ValueError("not a receipt")
    jwk = {key["kid"]: key for key in keys["keys"]}[head["kid"]]
    x, y, r, s = (
        int.from_bytes(part, "big") for part in (decoded(jwk["x"]), decoded(jwk["y"]), r_and_s[:32], r_and_s[32:])
    )
    key = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
    key.verify(encode_dss_signature(r, s), f"{header}.{payload}".encode(), ec.ECDSA(SHA256()))
    claims: dict[str, Any] = json.loads(decoded(payload))
    if claims["iss"] != keys["issuer"] or not jwk.get("nbf", 0) <= claims["iat"] <= jwk.get("exp", claims["iat"]):
        raise ValueError("not by this issuer, or not in the time of its key")
    return claims


if __name__ == "__main__":
    try:
        claims = check(Path(sys.argv[1]).read_text(), json.loads(Path(sys.argv[2]).read_text()))
        sys.stdout.write(json.dumps(claims, indent=1, ensure_ascii=False) + "\n")
    except (InvalidSignature, ValueError, KeyError) as refused:
        sys.exit(f"not accepted: {refused!r}")
