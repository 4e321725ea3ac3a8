"""The promises of ports.Keys, held by keys in the file and by keys in a real PKCS #11 token."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from joserfc.jwk import KeySet

from broker.errors import InvalidToken, SettingsError, StoreUnavailable
from broker.flows.ports import JWKS_MAX_AGE, KeyUse
from broker.jose import load_public_key, sign_jws, verify_jws
from broker.jwe import encrypt_compact
from broker.keys import rotation
from broker.keys.algorithms import ENCRYPTION
from broker.keys.live import LiveKeys
from broker.keys.pkcs11 import TokenURI
from broker.keys.ring import MAX_IN_LINE, NOTICE, OVERLAP, PUBLISHED_BEFORE, State
from tests.pcscd import for_child
from tests.softhsm import new_token, parsed

NOW = datetime(2026, 11, 20, 3, 4, 5, tzinfo=UTC)
PASSPHRASE = "correct horse"
ALL = ("ES256", "PS256", "RS256", "EdDSA")
TOKEN_USES = (KeyUse.ID_TOKEN, KeyUse.ACCESS_TOKEN)


@dataclass
class Place:
    """A key directory, and the clock that everybody in the test goes by."""

    folder: Path
    token: TokenURI | None
    algorithms: tuple[str, ...]
    now: datetime = NOW
    opened: list[LiveKeys] = field(default_factory=list)

    @property
    def keys_folder(self) -> Path:
        return self.folder / "keys"

    def open(self) -> LiveKeys:
        """A process's keys: it looks at the files at every use, so that no test waits."""
        return LiveKeys(
            self.keys_folder, PASSPHRASE, token=self.token, clock=lambda: self.now, entropy=os.urandom, look_every=0.0
        )

    def rotate(self, *uses: KeyUse, **options: object) -> tuple[str, ...]:
        made = rotation.rotate(
            self.keys_folder,
            PASSPHRASE,
            now=self.now,
            uses=uses or TOKEN_USES,
            token=self.token,
            **options,  # type: ignore[arg-type]  # passed on as given
        )
        return tuple(key.kid for key in made)


def make(folder: Path, token: str | None, algorithms: tuple[str, ...] | None = None) -> Place:
    uri = parsed(token)
    algorithms = algorithms or (ALL if uri is None else ("ES256", "PS256", "RS256"))
    rotation.create(
        folder / "keys",
        PASSPHRASE,
        issuer="https://op.example",
        now=NOW,
        agent_root_out=folder / "root.json",
        algorithms=algorithms,
        token=uri,
    )
    return Place(folder=folder, token=uri, algorithms=algorithms)


@pytest.fixture(params=["file", "token"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return make(tmp_path, new_token() if request.param == "token" else None)


def signed(keys: LiveKeys, use: KeyUse = KeyUse.ID_TOKEN, algorithm: str = "ES256") -> str:
    return sign_jws({"iss": "https://op.example"}, signer=keys.signer(use, algorithm), typ="JWT")


def holds(token: str, jwks: dict[str, object]) -> bool:
    try:
        verify_jws(token, jwks=jwks, algorithms=ALL)
    except InvalidToken:
        return False
    return True


# --- algorithms ------------------------------------------------------------------------------------------------------


def test_every_algorithm_signs_for_its_use_and_for_no_other(place: Place) -> None:
    keys = place.open()
    for use, other in (TOKEN_USES, TOKEN_USES[::-1]):
        assert keys.algorithms(use) == place.algorithms
        for algorithm in place.algorithms:
            token = signed(keys, use, algorithm)
            assert holds(token, keys.jwks(use))
            assert not holds(token, keys.jwks(other))
    assert keys.algorithms(KeyUse.CARD_REQUEST) == ("ES256",)


def test_an_algorithm_without_a_key_is_refused_until_a_rotation_makes_one(tmp_path: Path) -> None:
    place = make(tmp_path, None, ("ES256",))
    keys = place.open()
    assert keys.algorithms(KeyUse.ID_TOKEN) == ("ES256",)
    with pytest.raises(StoreUnavailable, match="no RS256 key"):
        keys.signer(KeyUse.ID_TOKEN, "RS256")
    place.rotate(KeyUse.ID_TOKEN, algorithms=("RS256",))
    assert keys.algorithms(KeyUse.ID_TOKEN) == ("ES256",)  # published, and not yet to be signed with
    assert {jwk["alg"] for jwk in keys.jwks(KeyUse.ID_TOKEN)["keys"]} == {"ES256", "RS256"}
    place.now += PUBLISHED_BEFORE + timedelta(seconds=1)
    assert holds(signed(keys, algorithm="RS256"), keys.jwks(KeyUse.ID_TOKEN))
    assert keys.algorithms(KeyUse.ACCESS_TOKEN) == ("ES256",)


def test_what_is_published_is_public_distinct_and_long_enough(place: Place) -> None:
    place.rotate()
    published = place.open().jwks(*KeyUse)["keys"]
    assert len({jwk["kid"] for jwk in published}) == len(published)
    for jwk in published:
        assert jwk.keys() <= {"kty", "crv", "x", "y", "e", "n", "kid", "use", "alg"}
        assert jwk["use"] == ("enc" if jwk["alg"] in ENCRYPTION else "sig")
        key = load_public_key(jwk)
        assert not isinstance(key, rsa.RSAPublicKey) or key.key_size >= 2048
    assert len(KeySet.import_key_set({"keys": published}).keys) == len(published)  # another library reads them too


def test_no_private_part_of_a_token_key_is_in_the_file(tmp_path: Path) -> None:
    place = make(tmp_path, new_token())
    from broker.keys import directory

    rows = directory.read(place.keys_folder, PASSPHRASE)["signing"]
    in_token = [row for row in rows if row["use"] != KeyUse.REQUEST_ENCRYPTION]
    assert len(in_token) == 11
    assert all("key" not in row and "d" not in row["jwk"] and row["object"] for row in in_token)


# --- rotation --------------------------------------------------------------------------------------------------------


def test_a_new_key_is_published_first_signs_later_and_the_old_one_goes_last(place: Place) -> None:
    keys = place.open()
    before = signed(keys)
    old = keys.signer(KeyUse.ID_TOKEN).kid
    made = place.rotate(KeyUse.ID_TOKEN, algorithms=("ES256",))
    waiting = keys.jwks(KeyUse.ID_TOKEN)
    assert {old, *made} <= {jwk["kid"] for jwk in waiting["keys"]}
    assert keys.signer(KeyUse.ID_TOKEN).kid == old

    place.now += JWKS_MAX_AGE  # a set that was fetched a moment before the rotation may be kept until here
    assert keys.signer(KeyUse.ID_TOKEN).kid == old
    place.now = NOW + PUBLISHED_BEFORE + timedelta(seconds=1)
    assert (keys.signer(KeyUse.ID_TOKEN).kid,) == made
    assert holds(signed(keys), waiting)
    assert holds(before, keys.jwks(KeyUse.ID_TOKEN))
    assert keys.retire(now=place.now) == 0

    place.now += OVERLAP[KeyUse.ID_TOKEN]
    assert not holds(before, keys.jwks(KeyUse.ID_TOKEN))
    assert keys.retire(now=place.now) == 1
    assert old not in {key.kid for key, _, _ in keys.held()}
    assert keys.retire(now=place.now) == 0
    assert keys.trouble() is None


def test_the_public_half_of_a_receipt_key_is_told_for_ever_and_the_private_half_destroyed(place: Place) -> None:
    from broker.keys import directory

    keys = place.open()
    receipts = [signed(keys, KeyUse.RECEIPT)]
    first = keys.signer(KeyUse.RECEIPT).kid
    assert [jwk["kid"] for jwk in keys.receipt_keys()["keys"]] == [first]
    for year in range(1, 4):
        place.now = NOW + timedelta(days=365 * year)
        place.rotate(KeyUse.RECEIPT)
        place.now += PUBLISHED_BEFORE + OVERLAP[KeyUse.RECEIPT] + timedelta(minutes=1)
        receipts.append(signed(keys, KeyUse.RECEIPT))
        assert keys.retire(now=place.now) == 1
    held = [key for key, _, _ in keys.held() if key.use is KeyUse.RECEIPT]
    assert len(held) == 1
    told = keys.receipt_keys()
    assert told["issuer"] == "https://op.example"
    assert [holds(receipt, told) for receipt in receipts] == [True] * 4
    assert ["nbf" in jwk for jwk in told["keys"]] == [False, True, True, True]
    assert ["exp" in jwk for jwk in told["keys"]] == [True, True, True, False]
    assert all(earlier["exp"] > later["nbf"] for earlier, later in itertools.pairwise(told["keys"]))
    assert all("d" not in jwk for jwk in told["keys"])
    contents = directory.read(place.keys_folder, PASSPHRASE)
    assert [row.keys() for row in contents["former"]] == [{"use", "alg", "jwk", "begins", "ends"}] * 3
    assert [jwk["kid"] for jwk in place.open().receipt_keys()["keys"]] == [jwk["kid"] for jwk in told["keys"]]
    assert keys.trouble() is None


@pytest.mark.parametrize(("use", "algorithm"), [(KeyUse.MANDATE_STATUS, "ES256"), (KeyUse.REGISTER_LOG, "EdDSA")])
def test_status_lists_and_checkpoints_of_every_year_verify_by_the_history(
    place: Place, use: KeyUse, algorithm: str
) -> None:
    keys = place.open()
    said = [signed(keys, use, algorithm)]
    for year in range(1, 4):
        place.now = NOW + timedelta(days=365 * year)
        (made,) = place.rotate(use)
        assert made in {jwk["kid"] for jwk in keys.history(use)["keys"]}, "known before it signs"
        place.now += timedelta(days=365)
        said.append(signed(keys, use, algorithm))
        assert keys.retire(now=place.now) == 1
    again = place.open()
    assert [holds(each, again.history(use)) for each in said] == [True] * 4
    assert [holds(each, again.jwks(use)) for each in said] == [False] * 3 + [True]
    assert all("d" not in jwk for jwk in again.history(use)["keys"])
    assert again.receipt_keys()["keys"] == again.history(KeyUse.RECEIPT)["keys"]


def test_a_new_key_of_status_lists_signs_once_nobody_can_have_a_set_without_it(place: Place) -> None:
    keys = place.open()
    first = keys.signer(KeyUse.MANDATE_STATUS).kid
    (made,) = place.rotate(KeyUse.MANDATE_STATUS)
    place.now += JWKS_MAX_AGE
    assert keys.signer(KeyUse.MANDATE_STATUS).kid == first
    place.now += NOTICE + timedelta(seconds=1)
    assert keys.signer(KeyUse.MANDATE_STATUS).kid == made


def test_an_installation_from_before_receipts_gets_its_key_by_the_next_rotation(tmp_path: Path) -> None:
    from broker.keys import directory

    place = make(tmp_path, None, ("ES256",))
    contents = directory.read(place.keys_folder, PASSPHRASE)
    contents["signing"] = [row for row in contents["signing"] if row["use"] != KeyUse.RECEIPT]
    directory.write(place.keys_folder, contents, PASSPHRASE, entropy=os.urandom)
    keys = place.open()
    assert keys.receipt_keys()["keys"] == []
    with pytest.raises(StoreUnavailable, match="no ES256 key for receipt"):
        keys.signer(KeyUse.RECEIPT)
    (made,) = place.rotate(KeyUse.RECEIPT)
    assert [jwk["kid"] for jwk in keys.receipt_keys()["keys"]] == [made]
    place.now += PUBLISHED_BEFORE + timedelta(seconds=1)
    assert keys.signer(KeyUse.RECEIPT).kid == made


def test_at_once_means_as_soon_as_every_process_has_seen_it(place: Place) -> None:
    keys = place.open()
    made = place.rotate(KeyUse.ID_TOKEN, algorithms=("ES256",), at_once=True)
    assert keys.signer(KeyUse.ID_TOKEN).kid not in made
    place.now += NOTICE + timedelta(seconds=1)
    assert (keys.signer(KeyUse.ID_TOKEN).kid,) == made


def test_request_keys_need_the_agent_root_and_are_stated_before_they_sign(place: Place) -> None:
    from tests.broker.keys.test_key_directory import statement

    with pytest.raises(SettingsError, match="agent-root"):
        place.rotate(KeyUse.CARD_REQUEST)
    keys = place.open()
    old, first = keys.signer(KeyUse.CARD_REQUEST).kid, keys.card_agent()["statement"]
    root = rotation.AgentRoot(path=place.folder / "root.json", passphrase=PASSPHRASE)
    (made,) = place.rotate(KeyUse.CARD_REQUEST, agent_root=root)
    # A process that has not looked yet would hand out the old statement after an agent had seen the new number.
    assert (keys.signer(KeyUse.CARD_REQUEST).kid, keys.card_agent()["statement"]) == (old, first)
    place.now += NOTICE + timedelta(seconds=1)
    assert keys.signer(KeyUse.CARD_REQUEST).kid == made
    assert keys.card_agent()["statement"] != first
    assert statement(place.folder)["seq"] == 2
    assert len(statement(place.folder)["keys"]) == 2  # type: ignore[arg-type]  # a statement is JSON
    place.now += OVERLAP[KeyUse.CARD_REQUEST]
    assert keys.retire(now=place.now) == 1
    renewed = rotation.renew_statement(
        place.keys_folder,
        agent_root=root.path,
        agent_root_passphrase=PASSPHRASE,
        now=place.now,
        passphrase=PASSPHRASE,
        token=place.token,
    )
    assert renewed == 3
    assert len(statement(place.folder)["keys"]) == 1  # type: ignore[arg-type]  # a statement is JSON
    assert keys.trouble() is None


def test_keys_move_into_a_token_and_back_by_rotation(tmp_path: Path) -> None:
    place = make(tmp_path, None, ("ES256",))
    place.token = parsed(new_token())
    keys = place.open()
    for in_token, where in ((True, "token"), (None, "token"), (False, "file")):
        (made,) = place.rotate(KeyUse.ID_TOKEN, algorithms=("ES256",), in_token=in_token)
        place.now += PUBLISHED_BEFORE + timedelta(seconds=1)
        assert holds(signed(keys), keys.jwks(KeyUse.ID_TOKEN))
        assert keys.signer(KeyUse.ID_TOKEN).kid == made
        assert [key.place for key, _, _ in keys.held() if key.kid == made] == [where]
    (made,) = place.rotate(KeyUse.ID_TOKEN, algorithms=("EdDSA",), in_token=True, at_once=True)
    place.now += PUBLISHED_BEFORE
    assert holds(signed(keys, algorithm="EdDSA"), keys.jwks(KeyUse.ID_TOKEN))
    with pytest.raises(SettingsError, match="no token is set"):
        LiveKeys(place.keys_folder, PASSPHRASE)


def test_rotating_faster_than_keys_run_out_is_refused_and_not_piled_up(tmp_path: Path) -> None:
    place = make(tmp_path, None, ("ES256",))
    for _ in range(MAX_IN_LINE - 1):
        place.rotate(KeyUse.ID_TOKEN, algorithms=("ES256",))
        place.now += timedelta(minutes=1)
    with pytest.raises(SettingsError, match="still overlap"):
        place.rotate(KeyUse.ID_TOKEN, algorithms=("ES256",))


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["sign", "rotate", "rotate --now", "wait"]), st.integers(1, 400)),
        min_size=3,
        max_size=10,
    )
)
def test_a_token_verifies_with_every_set_that_could_be_held_when_it_is_shown(
    steps: list[tuple[str, int]], shared_place: Callable[[], Place]
) -> None:
    """Whatever is rotated when: a set fetched up to its whole age ago knows every key that signs now.

    `--now` gives that up for whoever kept a set; never for one that is fetched at the signature or after it.
    """
    place = shared_place()
    keys = place.open()
    fetched = [(place.now, keys.jwks(KeyUse.ID_TOKEN))]
    forced = False
    for step, seconds in steps:
        match step:
            case "rotate" | "rotate --now":
                forced = forced or step != "rotate"
                place.rotate(KeyUse.ID_TOKEN, algorithms=("ES256",), at_once=step != "rotate")
            case "wait":
                place.now += timedelta(seconds=seconds)
        fetched.append((place.now, keys.jwks(KeyUse.ID_TOKEN)))
        token, at = signed(keys), place.now
        assert holds(token, keys.jwks(KeyUse.ID_TOKEN))
        if not forced:
            assert all(holds(token, jwks) for when, jwks in fetched if at - when <= JWKS_MAX_AGE)
        place.now += timedelta(minutes=5)  # the token's whole life
        assert holds(token, keys.jwks(KeyUse.ID_TOKEN))
        place.now = at


@pytest.fixture
def shared_place(tmp_path: Path) -> Callable[[], Place]:
    """The same first day for each example: what was made is put back, because making is slow."""
    made = make(tmp_path, None, ("ES256",))
    kept = {path: path.read_bytes() for path in made.keys_folder.iterdir()}

    def again() -> Place:
        for path, data in kept.items():
            path.write_bytes(data)
        return Place(folder=made.folder, token=None, algorithms=made.algorithms)

    return again


def test_four_threads_sign_and_verify_while_keys_follow_one_another(place: Place) -> None:
    keys, stop = place.open(), threading.Event()

    def work() -> int:
        done = 0
        while not stop.is_set():
            for use in TOKEN_USES:
                token = signed(keys, use)
                assert holds(token, keys.jwks(use))
                done += 1
        return done

    with ThreadPoolExecutor(4) as threads:
        working = [threads.submit(work) for _ in range(4)]
        try:
            for _ in range(4):
                place.rotate(*TOKEN_USES, algorithms=("ES256",))
                place.now += PUBLISHED_BEFORE + timedelta(seconds=1)
        finally:
            stop.set()
        assert all(future.result() > 0 for future in working)
    assert keys.trouble() is None


def test_two_rotators_at_once_lose_nothing(place: Place) -> None:
    with ThreadPoolExecutor(2) as threads:
        both = [threads.submit(place.rotate, KeyUse.ID_TOKEN, algorithms=("ES256",)) for _ in range(2)]
        made = {kid for future in both for kid in future.result()}
    held = {key.kid: state for key, state, _ in place.open().held()}
    assert len(made) == 2
    assert {held[kid] for kid in made} == {State.WAITING}


def test_another_process_takes_up_a_rotated_key_by_itself(tmp_path: Path) -> None:
    place = make(tmp_path, None, ("ES256",))
    place.now = datetime.now(UTC)  # the other process has a clock of its own
    watch = """
import sys, time, pathlib
from broker.flows.ports import KeyUse
from broker.keys.live import open_keys
keys = open_keys(pathlib.Path(sys.argv[1]), sys.argv[2])
first = keys.jwks(KeyUse.ID_TOKEN)
print("open", flush=True)
while keys.jwks(KeyUse.ID_TOKEN) == first:
    time.sleep(0.05)
print(*sorted(jwk["kid"] for jwk in keys.jwks(KeyUse.ID_TOKEN)["keys"]), flush=True)
"""
    with subprocess.Popen(
        [sys.executable, "-c", watch, str(place.keys_folder), PASSPHRASE],
        stdout=subprocess.PIPE,
        text=True,
        env=for_child(os.environ),
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "open\n"
        place.rotate(KeyUse.ID_TOKEN)
        told = child.stdout.read().splitlines()[-1].split()
    assert child.returncode == 0
    assert told == sorted(jwk["kid"] for jwk in place.open().jwks(KeyUse.ID_TOKEN)["keys"])
    assert len(told) == 2


# --- what is encrypted to us -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ENCRYPTION)
def test_what_a_client_encrypted_opens_before_and_after_a_rotation(tmp_path: Path, algorithm: str) -> None:
    place = make(tmp_path, None)
    keys = place.open()
    jwks = keys.jwks(KeyUse.REQUEST_ENCRYPTION)
    sent = encrypt_compact(b"request", jwks=jwks, alg=algorithm, enc="A256GCM")
    assert keys.decrypt(sent) == b"request"
    place.rotate(KeyUse.REQUEST_ENCRYPTION)
    place.now += NOTICE + timedelta(seconds=1)
    published = keys.jwks(KeyUse.REQUEST_ENCRYPTION)
    assert len(published["keys"]) == len(ENCRYPTION)
    assert {jwk["kid"] for jwk in published["keys"]}.isdisjoint(jwk["kid"] for jwk in jwks["keys"])
    place.now += JWKS_MAX_AGE
    assert keys.decrypt(sent) == b"request"
    assert keys.decrypt(encrypt_compact(b"new", jwks=published, alg=algorithm, enc="A128GCM")) == b"new"
    place.now += OVERLAP[KeyUse.REQUEST_ENCRYPTION]
    with pytest.raises(InvalidToken):
        keys.decrypt(sent)


def test_an_encryption_key_opens_under_its_own_algorithm_alone(tmp_path: Path) -> None:
    keys = make(tmp_path, None).open()
    jwk = next(jwk for jwk in keys.jwks(KeyUse.REQUEST_ENCRYPTION)["keys"] if jwk["alg"] == "ECDH-ES")
    del jwk["alg"]
    for named in (jwk, {name: value for name, value in jwk.items() if name != "kid"}):
        sent = encrypt_compact(b"x", jwks={"keys": [named]}, alg="ECDH-ES+A256KW", enc="A256GCM")
        with pytest.raises(InvalidToken):
            keys.decrypt(sent)
    unnamed = {name: value for name, value in jwk.items() if name != "kid"}
    assert keys.decrypt(encrypt_compact(b"x", jwks={"keys": [unnamed]}, alg="ECDH-ES", enc="A256GCM")) == b"x"
    with pytest.raises(InvalidToken):
        keys.decrypt("a.b.c")


# --- files that cannot be taken --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["keys.json", "public.json"])
@pytest.mark.parametrize("damage", ["empty", "cut", "gone", "not ours"])
def test_a_broken_file_leaves_the_last_good_keys_in_force_and_says_so(tmp_path: Path, name: str, damage: str) -> None:
    place = make(tmp_path, None, ("ES256",))
    keys = place.open()
    kid, path = keys.signer(KeyUse.ID_TOKEN).kid, place.keys_folder / name
    good = path.read_bytes()
    match damage:
        case "empty":
            path.write_bytes(b"")
        case "cut":
            path.write_bytes(good[:-40])
        case "gone":
            path.unlink()
        case "not ours":
            other = tmp_path / "other"
            rotation.create(
                other, PASSPHRASE, issuer="https://op.example", now=NOW, agent_root_out=tmp_path / "other.json"
            )
            path.write_bytes((other / name).read_bytes())
    assert keys.signer(KeyUse.ID_TOKEN).kid == kid
    assert keys.trouble()
    assert holds(signed(keys), keys.jwks(KeyUse.ID_TOKEN))
    path.write_bytes(good)
    assert keys.trouble() is None
    assert keys.signer(KeyUse.ID_TOKEN).kid == kid


def test_another_installations_keys_are_not_taken_whole_either(tmp_path: Path) -> None:
    place = make(tmp_path, None)
    keys = place.open()
    sealed = keys.seal(b"serial", context=b"row")
    other = tmp_path / "other"
    rotation.create(other, PASSPHRASE, issuer="https://op.example", now=NOW, agent_root_out=tmp_path / "other.json")
    for path in other.iterdir():
        (place.keys_folder / path.name).write_bytes(path.read_bytes())
    assert keys.unseal(sealed, context=b"row") == b"serial"
    assert "another installation" in (keys.trouble() or "")


def test_a_key_file_of_the_first_version_still_opens_and_can_be_rotated(tmp_path: Path) -> None:
    from broker.keys import directory

    place = make(tmp_path, None)
    contents = directory.read(place.keys_folder, PASSPHRASE)
    contents["signing"] = [
        {"use": row["use"], "key": row["key"]}
        for row in contents["signing"]
        if row["alg"] == "ES256" and row["use"] != KeyUse.REQUEST_ENCRYPTION
    ]
    directory.write(place.keys_folder, json.loads(json.dumps(contents)), PASSPHRASE, entropy=os.urandom)
    keys = place.open()
    assert holds(signed(keys), keys.jwks(KeyUse.ID_TOKEN))
    assert keys.jwks(KeyUse.REQUEST_ENCRYPTION) == {"keys": []}
    place.rotate(*rotation.SELF_SERVED)
    place.now += PUBLISHED_BEFORE + timedelta(seconds=1)
    assert len(keys.jwks(KeyUse.REQUEST_ENCRYPTION)["keys"]) == len(ENCRYPTION)
    assert keys.trouble() is None


# --- the register's key ----------------------------------------------------------------------------------------------


def test_the_key_of_a_log_signs_for_its_year_and_the_next_one_begins_the_next_log(place: Place) -> None:
    keys = place.open()
    first = keys.signer(KeyUse.REGISTER_LOG, "EdDSA")
    assert keys.algorithms(KeyUse.REGISTER_LOG) == ("EdDSA",)
    assert len(first.sign(b"checkpoint")) == 64
    (made,) = place.rotate(KeyUse.REGISTER_LOG)
    new_year = datetime(place.now.year + 1, 1, 1, tzinfo=UTC)
    place.now = new_year - timedelta(seconds=1)
    assert keys.signer(KeyUse.REGISTER_LOG, "EdDSA").kid == first.kid
    place.now = new_year
    assert keys.signer(KeyUse.REGISTER_LOG, "EdDSA").kid == made
    with pytest.raises(SettingsError, match="takes EdDSA"):
        place.rotate(KeyUse.REGISTER_LOG, algorithms=("ES256",))
