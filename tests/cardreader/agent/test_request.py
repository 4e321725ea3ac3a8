"""Card requests and trust files that are not exactly right, each refused before a card is touched."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cardreader.agent.display import displayable
from cardreader.agent.jose import canonical_json
from cardreader.agent.request import verify_request
from cardreader.agent.trust import AgentState, TrustInvalid, load_trust, origin_of, parse_trust
from cardreader.errors import (
    ActionUnknown,
    AgentError,
    RequestMalformed,
    RequestSignatureInvalid,
    SiteUnknown,
    StatementExpired,
    StatementRolledBack,
)
from tests.cardreader.agent.conftest import ISSUER, NOW, Broker, b64url, public_jwk, sign, thumbprint

EPOCH = int(NOW.timestamp())
TYP = "card-request+jwt"


def _verify(broker: Broker, jws: str, **changes: Any) -> Any:
    return verify_request(jws, **{"trust": broker.trust(), "origin": ISSUER, "now": NOW, **changes})


def _segments(jws: str, *, header: object = None, payload: bytes | None = None) -> str:
    """The same token with another header or payload text, its signature left as it was."""
    parts = jws.split(".")
    if header is not None:
        parts[0] = b64url(json.dumps(header).encode())
    if payload is not None:
        parts[1] = b64url(payload)
    return ".".join(parts)


def test_every_claim_arrives_exactly_as_it_was_signed(broker: Broker) -> None:
    claims = broker.claims(previous=b64url(b"frame"), action='{"release":["name"]}')
    request = _verify(broker, sign(claims, broker.key, typ=TYP))
    assert (request.issuer, request.origin, request.tag) == (ISSUER, ISSUER, claims["tag"])
    assert (request.transaction, request.client_id, request.client_name) == (claims["jti"], "bank", "みほん銀行")
    assert b64url(request.nonce) == claims["nonce"]
    assert request.previous == b"frame"
    assert (request.action, request.act.released) == ('{"release":["name"]}', ("name",))
    assert request.request_key_thumbprint == thumbprint(public_jwk(broker.key))
    assert [b64url(digest) for digest in request.accepted_issuers] == claims["accepted_issuers"]
    assert int(request.issued_at.timestamp()) == claims["iat"]
    assert (request.return_uri, request.statement_seq) == (claims["return_uri"], 3)


WRONG_CLAIMS: list[dict[str, Any]] = [
    {"iss": "http://localhost:8001"},
    {"iss": "http://localhost:8000/"},
    {"aud": "broker"},
    {"aud": ["card-agent"]},
    {"exp": EPOCH + 301},
    {"exp": EPOCH},
    {"exp": EPOCH - 1},
    {"iat": -1, "exp": 10},
    {"iat": 10**17, "exp": 10**17 + 10},
    {"exp": True},
    {"jti": "short"},
    {"jti": "AAAAAAAAAAAAAAAAAAAAAB"},
    {"nonce": b64url(b"x" * 31)},
    {"nonce": b64url(b"x" * 32) + "="},
    {"client_id": ""},
    {"client_name": "x" * 257},
    {"client_vetted": 1},
    {"client_vetted": "true"},
    {"action": "{ }"},
    {"action": "[]"},
    {"action": '{"release":["name"],"release":[]}'},
    {"action": "{"},
    {"action": {}},
    {"previous": None},
    {"previous": b64url(b"x" * 1025)},
    {"accepted_issuers": []},
    {"accepted_issuers": [b64url(b"x" * 20)]},
    {"accepted_issuers": [7]},
    {"accepted_issuers": [b64url(b"x" * 32)] * 65},
    {"answer_key": {}},
    {"answer_key": {"kty": "EC", "crv": "P-256", "x": b64url(b"\1" * 32), "y": b64url(b"\1" * 32)}},
    {"answer_key": {"kty": "oct", "k": "AAAA"}},
    {"return_uri": "http://localhost:8000.evil.example/agent/cb/x"},
    {"return_uri": "http://localhost:8000/agent/cb/other"},
    {"return_uri": "javascript:alert(1)"},
    {"ui_locales": "ja\r\nSet-Cookie: x"},
    {"end_handle": "x"},
    {"statement": "x.y.z"},
]


@pytest.mark.parametrize("changes", WRONG_CLAIMS, ids=lambda changes: json.dumps(changes)[:60])
def test_request_with_one_wrong_member_is_refused(broker: Broker, changes: dict[str, Any]) -> None:
    with pytest.raises(RequestMalformed):
        _verify(broker, broker.request(**changes))


@pytest.mark.parametrize("member", sorted(Broker(issuer=ISSUER, ca_keys=[b""]).claims()))
def test_request_without_one_of_its_members_is_refused(broker: Broker, member: str) -> None:
    claims = broker.claims()
    del claims[member]
    with pytest.raises(RequestMalformed):
        _verify(broker, sign(claims, broker.key, typ=TYP))


@pytest.mark.parametrize(
    "changes",
    [
        {"tag": "JPKI-FED-LINK-START/1"},
        {"tag": "anything"},
        {"action": '{"transfer":"all"}'},
        {"action": '{"release":["my_number"]}'},
        {"action": '{"release":"name"}'},
        {"action": '{"release":["name","name"]}'},
        {"action": '{"release":[{}]}'},
    ],
    ids=str,
)
def test_act_without_words_for_it_is_refused(broker: Broker, changes: dict[str, Any]) -> None:
    with pytest.raises(ActionUnknown):
        _verify(broker, broker.request(**changes))


@pytest.mark.parametrize(
    "origin", ["http://localhost:8001", "https://localhost:8000", "null", "", "http://evil.example"]
)
def test_page_of_another_origin_is_refused(broker: Broker, origin: str) -> None:
    with pytest.raises(SiteUnknown):
        _verify(broker, broker.request(), origin=origin)


def test_header_may_neither_choose_nor_carry_a_key(broker: Broker) -> None:
    attacker = ec.generate_private_key(ec.SECP256R1())
    good = {"alg": "ES256", "typ": TYP, "kid": thumbprint(public_jwk(broker.key))}
    request = broker.request()
    headers: list[object] = [
        {**good, "jwk": public_jwk(attacker)},
        {**good, "jku": "http://evil.example"},
        {**good, "x5u": "http://evil.example"},
        {**good, "crit": ["exp"]},
        {**good, "alg": "none"},
        {**good, "alg": "HS256"},
        {**good, "alg": "ES384"},
        {**good, "typ": "JWT"},
        {**good, "kid": 7},
        {"alg": "ES256", "typ": TYP},
        [],
    ]
    for header in headers:
        with pytest.raises(RequestMalformed):
            _verify(broker, _segments(request, header=header))


def test_signature_by_any_other_key_is_refused(broker: Broker) -> None:
    attacker = ec.generate_private_key(ec.SECP256R1())
    claims = broker.claims()
    forged = [
        sign(claims, attacker, typ=TYP),
        sign(claims, attacker, typ=TYP, kid=thumbprint(public_jwk(broker.key))),
        sign(claims, broker.root, typ=TYP),
        sign({**claims, "statement": _own_statement(attacker, broker)}, attacker, typ=TYP),
    ]
    for token in forged:
        with pytest.raises(RequestSignatureInvalid):
            _verify(broker, token)


def _own_statement(attacker: ec.EllipticCurvePrivateKey, broker: Broker) -> str:
    claims = jwt.decode(broker.statement(), options={"verify_signature": False})
    return sign({**claims, "keys": [public_jwk(attacker)]}, attacker, typ="card-request-keys+jwt")


def test_changed_payload_breaks_the_signature(broker: Broker) -> None:
    claims = broker.claims()
    token = sign(claims, broker.key, typ=TYP)
    with pytest.raises(RequestSignatureInvalid):
        _verify(broker, _segments(token, payload=json.dumps({**claims, "client_name": "evil"}).encode()))


def test_duplicate_members_and_deep_nesting_are_refused(broker: Broker) -> None:
    token = broker.request()
    text = base64.urlsafe_b64decode(token.split(".")[1] + "==").decode()
    doubled = text[:-1] + ',"aud":"card-agent"}'
    deep = '{"aud":' + "[" * 500 + "]" * 500 + "}"
    for payload in (doubled, deep, '{"a":NaN}', '{"a":1e400}', "\ufeff{}", '{"a":"\\ud800"}'):
        with pytest.raises(RequestMalformed):
            _verify(broker, _segments(token, payload=payload.encode()))


def test_oversized_and_non_canonical_tokens_are_refused(broker: Broker) -> None:
    token = broker.request()
    for odd in (token + "A" * 40000, token + "=", token + "\n", token.replace(".", "..", 1), "", "a.b", token + "é"):
        with pytest.raises(RequestMalformed):
            _verify(broker, odd)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"iss": "https://other.example"}, RequestSignatureInvalid),
        ({"seq": 0}, RequestMalformed),
        ({"seq": True}, RequestMalformed),
        ({"exp": EPOCH + 91 * 86400}, RequestMalformed),
        ({"keys": []}, RequestMalformed),
        ({"keys": [{"kty": "RSA"}]}, RequestMalformed),
        ({"extra": 1}, RequestMalformed),
        ({"exp": EPOCH}, StatementExpired),
        ({"nbf": EPOCH + 1}, StatementExpired),
    ],
    ids=str,
)
def test_statement_of_keys_must_be_the_brokers_own_and_in_force(
    broker: Broker, changes: dict[str, Any], error: type[AgentError]
) -> None:
    with pytest.raises(error):
        _verify(broker, broker.request(statement=broker.statement(**changes)))


def test_older_statement_than_one_seen_is_refused(broker: Broker) -> None:
    trust = broker.trust().with_seen({ISSUER: 4})
    with pytest.raises(StatementRolledBack):
        _verify(broker, broker.request(), trust=trust)
    assert _verify(broker, broker.request(), trust=broker.trust().with_seen({ISSUER: 3})).statement_seq == 3


def test_stolen_old_request_key_dies_with_its_statement_by_this_machines_clock(broker: Broker) -> None:
    with pytest.raises(StatementExpired):
        _verify(broker, broker.request(), now=NOW + timedelta(days=31))
    assert _verify(broker, broker.request(), now=NOW - timedelta(days=3650)).clock_doubtful


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_damaged_token_raises_nothing_but_the_agents_own_errors(broker: Broker, data: st.DataObject) -> None:
    token = broker.request()
    at = data.draw(st.integers(0, len(token) - 1))
    damaged = token[:at] + data.draw(st.text(max_size=4)) + token[at + data.draw(st.integers(1, 40)) :]
    if damaged == token:
        return
    with pytest.raises(AgentError):
        _verify(broker, damaged)


@given(st.text())
def test_shown_text_never_holds_control_or_bidirectional_characters(text: str) -> None:
    shown = displayable(text)
    assert len(shown) <= 60
    assert shown.isprintable()
    assert not set(shown) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f")


def test_canonical_json_is_that_of_rfc8785_section_3_2_3() -> None:
    members = {"\u20ac": "Euro Sign", "\r": "Carriage Return", "\ufb33": "Hebrew", "1": "One", "\U0001f600": "Smile"}
    names = list(json.loads(canonical_json(members)))
    assert names == ["\r", "1", "\u20ac", "\U0001f600", "\ufb33"]
    assert canonical_json({"b": [1, True, None], "a": "\u000f\n'"}) == '{"a":"\\u000f\\n\'","b":[1,true,null]}'


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("http://localhost:8000", "http://localhost:8000"),
        ("https://login.example.jp/op", "https://login.example.jp"),
        ("http://[::1]:8000", "http://[::1]:8000"),
    ],
)
def test_origin_is_written_as_browsers_state_it(url: str, origin: str) -> None:
    assert origin_of(url) == origin


@pytest.mark.parametrize(
    "url",
    [
        "ftp://a.example",
        "https://A.example",
        "https://a.example:443",
        "https://u@a.example",
        "https:/a.example",
        "https://",
        "https://例え.jp",
        "https://a.example#x",
        "https://a.example:x",
    ],
)
def test_address_that_a_browser_would_rewrite_is_no_issuer(url: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        origin_of(url)


def test_trust_file_for_the_sandbox_needs_an_agent_started_for_it(broker: Broker, tmp_path: Path) -> None:
    path = tmp_path / "trust.json"
    path.write_text(json.dumps(broker.trust_document()), encoding="utf-8")
    assert load_trust(path, sandbox=True).brokers[0].origin == ISSUER
    with pytest.raises(TrustInvalid, match="--sandbox"):
        load_trust(path, sandbox=False)


@pytest.mark.parametrize(
    "issuer", ["http://login.example.jp", "https://127.0.0.1", "https://localhost", "https://host"]
)
def test_installed_agent_wants_https_and_a_dns_name(broker: Broker, issuer: str) -> None:
    document = json.dumps(broker.trust_document(issuer=issuer, sandbox=False))
    for sandbox in (False, True):
        with pytest.raises(TrustInvalid):
            parse_trust(document, sandbox=sandbox)


def test_sandbox_entry_elsewhere_than_on_this_machine_is_refused(broker: Broker) -> None:
    with pytest.raises(TrustInvalid):
        parse_trust(json.dumps(broker.trust_document(issuer="https://login.example.jp")), sandbox=True)


DAMAGES: list[Callable[[dict[str, Any]], object]] = [
    lambda document: document.update(version=2),
    lambda document: document.update(phrase=""),
    lambda document: document.update(phrase="a\u202eb"),
    lambda document: document.update(brokers=[]),
    lambda document: document.update(more=1),
    lambda document: document["brokers"].append(document["brokers"][0]),
    lambda document: document["brokers"][0].update(issuer_keys=[]),
    lambda document: document["brokers"][0].update(issuer_keys=["AAAA"]),
    lambda document: document["brokers"][0].update(issuer_keys=["*"]),
    lambda document: document["brokers"][0].update(agent_root={}),
    lambda document: document["brokers"][0].update(sandbox="yes"),
]


@pytest.mark.parametrize("damage", DAMAGES, ids=range(len(DAMAGES)))
def test_damaged_trust_file_stops_the_start(broker: Broker, tmp_path: Path, damage: Callable[..., object]) -> None:
    document = broker.trust_document()
    damage(document)
    path = tmp_path / "trust.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(TrustInvalid):
        load_trust(path, sandbox=True)


def test_statement_numbers_only_rise_and_a_damaged_memory_stops(tmp_path: Path) -> None:
    state = AgentState(tmp_path)
    state.remember(ISSUER, 5)
    state.remember(ISSUER, 2)
    state.remember("https://other.example", 1)
    assert AgentState(tmp_path).seen() == {ISSUER: 5, "https://other.example": 1}
    (tmp_path / "seen.json").write_text('{"x": "y"}', encoding="utf-8")
    with pytest.raises(TrustInvalid):
        state.seen()
