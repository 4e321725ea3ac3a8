"""npm openid-client as a relying party of each kind that the broker knows."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest

from bench.servers import Servers
from broker.flows.client_administration import invite
from broker.oidc.client import SecurityProfile
from broker.settings import read
from cardreader.webclient import Page
from sandbox.broker import open_ports
from sandbox.node import NodeMissing, command
from tests.interop.clients import CALLBACK, CLIENTS, LEFT
from tests.interop.resident import Arrival, Resident
from tests.interop.story import PROGRAMS, tell

REFUSED = {"status": 400, "code": "OAUTH_RESPONSE_BODY_ERROR"}


@pytest.fixture(scope="module", autouse=True)
def _node() -> None:
    try:
        command(PROGRAMS)
    except NodeMissing as reason:
        pytest.skip(f"missing: {reason}")


def _leave(resident: Resident, url: str) -> Arrival:
    page = resident.go(url)
    assert isinstance(page, Arrival), page.status
    return page


def _approve(resident: Resident, code: dict[str, Any], *, decision: str) -> Page:
    """The resident opens the address on their own device, and types or confirms the code that the television shows."""
    page = resident.browser.get(code["verification_uri_complete"])
    form = page.form("device-form")
    assert form is not None
    page = resident.browser.submit(
        form, origin=code["verification_uri"].removesuffix("/device"), user_code=code["user_code"]
    )
    confirm = page.form("device-confirm-form")
    assert confirm is not None
    assert page.elements.texts["shown-code"].strip() == code["user_code"]
    page = resident.browser.submit(confirm, origin=code["verification_uri"].removesuffix("/device"), decision=decision)
    if decision == "deny":
        return page
    return resident.decide(resident.sign(page), "approve")


def test_a_login_from_discovery_to_logout(servers: Servers, resident: Resident) -> None:
    outcome = tell(
        "openid_client_code",
        CLIENTS["code"].settings(servers.broker, prompt="consent"),
        answers={
            "visit": lambda said: resident.visit(said["url"]),
            "leave": lambda said: _leave(resident, said["url"]),
        },
    )
    claims = outcome["claims"]
    assert claims["iss"] == servers.broker
    assert claims["acr"] == "aal3"
    assert outcome["userinfo"] == {"sub": claims["sub"]}
    assert outcome["token_type"] == "bearer"
    assert outcome["replay"] == {"error": "invalid_grant", **REFUSED}
    assert outcome["userinfo_after_replay"]["status"] == 401
    assert outcome["silent"]["sub"] == claims["sub"]
    assert outcome["silent"]["auth_time"] == claims["auth_time"]
    assert "acr" not in outcome["silent"]
    assert outcome["left"]["url"] == f"{LEFT}?state={outcome['left']['state']}"
    assert outcome["silent_after_logout"]["error"] == "login_required"


def test_a_grant_is_refreshed_introspected_and_revoked(servers: Servers, resident: Resident) -> None:
    outcome = tell(
        "openid_client_code",
        CLIENTS["offline"].settings(servers.broker, prompt="consent"),
        answers={
            "visit": lambda said: resident.visit(said["url"]),
            "leave": lambda said: _leave(resident, said["url"]),
        },
    )
    assert outcome["has_refresh_token"]
    assert outcome["refreshed_userinfo"]["sub"] == outcome["claims"]["sub"]
    assert outcome["introspected"]["active"] is True
    assert outcome["introspected"]["client_id"] == "offline"
    assert outcome["refresh_after_revocation"] == {"error": "invalid_grant", **REFUSED}
    assert outcome["introspected_after_revocation"] == {"active": False}


def test_an_answer_may_be_posted_by_the_browser(servers: Servers, resident: Resident) -> None:
    outcome = tell(
        "openid_client_code",
        CLIENTS["code"].settings(servers.broker, response_mode="form_post"),
        answers={
            "visit": lambda said: resident.visit(said["url"]),
            "leave": lambda said: _leave(resident, said["url"]),
        },
    )
    assert outcome["posted"]
    assert outcome["replay"]["error"] == "invalid_grant"


@pytest.mark.parametrize("jarm", [False, True], ids=["plain answer", "signed answer"])
def test_a_fapi2_client_pushes_signed_requests_and_proves_its_key(
    servers: Servers, resident: Resident, jarm: bool
) -> None:
    outcome = tell(
        "openid_client_fapi2",
        {**CLIENTS["fapi2"].settings(servers.broker, prompt="consent"), "jarm": jarm},
        answers={"visit": lambda said: resident.visit(said["url"])},
    )
    assert outcome["asked"].keys() == {"client_id", "request_uri"}
    assert set(outcome["answered"]) == ({"response"} if jarm else {"code", "state", "iss"})
    assert outcome["token_type"] == "dpop"
    assert outcome["userinfo"] == {"sub": outcome["claims"]["sub"]}
    assert outcome["userinfo_with_another_key"]["status"] == 401
    assert outcome["userinfo_without_proof"]["status"] == 401
    assert outcome["introspected"]["active"] is True
    assert outcome["introspected"]["token_type"] == "DPoP"
    assert "jkt" in outcome["introspected"]["cnf"]
    assert outcome["refreshed"] == outcome["refreshed_with_the_first_again"] == outcome["userinfo"]
    assert (
        outcome["refresh_with_another_key"] is None
    )  # RFC 9449 §5: who authenticates may change the key of new tokens
    assert outcome["code_with_another_key"]["status"] == 400
    assert outcome["code_with_another_key"]["error"] in {"invalid_grant", "invalid_dpop_proof", "invalid_request"}


def test_a_machine_gets_tokens_of_its_own(servers: Servers) -> None:
    outcome = tell("openid_client_machine", CLIENTS["machine"].settings(servers.broker), answers={})
    assert outcome["tokens"]["token_type"] == "bearer"
    assert "refresh_token" not in outcome["tokens"]
    assert "id_token" not in outcome["tokens"]
    assert outcome["introspected"]["active"] is True
    assert outcome["revoked"] == outcome["unknown"] == {"active": False}
    assert outcome["wrong_secret"] == {"error": None, "status": 401, "code": "OAUTH_WWW_AUTHENTICATE_CHALLENGE"}


def test_a_television_polls_until_the_resident_has_decided(servers: Servers, resident: Resident) -> None:
    outcome = tell(
        "openid_client_device",
        CLIENTS["television"].settings(servers.broker),
        answers={
            "approve": lambda said: _approve(resident, said["code"], decision="continue").status,
            "deny": lambda said: _approve(resident, said["code"], decision="deny").status,
        },
    )
    assert outcome["pending"] == {"error": "authorization_pending", **REFUSED}
    assert outcome["claims"]["acr"] == "aal2"
    assert outcome["userinfo"]["sub"] == outcome["claims"]["sub"]
    assert outcome["once_more"]["error"] in {"invalid_grant", "expired_token"}
    assert outcome["denied"]["error"] == "access_denied"


def test_a_client_registers_itself_by_invitation(servers: Servers, resident: Resident) -> None:
    ports = open_ports(read(servers.house.environment()))
    invitation, _ = invite(
        profile=SecurityProfile.OIDC, vetted=False, uses=3, lifetime=timedelta(minutes=5), ports=ports
    )
    settings = {**CLIENTS["code"].settings(servers.broker), "invitation": invitation}
    outcome = tell("openid_client_registration", settings, answers={"visit": lambda said: resident.visit(said["url"])})
    assert outcome["not_invited"]["status"] == 401
    assert outcome["badly"]["error"] == "invalid_redirect_uri"
    assert outcome["registered"]["redirect_uris"] == [CALLBACK]
    assert re.fullmatch(r"[A-Za-z0-9._~-]{16,64}", outcome["registered"]["client_id"])
    assert outcome["claims"]["aud"] == outcome["registered"]["client_id"]
