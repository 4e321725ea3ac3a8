"""`cardreader certificate`: one of the card's certificates, on standard output."""

from __future__ import annotations

import ssl

import click

from cardreader import jpki_ap
from cardreader.commands import hpki
from cardreader.commands.pin import verify
from cardreader.commands.session import (
    CardSession,
    HPKISession,
    Surroundings,
    extended_option,
    hold_any_card,
    pin_entry_option,
    reader_option,
    surroundings,
    told_in_words,
)
from cardreader.errors import PINRequired


@click.command("certificate")
@click.option("--sign", "signing", is_flag=True, help="The signing certificate: asks for its password.")
@click.option("--ca", "of_ca", is_flag=True, help="The CA certificate that the card carries beside it.")
@click.option("--der", "as_der", is_flag=True, help="Print DER instead of PEM.")
@extended_option
@pin_entry_option
@reader_option
@click.pass_context
def certificate(
    context: click.Context,
    reader: str | None,
    pin_entry: str,
    *,
    signing: bool,
    of_ca: bool,
    as_der: bool,
    extended_length: bool,
) -> None:
    """Print the user-authentication certificate (利用者証明用電子証明書), or another one.

    The signing certificate holds name, address, birth date and sex in clear: keep it as you keep those.
    An HPKI card shows both of its own without a PIN.

    Exit status: 0; 2 wrong use; 3 card, reader or PIN.
    """
    around = surroundings(context, pin_entry=pin_entry)
    readers = around.readers(reader)
    with told_in_words(as_json=False), hold_any_card(readers, extended_length=extended_length) as session:
        if isinstance(session, HPKISession):
            der = hpki.read_certificate(session, signing=signing, of_ca=of_ca)
        else:
            der = _read(session, around, signing=signing, of_ca=of_ca)
    if as_der:
        click.echo(der, nl=False)
    else:
        click.echo(ssl.DER_cert_to_PEM_cert(der), nl=False)


def _read(session: CardSession, around: Surroundings, *, signing: bool, of_ca: bool) -> bytes:
    if of_ca and signing:
        return session.run(jpki_ap.read_sign_ca_certificate)
    if of_ca:
        return session.run(jpki_ap.read_auth_ca_certificate)
    if signing:
        verify(session, around, signing=True)
        return session.run(jpki_ap.read_sign_certificate)
    try:
        return session.run(jpki_ap.read_auth_certificate)
    except PINRequired:  # a phone
        verify(session, around, signing=False)
        return session.run(jpki_ap.read_auth_certificate)
