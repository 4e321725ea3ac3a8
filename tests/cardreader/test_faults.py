"""Cards that fail on command: each fault is the transport error it stands for, and the next touch works."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardreader import faults, jpki_ap
from cardreader.apdu import CommandAPDU, converse
from cardreader.emulator import SoftwareCard
from cardreader.errors import CardAbsent, CardError, CardRemoved, MalformedCardData, NotJPKICard, TransportFault
from cardreader.faults import Fault, FaultKind
from cardreader.tray import SoftwareReaders, Tray, TrayClient, TrayFault, serve_tray
from tests.cardreader.conftest import CardMaker, ThroughPCSCD
from tests.cardreader.test_card import login

COMMANDS = 9  # of one login


@pytest.fixture
def tray(card_maker: CardMaker) -> Tray:
    tray = Tray()
    tray.insert_card(SoftwareCard(card_maker()))
    return tray


def outcome(tray: Tray) -> type[CardError] | None:
    try:
        with SoftwareReaders(tray).connect() as connection:
            converse(login("1234", b"message"), connection.transmit)
    except CardError as error:
        return type(error)
    return None


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault(kind=FaultKind.REMOVED, ins=0xB0), CardRemoved),
        (Fault(kind=FaultKind.SHORT, ins=0xB0), TransportFault),
        (Fault(kind=FaultKind.EMPTY, ins=0xB0), TransportFault),
        (Fault(kind=FaultKind.HUGE, ins=0xB0), MalformedCardData),
        (Fault(kind=FaultKind.STATUS, at=0, status=0x6A82), NotJPKICard),
        (Fault(kind=FaultKind.STATUS, at=0), None),  # 6F00 on the first command is asked again
        (Fault(kind=FaultKind.SLOW, ins=0xB0, seconds=0.01), None),
    ],
    ids=lambda value: value.kind.value if isinstance(value, Fault) else None,
)
def test_a_fault_ends_in_its_own_error(tray: Tray, fault: Fault, error: type[CardError] | None) -> None:
    tray.fail(fault)
    assert outcome(tray) is error
    if error is CardRemoved:
        assert outcome(tray) is CardAbsent
    else:
        assert outcome(tray) is None
        assert tray.status().auth_tries == 3


def test_a_card_pulled_at_any_command_loses_no_try(card_maker: CardMaker) -> None:
    for index in range(COMMANDS):
        tray, card = Tray(), SoftwareCard(card_maker())
        tray.insert_card(card)
        tray.fail(Fault(kind=FaultKind.REMOVED, at=index))
        assert outcome(tray) is not None
        assert card.card.auth.tries == 3
        card.fail(None)
        tray.insert_card(card)
        assert outcome(tray) is None


def test_power_lost_for_a_moment_forgets_the_session_and_the_pin(tray: Tray) -> None:
    tray.fail(Fault(kind=FaultKind.POWER_LOST, ins=0x2A))
    with SoftwareReaders(tray).connect() as connection:
        converse(jpki_ap.select_jpki_ap(), connection.transmit)
        converse(jpki_ap.verify_auth_pin("1234"), connection.transmit)
        assert connection.transmit(CommandAPDU(cla=0x80, ins=0x2A, p2=0x97, data=b"\x01", le=256)).sw == 0x6985


def test_another_process_breaks_the_card_and_makes_it_well(tray: Tray) -> None:
    with tempfile.TemporaryDirectory(prefix="tray-") as folder:
        control = Path(folder) / "tray"
        with serve_tray(tray, control):
            client = TrayClient(control)
            client.fail(Fault(kind=FaultKind.SHORT, times=None))
            assert outcome(tray) is TransportFault
            assert outcome(tray) is TransportFault
            client.fail(None)
            assert outcome(tray) is None
            client.remove()
            with pytest.raises(TrayFault, match="no card"):
                client.fail(None)


def test_a_card_that_breaks_off_in_the_real_daemon_is_gone_and_comes_back(
    through_pcscd: ThroughPCSCD, card_maker: CardMaker
) -> None:
    card = card_maker()
    through_pcscd.insert(card)
    through_pcscd.fail(Fault(kind=FaultKind.REMOVED, ins=0xB0))
    with through_pcscd.readers.connect() as connection, pytest.raises((CardRemoved, TransportFault)):
        converse(login("1234", b"message"), connection.transmit)
    assert through_pcscd.status().card is None
    assert through_pcscd.insert(card).auth_tries == 3
    with through_pcscd.readers.connect() as connection:
        assert converse(jpki_ap.read_card(), connection.transmit).tries_left == 3


@pytest.fixture
def card(card_maker: CardMaker) -> SoftwareCard:
    card = SoftwareCard(card_maker(), random_bytes=lambda length: bytes(range(length)))
    card.power_on()
    card.process(bytes.fromhex("00A4040C0AD392F000260100000001"))
    return card


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("0084000008", "00010203040506079000"),
        ("00840000000008", "6985"),  # extended length
        ("0084010008", "6A86"),
        ("9084000008", "6E00"),
        ("00B0890010", "6982"),
        ("00B0960010", "6981"),
        ("00B08800000003", "8F8F009000"),  # extended length
        ("80FC0000", "6700"),
    ],
)
def test_the_rarer_commands_and_files_answer_as_seen(card: SoftwareCard, command: str, answer: str) -> None:
    assert card.process(bytes.fromhex(command)).hex().upper() == answer


documents = st.dictionaries(
    st.sampled_from(["kind", "at", "ins", "seconds", "status", "times", "else"]),
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["slow", "removed", "x"]),
)


@given(documents)
def test_a_fault_from_elsewhere_is_a_fault_or_a_value_error(document: dict[str, object]) -> None:
    try:
        fault = faults.parse(document)
    except ValueError:
        return
    assert faults.parse(fault.document()) == fault
