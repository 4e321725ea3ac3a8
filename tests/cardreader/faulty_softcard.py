"""The software card's process with cards that do what no tray command asks of a card: its name says what.

`dies-at-N` is taken out at the Nth command after power-up, when it has obeyed and not yet answered; `drags` needs a
tenth of a second for every command; `swaps` becomes the card in the file that its label names whenever its application
is selected, so that many cards can be met without many insertions. A name that ends in `-plain` wants a SELECT before
every use.
`twice` lies in both slots of the reader at once, `beside` in the other slot next to a card that is no JPKI card. Where
FAULT=no-reader is set, the daemon gets no reader at all.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from cardreader import cardfile, softcard, tray
from cardreader.cardfile import CardFile
from cardreader.emulator import SoftwareCard
from cardreader.vpcd import PORT, VPCDSlot

SELECT, BY_NAME = 0xA4, 0x04
FILE_NOT_FOUND = bytes.fromhex("6A82")


class FaultyCard(SoftwareCard):
    def __init__(self, card: CardFile, *, on_change: Callable[[CardFile], None] = lambda _: None) -> None:
        super().__init__(card, on_change=on_change, short_identifiers=not card.name.endswith("-plain"))
        self._flaw, _, at = card.name.removesuffix("-plain").partition("-at-")
        self._at = int(at) if at.isdigit() else 0
        self._count = 0

    def power_on(self) -> bytes:
        self._count = 0
        return super().power_on()

    def process(self, raw: bytes) -> bytes:
        self._count += 1
        answer = super().process(raw)
        if self._flaw == "drags":
            time.sleep(0.1)
        if self._flaw == "dies" and self._count == self._at:
            raise OSError("taken out")
        return answer


class SwappingCard(SoftwareCard):
    """Whatever card lies in the file that the first card's label names."""

    def __init__(self, card: CardFile) -> None:
        super().__init__(card)
        self._file = Path(card.label)
        self._inner = SoftwareCard(card)

    def process(self, raw: bytes) -> bytes:
        if raw[1:3] == bytes([SELECT, BY_NAME]):
            now = cardfile.load(self._file)
            if now.name != self._inner.card.name:
                self._inner = SoftwareCard(now)
                self._inner.power_on()
        return self._inner.process(raw)

    def reset(self) -> bytes:
        return self._inner.reset()

    def power_on(self) -> bytes:
        return self._inner.power_on()

    def power_off(self) -> None:
        self._inner.power_off()


def make(card: CardFile, *, on_change: Callable[[CardFile], None] = lambda _: None) -> SoftwareCard:
    return SwappingCard(card) if card.name == "swaps" else FaultyCard(card, on_change=on_change)


class StrangeCard(SoftwareCard):
    """A card with a chip and no JPKI application."""

    def process(self, raw: bytes) -> bytes:
        return FILE_NOT_FOUND if raw[1] == SELECT else super().process(raw)


class TwoSlots(VPCDSlot):
    def __init__(self, connect: Callable[[], socket.socket]) -> None:
        super().__init__(connect)
        self._second = VPCDSlot(lambda: socket.create_connection(("127.0.0.1", PORT + 1)))

    def insert(self, card: SoftwareCard, *, noticed_within: float) -> bool:
        name = card.card.name
        if name.startswith("beside"):
            self._second.insert(card, noticed_within=noticed_within)
            strange = StrangeCard(replace(card.card, name="strange"))
            return super().insert(strange, noticed_within=noticed_within)
        if name.startswith("twice"):
            self._second.insert(card, noticed_within=noticed_within)
        return super().insert(card, noticed_within=noticed_within)

    def remove(self) -> None:
        self._second.remove()
        super().remove()


def no_configuration(run_dir: Path, port: int) -> Path:
    (run_dir / "no-drivers").mkdir(exist_ok=True)
    folder = run_dir / "no-readers.conf.d"
    folder.mkdir(exist_ok=True)
    return folder.resolve()


if __name__ == "__main__":
    vars(tray)["software_card"] = make
    vars(softcard)["VPCDSlot"] = TwoSlots
    if os.environ.get("FAULT") == "no-reader":
        vars(softcard)["_configuration"] = no_configuration
        vars(softcard)["_await_reader"] = lambda port, daemon: None
    raise SystemExit(softcard.main())
