"""A private SoftHSM2 token: an HSM to try things on, in a folder of its own and gone with it."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

_MODULES: Final = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
)
_CONFIGURATION: Final = "SOFTHSM2_CONF"


def why_not() -> str | None:
    """What stands in the way of a token here; None when nothing does."""
    if shutil.which("softhsm2-util") is None or module() is None:
        return "softhsm2"
    if importlib.util.find_spec("pkcs11") is None:
        return "python-pkcs11 (extra [hsm])"
    return None


def module() -> Path | None:
    """The PKCS #11 module."""
    return next((path for path in map(Path, _MODULES) if path.exists()), None)


def make_token(folder: Path, label: str = "broker", pin: str = "1234") -> str:
    """A new token under `folder`, and this process's SoftHSM pointed at it; answers its `pkcs11:` URI.

    Tokens made with one folder are there together; the module reads where they are when it is first loaded, so a
    process keeps to one folder.
    """
    tokens, configuration, pin_file = folder / "tokens", folder / "softhsm2.conf", folder / f"{label}.pin"
    tokens.mkdir(mode=0o700, parents=True, exist_ok=True)
    configuration.write_text(f"directories.tokendir = {tokens}\nobjectstore.backend = file\nlog.level = ERROR\n")
    pin_file.touch(mode=0o600)
    pin_file.write_text(f"{pin}\n")
    os.environ[_CONFIGURATION] = str(configuration)
    subprocess.run(
        ["softhsm2-util", "--init-token", "--free", "--label", label, "--pin", pin, "--so-pin", "87654321"],
        check=True,
        capture_output=True,
        timeout=30,
    )
    return f"pkcs11:token={label}?module-path={module()}&pin-source=file:{pin_file}"
