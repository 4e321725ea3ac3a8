"""What a resident reads when the certificate is at an end or cannot be checked, in both languages."""

from __future__ import annotations

import pytest
from cryptography.x509 import load_der_x509_certificate

from cardreader.agent import signing
from tests.broker.web.house import House, Page

PAGES = {  # the card, its code and status, and the words of each language's title and advice
    "renewing": (
        "koshinold",
        "AUTH-016",
        403,
        {
            "ja": (
                "電子証明書の更新手続き中のようです。",
                "新しい証明書が使えるまで時間がかかることがあります。",
                "あとで",
            ),
            "en": ("Your certificate is being renewed.", "It can take some time", "Try again later"),
        },
    ),
    "expired": (
        "kigen",
        "AUTH-013",
        403,
        {
            "ja": ("電子証明書の有効期限が切れています。", "更新は市区町村の窓口でできます。", "窓口"),
            "en": ("The certificate has expired.", "separate from the card's own date", "municipal office"),
        },
    ),
    "revoked": (
        "shikko",
        "AUTH-014",
        403,
        {
            "ja": ("この電子証明書は、現在使えません（失効）。", "失効させています", "窓口へご相談ください"),
            "en": ("This certificate is no longer valid.", "revoked", "municipal office"),
        },
    ),
    "unknown": (
        "hanako",
        "AUTH-015",
        503,
        {
            "ja": ("電子証明書の状態を今は確認できません。", "お客さまのカードの問題ではありません。", "もう一度"),
            "en": ("We cannot check the certificate right now.", "Your card is fine.", "try again"),
        },
    ),
}


@pytest.fixture(autouse=True)
def _careless_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours refuses an expired certificate before the PIN; what the broker says must not rest on that."""

    def no_judgement(der: bytes, _request: object, **_: object) -> object:
        return load_der_x509_certificate(der).public_key()

    monkeypatch.setattr(signing, "judge_certificate", no_judgement)


@pytest.mark.parametrize("language", ["ja", "en"])
@pytest.mark.parametrize("page", PAGES)
def test_the_page_says_what_happened_and_one_thing_to_do(house: House, page: str, language: str) -> None:
    card, code, status, words = PAGES[page]
    house.lists.available = page != "unknown"
    shown = house.answer(house.login_page(house.browser()), card, language=language)
    told = Page(shown.text)
    assert (shown.status_code, told.texts["error-code"], told.lang) == (status, code, language)
    title, text, action = words[language]
    for each in (title, text, action):
        assert each in " ".join(told.texts["main"].split()), each
    assert ("Retry-After" in shown.headers) is (status == 503)


@pytest.mark.parametrize("language", ["ja", "en"])
def test_somebody_who_renewed_reads_the_same_at_every_try(house: House, language: str) -> None:
    for _ in range(3):
        shown = house.answer(house.login_page(house.browser()), "koshinold", language=language)
        assert Page(shown.text).texts["error-code"] == "AUTH-016"


def test_no_page_names_a_serial_a_subject_or_why_the_authority_revoked(house: House) -> None:
    for card in ("shikko", "koshinold", "kigen"):
        text = house.answer(house.login_page(house.browser()), card).text
        assert not any(word in text for word in ("keyCompromise", "superseded", "CN=", "JPKI-TEST"))
