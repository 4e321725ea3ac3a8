"""The signing API over the whole broker: ordered, shown, signed by the card, fetched once, judged by others."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import jwt
import pytest
from asn1crypto import pem
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.validation.settings import KeyUsageConstraints
from pyhanko_certvalidator import ValidationContext
from sqlalchemy import create_engine, select, update

from broker.flows.sign_transactions import ORDERS as RATE
from broker.jose import b64url_decode
from broker.jpki.cms import with_certificate
from broker.oidc.client import AuthMethod, Right
from broker.oidc.sign_transaction import LIFETIME, MAX_CONTENT, RESULT_LIFETIME
from broker.storage.schema import sign_documents, sign_transactions
from cardreader.cardfile import load
from cardreader.errors import CardError, answer_for
from tests.broker.pades.paper import pyhanko_says, with_catalog
from tests.broker.web.house import House, Page
from tests.broker.web.pushing import push
from tests.broker.web.signing import (
    ORDERS,
    PDF,
    TEXT,
    Notary,
    b64,
    back,
    card_answers,
    fingerprint,
    notary,
    pdf,
    text,
)

RAW = frozenset({Right.SIGNATURE_VERIFIER, Right.DIRECT_SIGNING, Right.RAW_SIGNING})


@pytest.fixture
def office(house: House) -> Notary:
    return notary(house)


def error(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.get_json()["error"]


# --- what comes out --------------------------------------------------------------------------------------------------


def test_a_pdf_a_text_and_a_fingerprint_are_signed_at_one_visit_and_judged_by_others(
    office: Notary, tmp_path: Path
) -> None:
    result = office.whole(pdf(), text(), fingerprint())
    paper_, written, unseen = result["documents"]
    assert [document["format"] for document in result["documents"]] == ["pades", "cades", "cades"]
    made = base64.b64decode(paper_["pdf"])
    assert made.startswith(PDF)
    for document, content in ((written, TEXT), (unseen, b"elsewhere")):
        assert openssl_accepts(document["cms"], content, office.house, tmp_path)
        assert not openssl_accepts(document["cms"], content + b".", office.house, tmp_path)
    if shutil.which("pdfsig") is None:
        pytest.skip("missing: pdfsig (poppler-utils)")
    (tmp_path / "signed.pdf").write_bytes(made)
    told = subprocess.run(["pdfsig", "-nocert", tmp_path / "signed.pdf"], capture_output=True, text=True, check=False)
    assert "Signature is Valid." in told.stdout
    assert "Total document signed" in told.stdout


def test_pyhanko_leads_the_signed_pdf_to_the_authority(office: Notary) -> None:
    result = office.whole(pdf())
    made = base64.b64decode(result["documents"][0]["pdf"])
    (signature,) = PdfFileReader(BytesIO(made)).embedded_signatures

    roots = [
        asn1_x509.Certificate.load(der)
        for _, _, der in pem.unarmor(office.house.world.sign_anchors.read_bytes(), multiple=True)
    ]
    context = ValidationContext(trust_roots=roots, allow_fetching=False, moment=office.house.clock())

    status = pyhanko_says(signature, context, key_usage_settings=KeyUsageConstraints(key_usage={"digital_signature"}))
    assert status.bottom_line
    assert status.coverage.name == "ENTIRE_FILE"


def openssl_accepts(cms: str, content: bytes, house: House, folder: Path) -> bool:
    if shutil.which("openssl") is None:
        pytest.skip("missing: openssl")
    (folder / "signature").write_bytes(base64.b64decode(cms))
    (folder / "ca.pem").write_bytes(
        issuer_of_hanako(house)
    )  # of the generations under one name openssl tries the first
    (folder / "content").write_bytes(content)
    done = subprocess.run(
        [
            *("openssl", "cms", "-verify", "-cades", "-binary", "-inform", "DER", "-in", folder / "signature"),
            *("-content", folder / "content", "-CAfile", folder / "ca.pem", "-purpose", "any"),
            *("-out", folder / "out"),
        ],
        capture_output=True,
        check=False,
    )
    return done.returncode == 0


def issuer_of_hanako(house: House) -> bytes:
    card = load(house.world.card("hanako"))
    assert card.sign is not None
    assert card.sign.certificate is not None
    leaf = x509.load_der_x509_certificate(card.sign.certificate)
    for anchor in x509.load_pem_x509_certificates(house.world.sign_anchors.read_bytes()):
        try:
            leaf.verify_directly_issued_by(anchor)
        except (ValueError, InvalidSignature):
            continue
        return anchor.public_bytes(Encoding.PEM)
    raise AssertionError("no authority issued it")


def test_the_result_says_who_signed_when_and_by_which_certificate(office: Notary) -> None:
    name = office.ordered(text())
    browser = office.house.browser()
    tokens = office.tokens(office.signed(browser, office.page(browser, name)))
    result = office.opened(office.call("GET", f"/{name}/result", token=tokens["access_token"]))
    assert result["sub"] == office.program.userinfo(tokens["access_token"]).get_json()["sub"]
    assert result["sign_transaction_id"] == name
    assert result["documents"][0]["sha256"] == hashlib_b64url(TEXT)
    assert result["verdict"]["certificate"] == "good"
    assert abs(result["signed_at"] - office.house.clock().timestamp()) < 2
    card = load(office.house.world.card("hanako"))
    assert card.sign is not None
    assert base64.b64decode(result["certificate"]) == card.sign.certificate


def hashlib_b64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


def test_a_raw_signature_is_over_the_digest_and_nothing_else(house: House) -> None:
    office = notary(house, rights=RAW)
    result = office.whole(digest=b64(hashlib.sha256(TEXT).digest()), client_id="notary", format="raw", other="ignored")
    key = x509.load_der_x509_certificate(base64.b64decode(result["certificate"])).public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    key.verify(base64.b64decode(result["signature"]), TEXT, padding.PKCS1v15(), hashes.SHA256())


def test_without_the_record_of_verifiers_no_certificate_leaves_but_the_resident_has_their_copies(house: House) -> None:
    office = notary(house, rights=frozenset({Right.DIRECT_SIGNING}))
    name = office.ordered(pdf(), text())
    browser = house.browser()
    page = office.page(browser, name)
    assert "証明書を受け取りません" in Page(page.text).texts["certificate-goes"]
    page = office.signed(browser, page)
    result = office.opened(office.call("GET", f"/{name}/result"))
    assert result["verdict"]["certificate"] == "good"
    assert all(set(document) == {"name", "format", "sha256"} for document in result["documents"])
    assert "certificate" not in result
    assert page.headers["Refresh"].startswith("30; url=")
    kept = house.get(browser, Page(page.text).links["copies-link"])
    links = Page(kept.text).links
    own = house.get(browser, links["copy-0"])
    assert (own.status_code, own.content_type) == (200, "application/pdf")
    assert own.data.startswith(PDF)
    assert own.headers["Cache-Control"] == "no-store"
    assert "attachment" in own.headers["Content-Disposition"]
    assert house.get(browser, links["copy-1"]).content_type == "application/pkcs7-signature"
    for link in (links["copy-0"], Page(page.text).links["copies-link"]):
        assert house.get(house.browser(), link).status_code == 404
    house.clock.step(seconds=RESULT_LIFETIME.total_seconds())
    assert house.get(browser, links["copy-0"]).status_code == 404


@pytest.mark.parametrize("verifier", [True, False])
def test_the_consent_page_says_whether_the_certificate_with_name_and_address_is_given(
    house: House, *, verifier: bool
) -> None:
    office = notary(
        house, rights=frozenset({Right.DIRECT_SIGNING} | ({Right.SIGNATURE_VERIFIER} if verifier else set()))
    )
    browser, name = house.browser(), office.ordered(text())
    answered = card_answers(house, office.page(browser, name))
    asked = house.get(browser, answered.headers["Location"])
    page = Page(asked.text)
    assert ("氏名・住所・生年月日・性別が書かれています" in page.texts["signed"]) is verifier
    assert ("証明書は渡しません" in page.texts["signed"]) is not verifier
    assert ("nothing-personal" in page.texts) is not verifier
    declined = house.submit(browser, asked, "consent-form", decision="deny")
    assert back(declined)["error"] == "access_denied"
    assert error(office.call("GET", f"/{name}/result")) == (409, "authorization_pending")


def let_go(office: Notary, document: dict[str, Any], item: str, **asked: str) -> tuple[str, dict[str, Any]]:
    """The order and the tokens of a login that signs a document and lets one item go."""
    house, name = office.house, office.ordered(document)
    answer = push(office.program, scope=f"openid sign {item}", sign_transaction_id=name, **asked)
    assert answer.status_code == 201, answer.text
    browser = house.browser()
    query = {"client_id": "notary", "request_uri": answer.get_json()["request_uri"]}
    begun = browser.get("/authorize", query_string=query, base_url=house.issuer)
    page = house.get(browser, begun.headers["Location"])
    chosen = browser.post(
        Page(page.text).forms["release-form"]["action"],
        data={f"item_{item}": "yes"},
        headers={"Origin": house.issuer},
        base_url=house.issuer,
    )
    page = office.signed(browser, house.get(browser, chosen.headers["Location"]))
    return name, office.tokens(page)


def bank(house: House, *rights: Right) -> Notary:
    return notary(
        house,
        scope=frozenset({"openid", "sign", "name", "birthdate"}),
        rights=frozenset({Right.SIGNATURE_VERIFIER, Right.IDENTITY_PROOFING, *rights}),
        requires_pushed_requests=True,
    )


def test_what_is_let_go_beside_a_signature_is_agreed_to_before_and_told_like_any_other(house: House) -> None:
    office = bank(house)
    name, tokens = let_go(office, text(), "birthdate")
    assert office.program.userinfo(tokens["access_token"]).get_json()["birthdate"] == "1985-04-12"
    assert office.opened(office.call("GET", f"/{name}/result"))["documents"][0]["cms"]


@pytest.mark.parametrize(
    ("document", "rights", "told"),
    [
        (text("口座開設申込書"), (Right.JP_AML,), True),
        (text("口座開設申込書"), (), False),
        (fingerprint(), (Right.JP_AML,), False),
    ],
    ids=["its own application", "not registered", "a fingerprint that nobody could read"],
)
def test_jp_aml_needs_the_right_and_the_clients_own_legible_application(
    house: House, document: dict[str, Any], rights: tuple[Right, ...], *, told: bool
) -> None:
    element = {"verification": {"trust_framework": {"value": "jp_aml"}}, "claims": {"name": None}}
    claims = json.dumps({"id_token": {"verified_claims": element}})
    _, tokens = let_go(bank(house, *rights), document, "name", claims=claims)
    answer = jwt.decode(tokens["id_token"], options={"verify_signature": False}).get("verified_claims")
    if not told:
        assert answer is None
    else:
        assert answer["verification"]["trust_framework"] == "jp_aml"
        assert answer["claims"] == {"name": "山田花子"}


# --- the page --------------------------------------------------------------------------------------------------------


def test_each_document_stands_on_the_page_by_name_as_far_as_it_is_known(office: Notary) -> None:
    browser = office.house.browser()
    page = office.page(browser, office.ordered(pdf(), text(), fingerprint()))
    shown = Page(page.text)
    assert "みほん契約" in shown.texts["main"]
    assert "契約書.pdf" in shown.texts["document-0"]
    assert shown.texts["text-1"].split() == TEXT.decode().split()
    assert "表示できません" in shown.texts["unseen-2"]
    digest = hashlib.sha256(b"elsewhere").hexdigest()
    assert digest in shown.texts["document-2"].replace(" ", "")
    assert "証明書を受け取ります" in shown.texts["certificate-goes"]
    seen = office.house.get(browser, shown.links["open-0"])
    assert (seen.data, seen.content_type) == (PDF, "application/pdf")
    assert "sandbox" in seen.headers["Content-Security-Policy"]
    assert seen.headers["X-Content-Type-Options"] == "nosniff"
    assert seen.headers["Cache-Control"] == "no-store"


def test_a_document_is_shown_to_the_browser_of_its_login_alone_and_by_its_own_fingerprint(office: Notary) -> None:
    browser = office.house.browser()
    link = Page(office.page(browser, office.ordered(pdf(), fingerprint())).text).links["open-0"]
    assert office.house.get(office.house.browser(), link).status_code == 403
    other = link.replace(hashlib.sha256(PDF).hexdigest(), "0" * 64)
    changed = office.house.get(browser, other)
    assert (changed.status_code, Page(changed.text).texts["error-code"]) == (403, "AUTH-040")
    assert office.house.get(browser, link.replace("/documents/0", "/documents/1")).status_code == 404
    assert office.house.get(browser, link.replace("/documents/0", "/documents/7")).status_code == 404


def test_markup_in_names_and_texts_is_only_text(office: Notary) -> None:
    browser = office.house.browser()
    hostile = "<script>alert(1)</script><form action=//x>"
    page = office.page(browser, office.ordered(text(name=hostile, content=hostile.encode())))
    assert "<script>alert" not in page.text
    assert "&lt;script&gt;alert(1)" in page.text


def test_a_resident_who_gives_up_signs_nothing_and_the_order_still_waits(office: Notary) -> None:
    name = office.ordered(text())
    browser = office.house.browser()
    page = office.page(browser, name)
    gone = office.house.submit(browser, page, "cancel-form")
    assert back(gone)["error"] == "access_denied"
    assert office.call("GET", f"/{name}").get_json()["status"] == "waiting"
    assert error(office.call("GET", f"/{name}/result")) == (409, "authorization_pending")


# --- once, and by whom -----------------------------------------------------------------------------------------------


def test_one_token_has_the_result_and_may_come_again_until_it_is_wiped(office: Notary) -> None:
    name = office.ordered(text())
    browser = office.house.browser()
    office.signed(browser, office.page(browser, name))
    first, second = office.own_token(), office.own_token()
    one = office.opened(office.call("GET", f"/{name}/result", token=first))
    assert office.opened(office.call("GET", f"/{name}/result", token=first)) == one
    assert error(office.call("GET", f"/{name}/result", token=second)) == (410, "invalid_request")
    told = office.call("GET", f"/{name}").get_json()
    assert (told["status"], told["fetched"]) == ("signed", True)
    office.house.clock.step(seconds=RESULT_LIFETIME.total_seconds())
    assert error(office.call("GET", f"/{name}/result")) == (404, "invalid_request")


def test_a_signed_order_is_not_signed_again_nor_cancelled(office: Notary) -> None:
    name = office.ordered(text())
    one, two = office.house.browser(), office.house.browser()
    pages = [office.page(one, name), office.page(two, name)]
    answers = [card_answers(office.house, page, who) for page, who in zip(pages, ("hanako", "taro"), strict=True)]
    assert back(consented(office, one, answers[0]))["code"]
    late = consented(office, two, answers[1])
    assert (late.status_code, Page(late.text).texts["error-code"]) == (409, "SIGN-003")
    assert back(office.authorize(office.house.browser(), name))["error"] == "invalid_request"
    assert error(office.call("DELETE", f"/{name}")) == (409, "invalid_request")


def consented(office: Notary, browser: Any, answered: Any) -> Any:
    page = office.house.get(browser, answered.headers["Location"])
    if "consent-form" in Page(page.text).forms:
        page = office.house.submit(browser, page, "consent-form", decision="approve")
    return page


def test_only_the_login_that_signed_has_a_token_for_the_result(office: Notary) -> None:
    name, other = office.ordered(text()), office.ordered(text())
    browser, stranger = office.house.browser(), office.house.browser()
    office.signed(browser, office.page(browser, name))
    tokens = office.tokens(office.signed(stranger, office.page(stranger, other), "taro"))
    assert error(office.call("GET", f"/{name}/result", token=tokens["access_token"])) == (404, "invalid_request")
    assert error(office.call("GET", f"/{name}", token=tokens["access_token"])) == (403, "insufficient_scope")
    assert office.call("GET", f"/{other}/result", token=tokens["access_token"]).status_code == 200


def test_another_client_never_learns_of_an_order(house: House, office: Notary) -> None:
    name = office.ordered(text())
    stranger = notary(house, "stranger")
    for method, path in (("GET", f"/{name}"), ("GET", f"/{name}/result"), ("DELETE", f"/{name}")):
        assert error(stranger.call(method, path)) == (404, "invalid_request")
        assert stranger.call(method, path).get_json() == stranger.call(method, f"/{name[:-4]}0000").get_json()
    told = back(stranger.authorize(house.browser(), name))
    assert told["error"] == "invalid_request"
    assert office.call("GET", f"/{name}").status_code == 200


def test_an_order_runs_out_and_a_cancelled_one_is_wiped_at_once(office: Notary) -> None:
    late, cancelled = office.ordered(text()), office.ordered(pdf())
    browser = office.house.browser()
    page = office.page(browser, cancelled)
    assert office.call("DELETE", f"/{cancelled}").status_code == 204
    assert rows(office.house, sign_documents) == 1
    assert error(office.call("GET", f"/{cancelled}")) == (404, "invalid_request")
    gone = consented(office, browser, card_answers(office.house, page))
    assert (gone.status_code, Page(gone.text).texts["error-code"]) == (404, "SIGN-002")
    office.house.clock.step(seconds=LIFETIME.total_seconds())
    assert error(office.call("GET", f"/{late}")) == (404, "invalid_request")
    assert back(office.authorize(browser, late))["error"] == "invalid_request"
    office.house.ports.store.purge(now=office.house.clock())
    assert (rows(office.house, sign_documents), rows(office.house, sign_transactions)) == (0, 0)


def engine_of(house: House) -> Any:
    return create_engine(f"sqlite:///{house.database}")


def rows(house: House, table: Any) -> int:
    engine = engine_of(house)
    with engine.connect() as connection:
        found = len(connection.execute(select(table)).all())
    engine.dispose()
    return found


# --- what is refused -------------------------------------------------------------------------------------------------

BAD: dict[str, tuple[dict[str, Any], int, str]] = {
    "no document": ({}, 400, "invalid_request"),
    "an empty list": ({"documents": []}, 400, "invalid_request"),
    "eleven": ({"documents": [text()] * 11}, 400, "invalid_request"),
    "both ways": ({"documents": [text()], "digest": b64(b"d" * 32)}, 400, "invalid_request"),
    "not a list": ({"documents": {"0": text()}}, 400, "invalid_request"),
    "another client's name": ({"documents": [text()], "client_id": "bank"}, 400, "invalid_request"),
    "an unknown member": ({"documents": [text() | {"colour": "red"}]}, 400, "invalid_request"),
    "whole and by digest": ({"documents": [text() | {"digest": b64(b"d" * 32)}]}, 400, "invalid_request"),
    "without a name": ({"documents": [{"content": b64(TEXT), "type": "text/plain"}]}, 400, "invalid_request"),
    "a name that turns around": ({"documents": [text(name="a\u202eb")]}, 400, "invalid_request"),
    "a long name": ({"documents": [text(name="長" * 201)]}, 400, "invalid_request"),
    "a short digest": ({"digest": b64(b"d" * 20)}, 400, "invalid_request"),
    "another algorithm": ({"digest": b64(b"d" * 32), "digest_algorithm": "SHA-1"}, 400, "invalid_request"),
    "no base64": ({"documents": [text() | {"content": "%%%"}]}, 400, "invalid_request"),
    "another type": ({"documents": [text() | {"type": "text/html"}]}, 400, "invalid_request"),
    "a text in a PDF's form": ({"documents": [text() | {"format": "pades"}]}, 400, "invalid_request"),
    "raw without the right": ({"digest": b64(b"d" * 32), "format": "raw"}, 403, "unauthorized_client"),
    "a text that is none": ({"documents": [text(content=b"\xff\xfe")]}, 400, "invalid_request"),
    "a text with hidden marks": ({"documents": [text(content="5\u202e000円".encode())]}, 400, "invalid_request"),
    "a text too long to read": ({"documents": [text(content=b"a" * 70_000)]}, 400, "invalid_request"),
    "a PDF with a script": (
        {"documents": [pdf(content=with_catalog("/OpenAction << /S /JavaScript /JS (x) >>"))]},
        400,
        "invalid_request",
    ),
    "a PDF that is none": ({"documents": [pdf(content=b"hello")]}, 400, "invalid_request"),
    "an individual number in a text": (
        {"documents": [text(content="番号は123456789018です".encode())]},
        400,
        "invalid_request",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_an_order_that_is_not_right_is_refused_and_nothing_of_it_is_kept(office: Notary, name: str) -> None:
    body, status, code = BAD[name]
    answer = office.call("POST", "", json=body)
    assert error(answer) == (status, code), answer.text
    assert rows(office.house, sign_transactions) == 0


def test_a_body_is_judged_by_its_size_and_kind_before_anything_in_it(office: Notary) -> None:
    token = office.own_token()
    assert office.call("POST", "", token=token, data=b"{", content_type="application/json").status_code == 400
    assert office.call("POST", "", token=token, data=b"{}", content_type="text/plain").status_code == 415
    deep = b'{"documents":' + b"[" * 5000 + b"]" * 5000 + b"}"
    assert office.call("POST", "", token=token, data=deep, content_type="application/json").status_code == 400
    big = office.call("POST", "", token=token, data=b" " * (8 * 1024 * 1024 + 1), content_type="application/json")
    assert big.status_code == 413
    together = [pdf(content=b"%PDF-1.7\n" + b" " * (MAX_CONTENT // 2)) for _ in range(2)]
    assert error(office.call("POST", "", token=token, json={"documents": together})) == (400, "invalid_request")
    stranger = office.house.browser().post(
        ORDERS, data=b" " * 70_000, content_type="application/json", base_url=office.house.issuer
    )
    assert stranger.status_code == 413  # who brings no token may send no document


def test_tokens_that_are_not_for_signing_are_refused(house: House, office: Notary) -> None:
    assert office.house.browser().post(ORDERS, json={}, base_url=house.issuer).status_code == 401
    plain = notary(house, "plain", scope=frozenset({"openid", "accounts"}))
    token = plain.own_token(scope="accounts")
    answer = plain.call("POST", "", token=token, json={"documents": [text()]})
    assert error(answer) == (403, "insufficient_scope")
    assert 'scope="sign"' in answer.headers["WWW-Authenticate"]


def test_a_client_with_a_secret_or_without_a_key_to_encrypt_to_signs_nothing(house: House) -> None:
    keyless = notary(house, "keyless")
    jwks = {"keys": keyless.program.client.jwks["keys"][:1]} if keyless.program.client.jwks else {}
    with house.ports.store.transaction() as tx:
        tx.clients.change(replace(keyless.program.client, jwks=jwks), now=house.clock())
    assert error(keyless.order(text())) == (400, "invalid_request")
    assert rows(house, sign_transactions) == 0
    with_secret = notary(
        house,
        "shop-with-secret",
        auth_method=AuthMethod.CLIENT_SECRET_BASIC,
        secret_digest=hashlib.sha256(b"secret").digest(),
        jwks=None,
    )
    basic = base64.b64encode(b"shop-with-secret:secret").decode()
    answer = house.browser().post(
        "/token",
        data={"grant_type": "client_credentials", "scope": "sign"},
        headers={"Authorization": f"Basic {basic}"},
        base_url=house.issuer,
    )
    token = answer.get_json()["access_token"]
    assert error(with_secret.call("POST", "", token=token, json={"documents": [text()]})) == (
        403,
        "unauthorized_client",
    )


def test_an_authorization_request_and_its_order_belong_together(house: House, office: Notary) -> None:
    name = office.ordered(text())
    browser = house.browser()
    assert back(office.authorize(browser, None))["error"] == "invalid_request"
    assert back(office.authorize(browser, name, scope="openid"))["error"] == "invalid_request"
    assert back(office.authorize(browser, "65a04b4e-af8b-45a2-8713-5ec2631bab64"))["error"] == "invalid_request"
    silent = office.authorize(browser, name, prompt="none")
    assert (silent.status_code, "error=interaction_required" in silent.headers["Location"]) == (303, True)
    unpushed = notary(house, "unpushed", rights=frozenset({Right.SIGNATURE_VERIFIER}))
    told = back(unpushed.authorize(browser, unpushed.ordered(text())))
    assert told["error"] == "unauthorized_client"


def test_a_document_changed_after_it_was_shown_is_never_signed(office: Notary) -> None:
    name, other = office.ordered(text(content=b"one yen")), office.ordered(text(content=b"a million"))
    browser = office.house.browser()
    page = office.page(browser, name)
    engine = engine_of(office.house)
    with engine.begin() as connection:
        stolen = connection.execute(select(sign_documents).where(sign_documents.c.sign_transaction_id == other)).one()
        connection.execute(
            update(sign_documents)
            .where(sign_documents.c.sign_transaction_id == name)
            .values(content_sealed=stolen.content_sealed, described_sealed=stolen.described_sealed)
        )
    engine.dispose()
    refused = consented(office, browser, card_answers(office.house, page))
    assert (refused.status_code, Page(refused.text).texts["error-code"]) == (403, "AUTH-040")
    assert office.call("GET", f"/{name}").get_json()["status"] == "waiting"
    anew = office.page(office.house.browser(), name)
    assert (anew.status_code, Page(anew.text).texts["error-code"]) == (403, "AUTH-040")


def test_a_digest_that_went_to_a_card_raw_counts_as_no_frame_and_no_attributes(house: House) -> None:
    office = notary(house, rights=RAW)
    browser = house.browser()
    page = office.page(browser, office.ordered(text()))
    request = Page(page.text).forms["card-form"]["fields"]["request"]

    action = json.loads(jwt.decode(request, options={"verify_signature": False})["action"])
    card = load(house.world.card("hanako"))
    assert card.sign is not None
    assert card.sign.certificate is not None
    attributes = with_certificate(b64url_decode(action["documents"][0]["attributes"]), card.sign.certificate)
    elsewhere = house.browser()
    office.page(elsewhere, office.ordered(digest=b64(hashlib.sha256(attributes).digest()), format="raw"))
    refused = card_answers(house, page)
    assert (refused.status_code, Page(refused.text).texts["error-code"]) == (403, "SIGN-008")


def test_orders_are_counted(office: Notary, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("broker.flows.sign_transactions.ORDERS", replace(RATE, limit=2))
    token = office.own_token()
    statuses = [office.call("POST", "", token=token, json={"documents": [text()]}).status_code for _ in range(3)]
    assert statuses == [201, 201, 429]


@pytest.mark.parametrize(("resident", "code"), [("mirai", "CARD-023"), ("hikkoshi", "AUTH-042")])
def test_a_child_and_somebody_who_moved_sign_nothing(office: Notary, resident: str, code: str) -> None:
    browser = office.house.browser()
    page = office.page(browser, office.ordered(text()))
    if code.startswith("CARD"):
        with pytest.raises(CardError) as refused:
            card_answers(office.house, page, resident)
        assert answer_for(refused.value).code == code
        return
    answered = card_answers(office.house, page, resident)
    assert Page(answered.text).texts["error-code"] == code


def test_a_copy_of_the_database_holds_no_document_name_or_signature(office: Notary) -> None:
    office.whole(text(name="とても秘密の契約", content="秘密の本文です".encode()))
    for file in office.house.database.parent.glob(f"{office.house.database.name}*"):
        raw = file.read_bytes()
        for secret in ("とても秘密の契約", "秘密の本文です"):
            assert secret.encode() not in raw
            assert b64(secret.encode())[:-4].encode() not in raw
