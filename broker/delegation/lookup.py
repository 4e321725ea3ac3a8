"""How a document is found again by what is printed on it: its number, and a code that only its record has.

The number alone may be known to others (a service that was asked under it, a chain's next link); the code is of the
record's very bytes, so it shows that whoever asks has the document, and that both mean the same one.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlencode

PATH: Final = "/verify"
DIGITS: Final = 16
"""Hexadecimal ones: the number beside it is what nobody can guess."""
LONGEST: Final = 64
"""Of a code as it is typed, with the spaces and hyphens that people put in."""


def check_code(record: bytes) -> str:
    """照合コード: the first digits of the record's SHA-256, which stands on every page."""
    return hashlib.sha256(record).hexdigest()[:DIGITS]


def agrees(code: str, record: bytes) -> bool:
    """Whether somebody who typed `code` has this record before them; the whole SHA-256 serves as well."""
    typed = "".join(each for each in code[:LONGEST].lower() if each not in " -\u3000").encode("utf-8", "replace")
    known = hashlib.sha256(record).hexdigest().encode()
    return any(hmac.compare_digest(typed, each) for each in (known, known[:DIGITS]))


def address(issuer: str, number: str, code: str, asked: Mapping[str, str] | None = None) -> str:
    """Where the document's issuer answers for it; with a question, the answer to that."""
    return f"{issuer}{PATH}?{urlencode({'number': number, 'check': code, **(asked or {})})}"
