"""The card commands where the card is a doctor's (HPKI): what it says of itself, its certificates, its signature."""

from __future__ import annotations

from typing import Literal

import click

from cardreader import hpki_ap
from cardreader.commands.session import HPKISession, Surroundings, confirm_last_try, in_words
from cardreader.errors import HPKIPINBlocked
from cardreader.hpki_ap import HPKIApplication, HPKIObjects
from cardreader.hpki_face import HPKIFace, read_faces

_NAMES: dict[HPKIApplication, Literal["auth", "sign"]] = {HPKIApplication.AUTH: "auth", HPKIApplication.SIGN: "sign"}


def describe(session: HPKISession) -> dict[str, object]:
    """What `info` shows, with the keys that every kind of card has and two more. Raises the card's errors."""
    faces = session.run(read_faces())
    by_name = {_NAMES[application]: face for application, face in faces.items()}
    tries: dict[str, object] = {
        f"{name}_tries_left": by_name[name].tries_left if name in by_name else None for name in ("auth", "sign")
    }
    return {
        "kind": "hpki",
        "reader": session.connection.reader_kind,
        "certificates": [name for name in ("auth", "sign") if name in by_name],
        "roles": sorted({role for face in faces.values() for role in face.roles}),
        "validity": {name: _dates(face) for name, face in by_name.items()},
        **tries,
    }


def read_certificate(session: HPKISession, *, signing: bool, of_ca: bool) -> bytes:
    """One of the card's certificates, DER; none of them wants a PIN. Raises the card's errors."""
    objects = session.run(hpki_ap.open_application(HPKIApplication.SIGN if signing else HPKIApplication.AUTH))
    return session.run((hpki_ap.read_ca_certificate if of_ca else hpki_ap.read_certificate)(objects))


def verify_signing_pin(session: HPKISession, around: Surroundings, objects: HPKIObjects) -> None:
    """Ask for the signing application's PIN once and hand it to the card. Raises the card's errors; click.Abort."""
    tries = session.run(hpki_ap.tries_left(objects))
    if tries == 0:
        raise HPKIPINBlocked(by_this_try=False)
    confirm_last_try(tries)
    label = in_words(ja="HPKIカードの署名用PIN", en="HPKI card, PIN for signing")
    left = "" if tries is None else in_words(ja=f"、残り{tries}回", en=f", tries left: {tries}")
    typed = around.ask(f"{label}{left}")
    hpki_ap.check_pin_format(objects, typed)
    session.connection.check_present()
    session.run(hpki_ap.verify_pin(objects, typed))


def show(document: dict[str, object]) -> None:
    """`describe` in words, on standard output."""
    roles = document["roles"]
    shown = ", ".join(roles) if isinstance(roles, list) and roles else in_words(ja="記載なし", en="none stated")
    click.echo(in_words(ja="カードの種類: HPKIカード（保健医療福祉分野PKI）", en="kind of card: HPKI (healthcare PKI)"))
    click.echo(f"{in_words(ja='資格（証明書の記載）', en='licence, as the certificate states it')}: {shown}")
    names = {"auth": in_words(ja="認証用", en="authentication"), "sign": in_words(ja="署名用", en="signing")}
    validity = document["validity"]
    for name, dates in validity.items() if isinstance(validity, dict) else ():
        tries = document[f"{name}_tries_left"]
        left = in_words(ja="不明", en="not told") if tries is None else tries
        period = f"{dates['not_before']} – {dates['not_after']}"
        tries_words = in_words(ja="PINの残り回数", en="PIN tries left")
        click.echo(f"{names[name]}: {period}, {tries_words} {left}")


def _dates(face: HPKIFace) -> dict[str, str]:
    return {"not_before": face.not_before.isoformat(), "not_after": face.not_after.isoformat()}
