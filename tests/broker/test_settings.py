"""Settings: one table, unknown and unsafe ones refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from broker.app import read_profiles
from broker.errors import SettingsError
from broker.settings import Settings, loopback, read, reference, refuse_plain_http

GOOD = {
    "BROKER_ISSUER": "https://login.example",
    "BROKER_DATABASE_URL": "sqlite:///broker.db",
    "BROKER_KEY_DIRECTORY": "keys",
    "BROKER_KEY_PASSPHRASE": "open sesame",
    "BROKER_ANCHORS": "anchors.pem",
    "BROKER_CRL_SOURCES": "crl-sources.json",
}


def refusal(**changed: str | None) -> str:
    environment = {name: value for name, value in {**GOOD, **changed}.items() if value is not None}
    with pytest.raises(SettingsError) as refused:
        read(environment)
    return str(refused.value)


def test_a_complete_environment_is_read_and_the_rest_of_it_ignored() -> None:
    settings = read({**GOOD, "PATH": "/usr/bin", "BROKER_WORKERS": "1", "BROKER_EMBEDDED_JOBS": "false"})
    assert settings.issuer == "https://login.example"
    assert settings.workers == 1
    assert settings.embedded_jobs is False
    assert settings.key_directory == Path("keys")


def test_an_unknown_setting_stops_the_start_by_its_name() -> None:
    assert refusal(BROKER_ISUER="https://x.example") == "unknown setting: BROKER_ISUER"


@pytest.mark.parametrize("name", sorted(GOOD))
def test_a_missing_setting_stops_the_start_by_its_name(name: str) -> None:
    assert name in refusal(**{name: None})


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"BROKER_ISSUER": "https://login.example/"}, "issuer"),
        ({"BROKER_ISSUER": "https://user@login.example"}, "issuer"),
        ({"BROKER_ISSUER": "ftp://login.example"}, "issuer"),
        ({"BROKER_WORKERS": "3"}, "workers"),
        ({"BROKER_HOSTS": "2"}, "hosts"),
        ({"BROKER_WORKERS": "two"}, "workers"),
        ({"BROKER_PORT": "70000"}, "port"),
        ({"BROKER_DATABASE_URL": "mysql://x/y"}, "database_url"),
        ({"BROKER_DEFAULT_LANGUAGE": "fr"}, "default_language"),
        ({"BROKER_EMBEDDED_JOBS": "perhaps"}, "embedded_jobs"),
        ({"BROKER_AGENT_ORIGINS": ","}, "agent_origins"),
        ({"BROKER_HELP_URL": "javascript:alert(1)"}, "help_url"),
        ({"BROKER_CRL_MAX_AGE_HOURS": "0"}, "crl_max_age_hours"),
        ({"BROKER_CLIENT_CERTIFICATE_HEADER": "X Cert"}, "client_certificate_header"),
        ({"BROKER_CLIENT_CERTIFICATE_HEADER": "X_Cert"}, "client_certificate_header"),
        ({"BROKER_CLIENT_CERTIFICATE_HEADER": "Cookie"}, "client_certificate_header"),
        ({"BROKER_CLIENT_CERTIFICATE_HEADER": "X-Cert", "BROKER_HOST": "10.0.0.1"}, "client_certificate_header"),
        ({"BROKER_CLIENT_CERTIFICATE_HEADER": "X-Cert", "BROKER_MTLS_ORIGIN": "http://m.example"}, "mtls_origin"),
        ({"BROKER_CLIENT_CERTIFICATE_HEADER": "X-Cert", "BROKER_MTLS_ORIGIN": "https://m.example/"}, "mtls_origin"),
        ({"BROKER_MTLS_ORIGIN": "https://m.example"}, "mtls_origin"),
        ({"BROKER_CLIENT_CA": "clients.pem"}, "client_ca"),
        ({"BROKER_OPEN_REGISTRATION": "everything"}, "open_registration"),
    ],
)
def test_an_unsafe_setting_stops_the_start_by_its_name(changed: dict[str, str], named: str) -> None:
    assert named in refusal(**changed)


def test_production_serves_https_only() -> None:
    plain = read({**GOOD, "BROKER_ISSUER": "http://localhost:8000"})
    with pytest.raises(SettingsError, match="https only"):
        refuse_plain_http(plain)
    gateway = read({**GOOD, "BROKER_CORRESPONDENCE_URL": "http://127.0.0.1:8010/mapping"})
    with pytest.raises(SettingsError, match="correspondence_url: https only"):
        refuse_plain_http(gateway)


@pytest.mark.parametrize(("name", "value"), [("BROKER_APPROVE_SECTORS", "true"), ("BROKER_OPEN_REGISTRATION", "oidc")])
def test_what_is_for_the_sandbox_alone_stops_production(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name.removeprefix("BROKER_").lower()):
        refuse_plain_http(read({**GOOD, name: value}))


def test_a_secret_may_come_from_a_file_and_never_prints(tmp_path: Path) -> None:
    secret = tmp_path / "passphrase"
    secret.write_text("canary-passphrase\n", encoding="utf-8")
    environment = {**GOOD, "BROKER_KEY_PASSPHRASE_FILE": str(secret)}
    del environment["BROKER_KEY_PASSPHRASE"]
    settings = read(environment)
    assert settings.key_passphrase == "canary-passphrase"
    assert "canary" not in repr(settings)


def test_the_toml_file_is_overridden_by_the_environment(tmp_path: Path) -> None:
    config = tmp_path / "broker.toml"
    config.write_text('workers = 1\nport = 9000\nagent_origins = ["http://127.0.0.1:1"]\n', encoding="utf-8")
    settings = read({**GOOD, "BROKER_CONFIG": str(config), "BROKER_PORT": "9001"})
    assert (settings.workers, settings.port, settings.agent_origins) == (1, 9001, ("http://127.0.0.1:1",))


def test_a_broken_toml_file_is_named(tmp_path: Path) -> None:
    config = tmp_path / "broker.toml"
    config.write_text("workers = = 1", encoding="utf-8")
    assert "broker.toml" in refusal(BROKER_CONFIG=str(config))


def test_the_accepted_kinds_are_a_card_alone_until_a_phones_policy_is_told() -> None:
    assert [profile.kind for profile in read_profiles(read(GOOD))] == ["plastic"]
    phones = {"BROKER_ACCEPTED_KINDS": "plastic, phone", "BROKER_PHONE_POLICIES": "phone=1.2.3"}
    assert [profile.kind for profile in read_profiles(read({**GOOD, **phones}))] == ["plastic", "phone"]
    for wrong in ("phone", "phone=1.2.3,phone=1.2.4", "phone=", "iphone=1.2.3"):
        with pytest.raises(SettingsError, match="phone_policies"):
            read_profiles(read({**GOOD, **phones, "BROKER_PHONE_POLICIES": wrong}))


def test_only_this_machine_is_loopback() -> None:
    assert all(loopback(host) for host in ("localhost", "127.0.0.1", "127.3.2.1", "[::1]"))
    assert not any(loopback(host) for host in ("localhost.example", "10.0.0.1", "0.0.0.0", ""))  # noqa: S104 -- a value that must be refused


def test_the_settings_reference_is_what_the_command_prints() -> None:
    page = Path(__file__).parents[2] / "docs" / "settings.md"
    assert reference() in page.read_text(encoding="utf-8")


def test_every_setting_says_what_it_means() -> None:
    assert all(line.count("|") == 4 and line.strip("| ").split("|")[2].strip() for line in reference().splitlines()[2:])
    assert Settings.__doc__
