"""An answer and a revocation at the same instant: yes came first and whoever revoked saw it, or the answer is no."""

from __future__ import annotations

import secrets
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from threading import Barrier
from types import SimpleNamespace

import pytest

from broker.delegation import grant_document as grants
from broker.delegation.acts import Act, Kind
from broker.delegation.grant import Grant, Limit, Method, Party, PartyKind, Power, Scope, ScopeKind
from broker.delegation.life import Deed, Role, State
from broker.delegation.members import JST
from broker.flows import mandate_answers, mandate_ends
from broker.flows.mandate_ports import Part
from broker.flows.mandates import context
from broker.flows.ports import Ports
from broker.ids import AccountID, MandateNumber
from broker.keys.live import LiveKeys, open_keys
from broker.keys.rotation import create
from broker.oidc.client import Client, Right
from broker.oidc.grants import Grant as CodeGrant
from broker.oidc.mandate_question import MandateQuestion
from broker.storage.store import SQLStore
from tests.contracts import records
from tests.contracts.records import NOW
from tests.contracts.test_mandates import drafted, logged

ROUNDS = 12
COMPANY = Party(
    kind=PartyKind.CORPORATION,
    id="p" * 16,
    name="株式会社架空製作所",
    corporate_number="8490101999999",
    representative="山田花子",
)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> LiveKeys:
    folder: Path = tmp_path_factory.mktemp("keys")
    create(folder / "keys", "word", issuer="https://op.example", now=NOW, agent_root_out=folder / "root.json")
    return open_keys(folder / "keys", "word")


@pytest.fixture
def ports(store: SQLStore, keys: LiveKeys) -> Ports:
    """What these flows look at."""
    policy = SimpleNamespace(issuer="https://op.example")
    return SimpleNamespace(  # type: ignore[return-value]  # all that they look at
        store=store, keys=keys, policy=policy, clock=lambda: NOW, entropy=secrets.token_bytes
    )


def holding(
    ports: Ports, principal: AccountID, agent: AccountID, *, parent: MandateNumber | None = None
) -> MandateNumber:
    """A mandate that both have signed and that holds; of `parent` a sub-agent's."""
    store = ports.store
    assert isinstance(store, SQLStore)
    ids = secrets.token_urlsafe(12), secrets.token_urlsafe(12)
    number = drafted(
        store,
        Part(number=MandateNumber(""), part_id=ids[0], role=Role.PRINCIPAL, account=principal),
        Part(number=MandateNumber(""), part_id=ids[1], role=Role.AGENT, account=agent),
        parent=parent,
    )
    acts = frozenset({Act.BID} if parent else {Act.BID, Act.APPOINT_SUBAGENT})
    power = Power(
        acts=acts,
        scope=Scope(kind=ScopeKind.TERM, entities=frozenset({"100001"})),
        limit=Limit(amount=100, tax_included=True, total=False),
    )
    made = Grant(
        kind=Kind.BUSINESS,
        number=number,
        issuer="https://op.example",
        nonce=secrets.token_urlsafe(32),
        method=Method.OPERATOR_FILE,
        principal=replace(COMPANY, id=ids[0]),
        agent=Party(kind=PartyKind.PERSON, id=ids[1], name="社員働助"),
        powers=(power,),
        begins=(NOW - timedelta(days=1)).astimezone(JST).replace(microsecond=0),
        ends=(NOW + timedelta(days=9)).astimezone(JST).replace(microsecond=0),
        sub_delegation=0 if parent else 1,
        parent=parent,
    )
    if parent is not None:
        made = replace(made, begins=made.begins + timedelta(hours=1), ends=made.ends - timedelta(hours=1))
    sealed = ports.keys.seal(grants.write(made), context=context(number, "grant"))
    with store.transaction() as tx:
        assert tx.mandates.sign(number, sealed, leads=State.APPROVED, now=NOW)
        for deed in (Deed.ACCEPT, Deed.VERIFY):
            assert tx.mandates.move(number, deed, now=NOW)
        current = tx.mandates.get(number)
        assert current is not None
        assert tx.mandates.log(logged(current), now=NOW)
        assert tx.mandates.move(number, Deed.WITNESS, now=NOW)
        assert tx.mandates.seal(number, b"sealed", now=NOW)
        for part_id in ids:
            assert tx.mandates.did(number, part_id, now=NOW)
    return number


@pytest.mark.parametrize("revoked", ["the mandate", "the one it comes from"])
def test_no_answer_is_yes_that_a_revocation_did_not_see(ports: Ports, revoked: str) -> None:
    store = ports.store
    assert isinstance(store, SQLStore)
    principal, agent, sub = (records.log_in(store) for _ in range(3))
    client = replace(sub.client, rights=frozenset({Right.MANDATE_QUESTIONS}))
    grant, answers = sub.grant(), set[bool]()
    for _ in range(ROUNDS):
        parent = holding(ports, principal.credential.account, agent.credential.account)
        number = holding(ports, agent.credential.account, sub.credential.account, parent=parent)
        asked = MandateQuestion(act="bid", entity="100001", amount=100, pin=number)
        ended = number if revoked == "the mandate" else parent
        start = Barrier(2)

        def answer(asked: MandateQuestion = asked, start: Barrier = start) -> bool:
            start.wait(timeout=20)
            with store.transaction() as tx:
                made = mandate_answers.decide(tx, grant, client, asked, now=NOW, ports=ports)
            return made.members["decision"] == "allow"

        def revoke(ended: MandateNumber = ended, number: MandateNumber = number, start: Barrier = start) -> bool:
            start.wait(timeout=20)
            with store.transaction() as tx:
                mandate_ends.change(tx, ended, Deed.REVOKE, by=None, now=NOW, ports=ports)
                return any(each.allowed for each in tx.mandates.decisions(number))

        with ThreadPoolExecutor(2) as pool:
            said, seen = pool.submit(answer), pool.submit(revoke)
            assert said.result() == seen.result(), "yes was first, and whoever revoked saw it; or it is no"
            answers.add(said.result())
        assert answer_alone(ports, grant, client, asked) is False, "after it there is no yes any more"
    assert answers, "both orders may happen; each alone is right"


def answer_alone(ports: Ports, grant: CodeGrant, client: Client, asked: MandateQuestion) -> bool:
    with ports.store.transaction() as tx:
        made = mandate_answers.decide(tx, grant, client, asked, now=NOW, ports=ports)
    return bool(made.members["decision"] == "allow")


def test_before_a_revocation_the_very_same_question_is_answered_yes(ports: Ports) -> None:
    store = ports.store
    assert isinstance(store, SQLStore)
    principal, agent = (records.log_in(store) for _ in range(2))
    client = replace(agent.client, rights=frozenset({Right.MANDATE_QUESTIONS}))
    number = holding(ports, principal.credential.account, agent.credential.account)
    asked = MandateQuestion(act="bid", entity="100001", amount=100, pin=number)
    assert answer_alone(ports, agent.grant(), client, asked) is True
    assert answer_alone(ports, principal.grant(), client, asked) is False, "somebody else's login"
    assert answer_alone(ports, agent.grant(), agent.client, asked) is False, "without the right"
    assert answer_alone(ports, agent.grant(), client, replace(asked, pin=None)) is False, "nothing was shown"
    with store.transaction() as tx:
        found = {each.decision_id: each for each in tx.mandates.decisions(number)}
        (yes,) = [each for each in found.values() if each.allowed]
        assert tx.mandates.decision(yes.decision_id) == yes
        assert yes.holds_until == NOW + mandate_answers.HOLDS
        assert tx.mandates.decision("unknown") is None
        assert tx.mandates.decision("nul\x00") is None
