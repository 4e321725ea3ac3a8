"""What sealing a document asks of the shell."""

from __future__ import annotations

from typing import Protocol

from broker.delegation.sealing import SealMaterial


class SealPort(Protocol):
    """The seal's certificates and evidence, a printer of records, a time-stamp authority; the key is Keys' own."""

    @property
    def anchors(self) -> tuple[bytes, ...]:
        """What verifiers are expected to trust (DER); no network."""

    def material(self) -> SealMaterial:
        """With lists that are good now. Raises OutboundFailed, OutboundRefused."""

    def stamp(self, request: bytes, /) -> bytes:
        """A TimeStampResp (DER) to a TimeStampReq (RFC 3161). Raises OutboundFailed, OutboundRefused."""

    def printer(self) -> Printer:
        """Made at its first use: it loads the fonts. Raises SettingsError."""


class Printer(Protocol):
    """`rendering.Renderer`."""

    @property
    def template_hash(self) -> str: ...
    def render(self, record: bytes) -> bytes: ...
    def rendered_apart(self, record: bytes) -> bytes: ...
