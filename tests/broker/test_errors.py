"""The catalogue of errors is complete: no error without words, no words without an error."""

from __future__ import annotations

import re

import pytest
import werkzeug.exceptions

import broker.errors
from broker.errors import BrokerError, SettingsError
from broker.web.catalogue import ANSWERS, CATALOGUE, Answer, answer_to, description, load_catalogue

OAUTH_ERRORS = {
    "access_denied",
    "authorization_pending",
    "consent_required",
    "expired_token",
    "insufficient_scope",
    "interaction_required",
    "invalid_authorization_details",
    "invalid_binding_message",
    "invalid_client",
    "invalid_client_metadata",
    "invalid_dpop_proof",
    "invalid_grant",
    "invalid_redirect_uri",
    "invalid_request",
    "invalid_request_object",
    "invalid_request_uri",
    "invalid_scope",
    "invalid_target",
    "invalid_token",
    "login_required",
    "request_not_supported",
    "request_uri_not_supported",
    "server_error",
    "slow_down",
    "temporarily_unavailable",
    "unauthorized_client",
    "unmet_authentication_requirements",
    "unsupported_grant_type",
    "unsupported_response_type",
    "use_dpop_nonce",
}


def leaves(kind: type[BrokerError]) -> set[type[BrokerError]]:
    children = kind.__subclasses__()
    return {leaf for child in children for leaf in leaves(child)} if children else {kind}


def ours() -> set[type[BrokerError]]:
    return {leaf for leaf in leaves(BrokerError) if leaf.__module__ == broker.errors.__name__}


def test_every_error_has_a_row_and_every_row_an_error() -> None:
    assert {kind.__name__ for kind in ours() - ANSWERS.keys()} == set()
    rest = {kind for kind in ANSWERS.keys() - ours() if not issubclass(kind, werkzeug.exceptions.HTTPException)}
    assert rest == set()


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=lambda answer: answer.code)
def test_a_row_says_all_that_is_needed(answer: Answer) -> None:
    assert re.fullmatch(r"(BROKER|AUTH|OAUTH|REGISTER|SIGN|SEAL|DELEGATION|HPKI)-[0-9]{3}", answer.code)
    assert re.fullmatch(r"[a-z_]+", answer.id)
    assert 400 <= answer.http < 600
    assert answer.oauth in OAUTH_ERRORS
    assert answer.cause.isascii()
    assert answer.cause.endswith(".")
    for language, words in answer.words.items():
        for text in (words.title, words.text, words.action):
            assert text.strip()
            assert (re.search(r"[\u3040-\u30ff]", text) is not None) is (language == "ja")
            assert not re.search(r"\b[45][0-9][0-9]\b|technical|システムエラー|(?<!署名用)パスワード", text)


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=lambda answer: answer.code)
def test_only_a_failed_authentication_of_a_client_or_token_is_401(answer: Answer) -> None:
    assert (answer.http == 401) is (answer.oauth in {"invalid_client", "invalid_token"})


def test_an_error_nobody_foresaw_is_our_own_fault() -> None:
    class Unforeseen(BrokerError):
        pass

    for error in (Unforeseen(), RuntimeError(), KeyError("x")):
        assert (answer_to(error).code, answer_to(error).http) == ("BROKER-001", 500)
    assert answer_to(werkzeug.exceptions.RequestURITooLarge()).http == 400


def test_a_description_keeps_to_the_characters_of_rfc6749_section_5_2() -> None:
    assert description(broker.errors.InvalidRequest('a "b"\\\r\n\tc 日本')) == "a ?b?????c ??"
    assert description(RuntimeError("canary")) == answer_to(RuntimeError()).cause
    assert len(description(broker.errors.InvalidRequest("x" * 999))) == 200


def test_a_damaged_catalogue_stops_the_start() -> None:
    text = CATALOGUE.read_text(encoding="utf-8")
    for damaged in (
        text.replace('exception = "AccessDenied"', 'exception = "NoSuchError"'),
        text.replace('exception = "AccessDenied"', 'exception = "InvalidGrant"'),
        text.replace('code = "AUTH-001"', 'code = "AUTH-002"'),
        text.replace('id = "login_ended"', 'id = "lost_session"'),
        text.replace('pin_try_used = "no"', 'pin_try_used = "perhaps"', 1),
        text.replace("http = 500\n", "", 1),
    ):
        assert damaged != text
        with pytest.raises(SettingsError, match="error catalogue"):
            load_catalogue(damaged)
