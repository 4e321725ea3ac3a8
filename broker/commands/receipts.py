"""`broker evidence`: receipts checked without the broker, years later too."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Final

import click
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from broker.app import now
from broker.audit.receipt import Receipt, verify
from broker.commands.exits import CANNOT_TELL, FORGED, NOT_COVERED, answering
from broker.errors import InvalidToken, ReceiptError, ReceiptForged
from broker.jose import load_public_key, parse_json, read_jws
from broker.keys.live import open_keys
from broker.keys.pkcs11 import TokenURI
from broker.settings import read

_MAX_KEYS: Final = 1024 * 1024
_MAX_DOCUMENT: Final = 64 * 1024 * 1024
_VERDICTS: Final = {
    "valid": (0, {"ja": "証跡は有効です。", "en": "The receipt is genuine."}),
    "not_covered": (
        NOT_COVERED,
        {"ja": "証跡は本物ですが、この書類のものではありません。", "en": "Genuine, but not about this document."},
    ),
    "forged": (FORGED, {"ja": "改ざん・偽造のおそれがあります。", "en": "Altered or forged."}),
    "cannot_tell": (CANNOT_TELL, {"ja": "確認できません。", "en": "Nothing can be told."}),
}
"""Exit status and words, as for every other document that is checked."""
_LABELS: Final = {
    "ja": {
        "kind": "種類",
        "iss": "発行元",
        "aud": "サービス",
        "sub": "利用者（このサービスでの番号）",
        "toe": "日時",
        "jti": "証跡番号",
        "documents": "署名した書類（SHA-256）",
        "certificates": "電子証明書の確認",
    },
    "en": {
        "kind": "What",
        "iss": "Issuer",
        "aud": "Service",
        "sub": "Person, as this service knows them",
        "toe": "When",
        "jti": "Number",
        "documents": "Documents signed (SHA-256)",
        "certificates": "Certificates accepted",
    },
}


@click.group()
def evidence() -> None:
    """Receipts of logins, proofs and signatures (証跡)."""


@evidence.command("verify")
@click.argument("file", type=click.File("rb"))
@click.option(
    "--keys",
    "keys_file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The issuer's receipt keys, kept from /.well-known/receipt-keys. Without it, this installation's own.",
)
@click.option("--document", "documents", type=click.File("rb"), multiple=True, help="Must be among the signed ones.")
@click.option(
    "--for-openssl",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write there what openssl needs to check the signature by itself, and print the command.",
)
@click.option("--lang", type=click.Choice(["ja", "en"]), default="ja", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@answering
def evidence_verify(
    *,
    file: BinaryIO,
    keys_file: Path | None,
    documents: tuple[BinaryIO, ...],
    for_openssl: Path | None,
    lang: str,
    as_json: bool,
) -> None:
    """Check the receipt in FILE. Needs no network, no database and no clock.

    Exit status 0: genuine. 12: genuine, but a --document is not among those signed. 13: altered or forged. 14: nothing
    can be told, because its key is not among the keys.
    """
    keys = _keys(keys_file)
    token = file.read(_MAX_KEYS).strip()
    receipt: Receipt | None = None
    try:
        receipt = verify(token, keys=keys)
        missing = [document.name for document in documents if not receipt.covers(document.read(_MAX_DOCUMENT))]
        verdict, reason = ("not_covered", ", ".join(missing)) if missing else ("valid", "")
    except ReceiptError as refused:
        verdict, reason = ("forged" if isinstance(refused, ReceiptForged) else "cannot_tell"), str(refused)
    status, words = _VERDICTS[verdict]
    claims = None if receipt is None else dict(receipt.claims)
    if as_json:
        told = {
            "verdict": verdict,
            "reason": reason,
            "kid": None if receipt is None else receipt.kid,
            "receipt": claims,
        }
        click.echo(json.dumps(told, ensure_ascii=False))
    else:
        click.echo(words[lang] + (f" ({reason})" if reason else ""))
        for line in _lines(claims or {}, lang):
            click.echo(line)
    if for_openssl is not None and verdict != "cannot_tell":
        click.echo(_write_for_openssl(token, keys, for_openssl), err=as_json)
    sys.exit(status)


def _keys(path: Path | None) -> Mapping[str, Any]:
    if path is None:
        settings = read(os.environ)
        token = TokenURI.parse(settings.key_token) if settings.key_token else None
        return open_keys(settings.key_directory, settings.key_passphrase, token=token, clock=now).receipt_keys()
    try:
        return parse_json(path.read_bytes()[: _MAX_KEYS + 1], limit=_MAX_KEYS)
    except InvalidToken as broken:
        raise click.UsageError(f"{path.name}: not a JWK Set: {broken}") from broken


def _lines(claims: Mapping[str, Any], lang: str) -> list[str]:
    labels = _LABELS[lang]
    lines = []
    for name in ("kind", "iss", "aud", "sub", "toe", "jti"):
        if name in claims:
            value = datetime.fromtimestamp(claims[name], tz=UTC).isoformat() if name == "toe" else claims[name]
            lines.append(f"{labels[name]}: {value}")
    lines += [f"{labels['documents']}: {each['sha256']}" for each in claims.get("signed", {}).get("documents", ())]
    for each in claims.get("certificates", ()):
        lines.append(f"{labels['certificates']}: {json.dumps(each, ensure_ascii=False)}")
    return lines


def _write_for_openssl(token: bytes, keys: Mapping[str, Any], folder: Path) -> str:
    """What was signed, the signature in DER, and the key in PEM; answers the command that checks them."""
    try:
        jws = read_jws(token)
        (jwk,) = [jwk for jwk in keys["keys"] if jwk["kid"] == jws.kid]
        key = load_public_key(jwk)
    except (InvalidToken, ValueError, KeyError, TypeError):
        return "openssl: nothing to check"
    if isinstance(key, bytes):
        return "openssl: nothing to check"
    half = len(jws.signature) // 2
    r, s = (int.from_bytes(part, "big") for part in (jws.signature[:half], jws.signature[half:]))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "signed.txt").write_bytes(jws.signing_input)
    (folder / "signature.der").write_bytes(encode_dss_signature(r, s))
    (folder / "key.pem").write_bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    where = folder.as_posix()
    return f"openssl dgst -sha256 -verify {where}/key.pem -signature {where}/signature.der {where}/signed.txt"
