"""Everything the broker keeps of a person, for that person: one document, and the same as tables."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from broker.audit.entry import Entry, Event
from broker.delegation import grant_document as grants
from broker.delegation import statement as written
from broker.delegation.life import Role
from broker.delegation.members import MAX_BYTES
from broker.errors import KioskActOff
from broker.flows import mandates, statements
from broker.flows.attributes import Registered, registered
from broker.flows.mandate_ports import Happened
from broker.flows.mandates import MandateView
from broker.flows.my_page import Visit
from broker.flows.ports import Ports
from broker.flows.services import Record, Service, Use, records, services, uses
from broker.flows.statements import StatementView
from broker.jose import parse_json

MAX_USES: Final = 10_000
"""Of the newest; more is told by `more`."""
_STEP: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """All of it, as found in one look."""

    at: datetime
    began_at: datetime | None
    services: tuple[Service, ...]
    records: tuple[Record, ...]
    uses: tuple[Use, ...]
    more: bool
    attributes: tuple[Registered, ...] = field(repr=False)
    mandates: tuple[MandateView, ...] = field(default=(), repr=False)
    """Given, received and approved."""
    statements: tuple[StatementView, ...] = field(default=(), repr=False)
    """Made, and about the person."""

    def document(self) -> dict[str, Any]:
        """As JSON writes it: names of clients as ids, times in UTC (RFC 3339)."""
        return {
            "version": 1,
            "made_at": _instant(self.at),
            "account_began_at": _instant(self.began_at),
            "services": [
                {
                    "client_id": one.client_id,
                    "name": None if one.client is None else one.client.name,
                    "items": sorted(one.held.consent.scope),
                    "left_out": sorted(one.held.consent.declined),
                    "agreed_at": _instant(one.held.consent.granted_at),
                    "withdrawn_at": _instant(one.held.withdrawn_at),
                    "last_used_at": _instant(one.last_used_at),
                }
                for one in self.services
            ],
            "consents": [
                {
                    "client_id": one.record.client_id,
                    "event": one.record.event,
                    "items": sorted(one.record.scope),
                    "left_out": sorted(one.record.declined),
                    "at": _instant(one.record.at),
                }
                for one in self.records
            ],
            "uses": [
                {
                    "client_id": one.activity.client_id,
                    "kind": one.activity.kind.value,
                    "how": one.activity.how.value,
                    "result": one.activity.result.value,
                    "items": list(one.activity.items),
                    "times": one.activity.count,
                    "at": _instant(one.activity.at),
                    "last_at": _instant(one.activity.last_at),
                    "reported_at": _instant(one.activity.reported_at),
                }
                for one in self.uses
            ],
            "more_uses": self.more,
            "attributes": {
                one.attribute.name: {"values": dict(one.values), "changed_at": _instant(one.changed_at)}
                for one in self.attributes
                if one.values
            },
            "delegations": [_mandate(view) for view in self.mandates],
            "statements": [_statement(view) for view in self.statements],
        }


def collect(visit: Visit, *, limit: int = MAX_USES, ports: Ports) -> Export:
    """Everything of the account of this visit; that it was taken stands in the audit record.

    Raises KioskActOff: a file would stay on a terminal that everybody uses (R4).
    """
    if visit.session.kiosk_id is not None:
        raise KioskActOff("nothing is saved at a kiosk")
    found: list[Use] = []
    before: int | None = None
    more = True
    while more and len(found) < limit:
        page = uses(visit, before=before, limit=min(_STEP, limit - len(found)), ports=ports)
        found += page.uses
        before, more = page.older, page.older is not None
    with ports.store.transaction() as tx:
        began_at = tx.standings.began_at(visit.account)
        tx.audit.append(Entry(at=visit.now, event=Event.ACCOUNT_EXPORTED, account=visit.account))
    return Export(
        at=visit.now,
        began_at=began_at,
        services=services(visit, ports=ports),
        records=records(visit, ports=ports),
        uses=tuple(found),
        more=more,
        attributes=registered(visit, ports=ports),
        mandates=mandates.everything(visit, ports=ports),
        statements=statements.everything(visit, ports=ports),
    )


def _mandate(view: MandateView) -> dict[str, Any]:
    return {
        "number": view.mandate.number,
        "role": view.role.value,
        "state": view.mandate.state.value,
        "grant": parse_json(grants.write(view.grant), limit=MAX_BYTES),
        "history": _history(view.story),
        "answers": [
            {
                "client_id": each.client_id,
                "act": each.act.value,
                "entity": each.entity,
                "amount": each.amount,
                "allowed": each.allowed,
                "at": _instant(each.at),
            }
            for each in view.decisions
        ],
    }


def _statement(view: StatementView) -> dict[str, Any]:
    return {
        "number": view.mandate.number,
        "role": "employer" if view.role is Role.PRINCIPAL else "employee",
        "state": view.mandate.state.value,
        "statement": parse_json(written.write(view.statement), limit=MAX_BYTES),
        "history": _history(view.story),
    }


def _history(story: Iterable[Happened]) -> list[dict[str, Any]]:
    return [{"event": each.happening.value, "at": _instant(each.at)} for each in story]


def _instant(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="seconds").replace("+00:00", "Z")


DANGEROUS: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""With these a spreadsheet begins a formula (OWASP, CSV injection), the full-width ones in Japanese ones too."""


def cell(text: str) -> str:
    """A cell that no spreadsheet takes for a formula: quoted by an apostrophe where it begins like one."""
    return f"'{text}" if text.startswith(DANGEROUS) else text
