"""Must this resident be asked before this client learns anything? (OIDC Core §3.1.2.4)"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from broker.ids import ClientID
from broker.oidc import data_use
from broker.oidc.client import Client

ALWAYS: Final = "openid"
"""The pseudonym and the fact of the login: without it there is nothing to agree to."""

EACH_TIME: Final = frozenset({"sign"})
"""Agreed to by what the card signs, document by document, and never once for all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """What a resident allowed a client to receive, until withdrawn."""

    client_id: ClientID
    scope: frozenset[str]
    granted_at: datetime
    declined: frozenset[str] = frozenset()
    """Optional items that were left out: not asked about again under the same terms."""
    terms: str = ""
    """`terms_of` what was shown."""


def terms_of(client: Client, items: Iterable[str]) -> str:
    """A name for what was shown of `items`: who asks, for what purpose, for how long, and what may be left out.

    It changes when the client changes its words; then people are asked again. A client without words has none.
    """
    uses = [use for use in client.data_use if use.item in set(items)]
    if not uses:
        return ""
    shown = [
        [use.item, use.purpose, use.retention, use.purpose_en, use.retention_en, use.optional]
        for use in sorted(uses, key=lambda use: use.item)
    ]
    return hashlib.sha256(json.dumps(shown, ensure_ascii=False).encode()).hexdigest()[:32]


def uses_shown(client: Client, items: Iterable[str]) -> str:
    """The words themselves, for the record of what was agreed to; empty where there were none."""
    uses = data_use.tell(tuple(use for use in client.data_use if use.item in set(items)))
    return json.dumps(uses, ensure_ascii=False) if uses else ""


def needed(
    consent: Consent | None, *, scope: frozenset[str], prompt: frozenset[str], client: Client | None = None
) -> bool:
    """Yes for the first time, for anything more than was asked before, under other terms than before, and whenever the
    client asks for it.
    """
    if consent is None or "consent" in prompt or not scope - EACH_TIME <= consent.scope | consent.declined:
        return True
    return client is not None and terms_of(client, consent.scope | consent.declined) != consent.terms


def allowed(consent: Consent, scope: frozenset[str]) -> frozenset[str]:
    """The part of `scope` that was agreed to; what was left out stays out."""
    return scope & (consent.scope | EACH_TIME)


def optional_items(client: Client, scope: frozenset[str]) -> frozenset[str]:
    """What of `scope` may be left out and the rest still be used: what the client itself calls optional."""
    return frozenset(use.item for use in client.data_use if use.optional and use.item != ALWAYS) & scope
