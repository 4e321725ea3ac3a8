"""From request to revocation in any order: a model of two browsers and four clients, and a whole broker beside it.

`python -m tests.campaigns.provider` is the full form of the same machine.
"""

from __future__ import annotations

import os
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, ClassVar, TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit

import jwt
from flask.testing import FlaskClient
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from broker.accounts.session import IDLE, LIFETIME
from broker.flows.backchannel_logout import deliver_due
from broker.flows.session import end_by_operator
from broker.ids import SectorID, SessionID
from broker.oidc.client import AuthMethod, GrantType
from broker.oidc.grants import CODE_LIFETIME, OFFLINE_LIFETIME
from broker.oidc.tokens import ACCESS_TOKEN_LIFETIME
from tests.broker.web.house import BANK, ISSUER, House, Page, Receivers
from tests.broker.web.program import Program, register

EXAMPLES = int(os.environ.get("MACHINE_EXAMPLES", "8"))
STEPS = int(os.environ.get("MACHINE_STEPS", "30"))
CLIENTS = ("bank", "sister", "shop", "app")
"""Two that share a sector, one that is told of logouts, and a public one, whose refresh tokens rotate."""
TOLD = "shop"
OFFLINE = "openid offline_access"
Chosen = TypeVar("Chosen")
picks = st.integers(0, 10**6)


@dataclass(kw_only=True)
class Session:
    """One login of one card in one browser."""

    client: str
    resident: str
    began: datetime
    used: datetime
    is_open: bool = True
    is_superseded: bool = False
    is_told: bool = False
    """Its client has to hear that it ended."""
    sid: str | None = None
    hint: str | None = None
    grants: list[Grant] = field(default_factory=list)

    def serves(self, client: str, now: datetime) -> bool:
        here = self.is_open and not self.is_superseded
        return here and self.client == client and now < self.used + IDLE and now < self.began + LIFETIME


@dataclass(kw_only=True)
class Token:
    """An access or a refresh token."""

    text: str
    grant: Grant
    ends: datetime
    is_over: bool = False
    """Revoked, or rotated."""

    def works(self, now: datetime) -> bool:
        return self.grant.is_alive and not self.is_over and now < self.ends


@dataclass(kw_only=True)
class Grant:
    """What came of one code."""

    code: str
    session: Session
    began: datetime
    is_used: bool = False
    is_forgotten: bool = False
    """The code was purged: its replay can end nothing any more."""
    is_alive: bool = True
    access: list[Token] = field(default_factory=list)
    refresh: list[Token] = field(default_factory=list)


class Provider(RuleBasedStateMachine):
    """Every rule does one thing to the broker and to the model, and what the broker says must be the model's word."""

    make_house: ClassVar[Callable[..., House]]

    def __init__(self) -> None:
        super().__init__()
        self.receivers = Receivers()
        self.house = type(self).make_house(receivers=self.receivers)
        common: dict[str, Any] = {
            "grant_types": frozenset({GrantType.AUTHORIZATION_CODE, GrantType.REFRESH_TOKEN}),
            "scope": frozenset(OFFLINE.split()),
        }
        shared: dict[str, Any] = {"sector": SectorID("a group")}
        self.programs: dict[str, Program] = {
            "bank": register(self.house, "the-bank", **common, **shared),
            "sister": register(self.house, "the-sister", **common, **shared),
            "shop": register(self.house, "the-shop", backchannel_logout_uri=f"{BANK}/backchannel", **common),
            "app": register(self.house, "the-app", auth_method=AuthMethod.NONE, application_type="native", **common),
        }
        self.browsers: list[FlaskClient] = [self.house.browser(), self.house.browser()]
        self.current: list[Session | None] = [None, None]
        self.grants: list[Grant] = []
        self.subjects: dict[tuple[str, str], str] = {}
        self.agreed: dict[tuple[str, str], set[str]] = {}
        self.issued = 0

    # --- what is there ---------------------------------------------------------------------------------------------

    @property
    def now(self) -> datetime:
        return self.house.clock()

    def tokens(self, kind: str) -> list[Token]:
        return [token for grant in self.grants for token in getattr(grant, kind)]

    @staticmethod
    def pick(among: list[Chosen], number: int) -> Chosen:
        """The newest is picked most easily: 0."""
        return among[-1 - number % len(among)]

    def id_of(self, client: str) -> str:
        return self.programs[client].client.client_id

    def form(self, client: str, **fields: str) -> dict[str, Any]:
        own = {"authenticated": False, "client_id": self.id_of(client)} if client == "app" else {}
        return {**own, **fields}

    # --- logins ----------------------------------------------------------------------------------------------------

    @rule(
        browser=st.integers(0, 1),
        resident=st.sampled_from(["hanako", "taro"]),
        client=st.sampled_from(CLIENTS),
        scope=st.sampled_from(["openid", OFFLINE]),
    )
    def log_in(self, browser: int, resident: str, client: str, scope: str) -> None:
        told = self.house.login(self.browsers[browser], resident, client_id=self.id_of(client), scope=scope)
        before = self.current[browser]
        if before is not None and before.resident != resident:
            self._end(before)  # R1
        elif before is not None:
            before.is_superseded = True
        session = Session(client=client, resident=resident, began=self.now, used=self.now)
        self.current[browser] = session
        self.agreed.setdefault((resident, client), set()).update(scope.split())
        self._granted(session, told["code"])

    @rule(browser=st.integers(0, 1), client=st.sampled_from(CLIENTS), scope=st.sampled_from(["openid", OFFLINE]))
    def ask_silently(self, browser: int, client: str, scope: str) -> None:
        answer = self.house.authorize(self.browsers[browser], prompt="none", client_id=self.id_of(client), scope=scope)
        told = dict(parse_qsl(urlsplit(answer.headers["Location"]).query))
        session = self.current[browser]
        if session is None or not session.serves(client, self.now):
            assert told["error"] == "login_required"
        elif not set(scope.split()) <= self.agreed[session.resident, client]:
            assert told["error"] == "consent_required"
        else:
            session.used = self.now
            self._granted(session, told["code"])

    def _granted(self, session: Session, code: str) -> None:
        grant = Grant(code=code, session=session, began=self.now)
        session.grants.append(grant)
        self.grants.append(grant)

    # --- the end of a session --------------------------------------------------------------------------------------

    def _end(self, session: Session) -> None:
        if not session.is_open:
            return
        session.is_open, session.is_told = False, session.client == TOLD
        for grant in session.grants:
            grant.is_alive = grant.is_alive and bool(grant.refresh)

    @rule(browser=st.integers(0, 1))
    def log_out_by_the_page(self, browser: int) -> None:
        session, at = self.current[browser], self.browsers[browser]
        page = at.get("/logout", base_url=ISSUER)
        assert ("logout-form" in Page(page.text).forms) == (session is not None and session.is_open)
        if session is not None and session.is_open:
            self.house.submit(at, page, "logout-form")
            self._end(session)

    @precondition(lambda self: any(session is not None and session.hint for session in self.current))
    @rule(browser=st.integers(0, 1), by_post=st.booleans())
    def log_out_by_the_client(self, browser: int, by_post: bool) -> None:
        session = self.current[browser]
        if session is None or session.hint is None:
            return
        asked = {"id_token_hint": session.hint}
        if by_post:  # from the client's own site: without our cookie
            answer = self.house.browser().post("/logout", data=asked, base_url=ISSUER)
        else:
            answer = self.browsers[browser].get(f"/logout?{urlencode(asked)}", base_url=ISSUER)
        assert "logged-out" in Page(answer.text).texts
        self._end(session)

    @rule(number=picks)
    def end_by_the_operator(self, number: int) -> None:
        known = [session for session in self.sessions() if session.sid is not None]
        if not known:
            return
        session = self.pick(known, number)
        assert session.sid is not None
        assert end_by_operator(SessionID(session.sid), ports=self.house.ports) == session.is_open
        self._end(session)

    def sessions(self) -> list[Session]:
        return list({id(grant.session): grant.session for grant in self.grants}.values())

    # --- tokens ----------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.grants)
    @rule(number=picks)
    def redeem(self, number: int) -> None:
        """The newest code, or any older one: used, run out, or of an ended session."""
        grant = self.pick(self.grants, number)
        session = grant.session
        answer = self.programs[session.client].token(grant.code, **self.form(session.client))
        good = not grant.is_used and session.is_open and grant.is_alive and self.now < grant.began + CODE_LIFETIME
        if grant.is_used and not grant.is_forgotten:
            grant.is_alive = False  # it came twice: what it brought ends
        grant.is_used = grant.is_used or session.is_open
        if not good:
            assert (answer.status_code, answer.get_json()["error"]) == (400, "invalid_grant")
            return
        told = answer.get_json()
        self._issued(grant, told)
        self._check_id_token(session, told["id_token"])

    @precondition(lambda self: self.tokens("refresh"))
    @rule(number=picks)
    def refresh(self, number: int) -> None:
        token = self.pick(self.tokens("refresh"), number)
        client = token.grant.session.client
        answer = self.programs[client].post(
            "/token", **self.form(client, grant_type="refresh_token", refresh_token=token.text)
        )
        if not token.works(self.now):
            assert (answer.status_code, answer.get_json()["error"]) == (400, "invalid_grant")
            if token.is_over and self.now < token.ends:
                token.grant.is_alive = False  # a rotated one came again
            return
        told = answer.get_json()
        assert ("refresh_token" in told) == (client == "app")
        token.is_over = client == "app"
        self._issued(token.grant, told)

    def _issued(self, grant: Grant, told: dict[str, Any]) -> None:
        assert told.get("expires_in") == ACCESS_TOKEN_LIFETIME.total_seconds(), told
        self.issued += 1
        grant.access.append(Token(text=told["access_token"], grant=grant, ends=self.now + ACCESS_TOKEN_LIFETIME))
        if "refresh_token" in told:
            grant.refresh.append(Token(text=told["refresh_token"], grant=grant, ends=grant.began + OFFLINE_LIFETIME))

    def _check_id_token(self, session: Session, id_token: str) -> None:
        claims = jwt.decode(id_token, options={"verify_signature": False})
        sector = self.programs[session.client].client.sector
        assert self.subjects.setdefault((session.resident, sector), claims["sub"]) == claims["sub"]
        assert len(set(self.subjects.values())) == len(self.subjects)
        assert session.sid in {None, claims["sid"]}
        assert claims["auth_time"] == int(session.began.timestamp())
        session.sid, session.hint = claims["sid"], id_token

    @precondition(lambda self: self.tokens("access"))
    @rule(kind=st.sampled_from(["access", "refresh"]), number=picks)
    def revoke(self, kind: str, number: int) -> None:
        if not self.tokens(kind):
            return
        token = self.pick(self.tokens(kind), number)
        client = token.grant.session.client
        answer = self.programs[client].post("/revoke", **self.form(client, token=token.text))
        assert answer.status_code == 200
        if kind == "access":
            token.is_over = True
        else:
            token.grant.is_alive = False

    @precondition(lambda self: self.tokens("access"))
    @rule(kind=st.sampled_from(["access", "refresh"]), number=picks, asks=st.sampled_from(["bank", "sister", "shop"]))
    def introspect(self, kind: str, number: int, asks: str) -> None:
        if not self.tokens(kind):
            return
        token = self.pick(self.tokens(kind), number)
        told = self.programs[asks].post("/introspect", token=token.text).get_json()
        assert told["active"] == (token.grant.session.client == asks and token.works(self.now))

    @precondition(lambda self: self.tokens("access"))
    @rule(number=picks)
    def ask_who_it_is(self, number: int) -> None:
        token = self.pick(self.tokens("access"), number)
        session = token.grant.session
        answer = self.programs[session.client].userinfo(token.text)
        if not token.works(self.now):
            assert answer.status_code == 401
            return
        sector = self.programs[session.client].client.sector
        assert answer.get_json() == {"sub": self.subjects[session.resident, sector]}

    # --- time ------------------------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([1, 31, 61, 300, 601, 899, 901, 13 * 3600]))
    def wait(self, seconds: int) -> None:
        self.house.clock.step(seconds=seconds)

    @rule()
    def purge(self) -> None:
        self.house.ports.store.purge(now=self.now)
        for grant in self.grants:
            if self.now >= grant.began + CODE_LIFETIME + ACCESS_TOKEN_LIFETIME:
                grant.is_forgotten = True
            if self.now >= grant.session.began + LIFETIME + timedelta(hours=1):
                grant.session.is_open = False

    # --- what always holds -----------------------------------------------------------------------------------------

    @invariant()
    def every_token_works_exactly_as_long_as_it_should(self) -> None:
        with self.house.ports.store.transaction() as tx:
            for token in self.tokens("access"):
                jti = jwt.decode(token.text, options={"verify_signature": False})["jti"]
                assert (tx.tokens.get(jti, now=self.now) is not None) == token.works(self.now)

    @invariant()
    def no_token_is_without_its_audit_row_nor_the_other_way_round(self) -> None:
        with closing(sqlite3.connect(self.house.database)) as connection:
            events = Counter(row[0] for row in connection.execute("SELECT event FROM audit"))
            [(bare,)] = connection.execute(
                "SELECT count(*) FROM access_tokens WHERE NOT EXISTS"
                " (SELECT 1 FROM audit WHERE event = 'token_issued' AND reference = jti)"
            )
        assert bare == 0
        assert events["token_issued"] == self.issued
        assert events["code_issued"] == len(self.grants)

    @invariant()
    def no_session_is_open_for_a_card_that_left(self) -> None:
        with closing(sqlite3.connect(self.house.database)) as connection:
            [(there,)] = connection.execute("SELECT count(*) FROM sessions WHERE ended_at IS NULL")
        assert there == sum(session.is_open for session in self.sessions())

    def teardown(self) -> None:
        """The client that wants to be told has been told of each end of a session of its own, and of nothing else."""
        deliver_due(self.house.ports)
        told = [jwt.decode(token, options={"verify_signature": False})["sid"] for _, token in self.receivers.got]
        ended = [session for session in self.sessions() if session.is_told]
        assert len(set(told)) == len(told) == len(ended)
        assert {session.sid for session in ended if session.sid is not None} <= set(told)


def test_from_request_to_revocation_in_any_order(make_house: Callable[..., House]) -> None:
    machine = type("Machine", (Provider,), {"make_house": staticmethod(make_house)})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            derandomize="MACHINE_EXAMPLES" not in os.environ,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_the_model_has_a_word_for_each_lifetime() -> None:
    assert CODE_LIFETIME < ACCESS_TOKEN_LIFETIME < IDLE < LIFETIME < timedelta(hours=13)
