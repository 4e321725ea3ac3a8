"""What our way to the real card daemon costs beside the bare PC/SC call, in one run: `python -m bench.roundtrip`.

Runs as a process of its own, because the PC/SC library remembers the first daemon that it was told of. Needs
PCSCLITE_CSOCK_NAME of a daemon with a card in it; prints one JSON object of microseconds per command.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import click

from cardreader.apdu import VERIFY, CommandAPDU, converse
from cardreader.jpki_ap import select_jpki_ap
from cardreader.pcsc import PCSCReaders

ROUNDS: Final = 25
COMMANDS: Final = 100  # per round
COUNTER: Final = CommandAPDU(
    ins=VERIFY, p2=0x98
)  # the retry counter: the shortest exchange there is, and it costs no try


def per_command(send: Callable[[], object]) -> float:
    """Microseconds of one of COMMANDS exchanges."""
    began = time.perf_counter()
    for _ in range(COMMANDS):
        send()
    return (time.perf_counter() - began) / COMMANDS * 1e6


def ours() -> float:
    """Through cardreader.pcsc, deadline and all."""
    with PCSCReaders().connect() as connection:
        converse(select_jpki_ap(), connection.transmit)
        return per_command(lambda: connection.transmit(COUNTER))


def raw() -> float:
    """SCardTransmit alone."""
    from smartcard import scard  # noqa: PLC0415 - after the daemon's socket is known

    with _card(scard) as (card, header):
        scard.SCardTransmit(card, header, list(next(select_jpki_ap()).encode()))
        command = list(COUNTER.encode())
        return per_command(lambda: scard.SCardTransmit(card, header, command))


@contextmanager
def _card(scard: Any) -> Iterator[tuple[Any, Any]]:
    code, context = scard.SCardEstablishContext(scard.SCARD_SCOPE_USER)
    assert code == scard.SCARD_S_SUCCESS
    _, readers = scard.SCardListReaders(context, [])
    _, card, _ = scard.SCardConnect(context, readers[0], scard.SCARD_SHARE_EXCLUSIVE, scard.SCARD_PROTOCOL_T1)
    try:
        yield card, scard.SCARD_PCI_T1
    finally:
        scard.SCardDisconnect(card, scard.SCARD_UNPOWER_CARD)
        scard.SCardReleaseContext(context)


def main() -> None:
    """Interleave both, and print the quickest round of each: other work on the machine can only slow them down."""
    times: dict[str, list[float]] = {"ours": [], "raw": []}
    for _ in range(ROUNDS):
        times["ours"].append(ours())
        times["raw"].append(raw())
    click.echo(json.dumps({name: round(min(values), 1) for name, values in times.items()}))


if __name__ == "__main__":
    main()
