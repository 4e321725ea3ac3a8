"""What a corporation's own certificate (商業登記電子証明書) asks of the shell."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from broker.jpki.certificate import UnrevokedCertificate


class CorporateCertificates(Protocol):
    """The registrar's roots and lists, as the operator configured them."""

    @property
    def anchors(self) -> tuple[bytes, ...]:
        """The registrar's roots (DER); no network."""

    def judge(self, certificate: bytes, *, others: Sequence[bytes], at: datetime) -> UnrevokedCertificate:
        """Prove it, with what came along, under the roots and by lists that are good now.

        Raises CertificateError; RevocationUnknown, also where a list cannot be had.
        """
