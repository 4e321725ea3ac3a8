"""A mandate from the form to the sealed document and back, with both cards and a witnessed register."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from broker.audit.leaf import read_leaf
from broker.audit.tlog_proof import read_proof
from broker.delegation import record as records
from broker.delegation.acts import Act
from broker.delegation.life import State as MandateState
from broker.delegation.rendering import FONTS
from broker.delegation.sealing import holds
from broker.delegation.status_list import Status, read_token
from broker.delegation.verification import verify_document
from broker.errors import DelegationStateRefused, OperatorRefused
from broker.flows.account_orders import add_operator
from broker.flows.mandate_issue import judge_extract, to_judge
from broker.flows.mandate_orders import Action, confirm, order
from broker.flows.mandate_ports import Decided
from broker.flows.my_page import MY_PAGE
from broker.flows.ports import KeyUse
from broker.flows.register import log_key, origin_at
from broker.ids import MandateNumber
from tests.broker.web.house import House, Page
from tests.broker.web.mandatehouse import Person, equip, seal_anchors, work
from tests.registerhouse import Neighbours, officers_policy

STATUS = "/status-lists/1"


@pytest.fixture
def street(house: House, tmp_path: Path) -> Neighbours:
    if not all(font.exists() for font in FONTS):
        pytest.skip("missing: fonts-ipaexfont-gothic, fonts-ipamj-mincho")
    return equip(house, tmp_path)


def granted(house: House) -> tuple[Person, Person, str]:
    """A mandate that both have signed: principal, agent, and its page."""
    principal = Person.at(house, "hanako")
    path, invitation = principal.draft()
    assert principal.sign(path, "sign").status_code == 200
    agent = Person.at(house, "shain")
    assert agent.take(invitation) == path
    assert agent.sign(path, "accept").status_code == 200
    return principal, agent, path


def test_from_the_form_to_a_sealed_document_that_verifies_and_to_its_revocation(
    house: House, street: Neighbours
) -> None:
    principal, agent, path = granted(house)
    assert "運営者" in principal.state(path)
    work(house)
    assert principal.state(path) == agent.state(path) == "有効"

    document = agent.get(f"{path}/poa.pdf").data
    verdict = verify_document(document, anchors=seal_anchors(house.world.root), at=house.clock())
    assert verdict.reasons == ()
    record = agent.get(f"{path}/poa.json").data
    assert verdict.record == record
    read = records.read(record)
    assert read.grant.agent.name == "社員働助"
    assert {each.shows.value for each in read.evidence} == {
        "principal_frame",
        "principal_signature",
        "acceptance",
        "decision",
    }

    salt = agent.get(f"{path}/poa.salt").data
    proof = read_proof(agent.get(f"{path}/poa.tlog-proof").data)
    key, _signer = log_key(house.ports.keys, origin_at(house.issuer, house.clock()))
    assert house.ports.register is not None
    policy = officers_policy(key, house.ports.register)
    with house.ports.store.transaction() as tx:
        (entry,) = tx.register_tree.entries(key.name, proof.index, 1)
    proof.verify(entry, policy=policy)
    assert holds(read_leaf(entry).commit, salt=salt, record=record, sealed=document)

    assert status_of(house, read.status_index) == Status.VALID
    revoked = agent.press(path, "revoke-form")
    assert revoked.status_code == 303
    assert principal.state(path) == "取り消し済み"
    assert "取り消し" in Page(principal.get("/delegations").text).texts["notes"]
    work(house)
    assert status_of(house, read.status_index) == Status.INVALID
    assert "登録簿への記録を待っています" not in principal.get(path).text


def status_of(house: House, index: int) -> int:
    token = house.browser().get(STATUS, base_url=house.issuer).text
    uri = f"{house.issuer}{STATUS}"
    return read_token(token, jwks=house.ports.keys.jwks(KeyUse.MANDATE_STATUS), uri=uri).list.at(index)


def test_nothing_is_sealed_before_a_witness_has_seen_its_entry(house: House, street: Neighbours) -> None:
    principal, agent, path = granted(house)
    street.silent.update(street.services)
    work(house)
    assert principal.state(path).startswith("登録簿に記録しました")
    assert agent.get(f"{path}/poa.pdf").status_code == 409
    assert agent.press(path, "abandon-form").status_code == 303, "nobody waits for a witness to give it up"
    assert principal.state(path) == "取りやめ"


def test_a_suspended_mandate_holds_again_only_by_its_principals_card_and_a_witness(
    house: House, street: Neighbours
) -> None:
    principal, agent, path = granted(house)
    work(house)
    assert agent.press(path, "suspend-form").status_code == 303
    assert principal.state(path) == "停止中"
    assert "resume-form" not in Page(agent.get(path).text).forms
    street.silent.update(street.services)
    assert principal.sign(path, "resume").status_code == 200
    work(house)
    assert principal.state(path) == "停止中"
    street.silent.clear()
    work(house)
    assert principal.state(path) == "有効"


def test_another_card_than_the_partys_signs_nothing(house: House, street: Neighbours) -> None:
    principal = Person.at(house, "hanako")
    path, _invitation = principal.draft()
    page = principal.sign(path, "sign", card="shain")
    assert "下書き" in Person.at(house, "hanako").state(path)
    assert page.status_code >= 200


def test_a_corporations_power_waits_for_two_operators_with_one_extract(house: House, street: Neighbours) -> None:
    secrets = {name: add_operator(name, ports=house.ports) for name in ("aoki", "baba")}

    def judge(operator: str, extract: bytes, secret: str = "") -> int:
        return judge_extract(number, extract, operator=operator, secret=secret or secrets[operator], ports=house.ports)

    principal = Person.at(house, "hanako")
    path, invitation = principal.draft(
        principal_kind="corporation",
        principal_name="株式会社架空製作所",
        principal_corporate_number="8490101999999",
        principal_representative="山田花子",
        principal_representative_title="代表取締役",
    )
    principal.sign(path, "sign")
    agent = Person.at(house, "shain")
    agent.take(invitation)
    agent.sign(path, "accept")
    work(house)
    assert "運営者" in principal.state(path), "nobody has looked at the extract"
    number = MandateNumber(path.rpartition("/")[2])
    with pytest.raises(OperatorRefused):
        judge("baba", b"extract", secret=secrets["aoki"])
    assert judge("aoki", b"extract") == 1
    with pytest.raises(DelegationStateRefused):
        judge("aoki", b"extract")
    with pytest.raises(DelegationStateRefused):
        judge("baba", b"another")
    assert [(waiting, judged) for waiting, _, judged in to_judge(ports=house.ports)] == [(number, 1)]
    assert judge("baba", b"extract") == 2
    work(house)
    assert principal.state(path) == "有効"


def test_an_invitation_is_for_one_person_and_never_for_the_principal(house: House, street: Neighbours) -> None:
    principal = Person.at(house, "hanako")
    path, invitation = principal.draft()
    assert principal.get(invitation).status_code == 404
    agent, other = Person.at(house, "shain"), Person.at(house, "taro")
    assert other.get(path).status_code == 404, "who is no party sees nothing"
    assert agent.take(invitation) == path
    assert other.get(invitation).status_code == 404


@pytest.mark.parametrize(
    ("changed", "words", "box"),
    [
        ({"act_bid": "", "act_contract": ""}, "委任する行為", "acts"),
        (
            {
                "principal_kind": "corporation",
                "principal_corporate_number": "1234567890123",
                "principal_representative": "山田花子",
            },
            "法人番号",
            "principal_corporate_number",
        ),
        ({"ends": "2020-01-01"}, "委任期間の終わり", "ends"),
        ({"limit_amount": "-5"}, "金額の上限", "limit_amount"),
        ({"scope_kind": "case"}, "案件番号", "case_number"),
        ({"parent": "A" * 24}, "もとの委任", "parent"),
        ({"qualified_until": "2026-12-01"}, "競争参加資格", "ends"),
    ],
)
def test_what_nobody_may_grant_is_refused_with_its_rule_and_nothing_is_kept(
    house: House, street: Neighbours, changed: dict[str, str], words: str, box: str
) -> None:
    principal = Person.at(house, "hanako")
    page = principal.fill(**changed)
    assert page.status_code == 400
    told = Page(page.text).texts
    assert words in told["error-rule"]
    assert words in told[f"{box}-error"]
    assert f'id="error-link" href="#{box}"' in page.text
    assert Page(principal.get("/delegations").text).texts["given"] == "ありません"


def test_the_database_holds_no_name_and_no_grant_in_clear(house: House, street: Neighbours) -> None:
    granted(house)
    work(house)
    data = b"".join(file.read_bytes() for file in house.database.parent.glob(f"{house.database.name}*"))
    assert "社員働助".encode() not in data
    assert json.dumps("社員働助").encode() not in data


def ordered(house: House, number: str, action: Action, secrets: dict[str, str]) -> None:
    """Two operators do it."""
    first, second = secrets
    placed = order(
        MandateNumber(number), action, by=first, secret=secrets[first], reason="court order", ports=house.ports
    )
    with pytest.raises(OperatorRefused):
        confirm(placed.order_id, by=first, secret=secrets[first], ports=house.ports)
    confirm(placed.order_id, by=second, secret=secrets[second], ports=house.ports)


def test_two_operators_block_and_end_a_power_and_both_sides_see_it(house: House, street: Neighbours) -> None:
    secrets = {name: str(add_operator(name, ports=house.ports)) for name in ("aoki", "baba")}
    principal, agent, path = granted(house)
    number = path.rpartition("/")[2]
    with pytest.raises(DelegationStateRefused):
        ordered(house, number, Action.BLOCK, secrets)
    work(house)
    ordered(house, number, Action.BLOCK, secrets)
    assert principal.state(path) == agent.state(path) == "停止中"
    page = principal.get(path)
    assert "resume-form" not in Page(page.text).forms
    assert "運営者" in Page(page.text).texts["blocked"]
    assert "court order" not in page.text
    work(house)
    assert principal.state(path) == "停止中"
    ordered(house, number, Action.UNBLOCK, secrets)
    assert principal.sign(path, "resume").status_code == 200
    work(house)
    assert principal.state(path) == "有効"
    ordered(house, number, Action.REVOKE, secrets)
    assert agent.state(path) == "取り消し済み"
    for late in Action:
        with pytest.raises(DelegationStateRefused):
            ordered(house, number, late, secrets)


@pytest.mark.parametrize("leaver", ["hanako", "shain"])
def test_with_an_account_end_its_powers_and_the_document_stays_with_the_other(
    house: House, street: Neighbours, leaver: str
) -> None:
    principal, agent, path = granted(house)
    work(house)
    waiting, _invitation = principal.draft()
    gone, stays = (principal, agent) if leaver == "hanako" else (agent, principal)
    assert gone.press("/me/delete", "delete-form", understood="yes").status_code == 200
    assert stays.state(path) == "取り消し済み"
    assert verify_document(
        stays.get(f"{path}/poa.pdf").data, anchors=seal_anchors(house.world.root), at=house.clock()
    ).accepted
    with house.ports.store.transaction() as tx:
        found = tx.mandates.get(MandateNumber(waiting.rpartition("/")[2]))
    assert found is not None
    assert (found.state is MandateState.ABANDONED) == (gone is principal)


def test_the_resident_page_shows_and_exports_what_was_given_received_and_answered(
    house: House, street: Neighbours
) -> None:
    principal, agent, path = granted(house)
    work(house)
    number = MandateNumber(path.rpartition("/")[2])
    now = house.clock()
    with house.ports.store.transaction() as tx:
        decided = Decided(
            decision_id="d1",
            number=number,
            client_id=MY_PAGE,
            act=Act.BID,
            entity="100001",
            amount=4_000_000,
            allowed=True,
            at=now,
            holds_until=now + timedelta(seconds=60),
        )
        tx.mandates.decide(decided)
    for who, given, role in ((principal, (1, 0), "principal"), (agent, (0, 1), "agent")):
        overview = Page(who.get("/me").text)
        assert f"委任したもの：有効{given[0]}件" in overview.texts["mandates"]
        assert f"委任されたもの：有効{given[1]}件" in overview.texts["mandates"]
        exported = who.get("/me/export/everything.json").get_json()["delegations"]
        assert [(one["number"], one["role"], one["state"]) for one in exported] == [(number, role, "active")]
        assert exported[0]["grant"]["agent"]["name"] == "社員働助"
        assert [each["event"] for each in exported[0]["history"]] == ["issue"]
        assert [(each["act"], each["amount"], each["allowed"]) for each in exported[0]["answers"]] == [
            ("bid", 4_000_000, True)
        ]
        assert "社員働助" in who.get("/me/export/delegations.csv").text
        answers = who.get("/me/export/delegation-answers.csv").text
        assert "4000000" in answers
        assert MY_PAGE not in answers
        printed = who.get("/me/print").text
        assert "社員働助" in printed
        assert f"<bdi>{MY_PAGE}" not in printed
    stranger = Person.at(house, "taro")
    assert stranger.get("/me/export/everything.json").get_json()["delegations"] == []
