"""One schema for SQLite and PostgreSQL. Every promise of flows.ports that a constraint can carry, one carries.

Times are UTC and aware in Python on both engines; digests are bytes. `audit` takes rows and never gives
one back: two triggers refuse UPDATE and DELETE (R16).
"""

from __future__ import annotations

from broker.storage.schema.base import UTCDateTime, metadata
from broker.storage.schema.clients import (
    clients,
    initial_access_tokens,
    sectors,
)
from broker.storage.schema.house import (
    AUDIT_TRIGGERS,
    attempts,
    audit,
    clock,
    leases,
)
from broker.storage.schema.joints import joint_transactions
from broker.storage.schema.kiosks import kiosks
from broker.storage.schema.links import (
    link_alarms,
    link_counts,
    link_requests,
    links,
)
from broker.storage.schema.logins import (
    backchannel_requests,
    card_transactions,
    device_codes,
    interactions,
    pushed_requests,
    sessions,
)
from broker.storage.schema.mandates import (
    mandate_decisions,
    mandate_events,
    mandate_evidence,
    mandate_judges,
    mandate_notes,
    mandate_orders,
    mandate_parts,
    mandates,
    protections,
    status_epochs,
)
from broker.storage.schema.my_page import (
    account_orders,
    activities,
    attributes,
    operators,
    recovery_codes,
    support_numbers,
)
from broker.storage.schema.people import (
    accounts,
    consent_history,
    consents,
    credentials,
    notice_marks,
    registrations,
    revoked_certificates,
    subjects,
)
from broker.storage.schema.proofing import identity_proofs
from broker.storage.schema.receipts import receipts
from broker.storage.schema.register import (
    REGISTER_TRIGGERS,
    register_checkpoints,
    register_entries,
    register_logs,
    register_nodes,
)
from broker.storage.schema.signing import (
    raw_digests,
    sign_documents,
    sign_transactions,
)
from broker.storage.schema.tokens import (
    access_tokens,
    assertions,
    codes,
    grant_certificates,
    grants,
    logout_deliveries,
    proofs,
    refresh_tokens,
)

__all__ = [
    "AUDIT_TRIGGERS",
    "REGISTER_TRIGGERS",
    "UTCDateTime",
    "access_tokens",
    "account_orders",
    "accounts",
    "activities",
    "assertions",
    "attempts",
    "attributes",
    "audit",
    "backchannel_requests",
    "card_transactions",
    "clients",
    "clock",
    "codes",
    "consent_history",
    "consents",
    "credentials",
    "device_codes",
    "grant_certificates",
    "grants",
    "identity_proofs",
    "initial_access_tokens",
    "interactions",
    "joint_transactions",
    "kiosks",
    "leases",
    "link_alarms",
    "link_counts",
    "link_requests",
    "links",
    "logout_deliveries",
    "mandate_decisions",
    "mandate_events",
    "mandate_evidence",
    "mandate_judges",
    "mandate_notes",
    "mandate_orders",
    "mandate_parts",
    "mandates",
    "metadata",
    "notice_marks",
    "operators",
    "proofs",
    "protections",
    "pushed_requests",
    "raw_digests",
    "receipts",
    "recovery_codes",
    "refresh_tokens",
    "register_checkpoints",
    "register_entries",
    "register_logs",
    "register_nodes",
    "registrations",
    "revoked_certificates",
    "sectors",
    "sessions",
    "sign_documents",
    "sign_transactions",
    "status_epochs",
    "subjects",
    "support_numbers",
]
