"""A platform operator's API (プラットフォーム事業者): who may not ask J-LIS has a certified operator verify instead.

Operators' interfaces are their own and under contract. What is spoken here is one worked example, in front of which a
contract's own form is put (or instead of which an adapter of this shape is written):

    POST <url>/registrations  {"certificate": DER in Base64, "nonce"}      + {"registration": opaque text}
    POST <url>/verifications  {"certificate": DER in Base64, "nonce"}      + {"status", "reason", "this_update"}
    POST <url>/notices        {"after": number, "nonce"}                   + {"notices": [N, …]}
    POST <url>/replacements   {"certificate": C, "nonce"}                  + {"replaces": C or null}
    POST <url>/correspondences {"certificates": [C, C], "nonce"}           + {"correspond": true or false}
    N = {"number", "registration", "revoked_at", "reason"}; C as in `correspondence`

Each question carries our token and a fresh nonce, and an answer repeats its whole question, or it is none (R5).
Statuses are good, revoked and unknown; reasons are RFC 5280 §5.3.1's names; times are ISO 8601 with a zone. Notices
are fetched, not pushed: nobody outside can call us, and numbers that rise by one show that none was lost.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import structlog

from broker.accounts.lifecycle import CertificateName
from broker.errors import CorrespondenceUnknown, InvalidToken, OutboundFailed, OutboundRefused, RevocationUnknown
from broker.flows.notice import Notice
from broker.flows.revocation_ports import Evidence
from broker.jose import b64url, parse_json
from broker.jpki.certificate import TrustedCertificate
from broker.jpki.verdict import RevocationStatus, RevocationVerdict
from broker.network.breaker import Breaker
from broker.network.configuration import Platform
from broker.network.correspondence import document, name
from broker.network.outbound import OutboundGuard

SECONDS: Final = 2.0
MAX_ANSWER: Final = 64 * 1024
MAX_NOTICES: Final = 500
"""In one answer; the rest comes with the next question."""
AHEAD: Final = timedelta(seconds=5)
"""How far the operator's clock may run before ours."""
_REGISTRATION: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")
_REASON: Final = re.compile(r"[A-Za-z]{1,32}")

_log = structlog.get_logger("broker.network.platform")


class PlatformOperator:
    """Fulfils RevocationSource, notice.RevocationNotices and CorrespondenceSource; threads share it.

    It asks the operator each time. One that is silent is left alone for a while, so each of the three that a broker
    uses is an instance of its own: a fault of the mapping must not stop verification.
    """

    def __init__(
        self,
        platform: Platform,
        guard: OutboundGuard,
        clock: Callable[[], datetime],
        entropy: Callable[[int], bytes],
    ) -> None:
        self._platform, self._clock, self._entropy = platform, clock, entropy
        self._guard = replace(guard, total_seconds=min(SECONDS, guard.total_seconds))
        self._breaker = Breaker(clock)

    def judge(self, certificate: TrustedCertificate, *, at: datetime, max_age: timedelta) -> Evidence:
        """The operator's word on `certificate`; UNKNOWN where it has none that is whole, young and to this question."""
        try:
            verdict = self._verdict(self._ask("verifications", certificate=_text(certificate.der)), max_age)
        except RevocationUnknown as unknown:
            _log.warning("platform_proves_nothing", source=self._platform.url, cause=str(unknown))
            verdict = RevocationVerdict(status=RevocationStatus.UNKNOWN, reason=str(unknown), source="platform")
        return Evidence(verdict=verdict, address=self._platform.url)

    @property
    def address(self) -> str:
        return self._platform.url

    def refresh_all(self) -> dict[str, bool]:
        """Nothing is fetched ahead of a question."""
        return {}

    def register(self, certificate: TrustedCertificate) -> str:
        """Ask for notices about `certificate`; answers the operator's name for it. Raises RevocationUnknown."""
        try:
            return _registration(self._ask("registrations", certificate=_text(certificate.der)).get("registration"))
        except RevocationUnknown as unknown:
            _log.warning("platform_registers_nothing", source=self._platform.url, cause=str(unknown))
            raise

    def predecessor(self, certificate: CertificateName) -> CertificateName | None:
        """The certificate in whose place this one was issued. Raises CorrespondenceUnknown."""
        try:
            earlier = self._ask("replacements", certificate=document(certificate)).get("replaces", "")
        except RevocationUnknown as unknown:
            raise CorrespondenceUnknown(str(unknown)) from unknown
        return None if earlier is None else name(earlier)  # "none" is an explicit null

    def correspond(self, one: CertificateName, other: CertificateName) -> bool:
        """Are both one person's now? Raises CorrespondenceUnknown."""
        try:
            answer = self._ask("correspondences", certificates=[document(one), document(other)]).get("correspond")
        except RevocationUnknown as unknown:
            raise CorrespondenceUnknown(str(unknown)) from unknown
        if not isinstance(answer, bool):
            raise CorrespondenceUnknown("platform: neither yes nor no")
        return answer

    def notices(self, *, after: int) -> tuple[Notice, ...]:
        """The notices that follow number `after`, in order and without a gap. Raises RevocationUnknown."""
        rows = self._ask("notices", after=after).get("notices")
        if not isinstance(rows, list) or len(rows) > MAX_NOTICES:
            raise RevocationUnknown("platform: no list of notices")
        notices = tuple(_notice(row) for row in rows)
        if [notice.number for notice in notices] != list(range(after + 1, after + 1 + len(notices))):
            raise RevocationUnknown("platform: a notice is missing or stands twice")
        return notices

    def _ask(self, what: str, **question: object) -> dict[str, Any]:
        if self._breaker.open:
            raise RevocationUnknown("platform: it gave no answer a moment ago")
        question["nonce"] = b64url(self._entropy(32))
        try:
            body = self._guard.post(
                f"{self._platform.url}/{what}",
                json.dumps(question).encode(),
                media_type="application/json",
                bearer=self._platform.token,
                limit=MAX_ANSWER,
            )
        except (OutboundFailed, OutboundRefused) as failed:
            self._breaker.trip()
            raise RevocationUnknown(f"platform: {failed}") from failed
        try:
            answer = parse_json(body)
        except InvalidToken as malformed:
            raise RevocationUnknown("platform: the answer is no JSON object") from malformed
        if any(answer.get(member) != asked for member, asked in question.items()):
            raise RevocationUnknown("platform: the answer is to another question")
        return answer

    def _verdict(self, answer: dict[str, Any], max_age: timedelta) -> RevocationVerdict:
        now = self._clock()
        this_update = _moment(answer.get("this_update"))
        if not now - max_age <= this_update <= now + AHEAD:
            raise RevocationUnknown("platform: the answer is too old, or not yet")
        match answer.get("status"), answer.get("reason"):
            case "good", "":
                return RevocationVerdict(
                    status=RevocationStatus.GOOD, reason="", source="platform", this_update=this_update
                )
            case "revoked", str(reason) if _REASON.fullmatch(reason):
                return RevocationVerdict(
                    status=RevocationStatus.REVOKED, reason=reason, source="platform", this_update=this_update
                )
            case _:
                raise RevocationUnknown("platform: the operator does not know")


def _text(der: bytes) -> str:
    return b64encode(der).decode()


def _registration(value: object) -> str:
    if not isinstance(value, str) or not _REGISTRATION.fullmatch(value):
        raise RevocationUnknown("platform: no registration")
    return value


def _moment(value: object) -> datetime:
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) and len(value) <= 40 else None
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise RevocationUnknown("platform: no time with a zone")
    return moment.astimezone(UTC)


def _notice(row: object) -> Notice:
    match row:
        case {"number": int(number), "registration": registration, "revoked_at": at, "reason": str(reason)} if (
            _REASON.fullmatch(reason)
        ):
            return Notice(
                number=number, registration=_registration(registration), revoked_at=_moment(at), reason=reason
            )
        case _:
            raise RevocationUnknown("platform: a notice is not in its form")
