"""A second process that prints a record: it reads what `written` wrote, and writes the PDF."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path


def written(record: bytes, *, fonts: Sequence[Path]) -> bytes:
    """The question: a line of JSON, then the record."""
    return json.dumps({"fonts": [str(font) for font in fonts]}).encode() + b"\n" + record


def main() -> None:
    from broker.delegation.rendering import Renderer  # noqa: PLC0415 -- which knows this module by name

    head, _, record = sys.stdin.buffer.read().partition(b"\n")
    renderer = Renderer(fonts=[Path(font) for font in json.loads(head)["fonts"]])
    sys.stdout.buffer.write(renderer.render(record))


if __name__ == "__main__":
    main()
