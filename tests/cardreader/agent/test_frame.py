"""The frame, held to vectors that neither this program nor the broker has made."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from cardreader.agent.frame import build_frame

VECTORS = json.loads((Path(__file__).parents[2] / "vectors/card-frame/frames.json").read_text(encoding="utf-8"))


def _raw(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_frame_is_the_published_one_byte_for_byte(vector: dict[str, Any]) -> None:
    frame = build_frame(
        tag=vector["tag"],
        issuer=vector["issuer"],
        origin=vector["origin"],
        request_key_thumbprint=vector["request_key_thumbprint"],
        nonce=_raw(vector["nonce"]),
        client_id=vector["client_id"],
        transaction=vector["transaction"],
        action=vector["action"],
        previous=_raw(vector["previous"]),
        issued_at_ms=vector["issued_at_ms"],
        certificate=_raw(vector["certificate"]),
    )
    assert frame.hex() == vector["frame"]
    assert hashlib.sha256(frame).hexdigest() == vector["sha256"]
