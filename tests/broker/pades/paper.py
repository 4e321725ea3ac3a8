"""PDFs written out by hand, so that each test says what stands in the file."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pyhanko.sign.validation import validate_pdf_signature

CATALOG = "<< /Type /Catalog /Pages 2 0 R >>"
PAGES = "<< /Type /Pages /Kids [3 0 R] /Count 1 >>"
PAGE = (
    "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 300 200] /Contents 4 0 R "
    "/Resources << /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >> >>"
)
DRAWN = "BT /F1 18 Tf 20 150 Td (I agree.) Tj ET"
CONTENTS = f"<< /Length {len(DRAWN)} >>\nstream\n{DRAWN}\nendstream"


def paper(objects: Mapping[int, str] | None = None, *, trailer: str = "") -> bytes:
    """A one-page document with `objects` added, or in the place of its own (1 catalog, 2 pages, 3 page, 4 contents)."""
    bodies = {1: CATALOG, 2: PAGES, 3: PAGE, 4: CONTENTS} | dict(objects or {})
    out = bytearray(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")
    places = {}
    for number, body in sorted(bodies.items()):
        places[number] = len(out)
        out += f"{number} 0 obj\n{body}\nendobj\n".encode("latin-1")
    start = len(out)
    size = max(bodies) + 1
    out += f"xref\n0 {size}\n0000000000 65535 f \n".encode()
    for number in range(1, size):
        out += f"{places[number]:010d} 00000 n \n".encode() if number in places else b"0000000000 00000 f \n"
    out += f"trailer\n<< /Size {size} /Root 1 0 R {trailer} >>\nstartxref\n{start}\n%%EOF\n".encode()
    return bytes(out)


def with_catalog(members: str, objects: Mapping[int, str] | None = None) -> bytes:
    """The document with more in its catalog."""
    return paper({1: f"<< /Type /Catalog /Pages 2 0 R {members} >>", **(objects or {})})


def with_page(members: str, objects: Mapping[int, str] | None = None) -> bytes:
    """The document with more in its page."""
    return paper({3: PAGE.removesuffix(">>") + members + " >>", **(objects or {})})


def pyhanko_says(*arguments: Any, **options: Any) -> Any:
    """pyHanko's verdict; in a thread, because it runs a loop and a browser's may be running in ours."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(validate_pdf_signature, *arguments, **options).result()
