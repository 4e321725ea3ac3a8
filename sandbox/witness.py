"""The sandbox's witness of the register: the real service, on this machine, and so of the same house as the log.

It shows how witnessing goes, and proves nothing: a witness is worth something because somebody else runs it.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Final

from broker.app import now
from broker.audit.note import COSIGNATURE, read_key
from broker.commands.witness import STATE_FILE, make_witness, trust_log
from broker.flows.ports import Keys
from broker.flows.register import log_key, origin_at
from sandbox import atomicfile

NAME: Final = "witness.sandbox/not-independent"
_KEY: Final = "verifier-key"


def folder(root: Path) -> Path:
    """Where it keeps its key and what it has seen."""
    return root / "witness"


def policy_file(root: Path) -> Path:
    """The log policy of the sandbox's broker."""
    return root / "broker" / "register-policy"


def passphrase_file(root: Path) -> Path:
    """What opens its key."""
    return root / "witness-passphrase"


def forget(root: Path) -> None:
    """It has seen nothing: the broker's books, and the log in them, begin anew."""
    for path in folder(root).glob(f"{STATE_FILE}*"):
        path.unlink()


def write_policy(root: Path, url: str) -> None:
    """Make the witness where there is none, and name it in the broker's policy."""
    passphrase, told = passphrase_file(root), folder(root) / _KEY
    if not told.exists():
        atomicfile.write(passphrase, secrets.token_urlsafe(24).encode())
        key = make_witness(folder(root), NAME, passphrase.read_text(encoding="utf-8"))
        atomicfile.write(told, key.to_text().encode())
    key = read_key(told.read_text(encoding="utf-8"), type=COSIGNATURE)
    lines = (
        "# not independent: this witness is run by the log's own house",
        f"witness own {key.to_text()} {url}",
        "quorum own",
    )
    atomicfile.write(policy_file(root), "".join(f"{line}\n" for line in lines).encode())


def trust(root: Path, keys: Keys, issuer: str) -> None:
    """Let it witness this year's log of the broker."""
    key, _signer = log_key(keys, origin_at(issuer, now()))
    trust_log(folder(root), key)


def command(root: Path, port: int) -> list[str]:
    """What the launcher runs."""
    return [
        *("-m", "broker", "witness", "serve", str(folder(root))),
        *("--passphrase-file", str(passphrase_file(root)), "--port", str(port)),
    ]
