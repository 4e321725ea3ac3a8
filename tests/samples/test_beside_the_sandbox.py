"""Samples run beside `make run`: nothing of theirs is its own already."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from sandbox import contracts, television

SAMPLES = Path(__file__).parents[2] / "samples"
HOSTS = {"127.0.0.1", "127.0.0.2", "127.0.0.3", television.HOST, urlsplit(contracts.REDIRECT_URI).hostname}
CLIENTS = {"bank", "clinic", contracts.CLIENT_ID, television.CLIENT_ID}


@pytest.mark.parametrize("name", ["account-opening/open_account.py", "signing/sign_documents.py"])
def test_a_sample_has_a_name_and_an_address_that_make_run_leaves_free(name: str, tmp_path: Path) -> None:
    command = [sys.executable, str(SAMPLES / name), "--registration"]
    told = json.loads(subprocess.run(command, cwd=tmp_path, check=True, capture_output=True).stdout)
    assert told["client_id"] not in CLIENTS
    assert urlsplit(told["redirect_uris"][0]).hostname not in HOSTS
