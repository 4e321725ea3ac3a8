"""A name for every identifier that is "just a string", so that mypy refuses to swap two of them."""

from __future__ import annotations

from typing import NewType

ClientID = NewType("ClientID", str)
"""A relying party (RFC 6749 §2.2)."""

InteractionID = NewType("InteractionID", str)
"""One authorization request on its way through the login pages; unguessable, lives 10 minutes."""

TransactionID = NewType("TransactionID", str)
"""One card request (`jti` of the signed request to the agent); unguessable, lives 300 seconds."""

AccountID = NewType("AccountID", str)
"""A resident as the broker knows them: random, internal, never shown to a relying party."""

CredentialID = NewType("CredentialID", str)
"""One certificate in the history of an account."""

SectorID = NewType("SectorID", str)
"""The group of clients that see the same pseudonym (OIDC Core §8.1), frozen at registration."""

Subject = NewType("Subject", str)
"""The pseudonym (`sub`) of an account in a sector: random, stored, never derived or reused (R14)."""

GrantID = NewType("GrantID", str)
"""What one approval gave to one client; its code and every token of it hang on it, and end with it."""

SessionID = NewType("SessionID", str)
"""A login session as its client knows it (`sid`, OIDC Back-Channel Logout §2.1): random, and no key to anything."""

SignTransactionID = NewType("SignTransactionID", str)
JointID = NewType("JointID", str)
"""What a client asked a resident to sign: a random UUID that opens nothing without the client's own token."""

ReceiptID = NewType("ReceiptID", str)
"""One receipt (証跡): a UUID of version 7 (RFC 9562 §5.7), so that their order is that of time."""

Secret = NewType("Secret", str)
"""A bearer value that leaves the broker once and is stored only as a hash (codes, tokens, return codes)."""

LinkID = NewType("LinkID", str)
"""One binding of a service's own number to an account (官民ID連携): random, and no key to anything."""

MandateNumber = NewType("MandateNumber", str)
"""One power of attorney: at least 128 random bits; it stands on the document, and shows nothing to who is no party."""

KioskID = NewType("KioskID", str)
"""A terminal that everybody uses, enrolled by the operator: random, stands in its start address, and opens nothing."""
