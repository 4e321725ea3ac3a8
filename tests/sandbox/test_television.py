"""The sample television: what its screen says in each state, and that it believes nothing it cannot judge."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from flask.testing import FlaskClient
from requests.adapters import BaseAdapter
from requests.models import PreparedRequest, Response

from broker.jose import compact_json
from sandbox.television import CLIENT_ID, registration
from sandbox.television.app import create_television
from sandbox.television.login import Scene, Television

ISSUER = "http://localhost:8000"
BASE = "http://127.0.0.4:8003"
KEY = ec.generate_private_key(ec.SECP256R1())
OTHER = ec.generate_private_key(ec.SECP256R1())


class Broker(BaseAdapter):
    """The broker at the other end of the television's connection, whose answers a test decides."""

    def __init__(self) -> None:
        super().__init__()
        self.token: tuple[int, dict[str, Any]] = (400, {"error": "authorization_pending"})
        self.asked: list[dict[str, list[str]]] = []
        self.issuer = ISSUER

    def send(self, request: PreparedRequest, *_: Any, **__: Any) -> Response:
        answer = Response()
        answer.status_code, told = self._told(str(request.url), str(request.body or ""))
        answer._content = compact_json(told)  # what requests keeps a body in
        return answer

    def _told(self, url: str, body: str) -> tuple[int, dict[str, Any]]:
        match url.removeprefix(ISSUER):
            case "/.well-known/openid-configuration":
                names = ("device_authorization_endpoint", "token_endpoint", "jwks_uri")
                return 200, {"issuer": self.issuer, **{name: f"{ISSUER}/{name}" for name in names}}
            case "/device_authorization_endpoint":
                self.asked.append(parse_qs(body))
                return 200, {
                    "device_code": "d" * 43,
                    "user_code": "BCDF-GHJK-47",
                    "verification_uri": f"{ISSUER}/device",
                    "verification_uri_complete": f"{ISSUER}/device?user_code=BCDF-GHJK",
                    "expires_in": 300,
                    "interval": 5,
                }
            case "/token_endpoint":
                self.asked.append(parse_qs(body))
                return self.token
        jwk = jwt.algorithms.ECAlgorithm.to_jwk(KEY.public_key(), as_dict=True)
        return 200, {"keys": [{**jwk, "kid": "1", "alg": "ES256", "use": "sig"}]}

    def close(self) -> None:
        """Nothing is open."""


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def television(broker: Broker, clock: Clock) -> Television:
    made = Television(ISSUER, authorities=None, clock=clock)
    made._http.mount("http://", broker)
    return made


@pytest.fixture
def viewer(television: Television) -> Iterator[FlaskClient]:
    with create_television(television, base_url=BASE).test_client() as client:
        yield client


def id_token(key: ec.EllipticCurvePrivateKey = KEY, **changes: Any) -> str:
    now = int(time.time())
    claims = {"iss": ISSUER, "sub": "s" * 43, "aud": CLIENT_ID, "exp": now + 60, "iat": now, "auth_time": now}
    return jwt.encode({**claims, "acr": "aal2", **changes}, key, algorithm="ES256", headers={"kid": "1"})


def press(viewer: FlaskClient, what: str, **headers: str) -> int:
    return viewer.post(f"/{what}?lang=ja", base_url=BASE, headers={"Origin": BASE, **headers}).status_code


def page(viewer: FlaskClient, language: str = "ja") -> str:
    answer = viewer.get(f"/?lang={language}", base_url=BASE)
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    return answer.text


def test_it_shows_the_code_with_its_number_and_a_picture_that_carries_none(
    viewer: FlaskClient, broker: Broker, television: Television
) -> None:
    assert 'id="start"' in page(viewer)
    assert press(viewer, "start") == 303
    shown = page(viewer)
    assert re.search(r'id="user-code"[^>]*>BCDF-GHJK-<mark>47</mark>', shown)
    assert "<svg" in shown
    assert "user_code=" not in shown
    assert television.look().verification_uri_complete.endswith("user_code=BCDF-GHJK")
    assert viewer.get("/", base_url=BASE).headers["Refresh"] == "6"
    assert broker.asked[0]["device_kind"] == ["television"]
    assert broker.asked[0]["client_id"] == [CLIENT_ID]


def test_it_asks_no_more_often_than_it_may(television: Television, broker: Broker, clock: Clock) -> None:
    television.start()
    for _ in range(20):
        television.look()
    assert len(broker.asked) == 1
    clock.now = 5
    assert television.look().scene is Scene.CODE
    assert len(broker.asked) == 2
    broker.token = (400, {"error": "slow_down"})
    clock.now = 10
    television.look()
    clock.now = 19
    television.look()
    assert len(broker.asked) == 3
    clock.now = 20
    television.look()
    assert len(broker.asked) == 4


def test_it_welcomes_whom_the_broker_vouches_for(
    viewer: FlaskClient, television: Television, broker: Broker, clock: Clock
) -> None:
    television.start()
    broker.token = (200, {"id_token": id_token()})
    clock.now = 5
    assert "ssssssssssss…" in page(viewer)
    assert "Refresh" not in viewer.get("/", base_url=BASE).headers
    assert press(viewer, "stop") == 303
    assert 'id="start"' in page(viewer)


@pytest.mark.parametrize(
    "token",
    [
        id_token(key=OTHER),
        id_token(aud="bank"),
        id_token(iss="http://evil.example"),
        id_token(exp=1),
        id_token(acr="aal3"),
        "x",
    ],
    ids=["other key", "other client", "other issuer", "run out", "other strength", "no token"],
)
def test_it_believes_no_other_id_token(television: Television, broker: Broker, clock: Clock, token: str) -> None:
    television.start()
    broker.token = (200, {"id_token": token})
    clock.now = 5
    assert television.look().scene is Scene.TROUBLE


@pytest.mark.parametrize(
    ("error", "scene"),
    [("access_denied", Scene.DECLINED), ("expired_token", Scene.TOO_LATE), ("invalid_grant", Scene.TROUBLE)],
)
def test_it_says_how_a_login_ended(
    television: Television, broker: Broker, clock: Clock, error: str, scene: Scene
) -> None:
    television.start()
    broker.token = (400, {"error": error})
    clock.now = 5
    assert television.look().scene is scene


def test_a_code_leaves_the_screen_when_it_has_run_out(television: Television, clock: Clock) -> None:
    television.start()
    clock.now = 299
    assert television.look().seconds_left == 1
    clock.now = 300
    assert television.look().scene is Scene.TOO_LATE


def test_metadata_of_another_issuer_are_trouble(television: Television, broker: Broker) -> None:
    broker.issuer = "http://evil.example"
    television.start()
    assert television.look().scene is Scene.TROUBLE


def test_only_its_own_buttons_press_it_and_under_its_own_name(viewer: FlaskClient) -> None:
    assert press(viewer, "start", Origin="http://evil.example") == 403
    assert viewer.get("/", base_url="http://evil.example").status_code == 400
    assert 'id="start"' in page(viewer)


@pytest.mark.parametrize("language", ["ja", "en"])
def test_every_scene_speaks_both_languages(viewer: FlaskClient, television: Television, language: str) -> None:
    for act in (television.stop, television.start):
        act()
        shown = re.sub(r'<a id="language".*?</a>', "", page(viewer, language))
        assert f'<html lang="{language}">' in shown
        assert (re.search(r"[\u3040-\u30ff\u4e00-\u9fff]", shown) is None) is (language == "en")


def test_it_is_registered_as_a_program_without_a_secret() -> None:
    told = registration(BASE)
    assert told["token_endpoint_auth_method"] == "none"
    assert told["scope"] == "openid"
