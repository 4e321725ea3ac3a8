"""For whom somebody could be acting: shown with the consent, chosen by them, and written into what is granted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from broker.delegation.answering import allowing, best, concerns
from broker.delegation.life import Role
from broker.delegation.verdict import Question
from broker.errors import InvalidRequest
from broker.flows.mandate_answers import ONCE_HELD, Held, opened, question_of, subject_of
from broker.flows.mandates import HELD
from broker.flows.ports import Ports, Transaction
from broker.ids import AccountID, MandateNumber
from broker.oidc import authorization_details, mandate_question
from broker.oidc.client import Client
from broker.oidc.mandate_question import PIN, MandateQuestion

MAX_CONSIDERED: Final = 50
"""Mandates of one agent: those that hold, then the newest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One principal for whom the person could be acting."""

    name: str
    title: str
    """The agent's own title there."""
    numbers: tuple[MandateNumber | None, ...]
    """For each question the mandate that the answer would rest on."""
    allowed: tuple[bool, ...]
    """What the answer would be now: for the person's eyes alone."""

    @property
    def key(self) -> MandateNumber:
        """By which the form names it."""
        return next(number for number in self.numbers if number is not None)


def choices(
    tx: Transaction, details: str, account: AccountID, client: Client, *, now: datetime, ports: Ports
) -> tuple[Choice, ...]:
    """Those for whom the person could act, each once. Raises StoreUnavailable."""
    asked = [(each, question_of(each, client=client, now=now)) for each in authorization_details.questions(details)]
    if not asked:
        return ()
    found: dict[tuple[str, str], list[Held]] = {}
    for held in _held_by(tx, account, ports=ports):
        party = held.standing.last.principal
        of_whom = (party.corporate_number, "" if party.corporate_number else held.principal or "")
        found.setdefault(of_whom, []).append(held)
    told = [choice for all_of in found.values() if (choice := _choice(tx, all_of, asked, client, ports=ports))]
    return tuple(sorted(told, key=lambda each: (not all(each.allowed), each.name, each.key)))


def _choice(
    tx: Transaction,
    all_of: Sequence[Held],
    asked: Sequence[tuple[MandateQuestion, Question]],
    client: Client,
    *,
    ports: Ports,
) -> Choice | None:
    numbers: list[MandateNumber | None] = []
    allowed: list[bool] = []
    subject: str | None = None
    for wanted, question in asked:
        fitting = [
            held
            for held in all_of
            if concerns(held.standing.last, question) and wanted.mandate in {None, held.mandate.number}
        ]
        if wanted.identifier is not None and fitting:
            subject = subject or subject_of(tx, all_of[0].standing, all_of[0].principal, client.sector, ports=ports)
            fitting = fitting if subject == wanted.identifier else []
        chosen = best([held.standing for held in fitting], question)
        numbers.append(None if chosen is None else MandateNumber(chosen.last.number))
        allowed.append(chosen is not None and allowing(chosen, question) is not None)
    if not any(numbers):
        return None
    shown = next(held.standing.last for held in all_of if held.mandate.number in numbers)
    return Choice(name=shown.principal.name, title=shown.agent.title, numbers=tuple(numbers), allowed=tuple(allowed))


def _held_by(tx: Transaction, account: AccountID, *, ports: Ports) -> Iterable[Held]:
    """What has ever held and names the account as agent."""
    found = [mandate for mandate, role in tx.mandates.of(account) if role is Role.AGENT and mandate.state in ONCE_HELD]
    for mandate in sorted(found, key=lambda each: each.state not in HELD)[:MAX_CONSIDERED]:
        yield opened(tx, mandate, ports=ports)


def pin(details: str, offered: Sequence[Choice], chosen: str | None) -> str:
    """The details with the mandates that the person was shown. Raises InvalidRequest: none of them was chosen.

    Where there was nothing to show nothing is pinned, and the answer will be no.
    """
    if not offered:
        return details
    if chosen is None and len(offered) == 1:
        taken = offered[0]
    else:
        found = [each for each in offered if each.key == chosen]
        if not found:
            raise InvalidRequest("principal: one of those on the page")
        taken = found[0]
    numbers = iter(taken.numbers)
    return authorization_details.to_json(
        tuple(
            authorization_details.with_members(each, **{PIN: next(numbers)})
            if each.type == mandate_question.TYPE
            else each
            for each in authorization_details.from_json(details)
        )
    )
