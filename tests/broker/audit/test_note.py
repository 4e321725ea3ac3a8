"""Signed notes, checkpoints and cosignatures: another's numbers, one spelling, and nothing but our errors."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.audit.checkpoint import Checkpoint, open_checkpoint, read_checkpoint, sign_checkpoint
from broker.audit.cosignature import cosign, cosigned_at
from broker.audit.merkle import EMPTY_ROOT
from broker.audit.note import COSIGNATURE, ED25519, NoteKey, SignatureLine, read_key, read_note
from broker.errors import BrokerError, CheckpointInvalid
from tests.broker.audit.loghouse import NOW, ORIGIN, Party, log_of, witness

NEUMANN = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
SAID = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
    "\n"
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
SOFA = (
    "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
    "— example.com/behind-the-sofa "
    "Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
    "— witness.example.com/w1 "
    "jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n"
)


def test_the_note_that_go_prints_in_its_documentation_holds() -> None:
    key, note = read_key(NEUMANN, type=ED25519), read_note(SAID.encode())
    line = note.by(key)
    assert line is not None
    assert key.holds(note.text.encode(), line.signature)
    assert not key.holds(note.text.encode() + b"\n", line.signature)
    assert (key.to_text(), note.to_bytes()) == (NEUMANN, SAID.encode())


def test_the_example_checkpoint_of_the_standard_is_read_and_written_back() -> None:
    note = read_note(SOFA.encode())
    checkpoint = read_checkpoint(note.text)
    assert (checkpoint.origin, checkpoint.size) == ("example.com/behind-the-sofa", 20852163)
    assert base64.b64encode(checkpoint.root) == b"CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I="
    assert (checkpoint.to_text(), note.to_bytes()) == (note.text, SOFA.encode())
    assert [(line.name, len(line.signature)) for line in note.lines] == [
        ("example.com/behind-the-sofa", 64),
        ("witness.example.com/w1", 72),
    ]
    assert int.from_bytes(note.lines[1].signature[:8], "big") == 1679315147


@pytest.mark.parametrize(
    "text",
    [
        NEUMANN.replace("c74f20a3", "c74f20a4"),
        NEUMANN.replace("c74f20a3", "C74F20A3"),
        NEUMANN.replace("Peter", "Pieter"),
        NEUMANN.replace("ARpc", "BBpc"),
        NEUMANN + "=",
        NEUMANN[:-4],
        "a b+00000000+AA==",
        "+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeumann",
        "",
    ],
)
def test_a_verifier_key_has_one_spelling_and_its_own_id(text: str) -> None:
    with pytest.raises(CheckpointInvalid):
        read_key(text, type=ED25519)


def test_a_key_of_a_log_is_never_one_of_a_witness() -> None:
    log = Party(name="log.example")
    with pytest.raises(CheckpointInvalid):
        read_key(log.key.to_text(), type=COSIGNATURE)
    with pytest.raises(CheckpointInvalid):
        cosign("text\n", key=log.key, signer=log.signer, at=NOW)
    assert replace(log.key, type=COSIGNATURE).id != log.key.id


@pytest.mark.parametrize(
    "note",
    [
        b"",
        b"\n\n",
        SAID[:-1].encode(),
        SAID.replace("\n\n", "\n").encode(),
        SAID.replace("—", "-").encode(),
        SAID.replace("— P", "—  P").encode(),
        SAID.replace("nAM=", "nAN=").encode(),
        SAID.replace("is the answer", "is\tthe answer").encode(),
        SAID.replace("\n", "\r\n").encode(),
        SAID.encode() + b"\n",
        SAID.encode() + "— nobody AAAA\n".encode(),
        SAID.encode() + "— nobody\n".encode(),
        SAID.encode("utf-16"),
        SAID.encode() + "— x AAAAAAA=\n".encode() * 64,
        b"x" * 65537,
    ],
)
def test_a_note_in_another_form_is_refused(note: bytes) -> None:
    with pytest.raises(CheckpointInvalid):
        read_note(note)


def test_a_checkpoint_is_believed_when_its_own_log_signed_it() -> None:
    log = log_of(3)
    signed = open_checkpoint(log.note().to_bytes(), keys=[Party(name="other.example").key, log.key])
    assert signed.checkpoint == log.checkpoint()
    assert open_checkpoint(log.note().with_lines([witness("w").cosign(log.note())]), keys=[log.key])


def test_a_checkpoint_of_an_unknown_log_or_with_a_bit_changed_is_refused() -> None:
    log, stranger = log_of(3), log_of(3)
    data = log.note().to_bytes()
    with pytest.raises(CheckpointInvalid, match="known here"):
        open_checkpoint(data, keys=[stranger.key])
    with pytest.raises(CheckpointInvalid, match="known here"):
        open_checkpoint(data, keys=[])
    with pytest.raises(CheckpointInvalid, match="another log's"):
        sign_checkpoint(log.checkpoint(), key=Party(name="other.example").key, signer=log.signer)
    impostor = Party(name=ORIGIN, signer=stranger.signer)
    forged = sign_checkpoint(log.checkpoint(), key=impostor.key, signer=impostor.signer)
    relabelled = replace(forged, lines=(replace(forged.lines[0], id=log.key.id),))
    with pytest.raises(CheckpointInvalid, match="does not hold"):
        open_checkpoint(relabelled, keys=[log.key])
    for bit in range(len(data) * 8):
        changed = bytes(byte ^ (1 << bit % 8 if at == bit // 8 else 0) for at, byte in enumerate(data))
        with pytest.raises(CheckpointInvalid):
            open_checkpoint(changed, keys=[log.key])


@pytest.mark.parametrize(
    "text",
    [
        "o\n1\n",
        "o\n01\n" + "A" * 43 + "=\n",
        "o\n-1\n" + "A" * 43 + "=\n",
        "o\n１\n" + "A" * 43 + "=\n",
        f"o\n{2**63}\n" + "A" * 43 + "=\n",
        "o\n" + "9" * 5000 + "\n" + "A" * 43 + "=\n",
        "o\n1\nAAAA\n",
        "o\n0\n" + "A" * 43 + "=\n",
        "\n1\n" + "A" * 43 + "=\n",
        "o o\n1\n" + "A" * 43 + "=\n",
        "o\n1\n" + "A" * 43 + "=\nextension\n",
        "o\n1\n" + "A" * 43 + "=",
    ],
)
def test_a_checkpoint_has_three_lines_and_one_spelling(text: str) -> None:
    with pytest.raises(CheckpointInvalid):
        read_checkpoint(text)
    assert read_checkpoint(Checkpoint(origin="o", size=0, root=EMPTY_ROOT).to_text()).size == 0


def test_a_cosignature_says_when_and_holds_for_this_tree_and_this_witness_alone() -> None:
    log, first, second = log_of(2), witness("w1.example"), witness("w2.example")
    note = log.note().with_lines([first.cosign(log.note())])
    assert cosigned_at(note, key=first.key) == NOW
    assert cosigned_at(note, key=second.key) is None
    log.append(b"more")
    moved = replace(log.note(), lines=note.lines)
    with pytest.raises(CheckpointInvalid):
        cosigned_at(moved, key=first.key)
    line = note.lines[-1]
    later = (int(NOW.timestamp()) + 1).to_bytes(8, "big") + line.signature[8:]
    for signature in (later, line.signature[8:], b"\x00" * 72, line.signature + b"\x00", b"\xff" * 8 + later[8:]):
        bent = replace(note, lines=(SignatureLine(name=line.name, id=line.id, signature=signature),))
        with pytest.raises(CheckpointInvalid):
            cosigned_at(bent, key=first.key)


def test_the_newest_line_of_a_key_takes_the_place_of_the_older() -> None:
    log, first = log_of(2), witness("w1.example")
    note = log.note().with_lines([first.cosign(log.note())])
    again = note.with_lines([first.cosign(note, at=NOW + timedelta(hours=1))])
    assert len(again.lines) == len(note.lines)
    assert cosigned_at(again, key=first.key) == NOW + timedelta(hours=1)


@given(st.binary(max_size=200))
def test_bytes_that_are_no_note_raise_nothing_but_our_errors(data: bytes) -> None:
    key = NoteKey(name="o", type=ED25519, key=b"\x01" * 32)
    for bytes_ in (data, SAID.encode() + data, SOFA.encode()[: len(data)] + data):
        try:
            open_checkpoint(bytes_, keys=[key])
        except BrokerError:
            continue
        pytest.fail("believed")
