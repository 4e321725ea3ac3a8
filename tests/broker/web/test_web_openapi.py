"""docs/openapi.yaml and what is served say the same, and nothing that fits or does not fit it is answered by a 500."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
import yaml
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from broker.oidc.discovery import metadata
from broker.web.routes import ROUTES
from tests.broker.web.house import ISSUER, House

ROOT = Path(__file__).parents[3]
FILE = ROOT / "docs" / "openapi.yaml"
METHODS = {"get", "put", "post", "delete", "options", "head", "patch"}
EXAMPLES = 10
"""For each operation; the campaign of hostile forms goes on for longer."""
JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@schemathesis.serializer("application/pdf", "application/zip")
def _octets(_context: object, value: Any) -> bytes:
    """Files are sent as they are made, whatever they are."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return read


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method in METHODS & set(item):
            yield path, method, item[method]


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def test_every_endpoint_for_programs_is_described_with_its_methods_and_no_other(document: dict[str, Any]) -> None:
    described = {path: {method.upper() for method in METHODS & set(item)} for path, item in document["paths"].items()}
    served = {path: set(methods) for path, (methods, _) in ROUTES.items()}
    assert {path: methods for path, methods in described.items() if path in served} == served


def test_everything_described_is_served(document: dict[str, Any], house: House) -> None:
    pages: dict[str, set[str]] = {}
    for rule in house.app.url_map.iter_rules():
        path = re.sub(r"<(?:[^:>]*:)?([^>]+)>", r"{\1}", rule.rule)
        pages.setdefault(path, set()).update(rule.methods or ())
    for path, method, _ in operations(document):
        assert path in ROUTES or method.upper() in pages.get(path, set()), f"{method} {path} is not served"


def test_every_address_in_the_metadata_is_described(document: dict[str, Any]) -> None:
    told = metadata(ISSUER, signing=("ES256",), decryption=())
    addresses = {value for name, value in told.items() if name.endswith("_endpoint") or name == "jwks_uri"}
    assert addresses
    assert {address.removeprefix(ISSUER) for address in addresses} <= set(document["paths"])


def test_every_error_code_of_the_catalogue_is_described_and_no_other(document: dict[str, Any]) -> None:
    rows = tomllib.loads((ROOT / "broker" / "errors.toml").read_text(encoding="utf-8"))["error"]
    described = document["components"]["schemas"]["Error"]["properties"]["error"]["enum"]
    assert described == sorted({row["oauth"] for row in rows})


def test_every_operation_has_its_own_name_a_summary_and_says_how_it_is_refused(document: dict[str, Any]) -> None:
    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(names) == len(set(names))
    for path, method, operation in operations(document):
        assert operation["summary"], (method, path)
        assert operation["tags"][0] in {tag["name"] for tag in document["tags"]}
        assert "default" in operation["responses"], (method, path)


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    found = set(references(document))
    assert found
    for reference in found:
        place: Any = document
        for part in reference.removeprefix("#/").split("/"):
            place = place[part]


# --- against the running application ---------------------------------------------------------------------------------


@pytest.mark.parametrize("signed_in", [False, True], ids=["by a stranger", "by a client"])
def test_whatever_is_sent_is_answered_as_described_and_never_by_a_500(
    document: dict[str, Any], make_house: Callable[..., House], *, signed_in: bool
) -> None:
    schemathesis = pytest.importorskip("schemathesis", reason="missing: schemathesis")
    house = make_house()
    schema = schemathesis.openapi.from_dict(document)
    schema.app = house.app
    checks = schemathesis.checks
    held = [
        checks.not_a_server_error,
        checks.status_code_conformance,
        checks.content_type_conformance,
        checks.response_schema_conformance,
    ]
    answered: dict[str, set[int]] = {}
    access_token = house.token(house.login(house.browser())["code"]).get_json()["access_token"] if signed_in else ""
    for result in schema.get_all_operations():
        operation = result.ok()
        generated = st.one_of(
            operation.as_strategy(),
            operation.as_strategy(generation_mode=schemathesis.GenerationMode.NEGATIVE),
        )

        @seed(5)
        @settings(
            max_examples=EXAMPLES,
            database=None,
            deadline=None,
            phases=(Phase.generate,),
            suppress_health_check=list(HealthCheck),
        )
        @given(case=generated)
        def run(case: Any) -> None:
            if signed_in:
                fill_in(case, house, access_token)
            response = case.call(base_url=ISSUER)
            answered.setdefault(case.operation.label, set()).add(response.status_code)
            case.validate_response(response, checks=held)

        run()
    assert set(answered) == {f"{method.upper()} {path}" for path, method, _ in operations(document)}
    refused = {label for label, statuses in answered.items() if any(400 <= status < 500 for status in statuses)}
    assert "POST /token" in refused
    if signed_in:
        served = {label for label, statuses in answered.items() if any(status < 400 for status in statuses)}
        assert {"GET /authorize", "GET /userinfo", "POST /introspect", "POST /revoke"} <= served


def fill_in(case: Any, house: House, access_token: str) -> None:
    """What a stranger cannot guess, so that some of what is generated gets past the first check."""
    if case.path == "/userinfo":
        case.headers = {**(case.headers or {}), "Authorization": f"Bearer {access_token}"}
    elif case.path == "/authorize" and case.method == "GET":
        case.query = {**(case.query or {}), **house.parameters()}
    elif isinstance(case.body, dict):
        case.body |= {"client_assertion_type": JWT_BEARER, "client_assertion": house.assertion()}
