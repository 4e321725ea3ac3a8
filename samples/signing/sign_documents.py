"""Have a resident sign a document with their card, and file the signature with the receipt.

python sign_documents.py --registration         what the broker's operator adds (`broker client add --file`)
python sign_documents.py CONTRACT.pdf           prints an address; open it in a browser, read, and sign
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from joserfc import jwe
from joserfc.jwk import ECKey

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from receipts.verify import check
from service import Refused, Service, b64url, private_key, public_jwk, wait_for_browser

MEDIA_TYPES = {".pdf": "application/pdf", ".txt": "text/plain"}


def registration(client_id: str, redirect_uri: str, keys: list[dict[str, str]]) -> dict[str, Any]:
    """`vetted` and `rights` are the operator's to say: who receives certificates is a notified 署名検証者."""
    return {
        "client_id": client_id,
        "client_name": "みほん電子契約（見本）",
        "redirect_uris": [redirect_uri],
        "grant_types": ["authorization_code", "client_credentials"],
        "scope": "openid sign receipts",
        "token_endpoint_auth_method": "private_key_jwt",
        "require_pushed_authorization_requests": True,
        "jwks": {"keys": keys},
        "profile": "oidc",
        "vetted": True,
        "rights": ["signature_verifier"],
    }


def order(service: Service, path: Path) -> str:
    """Hand the document over; the resident reads it at the broker before anything is signed."""
    document = {
        "name": path.name,
        "type": MEDIA_TYPES[path.suffix],
        "content": base64.b64encode(path.read_bytes()).decode(),
    }
    answer = service.fetch(
        f"{service.issuer}/api/sign-transactions",
        token=service.own_token("sign"),
        body=json.dumps({"documents": [document]}).encode(),
        kind="application/json",
    )
    return str(json.loads(answer)["sign_transaction_id"])


def result(service: Service, order_id: str, encryption_key: ECKey) -> dict[str, Any]:
    """What was signed; it is encrypted to our key, given to one token, and wiped soon after: file it at once."""
    token = service.fetch(f"{service.issuer}/api/sign-transactions/{order_id}/result", token=service.own_token("sign"))
    opened: dict[str, Any] = json.loads(
        jwe.decrypt_compact(token, encryption_key, algorithms=["ECDH-ES", "A256GCM"]).plaintext or b""
    )
    return opened


def sign(service: Service, path: Path, encryption_key: ECKey, keys: dict[str, Any]) -> dict[str, Any]:
    """The whole story. Raises Refused where the resident said no, or something did not hold."""
    order_id = order(service, path)
    pending = service.begin("openid sign", sign_transaction_id=order_id, acr_values="aal3")
    sys.stdout.write(f"{pending.url}\n")
    sys.stdout.flush()
    claims, _ = service.finish(pending, wait_for_browser(service.redirect_uri))
    (document,) = (signed := result(service, order_id, encryption_key))["documents"]
    fingerprint = b64url(hashlib.sha256(path.read_bytes()).digest())
    if signed["sub"] != claims["sub"] or document["sha256"] != fingerprint:
        raise Refused("the result is about somebody or something else")
    receipt = service.receipt(claims["receipt"])
    said = check(receipt, keys)
    if said["kind"] != "sign" or fingerprint not in [each["sha256"] for each in said["signed"]["documents"]]:
        raise Refused("the receipt is about something else")
    return {"signer": claims["sub"], "document": document, "receipt": receipt}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("document", type=Path, nargs="?", help="a PDF, or a text in UTF-8")
    parser.add_argument("--issuer", default="http://localhost:8000")
    parser.add_argument("--client-id", default="sample-signing")
    parser.add_argument("--redirect-uri", default="http://127.0.0.5:8004/callback")
    parser.add_argument("--state", type=Path, default=Path(), help="where keys, signatures and receipts are kept")
    parser.add_argument("--registration", action="store_true")
    given = parser.parse_args()
    key, encryption = (private_key(given.state / f"{name}-key.pem") for name in ("client", "encryption"))
    if given.registration:
        keys = [public_jwk(key, use="sig", alg="ES256"), public_jwk(encryption, use="enc", alg="ECDH-ES")]
        told = registration(given.client_id, given.redirect_uri, keys)
        sys.stdout.write(json.dumps(told, ensure_ascii=False, indent=1) + "\n")
        return
    if given.document is None or given.document.suffix not in MEDIA_TYPES:
        parser.error("a .pdf or .txt is needed")
    try:
        service = Service(given.issuer, given.client_id, given.redirect_uri, key)
        keys_of_receipts = service.get(service.metadata["receipt_keys_uri"])
        done = sign(service, given.document, ECKey.import_key(encryption), keys_of_receipts)
    except (Refused, KeyError) as refused:
        sys.exit(f"nothing was signed: {refused}")
    document = done["document"]
    name = f"{given.document.stem}-signed.pdf" if "pdf" in document else f"{given.document.name}.p7s"
    signature = given.state / name
    signature.write_bytes(base64.b64decode(document.get("pdf") or document["cms"]))
    (given.state / "receipt.jwt").write_text(done["receipt"])
    (given.state / "receipt-keys.json").write_text(json.dumps(keys_of_receipts))
    told = {"signer": done["signer"], "format": document["format"], "file": str(signature)}
    sys.stdout.write(json.dumps(told, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
