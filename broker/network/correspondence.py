"""J-LIS's word on which certificates are one person's, over a gateway (revocation_ports.CorrespondenceSource).

J-LIS discloses its interface to notified verifiers only, so what is spoken here is our own small form of it, in front
of which an operator puts what its contract gives (J-LIS's line, or a platform operator's API):

    POST <address>/predecessor   {"certificate": C}        -> {"certificate": C, "predecessor": C or null}
    POST <address>/correspond    {"certificates": [C, C]}  -> {"certificates": [C, C], "correspond": true or false}
    C = {"issuer_key_hash": SHA-256 of the CA's SPKI in hex, "serial": in lower-case hex without leading zeros}

An answer repeats its question, or it is none (R5). "No predecessor" is an explicit null: a 404 of a wrong path or of
a proxy must not begin a second account for somebody who has one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

from broker.accounts.lifecycle import CertificateName
from broker.errors import CorrespondenceUnknown, InvalidToken, OutboundFailed, OutboundRefused
from broker.jose import parse_json
from broker.network.breaker import Breaker
from broker.network.outbound import OutboundGuard

MAX_ANSWER: Final = 4096
SLOW: Final = timedelta(seconds=1)
"""After so long a failure has cost somebody time."""
_HASH: Final = re.compile(r"[0-9a-f]{64}")
_SERIAL: Final = re.compile(r"[1-9a-f][0-9a-f]{0,39}")  # positive, at most 20 octets (RFC 5280 §4.1.2.2)


class CorrespondenceGateway:
    """Asks at one configured address; threads share it.

    A gateway that let somebody wait for nothing is left alone for a while, so that it does not hold one thread after
    another; one that fails at once costs nobody time and is asked again.
    """

    def __init__(self, address: str, guard: OutboundGuard, clock: Callable[[], datetime]) -> None:
        self._address = address.rstrip("/")
        self._guard = guard
        self._clock = clock
        self._breaker = Breaker(clock)

    def predecessor(self, certificate: CertificateName) -> CertificateName | None:
        """The certificate in whose place this one was issued. Raises CorrespondenceUnknown."""
        answer = self._ask("predecessor", {"certificate": document(certificate)})
        earlier = answer.get("predecessor", "")
        return None if earlier is None else name(earlier)

    def correspond(self, one: CertificateName, other: CertificateName) -> bool:
        """Are both one person's now? Raises CorrespondenceUnknown."""
        answer = self._ask("correspond", {"certificates": [document(one), document(other)]}).get("correspond")
        if not isinstance(answer, bool):
            raise CorrespondenceUnknown("the gateway says neither yes nor no")
        return answer

    def _ask(self, what: str, question: dict[str, Any]) -> dict[str, Any]:
        body = json.dumps(question).encode()
        if self._breaker.open:
            raise CorrespondenceUnknown("the gateway to the old-new mapping did not answer a moment ago")
        asked_at = self._clock()
        try:
            answer = parse_json(
                self._guard.post(f"{self._address}/{what}", body, media_type="application/json", limit=MAX_ANSWER)
            )
        except (OutboundFailed, OutboundRefused) as failed:
            if self._clock() - asked_at >= SLOW:
                self._breaker.trip()
            raise CorrespondenceUnknown(f"the gateway to the old-new mapping: {failed}") from failed
        except InvalidToken as malformed:
            raise CorrespondenceUnknown("the gateway to the old-new mapping answers no JSON object") from malformed
        if any(answer.get(member) != asked for member, asked in question.items()):
            raise CorrespondenceUnknown("the gateway answers another question")
        return answer


def document(certificate: CertificateName) -> dict[str, str]:
    """C, as it is asked about."""
    return {"issuer_key_hash": certificate.issuer_key_hash.hex(), "serial": f"{certificate.serial:x}"}


def name(told: object) -> CertificateName:
    """C, as it was answered. Raises CorrespondenceUnknown."""
    match told:
        case {"issuer_key_hash": str(key_hash), "serial": str(serial)} if _HASH.fullmatch(
            key_hash
        ) and _SERIAL.fullmatch(serial):
            return CertificateName(issuer_key_hash=bytes.fromhex(key_hash), serial=int(serial, 16))
        case _:
            raise CorrespondenceUnknown("the gateway names no certificate")
