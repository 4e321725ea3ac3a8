"""What carries APDUs to a card: the real reader (pcsc) and the card in memory (tray) keep these promises alike."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from cardreader.apdu import CommandAPDU, ResponseAPDU


class CardConnection(Protocol):
    """One card, held exclusively and under power."""

    @property
    def reader_kind(self) -> str:
        """A short word for the kind of reader ("pcsc", "software"); never its name or serial."""

    def transmit(self, command: CommandAPDU) -> ResponseAPDU:
        """Send one command and return the card's answer, within a deadline of the connection's own.

        Raises CardRemoved, CardTimeout or TransportFault. After any of them the connection is dead: every further
        call raises again, and only a new connection helps.
        """

    def check_present(self) -> None:
        """Ask whoever holds the card, without a word to the card itself, whether it is still there and as we left it.

        To be asked right before a PIN goes out: a card gone before it was asked has cost no try. Raises CardRemoved,
        CardTimeout or TransportFault (a card that another program has reset, among others), as `transmit` does.
        """


class Readers(Protocol):
    """The readers of this machine."""

    def connect(self) -> AbstractContextManager[CardConnection]:
        """Hold the one card there is, exclusively; leaving takes its power away, and with it the PIN's verdict.

        Raises ServiceNotRunning, NoReader, CardAbsent, SeveralCards, ReaderBusy, CardUnresponsive or CardTimeout.
        """


class CountingConnection:
    """A connection that counts what passes: commands, bytes to the card, bytes from the card (status included)."""

    def __init__(self, connection: CardConnection) -> None:
        self._connection = connection
        self.apdus = 0
        self.bytes_out = 0
        self.bytes_in = 0

    @property
    def reader_kind(self) -> str:
        """The inner connection's."""
        return self._connection.reader_kind

    def transmit(self, command: CommandAPDU) -> ResponseAPDU:
        """Pass one command on and count it, failed ones included."""
        self.apdus += 1
        self.bytes_out += len(command.encode())
        response = self._connection.transmit(command)
        self.bytes_in += len(response.encode())
        return response

    def check_present(self) -> None:
        """The inner connection's; it is no APDU and is not counted."""
        self._connection.check_present()
