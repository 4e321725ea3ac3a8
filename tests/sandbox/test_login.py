"""`python -m sandbox login` against the real broker and bank, and its small parts by themselves."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from bench.servers import Servers, running
from cardreader import cardfile
from cardreader.webclient import Elements, WebClient, WebFault
from sandbox.login import LoginFailed, LoginResult, login
from sandbox.logincommand import command
from sandbox.series import Series, login_series, percentile

SUBJECT = re.compile(r"[A-Za-z0-9_-]{43}")


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """The outside world, the broker under granian and the bank, for this module."""
    with running(tmp_path_factory.mktemp("login"), workers=2, with_bank=True) as started:
        yield started


def attempt(servers: Servers, resident: str, **options: object) -> LoginResult:
    return login(
        broker=servers.broker,
        bank=servers.bank,
        resident_card=servers.world.card(resident),
        trust=servers.trust,
        **options,  # type: ignore[arg-type]  # passed on as given
    )


def run(servers: Servers, *arguments: str) -> tuple[int, str, str]:
    root = str(servers.world.root)
    result = CliRunner().invoke(
        command, ["--root", root, "--broker", servers.broker, "--bank", servers.bank, *arguments]
    )
    return result.exit_code, result.stdout, result.stderr


def test_a_login_ends_with_claims_that_the_bank_verified(servers: Servers) -> None:
    first, second = attempt(servers, "hanako"), attempt(servers, "hanako")
    assert (first.linked_now, first.asked_consent) == (True, True)
    assert (second.linked_now, second.asked_consent) == (False, False)
    assert first.customer_number == second.customer_number == "1000117"
    assert first.claims["sub"] == second.claims["sub"]
    assert SUBJECT.fullmatch(str(first.claims["sub"]))
    assert first.claims["iss"] == servers.broker
    assert (first.claims["aud"], first.claims["acr"]) == ("bank", "aal3")
    assert first.claims["nonce"] != second.claims["nonce"]


def test_a_customer_number_is_registered_by_two_readings_of_the_card_and_only_once(servers: Servers) -> None:
    bound = attempt(servers, "hanako", register_number=True)
    assert bound.claims["linked_id"] == bound.customer_number
    assert "number" in bound.steps_ms
    assert "number" not in attempt(servers, "hanako", register_number=True).steps_ms, "it is told already"


def test_two_residents_at_the_same_moment_never_cross(servers: Servers) -> None:
    meeting = threading.Barrier(2)
    results: dict[str, LoginResult] = {}

    def together(step: str) -> None:
        if step in ("login", "callback", "continue"):
            meeting.wait(30)

    def one(resident: str) -> None:
        results[resident] = attempt(servers, resident, before_step=together)

    threads = [threading.Thread(target=one, args=(resident,)) for resident in ("taro", "alex")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert results["taro"].claims["sub"] != results["alex"].claims["sub"]
    for resident, result in results.items():
        assert attempt(servers, resident).claims["sub"] == result.claims["sub"]


def test_many_logins_of_two_cards_give_each_card_one_subject(servers: Servers) -> None:
    cards = [servers.world.card("hanako"), servers.world.card("taro")]
    series = login_series(cards, count=6, concurrency=4, attempt=lambda card: attempt(servers, card.stem))
    assert series.failures == []
    assert len(series.results) == 12
    assert series.crossed == ()
    assert len(series.document()["subjects"]) == 2


@pytest.mark.parametrize(
    ("resident", "step", "code"),
    [
        ("shikko", "callback", "AUTH-"),
        ("kigen", "card", "AGENT-"),
        ("yoso", "card", "AGENT-"),
        ("lock", "card", "CARD-"),
        ("nokori", "card", "AGENT-"),
        ("nashi", "card", "CARD-"),
        ("jukiko", "card", "CARD-"),
    ],
)
def test_a_card_that_may_not_log_in_ends_with_its_code(servers: Servers, resident: str, step: str, code: str) -> None:
    with pytest.raises(LoginFailed) as refused:
        attempt(servers, resident)
    assert refused.value.step == step
    assert refused.value.code.startswith(code)


def test_the_card_file_is_never_written_even_by_a_wrong_pin(servers: Servers) -> None:
    path = servers.world.card("hanako")
    before = path.read_bytes()
    with pytest.raises(LoginFailed) as refused:
        attempt(servers, "hanako", pin="0000")
    assert refused.value.step == "card"
    assert path.read_bytes() == before
    assert attempt(servers, "hanako").claims["sub"]


def test_json_is_one_object_with_the_claims_and_no_pin(servers: Servers) -> None:
    status, out, _ = run(servers, "--client", "bank", "--resident", "hanako", "--json")
    document = json.loads(out)
    assert status == 0
    assert document["accepted"] is True
    assert document["claims"]["acr"] == "aal3"
    assert set(document["steps_ms"]) >= {"login", "card", "callback", "return"}
    assert '"1234"' not in out


def test_a_refused_login_has_exit_status_1_and_says_why(servers: Servers) -> None:
    status, out, err = run(servers, "--resident", "shikko", "--json")
    assert status == 1
    assert json.loads(out)["accepted"] is False
    assert json.loads(out)["code"].startswith("AUTH-")
    assert "callback" in err


def test_a_series_prints_percentiles_and_fails_if_one_login_fails(servers: Servers) -> None:
    status, out, _ = run(servers, "--resident", "hanako", "--resident", "kigen", "--count", "2", "--json")
    document = json.loads(out)
    assert status == 1
    assert (document["logins"], len(document["failures"])) == (2, 2)
    assert document["total_ms"]["p99"] >= document["total_ms"]["p50"] > 0


def test_the_table_names_each_step(servers: Servers) -> None:
    status, out, _ = run(servers, "--count", "3", "--concurrency", "3")
    assert status == 0
    assert "3 logins" in out
    assert "callback  p50" in out


def test_no_pin_is_taken_from_a_command_line(tmp_path: Path) -> None:
    result = CliRunner().invoke(command, ["--root", str(tmp_path), "--pin", "9876"])
    assert result.exit_code == 2
    assert "9876" not in result.output


def test_an_unknown_resident_is_answered_with_those_there_are(servers: Servers) -> None:
    status, _, err = run(servers, "--resident", "nobody")
    assert status == 2
    assert "hanako" in err
    assert run(servers, "--resident", "../broker")[0] == 2


def test_nobody_at_the_banks_address_is_said_in_words(servers: Servers) -> None:
    with pytest.raises(LoginFailed, match="nobody answers there"):
        login(
            broker=servers.broker,
            bank="http://127.0.0.2:9",
            resident_card=servers.world.card("hanako"),
            trust=servers.trust,
        )


def result(resident: str, subject: str) -> LoginResult:
    return LoginResult(
        resident=resident,
        claims={"sub": subject},
        userinfo={},
        customer_number="1",
        linked_now=False,
        asked_consent=False,
        steps_ms={"bank": 1.0},
    )


@pytest.mark.parametrize(
    ("pairs", "crossed"),
    [
        ([("a", "1"), ("b", "2"), ("a", "1")], ()),
        ([("a", "1"), ("b", "1")], ("a", "b")),
        ([("a", "1"), ("a", "2")], ("a",)),
    ],
)
def test_crossed_logins_are_found(pairs: list[tuple[str, str]], crossed: tuple[str, ...]) -> None:
    series = Series(results=[result(*pair) for pair in pairs], failures=[], seconds=1.0)
    assert series.crossed == crossed
    assert series.document()["accepted"] is (not crossed)


@given(st.lists(st.floats(0, 1e6), min_size=1), st.sampled_from([0.5, 0.99, 1.0]))
def test_a_percentile_is_a_value_with_enough_values_at_or_below_it(values: list[float], share: float) -> None:
    found = percentile(sorted(values), share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values)


def test_a_page_is_read_by_its_ids() -> None:
    page = Elements(
        '<form id="f" action="/x?a=1&amp;b=2" method="POST"><input type=hidden name=t value="&lt;&quot;"><br>'
        '<button name="d" value="y">go</button></form><p id="p">one <b>two</b></p><a id="l" href="/y">z</a>'
        '<li data-number="7" data-name="n">7</li>'
    )
    assert (page.forms["f"].action, page.forms["f"].method) == ("/x?a=1&b=2", "post")
    assert page.forms["f"].fields == {"t": '<"'}
    assert (page.texts["p"], page.links["l"], page.items) == (
        "one two",
        "/y",
        [{"number": "7", "name": "n"}],
    )


@given(st.text(max_size=300))
def test_any_text_can_be_read_as_a_page(text: str) -> None:
    assert isinstance(Elements(text).forms, dict)


def test_a_page_cannot_send_the_client_elsewhere() -> None:
    client = WebClient(origins=frozenset({"http://127.0.0.1:9"}), timeout=1)
    with pytest.raises(WebFault, match="not part of this login"):
        client.get("http://169.254.169.254/latest")
    client.close()


def test_the_pin_stands_in_no_repr(servers: Servers) -> None:
    assert "1234" not in repr(cardfile.load(servers.world.card("hanako")))
