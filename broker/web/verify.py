"""The officer's page (/verify) and its API: what is this power of attorney good for? No login, no script, no cookie.

A document is judged by a process of its own for up to some seconds, so only a few are at a time; whoever comes then is
told to come again, and logins go on meanwhile.
"""

from __future__ import annotations

import threading
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlencode

import segno
from flask import Blueprint, Response, jsonify, request, url_for
from flask_babel import get_locale
from markupsafe import Markup
from werkzeug.exceptions import UnsupportedMediaType

from broker.delegation.acts import EN, JA, PROCUREMENT, Act
from broker.delegation.asking import PARTS
from broker.delegation.bundle import MAX_BUNDLE, submitted
from broker.delegation.grant import JST
from broker.delegation.report import RESULTS, Line, check_words, lines, sentence, states
from broker.delegation.verdict import Outcome
from broker.delegation.vocabulary import VALUES
from broker.delegation.wording import STATES, TOTAL, explanation, outcome_words, reason_words
from broker.errors import BundleInvalid, QuestionInvalid, TooManyRequests
from broker.flows import officer
from broker.flows.officer import Answer
from broker.jose import compact_json
from broker.web.catalogue import Words, answer_to
from broker.web.form import query_pairs
from broker.web.pages import page
from broker.web.settings import ports

blueprint = Blueprint("verify", __name__)

AT_A_TIME: Final = 2
_PLACES: Final = threading.BoundedSemaphore(AT_A_TIME)
_ROOM: Final = MAX_BUNDLE + 64 * 1024
"""For the fields beside the file."""
_LONGEST: Final = 200
_TYPES: Final = {"application/pdf", "application/zip", "application/octet-stream"}
_MARKS: Final[Mapping[Outcome, str]] = {
    Outcome.VALID: "✓",
    Outcome.EXPIRED: "△",
    Outcome.REVOKED: "×",
    Outcome.OUT_OF_SCOPE: "△",
    Outcome.FORGED: "×",
    Outcome.CANNOT_TELL: "？",
}


@blueprint.get("/verify")
def show() -> Response:
    """The form, filled in where a report's QR code leads here."""
    return _form({name: request.args.get(name, "")[:_LONGEST] for name in (*PARTS, "policy")})


@blueprint.post("/verify")
def answer() -> Response:
    """The verdict on one page; a question that cannot be read brings the form back with what was typed."""
    request.max_content_length = request.max_form_memory_size = _ROOM  # the second bounds what werkzeug splits, too
    fields = {name: request.form.get(name, "") for name in (*PARTS, "policy")}
    file = request.files.get("document")
    try:
        data = b"" if file is None else file.stream.read(MAX_BUNDLE + 1)
        if not data:
            raise BundleInvalid("no document was chosen")
        asked = {name: value for name, value in fields.items() if name != "policy" and value}
        with _place():
            told = officer.ask(submitted(data), asked, authority=fields["policy"], ports=ports())
    except (BundleInvalid, QuestionInvalid) as refused:
        shown = answer_to(refused)
        return _form(fields, words=shown.words[str(get_locale())], status=shown.http)
    return _verdict(told, fields)


@blueprint.post("/api/verifications")
def verifications() -> Response:
    """The same for programs: the document as the body, the question as the query."""
    request.max_content_length = MAX_BUNDLE
    if request.mimetype not in _TYPES:
        raise UnsupportedMediaType
    asked = dict(pairs := query_pairs())
    if len(asked) != len(pairs):
        raise QuestionInvalid("a part of the question stands twice")
    authority = asked.pop("policy", "")
    with _place():
        told = officer.ask(submitted(request.get_data(cache=False)), asked, authority=authority, ports=ports())
    return jsonify({"report": told.report, "signed": told.signed})


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


def _verdict(told: Answer, fields: Mapping[str, str]) -> Response:
    language, found = str(get_locale()), told.found
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
        qr=_qr(_again(fields)),
        again=_again(fields),
    )


def _row(line: Line, language: str, *, stated: bool) -> tuple[str, str, Line]:
    return check_words(line.check, stated=stated).into(language), RESULTS[line.result].into(language), line


def _acts(report: Mapping[str, Any], language: str) -> list[list[str]]:
    """Of each power of the last document, in words."""
    powers = report["chain"][-1].get("powers", [])
    return [power[f"acts_{language if language == 'ja' else 'en'}"] for power in powers]


def _again(fields: Mapping[str, str]) -> str:
    """Where the same question is asked again; the document itself is not kept here."""
    asked = {name: value for name, value in fields.items() if value}
    return f"{ports().policy.issuer}{url_for('verify.show')}" + (f"?{urlencode(asked)}" if asked else "")


def _qr(url: str) -> Markup:
    """As an SVG that holds nothing but lines: segno writes no text of ours into it."""
    return Markup(segno.make(url, micro=False).svg_inline(scale=3, svgclass=None, lineclass=None, omitsize=False))  # noqa: S704 -- as said
