"""Eight programs at once with one code, refresh token, assertion or pushed request, over HTTP: one is served."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from urllib.parse import parse_qs, urlsplit

from werkzeug.test import TestResponse

from broker.oidc.client import AuthMethod, GrantType
from tests.broker.web.house import House
from tests.broker.web.program import Program, register
from tests.broker.web.pushing import log_in, pushed

CALLERS = 8
GRANTS = frozenset({GrantType.AUTHORIZATION_CODE, GrantType.REFRESH_TOKEN, GrantType.CLIENT_CREDENTIALS})
SCOPE = frozenset({"openid", "offline_access", "accounts"})


def at_once(ask: Callable[[], TestResponse]) -> list[TestResponse]:
    """Eight answers to one question."""
    barrier = Barrier(CALLERS)

    def run(_: int) -> TestResponse:
        barrier.wait(timeout=30)
        return ask()

    with ThreadPoolExecutor(CALLERS) as pool:
        return list(pool.map(run, range(CALLERS)))


def errors(answers: list[TestResponse]) -> Counter[str]:
    return Counter(answer.get_json().get("error", "none") for answer in answers)


def active(program: Program, token: str) -> bool:
    return program.userinfo(token).status_code == 200


def test_of_eight_redemptions_of_one_code_one_is_served_and_the_others_end_what_it_got(house: House) -> None:
    program = register(house, grant_types=GRANTS, scope=SCOPE)
    for _ in range(4):
        code = program.grant()
        answers = at_once(lambda code=code: program.token(code))  # type: ignore[misc]  # bound now, not later
        assert errors(answers) == {"none": 1, "invalid_grant": CALLERS - 1}
        [won] = [answer for answer in answers if answer.status_code == 200]
        assert not active(program, won.get_json()["access_token"])


def test_of_eight_uses_of_a_public_clients_refresh_token_one_is_served_and_the_family_ends(house: House) -> None:
    program = register(
        house,
        grant_types=GRANTS - {GrantType.CLIENT_CREDENTIALS},
        scope=SCOPE,
        auth_method=AuthMethod.NONE,
        application_type="native",
    )
    code = program.grant(scope="openid offline_access")
    first = program.token(code, authenticated=False, client_id=program.client.client_id).get_json()
    answers = at_once(
        lambda: program.post(
            "/token",
            authenticated=False,
            client_id=program.client.client_id,
            grant_type="refresh_token",
            refresh_token=first["refresh_token"],
        )
    )
    assert errors(answers) == {"none": 1, "invalid_grant": CALLERS - 1}
    [won] = [answer.get_json() for answer in answers if answer.status_code == 200]
    assert not active(program, won["access_token"])
    assert not active(program, first["access_token"])


def test_of_eight_requests_with_one_assertion_one_is_served(house: House) -> None:
    program = register(house, grant_types=GRANTS, scope=SCOPE)
    assertion = program.assertion()
    answers = at_once(
        lambda: program.post("/token", grant_type="client_credentials", scope="accounts", client_assertion=assertion)
    )
    assert errors(answers) == {"none": 1, "invalid_client": CALLERS - 1}


def test_of_eight_browsers_that_answer_one_pushed_request_one_gets_a_code(house: House) -> None:
    program, browser = register(house, requires_pushed_requests=True), house.browser()
    log_in(program, browser, pushed(program))  # now a session answers
    request_uri = pushed(program, prompt="none")
    session = browser.get_cookie("jpki-broker-session", domain=str(urlsplit(house.issuer).hostname))
    assert session is not None
    answers = at_once(
        lambda: house.app.test_client(use_cookies=False).get(
            "/authorize",
            query_string={"client_id": program.client.client_id, "request_uri": request_uri},
            headers={"Cookie": f"{session.key}={session.value}"},
            base_url=house.issuer,
        )
    )
    told = [parse_qs(urlsplit(answer.headers.get("Location", "")).query) for answer in answers]
    assert sum("code" in each for each in told) == 1
    # Who came while the winner was writing is told by redirect, who came later by a page.
    lost = {each.get("error", ["a page"])[0] for each in told if "code" not in each}
    assert lost <= {"invalid_request_uri", "a page"}
    assert sum(answer.status_code == 400 or "error" in each for answer, each in zip(answers, told, strict=True)) == 7
