"""The record on paper: an unsigned PDF/A-3u with the record's exact bytes attached.

A pure function of the record, the template and the fonts (`template_hash` names all but the record), so that anybody
who has them can make the same bytes again and compare. Names are data to typst and never markup.
"""

from __future__ import annotations

import hashlib
import json
import threading
import unicodedata
from collections.abc import Iterator, Sequence
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import segno

from broker import confined
from broker.delegation import lookup, rendering_child, vocabulary
from broker.errors import InvalidToken, RecordUnprintable, SettingsError
from broker.jose import parse_json

MAX_RECORD: Final = 256 * 1024
TEMPLATE: Final = Path(__file__).with_name("template") / "record.typ"
FONTS: Final = (
    Path("/usr/share/fonts/opentype/ipaexfont-gothic/ipaexg.ttf"),
    Path("/usr/share/fonts/truetype/ipamj/ipamjm.ttf"),
)
"""Where Debian puts IPAexGothic, and IPAmjMincho for the characters of family registers (戸籍)."""
SECONDS: Final = 120.0
"""For a second process, which loads 50 MB of fonts."""

_STANDARD: Final = "a-3u"
_INVISIBLE: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_VARIATION_SELECTORS: Final = frozenset(range(0xE0100, 0xE01F0)) | frozenset(range(0xFE00, 0xFE10))
_ROOM: Final = threading.BoundedSemaphore(1)


def compiler(source: bytes, *, root: Path, fonts: Sequence[Path]) -> tuple[Any, Any]:
    """The typst module and a compiler of `source` with these fonts alone. Raises SettingsError: typst is missing."""
    try:
        import typst  # noqa: PLC0415 -- extra [pades]: only who seals or prints needs it
    except ImportError as absent:
        raise SettingsError("typst is not installed (extra [pades])") from absent
    folders = sorted({str(font.parent) for font in fonts})
    known = typst.Fonts(include_system_fonts=False, include_embedded_fonts=False, font_paths=folders)
    return typst, typst.Compiler(source, root=root, font_paths=known)


class Renderer:
    """Prints records with one template and one set of fonts. Threads share it; one prints at a time."""

    def __init__(self, *, fonts: Sequence[Path] = FONTS, template: Path = TEMPLATE) -> None:
        """Raises SettingsError: typst (extra [pades]) or a font is missing."""
        self._lock, self._fonts = threading.Lock(), tuple(fonts)
        self._words = vocabulary.table()
        try:
            self._source = template.read_bytes()
            digests = [hashlib.sha256(font.read_bytes()).hexdigest() for font in fonts]
        except OSError as missing:
            raise SettingsError(f"{missing.filename}: a font or the template cannot be read") from missing
        self._typst, self._compiler = compiler(self._source, root=template.parent, fonts=fonts)
        identity = {
            "fonts": digests,
            "qr": version("segno"),
            "standard": _STANDARD,
            "template": hashlib.sha256(self._source).hexdigest(),
            "typst": version("typst"),
            "words": hashlib.sha256(self._words.encode()).hexdigest(),
        }
        self.template_hash = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
        """Of everything that the bytes depend on beside the record: stands in the record as `template.sha256`."""

    def render(self, record: bytes) -> bytes:
        """The PDF of `record` (JSON with an `issued_at`, RFC 3339). Raises RecordUnprintable."""
        parsed = _checked(record)
        inputs = {
            "record": record.decode("utf-8"),
            "digest": hashlib.sha256(record).hexdigest(),
            "words": self._words,
            **_looked_up(record, parsed),
        }
        try:
            with self._lock:
                made = self._compiler.compile(
                    self._source,  # given again: a compiler forgets bytes with each document
                    format="pdf",
                    sys_inputs=inputs,
                    pdf_standards=[_STANDARD],
                    timestamp=_issued_at(parsed),
                )
        except self._typst.TypstError as refused:
            # its words may quote a name: they stay here
            raise RecordUnprintable("a character of the record is in no font, or the record does not fit") from refused
        if not isinstance(made, bytes):
            raise RecordUnprintable("the record made no document")
        return made

    def rendered_apart(self, record: bytes) -> bytes:
        """The same by a second process that shares nothing with this one. Raises RecordUnprintable."""
        question = rendering_child.written(record, fonts=self._fonts)
        done = confined.run(rendering_child.__name__, question, seconds=SECONDS, room=_ROOM)
        if done.status != 0 or not done.output:
            raise RecordUnprintable("a second process made no document of the record")
        return done.output


def _checked(record: bytes) -> dict[str, Any]:
    try:
        parsed = parse_json(record, limit=MAX_RECORD)
    except InvalidToken as broken:
        raise RecordUnprintable("the record is not strict JSON") from broken
    for text in _texts(parsed):
        for character in text:
            if unicodedata.category(character) in _INVISIBLE and ord(character) not in _VARIATION_SELECTORS:
                raise RecordUnprintable("the record holds a character that is not seen on paper")
        if not unicodedata.is_normalized("NFC", text):
            raise RecordUnprintable("a text of the record has more than one form (not NFC)")
    return parsed


def _looked_up(record: bytes, parsed: dict[str, Any]) -> dict[str, str]:
    """Where its issuer answers for it, as the modules of a QR code, and the code. Nothing for what has no number."""
    try:
        signed_text = next(parsed[name] for name in ("grant", "statement") if name in parsed)
        signed = parse_json(signed_text.encode(), limit=MAX_RECORD)
        code = lookup.check_code(record)
        drawn = segno.make(lookup.address(signed["issuer"], signed["number"], code), error="m", micro=False, mask=3)
    except (AttributeError, InvalidToken, KeyError, StopIteration, TypeError, ValueError):
        return {}
    return {"check": code, "qr": "".join("1" if dark else "0" for row in drawn.matrix for dark in row)}


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from value
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)


def _issued_at(record: dict[str, Any]) -> int:
    """Seconds since 1970, from the record itself: a clock would make two documents of one record."""
    try:
        issued = datetime.fromisoformat(record["issued_at"])
    except (KeyError, TypeError, ValueError) as missing:
        raise RecordUnprintable("the record does not say when it was issued") from missing
    if issued.tzinfo is None:
        raise RecordUnprintable("the record's issued_at has no zone")
    return int(issued.timestamp())
