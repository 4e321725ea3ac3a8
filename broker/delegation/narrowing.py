"""A sub-agent's power (復代理) lies within the power it comes from, and within every one above that.

Sources: 民法 art. 104 and 106; EBSI's rule that only owned rights go down (delegation, 2).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from broker.delegation.acts import Kind
from broker.delegation.grant import ANY_ENTITY, Grant, Limit, Power, Scope, ScopeKind
from broker.delegation.rules import Rule
from broker.errors import PowerRefused


def check_chain(chain: Sequence[Grant]) -> None:
    """The first grant, then each that comes from the one before it. Raises PowerRefused; a single grant is a chain.

    Whether each of them is in force is another question.
    """
    for depth, (parent, child) in enumerate(pairwise(chain), start=1):
        _check(child, parent)
        if depth > chain[0].sub_delegation:
            raise PowerRefused(Rule.CHILD_DEPTH, "sub_delegation")
    if chain[0].parent is not None:
        raise PowerRefused(Rule.CHILD_PARENT, "parent")


def _check(child: Grant, parent: Grant) -> None:
    if child.parent != parent.number or child.kind is not Kind.BUSINESS or child.issuer != parent.issuer:
        raise PowerRefused(Rule.CHILD_PARENT, "parent")
    if not parent.sub_delegation:
        raise PowerRefused(Rule.CHILD_NOT_ALLOWED, "parent")
    if child.sub_delegation >= parent.sub_delegation:
        raise PowerRefused(Rule.CHILD_DEPTH, "sub_delegation")
    same = parent.principal.corporate_number
    if child.principal.corporate_number != same or child.agent.corporate_number not in {"", same}:
        raise PowerRefused(Rule.CHILD_ENTITY, "agent.corporate_number")
    if child.begins < parent.begins or child.ends > parent.ends:
        raise PowerRefused(Rule.CHILD_TERM, "ends")
    if child.joint_venture != parent.joint_venture:
        raise PowerRefused(Rule.CHILD_WIDER, "joint_venture")
    for n, power in enumerate(child.powers):
        if not any(within(power, whole) for whole in parent.powers):
            raise PowerRefused(Rule.CHILD_WIDER, f"powers.{n}")


def within(part: Power, whole: Power) -> bool:
    """Whether everything that `part` allows, `whole` allows too. Acts may not be gathered from several powers."""
    return part.acts <= whole.acts and _scope_within(part.scope, whole.scope) and _limit_within(part.limit, whole.limit)


def _scope_within(part: Scope, whole: Scope) -> bool:
    if ScopeKind.SERVICE in {part.kind, whole.kind}:
        return part == whole
    if whole.kind is ScopeKind.CASE and (part.kind is not ScopeKind.CASE or part.case_number != whole.case_number):
        return False
    entities = ANY_ENTITY in whole.entities or part.entities <= whole.entities
    categories = not whole.categories or (bool(part.categories) and part.categories <= whole.categories)
    return entities and categories


def _limit_within(part: Limit | None, whole: Limit | None) -> bool:
    """An amount with tax is compared with an amount with tax only: nobody can tell what the tax will be."""
    if whole is None:
        return True
    if part is None or part.amount > whole.amount or part.tax_included != whole.tax_included:
        return False
    return part.total or not whole.total
