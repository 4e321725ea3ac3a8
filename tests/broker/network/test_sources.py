"""The file of sources: what it may say, and that every wrong word stops the start by its name."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from broker.errors import OutboundFailed, SettingsError
from broker.network.configuration import Nonce, RevocationPolicy, Sources, read_sources
from broker.network.outbound import OutboundGuard
from broker.network.source import FileFetcher
from tests.broker.jpki.hierarchy import CA

POINT = "CN=Chiyoda CRLDP,O=JPKI-TEST,C=JP"
ROOT = CA("Root")
HASH = ROOT.key_hash.hex()


def read(folder: Path, document: Any, name: str = "sources.json") -> Sources:
    path = folder / name
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return read_sources(path, OutboundGuard(), anchors=[ROOT.der])


def row(**words: Any) -> dict[str, Any]:
    start = {"type": "http", "issuer_key_hash": HASH, "distribution_point": POINT, "url": "https://crl.example/a"}
    return {name: value for name, value in (start | words).items() if value is not None}


def test_the_bare_array_of_earlier_files_is_still_read(tmp_path: Path) -> None:
    sources = read(tmp_path, [row(type=None)])
    assert sources.policy is RevocationPolicy.CRL
    assert [(each.distribution_point, each.fetcher.address) for each in sources.lists] == [
        (POINT, "https://crl.example/a")
    ]


def test_toml_says_the_same_as_json(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret-token\n")
    text = f"""
policy = "ocsp-then-crl"
[[source]]
type = "ocsp"
issuer_key_hash = "{HASH}"
url = "https://ocsp.example/"
nonce = "cached"
max_age_minutes = 30
[[source]]
type = "file"
issuer_key_hash = "{HASH}"
distribution_point = "{POINT}"
path = "lists/chiyoda.crl"
[[source]]
type = "platform"
url = "https://platform.example/v1/"
token_file = "token"
"""
    sources = read(tmp_path, text, "sources.toml")
    assert sources.policy is RevocationPolicy.OCSP_THEN_CRL
    assert sources.responders[0].nonce is Nonce.CACHED
    assert sources.responders[0].issuer == ROOT.der
    assert sources.lists[0].fetcher.address == (tmp_path / "lists/chiyoda.crl").as_uri()
    assert sources.platform is not None
    assert sources.platform.url == "https://platform.example/v1"
    assert "secret-token" not in repr(sources)


def test_sources_of_a_ca_that_is_not_accepted_are_left_out(tmp_path: Path) -> None:
    assert read(tmp_path, [row(issuer_key_hash="00" * 32)]).lists == ()


OCSP = {"type": "ocsp", "issuer_key_hash": HASH, "url": "https://ocsp.example/"}


@pytest.mark.parametrize(
    ("document", "named"),
    [
        ("{", "cannot be read"),
        ("3", "neither"),
        ({"policy": "crl", "sorce": []}, "sorce"),
        ({"source": {}}, "source"),
        ({"policy": "always-good"}, "policy"),
        ({"policy": 1}, "policy"),
        ([3], "source 1: not a table"),
        ([row(type="ftp")], "source 1: type"),
        ([row(), row(url="https://b.example/", tpye="x")], "source 2: unknown word tpye"),
        ([row(path="x")], "unknown word path"),
        ([row(url=None)], "url"),
        ([row(url="ftp://crl.example/")], "url"),
        ([row(url="https://user@crl.example/")], "url"),
        ([row(url="https://crl.example:99999/")], "url"),
        ([row(issuer_key_hash="AB")], "issuer_key_hash"),
        ([row(distribution_point="")], "distribution_point"),
        ([row(seconds=0)], "seconds"),
        ([row(seconds=True)], "seconds"),
        ([row(seconds=601)], "seconds"),
        ([row(type="ldap", url="http://a")], "ldap"),
        ([row(type="ldap", url="ldaps://a", private_line="yes")], "private_line"),
        ([row(type="ldap", url="ldaps://a", distribution_point=None)], "distribution_point"),
        ([row(type="ldap", url="ldaps://a", password_file="none")], "password_file"),
        ([row(), row(distribution_point="CN=other")], "two sources of one address"),
        ([OCSP, OCSP], "two OCSP responders"),
        ([OCSP | {"nonce": "never"}], "nonce"),
        ([OCSP | {"max_age_minutes": 0}], "max_age_minutes"),
        ({"policy": "ocsp", "source": []}, "needs an OCSP responder"),
        ({"policy": "platform", "source": []}, "needs a source of type platform"),
        ([{"type": "platform", "url": "https://p.example", "token_file": "none"}], "token_file"),
        ([{"type": "platform", "url": "https://p.example"}], "token_file"),
    ],
)
def test_a_wrong_word_stops_the_start_by_its_name(tmp_path: Path, document: Any, named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        read(tmp_path, document)


def test_a_file_is_brought_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "list.crl"
    path.write_bytes(b"x" * 3_000_000)
    source = FileFetcher(path=path)
    assert b"".join(source.chunks(limit=3_000_000)) == path.read_bytes()
    with pytest.raises(OutboundFailed, match="more than"):
        list(source.chunks(limit=2_999_999))
    pieces = source.chunks(limit=4_000_000)
    next(pieces)
    os.truncate(path, 1000)
    with pytest.raises(OutboundFailed, match="changed"):
        list(pieces)


def test_what_is_no_file_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", ".", "missing"):
        with pytest.raises(OutboundFailed):
            list(FileFetcher(path=tmp_path / name).chunks(limit=10))
