"""The sample that opens an account does so at a running broker, with the residents' own software cards."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from bench.servers import Servers, running
from sandbox.residents import RESIDENTS_FILE, load_residents
from tests.samples.sample import Sample


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return Sample("account-opening/open_account.py", "127.0.0.6", tmp_path_factory.mktemp("sample"))


@pytest.fixture(scope="module")
def servers(sample: Sample, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    with running(tmp_path_factory.mktemp("samples"), workers=1, registrations=[sample.registration()]) as up:
        yield up


@pytest.mark.parametrize("name", ["hanako", "hanbun"])
def test_an_account_is_opened_with_what_stands_on_the_card(sample: Sample, servers: Servers, name: str) -> None:
    (person,) = [one for one in load_residents(RESIDENTS_FILE.read_bytes()).residents if one.name == name]
    status, told = sample.run(servers, name)
    assert status == 0, told
    form = json.loads(told)
    assert form["name"] in str(person), "the name as it stands in residents.toml"
    assert form["proved_by"] == "aal3"
    assert form["address"]
    said = sample.checked_receipt()
    assert (said["kind"], said["sub"]) == ("proof", form["customer"])
    assert [each["use"] for each in said["certificates"]] == ["user-authentication", "digital-signature"]
    assert len(said["signed"]["documents"]) == 1, "the application that the resident signed"
    assert form["name"] not in json.dumps(said, ensure_ascii=False)


def test_the_sample_s_key_is_its_own(sample: Sample, servers: Servers) -> None:
    key = sample.state / "client-key.pem"
    assert key.stat().st_mode & 0o077 == 0
    kept = key.read_bytes()
    key.unlink()
    try:
        status, told = sample.without_resident(servers)
    finally:
        key.write_bytes(kept)
    assert status == 1
    assert "invalid_client" in told
