"""OpenSC, which knows JPKI cards by its own driver, is the independent judge of card and driver alike."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from cardreader import jpki_ap
from cardreader.apdu import converse
from cardreader.softcard import PrivatePCSCD
from tests.cardreader.conftest import CardMaker, ThroughPCSCD

MODULES = ("/usr/lib/x86_64-linux-gnu/opensc-pkcs11.so", "/usr/lib/aarch64-linux-gnu/opensc-pkcs11.so")
Tool = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def tool(private_pcscd: PrivatePCSCD, tmp_path: Path) -> Tool:
    """Run an OpenSC program on the private daemon; its jpki driver is forced and nothing is taken from a cache."""
    for name in ("pkcs15-tool", "pkcs11-tool"):
        if shutil.which(name) is None:
            pytest.skip(f"no {name} (Debian package opensc)")
    configuration = tmp_path / "opensc.conf"
    configuration.write_text(
        "app default { card_drivers = jpki; framework pkcs15 { use_file_caching = no; } }\n", encoding="ascii"
    )
    environment = {**private_pcscd.environment, "OPENSC_CONF": str(configuration), "HOME": str(tmp_path)}

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)

    return run


@pytest.fixture
def module() -> str:
    found = next((path for path in MODULES if Path(path).exists()), None)
    if found is None:
        pytest.skip("no opensc-pkcs11.so (Debian package opensc-pkcs11)")
    return found


def test_opensc_sees_a_jpki_card_with_its_tries(tool: Tool, through_pcscd: ThroughPCSCD, card_maker: CardMaker) -> None:
    through_pcscd.insert(card_maker(tries=2))
    shown = tool("pkcs15-tool", "-D")
    assert shown.returncode == 0, shown.stderr
    assert "PKCS#15 Card [JPKI]" in shown.stdout
    tries = [line.split(":")[1].strip() for line in shown.stdout.splitlines() if "Tries left" in line]
    assert tries == ["2", "5"]
    assert shown.stdout.count("X.509 Certificate [") == 4
    assert shown.stdout.count("Private RSA Key [") == 2


def test_opensc_and_the_driver_read_the_same_certificate(
    tool: Tool, through_pcscd: ThroughPCSCD, card_maker: CardMaker
) -> None:
    through_pcscd.insert(card_maker())
    read = tool("pkcs15-tool", "--read-certificate", "01")
    theirs = x509.load_pem_x509_certificate(read.stdout.encode()).public_bytes(serialization.Encoding.DER)
    with through_pcscd.readers.connect() as connection:
        ours = converse(jpki_ap.read_card(), connection.transmit).certificate
    assert ours == theirs == card_maker.certificate


def test_opensc_and_the_driver_make_the_same_signature(
    tool: Tool, module: str, through_pcscd: ThroughPCSCD, card_maker: CardMaker, tmp_path: Path
) -> None:
    through_pcscd.insert(card_maker())
    message, signature = tmp_path / "message", tmp_path / "signature"
    message.write_bytes(b"the very same bytes")
    options = ["--module", module, "--slot-index", "0", "--login", "--pin", "1234", "--id", "01"]
    files = ["--input-file", str(message), "--output-file", str(signature)]
    signed = tool("pkcs11-tool", *options, "--sign", "-m", "SHA256-RSA-PKCS", *files)
    assert signed.returncode == 0, signed.stderr
    with through_pcscd.readers.connect() as connection:
        converse(jpki_ap.read_card(), connection.transmit)
        converse(jpki_ap.verify_auth_pin("1234"), connection.transmit)
        ours = converse(jpki_ap.sign_with_auth_key(message.read_bytes()), connection.transmit)
    assert ours == signature.read_bytes()


def test_a_wrong_pin_given_to_opensc_is_counted_by_the_same_card(
    tool: Tool, module: str, through_pcscd: ThroughPCSCD, card_maker: CardMaker
) -> None:
    through_pcscd.insert(card_maker())
    options = ["--module", module, "--slot-index", "0", "--login", "--pin", "9999", "--list-objects"]
    refused = tool("pkcs11-tool", *options)
    assert "CKR_PIN_INCORRECT" in refused.stderr
    assert through_pcscd.status().auth_tries == 2
    with through_pcscd.readers.connect() as connection:
        assert converse(jpki_ap.read_card(), connection.transmit).tries_left == 2
