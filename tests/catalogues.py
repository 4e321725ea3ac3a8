"""Compiled texts for whoever runs one file by itself: `make test` has compiled them before any test begins."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po


def compile_stale(translations: Path) -> None:
    """Compile what is newer than its compiled form, each whole or not at all: several workers may read it."""
    for source in translations.glob("*/LC_MESSAGES/messages.po"):
        compiled = source.with_suffix(".mo")
        if compiled.exists() and compiled.stat().st_mtime >= source.stat().st_mtime:
            continue
        with source.open("rb") as text:
            catalogue = read_po(text)
        written = BytesIO()
        write_mo(written, catalogue)
        beside = compiled.with_suffix(".mo.new")
        beside.write_bytes(written.getvalue())
        beside.replace(compiled)
