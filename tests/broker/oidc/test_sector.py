"""Sectors: OIDC Core §8.1, OIDC Registration §5, and design 4.9."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import InvalidClientMetadata
from broker.ids import SectorID
from broker.jose import MAX_TOKEN
from broker.oidc.sector import check_frozen, check_sector_document, check_sector_uri, choose_sector

URIS = ("https://bank.example/callback", "https://app.bank.example/callback")
SECTOR = "https://bank.example/redirect_uris.json"
OWN, SHARED = SectorID("own"), SectorID("shared")


def document(*entries: Any) -> bytes:
    return json.dumps(entries).encode()


def test_a_document_that_lists_every_redirect_uri_vouches_for_the_client() -> None:
    check_sector_document(document(*URIS), URIS)
    check_sector_document(document("https://other.example/", *reversed(URIS), URIS[0]), URIS[:1])


def test_07_a_document_that_lacks_a_redirect_uri_is_refused() -> None:
    for listed in ((), URIS[:1], (URIS[0], f"{URIS[1]}/"), (URIS[0], URIS[1].upper()), (URIS[0], f"{URIS[1]}?")):
        with pytest.raises(InvalidClientMetadata, match="missing"):
            check_sector_document(document(*listed), URIS)


@pytest.mark.parametrize("entry", [None, 1, True, [], [URIS[0]], {"uri": URIS[0]}], ids=str)
def test_an_entry_that_is_no_text_spoils_the_document(entry: Any) -> None:
    with pytest.raises(InvalidClientMetadata, match="texts"):
        check_sector_document(document(*URIS, entry), URIS)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"null",
        b'"https://bank.example/callback"',
        document(*URIS) + b"x",
        document(*URIS)[:-1],
        b"\xef\xbb\xbf" + document(*URIS),
        b"\xff" + document(*URIS),
        b"[" * 12_000,
        json.dumps({"redirect_uris": URIS}).encode(),
        document(*URIS) + b" " * MAX_TOKEN,
    ],
    ids=lambda data: repr(data[:24]),
)
def test_what_is_no_array_of_texts_within_16_kb_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidClientMetadata):
        check_sector_document(data, URIS)


def test_a_document_vouches_for_nobody_without_addresses() -> None:
    with pytest.raises(InvalidClientMetadata):
        check_sector_document(document(*URIS), ())


@given(st.binary(max_size=60))
def test_any_bytes_are_refused_with_our_error(data: bytes) -> None:
    with pytest.raises(InvalidClientMetadata):
        check_sector_document(data, URIS)


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "bank.example",
        "http://bank.example/uris.json",
        "https:///uris.json",
        "https://bank.example/uris.json#x",
        "https://bank.example/uris.json#",
        "https://user@bank.example/uris.json",
        "https://bank.example/a b",
        "https://bank.example/\x7f",
        "https://bank.example/日",
        "https://bank.example:port/",
        "https://[::1/",
        "https://bank.example/" + "a" * 512,
        "file:///etc/passwd",
    ],
)
def test_a_sector_uri_that_is_not_plain_https_is_refused(uri: str) -> None:
    with pytest.raises(InvalidClientMetadata):
        check_sector_uri(uri)
    with pytest.raises(InvalidClientMetadata):
        choose_sector(OWN, sector_identifier_uri=uri, native=False, approved={uri: SHARED})


def test_a_client_has_a_sector_of_its_own_unless_a_shared_one_was_approved() -> None:
    assert choose_sector(OWN, sector_identifier_uri=None, native=False, approved={SECTOR: SHARED}) == OWN
    assert choose_sector(OWN, sector_identifier_uri=SECTOR, native=False, approved={SECTOR: SHARED}) == SHARED
    with pytest.raises(InvalidClientMetadata, match="approval"):
        choose_sector(OWN, sector_identifier_uri=SECTOR, native=False, approved={f"{SECTOR}?": SHARED})


def test_native_clients_never_share() -> None:
    assert choose_sector(OWN, sector_identifier_uri=None, native=True, approved={}) == OWN
    with pytest.raises(InvalidClientMetadata, match="native"):
        choose_sector(OWN, sector_identifier_uri=SECTOR, native=True, approved={SECTOR: SHARED})


def test_a_sector_is_frozen_at_registration() -> None:
    check_frozen(None, None)
    check_frozen(SECTOR, SECTOR)
    for before, after in ((None, SECTOR), (SECTOR, None), (SECTOR, f"{SECTOR}?")):
        with pytest.raises(InvalidClientMetadata):
            check_frozen(before, after)
