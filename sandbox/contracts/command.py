"""`python -m sandbox sign`: a contract signed over HTTP, without a browser, with a software card of its own.

Service, browser and resident at once; the broker and its pages are the real ones of `make run`.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import click

from cardreader.errors import CardError
from sandbox import contracts
from sandbox.contracts import key
from sandbox.contracts.judge import judge
from sandbox.contracts.relying_party import Addresses, Service, SigningFailed
from sandbox.login import LoginFailed, through_the_broker
from sandbox.running import ROOT, addresses_of, card_of

_TYPES: Final = {".pdf": "application/pdf", ".txt": "text/plain"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the service accepted, and what others say of each signature."""

    claims: Mapping[str, Any] = field(repr=False)
    result: Mapping[str, Any] = field(repr=False)
    judged: Sequence[str]


def sign(
    files: Sequence[Path],
    *,
    form: str,
    root: Path,
    resident: str,
    broker: str,
    authorities: str | None = None,
) -> Outcome:
    """Have `resident` sign `files`. `form` is auto, digest or raw.

    Raises SigningFailed, LoginFailed, CardError, ValueError, OSError.
    """
    signing_key, encryption_key = key.keys(root / "contracts")
    service = Service(
        Addresses.of_this_broker(broker),
        client_id=contracts.CLIENT_ID,
        redirect_uri=contracts.REDIRECT_URI,
        signing_key=signing_key,
        encryption_key=encryption_key,
        authorities=authorities,
    )
    contents = [file.read_bytes() for file in files]
    if form == "raw":
        (content,) = contents
        begun = service.begin_with_digest(content, format="raw", name=files[0].name)
    else:
        begun = service.begin([_ordered(file, content, form) for file, content in zip(files, contents, strict=True)])
    back = through_the_broker(
        begun.url,
        broker=broker,
        resident_card=card_of(root, resident),
        trust=root / "agent" / "trust.json",
        authorities=authorities,
    )
    signed = service.finish(begun, back)
    certificate = base64.b64decode(signed.result["certificate"]) if "certificate" in signed.result else None
    judged = [
        judge(content, told, certificate=certificate, anchors=root / "ca" / "sign-anchors.pem")
        for content, told in zip(contents, signed.result["documents"], strict=True)
    ]
    return Outcome(claims=signed.claims, result=signed.result, judged=judged)


def _ordered(file: Path, content: bytes, form: str) -> dict[str, Any]:
    media_type = _TYPES.get(file.suffix.lower())
    if form == "digest" or media_type is None:
        return {"name": file.name, "digest": base64.b64encode(hashlib.sha256(content).digest()).decode()}
    return {"name": file.name, "content": base64.b64encode(content).decode(), "type": media_type}


@click.command("sign", help="Have a resident sign files through the broker's signing API, without a browser.")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--resident", default="hanako", show_default=True)
@click.option(
    "--form",
    type=click.Choice(["auto", "digest", "raw"]),
    default="auto",
    show_default=True,
    help="auto: PDFs and texts whole, others by digest; digest: only digests leave; raw: one bare signature.",
)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Where signatures and PDFs are written.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--root", type=click.Path(path_type=Path), default=ROOT, show_default=".sandbox of this checkout")
@click.option("--broker", show_default="as `make run` started it")
def command(
    *,
    files: tuple[Path, ...],
    resident: str,
    form: str,
    out: Path | None,
    as_json: bool,
    root: Path,
    broker: str | None,
) -> None:
    """Exit status 0 only if every signature was accepted by the programs that judge it."""
    told = addresses_of(root)
    if form == "raw" and len(files) != 1:
        raise click.UsageError("--form raw takes one file")
    try:
        outcome = sign(
            files,
            form=form,
            root=root,
            resident=resident,
            broker=broker or told["broker"],
            authorities=told.get("authorities"),
        )
    except (SigningFailed, LoginFailed, CardError, ValueError) as refused:
        if as_json:
            click.echo(json.dumps({"accepted": False, "error": str(refused)}, ensure_ascii=False))
        raise click.ClickException(str(refused)) from None
    if out is not None:
        _write(out, outcome)
    if as_json:
        shown = {"accepted": True, "judged": list(outcome.judged), "claims": dict(outcome.claims)}
        click.echo(json.dumps({**shown, "result": dict(outcome.result)}, ensure_ascii=False))
        return
    for document, words in zip(outcome.result["documents"], outcome.judged, strict=True):
        click.echo(f"{document['name']} ({document['format']}): {words}")


def _write(folder: Path, outcome: Outcome) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    suffixes = {"pdf": ".signed.pdf", "cms": ".p7s", "signature": ".sig"}
    for document in outcome.result["documents"]:
        for member, suffix in suffixes.items():
            if member in document:
                (folder / f"{Path(document['name']).name}{suffix}").write_bytes(base64.b64decode(document[member]))
