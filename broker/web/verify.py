"""The officer's page (/verify) and its API: what is this power of attorney good for? No login, no script, no cookie.

A document is judged by a process of its own for up to some seconds, so only a few are at a time; whoever comes then is
told to come again, and logins go on meanwhile.
"""

from __future__ import annotations

import threading
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlencode

import segno
from flask import Blueprint, Response, jsonify, request, url_for
from flask_babel import get_locale
from markupsafe import Markup
from werkzeug.exceptions import UnsupportedMediaType

from broker.delegation import lookup
from broker.delegation.acts import EN, JA, PROCUREMENT, Act
from broker.delegation.asking import PARTS, question
from broker.delegation.bundle import MAX_BUNDLE, submitted, write
from broker.delegation.examination import Examination
from broker.delegation.members import JST
from broker.delegation.report import RESULTS, Line, check_words, lines, sentence, states
from broker.delegation.verdict import Outcome
from broker.delegation.vocabulary import VALUES
from broker.delegation.wording import STATES, TOTAL, explanation, outcome_words, reason_words
from broker.errors import BundleInvalid, DelegationUnknown, InvalidToken, QuestionInvalid, TooManyRequests
from broker.flows import officer
from broker.flows.officer import Answer
from broker.jose import compact_json, parse_json
from broker.web.catalogue import Words, answer_to
from broker.web.form import query_pairs
from broker.web.pages import attachment, page
from broker.web.settings import ports

blueprint = Blueprint("verify", __name__)

AT_A_TIME: Final = 2
_PLACES: Final = threading.BoundedSemaphore(AT_A_TIME)
_ROOM: Final = MAX_BUNDLE + 64 * 1024
"""For the fields beside the file."""
_LONGEST: Final = 200
_FIELDS: Final = ("number", "check", *PARTS, "policy")
_JSON: Final = "application/json"
_MOST_NAMED: Final = 1024
_TYPES: Final = {"application/pdf", "application/zip", "application/octet-stream", "application/pkix-cert"}
_MARKS: Final[Mapping[Outcome, str]] = {
    Outcome.VALID: "✓",
    Outcome.EXPIRED: "△",
    Outcome.REVOKED: "×",
    Outcome.OUT_OF_SCOPE: "△",
    Outcome.FORGED: "×",
    Outcome.CANNOT_TELL: "？",
}


@blueprint.get(lookup.PATH)
def show() -> Response:
    """The form; where a document's or a report's QR code leads here, the answer."""
    fields = _fields(request.args)
    if not fields["number"]:
        return _form(fields)
    return _answered(fields, lambda: _by_number(fields))


@blueprint.post(lookup.PATH)
def answer() -> Response:
    """The verdict on one page; a question that cannot be read brings the form back with what was typed."""
    request.max_content_length = request.max_form_memory_size = _ROOM  # the second bounds what werkzeug splits, too
    fields = _fields(request.form)
    file = request.files.get("document")
    data = b"" if file is None else file.stream.read(MAX_BUNDLE + 1)
    if not data and fields["number"]:
        return _answered(fields, lambda: _by_number(fields))
    return _answered(fields, lambda: _by_document(data, fields))


@blueprint.get(f"{lookup.PATH}/bundle.zip")
def bundle() -> Response:
    """The same document with all that proves it, for the file, for whoever has it already."""
    fields = _fields(request.args)
    with _place():
        as_of = question(_asked(fields), now=ports().clock()).as_of
        found = officer.fetch(fields["number"], fields["check"], as_of=as_of, ports=ports())
    return attachment(write(found), "application/zip", "bundle.zip")


def _fields(given: Mapping[str, str]) -> dict[str, str]:
    return {name: given.get(name, "").strip()[:_LONGEST] for name in _FIELDS}


def _typed(fields: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in fields.items() if value}


def _asked(fields: Mapping[str, str]) -> dict[str, str]:
    """The question in what was typed."""
    return {name: fields[name] for name in PARTS if fields[name]}


def _answered(fields: Mapping[str, str], found: Callable[[], Response]) -> Response:
    try:
        return found()
    except (BundleInvalid, DelegationUnknown, QuestionInvalid) as refused:
        shown = answer_to(refused)
        return _form(fields, words=shown.words[str(get_locale())], status=shown.http)


def _by_document(data: bytes, fields: Mapping[str, str]) -> Response:
    if not data:
        raise BundleInvalid("no document was chosen")
    with _place():
        told = officer.ask(submitted(data), _asked(fields), authority=fields["policy"], ports=ports())
    return _verdict(told, fields)


def _by_number(fields: Mapping[str, str]) -> Response:
    if not fields["check"]:
        known = officer.standing(fields["number"], ports=ports())
        return page("verify_number.html", known=known, state=STATES[known.state].into(str(get_locale())), fields=fields)
    with _place():
        told = officer.look_up(
            fields["number"], fields["check"], _asked(fields), authority=fields["policy"], ports=ports()
        )
    return _verdict(told, fields, looked_up=True)


@blueprint.post("/api/verifications")
def verifications() -> Response:
    """The same for programs: the document as the body, or its number as JSON, and the question as the query."""
    request.max_content_length = MAX_BUNDLE
    if request.mimetype not in _TYPES and request.mimetype != _JSON:
        raise UnsupportedMediaType
    asked = dict(pairs := query_pairs())
    if len(asked) != len(pairs):
        raise QuestionInvalid("a part of the question stands twice")
    authority = asked.pop("policy", "")
    body = request.get_data(cache=False)
    if request.mimetype == _JSON:
        number, code = _named(body)
        if not code:
            known = officer.standing(number, ports=ports())
            return jsonify({"number": known.number, "state": known.state.value, "at": int(known.at.timestamp())})
        with _place():
            told = officer.look_up(number, code, asked, authority=authority, ports=ports())
    else:
        with _place():
            told = officer.ask(submitted(body), asked, authority=authority, ports=ports())
    return jsonify({"report": told.report, "signed": told.signed})


def _named(body: bytes) -> tuple[str, str]:
    """Number and check code, the second empty where there is none. Raises QuestionInvalid."""
    try:
        given = parse_json(body, limit=_MOST_NAMED)
    except InvalidToken as broken:
        raise QuestionInvalid(f"not JSON: {broken}") from broken
    named = {"number"} <= given.keys() <= {"number", "check"}
    if not named or not all(isinstance(each, str) for each in given.values()):
        raise QuestionInvalid("number, and check where you have the document")
    return given["number"], given.get("check", "")


@contextmanager
def _place() -> Iterator[None]:
    """Raises TooManyRequests."""
    if not _PLACES.acquire(blocking=False):
        raise TooManyRequests(
            "as many documents are being judged as may be at a time", retry_after=timedelta(seconds=5)
        )
    try:
        yield
    finally:
        _PLACES.release()


def _form(fields: Mapping[str, str], *, words: Words | None = None, status: int = 200) -> Response:
    names = JA if str(get_locale()) == "ja" else EN
    return page(
        "verify.html",
        status,
        fields=fields,
        words=words,
        acts=[(act.value, names[act]) for act in Act if act in PROCUREMENT],
        authorities=ports().authorities,
        today=ports().clock().astimezone(JST).date().isoformat(),
        again_url=url_for("verify.show"),
    )


def _verdict(told: Answer, fields: Mapping[str, str], *, looked_up: bool = False) -> Response:
    language, found = str(get_locale()), told.found
    again = _again(found, fields)
    verdict, stated = found.verdict, states(found)
    return page(
        "verdict.html",
        found=found,
        report=told.report,
        signed=told.signed,
        report_base64=b64encode(compact_json(told.report)).decode(),
        mark=_MARKS[verdict.outcome],
        outcome=outcome_words(verdict.outcome, stated=stated).into(language),
        explained=explanation(verdict.outcome, stated=stated).into(language),
        reasons=[(each.value, reason_words(each, stated=stated).into(language)) for each in verdict.reasons],
        later=None if verdict.later is None else STATES[verdict.later].into(language),
        total=TOTAL.into(language) if verdict.total_unchecked else "",
        who=sentence(found.chain, language),
        acts=_acts(told.report, language),
        value_word=lambda member, value: VALUES[member][value].into(language),
        checks=[_row(line, language, stated=stated) for line in lines(found)],
        qr=_qr(again),
        again=again,
        bundle=f"{url_for('verify.bundle')}?{urlencode(_typed(fields))}" if looked_up else "",
    )


def _row(line: Line, language: str, *, stated: bool) -> tuple[str, str, Line]:
    return check_words(line.check, stated=stated).into(language), RESULTS[line.result].into(language), line


def _acts(report: Mapping[str, Any], language: str) -> list[list[str]]:
    """Of each power of the last document, in words."""
    powers = report["chain"][-1].get("powers", [])
    return [power[f"acts_{language if language == 'ja' else 'en'}"] for power in powers]


def _again(found: Examination, fields: Mapping[str, str]) -> str:
    """Where the same question is answered again: of a document of ours by its number, for others by the form."""
    asked = {name: value for name in (*PARTS, "policy") if (value := fields[name])}
    last, issuer = found.chain[-1], ports().policy.issuer
    if last.signed is not None and last.document.record is not None and last.signed.issuer == issuer:
        return lookup.address(issuer, last.signed.number, lookup.check_code(last.document.record), asked)
    return f"{issuer}{lookup.PATH}" + (f"?{urlencode(asked)}" if asked else "")


def _qr(url: str) -> Markup:
    """As an SVG that holds nothing but lines: segno writes no text of ours into it."""
    return Markup(segno.make(url, micro=False).svg_inline(scale=3, svgclass=None, lineclass=None, omitsize=False))  # noqa: S704 -- as said
