"""Style sheets and pictures go over the wire compressed. They hold no secret, so nothing is learned from their length;
pages, which do, are never compressed here.
"""

from __future__ import annotations

import gzip
from functools import lru_cache
from typing import Final

from flask import Response, request

_TEXT: Final = {"text/css", "text/javascript", "image/svg+xml"}


def compress(response: Response) -> Response:
    """A static file of text, for browsers that take gzip (RFC 9110 §8.4.1)."""
    if request.endpoint != "web.static" or response.mimetype not in _TEXT:
        return response
    response.headers["Vary"] = "Accept-Encoding"
    etag, _ = response.get_etag()
    if etag is not None:
        response.set_etag(etag, weak=True)  # one tag for both forms (RFC 9110 §8.8.1)
    if response.status_code == 200 and request.accept_encodings["gzip"] > 0:
        response.direct_passthrough = False
        plain = b"".join(response.iter_encoded())
        response.close()  # the file
        response.set_data(_compressed(plain))
        response.headers["Content-Encoding"] = "gzip"
    return response


@lru_cache(maxsize=64)
def _compressed(data: bytes) -> bytes:
    return gzip.compress(data, 9, mtime=0)
