"""`broker delegation`: an officer's desk without a network, by one file and by a thousand."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import zipfile
from base64 import b64encode
from collections.abc import Callable
from datetime import timedelta
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from broker.__main__ import main
from broker.delegation import batch, policy
from broker.delegation import bundle as bundles
from broker.delegation.status_list import Status
from broker.errors import BundleInvalid
from broker.jose import public_jwk, sign_jws
from broker.keys.algorithms import signer
from tests.broker.delegation.officer import DAY, Operator
from tests.broker.delegation.test_sealing import program
from tests.broker.delegation.workshop import other_page

pytest.importorskip("typst", reason="missing: typst")
ASKED = ("--as-of", DAY.isoformat(), "--act", "bid", "--entity", "mlit-01")
Verify = Callable[..., Result]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A folder as an officer has it: bundles that came in, and what he trusts."""
    folder = tmp_path_factory.mktemp("desk")
    operator = Operator(tmp_path_factory.mktemp("operator"))
    papers = operator.issue()
    good = operator.epoch(at=DAY - timedelta(minutes=1))
    (folder / "good.zip").write_bytes(bundles.write(operator.bundle(papers, epochs=(good,))))
    (folder / "alone.pdf").write_bytes(papers.pdf)
    (folder / "forged.pdf").write_bytes(other_page(papers.pdf))
    ended = operator.epoch({4711: Status.INVALID}, at=DAY - timedelta(seconds=30))
    (folder / "revoked.zip").write_bytes(bundles.write(operator.bundle(papers, epochs=(good, ended))))
    (folder / "anchors.pem").write_bytes(
        b"".join(x509.load_der_x509_certificate(each).public_bytes(Encoding.PEM) for each in operator.workshop.anchors)
    )
    (folder / "log.policy").write_bytes(operator.policy_lines)
    (folder / "status.jwks").write_text(json.dumps({"keys": [operator.status_jwk]}))
    claims = {
        "iat": 1,
        "authority": "okinawa",
        "version": 3,
        "name": "見本総合事務局",
        "name_en": "Sample General Bureau",
        "longest_days": 366,
        "logs": operator.policy_lines.decode().splitlines(),
        "roots": [b64encode(each).decode() for each in operator.workshop.anchors],
        "status_keys": [operator.status_jwk],
    }
    root = signer(ec.generate_private_key(ec.SECP256R1()), "ES256")
    (folder / "root.jwk").write_text(json.dumps({**public_jwk(root.key), "kid": root.kid}))
    (folder / "policy.jwt").write_text(sign_jws(claims, signer=root, typ=policy.TYP))
    (folder / "policy.json").write_text(json.dumps(claims))
    operator.engine.dispose()
    return SimpleNamespace(folder=folder, papers=papers)


@pytest.fixture
def run(desk: SimpleNamespace) -> Verify:
    names = ("anchors.pem", "log.policy", "status.jwks")
    trusting = [
        word
        for option, name in zip(("--anchors", "--log-policy", "--status-keys"), names, strict=True)
        for word in (option, str(desk.folder / name))
    ]

    def invoke(*words: str, trust: bool = True) -> Result:
        placed = [str(desk.folder / word) if (desk.folder / word).is_file() else word for word in words]
        return CliRunner().invoke(main, ["delegation", *placed, *(trusting if trust else [])])

    return invoke


@pytest.mark.parametrize(
    ("words", "verdict", "status"),
    [
        (("good.zip", *ASKED, "--amount", "10,000,000"), "valid", 0),
        (("good.zip", *ASKED, "--amount", "10000001"), "out_of_scope", 12),
        (("good.zip", *ASKED, "--amount", "1", "--tax-excluded"), "out_of_scope", 12),
        (("good.zip", "--as-of", "2028-01-01"), "expired", 14),
        (("revoked.zip", *ASKED), "revoked", 11),
        (("forged.pdf", *ASKED), "forged", 13),
        (("alone.pdf", *ASKED), "cannot_tell", 14),
        (("alone.pdf", *ASKED, "--offline", "good.zip"), "valid", 0),
        (("good.zip", "forged.pdf", *ASKED), "valid", 13),
    ],
)
def test_each_verdict_has_its_exit_status(run: Verify, words: tuple[str, ...], verdict: str, status: int) -> None:
    done = run("verify", *words, "--json")
    assert done.exit_code == status, done.output
    told = json.loads(done.output.splitlines()[0])
    assert told["verdict"] == ("cannot_tell" if verdict == "expired" else verdict)
    if verdict == "expired":  # the day is far off: nobody knows its status list, and the term is over as well
        assert {each["code"] for each in told["reasons"]} >= {"status_old", "ended"}


@pytest.mark.parametrize("lang", ["ja", "en"])
def test_people_read_the_verdict_the_parties_and_each_check(run: Verify, lang: str) -> None:
    done = run("verify", "good.zip", *ASKED, "--amount", "10000001", "--lang", lang)
    assert done.exit_code == 12
    words = {
        "ja": (
            "権限の範囲外です",
            "金額が上限を超えています",
            "株式会社見本 → 𠮷田 花子",
            "登録簿への記載: 確認できた",
        ),
        "en": ("Out of scope", "above the limit", "𠮷田 花子: submit bids", "Entry in the register: confirmed"),
    }[lang]
    for each in words:
        assert each in done.output


def test_an_authoritys_signed_policy_is_all_that_an_officer_needs(run: Verify) -> None:
    done = run(
        "verify", "good.zip", *ASKED, "--policy", "policy.jwt", "--policy-root", "root.jwk", "--json", trust=False
    )
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["policy"] == {"authority": "okinawa", "version": 3, "name": "見本総合事務局"}
    assert run("verify", "good.zip", *ASKED, "--policy", "policy.json", trust=False).exit_code == 0
    assert run("verify", "good.zip", *ASKED, "--policy", "policy.jwt", trust=False).exit_code == 2
    wrong = run("verify", "good.zip", *ASKED, "--policy", "policy.json", "--policy-root", "root.jwk", trust=False)
    assert wrong.exit_code == 1
    assert run("verify", "good.zip", *ASKED, trust=False).exit_code == 2


@pytest.mark.parametrize(
    "words", [("--as-of", "tomorrow"), ("--amount", "-1"), ("--amount", "1.5"), ("--entity", "\x07")]
)
def test_a_question_of_no_form_is_refused(run: Verify, words: tuple[str, ...]) -> None:
    assert run("verify", "good.zip", *words).exit_code == 1


HEAD = "file,as_of,act,amount\r\n"
LINES = (
    f"good.zip,{DAY.isoformat()},bid,10000000\r\n"
    f"good.zip,{DAY.isoformat()},bid,10000001\r\n"
    f"forged.pdf,{DAY.isoformat()},,\r\n"
    "absent.pdf,,,\r\n"
    f"good.zip,{DAY.isoformat()},steal,\r\n"
)
VERDICTS = ["valid", "out_of_scope", "forged", "cannot_tell", "cannot_tell"]


def verdicts(done: Result) -> list[str]:
    return [each["verdict"] for each in csv.DictReader(io.StringIO(done.stdout.removeprefix("\ufeff")))]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "cp932"])
def test_a_table_is_answered_row_by_row(run: Verify, desk: SimpleNamespace, encoding: str) -> None:
    (desk.folder / "table.csv").write_bytes((HEAD + LINES).encode(encoding))
    done = run("batch", "table.csv")
    assert (done.exit_code, verdicts(done)) == (13, VERDICTS)
    assert "row 5: act" in done.stderr


def test_a_zip_carries_table_and_documents(run: Verify, desk: SimpleNamespace) -> None:
    with zipfile.ZipFile(desk.folder / "batch.zip", "w") as archive:
        archive.writestr("batch.csv", HEAD + LINES)
        for name in ("good.zip", "forged.pdf"):
            archive.write(desk.folder / name, name)
    done = run("batch", "batch.zip")
    assert (done.exit_code, verdicts(done)) == (13, VERDICTS)


@pytest.mark.parametrize(
    "table",
    [
        b"",
        b"name\r\n",
        b"file,file\r\n",
        b"file,salary\r\n",
        b"file\r\n../secret.pdf\r\n",
        b"file\r\n/etc/passwd\r\n",
        b"file\r\n..\r\n",
        b"file\r\na.pdf,b\r\n",
        b"file,act\r\na.pdf\r\n",
        b"\xff\xfe\x00",
        b"file\r\n" + b"a.pdf\r\n" * 1001,
        b"file\r\n" + b"a" * 2_000_000,
    ],
)
def test_a_table_of_another_form_is_refused(table: bytes) -> None:
    with pytest.raises(BundleInvalid):
        batch.rows(table)


def test_a_thousand_rows_are_taken_and_no_cell_becomes_a_formula() -> None:
    assert len(batch.rows(b"file\r\n" + b"a.pdf\r\n" * 1000)) == 1000
    told = batch.answer([{"row": "1", "file": "=cmd.pdf", "verdict": "valid", "principal": "+81"}])
    assert "'=cmd.pdf" in told
    assert "'+81" in told


def packed(**files: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name.replace("__", "/").replace("_", "."), data)
    return out.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        b"PK\x03\x04",
        packed(),
        packed(poa_json=b"{}"),
        packed(poa_pdf=b"", other_pdf=b""),
        packed(poa_pdf=b"", **{"..__poa_pdf": b""}),
        packed(folder__poa_pdf=b""),
        packed(poa_pdf=bytes(5_000_000)),
        packed(poa_pdf=b"", salt=bytes(33)),
        packed(**{"poa_pdf": b"", "parent-2_pdf": b""}),
        packed(poa_pdf=b"%PDF")[:-30],
        b"PK\x03\x04" + bytes(9_000_000),
    ],
    ids=count(),  # a name of its content would be another in each worker
)
def test_a_bundle_of_another_form_is_refused(data: bytes) -> None:
    with pytest.raises(BundleInvalid):
        bundles.read(data)


def test_a_bundle_with_a_bomb_in_it_is_refused_before_it_is_unpacked() -> None:
    names = {f"{stem}_pdf": bytes(4_000_000) for stem in ("poa", "parent-1", "parent-2")}
    many = {f"status-{n}_jwt": bytes(4_000_000) for n in range(1, 8)}
    with pytest.raises(BundleInvalid):
        bundles.read(packed(**names, **many))


def test_a_name_that_stands_twice_is_refused() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("poa.pdf", b"one")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("poa.pdf", b"two")
    with pytest.raises(BundleInvalid):
        bundles.read(out.getvalue())


def test_nothing_is_written_beside_the_files(run: Verify, desk: SimpleNamespace) -> None:
    before = sorted(path.name for path in Path(desk.folder).iterdir())
    run("verify", "good.zip", *ASKED)
    assert sorted(path.name for path in Path(desk.folder).iterdir()) == before


def test_a_batch_on_paper_is_a_table_and_a_sheet_of_each_row(
    desk: SimpleNamespace, run: Verify, tmp_path: Path
) -> None:
    (desk.folder / "paper.csv").write_text(
        "file,as_of,act,entity,amount\n"
        f"good.zip,{DAY.isoformat()},bid,mlit-01,10000000\n"
        f"good.zip,{DAY.isoformat()},bid,mlit-01,10000001\n"
        f"forged.pdf,{DAY.isoformat()},bid,mlit-01,1\n"
        "nowhere.pdf,,,,\n"
    )
    paper = tmp_path / "one.pdf"
    done = run("batch", "paper.csv", "--report", str(paper))
    assert done.exit_code == 13, done.output
    printed = subprocess.run([program("pdftotext"), "-layout", paper, "-"], capture_output=True, text=True, check=True)
    pages = printed.stdout.split("\f")[:-1]
    assert len(pages) == 5
    for words in ("有効です", "権限の範囲外です", "改ざん・偽造のおそれがあります", "確認できません", "nowhere.pdf"):
        assert words in pages[0]
    assert "株式会社見本 → 𠮷田 花子" in pages[1]
    assert "10,000,000" in pages[1]
    assert "金額が上限を超えています" in pages[2]
    assert "この行または文書を読めませんでした" in pages[4]
    assert all("法律上の判断ではありません" in page for page in pages)
