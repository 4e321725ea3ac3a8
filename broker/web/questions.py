"""What a client asks about a power of attorney, in words: before the card, and with the consent."""

from __future__ import annotations

from dataclasses import dataclass

from flask_babel import get_locale

from broker.oidc.authorization import AuthorizationRequest
from broker.oidc.mandate_question import MandateQuestion
from broker.web.settings import ports
from broker.web.words import act_word


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One question as a page shows it."""

    act: str
    entity: str
    """Its name where it is listed, and its code; empty for a family's question."""
    case_number: str
    category: str
    amount: str
    tax_included: bool


def asked(request: AuthorizationRequest) -> tuple[Asked, ...]:
    """In the order of the request."""
    return tuple(_asked(each) for each in request.questions)


def _asked(question: MandateQuestion) -> Asked:
    return Asked(
        act=act_word(question.act),
        entity="" if question.entity is None else entity_name(question.entity),
        case_number=question.case_number or "",
        category=question.category or "",
        amount="" if question.amount is None else f"{question.amount:,}",
        tax_included=question.tax_included,
    )


def entity_name(code: str) -> str:
    """A procuring entity as people read it."""
    known = ports().policy.procuring_entities.get(code)
    if known is None:
        return code
    return f"{known.into(str(get_locale()))}（{code}）" if str(get_locale()) == "ja" else f"{known.into('en')} ({code})"
