"""`broker witness`: keep watch over somebody's register. It needs nothing of a broker: a folder, a key, an address."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import click
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from broker.app import now
from broker.audit.note import COSIGNATURE, ED25519, NoteKey, read_key
from broker.audit.policy import Policy, read_policy
from broker.commands.exits import answering
from broker.errors import CheckpointInvalid, SettingsError
from broker.jose import b64url_decode
from broker.keys import keyfile
from broker.keys.algorithms import SoftwareSigner, export, load, signer
from broker.serving import serve_at
from broker.witness.service import WitnessService
from broker.witness.state import WitnessState

KEY_FILE: Final = "key.json"
LOGS_FILE: Final = "logs"
STATE_FILE: Final = "seen.db"
_KIND: Final = "witness"
_FOLDER: Final = "WITNESS_DIRECTORY"
_PASSPHRASE_FILE: Final = "WITNESS_PASSPHRASE_FILE"  # noqa: S105 -- the name of a variable

_directory = click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
_passphrase = click.option(
    "--passphrase-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    required=True,
    help="What seals the witness's key.",
)


@click.group()
def witness() -> None:
    """Witness the registers of others (C2SP tlog-witness)."""


@witness.command("init")
@_directory
@click.option("--name", required=True, help="The witness's own name: an address without scheme, w1.example.jp.")
@_passphrase
@answering
def witness_init(directory: Path, name: str, passphrase_file: Path) -> None:
    """Make the witness's key in DIRECTORY, once, and print it as the operators of logs write it in their policies."""
    key = make_witness(directory, name, _read(passphrase_file))
    click.echo(f"witness {name} {key.to_text()}")


def make_witness(directory: Path, name: str, passphrase: str) -> NoteKey:
    """Make a witness's folder; its public key. Raises SettingsError where there is one already."""
    made = signer(Ed25519PrivateKey.generate(), "EdDSA")
    key = _key(name, made)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    contents = {"name": name, "key": export(made.key)}
    sealed = keyfile.seal(contents, kind=_KIND, passphrase=passphrase, entropy=os.urandom)
    keyfile.write(directory / KEY_FILE, sealed)
    logs = directory / LOGS_FILE
    if not logs.exists():
        logs.write_text("# log <verifier key>: one line for each register that is witnessed\nquorum none\n")
    return key


@witness.command("trust")
@_directory
@click.argument("verifier_key")
@answering
def witness_trust(directory: Path, verifier_key: str) -> None:
    """Witness one more log from the next start, by the VERIFIER_KEY that its operator has given you."""
    key = read_key(verifier_key, type=ED25519)
    new = trust_log(directory, key)
    click.echo(f"{key.name} is witnessed {'from the next start' if new else 'already'}")


def trust_log(directory: Path, key: NoteKey) -> bool:
    """Let the witness of a folder witness this log; False where it does already. Raises SettingsError."""
    path = directory / LOGS_FILE
    if key in _logs(path).log_keys:
        return False
    text = path.read_text(encoding="utf-8") + f"log {key.to_text()}\n"
    read_policy(text.encode())
    keyfile.write(path, text.encode(), replace=True)
    return True


@witness.command("serve")
@_directory
@_passphrase
@click.option("--host", default="127.0.0.1", show_default=True, help="Put a TLS front before any other address.")
@click.option("--port", type=click.IntRange(1, 65535), default=8020, show_default=True)
@answering
def witness_serve(directory: Path, passphrase_file: Path, host: str, port: int) -> None:
    """Answer add-checkpoint until stopped."""
    os.environ[_FOLDER] = str(directory)
    os.environ[_PASSPHRASE_FILE] = str(passphrase_file)
    open_witness(directory, _read(passphrase_file)).state.close()  # what is wrong is said here, not in a worker
    serve_at("broker.commands.witness:application", host=host, port=port, workers=1, factory=True)


def application() -> WitnessService:
    """What a worker of `broker witness serve` serves."""
    return open_witness(Path(os.environ[_FOLDER]), _read(Path(os.environ[_PASSPHRASE_FILE])))


def open_witness(directory: Path, passphrase: str) -> WitnessService:
    """The witness of a folder. Raises SettingsError, StoreUnavailable."""
    contents: dict[str, Any] = keyfile.unseal(keyfile.read(directory / KEY_FILE), kind=_KIND, passphrase=passphrase)
    try:
        own = signer(load(contents["key"], "EdDSA"), "EdDSA")
        key = _key(contents["name"], own)
    except (KeyError, ValueError, CheckpointInvalid) as broken:
        raise SettingsError(f"{KEY_FILE} holds no witness's key") from broken
    return WitnessService(
        key=key,
        signer=own,
        logs=_logs(directory / LOGS_FILE).log_keys,
        state=WitnessState(directory / STATE_FILE),
        clock=now,
    )


def _key(name: str, own: SoftwareSigner) -> NoteKey:
    return NoteKey(name=name, type=COSIGNATURE, key=b64url_decode(own.jwk["x"]))


def _logs(path: Path) -> Policy:
    try:
        return read_policy(path.read_bytes())
    except (OSError, CheckpointInvalid) as wrong:
        raise SettingsError(f"{path.name}: {wrong}") from wrong


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8").rstrip("\n")
