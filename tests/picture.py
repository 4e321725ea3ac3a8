"""PNG pictures of pages made small: sixteen colours are enough for text on white (ISO/IEC 15948).

`python -m tests.picture FOLDER` does it to every picture there that has more.
"""

from __future__ import annotations

import struct
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLOURS = 16


def few_colours(png: bytes) -> bytes:
    """An 8-bit RGB or RGBA picture without interlacing as one with a palette of sixteen colours."""
    pixels = _pixels(png)[:, :, :3].astype(np.int32)
    height, width = pixels.shape[:2]
    coarse = (pixels >> 3) << 3
    flat = coarse.reshape(-1, 3)
    values, counts = np.unique(flat, axis=0, return_counts=True)
    palette = _spread(values, counts)
    nearest = np.argmin(((values[:, None, :] - palette[None, :, :]) ** 2).sum(axis=2), axis=1)
    keys = (values[:, 0] << 16) | (values[:, 1] << 8) | values[:, 2]
    order = np.argsort(keys)
    found = (flat[:, 0] << 16) | (flat[:, 1] << 8) | flat[:, 2]
    indexes = nearest[order][np.searchsorted(keys[order], found)].reshape(height, width).astype(np.uint8)
    if width % 2:
        indexes = np.pad(indexes, ((0, 0), (0, 1)))
    packed = (indexes[:, 0::2] << 4) | indexes[:, 1::2]
    rows = np.pad(packed, ((0, 0), (1, 0))).tobytes()  # each row begins with its filter: none
    bright = np.where(palette >= 248, 255, palette).astype(np.uint8)
    return _SIGNATURE + b"".join(
        (
            _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 4, 3, 0, 0, 0)),
            _chunk(b"PLTE", bright.tobytes()),
            _chunk(b"IDAT", zlib.compress(rows, 9)),
            _chunk(b"IEND", b""),
        )
    )


def _spread(values: Any, counts: Any) -> Any:
    """Colours that occur often and lie apart from one another."""
    chosen = [int(np.argmax(counts))]
    distance = ((values - values[chosen[0]]) ** 2).sum(axis=1)
    for _ in range(min(_COLOURS, len(values)) - 1):
        chosen.append(int(np.argmax(distance * np.sqrt(counts))))
        distance = np.minimum(distance, ((values - values[chosen[-1]]) ** 2).sum(axis=1))
    return values[chosen]


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _pixels(png: bytes) -> Any:
    if not png.startswith(_SIGNATURE):
        raise ValueError("not a PNG")
    place, data, head = len(_SIGNATURE), b"", b""
    while place < len(png):
        (length,) = struct.unpack(">I", png[place : place + 4])
        kind, body = png[place + 4 : place + 8], png[place + 8 : place + 8 + length]
        head = body if kind == b"IHDR" else head
        data += body if kind == b"IDAT" else b""
        place += 12 + length
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", head)
    if depth != 8 or colour not in {2, 6} or interlaced:
        raise ValueError("8-bit RGB or RGBA without interlacing")
    each = 3 if colour == 2 else 4
    rows = np.frombuffer(zlib.decompress(data), np.uint8).reshape(height, 1 + width * each)
    before = np.zeros(width * each, np.uint8)
    found = np.empty((height, width * each), np.uint8)
    for number, row in enumerate(rows):
        found[number] = before = _unfiltered(int(row[0]), row[1:], before, each)
    return found.reshape(height, width, each)


def _unfiltered(kind: int, row: Any, above: Any, each: int) -> Any:
    """ISO/IEC 15948 §9.2."""
    if kind == 0:
        return row
    if kind == 2:
        return row + above
    if kind == 1:
        return np.cumsum(row.reshape(-1, each), axis=0, dtype=np.uint8).reshape(-1)
    out = np.zeros(len(row) + each, np.int32)
    upper = np.concatenate([np.zeros(each, np.int32), above.astype(np.int32)])
    for place in range(each, len(out)):
        left, up, corner = int(out[place - each]), int(upper[place]), int(upper[place - each])
        predicted = (left + up) // 2 if kind == 3 else _paeth(left, up, corner)
        out[place] = (int(row[place - each]) + predicted) & 255
    return out[each:].astype(np.uint8)


def _paeth(left: int, up: int, corner: int) -> int:
    estimate = left + up - corner
    return min((left, up, corner), key=lambda one: abs(estimate - one))


def main(folder: Path) -> None:
    """Make every picture of the folder small; one with a palette is small already."""
    for path in sorted(folder.glob("*.png")):
        picture = path.read_bytes()
        if picture[25] != 3:  # the colour type in IHDR
            path.write_bytes(few_colours(picture))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
