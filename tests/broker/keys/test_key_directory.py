"""Keys in a sealed file: what opens, what does not, and what agents are told."""

from __future__ import annotations

import base64
import json
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from broker.errors import BrokerError, SettingsError, StoreUnavailable
from broker.flows.ports import KeyUse
from broker.jose import parse_claims, sign_jws, thumbprint, verify_jws
from broker.jpki.subject import serial_fingerprint
from broker.keys import keyfile
from broker.keys.directory import KEYS_FILE
from broker.keys.live import LiveKeys, open_keys
from broker.keys.rotation import create, renew_statement
from broker.keys.statement import PUBLIC_FILE

NOW = datetime(2026, 11, 20, 3, 4, 5, tzinfo=UTC)
ISSUER = "http://localhost:8000"
PASSPHRASE = "correct horse"
ROOT_PASSPHRASE = "offline"
SIGNING_USES = (KeyUse.ID_TOKEN, KeyUse.ACCESS_TOKEN, KeyUse.CARD_REQUEST)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `keys/` and `root.json`, to be read only."""
    folder = tmp_path_factory.mktemp("made")
    create(
        folder / "keys",
        PASSPHRASE,
        issuer=ISSUER,
        now=NOW,
        agent_root_out=folder / "root.json",
        agent_root_passphrase=ROOT_PASSPHRASE,
    )
    return folder


@pytest.fixture(scope="module")
def keys(made: Path) -> LiveKeys:
    return open_keys(made / "keys", PASSPHRASE)


@pytest.fixture
def copy(made: Path, tmp_path: Path) -> Path:
    """The same files, to be changed."""
    (tmp_path / "keys").mkdir()
    for name in ("root.json", f"keys/{KEYS_FILE}", f"keys/{PUBLIC_FILE}"):
        (tmp_path / name).write_bytes((made / name).read_bytes())
    return tmp_path


def statement(folder: Path) -> dict[str, object]:
    public = json.loads((folder / "keys" / PUBLIC_FILE).read_text())
    return parse_claims(
        verify_jws(
            public["statement"],
            jwks={"keys": [{**public["agent_root"], "kid": thumbprint(public["agent_root"])}]},
            algorithms=("ES256",),
            typ="card-request-keys+jwt",
        )
    )


def test_files_are_their_owners_alone(made: Path) -> None:
    for path in ("root.json", f"keys/{KEYS_FILE}", f"keys/{PUBLIC_FILE}"):
        assert stat.S_IMODE((made / path).stat().st_mode) == 0o600
    assert sorted(path.name for path in (made / "keys").iterdir()) == [KEYS_FILE, PUBLIC_FILE]


@pytest.mark.parametrize("use", SIGNING_USES)
def test_each_use_signs_with_a_key_that_its_jwks_names(keys: LiveKeys, use: KeyUse) -> None:
    token = sign_jws({"iss": ISSUER}, signer=keys.signer(use), typ="JWT")
    jwks = keys.jwks(use)
    assert verify_jws(token, jwks=jwks, algorithms=("ES256",)) == b'{"iss":"http://localhost:8000"}'
    (jwk,) = jwks["keys"]
    assert jwk["kid"] == thumbprint(jwk) == keys.signer(use).kid
    assert set(jwk) == {"kty", "crv", "x", "y", "kid", "use", "alg"}


def test_a_signature_for_one_use_is_not_valid_for_another(keys: LiveKeys) -> None:
    token = sign_jws({"iss": ISSUER}, signer=keys.signer(KeyUse.CARD_REQUEST), typ="JWT")
    with pytest.raises(BrokerError):
        verify_jws(token, jwks=keys.jwks(KeyUse.ID_TOKEN, KeyUse.ACCESS_TOKEN), algorithms=("ES256",))
    assert len({keys.signer(use).kid for use in SIGNING_USES}) == len(SIGNING_USES)


def test_the_statement_names_the_request_key_for_ninety_days(keys: LiveKeys, made: Path) -> None:
    request_key = {name: keys.jwks(KeyUse.CARD_REQUEST)["keys"][0][name] for name in ("kty", "crv", "x", "y")}
    assert statement(made) == {
        "iss": ISSUER,
        "seq": 1,
        "nbf": int(NOW.timestamp()),
        "exp": int(NOW.timestamp()) + 90 * 86400,
        "keys": [request_key],
    }
    assert keys.statement_expires_at() == NOW + timedelta(days=90)
    told = keys.card_agent()
    assert set(told) == {"agent_root", "statement"}
    assert set(told["agent_root"]) == {"kty", "crv", "x", "y"}


def test_renewing_raises_the_sequence_number_and_keeps_the_keys(copy: Path) -> None:
    before = statement(copy)
    later = NOW + timedelta(days=60)
    for seq in (2, 3):
        assert (
            renew_statement(
                copy / "keys", agent_root=copy / "root.json", agent_root_passphrase=ROOT_PASSPHRASE, now=later
            )
            == seq
        )
    after = statement(copy)
    assert (after["seq"], after["keys"], after["nbf"]) == (3, before["keys"], int(later.timestamp()))
    assert open_keys(copy / "keys", PASSPHRASE).statement_expires_at() == later + timedelta(days=90)


def test_a_statement_never_lives_longer_than_ninety_days(copy: Path) -> None:
    with pytest.raises(SettingsError, match="90 days"):
        renew_statement(
            copy / "keys",
            agent_root=copy / "root.json",
            agent_root_passphrase=ROOT_PASSPHRASE,
            now=NOW,
            lifetime=timedelta(days=91),
        )


def test_another_agent_root_cannot_renew(copy: Path, tmp_path: Path) -> None:
    create(tmp_path / "b", "x", issuer=ISSUER, now=NOW, agent_root_out=tmp_path / "b.json")
    with pytest.raises(SettingsError, match="not the one"):
        renew_statement(copy / "keys", agent_root=tmp_path / "b.json", agent_root_passphrase="x", now=NOW)
    assert statement(copy)["seq"] == 1


def test_the_brokers_file_does_not_hold_the_agent_root(made: Path) -> None:
    with pytest.raises(SettingsError, match="kind"):
        keyfile.unseal((made / "keys" / KEYS_FILE).read_bytes(), kind="agent-root", passphrase=PASSPHRASE)
    contents = keyfile.unseal((made / "keys" / KEYS_FILE).read_bytes(), kind="broker", passphrase=PASSPHRASE)
    root = keyfile.unseal((made / "root.json").read_bytes(), kind="agent-root", passphrase=ROOT_PASSPHRASE)
    assert root["key"] not in json.dumps(contents)


def test_nothing_is_overwritten(copy: Path) -> None:
    before = (copy / "root.json").read_bytes()
    with pytest.raises(SettingsError, match=r"root\.json exists"):
        create(copy / "other", PASSPHRASE, issuer=ISSUER, now=NOW, agent_root_out=copy / "root.json")
    with pytest.raises(SettingsError, match="exists already"):
        create(copy / "keys", PASSPHRASE, issuer=ISSUER, now=NOW, agent_root_out=copy / "new.json")
    assert (copy / "root.json").read_bytes() == before
    assert not (copy / "new.json").exists()


def test_a_wrong_passphrase_is_said_and_repeated_nowhere(made: Path) -> None:
    with pytest.raises(SettingsError, match="wrong passphrase") as refused:
        open_keys(made / "keys", "Correct horse")
    assert "orse" not in str(refused.value)
    with pytest.raises(SettingsError, match="empty"):
        keyfile.seal({}, kind="broker", passphrase="", entropy=bytes)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"keys\.json cannot be read"):
        open_keys(tmp_path, PASSPHRASE)


def test_a_statement_for_other_keys_is_refused(copy: Path, tmp_path: Path) -> None:
    create(tmp_path / "b", "x", issuer=ISSUER, now=NOW, agent_root_out=tmp_path / "b.json")
    (copy / "keys" / PUBLIC_FILE).write_bytes((tmp_path / "b" / PUBLIC_FILE).read_bytes())
    with pytest.raises(SettingsError, match="does not name"):
        open_keys(copy / "keys", PASSPHRASE)


def test_a_statement_that_was_changed_is_refused(copy: Path) -> None:
    path = copy / "keys" / PUBLIC_FILE
    public = json.loads(path.read_text())
    head, _, signature = public["statement"].split(".")
    forged = base64.urlsafe_b64encode(json.dumps({"iss": ISSUER, "keys": []}).encode()).rstrip(b"=").decode()
    path.write_text(json.dumps({**public, "statement": f"{head}.{forged}.{signature}"}))
    with pytest.raises(SettingsError, match="not signed"):
        open_keys(copy / "keys", PASSPHRASE)


@pytest.mark.parametrize("change", ["kind", "n", "ciphertext", "nonce", "salt", "truncated", "empty", "list"])
def test_a_damaged_file_never_opens(copy: Path, change: str) -> None:
    path = copy / "keys" / KEYS_FILE
    data = path.read_bytes()
    outer = json.loads(data)
    match change:
        case "kind":
            outer["kind"] = "agent-root"
        case "n":
            outer["kdf"]["n"] = 2**30
        case "salt":
            outer["kdf"]["salt"] = base64.b64encode(bytes(16)).decode()
        case "ciphertext" | "nonce":
            raw = bytearray(base64.b64decode(outer[change]))
            raw[0] ^= 1
            outer[change] = base64.b64encode(raw).decode()
    path.write_bytes({"truncated": data[:-20], "empty": b"", "list": b"[]"}.get(change, json.dumps(outer).encode()))
    with pytest.raises(SettingsError):
        open_keys(copy / "keys", PASSPHRASE)


def test_a_sealed_value_opens_in_its_own_place_only(keys: LiveKeys, copy: Path) -> None:
    sealed = keys.seal(b"serial", context=b"row 1")
    assert keys.unseal(sealed, context=b"row 1") == b"serial"
    assert open_keys(copy / "keys", PASSPHRASE).unseal(sealed, context=b"row 1") == b"serial"
    assert keys.seal(b"serial", context=b"row 1") != sealed
    for wrong, context in (
        (sealed, b"row 2"),
        (sealed[:-1], b"row 1"),
        (b"\x02" + sealed[1:], b"row 1"),
        (b"", b"row 1"),
        (sealed[:20], b"row 1"),
    ):
        with pytest.raises(StoreUnavailable):
            keys.unseal(wrong, context=context)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary(max_size=200), st.binary(max_size=40))
def test_seal_and_unseal_are_inverse(keys: LiveKeys, plaintext: bytes, context: bytes) -> None:
    assert keys.unseal(keys.seal(plaintext, context=context), context=context) == plaintext


def test_a_serial_has_one_fingerprint_here_and_another_elsewhere(keys: LiveKeys, tmp_path: Path) -> None:
    issuer = bytes(range(32))
    create(tmp_path / "b", "x", issuer=ISSUER, now=NOW, agent_root_out=tmp_path / "b.json")
    here, elsewhere = keys.serial_fingerprint(issuer, 77), open_keys(tmp_path / "b", "x").serial_fingerprint(issuer, 77)
    assert here == keys.serial_fingerprint(issuer, 77) != elsewhere
    assert here not in (serial_fingerprint(bytes(32), issuer, 77), keys.serial_fingerprint(issuer, 78))


def test_a_signer_does_not_show_its_key(keys: LiveKeys) -> None:
    assert "PrivateKey" not in repr(keys.signer(KeyUse.ID_TOKEN))
