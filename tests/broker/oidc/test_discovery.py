"""The metadata: nothing unknown, nothing that is not served, and the addresses where certificates are asked for."""

from __future__ import annotations

from broker.oidc.discovery import MTLS_ENDPOINTS, metadata

ISSUER = "https://login.example"


def test_without_an_origin_for_certificates_there_are_no_aliases() -> None:
    assert "mtls_endpoint_aliases" not in metadata(ISSUER, signing=(), decryption=())


def test_every_endpoint_that_takes_certificates_has_its_alias_and_no_other_has() -> None:
    document = metadata(ISSUER, signing=(), decryption=(), mtls_origin="https://mtls.login.example")
    aliases = document["mtls_endpoint_aliases"]
    assert aliases["token_endpoint"] == "https://mtls.login.example/token"
    assert set(aliases) == {name for name in MTLS_ENDPOINTS if name in document}
    assert "authorization_endpoint" not in aliases
