"""The officer's bundle: one zip with a document and everything that proves it, for a desk without a network.

    poa.pdf  poa.json  salt  poa.entry  poa.tlog-proof                 the power that is acted under
    parent-1.pdf …                                                     the one it comes from, and the one above that
    status.jwt  status.entry  status.tlog-proof  (status-1.jwt …)      epochs of the status list
    policy  README.txt                                                 for checking by hand; never a source of trust

The names are the whole format: nothing is unpacked to disk here, and a name that is not one of these is refused.
"""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from dataclasses import dataclass, field, replace
from typing import Final

from broker.audit.leaf import SALT_SIZE
from broker.audit.tlog_proof import MAX_PROOF
from broker.delegation.document import MAX_DOCUMENT
from broker.delegation.record import MAX_BYTES as MAX_RECORD
from broker.delegation.sealing import unsigned_part
from broker.errors import BundleInvalid

MAX_BUNDLE: Final = 8 * 1024 * 1024
MAX_FILES: Final = 64
MAX_CHAIN: Final = 3
MAX_STATUSES: Final = 8
_ENTRY: Final = 1024
_TOKEN: Final = 256 * 1024
_LONGEST: Final = {
    "pdf": MAX_DOCUMENT,
    "json": MAX_RECORD,
    "salt": SALT_SIZE,
    "entry": _ENTRY,
    "tlog-proof": MAX_PROOF,
    "jwt": _TOKEN,
    "policy": 64 * 1024,
    "README.txt": 64 * 1024,
}
_NAME: Final = re.compile(
    r"(?:poa|parent-[12])\.(?:pdf|json|entry|tlog-proof)|salt|parent-[12]\.salt"
    r"|status(?:-[1-7])?\.(?:jwt|entry|tlog-proof)|policy|README\.txt"
)
_SAME_DAY: Final = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Papers:
    """One document and what belongs to it; all of it untrusted, and None where it is not there."""

    pdf: bytes = field(repr=False)
    record: bytes | None = field(default=None, repr=False)
    """A copy of what the document carries, for the eye; only the document's own is judged."""
    salt: bytes | None = field(default=None, repr=False)
    entry: bytes | None = None
    """Its entry in the register."""
    proof: bytes | None = None
    """That the entry is in it (`.tlog-proof`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusPaper:
    """One epoch of a status list, and its own entry."""

    token: bytes = field(repr=False)
    entry: bytes | None = None
    proof: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """`chain` begins with the power that comes from nobody else's, and ends with the one that is acted under."""

    chain: tuple[Papers, ...]
    statuses: tuple[StatusPaper, ...] = ()
    policy: bytes = b""
    """tlog-policy lines as the issuer knows them."""

    def with_evidence(self, other: Bundle) -> Bundle:
        """These documents with what `other` has for them, where the same document stands in it, or what the archive's
        copy begins with.
        """
        held = {papers.pdf: papers for papers in other.chain}
        last = other.chain[-1]
        if len(self.chain) == 1 and self.chain[0].pdf.startswith(last.pdf):
            chain = (*other.chain[:-1], replace(last, pdf=self.chain[0].pdf))
            return Bundle(chain=chain, statuses=(*self.statuses, *other.statuses), policy=other.policy)
        return Bundle(
            chain=tuple(held.get(papers.pdf, papers) for papers in self.chain),
            statuses=(*self.statuses, *other.statuses),
            policy=self.policy or other.policy,
        )


def is_zip(data: bytes) -> bool:
    return data.startswith(b"PK\x03\x04")


def submitted(data: bytes) -> Bundle:
    """What somebody handed in: a bundle, or a document by itself. Raises BundleInvalid."""
    return read(data) if is_zip(data) else Bundle(chain=(Papers(pdf=data),))


def read(data: bytes) -> Bundle:
    """Raises BundleInvalid: too large, a name that is none of ours, a file twice, no document."""
    files = _files(data)
    if "poa.pdf" not in files:
        raise BundleInvalid("the bundle has no poa.pdf")
    if "parent-2.pdf" in files and "parent-1.pdf" not in files:
        raise BundleInvalid("the bundle has a power without the one below it")
    stems = [stem for stem in ("parent-2", "parent-1", "poa") if f"{stem}.pdf" in files]
    statuses = sorted(name.removesuffix(".jwt") for name in files if name.endswith(".jwt"))
    return Bundle(
        chain=tuple(
            Papers(
                pdf=files[f"{stem}.pdf"],
                record=files.get(f"{stem}.json"),
                salt=files.get(_salt(stem)),
                entry=files.get(f"{stem}.entry"),
                proof=files.get(f"{stem}.tlog-proof"),
            )
            for stem in stems
        ),
        statuses=tuple(
            StatusPaper(
                token=files[f"{stem}.jwt"], entry=files.get(f"{stem}.entry"), proof=files.get(f"{stem}.tlog-proof")
            )
            for stem in statuses
        ),
        policy=files.get("policy", b""),
    )


def read_files(
    data: bytes, *, most: int, longest: int, names: re.Pattern[str], together: int = 4 * MAX_BUNDLE
) -> dict[str, bytes]:
    """The files of a zip with flat names of a known form. Raises BundleInvalid; nothing is written anywhere.

    `longest` is of one file unpacked, `together` of all of them.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            infos = archive.infolist()
            if not 0 < len(infos) <= most:
                raise BundleInvalid("a zip of no files, or of too many")
            if len({info.filename for info in infos}) != len(infos):
                raise BundleInvalid("a name stands twice")
            files, left = dict[str, bytes](), together
            for info in infos:
                if names.fullmatch(info.filename) is None:
                    raise BundleInvalid("a name that does not belong there")
                with archive.open(info) as file:
                    files[info.filename] = file.read(min(longest, left) + 1)
                left -= len(files[info.filename])
                if len(files[info.filename]) > longest or left < 0:
                    raise BundleInvalid("a file is too large")
            return files
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, ValueError, OSError) as broken:
        raise BundleInvalid("not a zip that is read here") from broken


def _files(data: bytes) -> dict[str, bytes]:
    if len(data) > MAX_BUNDLE:
        raise BundleInvalid(f"a bundle is at most {MAX_BUNDLE} bytes")
    files = read_files(data, most=MAX_FILES, longest=MAX_DOCUMENT, names=_NAME)
    for name, content in files.items():
        if len(content) > _LONGEST.get(name, _LONGEST.get(name.rpartition(".")[2], 0)):
            raise BundleInvalid(f"{name} is too large")
    return files


def write(bundle: Bundle) -> bytes:
    """The zip; the same bytes for the same bundle. Raises BundleInvalid: more than the format holds."""
    if not 1 <= len(bundle.chain) <= MAX_CHAIN or len(bundle.statuses) > MAX_STATUSES:
        raise BundleInvalid("more documents or status lists than a bundle holds")
    files: dict[str, bytes | None] = {}
    for stem, papers in zip(("poa", "parent-1", "parent-2"), reversed(bundle.chain), strict=False):
        files[f"{stem}.pdf"] = papers.pdf
        files[f"{stem}.json"] = papers.record
        files[_salt(stem)] = papers.salt
        files[f"{stem}.entry"] = papers.entry
        files[f"{stem}.tlog-proof"] = papers.proof
    for number, status in enumerate(bundle.statuses):
        stem = f"status-{number}" if number else "status"
        files[f"{stem}.jwt"], files[f"{stem}.entry"] = status.token, status.entry
        files[f"{stem}.tlog-proof"] = status.proof
    files["policy"] = bundle.policy or None
    files["README.txt"] = readme(bundle.chain[-1]).encode()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            if content is not None:
                archive.writestr(zipfile.ZipInfo(name, _SAME_DAY), content, zipfile.ZIP_DEFLATED, 9)
    return out.getvalue()


def _salt(stem: str) -> str:
    return "salt" if stem == "poa" else f"{stem}.salt"


_README: Final = """\
電子委任状の確認用一式 / An electronic power of attorney, with what proves it
==============================================================================

発行者のサービスを使わずに、次の行で確かめられます（poppler-utils, openssl, coreutils）。
The lines below check it without its issuer's service (poppler-utils, openssl, coreutils).
どの鍵と認証局を信頼するかは、このファイルではなく、ご自分の方針で決めてください。
Which keys and authorities to trust is for your own policy to say, never for this file.

1. 署名 / The seal: "Signature is Valid", "Total document signed"
$ pdfsig poa.pdf

2. 添付の記録が poa.json と同じか / The attached record is poa.json
$ pdfdetach -save 1 -o attached.json poa.pdf && cmp attached.json poa.json

3. 登録簿の記載がこの文書のものか / The register's entry is about this document: the same 64 digits twice
$ @COMMIT@

4. 状態一覧が登録簿にあるか / The status list is the one that was logged: the same 64 digits twice
$ sha256sum < status.jwt; cut -d'"' -f10 status.entry

5. 登録簿の署名された状態 / The register's signed head: text, key (of policy), signature
$ @HEAD@

6. その署名 / Its signature: "Signature Verified Successfully"
$ openssl pkeyutl -verify -pubin -keyform DER -inkey log.der -rawin -in head.txt -sigfile head.sig

記載が登録簿に含まれることは、C2SP tlog-proof を読めるプログラムか Go の golang.org/x/mod/sumdb で確かめられます。
That the entry is in the register is for any reader of C2SP tlog-proof, or Go's golang.org/x/mod/sumdb, to say.
"""
_HEAD: Final = "; ".join(
    (
        "sed '1,/^$/d' poa.tlog-proof | sed '/^$/,$d' > head.txt",
        "(printf '\\060\\052\\060\\005\\006\\003\\053\\145\\160\\003\\041\\000'",  # an Ed25519 key's DER (RFC 8410 §4)
        'grep -F "log $(head -n 1 head.txt)+" policy | cut -d" " -f2 | cut -d+ -f3- | base64 -d'
        " | tail -c 32) > log.der",
        'grep -F -- "— $(head -n 1 head.txt) " poa.tlog-proof | head -n 1 | cut -d" " -f3 | base64 -d'
        " | tail -c 64 > head.sig",
    )
)


def readme(papers: Papers) -> str:
    """How to check the bundle with others' programs; lines that begin with "$ " are run as they stand.

    Raises SealFailed for what is not a document of ours.
    """
    commit = "; ".join(
        (
            "(cat salt",
            "openssl dgst -sha256 -binary poa.json",
            f"head -c {len(unsigned_part(papers.pdf))} poa.pdf | openssl dgst -sha256 -binary) | sha256sum",
            """cut -d'"' -f10 poa.entry""",
        )
    )
    return _README.replace("@COMMIT@", commit).replace("@HEAD@", _HEAD)
