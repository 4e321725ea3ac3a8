"""`cardreader sign-file`: a detached CMS signature over a file, by the signing key (署名用)."""

from __future__ import annotations

import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import click

from cardreader import cms, jpki_ap
from cardreader.agent.request import displayable
from cardreader.commands.pin import verify
from cardreader.commands.session import hold_card, in_words, reader_option, surroundings, told_in_words


@click.command("sign-file")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Where to write; FILE.p7s if not given.")
@click.option("--force", is_flag=True, help="Write over a signature that is there.")
@reader_option
@click.pass_context
def sign_file(context: click.Context, file: Path, out: Path | None, reader: str | None, *, force: bool) -> None:
    """Sign FILE with the signing key (署名用電子証明書) and write a detached signature beside it (CMS, CAdES-BES).

    The signature carries your signing certificate, with name, address, birth date and sex in clear: whoever gets it
    can read them. The password is typed on the terminal, and is never an argument. Verify with
    `openssl cms -verify -inform DER -binary -in FILE.p7s -content FILE -CAfile CA.pem -purpose any`.

    Exit status: 0; 1 the file cannot be read or written; 2 wrong use; 3 card, reader or password.
    """
    target = out or file.with_name(f"{file.name}.p7s")
    if target.exists() and not force:
        raise click.UsageError(f"{target} is there already (--force writes over it)")
    around = surroundings(context)
    try:
        with told_in_words(as_json=False), hold_card(around.readers(reader)) as session:
            scheme = cms.SCHEMES[session.channel.profile.algorithm]
            with file.open("rb") as stream:
                digest = cms.digest_of(stream, scheme)
            click.echo(f"{displayable(file.name)}\n{scheme.hash_name.upper()} {digest.hex()}", err=True)
            verify(session, around, signing=True)
            certificate = session.run(jpki_ap.read_sign_certificate)
            ca_certificate = session.run(jpki_ap.read_sign_ca_certificate)
            attributes = cms.signed_attributes(
                digest=digest, certificate=certificate, signed_at=datetime.now(UTC), scheme=scheme
            )
            signature = session.run(lambda channel: jpki_ap.sign_with_sign_key(attributes, channel))
            cms.verify_attributes(attributes, signature, certificate=certificate)
            document = cms.signed_data(
                attributes, signature, certificate=certificate, ca_certificate=ca_certificate, scheme=scheme
            )
        _write(document, target)
    except OSError as error:
        raise click.ClickException(f"{error.filename or file}: {error.strerror}") from None
    click.echo(in_words(ja=f"署名しました: {target}", en=f"signed: {target}"), err=True)


def _write(document: bytes, target: Path) -> None:
    """In one step, readable by its owner: the certificate in it holds the four attributes. Raises OSError."""
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(document)
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
