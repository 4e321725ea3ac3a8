"""Both ways of the principal's own file: a corporation's certificate with openssl at its desk, and a card."""

from __future__ import annotations

import io
import json
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from playwright.sync_api import Page as BrowserPage
from werkzeug.test import TestResponse

from broker.delegation import record as records
from broker.delegation.bundle import submitted
from broker.delegation.examination import examine
from broker.delegation.rendering import FONTS
from broker.delegation.report import Check, Result, lines
from broker.delegation.verdict import Question
from broker.errors import RevocationUnknown
from broker.flows.mandate_issue import issue, to_judge
from broker.flows.officer import own_trust
from broker.jpki.certificate import UnrevokedCertificate
from broker.jpki.foreign import COMMERCIAL_REGISTRATION, validate_foreign_path
from sandbox import registrar
from sandbox.registrar import Corporation, Registrar
from tests.broker.web.house import House, Page
from tests.broker.web.mandatehouse import Person, equip, work
from tests.broker.web.test_web_statements_browser import LOCALES, log_in
from tests.browser import assert_accessible, follow, screen

pytest.importorskip("pyhanko_certvalidator", reason="missing: pyhanko-certvalidator")
Keys = tuple[rsa.RSAPrivateKey, rsa.RSAPrivateKey]
COMPANY = Corporation(
    name="株式会社架空製作所",
    corporate_number="8490101999999",
    address="愛知県名古屋市中区栄1-1",
    representative="山田花子",
)
FORM = {
    "method": "principal_file",
    "principal_kind": "corporation",
    "principal_name": COMPANY.name,
    "principal_corporate_number": COMPANY.corporate_number,
    "principal_representative": "山田 花子",
    "principal_representative_title": COMPANY.title,
}


@dataclass
class Lists:
    """Fulfils CorporateCertificates with the registrar's list, called in this process."""

    registrar: Registrar
    clock: Callable[[], datetime]
    revoked: set[int] = field(default_factory=set)
    away: bool = False

    @property
    def anchors(self) -> tuple[bytes, ...]:
        return (self.registrar.der,)

    def judge(self, certificate: bytes, *, others: Sequence[bytes], at: datetime) -> UnrevokedCertificate:
        if self.away:
            raise RevocationUnknown("no list")
        return validate_foreign_path(
            certificate,
            anchors=self.anchors,
            intermediates=tuple(each for each in others if each not in self.anchors),
            crls=(self.registrar.crl(self.revoked, now=at),),
            at=at,
            max_age=timedelta(hours=30),
            profile=COMMERCIAL_REGISTRATION,
        )


@dataclass
class Desk:
    """A representative's own computer: openssl, a key and its certificate."""

    folder: Path
    key: rsa.RSAPrivateKey
    certificate: x509.Certificate

    def sign(self, data: bytes, *options: str, cades: bool = True) -> bytes:
        (self.folder / "grant.json").write_bytes(data)
        (self.folder / "key.pem").write_bytes(self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        (self.folder / "cert.pem").write_bytes(self.certificate.public_bytes(Encoding.PEM))
        command = ["openssl", "cms", "-sign", "-binary", "-md", "sha256", "-in", "grant.json", "-signer", "cert.pem"]
        command += [
            "-inkey",
            "key.pem",
            "-outform",
            "DER",
            "-out",
            "grant.p7s",
            *(["-cades"] if cades else []),
            *options,
        ]
        subprocess.run(command, cwd=self.folder, check=True, capture_output=True)
        return (self.folder / "grant.p7s").read_bytes()


@dataclass
class Office:
    house: House
    lists: Lists
    desk: Desk
    key: rsa.RSAPrivateKey

    def certified(self, corporation: Corporation = COMPANY, **changed: object) -> Desk:
        certificate = self.lists.registrar.issue(
            corporation,
            self.key.public_key(),
            today=self.house.clock().date(),
            **changed,  # type: ignore[arg-type]  # as given
        )
        return replace(self.desk, certificate=certificate)


@pytest.fixture(scope="module")
def keys() -> Keys:
    first, second = (rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2))
    return first, second


@pytest.fixture
def office(house: House, tmp_path: Path, keys: Keys) -> Office:
    if not all(font.exists() for font in FONTS):
        pytest.skip("missing: fonts-ipaexfont-gothic, fonts-ipamj-mincho")
    equip(house, tmp_path)
    root = registrar.establish(keys[0], today=house.clock().date())
    lists = Lists(registrar=root, clock=house.clock)
    house.ports = house.app.extensions["broker"] = replace(house.ports, corporations=lists)
    certificate = root.issue(COMPANY, keys[1].public_key(), today=house.clock().date())
    return Office(
        house=house, lists=lists, key=keys[1], desk=Desk(folder=tmp_path, key=keys[1], certificate=certificate)
    )


def upload(principal: Person, path: str, signature: bytes) -> TestResponse:
    csrf = Page(principal.get(path).text).forms["me-logout"]["fields"]["csrf"]
    return principal.browser.post(
        f"{path}/signature",
        data={"csrf": csrf, "signature": (io.BytesIO(signature), "grant.p7s")},
        headers={"Origin": principal.house.issuer},
        base_url=principal.house.issuer,
    )


def test_a_corporation_signs_with_openssl_and_needs_no_extract(office: Office) -> None:
    house = office.house
    principal = Person.at(house, "hanako")
    path, invitation = principal.draft(**FORM)
    data = principal.get(f"{path}/grant.json").data
    assert json.loads(data)["method"] == "principal_file"
    signature = office.desk.sign(data)
    taken = upload(principal, path, signature)
    assert taken.status_code == 303, taken.text
    assert upload(principal, path, signature).status_code == 409, "a grant is signed once"
    agent = Person.at(house, "shain")
    agent.take(invitation)
    assert agent.sign(path, "accept").status_code == 200
    assert to_judge(ports=house.ports) == (), "the registrar has stated the corporation"
    work(house)
    assert principal.state(path) == agent.state(path) == "有効"

    record = records.read(agent.get(f"{path}/poa.json").data)
    assert record.signature == signature
    assert record.grant_bytes == data
    assert {each.shows.value for each in record.evidence} == {"principal_signature", "acceptance", "decision"}
    folder = office.desk.folder
    (folder / "attached.p7s").write_bytes(record.signature)
    (folder / "attached.json").write_bytes(record.grant_bytes)
    (folder / "root.pem").write_bytes(office.lists.registrar.certificate.public_bytes(Encoding.PEM))
    verify = ["openssl", "cms", "-verify", "-binary", "-cades", "-inform", "DER", "-in", "attached.p7s"]
    verify += ["-content", "attached.json", "-CAfile", "root.pem", "-purpose", "any", "-out", "/dev/null"]
    assert subprocess.run(verify, cwd=folder, check=False, capture_output=True).returncode == 0

    with house.ports.store.transaction() as tx:
        trust = own_trust(tx, house.ports)
    pdf = agent.get(f"{path}/poa.pdf").data
    asked = Question(as_of=house.clock())
    for principals, result in ((trust.principals, Result.PASSED), ((), Result.UNKNOWN)):
        found = examine(submitted(pdf), asked, trust=replace(trust, principals=principals), now=house.clock())
        (line,) = [each for each in lines(found) if each.check is Check.PRINCIPAL]
        assert line.result is result
        assert COMPANY.name in line.evidence


def test_a_card_signs_the_principals_own_file_as_well(office: Office) -> None:
    house = office.house
    principal = Person.at(house, "hanako")
    path, invitation = principal.draft(method="principal_file")
    assert "upload-form" not in Page(principal.get(path).text).forms, "a sole proprietor has no such certificate"
    assert principal.sign(path, "sign").status_code == 200
    agent = Person.at(house, "shain")
    agent.take(invitation)
    agent.sign(path, "accept")
    work(house)
    assert principal.state(path) == "有効"
    record = records.read(agent.get(f"{path}/poa.json").data)
    with house.ports.store.transaction() as tx:
        trust = own_trust(tx, house.ports)
    found = examine(
        submitted(agent.get(f"{path}/poa.pdf").data), Question(as_of=house.clock()), trust=trust, now=house.clock()
    )
    (line,) = [each for each in lines(found) if each.check is Check.PRINCIPAL]
    assert (line.result, line.evidence) == (Result.PASSED, "CAdES")
    assert record.signature


def refused_by(page: TestResponse) -> str:
    assert page.status_code == 400, page.status_code
    return Page(page.text).texts["error-rule"]


def test_what_does_not_prove_the_corporation_is_refused_with_its_rule_and_nothing_is_kept(office: Office) -> None:
    house = office.house
    principal = Person.at(house, "hanako")
    path, _ = principal.draft(**FORM)
    data = principal.get(f"{path}/grant.json").data
    good = office.desk.sign(data)
    other = replace(COMPANY, corporate_number="1000012160153")
    person = replace(COMPANY, representative="見本太郎")
    rows: list[tuple[bytes, str]] = [
        (office.desk.sign(data + b"\n"), "別のファイル"),
        (office.desk.sign(data, cades=False), "署名ファイルを読めない"),
        (office.desk.sign(data, "-nodetach"), "署名ファイルを読めない"),
        (office.desk.sign(data, "-md", "sha1"), "署名ファイルを読めない"),
        (office.desk.sign(data, "-nocerts"), "署名ファイルを読めない"),
        (good[:-1] + bytes([good[-1] ^ 1]), "署名ファイルを読めない"),
        (good + b"\0", "署名ファイルを読めない"),
        (b"", "署名ファイルを読めない"),
        (b"%PDF-1.7", "署名ファイルを読めない"),
        (b"\x30\x84\xff\xff\xff\xff" + bytes(40_000), "署名ファイルを読めない"),
        (office.certified(other).sign(data), "この法人番号の法人"),
        (office.certified(person).sign(data), "代表者の氏名"),
        (office.certified(months=0).sign(data), "受け入れられません"),
        (office.certified(extra=b"\x30\x03\x02\x01\x01").sign(data), "受け入れられません"),
        (_self_made(office).sign(data), "受け入れられません"),
    ]
    for signature, words in rows:
        assert words in refused_by(upload(principal, path, signature))
        house.clock.step(minutes=2)  # uploads are counted
    office.lists.away = True
    assert "いま確認できません" in refused_by(upload(principal, path, good))
    office.lists.away = False
    office.lists.revoked.add(office.desk.certificate.serial_number)
    assert "受け入れられません" in refused_by(upload(principal, path, good))
    assert principal.state(path).startswith("下書き")
    english = principal.browser.get(path, base_url=house.issuer, headers={"Accept-Language": "en"})
    assert english.status_code == 200


def _self_made(office: Office) -> Desk:
    """A certificate that says the same, by somebody else's root of the same name."""
    root = registrar.establish(
        rsa.generate_private_key(public_exponent=65537, key_size=2048), today=office.house.clock().date()
    )
    certificate = root.issue(COMPANY, office.key.public_key(), today=office.house.clock().date())
    return replace(office.desk, certificate=certificate)


def test_a_certificate_revoked_before_the_check_ends_the_power(office: Office) -> None:
    house = office.house
    principal = Person.at(house, "hanako")
    path, invitation = principal.draft(**FORM)
    upload(principal, path, office.desk.sign(principal.get(f"{path}/grant.json").data))
    agent = Person.at(house, "shain")
    agent.take(invitation)
    agent.sign(path, "accept")
    office.lists.away = True
    issue(house.ports)
    assert "運営者" in principal.state(path), "it waits until the registrar can tell"
    office.lists.away = False
    office.lists.revoked.add(office.desk.certificate.serial_number)
    issue(house.ports)
    assert principal.state(path) == "取りやめ"


def test_only_the_principal_takes_the_bytes_and_only_of_the_principals_own_file(office: Office) -> None:
    principal, other = Person.at(office.house, "hanako"), Person.at(office.house, "taro")
    path, _ = principal.draft(**FORM)
    assert other.get(f"{path}/grant.json").status_code == 404
    plain, _ = principal.draft()
    assert principal.get(f"{plain}/grant.json").status_code == 409
    assert upload(principal, plain, office.desk.sign(b"{}")).status_code == 409
    assert principal.fill(method="certificate").status_code == 400


@pytest.mark.parametrize("language", ["ja", "en"])
def test_the_page_that_takes_the_signature_is_accessible_and_says_what_is_wrong_with_it(
    served: House, new_page: Callable[..., BrowserPage], tmp_path: Path, keys: Keys, language: str
) -> None:
    if not all(font.exists() for font in FONTS):
        pytest.skip("missing: fonts-ipaexfont-gothic, fonts-ipamj-mincho")
    equip(served, tmp_path)
    lists = Lists(registrar=registrar.establish(keys[0], today=served.clock().date()), clock=served.clock)
    served.ports = served.app.extensions["broker"] = replace(served.ports, corporations=lists)
    path, _ = Person.at(served, "hanako").draft(**FORM)
    page = new_page(locale=LOCALES[language])
    log_in(page, served, "hanako", path)
    page.goto(f"{served.issuer}{path}")
    page.locator("#upload-form").wait_for()
    assert_accessible(page)
    (tmp_path / "wrong.p7s").write_bytes(b"%PDF-1.7")
    page.locator("#signature").set_input_files(tmp_path / "wrong.p7s")
    follow(page.locator("#upload"))
    page.locator("#error").wait_for()
    assert_accessible(page)
    screen(page, "delegation-upload", language)
