"""The residents' cards as files, in the form that `cardreader softcard` and the card tray read."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from sandbox.residents import Resident

ATR: Final = "3BE000FF8131FE4514"  # the contact card's, as OpenSC lists it
HPKI_ATR: Final = "3B80800101"  # of a contactless card that tells nothing (PC/SC part 3): HPKI cards have many
TOKEN_LABELS: Final = {
    "plastic": "JPKIAPICCTOKEN2",
    "android": "JPKIAPGPSETOKEN",
    "iphone": "JPKIAPIOSTOKEN",
    "juki": "JPKIAPICCTOKEN",
    "hpki": "HPKI-TEST",
}
PHONES: Final = {"android": "Android", "iphone": "iPhone"}
AUTH_TRIES: Final = 3
SIGN_TRIES: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySlot:
    """A key on a card with what stands beside it. Without a certificate the slot is empty but its PIN is set."""

    private_key: rsa.RSAPrivateKey
    certificate: x509.Certificate | None = None
    ca_certificate: x509.Certificate | None = None


def card_document(
    *,
    name: str,
    label: str,
    pin: str,
    auth: KeySlot,
    sign: KeySlot | None = None,
    sign_password: str | None = None,
    pin_tries: int = AUTH_TRIES,
    kind: str = "plastic",
) -> dict[str, Any]:
    """The JSON document of a card file (version 1). Holds PINs and keys: the file it goes to is private."""
    return {
        "version": 1,
        "name": name,
        "label": label,
        "kind": kind,
        "atr": HPKI_ATR if kind == "hpki" else ATR,
        "token_label": TOKEN_LABELS[kind],
        "auth": _slot(auth, pin=pin, tries=pin_tries, tries_max=AUTH_TRIES),
        "sign": None
        if sign is None or sign_password is None
        else _slot(sign, pin=sign_password, tries=SIGN_TRIES, tries_max=SIGN_TRIES),
        "blocked_status": "6984",
    }


def index_document(residents: Iterable[Resident]) -> list[dict[str, Any]]:
    """What `cards/index.json` says of every card, for the tray page and the documentation."""
    return [row for resident in residents for row in _rows(resident)]


def _rows(resident: Resident) -> Iterator[dict[str, Any]]:
    """The resident's card, then the phones that bear a certificate, then the card as it was before a renewal."""
    card = {
        "name": resident.name,
        "resident": resident.name,
        "label": resident.label,
        "label_en": resident.label_en,
        "kana": resident.kana,
        "kind": resident.kind,
        "pin": resident.pin,
        "sign_password": resident.sign_password,
        "demonstrates": {"ja": resident.demonstrates_ja, "en": resident.demonstrates_en},
    }
    yield card
    for phone in resident.phones:
        yield card | {
            "name": resident.phone_card(phone),
            "kind": phone,
            "sign_password": None,
            "demonstrates": {
                "ja": f"同じ人のスマートフォン（{PHONES[phone]}）。電子証明書は、暗証番号を入れたあとに読めます。",
                "en": f"The same person's phone ({PHONES[phone]}): its certificate is readable after the PIN only.",
            },
        }
    if resident.renewed_from is not None:
        yield card | {
            "name": resident.old_card,
            "demonstrates": {
                "ja": "同じ人の、電子証明書を更新する前のカード。古い証明書は失効しています。",
                "en": "The same person's card as it was before the renewal: its certificates are superseded.",
            },
        }


def with_pin_reset(card: Mapping[str, Any]) -> dict[str, Any]:
    """The card after a visit to the municipal office: every PIN keeps its value and has all its tries again."""
    restored = dict(card)
    for slot in ("auth", "sign"):
        if card[slot] is not None:
            restored[slot] = {**card[slot], "tries": card[slot]["tries_max"]}
    return restored


def to_json(document: object) -> bytes:
    """UTF-8 JSON text, indented for people."""
    return json.dumps(document, ensure_ascii=False, indent=1).encode() + b"\n"


def _slot(slot: KeySlot, *, pin: str, tries: int, tries_max: int) -> dict[str, Any]:
    return {
        "certificate": _der(slot.certificate),
        "ca_certificate": _der(slot.ca_certificate),
        "private_key": slot.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
        "pin": pin,
        "tries": tries,
        "tries_max": tries_max,
    }


def _der(certificate: x509.Certificate | None) -> str | None:
    return None if certificate is None else base64.b64encode(certificate.public_bytes(Encoding.DER)).decode()
