"""`cardreader sign-file`: a detached CMS signature over a file, by the signing key (署名用) of either kind of card."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import click

from cardreader import cms, hpki_ap, jpki_ap
from cardreader.agent.display import displayable
from cardreader.commands.hpki import verify_signing_pin
from cardreader.commands.pin import verify
from cardreader.commands.session import (
    CardSession,
    HPKISession,
    Surroundings,
    hold_any_card,
    in_words,
    pin_entry_option,
    reader_option,
    surroundings,
    told_in_words,
)
from cardreader.hpki_ap import HPKIApplication


@dataclass(frozen=True, slots=True, kw_only=True)
class _Signer:
    """The card's signing key. `certificates` gives its own and the CA's beside it, after `unlock` had the secret."""

    algorithm: str
    unlock: Callable[[], None]
    certificates: Callable[[], tuple[bytes, bytes | None]]
    sign: Callable[[bytes], bytes]


@click.command("sign-file")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Where to write; FILE.p7s if not given.")
@click.option("--force", is_flag=True, help="Write over a signature that is there.")
@pin_entry_option
@reader_option
@click.pass_context
def sign_file(
    context: click.Context, file: Path, out: Path | None, reader: str | None, pin_entry: str, *, force: bool
) -> None:
    """Sign FILE with the signing key (署名用電子証明書) and write a detached signature beside it (CMS, CAdES-BES).

    The signature carries your signing certificate, with name, address, birth date and sex in clear: whoever gets it
    can read them. An HPKI card signs with its own signing key, and its certificate holds name and licence. Password
    and PIN are typed in a window or on the terminal, and are never an argument. Verify with
    `openssl cms -verify -inform DER -binary -in FILE.p7s -content FILE -CAfile CA.pem -purpose any`.

    Exit status: 0; 1 the file cannot be read or written; 2 wrong use; 3 card, reader or password.
    """
    target = out or file.with_name(f"{file.name}.p7s")
    if target.exists() and not force:
        raise click.UsageError(f"{target} is there already (--force writes over it)")
    around = surroundings(context, pin_entry=pin_entry)
    try:
        with told_in_words(as_json=False), hold_any_card(around.readers(reader)) as session:
            signer = _hpki_signer(session, around) if isinstance(session, HPKISession) else _signer(session, around)
            document = _sign(file, signer)
        _write(document, target)
    except OSError as error:
        raise click.ClickException(f"{error.filename or file}: {error.strerror}") from None
    click.echo(in_words(ja=f"署名しました: {target}", en=f"signed: {target}"), err=True)


def _sign(file: Path, signer: _Signer) -> bytes:
    """The signed document. Raises OSError, the card's errors, SignatureMismatch; click.Abort."""
    scheme = cms.SCHEMES[signer.algorithm]
    with file.open("rb") as stream:
        digest = cms.digest_of(stream, scheme)
    click.echo(f"{displayable(file.name)}\n{scheme.hash_name.upper()} {digest.hex()}", err=True)
    signer.unlock()
    certificate, ca_certificate = signer.certificates()
    attributes = cms.signed_attributes(
        digest=digest, certificate=certificate, signed_at=datetime.now(UTC), scheme=scheme
    )
    signature = signer.sign(attributes)
    cms.verify_attributes(attributes, signature, certificate=certificate)
    return cms.signed_data(attributes, signature, certificate=certificate, ca_certificate=ca_certificate, scheme=scheme)


def _signer(session: CardSession, around: Surroundings) -> _Signer:
    return _Signer(
        algorithm=session.channel.profile.algorithm,
        unlock=lambda: verify(session, around, signing=True),
        certificates=lambda: (
            session.run(jpki_ap.read_sign_certificate),
            session.run(jpki_ap.read_sign_ca_certificate),
        ),
        sign=lambda attributes: session.run(lambda channel: jpki_ap.sign_with_sign_key(attributes, channel)),
    )


def _hpki_signer(session: HPKISession, around: Surroundings) -> _Signer:
    objects = session.run(hpki_ap.open_application(HPKIApplication.SIGN))

    def certificates() -> tuple[bytes, bytes | None]:
        own = session.run(hpki_ap.read_certificate(objects))
        has_authority = objects.ca_certificate is not None
        return own, session.run(hpki_ap.read_ca_certificate(objects)) if has_authority else None

    return _Signer(
        algorithm=objects.profile.algorithm,
        unlock=lambda: verify_signing_pin(session, around, objects),
        certificates=certificates,
        sign=lambda attributes: session.run(hpki_ap.sign(objects, attributes)),
    )


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
