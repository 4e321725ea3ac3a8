"""What a request may ask to be done: acts this program has words for, and documents it can rebuild byte for byte."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cardreader.agent.action import MAX_DOCUMENTS, PROOF_TAG, RELEASABLE, Action, parse_action
from cardreader.agent.entry import PinPrompt, write_prompt
from cardreader.agent.request import verify_request
from cardreader.errors import ActionUnknown, AgentError, RequestMalformed
from tests.cardreader.agent.conftest import (
    ISSUER,
    NOW,
    Broker,
    attributes,
    b64url,
    document,
    proof,
    raw_document,
)

EPOCH = int(NOW.timestamp())
FRAMES: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[2] / "vectors/card-frame/frames.json").read_text(encoding="utf-8")
)
OTHER = b64url(hashlib.sha256(b"another document").digest())


def _act(broker: Broker, **changes: Any) -> Action:
    jws = broker.request(**changes)
    return verify_request(jws, trust=broker.trust(), origin=ISSUER, now=NOW).act


def test_proof_names_what_it_releases_and_the_application_it_signs(broker: Broker) -> None:
    act = _act(broker, **proof(release=["age_over_20", "gender", "age_over_5", "name"]))
    assert (act.kind, act.released) == ("proof", ("name", "gender", "age_over_5", "age_over_20"))
    (application,) = act.documents
    assert (application.name, application.form, application.media_type) == ("本人確認の申込書", "cms", "text/plain")
    assert application.size == len("申込書".encode())
    assert application.to_sign == attributes(hashlib.sha256("申込書".encode()).digest(), iat=EPOCH)


def test_signing_takes_each_form_and_documents_of_which_only_the_fingerprint_is_known(broker: Broker) -> None:
    prepared = attributes(hashlib.sha256(b"byte range").digest(), iat=None)
    rows = [
        document(),
        document(attributes=b64url(prepared), form="pades", type="application/pdf"),
        document(size=None, type=None),
        raw_document(b"d" * 32),
        raw_document(b"e" * 32, size=1, type="application/octet-stream"),
    ]
    act = _act(broker, **proof(*rows, kind="sign", release=[]))
    assert [row.form for row in act.documents] == ["cms", "pades", "cms", "raw", "raw"]
    assert [row.size is None for row in act.documents] == [False, False, True, True, False]
    assert act.documents[1].to_sign == prepared
    assert act.documents[3].to_sign == b"d" * 32


@pytest.mark.parametrize(
    ("action", "released"),
    [("{}", ()), ('{"release":["emergency_contact","dietary_needs"]}', ("dietary_needs", "emergency_contact"))],
)
def test_restored_consent_names_what_flows_again(broker: Broker, action: str, released: tuple[str, ...]) -> None:
    act = _act(broker, tag="JPKI-FED-CONSENT/1", action=action)
    assert (act.kind, act.released, act.documents) == ("consent", released, ())


@pytest.mark.parametrize("language", ["ja", "en"])
def test_everything_that_can_be_released_has_a_name_in_both_languages(language: str) -> None:
    act = Action(kind="consent", released=(*RELEASABLE, "age_over_65"))
    prompt = PinPrompt(phrase="x", client="x", client_vetted=True, origin="x", tries_left=3, act=act, language=language)
    (shown,) = (line for line in write_prompt(prompt).lines if "65" in line)
    assert len(re.split("、|, ", shown)) >= len(act.released)
    assert shown.isascii() is (language == "en")


@pytest.mark.parametrize("vector", [row for row in FRAMES if row["tag"] == PROOF_TAG], ids=lambda row: row["name"])
def test_actions_of_the_published_frames_are_read(vector: dict[str, Any]) -> None:
    from datetime import UTC, datetime

    issued_at = datetime.fromtimestamp(vector["issued_at_ms"] / 1000, UTC)
    act = parse_action(vector["tag"], vector["action"], issued_at=issued_at)
    assert len(act.documents) == len(json.loads(vector["action"])["documents"])


def test_ten_documents_with_the_longest_names_fit_in_a_request(broker: Broker) -> None:
    rows = [document(str(number), name="\\" * 200) for number in range(MAX_DOCUMENTS)]
    assert len(_act(broker, **proof(*rows, kind="sign")).documents) == MAX_DOCUMENTS


def test_direction_marks_in_a_document_name_are_not_shown(broker: Broker) -> None:
    (shown,) = _act(broker, **proof(document(name="契約\u202efdp.exe"))).documents
    assert shown.display_name == "契約fdp.exe"


MALFORMED: dict[str, dict[str, str]] = {
    "no document": proof(kind="sign") | {"action": '{"documents":[],"kind":"sign","release":[]}'},
    "documents that are no list": {**proof(), "action": '{"documents":{},"kind":"sign","release":[]}'},
    "a document that is no object": {**proof(), "action": '{"documents":[1],"kind":"sign","release":[]}'},
    "eleven documents": proof(*[document()] * 11, kind="sign"),
    "two applications": proof(document(), document()),
    "no name": proof(document(name="")),
    "a name of 201 characters": proof(document(name="あ" * 201)),
    "a name that cannot be seen": proof(document(name="\u200b\u202e")),
    "a name that is no text": proof(document(name=["x"])),
    "a size that is no number": proof(document(size=True)),
    "a negative size": proof(document(size=-1)),
    "an endless size": proof(document(size=2**41)),
    "a type that is none": proof(document(type="text")),
    "a type with a line break": proof(document(type="text/plain\n")),
    "a short digest": proof(document(sha256=b64url(b"x" * 31))),
    "a padded digest": proof(document(sha256=OTHER + "=")),
    "attributes of another document": proof(document(sha256=OTHER)),
    "another signing time": proof(document(iat=EPOCH - 1)),
    "no attributes": proof(document(attributes="")),
    "attributes that are no text": proof(document(attributes=[1])),
    "endless attributes": proof(document(attributes="A" * 20_000)),
    "an attribute more": proof(document(attributes=b64url(attributes(b"d" * 32, iat=EPOCH) + b"\x30\x00"))),
    "attributes that are a frame": proof(document(attributes=b64url(b"JPKI-FED-AUTH/1\0" + bytes(91)))),
    "a prepared PDF with a time beside its own": proof(
        document(attributes=b64url(attributes(b"d" * 32, iat=EPOCH)), form="pades"), kind="sign"
    ),
    "a document without a time": proof(document(attributes=b64url(attributes(b"d" * 32, iat=None))), kind="sign"),
    "a raw digest of another document": proof(raw_document(b"d" * 32, digest=OTHER), kind="sign"),
    "a raw digest of 20 bytes": proof(raw_document(b"d" * 32, digest=b64url(b"d" * 20)), kind="sign"),
}


@pytest.mark.parametrize("changes", MALFORMED.values(), ids=MALFORMED.keys())
def test_document_that_is_not_exactly_right_is_refused(broker: Broker, changes: dict[str, str]) -> None:
    with pytest.raises(RequestMalformed):
        _act(broker, **changes)


UNKNOWN: dict[str, dict[str, str]] = {
    "a kind without words": proof(kind="mandate"),
    "a kind that is no text": proof(kind=None),  # type: ignore[arg-type]  # a hostile broker sends anything
    "a claim without words": proof(release=["my_number"]),
    "an age beyond any": proof(release=["age_over_121"]),
    "an age with a zero before it": proof(release=["age_over_020"]),
    "a claim twice": proof(release=["name", "name"]),
    "a claim that is no text": proof(release=[["name"]]),
    "a form without words": proof(document(form="xades")),
    "a form said twice": proof(document(form="cms")),
    "a form that is no text": proof(document(form=["pades"])),
    "a member without words": proof(document(url="https://evil.example")),
    "a size without a type": proof(document(type=None)),
    "attributes and a digest": proof(document(digest=OTHER)),
    "raw with attributes": proof(document(form="raw"), kind="sign"),
    "a raw digest as an application": proof(raw_document(b"d" * 32)),
    "a PDF as an application": proof(document(type="application/pdf")),
    "an application nobody has seen": proof(document(size=None, type=None)),
    "a tag of a later version": {**proof(), "tag": "JPKI-FED-PROOF/2"},
    "a tag that is reserved": {**proof(), "tag": "JPKI-FED-MANDATE/1"},
    "documents in a consent": {**proof(), "tag": "JPKI-FED-CONSENT/1"},
    "documents in a login": {**proof(), "tag": "JPKI-FED-AUTH/1"},
    "a login as a proof": {"tag": PROOF_TAG, "action": '{"release":["name"]}'},
    "another member": {"tag": PROOF_TAG, "action": '{"amount":1,"documents":[],"kind":"sign","release":[]}'},
}


@pytest.mark.parametrize("changes", UNKNOWN.values(), ids=UNKNOWN.keys())
def test_act_without_words_for_it_is_refused(broker: Broker, changes: dict[str, str]) -> None:
    with pytest.raises(ActionUnknown):
        _act(broker, **changes)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(member=st.sampled_from(["attributes", "name", "sha256", "size", "type", "form", "digest", "x"]), value=_JSON)
def test_document_with_any_value_in_any_member_is_read_or_refused_by_our_errors(member: str, value: Any) -> None:
    row = {**document(), member: value}
    try:
        act = parse_action(PROOF_TAG, proof(row, kind="sign")["action"], issued_at=NOW)
    except AgentError:
        return
    assert all(len(read.to_sign) in (32, 107) for read in act.documents)
