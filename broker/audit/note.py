"""Signed notes: text with signature lines, and the names of the keys that sign them (C2SP signed-note).

    text, ending in a newline
    (an empty line)
    — <key name> base64(key id ‖ signature)

A key is known by its name and its id together; lines of other keys are passed over.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from broker.errors import CheckpointInvalid, InvalidToken
from broker.jose import Signer, b64url, load_public_key, signature_holds

ED25519: Final = 0x01
"""Signature type of a log (signed-note)."""
COSIGNATURE: Final = 0x04
"""Signature type of a witness's Ed25519 cosignature (tlog-cosignature)."""
MAX_NOTE: Final = 64 * 1024
MAX_SIGNATURES: Final = 64
MAX_NAME: Final = 255
_DASH: Final = "— "
_KEY_SIZE: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteKey:
    """A public key under its name and signature type."""

    name: str
    type: int
    key: bytes
    """The 32 bytes of an Ed25519 public key (RFC 8032 §5.1.5)."""

    def __post_init__(self) -> None:
        check_key_name(self.name)
        if self.type not in {ED25519, COSIGNATURE} or len(self.key) != _KEY_SIZE:
            raise CheckpointInvalid("not an Ed25519 key of a log or a witness")

    @property
    def id(self) -> bytes:
        """The four bytes that stand before each of its signatures."""
        return hashlib.sha256(f"{self.name}\n".encode() + bytes([self.type]) + self.key).digest()[:4]

    def to_text(self) -> str:
        """As a verifier key: name, id and key, joined by plus signs."""
        return f"{self.name}+{self.id.hex()}+{base64.b64encode(bytes([self.type]) + self.key).decode('ascii')}"

    def holds(self, message: bytes, signature: bytes) -> bool:
        """Whether `signature` is this key's over `message`."""
        try:
            public = load_public_key({"kty": "OKP", "crv": "Ed25519", "x": b64url(self.key)})
        except InvalidToken:
            return False
        return signature_holds("EdDSA", public, message, signature)


def check_key_name(name: str) -> None:
    """Raises CheckpointInvalid for a name with spaces, plus signs or control characters, and for none at all."""
    if not 0 < len(name) <= MAX_NAME or "+" in name or any(c.isspace() or ord(c) < 0x20 or c == "\x7f" for c in name):
        raise CheckpointInvalid("the name of a key is empty, too long, or has a space or plus sign in it")


def read_key(text: str, *, type: int) -> NoteKey:
    """A verifier key of this signature type. Raises CheckpointInvalid: another form, type or id."""
    name, _, rest = text.partition("+")
    told, _, encoded = rest.partition("+")
    data = decode_base64(encoded)
    if len(data) != 1 + _KEY_SIZE or data[0] != type:
        raise CheckpointInvalid(f"not a verifier key of type {type}")
    key = NoteKey(name=name, type=type, key=data[1:])
    if told != key.id.hex():
        raise CheckpointInvalid("the id of a verifier key is not its own")
    return key


def decode_base64(text: str) -> bytes:
    """Standard base64 in its one spelling (RFC 4648 §4). Raises CheckpointInvalid."""
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError) as broken:
        raise CheckpointInvalid("not base64") from broken
    if base64.b64encode(data).decode("ascii") != text:
        raise CheckpointInvalid("base64 in another spelling than its own")
    return data


def decimal(text: str) -> int:
    """A number as ASCII digits without needless zeros, below 2^63. Raises CheckpointInvalid."""
    if not (text.isascii() and text.isdigit()) or len(text) > 19 or (text[0] == "0" and text != "0"):
        raise CheckpointInvalid("not a plain decimal number")
    if (number := int(text)) >= 2**63:
        raise CheckpointInvalid("a number of more than 63 bits")
    return number


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureLine:
    """One line under a note, not verified."""

    name: str
    id: bytes
    signature: bytes

    def to_text(self) -> str:
        """The line with its newline."""
        return f"{_DASH}{self.name} {base64.b64encode(self.id + self.signature).decode('ascii')}\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A note whose signatures nobody has verified yet."""

    text: str
    """With its last newline, without the empty line that ends it."""
    lines: tuple[SignatureLine, ...]

    def by(self, key: NoteKey) -> SignatureLine | None:
        """The first line of `key`; None where it did not sign."""
        return next((line for line in self.lines if line.name == key.name and line.id == key.id), None)

    def to_bytes(self) -> bytes:
        """The note as it is stored and sent."""
        return f"{self.text}\n{''.join(line.to_text() for line in self.lines)}".encode()

    def with_lines(self, more: Iterable[SignatureLine]) -> Note:
        """The note under these signatures as well; of one key the newest line stays."""
        lines = {(line.name, line.id): line for line in (*self.lines, *more)}
        return Note(text=self.text, lines=tuple(lines.values()))


def read_note(data: bytes) -> Note:
    """Take a note apart. Raises CheckpointInvalid: not UTF-8, too large, control characters, or of another form."""
    if type(data) is not bytes or len(data) > MAX_NOTE:
        raise CheckpointInvalid(f"a note is at most {MAX_NOTE} bytes")
    try:
        whole = data.decode("utf-8")
    except UnicodeDecodeError as broken:
        raise CheckpointInvalid("a note is UTF-8") from broken
    if any(character < " " and character != "\n" for character in whole):
        raise CheckpointInvalid("a note has control characters in it")
    text, gap, signatures = whole.rpartition("\n\n")
    if not gap or not signatures:
        raise CheckpointInvalid("a note without signatures")
    return Note(text=f"{text}\n", lines=read_lines(signatures))


def read_lines(text: str) -> tuple[SignatureLine, ...]:
    """Signature lines, each with its newline. Raises CheckpointInvalid."""
    if not text.endswith("\n") or text.count("\n") > MAX_SIGNATURES:
        raise CheckpointInvalid(f"one to {MAX_SIGNATURES} signature lines, each with its newline")
    return tuple(_line(line) for line in text[:-1].split("\n"))


def _line(line: str) -> SignatureLine:
    name, space, encoded = line.removeprefix(_DASH).partition(" ")
    if not line.startswith(_DASH) or not space:
        raise CheckpointInvalid("not a signature line")
    check_key_name(name)
    data = decode_base64(encoded)
    if len(data) < 5:
        raise CheckpointInvalid("a signature line without a signature")
    return SignatureLine(name=name, id=data[:4], signature=data[4:])


def sign_note(text: str, *, key: NoteKey, signer: Signer) -> Note:
    """`text` under one signature of a log's key, whose private half `signer` holds."""
    signature = signer.sign(text.encode())
    return Note(text=text, lines=(SignatureLine(name=key.name, id=key.id, signature=signature),))
