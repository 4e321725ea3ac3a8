"""`python -m sandbox client FILE` is the operator's hand for whoever tries a service of their own."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from click.testing import CliRunner

from sandbox.__main__ import main
from sandbox.broker import BrokerHouse, set_up
from sandbox.generate import generate

SERVICE = {
    "client_id": "my-service",
    "redirect_uris": ["http://127.0.0.9:9000/callback"],
    "token_endpoint_auth_method": "client_secret_basic",
    "client_secret": "a secret of at least thirty-two letters",
    "vetted": True,
    "profile": "oidc",
}


def test_a_service_is_introduced_once_and_a_wrong_description_refused_in_words(tmp_path: Path) -> None:
    root, file = tmp_path / "root", tmp_path / "service.json"

    def run(described: object) -> tuple[int, str]:
        file.write_text(json.dumps(described), encoding="utf-8")
        done = CliRunner().invoke(main, ["client", str(file), "--root", str(root)])
        return done.exit_code, done.output

    assert run(SERVICE) == (1, "Error: no sandbox here yet: `make run` makes one\n")
    generate(root, datetime.now(UTC))
    set_up(BrokerHouse(root=root, issuer="http://localhost:8000", agent_origins=("http://127.0.0.1:1",), port=8000), ())
    assert run(SERVICE) == (0, "my-service: registered\n")
    assert run(SERVICE) == (0, "my-service: there already\n")
    other = run(SERVICE | {"redirect_uris": ["http://127.0.0.9:9000/other"]})
    assert other == (1, "Error: my-service is there already, with other keys or addresses: take another name\n")
    assert run(SERVICE | {"client_id": "x", "redirect_uri": "http://one"})[0] == 1
    assert "unknown member redirect_uri" in run(SERVICE | {"client_id": "x", "redirect_uri": "http://one"})[1]
    file.write_text("{", encoding="utf-8")
    assert CliRunner().invoke(main, ["client", str(file), "--root", str(root)]).exit_code == 1
