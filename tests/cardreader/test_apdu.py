"""APDUs and the conversation runner."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardreader.apdu import CommandAPDU, Conversation, ResponseAPDU, converse
from cardreader.channel import Channel
from cardreader.errors import CardRemoved, CardTimeout, MalformedCardData, PINOutcomeUnknown, TransportFault
from cardreader.jpki_ap import verify_auth_pin
from cardreader.tlv import object_length

commands = st.builds(
    CommandAPDU,
    cla=st.integers(0, 255),
    ins=st.integers(0, 255),
    p1=st.integers(0, 255),
    p2=st.integers(0, 255),
    data=st.binary(max_size=255),
    le=st.none() | st.integers(1, 256),
)


@given(commands)
def test_a_command_survives_the_wire(command: CommandAPDU) -> None:
    assert CommandAPDU.decode(command.encode()) == command


@given(st.binary(max_size=300))
def test_hostile_bytes_are_a_command_or_a_value_error(raw: bytes) -> None:
    try:
        command = CommandAPDU.decode(raw)
    except ValueError:
        return
    assert command.encode() == raw


@pytest.mark.parametrize(
    ("command", "wire"),
    [
        (CommandAPDU(ins=0x20, p2=0x80), "00200080"),
        (CommandAPDU(ins=0xB0, p1=0x01, le=256), "00B0010000"),
        (CommandAPDU(ins=0x20, p2=0x80, data=b"1234"), "002000800431323334"),
        (CommandAPDU(cla=0x80, ins=0x2A, p2=0x80, data=b"\x01", le=256), "802A0080010100"),
    ],
    ids=["case 1", "case 2", "case 3", "case 4"],
)
def test_the_four_short_cases_of_iso_7816_3(command: CommandAPDU, wire: str) -> None:
    assert command.encode().hex().upper() == wire


@pytest.mark.parametrize(
    "wrong", [{"ins": 256}, {"ins": 0, "data": bytes(256)}, {"ins": 0, "le": 0}, {"ins": 0, "le": 257}]
)
def test_what_does_not_fit_the_short_form_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"one byte|255|Le"):
        CommandAPDU(**wrong)  # type: ignore[arg-type]  # one wrong field per row


def test_a_pin_and_an_answer_are_not_shown() -> None:
    assert "1234" not in repr(CommandAPDU(ins=0x20, data=b"1234"))
    assert "secret" not in repr(ResponseAPDU(data=b"secret", sw=0x9000))


@pytest.mark.parametrize("raw", [b"", b"\x90"])
def test_a_reply_below_two_bytes_is_a_transport_fault(raw: bytes) -> None:
    with pytest.raises(TransportFault):
        ResponseAPDU.decode(raw)


def one(command: CommandAPDU) -> Conversation[ResponseAPDU]:
    return (yield command)


def scripted(*replies: ResponseAPDU) -> tuple[list[CommandAPDU], list[ResponseAPDU]]:
    return [], list(replies)


def test_more_data_is_fetched_by_get_response() -> None:
    sent, replies = scripted(ResponseAPDU(data=b"ab", sw=0x6102), ResponseAPDU(data=b"cd", sw=0x9000))

    def transmit(command: CommandAPDU) -> ResponseAPDU:
        sent.append(command)
        return replies.pop(0)

    assert converse(one(CommandAPDU(ins=0xB0, le=256)), transmit) == ResponseAPDU(data=b"abcd", sw=0x9000)
    assert sent[1] == CommandAPDU(ins=0xC0, le=2)


def test_a_wrong_le_is_corrected_once() -> None:
    sent, replies = scripted(ResponseAPDU(sw=0x6C04), ResponseAPDU(data=b"abcd", sw=0x9000))

    def transmit(command: CommandAPDU) -> ResponseAPDU:
        sent.append(command)
        return replies.pop(0)

    assert converse(one(CommandAPDU(ins=0xB0, le=256)), transmit).data == b"abcd"
    assert [command.le for command in sent] == [256, 4]


def test_endless_offers_of_data_are_a_transport_fault() -> None:
    with pytest.raises(TransportFault):
        converse(one(CommandAPDU(ins=0xB0, le=256)), lambda _: ResponseAPDU(data=b"x", sw=0x6101))


@pytest.mark.parametrize("sw", [0x6C04, 0x6104, 0x6F00, 0x6A88, 0x6700])
def test_verify_is_sent_once_whatever_the_card_answers(sw: int) -> None:
    sent: list[CommandAPDU] = []

    def transmit(command: CommandAPDU) -> ResponseAPDU:
        sent.append(command)
        return ResponseAPDU(sw=sw)

    with pytest.raises(PINOutcomeUnknown):
        converse(verify_auth_pin("1234", Channel(takes_short_identifiers=True)), transmit)
    assert len(sent) == 1


@pytest.mark.parametrize("error", [CardRemoved, CardTimeout, TransportFault])
def test_a_verdict_lost_on_the_way_is_said_to_be_unknown(error: type[Exception]) -> None:
    def transmit(command: CommandAPDU) -> ResponseAPDU:
        if command.ins == 0x20:
            raise error
        return ResponseAPDU(sw=0x9000)

    with pytest.raises(PINOutcomeUnknown):
        converse(verify_auth_pin("1234"), transmit)


@pytest.mark.parametrize(
    ("head", "length"), [("3000", 2), ("307F", 129), ("308180", 131), ("30820100", 260), ("30820FFC", 4096)]
)
def test_a_der_header_tells_the_whole_length(head: str, length: int) -> None:
    assert object_length(bytes.fromhex(head), at_most=4096) == length


@pytest.mark.parametrize(
    "head",
    ["", "30", "3180", "3080", "3081", "30817F", "3082", "308200FF", "30820FFD", "3083010000", "30FF", "FFFFFFFF"],
)
def test_a_header_that_is_no_bounded_der_sequence_is_refused(head: str) -> None:
    with pytest.raises(MalformedCardData):
        object_length(bytes.fromhex(head), at_most=4096)
