"""`broker certificate`."""

from __future__ import annotations

import json
import os
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO, Final

import click

from broker.commands.evidence import MAX_FILE, at_option, read_certificate, read_certificates
from broker.commands.exits import answering
from broker.errors import BrokerError, SettingsError
from broker.jpki.explain import Explanation, Outcome, explain
from broker.jpki.foreign import COMMERCIAL_REGISTRATION, HPKI_AUTHENTICATION, HPKI_SIGNATURE
from broker.jpki.foreign_explain import explain_foreign
from broker.jpki.path import validate_path
from broker.jpki.profile import DIGITAL_SIGNATURE, GENERIC, USER_AUTHENTICATION
from broker.jpki.revocation import check_crl, check_ocsp
from broker.settings import read

_PROFILES: Final = {profile.name: profile for profile in (USER_AUTHENTICATION, DIGITAL_SIGNATURE, GENERIC)}
_FOREIGN: Final = {
    "hpki": (HPKI_SIGNATURE, "hpki_anchors"),
    "hpki-authentication": (HPKI_AUTHENTICATION, "hpki_anchors"),
    "commercial-registration": (COMMERCIAL_REGISTRATION, "commercial_registration_anchors"),
}
"""By the word for --profile: what a leaf must be, and the setting that names the anchors."""
_OUTCOMES: Final = {
    "en": {Outcome.PASSED: "pass", Outcome.FAILED: "FAIL", Outcome.NOT_JUDGED: "not judged"},
    "ja": {Outcome.PASSED: "合格", Outcome.FAILED: "不合格", Outcome.NOT_JUDGED: "未判定"},
}
_VERDICT: Final = {
    "en": {True: "accepted: every rule passes", False: "refused"},
    "ja": {True: "受け入れます。すべての規則に合格しました", False: "受け入れません"},
}
_TITLES: Final = {
    "form": {"en": "one DER certificate within bounds", "ja": "上限内の正しいDERの証明書である"},
    "path": {"en": "leads to an accepted authority by signature", "ja": "受け入れる認証局まで署名でたどれる"},
    "dates": {"en": "within its validity period", "ja": "有効期間内である"},
    "one-hierarchy": {"en": "production or test hierarchy, never both", "ja": "本番と試験の認証局が混ざらない"},
    "policy": {"en": "certificate policy of this profile", "ja": "証明書ポリシーがこの種類のものである"},
    "not-a-ca": {"en": "is not a certification authority", "ja": "認証局の証明書ではない"},
    "may-sign": {"en": "the key may sign", "ja": "鍵の用途に署名がある"},
    "may-commit": {"en": "the key may commit its holder", "ja": "鍵の用途に否認防止がある"},
    "purpose": {"en": "no other purpose is named", "ja": "ほかの目的に限られていない"},
    "authority-key": {"en": "names the key that issued it", "ja": "発行した鍵の識別子が合う"},
    "strong-key": {"en": "the key is strong enough", "ja": "鍵が十分に強い"},
    "anchor-says-ca": {"en": "the anchor says it is an authority", "ja": "信頼点が認証局である"},
    "named-subjects": {"en": "has a name", "ja": "主体者の名前がある"},
    "issuing-keys-named": {"en": "issuing keys are named", "ja": "発行者の鍵の識別子がある"},
    "only-judged-constraints": {"en": "only constraints that are judged", "ja": "判定できる制約だけがある"},
    "bounds": {
        "en": "anchors in force, and no more certificates than are judged",
        "ja": "信頼点が有効で、件数が上限内である",
    },
    "key-usage": {"en": "the key is for this profile's use", "ja": "鍵の用途がこの種類のものである"},
    "hc-role": {"en": "states a licence where the profile wants one", "ja": "必要な資格（hcRole）が書かれている"},
    "foreign-path": {
        "en": "leads to an accepted root, with evidence",
        "ja": "受け入れる信頼点まで、証拠とともにたどれる",
    },
    "unrevoked": {"en": "proved not to be revoked", "ja": "失効していないことを確認できた"},
}
"""What each rule wants, for people; tests/broker/commands wants a row for every rule."""


@click.group()
def certificate() -> None:
    """Certificates."""


@certificate.command("explain")
@click.argument("file", type=click.File("rb"))
@click.option("--anchors", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="PEM; else the setting.")
@click.option("--intermediates", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="PEM.")
@click.option(
    "--profile", type=click.Choice(sorted({*_PROFILES, *_FOREIGN})), default=USER_AUTHENTICATION.name, show_default=True
)
@click.option("--crl", type=click.File("rb"), multiple=True, help="Revocation list (DER) to hold it against.")
@click.option("--ocsp", type=click.File("rb"), multiple=True, help="OCSP response (DER) to hold it against.")
@click.option("--max-age", type=click.IntRange(1), default=86_400, show_default=True, help="Of either, in seconds.")
@at_option
@click.option("--lang", type=click.Choice(["ja", "en"]), default="ja", show_default=True)
@click.option("--json", "as_json", is_flag=True)
@answering
def certificate_explain(
    *,
    file: BinaryIO,
    anchors: Path | None,
    intermediates: Path | None,
    profile: str,
    crl: tuple[BinaryIO, ...],
    ocsp: tuple[BinaryIO, ...],
    max_age: int,
    at: datetime,
    lang: str,
    as_json: bool,
) -> None:
    """Hold the certificate FILE (DER or PEM) against every rule, and say which pass.

    Profiles hpki, hpki-authentication and commercial-registration judge the whole chain in a child process; they need
    a list or response for each certificate below the root, and say which licence is stated.

    Exit status 0 where all pass, 1 where one does not or nothing proves the certificate unrevoked.
    """
    leaf = read_certificate(file)
    trusted = read_certificates(anchors or _configured_anchors(profile))
    between = read_certificates(intermediates) if intermediates else ()
    age = timedelta(seconds=max_age)
    lists, responses = ([file.read(MAX_FILE) for file in files] for files in (crl, ocsp))
    if profile in _FOREIGN:
        explained = explain_foreign(
            leaf,
            anchors=trusted,
            intermediates=between,
            crls=lists,
            ocsps=responses,
            at=at,
            max_age=age,
            profile=_FOREIGN[profile][0],
        )
    else:
        issuer = _issuer(leaf, trusted, between, at, profile)
        about: dict[str, Any] = {"certificate": leaf, "issuer": issuer, "at": at, "max_age": age}
        verdicts = [check_crl(each, **about) for each in lists] + [check_ocsp(each, **about) for each in responses]
        explained = explain(
            leaf,
            anchors=trusted,
            intermediates=between,
            at=at,
            profile=_PROFILES[profile],
            revocation=verdicts,
        )
    if as_json:
        click.echo(json.dumps(_document(explained, profile, at), ensure_ascii=False))
    else:
        _print(explained, lang)
    sys.exit(0 if explained.accepted else 1)


def _configured_anchors(profile: str) -> Path:
    settings = read(os.environ)
    if profile not in _FOREIGN:
        return settings.anchors
    setting = _FOREIGN[profile][1]
    path: str = getattr(settings, setting)
    if not path:
        raise SettingsError(f"{setting}: not set; or give --anchors")
    return Path(path)


def _issuer(
    leaf: bytes, anchors: tuple[bytes, ...], intermediates: tuple[bytes, ...], at: datetime, profile: str
) -> bytes:
    """The certificate that issued the leaf; whichever anchor comes first where none did (then nothing is proved)."""
    try:
        return validate_path(
            leaf, anchors=anchors, intermediates=intermediates, at=at, profile=_PROFILES[profile]
        ).issuer
    except BrokerError:
        return anchors[0]


def _document(explained: Explanation, profile: str, at: datetime) -> dict[str, object]:
    dates = explained.certificate
    return {
        "accepted": explained.accepted,
        "profile": profile,
        "at": at.isoformat(),
        "not_before": dates.not_before.isoformat() if dates else None,
        "not_after": dates.not_after.isoformat() if dates else None,
        "roles": list(explained.roles),
        "findings": [
            {
                "rule": finding.rule,
                "outcome": finding.outcome.value,
                "source": finding.source,
                "why": finding.why,
                **title(finding.rule),
            }
            for finding in explained.findings
        ],
    }


def title(rule: str) -> dict[str, str]:
    """What a rule wants, by language; a verdict's rule carries its source in brackets."""
    return _TITLES[rule.partition(" ")[0]]


def _print(explained: Explanation, lang: str) -> None:
    for finding in explained.findings:
        why = f": {finding.why}" if finding.why else ""
        click.echo(
            f"{_OUTCOMES[lang][finding.outcome]}\t{finding.rule}\t{title(finding.rule)[lang]}{why}\t[{finding.source}]"
        )
    for role in explained.roles:
        click.echo(f"hcRole\t{role}")
    click.echo(_VERDICT[lang][explained.accepted])
