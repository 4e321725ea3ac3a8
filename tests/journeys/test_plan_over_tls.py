"""The clients of the test plans under TLS: pushed request, login by the plan's browser instructions, token, claims.

The walker does with the pages what the official suite's browser does by the same instructions: it looks for the element
with an id and follows it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from fnmatch import fnmatchcase
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit

import pytest
import requests
from joserfc import jwt
from joserfc.jwk import ECKey

from cardreader.webclient import Page, WebClient, origin_of
from sandbox import tlsfront
from sandbox.launcher import Running, sandbox
from tests.journeys.conftest import free_addresses

pytestmark = pytest.mark.timeout(240)
SAMPLES = Path(__file__).parents[2] / "samples" / "conformance"
PLANS = ("fapi2-pkjwt-dpop", "fapi2-mtls", "fapi2-message-signing", "oidcc-basic", "fapi-ciba-poll")
SUITE = "https://suite.example"
JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


MIXED = {
    "mixed-pkjwt-mtls": (
        "fapi2-pkjwt-dpop",
        {"tls_client_certificate_bound_access_tokens": True},
        "dpop_bound_access_tokens",
    ),
    "mixed-mtls-dpop": (
        "fapi2-mtls",
        {"dpop_bound_access_tokens": True},
        "tls_client_certificate_bound_access_tokens",
    ),
}
"""Variants that differ from a sample in how tokens are bound."""


def mixed(folder: Path, name: str) -> Path:
    """A sample made over, with clients of other names."""
    sample, added, removed = MIXED[name]
    text = (SAMPLES / f"{sample}.json").read_text(encoding="utf-8").replace("fapi2-", f"{name}-")
    given = json.loads(text)
    given["config"]["alias"] = f"jpki-broker-{name}"
    given["registration"] |= added
    del given["registration"][removed]
    path = folder / f"{name}.json"
    path.write_text(json.dumps(given), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A sandbox that knows the clients of every sample."""
    if tlsfront.program() is None:
        pytest.skip("missing: nginx")
    folder = tmp_path_factory.mktemp("plans")
    with sandbox(
        tmp_path_factory.mktemp("s"),
        addresses=replace(free_addresses(), tls=True),
        reader="software",
        workers=1,
        plans=[*(SAMPLES / f"{name}.json" for name in PLANS), *(mixed(folder, name) for name in MIXED)],
        suite=SUITE,
    ) as up:
        yield up
        up.check()


def config(running: Running, plan: str) -> dict[str, Any]:
    """What the suite would be given."""
    found: dict[str, Any] = json.loads((running.root / "plans" / f"{plan}.json").read_text(encoding="utf-8"))
    return found


# --- a browser that follows the plan's instructions -------------------------------------------------------------------


class Where(HTMLParser):
    """In which form an element with an id stands, and what it sends."""

    def __init__(self, page: Page) -> None:
        super().__init__()
        self.forms: dict[str, tuple[str, dict[str, str]]] = {}
        self._form = ""
        self.feed(page.body.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._form = told.get("id", "")
        if "id" in told and tag == "button":
            self.forms[told["id"]] = (self._form, {told["name"]: told["value"]} if "name" in told else {})


class Walker:
    """Stops where the way leads to the suite, which is not there: `arrived` is that address."""

    def __init__(self, running: Running, instructions: list[dict[str, Any]]) -> None:
        self._web = WebClient(
            origins=frozenset({running.addresses.broker}), timeout=20, authorities=running.authorities
        )
        self._instructions = instructions
        self.arrived = ""

    def __enter__(self) -> Walker:
        return self

    def __exit__(self, *_: object) -> None:
        self._web.close()

    def visit(self, url: str) -> Page:
        tasks = next(each["tasks"] for each in self._instructions if fnmatchcase(url, each["match"]))
        page = self._web.get(url, follow=False)
        while page.status in {302, 303} and not self.arrived:
            onward = urljoin(page.url, page.headers["location"])
            if origin_of(onward) == origin_of(url):
                page = self._web.get(onward, follow=False)
            else:
                self.arrived = onward
        for task in tasks:
            at = self.arrived or page.url
            if not fnmatchcase(at, task["match"].replace("[", "[[]")):
                assert task.get("optional"), f"{task['task']}: at {at}"
                continue
            for command in task.get("commands", []):
                page = self._do(page, command)
        return page

    def _do(self, page: Page, command: list[Any]) -> Page:
        word, kind, target, *rest = command
        assert kind == "id"
        if self.arrived:
            assert word == "wait"  # for an element of the suite's own page
            return page
        if word == "wait":
            assert target in page.elements.texts
            return page
        assert word == "click"
        if target in page.elements.links:
            self.arrived = page.elements.links[target]
            return page
        form, sent = Where(page).forms.get(target, ("", {}))
        found = page.form(form)
        if found is None:
            assert "optional" in rest, f"no #{target} on {page.url}"
            return page
        if origin_of(found.action) != origin_of(page.url):
            self.arrived = found.action
            return page
        return self._web.submit(found, origin=origin_of(page.url), follow=True, **sent)


# --- a client as the plan describes it --------------------------------------------------------------------------------


class PlannedClient:
    """Speaks to the provider with what the suite was given, and nothing else."""

    def __init__(self, running: Running, plan: str, role: str = "client") -> None:
        self.config = config(running, plan)
        self.own = self.config[role]
        self.client_id = str(self.own["client_id"])
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.verify = running.authorities or True
        self.metadata = self.session.get(self.config["server"]["discoveryUrl"], timeout=10).json()
        self.key = ECKey.import_key(self.own["jwks"]["keys"][0]) if "jwks" in self.own else None
        self.dpop_key = ECKey.generate_key("P-256", private=True)
        self.redirect_uri = f"{SUITE}/test/a/{self.config['alias']}/callback"
        self.verifier = secrets.token_urlsafe(48)
        certificate = self.config.get("mtls" if role == "client" else "mtls2")
        if certificate is not None:
            files = running.root / "tls" / "clients"
            self.session.cert = (str(files / f"{self.client_id}.pem"), str(files / f"{self.client_id}.key"))
            assert Path(self.session.cert[0]).read_text(encoding="ascii") == certificate["cert"]
        aliases = self.metadata["mtls_endpoint_aliases"] if certificate is not None else {}
        self.endpoints = {**self.metadata, **aliases}

    def post(self, endpoint: str, *, dpop: bool = False, **form: str) -> requests.Response:
        url = self.endpoints[endpoint]
        headers = {"DPoP": self.proof("POST", url)} if dpop else {}
        auth = None
        if self.key is not None:
            form |= {"client_assertion_type": JWT_BEARER, "client_assertion": self.assertion()}
        elif "client_secret" in self.own and self.own["token_endpoint_auth_method"] == "client_secret_basic":
            auth = (self.client_id, self.own["client_secret"])
        else:
            form |= {"client_id": self.client_id}
            form |= {"client_secret": self.own["client_secret"]} if "client_secret" in self.own else {}
        return self.session.post(url, data=form, headers=headers, auth=auth, timeout=20)

    def assertion(self) -> str:
        now = int(time.time())
        claims = {
            "iss": self.client_id,
            "sub": self.client_id,
            "aud": self.metadata["issuer"],
            "jti": secrets.token_hex(),
        }
        return self.signed({**claims, "iat": now, "exp": now + 60})

    def signed(self, claims: dict[str, Any], **header: str) -> str:
        assert self.key is not None
        return jwt.encode({"alg": "ES256", "kid": self.key.kid, **header}, claims, self.key)

    def proof(self, method: str, url: str, token: str = "") -> str:
        claims: dict[str, Any] = {"htm": method, "htu": url, "iat": int(time.time()), "jti": secrets.token_hex()}
        if token:
            claims["ath"] = base64.urlsafe_b64encode(hashlib.sha256(token.encode()).digest()).rstrip(b"=").decode()
        header = {"alg": "ES256", "typ": "dpop+jwt", "jwk": self.dpop_key.as_dict(private=False)}
        return jwt.encode(header, claims, self.dpop_key)

    def asked(self) -> dict[str, str]:
        digest = hashlib.sha256(self.verifier.encode()).digest()
        return {
            "client_id": self.client_id,
            "response_type": "code",
            "redirect_uri": self.redirect_uri,
            "scope": "openid",
            "state": secrets.token_hex(),
            "nonce": secrets.token_hex(),
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }

    def login(self, running: Running, *, signed_request: bool = False, **more: str) -> dict[str, str]:
        """Push, walk, and what comes back in the query."""
        asked = {**self.asked(), **more}
        if signed_request:
            now = int(time.time())
            claims = {**asked, "iss": self.client_id, "aud": self.metadata["issuer"], "nbf": now, "exp": now + 300}
            asked = {"client_id": self.client_id, "request": self.signed(claims, typ="oauth-authz-req+jwt")}
        if self.config["alias"] != "jpki-broker-basic":
            pushed = self.post("pushed_authorization_request_endpoint", dpop=False, **asked)
            assert pushed.status_code == 201, pushed.text
            asked = {"client_id": self.client_id, "request_uri": pushed.json()["request_uri"]}
        with Walker(running, self.config["browser"]) as walker:
            walker.visit(f"{self.metadata['authorization_endpoint']}?{urlencode(asked)}")
        assert walker.arrived.startswith(f"{self.redirect_uri}?"), walker.arrived
        return {name: values[0] for name, values in parse_qs(urlsplit(walker.arrived).query).items()}

    def redeem(self, code: str, *, dpop: bool) -> requests.Response:
        return self.post(
            "token_endpoint",
            dpop=dpop,
            grant_type="authorization_code",
            code=code,
            redirect_uri=self.redirect_uri,
            code_verifier=self.verifier,
        )


Make = Callable[..., PlannedClient]


@pytest.fixture
def make(planned: Running) -> Iterator[Make]:
    """Clients whose connections are closed in the end."""
    with ExitStack() as stack:

        def client(plan: str, role: str = "client") -> PlannedClient:
            made = PlannedClient(planned, plan, role)
            stack.callback(made.session.close)
            return made

        yield client


def test_a_client_with_keys_and_dpop_logs_a_resident_in(planned: Running, make: Make) -> None:
    client = make("fapi2-pkjwt-dpop")
    back = client.login(planned)
    assert back["iss"] == planned.addresses.broker
    answer = client.redeem(back["code"], dpop=True)
    assert answer.status_code == 200, answer.text
    token = answer.json()["access_token"]
    assert answer.json()["token_type"] == "DPoP"
    resource = client.config["resource"]["resourceUrl"]
    headers = {"Authorization": f"DPoP {token}", "DPoP": client.proof("GET", resource, token)}
    told = client.session.get(resource, headers=headers, timeout=10)
    assert told.status_code == 200, told.text
    assert client.session.get(resource, headers={"Authorization": f"Bearer {token}"}, timeout=10).status_code == 401


def test_a_client_with_a_certificate_for_all_of_it_logs_a_resident_in(planned: Running, make: Make) -> None:
    client = make("fapi2-mtls")
    answer = client.redeem(client.login(planned)["code"], dpop=False)
    assert answer.status_code == 200, answer.text
    resource = client.config["resource"]["resourceUrl"]
    assert resource == f"{planned.addresses.mtls}/userinfo"
    headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    assert client.session.get(resource, headers=headers, timeout=10).status_code == 200
    other = make("fapi2-mtls", "client2")
    assert other.session.get(resource, headers=headers, timeout=10).status_code == 401
    without = requests.get(resource, headers=headers, verify=planned.authorities or True, timeout=10)
    assert without.status_code == 401


def test_a_client_with_keys_whose_tokens_are_bound_to_its_certificate_logs_a_resident_in(
    planned: Running, make: Make
) -> None:
    client = make("mixed-pkjwt-mtls")
    answer = client.redeem(client.login(planned)["code"], dpop=False)
    assert answer.status_code == 200, answer.text
    headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    resource = client.endpoints["userinfo_endpoint"]
    assert client.session.get(resource, headers=headers, timeout=10).status_code == 200
    client.session.cert = None
    assert client.session.get(resource, headers=headers, timeout=10).status_code == 401


def test_a_proof_names_the_address_that_asks_for_certificates_when_it_is_sent_there(
    planned: Running, make: Make
) -> None:
    client = make("mixed-mtls-dpop")
    assert client.endpoints["token_endpoint"].startswith(f"{planned.addresses.mtls}/")
    answer = client.redeem(client.login(planned)["code"], dpop=True)
    assert answer.status_code == 200, answer.text
    assert answer.json()["token_type"] == "DPoP"


def test_a_client_asks_for_a_resident_elsewhere_and_the_automated_approval_answers(
    planned: Running, make: Make
) -> None:
    client = make("fapi-ciba-poll")
    first = client.redeem(client.login(planned)["code"], dpop=False).json()["id_token"]
    subject = json.loads(base64.urlsafe_b64decode(first.split(".")[1] + "=="))["sub"]
    for action, status in (("allow", 200), ("deny", 400)):
        now = int(time.time())
        claims = {"iss": client.client_id, "aud": client.metadata["issuer"], "jti": secrets.token_hex(), "iat": now}
        claims |= {"nbf": now, "exp": now + 120, "scope": "openid", "login_hint": subject}
        asked = client.post("backchannel_authentication_endpoint", request=client.signed(claims))
        assert asked.status_code == 200, asked.text
        waiting = {"grant_type": "urn:openid:params:grant-type:ciba", "auth_req_id": asked.json()["auth_req_id"]}
        pending = client.post("token_endpoint", dpop=False, **waiting)
        assert pending.json()["error"] == "authorization_pending"
        approval = client.config["automated_ciba_approval_url"]
        approval = approval.replace("{auth_req_id}", waiting["auth_req_id"]).replace("{action}", action)
        assert client.session.post(approval, timeout=20).status_code == 200
        time.sleep(asked.json()["interval"])
        answer = client.post("token_endpoint", dpop=False, **waiting)
        assert answer.status_code == status, answer.text
        assert ("id_token" in answer.json()) is (action == "allow")


def test_a_posted_answer_leaves_by_the_button(planned: Running, make: Make) -> None:
    client = make("oidcc-basic")
    asked = {**client.asked(), "response_mode": "form_post"}
    with Walker(planned, client.config["browser"]) as walker:
        walker.visit(f"{client.metadata['authorization_endpoint']}?{urlencode(asked)}")
    assert walker.arrived == client.redirect_uri


def test_the_instructions_log_out_and_come_back(planned: Running, make: Make) -> None:
    client = make("oidcc-basic")
    with Walker(planned, client.config["browser"]) as walker:
        walker.visit(f"{client.metadata['authorization_endpoint']}?{urlencode(client.asked())}")
        code = parse_qs(urlsplit(walker.arrived).query)["code"][0]
        hint = client.redeem(code, dpop=False).json()["id_token"]
        back = f"{SUITE}/test/a/{client.config['alias']}/post_logout_redirect"
        walker.arrived = ""
        asked = {"id_token_hint": hint, "post_logout_redirect_uri": back, "state": "s"}
        walker.visit(f"{client.metadata['end_session_endpoint']}?{urlencode(asked)}")
    assert walker.arrived == f"{back}?state=s"


def test_another_clients_certificate_or_none_proves_nothing(make: Make) -> None:
    client, other = make("fapi2-mtls"), make("fapi2-mtls", "client2")
    client.session.cert = other.session.cert
    assert client.post("pushed_authorization_request_endpoint", dpop=False, **client.asked()).status_code == 401
    client.session.cert = None
    assert client.post("pushed_authorization_request_endpoint", dpop=False, **client.asked()).status_code == 401


def test_signed_requests_are_answered_by_signed_responses(planned: Running, make: Make) -> None:
    client = make("fapi2-message-signing")
    back = client.login(planned, signed_request=True, response_mode="jwt")
    assert set(back) == {"response"}
    claims = json.loads(base64.urlsafe_b64decode(back["response"].split(".")[1] + "=="))
    assert claims["iss"] == planned.addresses.broker
    assert client.redeem(claims["code"], dpop=True).status_code == 200


@pytest.mark.parametrize("role", ["client", "client2", "client_secret_post"])
def test_a_client_with_a_secret_logs_a_resident_in(planned: Running, make: Make, role: str) -> None:
    client = make("oidcc-basic", role)
    answer = client.redeem(client.login(planned)["code"], dpop=False)
    assert answer.status_code == 200, answer.text
    assert "id_token" in answer.json()


def test_the_error_pages_instructions_find_what_they_look_for(planned: Running, make: Make) -> None:
    client = make("oidcc-basic")
    instructions = client.config["override"]["oidcc-ensure-registered-redirect-uri"]["browser"]
    asked = {**client.asked(), "redirect_uri": f"{SUITE}/elsewhere"}
    with Walker(planned, instructions) as walker:
        page = walker.visit(f"{client.metadata['authorization_endpoint']}?{urlencode(asked)}")
    assert walker.arrived == ""
    assert page.status == 400
