"""What one may be empowered to do, in the words of the forms that Japanese procurement uses (delegation, 1.5)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Kind(StrEnum):
    """Whose power it is."""

    BUSINESS = "poa.business"
    """電子委任状: a business empowers its staff or others (電子委任状法 art. 2(1))."""
    PERSON = "poa.person"
    """A resident lets another act for them at one service; outside that act."""
    GUARDIAN = "poa.guardian"
    """A parent or guardian acts for a child at one service."""


class Act(StrEnum):
    """The first eleven belong to procurement, the rest to a family's dealings with one service."""

    BID = "bid"
    QUOTE = "quote"
    CONTRACT = "contract"
    AMEND = "amend"
    DELIVER = "deliver"
    INVOICE = "invoice"
    RECEIVE = "receive"
    BOND = "bond"
    SUBMIT = "submit"
    ATTEND_OPENING = "attend_opening"
    APPOINT_SUBAGENT = "appoint_subagent"
    VIEW_RECORD = "view_record"
    WRITE_RECORD = "write_record"
    BOOK = "book"


FAMILY: Final = frozenset({Kind.PERSON, Kind.GUARDIAN})
PROCUREMENT: Final = frozenset(Act) - {Act.VIEW_RECORD, Act.WRITE_RECORD, Act.BOOK}
ALLOWED: Final[Mapping[Kind, frozenset[Act]]] = MappingProxyType(
    {
        Kind.BUSINESS: PROCUREMENT,
        Kind.PERSON: frozenset({Act.VIEW_RECORD, Act.WRITE_RECORD, Act.BOOK, Act.SUBMIT}),
        Kind.GUARDIAN: frozenset({Act.VIEW_RECORD, Act.WRITE_RECORD, Act.BOOK, Act.SUBMIT}),
    }
)

JA: Final[Mapping[Act, str]] = MappingProxyType(
    {
        Act.BID: "入札",
        Act.QUOTE: "見積",
        Act.CONTRACT: "契約の締結",
        Act.AMEND: "契約の変更",
        Act.DELIVER: "納入・検査",
        Act.INVOICE: "代金の請求",
        Act.RECEIVE: "代金の受領",
        Act.BOND: "保証金の納付・還付",
        Act.SUBMIT: "書類の提出",
        Act.ATTEND_OPENING: "開札の立会い",
        Act.APPOINT_SUBAGENT: "復代理人の選任",
        Act.VIEW_RECORD: "記録を見ること",
        Act.WRITE_RECORD: "記録に書くこと",
        Act.BOOK: "予約",
    }
)
EN: Final[Mapping[Act, str]] = MappingProxyType(
    {
        Act.BID: "submit bids",
        Act.QUOTE: "submit estimates",
        Act.CONTRACT: "conclude contracts",
        Act.AMEND: "change contracts",
        Act.DELIVER: "deliver and attend inspection",
        Act.INVOICE: "send invoices",
        Act.RECEIVE: "receive payment",
        Act.BOND: "lodge and take back deposits",
        Act.SUBMIT: "submit documents",
        Act.ATTEND_OPENING: "attend the opening of bids",
        Act.APPOINT_SUBAGENT: "appoint a sub-agent",
        Act.VIEW_RECORD: "see records",
        Act.WRITE_RECORD: "write into records",
        Act.BOOK: "make appointments",
    }
)
