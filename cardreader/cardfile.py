"""A software card on disk: one JSON file, keys and PINs in clear, because it is a test card and nothing else."""

from __future__ import annotations

import base64
import binascii
import json
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, cast

from cardreader.errors import CardFileInvalid

VERSION = 1
MAX_SIZE = 64 * 1024  # bytes; two keys and four certificates take about 12 kB
KINDS = ("plastic", "android", "iphone", "juki", "hpki")
BLOCKED_STATUSES = ("6984", "6983", "63C0")

Kind = Literal["plastic", "android", "iphone", "juki", "hpki"]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySlot:
    """One key of a card with its certificates (DER), PKCS #8 PEM, PIN and try counter."""

    certificate: bytes | None = field(repr=False)
    ca_certificate: bytes | None = field(repr=False)
    private_key: str = field(repr=False)
    pin: str = field(repr=False)
    tries: int
    tries_max: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CardFile:
    """One card. `blocked_status` is what it answers about a PIN with no tries left: cards differ."""

    name: str
    label: str
    kind: Kind
    atr: bytes
    token_label: str
    auth: KeySlot
    sign: KeySlot | None
    blocked_status: int


def load(path: Path) -> CardFile:
    """Read a card file. Raises CardFileInvalid where it is absent, above MAX_SIZE, or does not describe a card."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_SIZE + 1)
    except OSError as error:
        raise CardFileInvalid(f"{path.name}: {error.strerror}") from error
    if len(raw) > MAX_SIZE:
        raise CardFileInvalid(f"{path.name}: larger than {MAX_SIZE} bytes")
    try:
        return parse(raw)
    except CardFileInvalid as error:
        raise CardFileInvalid(f"{path.name}: {error}") from None


def parse(raw: bytes) -> CardFile:
    """The card that the JSON text describes. Raises CardFileInvalid, naming the member at fault but never its value."""
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError):
        raise CardFileInvalid("not JSON") from None
    members = _members(document, "version name label kind atr token_label auth sign blocked_status", "the card")
    if members["version"] != VERSION:
        raise CardFileInvalid(f"version is not {VERSION}")
    try:
        atr = bytes.fromhex(_text(members, "atr"))
    except ValueError:
        raise CardFileInvalid("atr is not hexadecimal") from None
    if not 2 <= len(atr) <= 33:
        raise CardFileInvalid("atr has 2 to 33 bytes")
    token_label = _text(members, "token_label")
    if not (token_label.isascii() and len(token_label) <= 32):
        raise CardFileInvalid("token_label is not ASCII of at most 32 characters")
    sign = members["sign"]
    return CardFile(
        name=_text(members, "name"),
        label=_text(members, "label"),
        kind=cast(Kind, _one_of(members, "kind", KINDS)),
        atr=atr,
        token_label=token_label,
        auth=_slot(members["auth"], "auth"),
        sign=None if sign is None else _slot(sign, "sign"),
        blocked_status=int(_one_of(members, "blocked_status", BLOCKED_STATUSES), 16),
    )


def save(card: CardFile, path: Path) -> None:
    """Write the file anew (0600) and put it in the place of the old one in one step. Raises OSError."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mkstemp makes it 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(serialize(card))
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def serialize(card: CardFile) -> bytes:
    """The JSON text of a card; `parse` gives the same card again."""
    document = {
        "version": VERSION,
        "name": card.name,
        "label": card.label,
        "kind": card.kind,
        "atr": card.atr.hex().upper(),
        "token_label": card.token_label,
        "auth": _slot_document(card.auth),
        "sign": None if card.sign is None else _slot_document(card.sign),
        "blocked_status": f"{card.blocked_status:04X}",
    }
    return json.dumps(document, ensure_ascii=False, indent=1).encode() + b"\n"


def _slot_document(slot: KeySlot) -> dict[str, object]:
    return {
        "certificate": None if slot.certificate is None else base64.b64encode(slot.certificate).decode(),
        "ca_certificate": None if slot.ca_certificate is None else base64.b64encode(slot.ca_certificate).decode(),
        "private_key": slot.private_key,
        "pin": slot.pin,
        "tries": slot.tries,
        "tries_max": slot.tries_max,
    }


def _slot(value: object, name: str) -> KeySlot:
    members = _members(value, "certificate ca_certificate private_key pin tries tries_max", name)
    tries, tries_max = members["tries"], members["tries_max"]
    if type(tries) is not int or type(tries_max) is not int or not 0 <= tries <= tries_max <= 15:
        raise CardFileInvalid(f"{name}: tries run from 0 to tries_max, at most 15")
    pin = _text(members, "pin")
    if not (pin.isascii() and 1 <= len(pin) <= 16):
        raise CardFileInvalid(f"{name}: pin is ASCII of 1 to 16 characters")
    return KeySlot(
        certificate=_der(members, "certificate"),
        ca_certificate=_der(members, "ca_certificate"),
        private_key=_text(members, "private_key"),
        pin=pin,
        tries=tries,
        tries_max=tries_max,
    )


def _members(value: object, names: str, what: str) -> dict[str, object]:
    if not isinstance(value, dict) or set(value) != set(names.split()):
        raise CardFileInvalid(f"{what} has exactly the members {names}")
    return value


def _text(members: dict[str, object], name: str) -> str:
    value = members[name]
    if not isinstance(value, str):
        raise CardFileInvalid(f"{name} is not a string")
    return value


def _one_of(members: dict[str, object], name: str, choices: tuple[str, ...]) -> str:
    value = _text(members, name)
    if value not in choices:
        raise CardFileInvalid(f"{name} is not one of {', '.join(choices)}")
    return value


def _der(members: dict[str, object], name: str) -> bytes | None:
    if members[name] is None:
        return None
    try:
        return base64.b64decode(_text(members, name), validate=True)
    except (binascii.Error, ValueError):
        raise CardFileInvalid(f"{name} is not base64") from None
