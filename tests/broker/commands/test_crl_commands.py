"""`broker crl import`, `show`, `lookup` and `verify`, as an operator types them."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from broker.__main__ import main
from tests.broker.jpki.jpki_authority import (
    Authority,
    crl_number,
    distribution_point,
    full_name,
    issuing_distribution_point,
    point_name,
    reason,
    rsa_key,
    utc_time,
    x509,
)

NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)
CA = Authority(not_after=NOW + 300 * DAY)
OLDER = Authority(key=rsa_key("older ca"), serial=2, not_after=NOW + 300 * DAY)
POINT = point_name()
SERIAL = 0x0133C349
LEAF = CA.leaf(
    not_before=NOW - DAY,
    not_after=NOW + 100 * DAY,
    extra=((x509.CRLDistributionPoints([distribution_point(POINT)]), False),),
)


def crl(number: int, *entries: tuple[int, bytes], ca: Authority = CA, age: timedelta = DAY / 4) -> bytes:
    scope = issuing_distribution_point(full_name(POINT))
    return ca.crl(
        *entries,
        extensions=(crl_number(number), scope),
        this_update=utc_time(NOW - age),
        next_update=utc_time(NOW - age + 2 * DAY),
    )


class Desk:
    """A folder with a broker's settings, and somebody who types."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lists = folder / "published.crl"
        key = CA.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        anchors = CA.certificate.public_bytes(Encoding.PEM) + OLDER.certificate.public_bytes(Encoding.PEM)
        (folder / "anchors.pem").write_bytes(anchors)
        source = {
            "type": "file",
            "path": str(self.lists),
            "issuer_key_hash": hashlib.sha256(key).hexdigest(),
            "distribution_point": POINT.rfc4514_string(),
        }
        (folder / "sources.json").write_text(json.dumps({"source": [source]}))
        (folder / "passphrase").write_text("correct horse battery staple")
        (folder / "root-passphrase").write_text("another horse battery staple")
        self.environment = {
            "BROKER_ISSUER": "https://id.example.jp",
            "BROKER_DATABASE_URL": f"sqlite:///{folder / 'broker.db'}",
            "BROKER_KEY_DIRECTORY": str(folder / "keys"),
            "BROKER_KEY_PASSPHRASE_FILE": str(folder / "passphrase"),
            "BROKER_ANCHORS": str(folder / "anchors.pem"),
            "BROKER_CRL_SOURCES": str(folder / "sources.json"),
        }

    def type(self, *words: str) -> Result:
        return CliRunner().invoke(main, list(words), env=self.environment)

    def file(self, data: bytes) -> str:
        name = self.folder / hashlib.sha256(data).hexdigest()[:8]
        name.write_bytes(data)
        return str(name)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_an_imported_list_is_shown_with_its_number_and_size(desk: Desk) -> None:
    assert desk.type("crl", "show").exit_code == 1
    done = desk.type("crl", "import", desk.file(crl(7, (5, b""), (6, reason(1)))))
    assert (done.exit_code, done.output.startswith("complete, number 7, 2 entries")) == (0, True), done.output
    shown = desk.type("crl", "show", "--json")
    assert shown.exit_code == 0
    (row,) = json.loads(shown.output)
    assert (row["distribution_point"], row["number"], row["count"]) == (POINT.rfc4514_string(), 7, 2)
    assert (row["usable"], row["delta"]) == (True, None)
    assert "number=7" in desk.type("crl", "show").output


def test_the_ca_generation_is_found_by_the_signature(desk: Desk) -> None:
    done = desk.type("crl", "import", desk.file(crl(7, ca=OLDER)), "--json")
    assert done.exit_code == 0
    key = OLDER.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert json.loads(done.output)["issuer_key_hash"] == hashlib.sha256(key).hexdigest()


def test_a_refused_list_says_why_and_leaves_the_one_in_force(desk: Desk) -> None:
    desk.type("crl", "import", desk.file(crl(7)))
    older = desk.type("crl", "import", desk.file(crl(6)))
    assert (older.exit_code, older.output) == (1, "broker: the CRL number went back\n")
    strange = desk.type("crl", "import", desk.file(crl(8, ca=Authority(key=rsa_key("stranger")))))
    assert (strange.exit_code, strange.output) == (1, "broker: CRL: signature is not by the issuer's key\n")
    for garbage in (b"<html>", b"", crl(8)[:-2]):
        done = desk.type("crl", "import", desk.file(garbage))
        assert (done.exit_code, done.output.startswith("broker: ")) == (1, True), done.output
    assert json.loads(desk.type("crl", "show", "--json").output)[0]["number"] == 7


def test_a_list_past_its_time_is_shown_as_unusable(desk: Desk) -> None:
    assert desk.type("crl", "import", desk.file(crl(7, age=3 * DAY))).exit_code == 0
    shown = desk.type("crl", "show", "--json")
    assert shown.exit_code == 1
    assert '"usable": false' in shown.output


def test_verify_reads_a_list_and_puts_nothing_in_force(desk: Desk) -> None:
    good = desk.file(crl(7, (5, b"")))
    (desk.folder / "ca.der").write_bytes(CA.der)
    for more in ((), ("--issuer", str(desk.folder / "ca.der")), ("--issuer", str(desk.folder / "anchors.pem"))):
        done = desk.type("crl", "verify", good, "--json", *more)
        assert done.exit_code == 0, done.output
        assert (json.loads(done.output)["number"], json.loads(done.output)["count"]) == (7, 1)
    assert desk.type("crl", "verify", desk.file(crl(7)[:-1] + b"\x00")).exit_code == 1
    assert desk.type("crl", "show").exit_code == 1


def test_a_list_that_names_no_point_needs_one(desk: Desk) -> None:
    plain = desk.file(CA.crl(this_update=utc_time(NOW - DAY / 4), next_update=utc_time(NOW + DAY)))
    assert desk.type("crl", "import", plain).exit_code == 2
    done = desk.type("crl", "import", plain, "--distribution-point", POINT.rfc4514_string())
    assert done.exit_code == 0


def test_lookup_answers_as_a_login_would_be_answered(desk: Desk) -> None:
    root = ("--agent-root", str(desk.folder / "root"), "--agent-root-passphrase-file", f"{desk.folder}/root-passphrase")
    assert desk.type("db", "upgrade").exit_code == 0
    made = desk.type("keys", "create", *root)
    assert made.exit_code == 0, made.output
    leaf = desk.file(LEAF)
    nothing = desk.type("crl", "lookup", leaf, "--json")
    assert (nothing.exit_code, json.loads(nothing.stdout)["status"]) == (1, "unknown")
    desk.type("crl", "import", desk.file(crl(7, (5, b""))))
    good = desk.type("crl", "lookup", leaf, "--json")
    assert (good.exit_code, json.loads(good.stdout)["status"], json.loads(good.stdout)["crl_number"]) == (0, "good", 7)
    desk.type("crl", "import", desk.file(crl(8, (SERIAL, reason(1)))))
    revoked = desk.type("crl", "lookup", leaf)
    assert (revoked.exit_code, revoked.stdout) == (1, "revoked keyCompromise\n")
