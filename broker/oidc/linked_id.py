"""`linked_id`: a client's own number for a person, and the shape that the client registered for it (design 4.11)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final

from broker.errors import InvalidClientMetadata, LinkedIDRefused

SCOPE: Final = "linked_id"
UNIQUE_PERSON: Final = "unique_person"
"""Said with the number where J-LIS's mapping has shown that the account is the only one of its person."""
MAX_VALUE: Final = 64
MAX_LABEL: Final = 40
"""Characters."""
_VALUE: Final = re.compile(r"[\x21-\x7e]{1,64}")
_UNSEEN: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")
_PIECE: Final = re.compile(
    r"(?P<set>\[(?:[A-Za-z0-9](?:-[A-Za-z0-9])?)+\]|\\d|[A-Za-z0-9_:/~-]|\\\.)"
    r"(?:\{(?P<least>[0-9]{1,2})(?:,(?P<most>[0-9]{1,2}))?\})?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class IDPattern:
    """The shape of a service's numbers, in the small part of regular expressions that cannot run away.

    Pieces one after another, each a character, `\\d` or a `[…]` of ASCII letters and digits, with `{n}` or `{n,m}`: no
    alternatives, groups, stars. At most two pieces vary in length.
    """

    text: str

    def __post_init__(self) -> None:
        """Raises InvalidClientMetadata, also where twelve bare digits would pass (a 個人番号 has that shape)."""
        varying = longest = position = 0
        while position < len(self.text):
            piece = _PIECE.match(self.text, position)
            if piece is None:
                raise InvalidClientMetadata("linked_id_pattern: pieces like [A-Z]{2}, \\d{6,8} or - one after another")
            least = int(piece["least"] or 1)
            most = int(piece["most"] or least)
            varying += most != least
            longest += most
            position = piece.end()
            if most < least:
                raise InvalidClientMetadata("linked_id_pattern: {n,m} with n <= m")
        if not 1 <= longest <= MAX_VALUE or varying > 2 or len(self.text) > 256:
            raise InvalidClientMetadata(f"linked_id_pattern: at most {MAX_VALUE} characters, two pieces that vary")
        try:
            shape = re.compile(self.text)
        except re.error:
            raise InvalidClientMetadata("linked_id_pattern: a range runs backwards") from None
        if _admits_twelve_digits(self.text):
            raise InvalidClientMetadata("linked_id_pattern: twelve bare digits are the shape of a 個人番号")
        if shape.fullmatch("") is not None:
            raise InvalidClientMetadata("linked_id_pattern: nothing at all would pass")

    def admits(self, value: str) -> bool:
        """Whether `value` has this shape."""
        return len(value) <= MAX_VALUE and re.fullmatch(self.text, value) is not None


def _admits_twelve_digits(text: str) -> bool:
    """Whether some text of twelve digits, hyphens between them aside, has the shape."""
    lengths = {0}
    for piece in _PIECE.finditer(text):
        least = int(piece["least"] or 1)
        most = int(piece["most"] or least)
        if piece["set"] == "-":
            continue
        digits = any(re.fullmatch(piece["set"], digit) for digit in "0123456789")
        if not digits and least:
            return False
        lengths = {length + more for length in lengths for more in (range(least, most + 1) if digits else (0,))}
    return 12 in lengths


def check_value(value: str, pattern: IDPattern) -> None:
    """Refuse what cannot be a number of this service. Raises LinkedIDRefused."""
    if not _VALUE.fullmatch(value):
        raise LinkedIDRefused(f"linked_id: 1 to {MAX_VALUE} visible ASCII characters")
    if not pattern.admits(value):
        raise LinkedIDRefused("linked_id has another shape than the client's linked_id_pattern")


def check_label(label: str) -> None:
    """What the service calls its number on the pages. Raises LinkedIDRefused."""
    if len(label) > MAX_LABEL or _UNSEEN.search(label) or label != label.strip():
        raise LinkedIDRefused(f"label: at most {MAX_LABEL} characters that can be seen")


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkedID:
    """What a client is told of the link that it has with a person."""

    value: str = field(repr=False)
    issuer: str | None = None
    """The client whose number it is, where another one may read it."""
    unique_person: bool = False

    def claims(self) -> dict[str, Any]:
        """`linked_id` is the client's own number as it gave it, or `{issuer, value}` of another's."""
        told: Any = self.value if self.issuer is None else {"issuer": self.issuer, "value": self.value}
        return {SCOPE: told} | ({UNIQUE_PERSON: True} if self.unique_person else {})
