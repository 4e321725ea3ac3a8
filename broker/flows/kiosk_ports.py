"""Terminals that everybody uses: the port that keeps them."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from broker.accounts.kiosk import Kiosk
from broker.ids import KioskID


class KioskStore(Protocol):
    def enrol(self, kiosk: Kiosk) -> bool:
        """False, and nothing changed, when the key is, or was, another's."""

    def get(self, kiosk_id: KioskID) -> Kiosk | None:
        """Stopped ones too."""

    def of_key(self, thumbprint: str) -> Kiosk | None:
        """Stopped ones too."""

    def all(self) -> tuple[Kiosk, ...]:
        """In the order of their enrolment."""

    def stop(self, kiosk_id: KioskID, *, now: datetime) -> bool:
        """True when it was enrolled and not stopped; nothing starts it again."""
