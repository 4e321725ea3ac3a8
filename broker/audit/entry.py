"""One line of the audit record: who did what, when, to whom, decided by what evidence (R16).

An entry names accounts, clients and transactions by their internal ids and never carries a PIN,
serial, subject DN, code or token.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from broker.ids import AccountID, ClientID


class Event(StrEnum):
    """What happened."""

    LOGIN = "login"
    LOGIN_REFUSED = "login_refused"
    ANSWER_REPLAYED = "answer_replayed"
    CONSENT_GIVEN = "consent_given"
    CONSENT_REFUSED = "consent_refused"
    CONSENT_WITHDRAWN = "consent_withdrawn"
    CONSENT_RESTORED = "consent_restored"
    USE_DISOWNED = "use_disowned"
    """Somebody said of a use of their account that it was not theirs: an alarm."""
    ATTRIBUTE_CHANGED = "attribute_changed"
    ACCOUNT_STOPPED = "account_stopped"
    ACCOUNT_REOPENED = "account_reopened"
    ACCOUNT_DELETED = "account_deleted"
    ACCOUNT_REVIVED = "account_revived"
    ACCOUNT_EXPORTED = "account_exported"
    SESSIONS_ENDED = "sessions_ended"
    RECOVERY_CODES_MADE = "recovery_codes_made"
    RECOVERY_CODE_USED = "recovery_code_used"
    OPERATOR_ADDED = "operator_added"
    OPERATOR_REMOVED = "operator_removed"
    ORDER_PLACED = "order_placed"
    ORDER_CONFIRMED = "order_confirmed"
    IDENTITY_PROVED = "identity_proved"
    CODE_ISSUED = "code_issued"
    CODE_REPLAYED = "code_replayed"
    TOKEN_ISSUED = "token_issued"  # noqa: S105 -- the name of an event
    TOKEN_REFUSED = "token_refused"  # noqa: S105 -- the name of an event
    TOKEN_REVOKED = "token_revoked"  # noqa: S105 -- the name of an event
    REFRESH_REPLAYED = "refresh_replayed"
    GRANT_PAUSED = "grant_paused"
    GRANT_RESUMED = "grant_resumed"
    GRANT_ENDED = "grant_ended"
    APPROVED_ELSEWHERE = "approved_elsewhere"
    DENIED_ELSEWHERE = "denied_elsewhere"
    LINK_ASKED = "link_asked"
    LINK_STARTED = "link_started"
    LINK_MADE = "link_made"
    LINK_HELD = "link_held"
    LINK_CONFIRMED = "link_confirmed"
    LINK_REFUSED = "link_refused"
    LINK_ENDED = "link_ended"
    LINK_ALARM = "link_alarm"
    LINKS_RECONCILED = "links_reconciled"
    NUMBER_QUARANTINED = "number_quarantined"
    KIOSK_ENROLLED = "kiosk_enrolled"
    KIOSK_STOPPED = "kiosk_stopped"
    KIOSK_SESSION_ENDED = "kiosk_session_ended"
    LOGOUT = "logout"
    LOGOUT_DELIVERED = "logout_delivered"
    LOGOUT_UNDELIVERED = "logout_undelivered"
    CLIENT_ADDED = "client_added"
    CLIENT_CHANGED = "client_changed"
    CLIENT_REMOVED = "client_removed"
    CLIENT_INVITED = "client_invited"
    SECTOR_APPROVED = "sector_approved"
    SESSION_REPLACED = "session_replaced"
    SESSION_ENDED = "session_ended"
    CERTIFICATE_RENEWED = "certificate_renewed"
    SIGNATURE_ORDERED = "signature_ordered"
    SIGNATURE_MADE = "signature_made"
    SIGNATURE_FETCHED = "signature_fetched"
    SIGNATURE_CANCELLED = "signature_cancelled"
    JOINT_ORDERED = "joint_ordered"
    JOINT_BEGUN = "joint_begun"
    """A doctor's card came."""
    JOINT_COMPLETED = "joint_completed"
    """The patient's came too."""
    JOINT_ENDED = "joint_ended"
    MANDATE_DRAFTED = "mandate_drafted"
    MANDATE_JOINED = "mandate_joined"
    MANDATE_ANSWERED = "mandate_answered"
    """A service asked whether somebody may act for another."""
    MANDATE_CHANGED = "mandate_changed"
    MANDATE_JUDGED = "mandate_judged"
    GUARDIANSHIP_CONFIRMED = "guardianship_confirmed"
    GUARDIANSHIP_ENDED = "guardianship_ended"
    PURGED = "purged"
    CRL_REFUSED = "crl_refused"
    NOTICES_TAKEN = "notices_taken"
    RECEIPTS_READ = "receipts_read"


_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One audit row. `detail` holds short strings and numbers only."""

    at: datetime
    event: Event
    client_id: ClientID | None = None
    account: AccountID | None = field(default=None, repr=False)
    reference: str | None = None
    """The transaction, interaction or token id that other rows of the same story carry."""
    detail: Mapping[str, str | int | None] = field(default_factory=dict)

    def detail_json(self) -> str:
        """Canonical enough to be compared: sorted members, no spaces."""
        return _encode(dict(self.detail)) if self.detail else "{}"
