"""Write frames.json: the published vectors of the bytes a card signs (docs: "What the card signs").

Plain hashlib and struct on purpose: it shares no line with the broker's builder or the agent's, so the three
can only agree by following the same rule. Run `python tests/vectors/card-frame/make.py` to print the file anew.

    frame = TAG || 0x00
         || SHA-256(issuer) || SHA-256(origin) || SHA-256(RFC 7638 thumbprint, its base64url text)
         || SHA-256(nonce, 32 raw bytes) || SHA-256(client_id) || SHA-256(transaction id)
         || SHA-256(action, RFC 8785 JSON text) || SHA-256(previous frame, empty if none)
         || uint64 big-endian milliseconds || SHA-256(certificate DER)

Strings are hashed as UTF-8. `sha256` is SHA-256(frame), the digest inside the card's DigestInfo.
"""

import base64
import hashlib
import json
import struct
import sys
from pathlib import Path


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def b64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def vector(
    name: str,
    *,
    tag: str = "JPKI-FED-AUTH/1",
    issuer: str = "http://localhost:8000",
    origin: str = "http://localhost:8000",
    thumbprint: str = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs",
    nonce: bytes = bytes(range(32)),
    client_id: str = "bank",
    transaction: str = "AAECAwQFBgcICQoLDA0ODw",
    action: str = "{}",
    previous: bytes = b"",
    issued_at_ms: int = 1_800_000_000_000,
    certificate: bytes = b"certificate",
) -> dict[str, object]:
    frame = tag.encode() + b"\x00"
    for text in (issuer, origin, thumbprint):
        frame += sha256(text.encode("utf-8"))
    frame += sha256(nonce)
    for text in (client_id, transaction, action):
        frame += sha256(text.encode("utf-8"))
    frame += sha256(previous)
    frame += struct.pack(">Q", issued_at_ms)
    frame += sha256(certificate)
    return {
        "name": name,
        "tag": tag,
        "issuer": issuer,
        "origin": origin,
        "request_key_thumbprint": thumbprint,
        "nonce": b64url(nonce),
        "client_id": client_id,
        "transaction": transaction,
        "action": action,
        "previous": b64url(previous),
        "issued_at_ms": issued_at_ms,
        "certificate": b64url(certificate),
        "frame": frame.hex(),
        "sha256": sha256(frame).hex(),
    }


def documents() -> list[dict[str, object]]:
    """The documents of cms.json, as an action lists them; the last one is a raw digest."""
    told = json.loads((Path(__file__).parent / "cms.json").read_text(encoding="utf-8"))
    application, _, prepared = told["documents"]
    shown = len(str(application["content"]).encode())
    return [
        {
            "attributes": application["attributes"],
            "name": "本人確認の申込書",
            "sha256": application["sha256"],
            "size": shown,
            "type": "text/plain",
        },
        {
            "attributes": prepared["attributes"],
            "form": "pades",
            "name": "契約書.pdf",
            "sha256": prepared["sha256"],
            "size": len(prepared["content"]),
            "type": "application/pdf",
        },
        {
            "digest": told["raw"]["digest"],
            "form": "raw",
            "name": "指紋だけの文書",
            "sha256": told["raw"]["digest"],
        },
    ]


def proof(of: list[dict[str, object]], *, kind: str, release: list[str]) -> str:
    """RFC 8785: members sorted, no blanks; all names here are ASCII and no number has a fraction."""
    action = {"documents": of, "kind": kind, "release": release}
    return json.dumps(action, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def vectors() -> list[dict[str, object]]:
    start = vector(
        "link start, action in Japanese",
        tag="JPKI-FED-LINK-START/1",
        action='{"client_name":"あおぞら銀行","type":"link"}',
        nonce=sha256(b"link start"),
        transaction=b64url(sha256(b"start")[:16]),
    )
    return [
        vector("login in the sandbox"),
        vector(
            "login over https with a port, origin of the issuer's host",
            issuer="https://login.example.jp:8443",
            origin="https://login.example.jp:8443",
            nonce=b"\xff" * 32,
        ),
        vector("login, issuer with a path", issuer="https://login.example.jp/op", origin="https://login.example.jp"),
        vector("nonce of zeros, earliest time", nonce=bytes(32), issued_at_ms=0),
        vector("latest time that fits 64 bits", issued_at_ms=2**64 - 1),
        vector(
            "client_id and certificate outside ASCII",
            client_id="銀行-ｱ\U00020bb7",
            certificate=bytes(range(256)) * 5,
        ),
        vector(
            "login that releases attributes, action in Japanese",
            action='{"claims":["name","address"],"client_name":"山田医院","shown":"氏名と住所を渡します"}',
        ),
        start,
        vector(
            "link commit, previous is the start frame",
            tag="JPKI-FED-LINK-COMMIT/1",
            action='{"client_name":"あおぞら銀行","type":"link"}',
            nonce=sha256(b"link commit"),
            transaction=b64url(sha256(b"commit")[:16]),
            previous=bytes.fromhex(str(start["frame"])),
            issued_at_ms=1_800_000_060_000,
        ),
        vector("consent", tag="JPKI-FED-CONSENT/1", action='{"scope":["name"],"type":"consent"}'),
        vector(
            "identity proofing, the application of cms.json",
            tag="JPKI-FED-PROOF/1",
            action=proof(documents()[:1], kind="proof", release=["address", "birthdate", "gender", "name"]),
        ),
        vector(
            "signing, one document of each form",
            tag="JPKI-FED-PROOF/1",
            action=proof(documents(), kind="sign", release=[]),
        ),
        vector("a doctor's login by HPKI card", tag="JPKI-FED-PROFESSION/1"),
        vector(
            "a doctor's half of a joint transaction",
            tag="JPKI-FED-PROFESSION/1",
            action='{"joint":"ampqampqampqampqampqampqampqampq","purpose":"検査の説明と同意"}',
        ),
        vector(
            "the patient's half, with the doctor as certified",
            tag="JPKI-FED-JOINT/1",
            action='{"doctor":{"name":"見本 太郎","organization":"見本病院","roles":["Medical Doctor"]},'
            '"joint":"ampqampqampqampqampqampqampqampq","purpose":"検査の説明と同意"}',
        ),
    ]


if __name__ == "__main__":
    sys.stdout.write(json.dumps(vectors(), ensure_ascii=False, indent=1) + "\n")
