"""Making room for a signature in a stranger's PDF, in a program of its own that is allowed little and trusted less."""

from __future__ import annotations

import json
from threading import BoundedSemaphore
from typing import Final

from broker import confined
from broker.errors import DocumentRefused, StoreUnavailable
from broker.pades import child
from broker.pades.placeholder import RESERVED, Placeholder

MAX_PDF: Final = 5 * 1024 * 1024
"""Octets."""
SECONDS: Final = 15.0
"""How long a document may take, with the wait for its turn."""
_CHILDREN: Final = BoundedSemaphore(2)
_MOST_ADDED: Final = RESERVED + 256 * 1024
"""A revision with one signature; a page of annotations is written anew in it."""
_PDF: Final = b"%PDF-"


def prepare(document: bytes) -> Placeholder:
    """`document` with one revision more that has room for a signature, and nothing else in it changed.

    Raises DocumentRefused (its message says why), StoreUnavailable: no room to judge it now.
    """
    if len(document) > MAX_PDF:
        raise DocumentRefused(f"a PDF of more than {MAX_PDF} octets")
    if not document.startswith(_PDF):
        raise DocumentRefused("not a PDF")
    made = _made(document)
    line, newline, pdf = made.partition(b"\n")
    try:
        offsets = json.loads(line)
        placeholder = Placeholder(pdf=pdf, **{name: int(offsets[name]) for name in ("size", "start", "end", "time")})
    except (ValueError, KeyError, TypeError) as broken:
        raise DocumentRefused("the PDF could not be judged") from broken
    # The child has touched hostile bytes: it is believed only that it appended.
    if not newline or placeholder.size != len(document) or placeholder.document != document:
        raise DocumentRefused("the PDF could not be judged")
    return placeholder


def _made(document: bytes) -> bytes:
    done = confined.run(child.__name__, document, seconds=SECONDS, room=_CHILDREN)
    if done.status == child.NOT_INSTALLED:
        raise StoreUnavailable("pyHanko is not installed: no PDF can be signed")
    if done.status in child.REFUSALS:
        raise DocumentRefused(f"PDF: {child.REFUSALS[done.status]}")
    if done.status is None:  # its own bound on processor time has not been reached: too much is going on here
        raise StoreUnavailable("no room to judge the document in time")
    if done.status != 0 or len(done.output) > len(document) + _MOST_ADDED:
        raise DocumentRefused("the PDF could not be judged")
    return done.output
