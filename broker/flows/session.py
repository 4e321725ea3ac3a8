"""How a login session ends, and what ends with it (R1, R18; design 4.10)."""

from __future__ import annotations

from broker.accounts.session import Session
from broker.audit.entry import Entry, Event
from broker.flows.backchannel_logout import queue_logout
from broker.flows.login_ports import Authenticated
from broker.flows.logout_ports import LogoutDelivery
from broker.flows.ports import Ports, Transaction
from broker.ids import SessionID


def end_session(
    tx: Transaction, session: Session, *, event: Event, ports: Ports, at_once: bool = False
) -> LogoutDelivery | None:
    """End a session with its codes and with what was granted in it, its access tokens too.

    A grant that brought a refresh token stays: the resident agreed that it outlives the session (OIDC Core §11).
    Its client is told (`backchannel_logout.queue_logout`). None: it had ended, or the client wants no message.
    """
    now = ports.clock()
    if not tx.sessions.end(session.digest, now=now):
        return None
    grants = tx.grants.end_of_session(session.digest, now=now)
    tx.audit.append(
        Entry(
            at=now,
            event=event,
            client_id=session.client_id,
            account=session.account,
            reference=session.session_id,
            detail={"grants": grants},
        )
    )
    return queue_logout(tx, session, now=now, at_once=at_once, ports=ports)


def replace_session(tx: Transaction, old: bytes, who: Authenticated, *, ports: Ports) -> None:
    """A session is minted at each login, and never holds two cards (R1). For another person all of it ends and its
    client is told. The same person has only come anew: the session answers nobody any more, the client of before
    keeps what it was given, and a login that is open in another tab comes to its end.
    """
    session = tx.sessions.get(old)
    if session is None:
        return
    if session.account == who.account:
        tx.sessions.supersede(old, now=ports.clock())
    else:
        end_session(tx, session, event=Event.SESSION_REPLACED, ports=ports)


def end_by_operator(session_id: SessionID, *, ports: Ports) -> bool:
    """The operator ends a session by the `sid` that audit rows and tokens carry; False when there is none open.

    It narrows, so no card is needed (R2). Raises StoreUnavailable.
    """
    with ports.store.transaction() as tx:
        session = tx.sessions.named(session_id)
        if session is None:
            return False
        end_session(tx, session, event=Event.SESSION_ENDED, ports=ports)
    return True
