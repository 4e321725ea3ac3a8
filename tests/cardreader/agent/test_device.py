"""The key of a terminal that everybody uses: made once, kept to itself, and what it signs."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jwt
import pytest
from click.testing import CliRunner

from cardreader.__main__ import main
from cardreader.agent.device import device_key
from cardreader.agent.kiosk import KioskRefused

posix_only = pytest.mark.skipif(os.name != "posix", reason="missing: POSIX file modes")


@posix_only
def test_the_key_is_made_once_and_nobody_else_may_read_it(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    first = device_key(folder)
    assert device_key(folder).public == first.public
    assert first.public.keys() == {"kty", "crv", "x", "y"}
    (file,) = folder.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.chmod(0o640)
    with pytest.raises(KioskRefused, match="chmod 0600"):
        device_key(folder)


def test_two_starts_at_once_agree_on_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        keys = list(pool.map(lambda _: json.dumps(device_key(tmp_path).public), range(8)))
    assert len(set(keys)) == 1
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("content", [b"", b"no key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_a_damaged_key_is_told_and_never_replaced(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "kiosk-key.pem"
    file.write_bytes(content)
    file.chmod(0o600)
    with pytest.raises(KioskRefused, match="holds no key"):
        device_key(tmp_path)
    assert file.read_bytes() == content


def test_the_signature_names_broker_transaction_and_the_whole_answer(tmp_path: Path) -> None:
    key = device_key(tmp_path)
    signed = key.sign({"b": ["y"], "a": "x"}, issuer="https://b.example", transaction="t" * 22)
    public = jwt.PyJWK({**key.public, "alg": "ES256"})
    claims = jwt.decode(signed, public, algorithms=["ES256"], audience="https://b.example")
    digest = hashlib.sha256(b'{"a":"x","b":["y"]}').digest()
    assert claims == {
        "aud": "https://b.example",
        "jti": "t" * 22,
        "answer": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
    }
    assert jwt.get_unverified_header(signed)["typ"] == "kiosk-answer+jwt"


def test_the_command_prints_the_public_half_alone(tmp_path: Path) -> None:
    printed = CliRunner().invoke(main, ["kiosk-key", "--state", str(tmp_path)])
    assert printed.exit_code == 0
    assert json.loads(printed.output) == device_key(tmp_path).public
