"""`broker crl`: the revocation lists of this machine, as an operator sees them."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any, BinaryIO, cast

import click
from cryptography import x509

from broker.app import now, read_anchors, read_authorities
from broker.commands.exits import answering, fail
from broker.commands.house import configured
from broker.flows.revocation_ports import HeldList
from broker.jpki import scan
from broker.jpki.certificate import issuer_key_hash
from broker.jpki.index import Heading, ListRefused, write_index
from broker.jpki.path import validate_path
from broker.jpki.profile import USER_AUTHENTICATION
from broker.jpki.verdict import RevocationStatus
from broker.network.configuration import read_sources
from broker.network.outbound import OutboundGuard
from broker.settings import read
from broker.storage.indexes import FileSource, IndexFolder

_json = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
_list = click.argument("file", type=click.File("rb"))
_certificate = click.argument("file", type=click.File("rb"))


@click.group()
def crl() -> None:
    """Certificate revocation lists."""


@crl.command("import")
@_list
@click.option("--distribution-point", help="RFC 4514 name; needed where the list itself names none.")
@click.option("--any-size", is_flag=True, help="You have checked why the list has so many more or fewer entries.")
@_json
@answering
def crl_import(*, file: BinaryIO, distribution_point: str | None, any_size: bool, as_json: bool) -> None:
    """Put a list, complete or delta (DER), in force for every broker process of this machine.

    Exit status 1: the list was refused, and the one in force stays.
    """
    settings = read(os.environ)
    folder = IndexFolder(settings.revocation_folder)
    source = FileSource(file)
    point = distribution_point or _named_point(source)
    refusals = []
    for anchor in read_authorities(settings):
        try:
            heading = folder.put(point, issuer_key_hash(anchor), source, issuer=anchor, now=now(), any_size=any_size)
        except ListRefused as refused:
            refusals.append(str(refused))
        else:
            _tell(heading, as_json, distribution_point=point)
            return
    other_key = "CRL: signature is not by the issuer's key"  # of several CAs, the others' word is beside the matter
    fail(next((refusal for refusal in refusals if refusal != other_key), other_key), 1)


@crl.command("show")
@_json
@answering
def crl_show(*, as_json: bool) -> None:
    """What is in force for each configured list. Exit status 1: one is missing or past its time."""
    settings = read(os.environ)
    folder = IndexFolder(settings.revocation_folder)
    sources = read_sources(settings.crl_sources, OutboundGuard(), anchors=read_authorities(settings))
    rows = [_row(source.distribution_point, folder.get(*source[:2]), settings.crl_max_age) for source in sources.lists]
    if as_json:
        click.echo(json.dumps(rows, ensure_ascii=False))
    else:
        for row in rows:
            click.echo("\t".join(f"{name}={value}" for name, value in row.items() if value is not None))
    if not all(row["usable"] for row in rows):
        fail("a list is missing or past its time", 1)


@crl.command("lookup")
@_certificate
@_json
@answering
def crl_lookup(*, file: BinaryIO, as_json: bool) -> None:
    """What a login with this certificate (DER) would be told; fetches as a login does.

    Exit status 0: good. 1: revoked, or nothing can be told.
    """
    ports = configured()
    at = ports.clock()
    trusted = validate_path(file.read(16_384), anchors=ports.policy.anchors, at=at, profile=USER_AUTHENTICATION)
    evidence = ports.revocation.judge(trusted, at=at, max_age=ports.policy.crl_max_age)
    verdict = evidence.verdict
    answer = {
        "status": verdict.status.value,
        "reason": verdict.reason,
        "source": verdict.source,
        "address": evidence.address,
        "this_update": verdict.this_update.isoformat() if verdict.this_update else None,
        "crl_number": verdict.crl_number,
    }
    click.echo(json.dumps(answer) if as_json else f"{verdict.status.value} {verdict.reason}".rstrip())
    if verdict.status is not RevocationStatus.GOOD:
        click.get_current_context().exit(1)


@crl.command("verify")
@_list
@click.option("--issuer", type=click.Path(path_type=Path, dir_okay=False, exists=True), help="The CA, PEM or DER.")
@_json
@answering
def crl_verify(*, file: BinaryIO, issuer: Path | None, as_json: bool) -> None:
    """Read a whole list (DER) and check its signature; nothing is put in force. Exit status 1: it is refused."""
    if issuer is None:
        issuers = read_authorities(read(os.environ))
    else:
        data = issuer.read_bytes()
        issuers = read_anchors(issuer) if b"-----BEGIN" in data else (data,)
    cause = "no CA to check it with"
    for each in issuers:
        with tempfile.TemporaryFile() as out:
            try:
                heading = write_index(FileSource(file), cast(BinaryIO, out), issuer=each)
            except ListRefused as refused:
                cause = str(refused)
            else:
                _tell(heading, as_json)
                return
    fail(cause, 1)


def _named_point(source: scan.Source) -> str:
    """The distribution point the list says it is for (RFC 5280 §5.2.5)."""
    try:
        parsed = x509.load_der_x509_crl(scan.read_head(source))
        scope = parsed.extensions.get_extension_for_class(x509.IssuingDistributionPoint).value
    except x509.ExtensionNotFound:
        raise click.UsageError("the list names no distribution point: give --distribution-point") from None
    except Exception as broken:  # a parser of hostile bytes fails in many ways, and each means the same
        fail(f"CRL: cannot be read ({type(broken).__name__})", 1)
    names = [name.value.rfc4514_string() for name in scope.full_name or () if isinstance(name, x509.DirectoryName)]
    if len(names) != 1:
        raise click.UsageError("the list names no single directory entry: give --distribution-point")
    return names[0]


def _row(point: str, held: HeldList | None, max_age: Any) -> dict[str, Any]:
    if held is None:
        return {"distribution_point": point, "usable": False}
    newest, at = (held.delta or held.index).heading, now()
    usable = at - newest.this_update <= max_age and (newest.next_update is None or at <= newest.next_update)
    return {
        "distribution_point": point,
        "usable": usable,
        "fetched_at": held.fetched_at.isoformat(),
        "delta": None if held.delta is None else held.delta.heading.number,
        **held.index.heading.document(),
    }


def _tell(heading: Heading, as_json: bool, **more: str) -> None:
    kind = "complete" if heading.base is None else f"delta on {heading.base}"
    text = f"{kind}, number {heading.number}, {heading.count} entries, thisUpdate {heading.this_update.isoformat()}"
    click.echo(json.dumps({**heading.document(), **more}, ensure_ascii=False) if as_json else text)
