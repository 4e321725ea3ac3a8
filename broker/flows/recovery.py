"""When the card is gone: codes that were made with it stop the account, end its logins, or take back its consents.

A code narrows and never opens anything (design 4.13); it works once, and wrong ones are counted.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Final

from broker.accounts.account import RECOVERY_CODES, mint_recovery_code, read_recovery_code, shown_recovery_code
from broker.accounts.activity import Activity, How, Kind
from broker.audit.entry import Entry, Event
from broker.errors import FormTokenInvalid, RecoveryCodeUnknown, TooManyRequests
from broker.flows.ending import Ended, end_access, stop_account, withdraw_consent
from broker.flows.my_page import MY_PAGE, Visit, settle_own_client
from broker.flows.ports import Ports, Transaction
from broker.flows.rate import Rate, window_start
from broker.flows.secret import digest
from broker.ids import AccountID

_LABEL: Final = b"recovery-code"
_EVERYBODY: Final = "recovery-code"
WRONG_CODES: Final = Rate(limit=600, window=timedelta(minutes=10))
"""Wrong codes by everybody together: of 69 bits, none is met."""
WRONG_IN_ONE_BROWSER: Final = Rate(limit=5, window=timedelta(minutes=10))


class Act(StrEnum):
    """What a code may do."""

    STOP = "stop"
    END_SESSIONS = "end_sessions"
    WITHDRAW_ALL = "withdraw_all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """New codes, shown this once and kept as keyed digests alone."""

    codes: tuple[str, ...] = field(repr=False)


def make_sheet(visit: Visit, *, ports: Ports) -> Sheet:
    """New codes in place of the old ones; `visit` was entered with a fresh card (my_page.Need.FRESH_CARD)."""
    codes = [mint_recovery_code(ports.entropy) for _ in range(RECOVERY_CODES)]
    with ports.store.transaction() as tx:
        settle_own_client(tx, now=visit.now, ports=ports)
        tx.recovery_codes.replace(visit.account, [_keyed(code, ports) for code in codes], now=visit.now)
        tx.audit.append(Entry(at=visit.now, event=Event.RECOVERY_CODES_MADE, account=visit.account))
        tx.activities.note(
            Activity(
                account=visit.account,
                client_id=MY_PAGE,
                kind=Kind.RECOVERY,
                how=How.CARD,
                items=("codes_made",),
                at=visit.now,
                session_id=visit.session.session_id,
            )
        )
    return Sheet(codes=tuple(shown_recovery_code(code) for code in codes))


def left(visit: Visit, *, ports: Ports) -> int:
    """How many codes are unused."""
    with ports.store.transaction() as tx:
        return tx.recovery_codes.left(visit.account)[0]


def use(typed: str, act: Act, *, browser: str, ports: Ports) -> Ended:
    """Do `act` for the account whose code was typed. `browser` is the secret this browser keeps for the page.

    Raises RecoveryCodeUnknown (counted), TooManyRequests. An account that is stopped already stays so: the code is
    used up, and nothing ended.
    """
    now = ports.clock()
    with ports.store.transaction() as tx:
        _check_tries(tx, browser, ports)
        code = read_recovery_code(typed)
        account = None if code is None else tx.recovery_codes.use(_keyed(code, ports), now=now)
        if account is None:
            for name, rate in _counted(browser):
                tx.attempts.count_up(name, window=rate.window, now=now)
        else:
            tx.audit.append(Entry(at=now, event=Event.RECOVERY_CODE_USED, account=account, detail={"act": act.value}))
            ended = _do(tx, account, act, ports)
    if account is None:
        raise RecoveryCodeUnknown("not a code, or used, or of an older sheet")
    ended.tell(ports=ports)
    return ended


def _do(tx: Transaction, account: AccountID, act: Act, ports: Ports) -> Ended:
    now = ports.clock()
    if act is Act.STOP:
        return stop_account(tx, account, how=How.CODE, now=now, ports=ports) or Ended()
    done = end_access(tx, account, None, event=Event.SESSIONS_ENDED, now=now, ports=ports)
    settle_own_client(tx, now=now, ports=ports)
    tx.activities.note(
        Activity(
            account=account,
            client_id=MY_PAGE,
            kind=Kind.RECOVERY,
            how=How.CODE,
            items=(act.value,),
            at=now,
        )
    )
    if act is Act.WITHDRAW_ALL:
        for held in tx.consents.of(account):
            if held.withdrawn_at is None:
                withdraw_consent(tx, account, held.consent.client_id, how=How.CODE, now=now, ports=ports)
                done.services.add(held.consent.client_id)
    return done


def _keyed(code: str, ports: Ports) -> bytes:
    return ports.keys.keyed_digest(code.encode(), label=_LABEL)


def _counted(browser: str) -> tuple[tuple[str, Rate], ...]:
    return (_EVERYBODY, WRONG_CODES), (f"{_EVERYBODY}:{digest(browser).hex()}", WRONG_IN_ONE_BROWSER)


def _check_tries(tx: Transaction, browser: str, ports: Ports) -> None:
    now = ports.clock()
    for name, rate in _counted(browser):
        if tx.attempts.tried(name, window=rate.window, now=now) >= rate.limit:
            ends = window_start(now, rate.window) + rate.window
            raise TooManyRequests("too many wrong recovery codes", retry_after=ends - now)


def form_token(browser: str) -> str:
    """Only a page shown to this browser can carry it."""
    return hmac.new(browser.encode(), b"recovery", hashlib.sha256).hexdigest()


def check_form(browser: str, given: str) -> None:
    """Raises FormTokenInvalid where the form is not the one this browser was shown."""
    if not hmac.compare_digest(form_token(browser).encode(), given.encode()):
        raise FormTokenInvalid("not the form of this browser")
