"""The software card's process with cards that fail: what a card does is the beginning of its name.

`dies` breaks off in the middle of READ BINARY, `short` answers it with one byte, `slow` takes 30 seconds, `twice` lies
in both slots of the reader at once. Where FAULT=no-reader is set, the daemon gets no reader at all.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

from cardreader import softcard, tray
from cardreader.emulator import SoftwareCard
from cardreader.vpcd import PORT, VPCDSlot

READ_BINARY = 0xB0


class FaultyCard(SoftwareCard):
    def process(self, raw: bytes) -> bytes:
        if raw[1] == READ_BINARY:
            name = self.card.name
            if name.startswith("dies"):
                raise OSError("taken out")
            if name.startswith("short"):
                return b"\x90"
            if name.startswith("slow"):
                time.sleep(30)
        return super().process(raw)


class TwoSlots(VPCDSlot):
    def __init__(self, connect: Callable[[], socket.socket]) -> None:
        super().__init__(connect)
        self._second = VPCDSlot(lambda: socket.create_connection(("127.0.0.1", PORT + 1)))

    def insert(self, card: SoftwareCard, *, noticed_within: float) -> bool:
        if card.card.name.startswith("twice"):
            self._second.insert(card, noticed_within=noticed_within)
        return super().insert(card, noticed_within=noticed_within)

    def remove(self) -> None:
        self._second.remove()
        super().remove()


def no_configuration(run_dir: Path, port: int) -> Path:
    (run_dir / "no-drivers").mkdir()
    folder = run_dir / "reader.conf.d"
    folder.mkdir()
    return folder.resolve()


if __name__ == "__main__":
    vars(tray)["SoftwareCard"] = FaultyCard
    vars(softcard)["VPCDSlot"] = TwoSlots
    if os.environ.get("FAULT") == "no-reader":
        vars(softcard)["_configuration"] = no_configuration
        vars(softcard)["_await_reader"] = lambda port, daemon: None
    raise SystemExit(softcard.main())
