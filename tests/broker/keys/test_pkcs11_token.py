"""A real token: URIs, threads, forks, lost devices, refused PINs, swapped keys."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from broker.errors import SettingsError, StoreUnavailable
from broker.jose import load_public_key, signature_holds
from broker.keys import pkcs11
from broker.keys.pkcs11 import ALGORITHMS, TokenSigner, TokenURI
from tests.softhsm import new_token

GOOD = "pkcs11:token=My%20HSM;serial=%30%31?module-path=/usr/lib/hsm.so&pin-source=file:/run/secrets/pin"


def test_a_uri_names_token_module_and_the_file_of_the_pin() -> None:
    expected = TokenURI(
        module_path="/usr/lib/hsm.so", token="My HSM", serial=b"01", pin_source=Path("/run/secrets/pin")
    )
    assert TokenURI.parse(GOOD) == expected
    assert TokenURI.parse(GOOD.replace("file:", "file://")) == expected
    assert TokenURI.parse(GOOD.replace("file:", "")) == expected


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("softhsm:token=x", "not a pkcs11"),
        (GOOD.replace("pin-source=file:/run/secrets/pin", "pin-value=1234"), "'pin-value' is not taken"),
        (GOOD.replace("token=My%20HSM;", ""), "lacks token"),
        ("pkcs11:token=x", "lacks module-path, pin-source"),
        (GOOD.replace("token=", "token=a;token="), "given once"),
        (GOOD.replace("My%20HSM", ""), "not empty"),
        (GOOD.replace("/usr/lib/", ""), "absolute"),
        (GOOD.replace("file:/run", "run"), "absolute"),
        (GOOD.replace("serial", "slot-id"), "'slot-id' is not taken"),
        ("pkcs11:" + "x" * 5000, "not a pkcs11"),
    ],
)
def test_a_uri_that_says_too_little_or_too_much_is_refused(uri: str, why: str) -> None:
    with pytest.raises(SettingsError, match=why) as refused:
        TokenURI.parse(uri)
    assert "1234" not in str(refused.value)


def made(uri: str, alg: str = "ES256") -> TokenSigner:
    parsed = TokenURI.parse(uri)
    object_id = os.urandom(16)
    jwk = pkcs11.token(parsed).generate(alg, object_id, "test")
    return pkcs11.signer(parsed, alg=alg, object_id=object_id, jwk=jwk)


def holds(signer: TokenSigner, data: bytes, signature: bytes) -> bool:
    return signature_holds(signer.alg, load_public_key(signer.jwk), data, signature)


def test_eight_threads_share_one_session_and_every_signature_holds() -> None:
    uri = new_token()
    signers = [made(uri, alg) for alg in ALGORITHMS]

    def work(number: int) -> bool:
        data = number.to_bytes(4, "big")
        signer = signers[0] if number % 10 else signers[1 + number // 10 % 2]
        return holds(signer, data, signer.sign(data))

    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(work, range(800)))
    assert len(results) == 800
    assert all(results)


def test_a_forked_child_signs_and_so_does_its_parent_afterwards() -> None:
    signer = made(new_token())
    assert holds(signer, b"before", signer.sign(b"before"))
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if holds(signer, b"child", signer.sign(b"child")) else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert holds(signer, b"after", signer.sign(b"after"))


def test_a_device_that_was_lost_is_found_again_within_the_call() -> None:
    signer = made(new_token())
    import pkcs11 as library

    for _ in range(20):
        library.lib(signer.token.uri.module_path).finalize()  # what a dead device looks like to its session
        assert holds(signer, b"x", signer.sign(b"x"))


def test_a_refused_pin_is_shown_to_the_token_once_until_the_file_changes() -> None:
    uri = new_token()
    signer = made(uri)
    pin_file = TokenURI.parse(uri).pin_source
    right = pin_file.read_text()
    pin_file.write_text("9999\n")
    signer.token.close()
    with pytest.raises(StoreUnavailable, match="PinIncorrect"):
        signer.sign(b"x")
    for _ in range(5):
        with pytest.raises(StoreUnavailable, match="not tried again"):
            signer.sign(b"x")
    pin_file.write_text(right)
    assert holds(signer, b"x", signer.sign(b"x"))


def test_another_key_under_the_same_id_never_signs() -> None:
    uri = new_token()
    one, other = made(uri), made(uri)
    swapped = pkcs11.signer(TokenURI.parse(uri), alg="ES256", object_id=one.object_id, jwk=other.jwk)
    with pytest.raises(StoreUnavailable, match="another key"):
        swapped.sign(b"x")
    one.token.destroy(one.object_id)
    with pytest.raises(StoreUnavailable, match="0 private keys"):
        one.sign(b"x")
    assert holds(other, b"x", other.sign(b"x"))


def test_a_token_or_module_that_is_not_there_fails_closed(tmp_path: Path) -> None:
    uri = new_token()
    for wrong in (uri.replace("token=broker", "token=nobody"), uri.replace("/usr/lib/", "/nowhere/")):
        parsed = TokenURI.parse(wrong)
        signer = pkcs11.signer(parsed, alg="ES256", object_id=b"1", jwk=made(uri).jwk)
        with pytest.raises(StoreUnavailable):
            signer.sign(b"x")
    signer = made(uri)
    signer.token.close()
    TokenURI.parse(uri).pin_source.unlink()
    with pytest.raises(StoreUnavailable, match="cannot be read"):
        signer.sign(b"x")
