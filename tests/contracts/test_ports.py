"""What each port of flows.ports promises, one caller at a time."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest
from sqlalchemy import Engine, text

from broker.audit.entry import Entry, Event
from broker.ids import AccountID, ClientID, InteractionID, SectorID, Subject, TransactionID
from broker.oidc.client_authentication import Assertion
from broker.oidc.consent import Consent
from broker.oidc.dpop import Proof
from broker.oidc.refresh import RefreshToken
from broker.storage.purge import BATCH, PURGES
from broker.storage.store import SQLStore, StoreMisused
from tests.contracts import records
from tests.contracts.records import MINUTE, NOW, SECOND


def test_a_client_comes_back_as_it_was_registered(store: SQLStore) -> None:
    client = records.client()
    with store.transaction() as tx:
        assert tx.clients.get(client.client_id) is None
        assert tx.clients.add(client, now=NOW)
    with store.transaction() as tx:
        assert tx.clients.get(client.client_id) == client
        assert client in tx.clients.all()


def test_a_taken_client_id_changes_nothing(store: SQLStore) -> None:
    client = records.client()
    with store.transaction() as tx:
        assert tx.clients.add(client, now=NOW)
        assert not tx.clients.add(replace(client, name="別の銀行"), now=NOW)
        assert tx.clients.get(client.client_id) == client


def test_an_interaction_comes_back_with_every_member_of_its_request(store: SQLStore) -> None:
    login = records.log_in(store)
    interaction = records.interaction(login.client.client_id)
    with store.transaction() as tx:
        tx.interactions.open(interaction)
    with store.transaction() as tx:
        assert tx.interactions.get(interaction.interaction_id, now=NOW) == interaction
        assert tx.interactions.get(interaction.interaction_id, now=interaction.expires_at) is None


def test_an_interaction_is_handed_over_until_it_has_its_person(store: SQLStore) -> None:
    login = records.log_in(store)
    interaction = records.interaction(login.client.client_id)
    name = interaction.interaction_id
    with store.transaction() as tx:
        tx.interactions.open(interaction)
        for asked in (b"one", b"two", None):
            assert tx.interactions.hand_over(name, asked, now=NOW)
            assert tx.interactions.get(name, now=NOW) == replace(interaction, handed_over=asked)
        assert not tx.interactions.hand_over(name, b"late", now=interaction.expires_at)
        assert tx.interactions.authenticate(name, login.who(), now=NOW)
        assert not tx.interactions.hand_over(name, b"late", now=NOW)


def test_a_code_may_be_attached_to_a_grant_that_is_open(store: SQLStore) -> None:
    login = records.log_in(store)
    code = login.code()
    with store.transaction() as tx:
        tx.grants.open(code.grant)
        tx.codes.attach(code)
    with store.transaction() as tx:
        assert tx.codes.consume(code.digest, now=NOW) == code
        assert tx.codes.consume(code.digest, now=NOW) is None


def test_an_interaction_gets_one_person_once(store: SQLStore) -> None:
    login, other = records.log_in(store), records.log_in(store)
    interaction = records.interaction(login.client.client_id)
    with store.transaction() as tx:
        tx.interactions.open(interaction)
        assert tx.interactions.authenticate(interaction.interaction_id, login.who(), now=NOW)
        assert not tx.interactions.authenticate(interaction.interaction_id, other.who(), now=NOW)
        found = tx.interactions.get(interaction.interaction_id, now=NOW)
    assert found == replace(interaction, authenticated=login.who())


def test_a_person_without_acr_and_amr_stays_without(store: SQLStore) -> None:
    login = records.log_in(store)
    who = replace(login.who(), authentication=replace(login.who().authentication, acr=None, amr=()))
    interaction = records.interaction(login.client.client_id)
    with store.transaction() as tx:
        tx.interactions.open(interaction)
        assert tx.interactions.authenticate(interaction.interaction_id, who, now=NOW)
        found = tx.interactions.get(interaction.interaction_id, now=NOW)
    assert found is not None
    assert found.authenticated == who


def test_a_finished_or_run_out_interaction_takes_nobody(store: SQLStore) -> None:
    login = records.log_in(store)
    finished, old = (records.interaction(login.client.client_id) for _ in range(2))
    with store.transaction() as tx:
        tx.interactions.open(finished)
        tx.interactions.open(old)
        assert tx.interactions.finish(finished.interaction_id, now=NOW)
        assert not tx.interactions.finish(finished.interaction_id, now=NOW)
        assert not tx.interactions.authenticate(finished.interaction_id, login.who(), now=NOW)
        assert not tx.interactions.authenticate(old.interaction_id, login.who(), now=old.expires_at)
        assert not tx.interactions.finish(old.interaction_id, now=old.expires_at)
        assert tx.interactions.get(finished.interaction_id, now=NOW) is None


def test_card_requests_are_counted_by_interaction(store: SQLStore) -> None:
    login = records.log_in(store)
    interaction = records.interaction(login.client.client_id)
    first, second = records.card_transaction(interaction), records.card_transaction(interaction)
    with store.transaction() as tx:
        tx.interactions.open(interaction)
        assert tx.cards.begun(interaction.interaction_id) == 0
        tx.cards.begin(first)
        tx.cards.begin(second)
    with store.transaction() as tx:
        assert tx.cards.begun(interaction.interaction_id) == 2
        assert tx.cards.get(first.transaction_id) == first
        assert tx.cards.get(TransactionID("nobody's")) is None


def test_the_first_answer_stays_and_the_answer_key_goes(store: SQLStore) -> None:
    login = records.log_in(store)
    interaction = records.interaction(login.client.client_id)
    transaction, answer = records.card_transaction(interaction), records.card_answer()
    code = records.digest()
    with store.transaction() as tx:
        tx.interactions.open(interaction)
        tx.cards.begin(transaction)
        assert tx.cards.answer(transaction.transaction_id, answer, return_digest=code)
        assert not tx.cards.answer(transaction.transaction_id, records.card_answer(), return_digest=records.digest())
        assert tx.cards.get(transaction.transaction_id) == replace(transaction, answer_key=b"")
        released = tx.cards.release(
            transaction.transaction_id, browser_digest=interaction.browser_digest, return_digest=code, now=NOW
        )
    assert released == (replace(transaction, answer_key=b""), answer)


@pytest.mark.parametrize("wrong", ["browser", "return code", "time", "unanswered", "someone else's transaction"])
def test_an_answer_is_released_only_to_its_own_browser_with_the_return_code_in_time(
    store: SQLStore, wrong: str
) -> None:
    login = records.log_in(store)
    interaction, other = (records.interaction(login.client.client_id) for _ in range(2))
    transaction, code = records.card_transaction(interaction), records.digest()
    with store.transaction() as tx:
        tx.interactions.open(interaction)
        tx.interactions.open(other)
        tx.cards.begin(transaction)
        if wrong != "unanswered":
            assert tx.cards.answer(transaction.transaction_id, records.card_answer(), return_digest=code)
    browser = other.browser_digest if wrong == "someone else's transaction" else interaction.browser_digest
    with store.transaction() as tx:
        assert (
            tx.cards.release(
                transaction.transaction_id,
                browser_digest=records.digest() if wrong == "browser" else browser,
                return_digest=records.digest() if wrong == "return code" else code,
                now=transaction.expires_at if wrong == "time" else NOW,
            )
            is None
        )
        if wrong != "unanswered":  # and a refused attempt uses nothing up
            assert tx.cards.release(
                transaction.transaction_id, browser_digest=interaction.browser_digest, return_digest=code, now=NOW
            )


def test_an_answer_is_released_once(store: SQLStore) -> None:
    login = records.log_in(store)
    interaction = records.interaction(login.client.client_id)
    transaction, code = records.card_transaction(interaction), records.digest()
    with store.transaction() as tx:
        tx.interactions.open(interaction)
        tx.cards.begin(transaction)
        tx.cards.answer(transaction.transaction_id, records.card_answer(), return_digest=code)
    outcomes = []
    for _ in range(2):
        with store.transaction() as tx:
            outcomes.append(
                tx.cards.release(
                    transaction.transaction_id,
                    browser_digest=interaction.browser_digest,
                    return_digest=code,
                    now=NOW,
                )
            )
    assert [outcome is None for outcome in outcomes] == [False, True]


def test_a_certificate_seen_before_answers_its_first_account(store: SQLStore) -> None:
    first = records.credential()
    with store.transaction() as tx:
        assert tx.accounts.credential(first.key) is None
        assert tx.accounts.enrol(first) == first
    with store.transaction() as tx:
        assert tx.accounts.enrol(records.credential(first.key)) == first
        assert tx.accounts.credential(first.key) == first


def test_one_serial_under_two_ca_keys_is_two_people(store: SQLStore) -> None:
    first = records.credential()
    other = records.credential(replace(first.key, issuer_key_hash=records.digest()))
    with store.transaction() as tx:
        assert tx.accounts.enrol(first).account != tx.accounts.enrol(other).account


def test_revoked_is_sticky_and_keeps_its_first_time(store: SQLStore) -> None:
    never_enrolled, other = records.credential().key, records.credential().key
    with store.transaction() as tx:
        assert tx.revoked.since(never_enrolled) is None
        tx.revoked.remember(never_enrolled, not_after=NOW + timedelta(days=900), now=NOW)
        tx.revoked.remember(never_enrolled, not_after=NOW + timedelta(days=900), now=NOW + MINUTE)
    with store.transaction() as tx:
        assert tx.revoked.since(never_enrolled) == NOW
        assert tx.revoked.since(replace(never_enrolled, issuer_key_hash=records.digest())) is None
        assert tx.revoked.since(other) is None


def test_a_subject_never_changes_and_differs_by_sector(store: SQLStore) -> None:
    account = records.log_in(store).credential.account
    with store.transaction() as tx:
        first = tx.accounts.subject(account, SectorID("bank"), fresh=Subject(records.name()))
    with store.transaction() as tx:
        assert tx.accounts.subject(account, SectorID("bank"), fresh=Subject(records.name())) == first
        assert tx.accounts.subject(account, SectorID("clinic"), fresh=Subject(records.name())) != first


def test_a_subject_is_never_given_to_two_accounts(store: SQLStore) -> None:
    one, other = records.log_in(store), records.log_in(store)
    fresh = Subject(records.name())
    with store.transaction() as tx:
        tx.accounts.subject(one.credential.account, SectorID("bank"), fresh=fresh)
    with pytest.raises(StoreMisused) as refused, store.transaction() as tx:
        tx.accounts.subject(other.credential.account, SectorID("bank"), fresh=fresh)
    assert fresh not in str(refused.value)


def test_the_last_consent_is_in_force_and_the_first_stays_in_the_history(store: SQLStore, engine: Engine) -> None:
    login = records.log_in(store)
    account, client_id = login.credential.account, login.client.client_id
    first = Consent(client_id=client_id, scope=frozenset({"openid"}), granted_at=NOW)
    second = Consent(client_id=client_id, scope=frozenset({"openid", "name"}), granted_at=NOW + MINUTE)
    with store.transaction() as tx:
        assert tx.consents.get(account, client_id) is None
        tx.consents.give(account, first)
        assert tx.consents.get(account, client_id) == first
        tx.consents.give(account, second)
    with store.transaction() as tx:
        assert tx.consents.get(account, client_id) == second
    with engine.connect() as connection:
        kept = connection.execute(
            text("SELECT scope FROM consent_history WHERE account = :a ORDER BY id"), {"a": account}
        ).scalars()
        assert list(kept) == ["openid", "name openid"]


def test_a_session_is_touched_forward_only_and_ends_once(store: SQLStore) -> None:
    login = records.log_in(store)
    digest = login.session.digest
    with store.transaction() as tx:
        assert tx.sessions.get(digest) == login.session
        tx.sessions.touch(digest, now=NOW + MINUTE)
        tx.sessions.touch(digest, now=NOW + SECOND)
    with store.transaction() as tx:
        assert tx.sessions.get(digest) == replace(login.session, last_used_at=NOW + MINUTE)
        assert tx.sessions.end(digest, now=NOW)
        assert not tx.sessions.end(digest, now=NOW)
        assert tx.sessions.get(digest) is None
        assert not tx.sessions.end(records.digest(), now=NOW)


def test_the_codes_of_an_ended_session_die_and_its_tokens_live_on(store: SQLStore) -> None:
    login, other = records.log_in(store), records.log_in(store)
    code, used, others = login.code(), login.code(), other.code()
    token = login.token(used.grant.grant_id)
    with store.transaction() as tx:
        for issued in (code, used, others):
            tx.codes.issue(issued)
        assert tx.codes.consume(used.digest, now=NOW)
        tx.tokens.issue(token)
        assert tx.sessions.end(login.session.digest, now=NOW)
    with store.transaction() as tx:
        assert tx.codes.consume(code.digest, now=NOW) is None
        assert not tx.codes.used(code.digest)
        assert tx.codes.used(used.digest)
        assert tx.codes.consume(others.digest, now=NOW) == others
        assert tx.tokens.get(token.jti, now=NOW) == token


def test_a_code_is_consumed_once_and_remembered_as_used(store: SQLStore) -> None:
    code = (login := records.log_in(store)).code()
    with store.transaction() as tx:
        tx.codes.issue(code)
        assert not tx.codes.used(code.digest)
    with store.transaction() as tx:
        assert tx.codes.consume(code.digest, now=NOW) == code
        assert tx.codes.consume(code.digest, now=NOW) is None
        assert tx.codes.used(code.digest)
        assert tx.codes.consume(login.code().digest, now=NOW) is None
        assert not tx.codes.used(login.code().digest)


def test_an_expired_code_is_consumed_and_answered(store: SQLStore) -> None:
    code = records.log_in(store).code()
    with store.transaction() as tx:
        tx.codes.issue(code)
        assert tx.codes.consume(code.digest, now=code.expires_at + MINUTE) == code
        assert tx.codes.used(code.digest)


def test_everything_of_a_grant_ends_with_it(store: SQLStore) -> None:
    login = records.log_in(store)
    code, other = login.code(), login.code()
    grant = code.grant.grant_id
    tokens = [login.token(grant), login.token(grant), login.token(other.grant.grant_id), login.token(None)]
    with store.transaction() as tx:
        tx.codes.issue(code)
        tx.codes.issue(other)
        for token in tokens:
            tx.tokens.issue(token)
        assert tx.grants.get(grant) == code.grant
        assert tx.grants.end(grant, now=NOW)
        assert not tx.grants.end(grant, now=NOW)
    with store.transaction() as tx:
        assert tx.grants.get(grant) is None
        assert tx.codes.consume(code.digest, now=NOW) is None
        assert tx.codes.used(code.digest) == grant
        assert [tx.tokens.get(token.jti, now=NOW) for token in tokens] == [None, None, tokens[2], tokens[3]]
        assert tx.tokens.get(tokens[2].jti, now=tokens[2].expires_at) is None
        assert tx.tokens.end(tokens[2].jti, now=NOW)
        assert not tx.tokens.end(tokens[2].jti, now=NOW)
        assert tx.tokens.get(tokens[2].jti, now=NOW) is None
        assert tx.tokens.get("unknown", now=NOW) is None


def test_an_assertion_serves_once_for_its_own_client(store: SQLStore) -> None:
    one, other = records.log_in(store).client.client_id, records.log_in(store).client.client_id
    jti = "j" * 256
    with store.transaction() as tx:
        assert tx.assertions.use(Assertion(client_id=one, jti=jti, expires_at=NOW + MINUTE))
        assert not tx.assertions.use(Assertion(client_id=one, jti=jti, expires_at=NOW + 2 * MINUTE))
        assert tx.assertions.use(Assertion(client_id=other, jti=jti, expires_at=NOW + MINUTE))


def test_an_audit_row_can_be_neither_changed_nor_deleted(store: SQLStore, engine: Engine) -> None:
    reference = records.name()
    with store.transaction() as tx:
        tx.audit.append(Entry(at=NOW, event=Event.LOGIN, reference=reference, detail={"kind": "plastic", "n": 1}))
    for statement in ("UPDATE audit SET event = 'logout'", "DELETE FROM audit"):
        with pytest.raises(Exception, match="append-only"), engine.begin() as connection:
            connection.execute(text(statement))
    with engine.connect() as connection:
        row = connection.execute(text("SELECT event, detail FROM audit WHERE reference = :r"), {"r": reference}).one()
    assert tuple(row) == ("login", '{"kind":"plastic","n":1}')


def test_a_lease_has_one_holder_until_it_runs_out_or_is_given_back(store: SQLStore) -> None:
    job = records.name()
    with store.transaction() as tx:
        assert tx.leases.take(job, "a", now=NOW, length=MINUTE)
        assert tx.leases.take(job, "a", now=NOW + SECOND, length=MINUTE)
        assert not tx.leases.take(job, "b", now=NOW + MINUTE, length=MINUTE)
        assert tx.leases.take(job, "b", now=NOW + MINUTE + SECOND, length=MINUTE)
        tx.leases.release(job, "a")
        assert not tx.leases.take(job, "a", now=NOW + MINUTE + SECOND, length=MINUTE)
        tx.leases.release(job, "b")
        assert tx.leases.take(job, "a", now=NOW + MINUTE + SECOND, length=MINUTE)


def test_times_come_back_in_utc_whatever_zone_they_were_written_in(store: SQLStore) -> None:
    tokyo = NOW.astimezone(timezone(timedelta(hours=9)))
    credential = replace(records.credential(), not_after=tokyo)
    with store.transaction() as tx:
        tx.accounts.enrol(credential)
    with store.transaction() as tx:
        found = tx.accounts.credential(credential.key)
    assert found is not None
    assert found.not_after == tokyo
    assert found.not_after.utcoffset() == timedelta()


def test_a_naive_time_is_refused(store: SQLStore) -> None:
    naive = datetime(2026, 11, 20, 3, 4, 5)  # noqa: DTZ001 -- the mistake under test
    with pytest.raises(Exception, match="naive"), store.transaction() as tx:
        tx.accounts.enrol(replace(records.credential(), not_after=naive))


def test_what_refers_to_nothing_is_refused_as_our_own_mistake(store: SQLStore) -> None:
    login = records.log_in(store)
    with pytest.raises(StoreMisused), store.transaction() as tx:
        tx.interactions.open(records.interaction(ClientID("nobody")))
    with pytest.raises(StoreMisused), store.transaction() as tx:
        tx.codes.issue(replace(login.code(), grant=replace(login.grant(), account=AccountID("nobody"))))


@pytest.mark.parametrize("text", ["\x00", "a\x00b", "\ud800", "", "'; DROP TABLE clients --", "%s:x?", "名" * 5000])
def test_a_name_that_nobody_has_is_unknown_whatever_it_is_made_of(store: SQLStore, text: str) -> None:
    with store.transaction() as tx:
        assert tx.clients.get(ClientID(text)) is None
        assert tx.interactions.get(InteractionID(text), now=NOW) is None
        assert tx.cards.get(TransactionID(text)) is None
        assert tx.cards.release(TransactionID(text), browser_digest=b"", return_digest=b"", now=NOW) is None
        assert tx.tokens.get(text, now=NOW) is None


def test_purge_deletes_what_has_run_out_and_counts_it(own_store: SQLStore) -> None:
    login = records.log_in(own_store)
    interaction = records.interaction(login.client.client_id)
    code = login.code()
    token = login.token(code.grant.grant_id)
    used = Assertion(client_id=login.client.client_id, jti="once", expires_at=NOW + MINUTE)
    with own_store.transaction() as tx:
        tx.interactions.open(interaction)
        tx.cards.begin(records.card_transaction(interaction))
        tx.codes.issue(code)
        assert tx.codes.consume(code.digest, now=NOW)
        tx.tokens.issue(token)
        assert tx.assertions.use(used)
        tx.audit.append(Entry(at=NOW, event=Event.LOGIN))
    nothing = dict.fromkeys((purge.name for purge in PURGES), 0)
    assert own_store.purge(now=NOW) == nothing
    assert own_store.purge(now=NOW + 6 * MINUTE) == {**nothing, "assertions": 1}
    with own_store.transaction() as tx:
        assert tx.codes.used(code.digest), "a replay must be recognised while its token lives"
        assert tx.cards.begun(interaction.interaction_id) == 1
    assert own_store.purge(now=NOW + 12 * MINUTE) == {
        **nothing,
        "access_tokens": 1,
        "codes": 1,
        "grants": 1,
        "card_transactions": 1,
        "interactions": 1,
    }
    assert own_store.purge(now=NOW + timedelta(hours=13)) == {**nothing, "sessions": 1}
    with own_store.transaction() as tx:
        assert tx.accounts.credential(login.credential.key) == login.credential


def test_purge_goes_on_until_nothing_is_left(own_store: SQLStore) -> None:
    client_id = records.log_in(own_store).client.client_id
    rows = BATCH + 1
    with own_store.transaction() as tx:
        for number in range(rows):
            assert tx.assertions.use(Assertion(client_id=client_id, jti=str(number), expires_at=NOW))
    assert own_store.purge(now=NOW + MINUTE)["assertions"] == rows


def test_a_proof_serves_once_for_its_own_key(store: SQLStore) -> None:
    proof = Proof(jkt=records.name(), jti="j" * 256, iat=NOW, expires_at=NOW + MINUTE)
    with store.transaction() as tx:
        assert tx.proofs.use(proof)
        assert not tx.proofs.use(replace(proof, expires_at=NOW + 2 * MINUTE))
        assert tx.proofs.use(replace(proof, jkt=records.name()))


def test_a_refresh_token_is_consumed_once_and_remembers_when(store: SQLStore) -> None:
    login = records.log_in(store)
    code = login.code()
    token = RefreshToken(
        digest=records.digest(), grant_id=code.grant.grant_id, jkt="j", x5t="x", issued_at=NOW, expires_at=NOW + MINUTE
    )
    with store.transaction() as tx:
        tx.codes.issue(code)
        tx.refresh_tokens.issue(token)
        assert tx.refresh_tokens.get(token.digest) == token
        assert tx.refresh_tokens.get(records.digest()) is None
        assert tx.refresh_tokens.consume(token.digest, now=NOW + SECOND)
        assert not tx.refresh_tokens.consume(token.digest, now=NOW + 2 * SECOND)
        assert not tx.refresh_tokens.consume(records.digest(), now=NOW)
        assert tx.refresh_tokens.get(token.digest) == replace(token, used_at=NOW + SECOND)


def test_a_grants_certificate_is_forgotten_when_the_grant_ends(store: SQLStore) -> None:
    code = records.log_in(store).code()
    grant_id = code.grant.grant_id
    with store.transaction() as tx:
        tx.codes.issue(code)
        assert tx.grants.certificate(grant_id) is None
        tx.grants.keep_certificate(grant_id, b"\x01sealed")
        assert tx.grants.certificate(grant_id) == b"\x01sealed"
        assert tx.grants.end(grant_id, now=NOW)
        assert tx.grants.certificate(grant_id) is None


def test_an_interactions_certificate_is_that_of_the_answer_it_was_given(store: SQLStore) -> None:
    login = records.log_in(store)
    interaction = records.interaction(login.client.client_id)
    given, ignored = records.card_transaction(interaction), records.card_transaction(interaction)
    answer, code = replace(records.card_answer(), certificate_sealed=b"\x01certificate"), records.digest()
    with store.transaction() as tx:
        tx.interactions.open(interaction)
        for transaction in (given, ignored):
            tx.cards.begin(transaction)
            assert tx.cards.answer(transaction.transaction_id, answer, return_digest=code)
        assert tx.cards.certificate(interaction.interaction_id) is None
        released = tx.cards.release(
            given.transaction_id, browser_digest=interaction.browser_digest, return_digest=code, now=NOW
        )
        assert released is not None
        assert released[1] == answer
        assert tx.cards.certificate(interaction.interaction_id) == b"\x01certificate"


def test_a_renewed_certificate_takes_the_place_of_the_one_that_a_grant_keeps(store: SQLStore) -> None:
    login = records.log_in(store)
    online, kept, ended = login.code(), login.code(), login.code()
    account, old = login.credential.account, login.credential.credential_id
    renewed = records.credential()
    with store.transaction() as tx:
        assert tx.accounts.renew(login.credential.key, renewed) is not None
        for code in (online, kept, ended):
            tx.codes.issue(code)
        for code in (kept, ended):
            tx.grants.keep_certificate(code.grant.grant_id, b"\x01old")
        tx.grants.end(ended.grant.grant_id, now=NOW)
        assert tx.grants.offline(account, old) == (kept.grant.grant_id,)
        tx.grants.follow(kept.grant.grant_id, renewed.credential_id, b"\x01new")
        assert tx.grants.offline(account, old) == ()
        assert tx.grants.offline(account, renewed.credential_id) == (kept.grant.grant_id,)
        assert tx.grants.certificate(kept.grant.grant_id) == b"\x01new"
