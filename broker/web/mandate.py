"""What a party does about a mandate, be it a power of attorney or a certificate: take it up, a deed, its files."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from typing import Final

from flask import Blueprint, Response

from broker.delegation import bundle as bundles
from broker.delegation.bundle import Papers
from broker.delegation.life import Deed
from broker.errors import DelegationUnknown
from broker.flows import mandate_cards, mandate_drafts, mandate_ends, mandate_papers
from broker.flows.my_page import Need, Visit
from broker.ids import MandateNumber
from broker.web.me import posted, visit
from broker.web.pages import attachment, language, see_other, to_login
from broker.web.settings import ports

BY_CARD: Final = frozenset({Deed.SIGN, Deed.APPROVE, Deed.ACCEPT, Deed.RESUME})
"""What widens. Every other deed of a party narrows, and is done at once (R2)."""

Check = Callable[[Visit, MandateNumber], object]
"""Raises DelegationUnknown where the mandate is not of the family whose address was used."""


def take(who: Visit, invitation: str, *, at: str) -> Response:
    """They are the one; what they sign follows on its page below `at`. Raises DelegationUnknown."""
    number = mandate_drafts.take(who, invitation, ports=ports())
    return _page(at, number)


def act(number: str, deed: str, *, among: Collection[Deed], at: str, check: Check | None = None) -> Response:
    """What widens goes on with the card; what narrows is done at once.

    Raises DelegationUnknown (no deed `among` these, or what `check` says), DelegationStateRefused, and as `me.posted`.
    """
    wanted = next((each for each in among if each.value == deed), None)
    if wanted is None:
        raise DelegationUnknown("no such deed")
    who, _ = posted(need=Need.OWN if wanted in BY_CARD else Need.ANY)
    name = MandateNumber(number)
    if check is not None:
        check(who, name)
    if wanted not in BY_CARD:
        mandate_ends.end(who, name, wanted, ports=ports())
        return _page(at, name)
    return to_login(mandate_cards.begin(who, name, wanted, ui_locales=language(), ports=ports()))


def offer(blueprint: Blueprint, *, at: str, stem: str, check: Check | None = None) -> None:
    """Put the files of a sealed mandate below `at`: all together as bundle.zip, and each by itself as `stem`."""

    def mine(number: str) -> tuple[Visit, MandateNumber]:
        who, name = visit(), MandateNumber(number)
        if check is not None:
            check(who, name)
        return who, name

    def bundle(number: str) -> Response:
        who, name = mine(number)
        found = mandate_papers.bundle(who, name, ports=ports())
        return attachment(bundles.write(found), "application/zip", "bundle.zip")

    def paper(number: str, *, of: Callable[[Papers], bytes | None], media_type: str, suffix: str) -> Response:
        who, name = mine(number)
        found = mandate_papers.papers(who, name, ports=ports())
        return attachment(of(found) or b"", media_type, f"{stem}{suffix}")

    blueprint.add_url_rule(f"{at}/<handle:number>/bundle.zip", "bundle", bundle)
    for endpoint, suffix, media_type, of in _FILES:
        one = partial(paper, of=of, media_type=media_type, suffix=suffix)
        blueprint.add_url_rule(f"{at}/<handle:number>/{stem}{suffix}", endpoint, one)


_FILES: Final[tuple[tuple[str, str, str, Callable[[Papers], bytes | None]], ...]] = (
    ("document", ".pdf", "application/pdf", lambda papers: papers.pdf),  # the sealed document
    ("record", ".json", "application/json", lambda papers: papers.record),  # a copy of what it carries
    ("proof", ".tlog-proof", "text/plain; charset=utf-8", lambda papers: papers.proof),  # of its entry in the register
    ("salt", ".salt", "application/octet-stream", lambda papers: papers.salt),  # opens the commitment in that entry
)


def _page(at: str, number: MandateNumber) -> Response:
    return see_other(f"{ports().policy.issuer}{at}/{number}")
