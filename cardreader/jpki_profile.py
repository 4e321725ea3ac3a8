"""What one generation of the card is: its algorithm, its files and its ways to sign, as one object.

The next generation (次期個人番号カード) is announced with ECDSA on P-384; its commands are not published. It will
be another object here and not another driver.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from types import MappingProxyType

from cardreader.errors import NotJPKICard


class CardKind(Enum):
    """What carries the application, told by the token label."""

    PLASTIC = "plastic"
    ANDROID = "android"
    IPHONE = "iphone"
    JUKI = "juki"  # old 住基カード, refused

    @property
    def is_phone(self) -> bool:
        """A phone shows its certificate only after the PIN."""
        return self in (CardKind.ANDROID, CardKind.IPHONE)


class SigningMode(IntEnum):
    """P1 of PERFORM SECURITY OPERATION: who hashes, and what is put around the hash. Any other P1 answers 6A86."""

    PKCS1_PADDING = 0  # the card pads what it is handed: our DigestInfo. The only one that every known tool has used
    CARD_HASH_BARE = 1  # the card hashes and pads the bare hash: no standard scheme, here for completeness
    PKCS1_HASH = 2  # a hash goes in, the card puts DigestInfo around it
    PKCS1_CARD_HASH = 3  # the card hashes and puts DigestInfo around
    PSS_HASH = 4  # a hash goes in, RSASSA-PSS with a salt of 32 bytes comes out
    PSS_CARD_HASH = 5

    @property
    def card_hashes(self) -> bool:
        """The message itself goes to the card, which limits its length."""
        return self in (SigningMode.CARD_HASH_BARE, SigningMode.PKCS1_CARD_HASH, SigningMode.PSS_CARD_HASH)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFiles:
    """One key and what belongs to it: two-byte file identifiers, each also a short identifier of 01 to 1E."""

    certificate: int
    ca_certificate: int
    key: int
    pin: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CardProfile:
    """One generation of the card."""

    aid: bytes
    algorithm: str  # JWA name (RFC 7518) of what the keys make in the default mode
    hash_name: str  # hashlib's
    digest_prefix: bytes  # goes before the hash in the default mode
    signature_length: int  # bytes
    modes: frozenset[SigningMode]
    auth: KeyFiles
    sign: KeyFiles
    token_info: int
    presence: int
    labels: Mapping[str, CardKind] = field(repr=False)

    def kind(self, label: str) -> CardKind:
        """The kind of card that bears this token label. Raises NotJPKICard for an unknown one."""
        try:
            return self.labels[label]
        except KeyError:
            raise NotJPKICard("the token label is not one of a JPKI card") from None

    def signing_input(self, message: bytes, mode: SigningMode) -> bytes:
        """The data field that makes the card sign `message`. Raises ValueError for a mode this card has not."""
        if mode not in self.modes:
            raise ValueError(f"{self.algorithm} cards have no signing mode {mode.value:02X}")
        if mode.card_hashes:
            return message
        digest = hashlib.new(self.hash_name, message).digest()
        return self.digest_input(digest) if mode is SigningMode.PKCS1_PADDING else digest

    def digest_input(self, digest: bytes) -> bytes:
        """The data field that makes the card sign `digest` in the default mode. Raises ValueError for other lengths."""
        if len(digest) != hashlib.new(self.hash_name).digest_size:
            raise ValueError(f"not a {self.hash_name} digest")
        return self.digest_prefix + digest


RSA_2048 = CardProfile(
    aid=bytes.fromhex("D392F000260100000001"),
    algorithm="RS256",
    hash_name="sha256",
    digest_prefix=bytes.fromhex("3031300d060960864801650304020105000420"),  # RFC 8017 section 9.2 note 1
    signature_length=256,
    modes=frozenset(SigningMode),
    auth=KeyFiles(certificate=0x000A, ca_certificate=0x000B, key=0x0017, pin=0x0018),
    sign=KeyFiles(certificate=0x0001, ca_certificate=0x0002, key=0x001A, pin=0x001B),
    token_info=0x0006,
    presence=0x0008,
    labels=MappingProxyType(
        {
            "JPKIAPICCTOKEN2": CardKind.PLASTIC,
            "JPKIAPICCTOKEN": CardKind.JUKI,
            "JPKIAPGPSETOKEN": CardKind.ANDROID,
            "JPKIAPIOSTOKEN": CardKind.IPHONE,
        }
    ),
)

P_384 = CardProfile(
    # Nothing of this is published but the algorithm: the files of today's card, the bare hash in, r and s out
    # (BSI TR-03111 section 5.2.1). It shows that the driver asks the profile, not that such a card will answer so.
    aid=RSA_2048.aid,
    algorithm="ES384",
    hash_name="sha384",
    digest_prefix=b"",
    signature_length=96,
    modes=frozenset({SigningMode.PKCS1_PADDING}),
    auth=RSA_2048.auth,
    sign=RSA_2048.sign,
    token_info=RSA_2048.token_info,
    presence=RSA_2048.presence,
    labels=RSA_2048.labels,
)
