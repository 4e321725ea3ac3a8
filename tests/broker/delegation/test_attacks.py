"""Every class of attack on a signed document, its register and its chain, made anew on a real bundle: none is valid.

The classes are those of the papers on PDF signatures (universal signature forgery, incremental saving, signature
wrapping, 2019; shadow attacks, 2021; evil annotation and sneaky signature, 2021) and of delegation.md 5.6. The variants
are written here, for the papers' own files may not be kept in this repository.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.pdf_utils.writer import copy_into_new_writer

from broker.delegation.bundle import Bundle, Papers, StatusPaper
from broker.delegation.examination import Trust, examine
from broker.delegation.grant import Limit
from broker.delegation.policy import Policy
from broker.delegation.status_list import TYP, Status, claims_of, epoch_leaf, make_list
from broker.delegation.verdict import Outcome, Question, Reason
from broker.delegation.verification import verify_document
from broker.jose import sign_jws
from broker.keys.algorithms import signer
from tests.broker.delegation.officer import DAY, HELD, LIST, Operator
from tests.broker.delegation.sealed import sealed_by, stamp
from tests.broker.delegation.test_grant import CHILD
from tests.broker.delegation.workshop import AT, RECORD, Workshop, change_page, page_pdf

pytest.importorskip("typst", reason="missing: typst")
MINUTE = timedelta(minutes=1)
ASKED = Question(as_of=DAY)


@dataclass(kw_only=True)
class Scene:
    """An operator, a bundle of theirs that is valid, and the same page as a stranger signs it."""

    operator: Operator
    papers: Papers
    good: StatusPaper
    stranger: Workshop = field(default_factory=Workshop)

    def verdict(self, bundle: Bundle, trust: Trust | None = None) -> tuple[Outcome, tuple[Reason, ...]]:
        found = examine(bundle, ASKED, trust=trust or self.operator.trust, policy=Policy(sub_agents=2), now=DAY).verdict
        return found.outcome, found.reasons

    def with_pdf(self, pdf: bytes) -> tuple[Outcome, tuple[Reason, ...]]:
        return self.verdict(self.operator.bundle(replace(self.papers, pdf=pdf), epochs=(self.good,)))


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    operator = Operator(tmp_path_factory.mktemp("operator"))
    papers = operator.issue()
    made = Scene(operator=operator, papers=papers, good=operator.epoch(at=DAY - MINUTE))
    assert made.with_pdf(papers.pdf) == (Outcome.VALID, ())
    yield made
    operator.engine.dispose()


# --- the document ----------------------------------------------------------------------------------------------------


def _name(name: str) -> generic.NameObject:
    made: generic.NameObject = generic.pdf_name(name)
    return made


def _numbers(*numbers: int) -> generic.ArrayObject:
    return generic.ArrayObject(map(generic.NumberObject, numbers))


def _dictionary(**entries: Any) -> generic.DictionaryObject:
    return generic.DictionaryObject({_name(f"/{name}"): value for name, value in entries.items()})


def _page(writer: Any) -> Any:
    return writer.root["/Pages"]["/Kids"][0]


def _stream(data: bytes) -> generic.StreamObject:
    return generic.StreamObject(stream_data=data)


OVERLAY = b"1 1 1 rg 0 0 595 842 re f 0 g BT /F1 24 Tf 72 700 Td (MORE POWER) Tj ET"


def saved(pdf: bytes, change: Callable[[Any], None]) -> bytes:
    """With one more revision."""
    writer = IncrementalPdfFileWriter(io.BytesIO(pdf))
    change(writer)
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def _attachment(writer: Any) -> None:
    tree = writer.root["/Names"]["/EmbeddedFiles"]["/Names"]
    files = tree[1]["/EF"]
    files[_name("/F")] = writer.add_object(_stream(RECORD.replace(b"1", b"9")))
    writer.update_container(files)


def _added_attachment(writer: Any) -> None:
    names = writer.root["/Names"]["/EmbeddedFiles"]["/Names"]
    stream = writer.add_object(_stream(b"{}"))
    file = _dictionary(Type=_name("/Filespec"), F=generic.pdf_string("record.json"), EF=_dictionary(F=stream))
    names.insert(0, writer.add_object(file))
    names.insert(0, generic.pdf_string("a"))
    writer.update_container(names)


def annotation(subtype: str, **entries: Any) -> Callable[[Any], None]:
    """Evil annotation: something laid over the page."""

    def change(writer: Any) -> None:
        page = _page(writer)
        over = _stream(OVERLAY)
        over.update(_dictionary(Type=_name("/XObject"), Subtype=_name("/Form"), BBox=_numbers(0, 0, 595, 842)))
        note = _dictionary(
            Type=_name("/Annot"),
            Subtype=_name(subtype),
            Rect=_numbers(0, 0, 595, 842),
            F=generic.NumberObject(4),
            AP=_dictionary(N=writer.add_object(over)),
            **entries,
        )
        page[_name("/Annots")] = generic.ArrayObject([*page.get("/Annots", ()), writer.add_object(note)])
        writer.update_container(page)

    return change


def _field_over_the_page(writer: Any) -> None:
    """Sneaky signature: a field whose face hides what was signed."""
    annotation("/Widget", FT=_name("/Tx"), T=generic.pdf_string("amount"), V=generic.pdf_string("9,000,000"))(writer)
    form = writer.root["/AcroForm"]
    form["/Fields"].append(_page(writer)["/Annots"][-1])
    writer.update_container(form)


def _changed_field_value(writer: Any) -> None:
    form = writer.root["/AcroForm"]
    form[_name("/NeedAppearances")] = generic.BooleanObject(True)
    writer.update_container(form)


def _hide(writer: Any) -> None:
    """Shadow, hide: what lay over the content goes."""
    page = _page(writer)
    page[_name("/Contents")] = generic.ArrayObject([page.raw_get("/Contents"), writer.add_object(_stream(OVERLAY))])
    writer.update_container(page)


def _replace(writer: Any) -> None:
    """Shadow, replace: the letters get other shapes."""
    resources = _page(writer)["/Resources"]
    fonts = generic.DictionaryObject(
        {
            name: _dictionary(Type=_name("/Font"), Subtype=_name("/Type1"), BaseFont=_name("/Symbol"))
            for name in resources["/Font"]
        }
    )
    resources[_name("/Font")] = fonts
    page = _page(writer)
    page[_name("/Resources")] = resources
    writer.update_container(page)


def _hide_and_replace(writer: Any) -> None:
    """Shadow, hide and replace: the catalogue shows other pages."""
    content = writer.add_object(_stream(OVERLAY))
    page = _dictionary(Type=_name("/Page"), Contents=content, MediaBox=_numbers(0, 0, 595, 842))
    kid = writer.add_object(page)
    pages = _dictionary(Type=_name("/Pages"), Count=generic.NumberObject(1), Kids=generic.ArrayObject([kid]))
    page[_name("/Parent")] = writer.root[_name("/Pages")] = writer.add_object(pages)
    writer.update_root()


REVISIONS: dict[str, Callable[[Any], None]] = {
    "incremental: another page": change_page,
    "incremental: another attachment": _attachment,
    "incremental: one more attachment": _added_attachment,
    "annotation: free text": annotation("/FreeText", Contents=generic.pdf_string("void")),
    "annotation: stamp": annotation("/Stamp"),
    "annotation: redaction": annotation("/Redact"),
    "annotation: link to elsewhere": annotation(
        "/Link", A=_dictionary(S=_name("/URI"), URI=generic.pdf_string("http://x"))
    ),
    "form: a field over the page": _field_over_the_page,
    "form: drawn anew by the reader": _changed_field_value,
    "shadow: hide": _hide,
    "shadow: replace": _replace,
    "shadow: hide and replace": _hide_and_replace,
}


@pytest.mark.parametrize("name", REVISIONS)
def test_a_revision_that_shows_something_else_is_forgery(scene: Scene, name: str) -> None:
    outcome, reasons = scene.with_pdf(saved(scene.papers.pdf, REVISIONS[name]))
    assert outcome is Outcome.FORGED
    assert Reason.ALTERED in reasons


def prepared() -> bytes:
    """A page as a shadow needs it before it is sealed: the content beneath, and what will be swapped away."""
    writer = PdfFileReader(io.BytesIO(page_pdf()))
    out = copy_into_new_writer(writer)
    cover = out.add_object(_stream(b"1 1 1 rg 0 0 595 842 re f"))
    page = _page(out)
    page[_name("/Contents")] = generic.ArrayObject([out.add_object(_stream(OVERLAY)), cover])
    made = io.BytesIO()
    out.write(made)
    return made.getvalue()


def test_a_shadow_that_was_there_before_the_seal_is_of_no_use(scene: Scene) -> None:
    """An operator is made to seal a prepared page: what is under it was not logged, and nothing may follow the seal."""
    workshop = scene.operator.workshop
    shadow = sealed_by(workshop, prepared(), stamp=stamp(workshop, at=AT), at=AT)
    assert verify_document(shadow, anchors=workshop.anchors, at=AT).accepted, "the seal itself is whole"
    for pdf in (shadow, saved(shadow, _hide), saved(shadow, _replace), saved(shadow, _hide_and_replace)):
        assert scene.with_pdf(pdf)[0] is Outcome.FORGED
        alone = scene.operator.bundle(Papers(pdf=pdf), epochs=(scene.good,))
        assert scene.verdict(alone)[0] in {Outcome.FORGED, Outcome.CANNOT_TELL}


ENVELOPE = re.compile(rb"<3082[0-9A-Fa-f]+>")
BYTES: dict[str, Callable[[bytes], bytes]] = {
    "forgery: no range": lambda pdf: _range(pdf, b""),
    "forgery: an empty range": lambda pdf: _range(pdf, b"[]"),
    "forgery: nothing for a range": lambda pdf: _range(pdf, b"null"),
    "forgery: a range of nothing": lambda pdf: _range(pdf, b"[0 0 0 0]"),
    "forgery: a negative range": lambda pdf: _range(pdf, b"[0 -1 -1 -1]"),
    "forgery: no contents": lambda pdf: _contents(pdf, b""),
    "forgery: nothing for contents": lambda pdf: _contents(pdf, b"null"),
    "forgery: empty contents": lambda pdf: _contents(pdf, b"<>"),
    "forgery: contents of one zero": lambda pdf: _contents(pdf, b"<00>"),
    "stripped: no signature": lambda pdf: pdf.replace(b"/ByteRange", b"/BiteRange"),
    "stripped: zeroed": lambda pdf: ENVELOPE.sub(lambda found: b"<" + b"0" * (len(found[0]) - 2) + b">", pdf),
    "stripped: the unsigned document": lambda pdf: pdf[: pdf.index(b"%%EOF") + 6],
    "wrapped: content in the gap": lambda pdf: _wrapped(pdf, b" /Evil (not covered) "),
    "wrapped: a second signature in the gap": lambda pdf: _wrapped(pdf, b" /Contents <3000> /ByteRange [0 1 2 3] "),
    "incremental: without a table": lambda pdf: pdf + b"4 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 4 0 R>>\n%%EOF",
    "incremental: with nothing but an end": lambda pdf: pdf + b"\n%%EOF\n",
    "before: something in front": lambda pdf: b"%evil\n" + pdf,
}  # fmt: skip


def _range(pdf: bytes, value: bytes) -> bytes:
    begin = pdf.rindex(b"/ByteRange [")
    end = pdf.index(b"]", begin) + 1
    text = b"/ByteRange " + value if value else b""
    return pdf[:begin] + text.ljust(end - begin) + pdf[end:]


def _contents(pdf: bytes, value: bytes) -> bytes:
    begin = pdf.index(b"/Contents <3082")
    end = pdf.index(b">", begin) + 1
    text = b"/Contents " + value if value else b""
    return pdf[:begin] + text.ljust(end - begin) + pdf[end:]


def _wrapped(pdf: bytes, filler: bytes) -> bytes:
    begin = pdf.rindex(b"/ByteRange [") + len(b"/ByteRange [")
    end = pdf.index(b"]", begin)
    _, first, second, rest = map(int, pdf[begin:end].split())
    numbers = f"0 {first} {second + len(filler)} {rest}".encode()
    return pdf[:begin] + numbers.ljust(end - begin) + pdf[end:second] + filler + pdf[second:]


@pytest.mark.parametrize("name", BYTES)
def test_a_signature_that_was_forged_stripped_or_wrapped_is_never_valid(scene: Scene, name: str) -> None:
    changed = BYTES[name](scene.papers.pdf)
    assert changed != scene.papers.pdf
    assert scene.with_pdf(changed)[0] is Outcome.FORGED


# --- the power -------------------------------------------------------------------------------------------------------


def test_an_inflated_scope_is_forgery(scene: Scene) -> None:
    """A record with a higher limit beside the document, and one in a document that a stranger seals."""
    record = scene.papers.record or b""
    higher = re.sub(rb"(amount[^0-9]{1,6})([0-9]+)", rb"\g<1>9\2", record, count=1)
    assert higher != record
    bundle = scene.operator.bundle(replace(scene.papers, record=higher), epochs=(scene.good,))
    assert scene.verdict(bundle) == (Outcome.FORGED, (Reason.ALTERED,))
    foreign = scene.stranger.sign(page_pdf(record=higher), stamp=True, evidence=True)
    bundle = scene.operator.bundle(replace(scene.papers, pdf=foreign, record=higher), epochs=(scene.good,))
    outcome, reasons = scene.verdict(bundle)
    assert outcome is Outcome.FORGED
    assert {Reason.NOT_IN_REGISTER, Reason.SEAL_UNKNOWN} <= set(reasons)


def test_an_inflated_chain_is_forgery(scene: Scene) -> None:
    """Even where an operator sealed and logged each link of it."""
    operator = scene.operator
    above = operator.issue(replace(HELD, number="r" * 22), place=1)
    within = replace(CHILD, number="k" * 22, parent="r" * 22, begins=HELD.begins, ends=HELD.ends)
    limit = Limit(amount=10**12, tax_included=True, total=False)
    wider = operator.issue(replace(within, powers=(replace(within.powers[0], limit=limit),)), place=2)
    longer = operator.issue(replace(within, number="l" * 22, ends=HELD.ends + timedelta(days=1)), place=3)
    of_another = operator.issue(replace(within, number="m" * 22, parent="z" * 22), place=4)
    good = operator.epoch(at=DAY - MINUTE)
    for child in (wider, longer, of_another):
        outcome, reasons = scene.verdict(operator.bundle(above, child, epochs=(good,)))
        assert (outcome, Reason.CHAIN_BROKEN in reasons) == (Outcome.FORGED, True)


# --- register and status ---------------------------------------------------------------------------------------------


def forged_list(scene: Scene, states: dict[int, Status], *, logged: bool) -> StatusPaper:
    """A list by somebody else's key; an operator may even be made to log it."""
    claims = claims_of(
        make_list(states), uri=LIST, now=DAY - MINUTE, ttl=timedelta(minutes=10), lifetime=timedelta(days=1)
    )
    key = signer(ec.generate_private_key(ec.SECP256R1()), "ES256")
    token = sign_jws(claims, signer=key, typ=TYP).encode()
    entry, proof = scene.operator.log(epoch_leaf(token, at=DAY - MINUTE, prev=None)) if logged else (None, None)
    return StatusPaper(token=token, entry=entry, proof=proof)


@pytest.mark.parametrize("logged", [False, True])
def test_a_forged_revocation_revokes_nothing_and_a_forged_list_proves_nothing(scene: Scene, logged: bool) -> None:
    revoked = forged_list(scene, {4711: Status.INVALID}, logged=logged)
    bundle = scene.operator.bundle(scene.papers, epochs=(scene.good, revoked))
    assert scene.verdict(bundle) == (Outcome.VALID, ())
    good = forged_list(scene, {}, logged=logged)
    bundle = scene.operator.bundle(scene.papers, epochs=(good,))
    assert scene.verdict(bundle) == (Outcome.CANNOT_TELL, (Reason.STATUS_MISSING,))


def test_a_list_rolled_back_does_not_bring_a_revoked_power_back(scene: Scene) -> None:
    operator = scene.operator
    papers = operator.issue(replace(HELD, number="b" * 22), place=77)
    before = operator.epoch(at=DAY - 3 * MINUTE)
    revoked = operator.epoch({77: Status.INVALID}, at=DAY - 2 * MINUTE)
    after = operator.epoch(at=DAY - MINUTE)
    assert scene.verdict(operator.bundle(papers, epochs=(before, revoked, after)))[0] is Outcome.REVOKED
    late = replace(ASKED, as_of=DAY + timedelta(days=2))
    found = examine(operator.bundle(papers, epochs=(before,)), late, trust=operator.trust, now=late.as_of).verdict
    assert (found.outcome, found.reasons) == (Outcome.CANNOT_TELL, (Reason.STATUS_OLD,)), "an old list tells nothing"


def test_a_forked_register_proves_nothing(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The same operator's key over another tree, with a witness of its own that nobody trusts."""
    folder = tmp_path_factory.mktemp("fork")
    fork = Operator(folder, workshop=scene.operator.workshop)
    fork.keys, fork.log_key = scene.operator.keys, scene.operator.log_key
    fork.__post_init__()
    papers = replace(scene.papers)
    entry, proof = fork.log(_leaf(scene))
    outcome, reasons = scene.verdict(
        scene.operator.bundle(replace(papers, entry=entry, proof=proof), epochs=(scene.good,))
    )
    assert (outcome, reasons) == (Outcome.CANNOT_TELL, (Reason.NOT_WITNESSED,))


def _leaf(scene: Scene) -> Any:
    from broker.audit.leaf import read_leaf

    return read_leaf(scene.papers.entry or b"")
