"""Published APDU transcripts, held against the driver (it says exactly this) and the software card (it answers so)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from cardreader import jpki_ap
from cardreader.apdu import CommandAPDU, ResponseAPDU, converse
from cardreader.cardfile import Kind
from cardreader.emulator import SoftwareCard
from cardreader.errors import CardError, PINRejected
from cardreader.jpki_profile import RSA_2048
from tests.cardreader.conftest import CardMaker
from tests.cardreader.test_card import login

FOLDER = Path(__file__).parents[1] / "vectors" / "apdu"
TRANSCRIPTS = sorted(FOLDER.glob("*.txt"))
MESSAGE = b"abc"
CERTIFICATE = bytes.fromhex("30820128") + b"\xab" * 296
KINDS: dict[str, Kind] = {"plastic": "plastic", "android": "android", "juki": "juki"}


@dataclass(frozen=True, kw_only=True)
class Transcript:
    head: dict[str, str]
    exchanges: list[tuple[bytes, bytes]]

    @property
    def pin(self) -> str:
        return self.head["conversation"].removeprefix("login pin=")


def read(path: Path, signature: bytes) -> Transcript:
    head_text, _, body = path.read_text(encoding="ascii").partition("\n\n")
    head = dict(line.split(": ", 1) for line in head_text.splitlines())
    lines = body.split("\n")
    sides: dict[str, list[bytes]] = {">": [], "<": []}
    for line in filter(None, lines):
        spelled = line[2:].replace("{signature}", signature.hex())
        spelled = re.sub(r"\{(\w\w)\*(\d+)\}", lambda match: match[1] * int(match[2]), spelled)
        sides[line[0]].append(bytes.fromhex(spelled))
    return Transcript(head=head, exchanges=list(zip(sides[">"], sides["<"], strict=True)))


@pytest.fixture
def signature(card_maker: CardMaker) -> bytes:
    return card_maker.key.sign(MESSAGE, padding.PKCS1v15(), hashes.SHA256())


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_driver_says_what_the_transcript_says(path: Path, signature: bytes) -> None:
    transcript = read(path, signature)
    script = iter(transcript.exchanges)

    def transmit(command: CommandAPDU) -> ResponseAPDU:
        expected, answer = next(script)
        assert command.encode().hex() == expected.hex()
        return ResponseAPDU.decode(answer)

    kind, _, detail = transcript.head["outcome"].partition(" ")
    if kind == "signature":
        _, made = converse(login(transcript.pin, MESSAGE), transmit)
        assert made == signature
    else:
        with pytest.raises(CardError) as caught:
            converse(login(transcript.pin, MESSAGE), transmit)
        assert type(caught.value).__name__ == kind
        if isinstance(caught.value, PINRejected):
            assert str(caught.value.tries_left) == detail
    assert next(script, None) is None


@pytest.mark.parametrize(
    "path", [path for path in TRANSCRIPTS if "\ncard: " in path.read_text(encoding="ascii")], ids=lambda path: path.stem
)
def test_software_card_answers_what_the_transcript_says(path: Path, signature: bytes, card_maker: CardMaker) -> None:
    transcript = read(path, signature)
    said = dict(word.split("=") for word in transcript.head["card"].split())
    file = card_maker(
        kind=KINDS[said["kind"]],
        tries=int(said["tries"]),
        certificate=CERTIFICATE,
        blocked_status=int(said.get("blocked", "6984"), 16),
    )
    card = SoftwareCard(file, short_identifiers=said["short"] == "yes")
    card.power_on()
    for command, answer in transcript.exchanges:
        assert card.process(command).hex() == answer.hex()


def test_no_transcript_selects_an_application_but_jpki(signature: bytes) -> None:
    selected = {
        command[5:]
        for path in TRANSCRIPTS
        for command, _ in read(path, signature).exchanges
        if command[1] == 0xA4 and command[2] == 0x04
    }
    assert selected == {RSA_2048.aid}


def test_no_source_names_an_application_that_leads_to_the_individual_number() -> None:
    forbidden = re.compile("d3" + "92.{0,40}?04" + "0[128]", re.IGNORECASE | re.DOTALL)  # R15; 2 and 8 hold the number
    package = Path(jpki_ap.__file__).parent
    for path in [*package.rglob("*.py"), *FOLDER.iterdir()]:
        squeezed = re.sub(r"[\s_\\x,:\"']", "", path.read_text(encoding="utf-8"))
        assert forbidden.search(squeezed) is None, path
        assert "D3921" + "000" not in squeezed.upper(), path
